//! PDFium at work: a file's bytes → each page's glyphs with place, size and font, its link annotations, the metadata's
//! title. With [`super::drawn`] and [`super::pictures`] the only folder that knows the PDF library.

mod characters;
mod library;
mod pictures;
mod placement;
mod render;
mod unseen;

use super::drawn::{self, Drawn};
use super::faces::Face;
use crate::{Error, Kind, Result, interrupt};
use characters::{Fonts, read_glyphs};
pub use library::prepare;
use library::{LOADED, damaged, load, refused};
use pdfium_render::prelude::*;
pub use pictures::Pictures;
pub use placement::Placement;
pub use render::picture;
use std::path::Path;
use std::sync::PoisonError;

/// What a glyph without a Unicode mapping becomes in the text.
pub const UNMAPPED: char = '\u{FFFD}';

/// A page of so many visible glyphs is no picture of text.
const FULL_TEXT: usize = 300;

/// A page under images is a scan, and what is invisible on it the text layer of the scan.
const SCAN: f32 = 0.7;

/// The way a line of text runs on the page as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flow {
    #[default]
    Right,
    Up,
    Left,
    /// Rotated text, and vertical Japanese.
    Down,
    /// None of the four: a watermark across the page, a slanted axis label.
    Skewed,
}

/// One character as it stands on the page. Points from the page's upper left corner.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Glyph {
    pub ch: char,
    /// Left, top, right, bottom: advance width by ascent and descent.
    pub bbox: [f32; 4],
    pub origin: (f32, f32),
    /// Font size as shown.
    pub size: f32,
    /// Index into [`RawDocument::fonts`].
    pub font: u16,
    pub bold: bool,
    pub face: Face,
    /// Drawn without ink, as the text layer over a scan is.
    pub invisible: bool,
    /// Drawn in white or with no cover.
    pub pale: bool,
    /// Invisible or pale, and the page shows nothing where it stands.
    pub unseen: bool,
    /// A control character that draws nothing: a space of a font that does not say so.
    pub blank: bool,
    pub flow: Flow,
    /// White space stands before it in PDFium's text.
    pub space_before: bool,
    /// PDFium's text starts a line with it.
    pub break_before: bool,
}

/// A link annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkedUri {
    pub uri: String,
    /// What can be clicked.
    pub bbox: Option<[f32; 4]>,
}

/// One page as PDFium reads it.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    pub width: f32,
    pub height: f32,
    pub glyphs: Vec<Glyph>,
    pub drawn: Drawn,
    /// Of pages that hold little, invisible or vertical text, else nothing.
    pub pictures: Pictures,
    /// Link annotations that lead to a URI, in order.
    pub uris: Vec<LinkedUri>,
    /// Why the page could not be read.
    pub failure: Option<String>,
}

/// A document as PDFium reads it.
#[derive(Debug, Clone, Default)]
pub struct RawDocument {
    pub pages: Vec<RawPage>,
    /// Names of the fonts, as far as they have one.
    pub fonts: Vec<String>,
    pub metadata_title: Option<String>,
}

/// Reads all pages of the PDF in `bytes`; `file` is only named in errors.
pub fn read(library: &Path, file: &Path, bytes: &[u8], password: Option<&str>) -> Result<RawDocument> {
    with_document(library, file, bytes, password, |document| {
        let pages = document.pages();
        let mut raw = RawDocument { metadata_title: metadata_title(document), ..RawDocument::default() };
        let mut fonts = Fonts::default();
        for index in pages.as_range() {
            interrupt::check()?;
            raw.pages.push(match pages.get(index) {
                Ok(page) => read_page(&page, &mut fonts),
                Err(error) => RawPage { failure: Some(format!("{error:?}")), ..RawPage::default() },
            });
        }
        if raw.pages.iter().all(|page| page.failure.is_some()) {
            return Err(damaged(file, "none of its pages can be opened"));
        }
        raw.fonts = fonts.names;
        Ok(raw)
    })
}

/// Opens the PDF in `bytes`, which has at least one page, and works on it while nobody else uses the library.
pub fn with_document<T>(
    library: &Path,
    file: &Path,
    bytes: &[u8],
    password: Option<&str>,
    work: impl FnOnce(&PdfDocument) -> Result<T>,
) -> Result<T> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let pdfium = load(library, &mut loaded)?;
    let document = open(pdfium, file, bytes, password)?;
    if document.pages().is_empty() {
        return Err(damaged(file, "PDFium finds no pages in it"));
    }
    work(&document)
}

fn open<'a>(pdfium: &'static Pdfium, file: &Path, bytes: &'a [u8], password: Option<&str>) -> Result<PdfDocument<'a>> {
    if password.is_some_and(|password| password.contains('\0')) {
        return Err(Error::new(Kind::Password, file.display(), "the password holds a NUL character")
            .hint("give the right one with --password or --password-file"));
    }
    pdfium.load_pdf_from_byte_slice(bytes, password).map_err(|error| refused(file, bytes, password, &error))
}

fn metadata_title(document: &PdfDocument) -> Option<String> {
    let tag = document.metadata().get(PdfDocumentMetadataTagType::Title)?;
    let title = tag.value().trim_matches(|c: char| c.is_whitespace() || c == '\0').to_string();
    (!title.is_empty()).then_some(title)
}

fn read_page(page: &PdfPage, fonts: &mut Fonts) -> RawPage {
    let place = Placement::of(page);
    let (width, height) = place.shown_size();
    let linked = |link: PdfLink| {
        let uri = link.action()?.as_uri_action()?.uri().ok()?;
        Some(LinkedUri { uri, bbox: link.rect().ok().map(|rect| place.bbox(&rect)) })
    };
    let uris = page.links().iter().filter_map(linked).collect();
    let drawn = drawn::read(page, &place);
    let (mut glyphs, failure) = match page.text() {
        Ok(text) => (read_glyphs(&text, &place, fonts), None),
        Err(error) => (Vec::new(), Some(format!("{error:?}"))),
    };
    let pictures = if has_doubtful_text(&glyphs) { pictures::look_at(page, &place) } else { Pictures::default() };
    if pictures.cover < SCAN {
        unseen::mark(page, &mut glyphs);
    }
    RawPage { width, height, glyphs, drawn, pictures, uris, failure }
}

/// Whether the page's text may be less than what the page shows: a scan, outlines, vertical text without a font.
fn has_doubtful_text(glyphs: &[Glyph]) -> bool {
    let invisible = glyphs.iter().filter(|glyph| glyph.invisible).count();
    let vertical = glyphs.iter().any(|glyph| glyph.flow == Flow::Down);
    vertical || glyphs.len() - invisible < FULL_TEXT || 2 * invisible > glyphs.len()
}
