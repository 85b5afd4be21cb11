//! PDFium at work: a file's bytes → each page's glyphs with place, size and font, its link annotations, the metadata's
//! title. With [`super::drawn`] and [`super::pictures`] the only file that knows the PDF library.

use super::drawn::{self, Drawn};
use super::faces::{Face, tex_sign};
use crate::document::input::mentions_encryption;
use crate::{Error, Kind, Result, interrupt};
use pdfium_render::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a glyph without a Unicode mapping becomes in the text.
pub const UNMAPPED: char = '\u{FFFD}';

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
#[derive(Debug, Clone, PartialEq)]
pub struct Glyph {
    pub ch: char,
    /// Left, top, right, bottom: advance width by ascent and descent.
    pub bbox: [f32; 4],
    pub origin: (f32, f32),
    /// Font size as shown.
    pub size: f32,
    pub bold: bool,
    pub face: Face,
    pub flow: Flow,
    /// White space stands before it in PDFium's text.
    pub space_before: bool,
    /// PDFium's text starts a line with it.
    pub break_before: bool,
}

/// One page as PDFium reads it.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    pub width: f32,
    pub height: f32,
    pub glyphs: Vec<Glyph>,
    pub drawn: Drawn,
    /// URIs of link annotations, in order.
    pub uris: Vec<String>,
    /// Why the page could not be read.
    pub failure: Option<String>,
}

/// A document as PDFium reads it.
#[derive(Debug, Clone, Default)]
pub struct RawDocument {
    pub pages: Vec<RawPage>,
    pub metadata_title: Option<String>,
}

/// PDFium can be loaded once in a process, and its last error belongs to the process: one reader at a time.
static LOADED: Mutex<Option<(PathBuf, &'static Pdfium)>> = Mutex::new(None);

/// Reads all pages of the PDF in `bytes`; `file` is only named in errors.
pub fn read(library: &Path, file: &Path, bytes: &[u8], password: Option<&str>) -> Result<RawDocument> {
    with_document(library, file, bytes, password, |document| {
        let pages = document.pages();
        let mut raw = RawDocument { pages: Vec::new(), metadata_title: metadata_title(document) };
        for index in pages.as_range() {
            interrupt::check()?;
            raw.pages.push(match pages.get(index) {
                Ok(page) => read_page(&page),
                Err(error) => RawPage { failure: Some(format!("{error:?}")), ..RawPage::default() },
            });
        }
        if raw.pages.iter().all(|page| page.failure.is_some()) {
            return Err(damaged(file, "none of its pages can be opened"));
        }
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
    if password.is_some_and(|password| password.contains('\0')) {
        return Err(Error::new(Kind::Password, file.display(), "the password holds a NUL character")
            .hint("give the right one with --password"));
    }
    let document =
        pdfium.load_pdf_from_byte_slice(bytes, password).map_err(|error| refused(file, bytes, password, &error))?;
    if document.pages().is_empty() {
        return Err(damaged(file, "PDFium finds no pages in it"));
    }
    work(&document)
}

fn load(library: &Path, loaded: &mut MutexGuard<Option<(PathBuf, &'static Pdfium)>>) -> Result<&'static Pdfium> {
    let unavailable = |problem: String| {
        Error::new(Kind::Unavailable, library.display(), problem)
            .hint("name a PDFium library for this platform (libpdfium.so, libpdfium.dylib, pdfium.dll)")
    };
    if !library.is_file() {
        return Err(unavailable("no PDFium library there".into()));
    }
    match &**loaded {
        Some((path, pdfium)) if path == library => return Ok(pdfium),
        Some((path, _)) => {
            return Err(unavailable(format!("this process has already loaded PDFium from {}", path.display())));
        }
        None => {}
    }
    let bindings = Pdfium::bind_to_library(library)
        .map_err(|error| unavailable(format!("PDFium cannot be loaded from it: {}", first_line(&error))))?;
    let pdfium: &'static Pdfium = Box::leak(Box::new(Pdfium::new(bindings)));
    **loaded = Some((library.to_path_buf(), pdfium));
    Ok(pdfium)
}

fn first_line(error: &PdfiumError) -> String {
    let text = match error {
        PdfiumError::LoadLibraryError(error) => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
        other => format!("{other:?}"),
    };
    text.lines().next().unwrap_or_default().to_string()
}

fn damaged(file: &Path, problem: &str) -> Error {
    Error::new(Kind::Damaged, file.display(), format!("the PDF is damaged: {problem}"))
        .hint("fetch it again, or repair it (qpdf --linearize, mutool clean)")
}

/// PDFium's error as ours. It reports a wrong password for some damaged files too: only a file that says so is encrypted.
fn refused(file: &Path, bytes: &[u8], password: Option<&str>, error: &PdfiumError) -> Error {
    match error {
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::PasswordError) if mentions_encryption(bytes) => {
            let problem = match password {
                None => "the PDF is encrypted and needs a password",
                Some(_) => "the PDF is encrypted and the password is wrong",
            };
            Error::new(Kind::Password, file.display(), problem).hint("give the right one with --password")
        }
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::SecurityError) => {
            Error::new(Kind::Damaged, file.display(), "the PDF is encrypted in a way that PDFium does not know")
                .hint("save an unencrypted copy with the program that opens it")
        }
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::PasswordError) => {
            damaged(file, "PDFium asks for a password although nothing in it is encrypted")
        }
        _ => damaged(file, "PDFium finds no document in it"),
    }
}

fn metadata_title(document: &PdfDocument) -> Option<String> {
    let tag = document.metadata().get(PdfDocumentMetadataTagType::Title)?;
    let title = tag.value().trim_matches(|c: char| c.is_whitespace() || c == '\0').to_string();
    (!title.is_empty()).then_some(title)
}

fn read_page(page: &PdfPage) -> RawPage {
    let place = Placement::of(page);
    let (width, height) = place.shown_size();
    let uris = page.links().iter().filter_map(|link| link.action()?.as_uri_action()?.uri().ok()).collect();
    let drawn = drawn::read(page, &place);
    match page.text() {
        Ok(text) => RawPage { width, height, glyphs: read_glyphs(&text, &place), drawn, uris, failure: None },
        Err(error) => RawPage { width, height, uris, failure: Some(format!("{error:?}")), ..RawPage::default() },
    }
}

fn read_glyphs(text: &PdfPageText, place: &Placement) -> Vec<Glyph> {
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut fonts = HashMap::new();
    let (mut space_before, mut break_before) = (false, false);
    // PDFium gives a character past U+FFFF (mathematical italics, say) as the two halves of its surrogate pair.
    let mut high_half = None;
    for char in text.chars().iter() {
        let value = char.unicode_value();
        let ch = match (value, high_half.take()) {
            (0xD800..0xDC00, _) => {
                high_half = Some(value);
                continue;
            }
            (0xDC00..0xE000, Some(high)) => whole_character(high, value),
            (0, _) => UNMAPPED,
            (0xFFFE | 2, _) if char.is_hyphen().unwrap_or(false) => '-',
            (0xFFFE | 0xFFFF, _) => UNMAPPED,
            (value, _) => char::from_u32(value).unwrap_or(UNMAPPED),
        };
        if matches!(ch, '\r' | '\n') {
            break_before = true;
            continue;
        }
        if ch.is_whitespace() || ch.is_control() {
            space_before = true;
            continue;
        }
        let font = char.font_name();
        let (bold, face) = *fonts.entry(font).or_insert_with_key(|name| (is_bold(name), Face::of(name)));
        let ch = if face == Face::Math { tex_sign(&char.font_name(), ch).unwrap_or(ch) } else { ch };
        let mut glyph = place.glyph(&char, glyphs.last());
        (glyph.ch, glyph.bold, glyph.face) = (ch, bold, face);
        (glyph.space_before, glyph.break_before) = (space_before, break_before);
        glyphs.push(glyph);
        (space_before, break_before) = (false, false);
    }
    glyphs
}

/// The character of a surrogate pair, as UTF-16 defines it.
fn whole_character(high: u32, low: u32) -> char {
    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or(UNMAPPED)
}

/// Whether a font's name says that it is bold: "NimbusRomNo9L-Medi", "CMBX12", "Times-Bold", "HaranoAjiGothic-Bold".
fn is_bold(name: &str) -> bool {
    let lower = name.to_lowercase();
    let bold = ["bold", "medi", "black", "heavy", "cmbx", "sfbx", "cmssbx", "lmbx", "-bd"];
    // Japanese sets its headings in Gothic, whatever the weight.
    let gothic =
        lower.contains("gothic") && !["century", "franklin", "letter", "news"].iter().any(|part| lower.contains(part));
    gothic || (bold.iter().any(|part| lower.contains(part)) && !lower.contains("medium"))
}

/// How a page's own coordinates (upwards, maybe rotated, from anywhere) become the shown page's.
pub struct Placement {
    left: f32,
    bottom: f32,
    width: f32,
    height: f32,
    /// Clockwise quarter turns.
    turns: u8,
}

impl Placement {
    fn of(page: &PdfPage) -> Placement {
        let turns: u8 = match page.rotation() {
            Ok(PdfPageRenderRotation::Degrees90) => 1,
            Ok(PdfPageRenderRotation::Degrees180) => 2,
            Ok(PdfPageRenderRotation::Degrees270) => 3,
            _ => 0,
        };
        let (shown_width, shown_height) = (page.width().value, page.height().value);
        let (width, height) =
            if turns.is_multiple_of(2) { (shown_width, shown_height) } else { (shown_height, shown_width) };
        let boundaries = page.boundaries();
        let bounds = boundaries.crop().or_else(|_| boundaries.media()).map(|boundary| boundary.bounds);
        let (left, bottom) = bounds.map_or((0.0, 0.0), |bounds| (bounds.left().value, bounds.bottom().value));
        Placement { left, bottom, width, height, turns }
    }

    pub fn shown_size(&self) -> (f32, f32) {
        if self.turns.is_multiple_of(2) { (self.width, self.height) } else { (self.height, self.width) }
    }

    pub fn shown(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x - self.left, y - self.bottom);
        match self.turns {
            0 => (x, self.height - y),
            1 => (y, x),
            2 => (self.width - x, y),
            _ => (self.height - y, self.width - x),
        }
    }

    /// The character's geometry; that of `previous` where PDFium knows none, so that its text is not lost.
    fn glyph(&self, char: &PdfPageTextChar, previous: Option<&Glyph>) -> Glyph {
        let size = char.scaled_font_size().value.abs();
        let rect = char.loose_bounds().or_else(|_| char.tight_bounds()).ok();
        let origin = char.origin().ok().map(|(x, y)| self.shown(x.value, y.value));
        let corners = rect.map(|rect| {
            let (x0, y0) = self.shown(rect.left().value, rect.bottom().value);
            let (x1, y1) = self.shown(rect.right().value, rect.top().value);
            [x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)]
        });
        let known = corners.filter(|corners| corners.iter().all(|value| value.is_finite() && value.abs() < 1e6));
        let (bbox, origin) = match (known, origin, previous) {
            (Some(bbox), Some((x, y)), _) if x.is_finite() && y.is_finite() => (bbox, (x, y)),
            (Some(bbox), _, _) => (bbox, (bbox[0], bbox[3])),
            (None, _, Some(previous)) => (previous.bbox, previous.origin),
            (None, _, None) => ([0.0; 4], (0.0, 0.0)),
        };
        let size =
            if size.is_finite() && size > 0.1 { size.min(1000.0) } else { (bbox[3] - bbox[1]).clamp(1.0, 1000.0) };
        let flow = char.angle_degrees().map_or(Flow::Right, |angle| self.flow(angle));
        let face = Face::Plain;
        Glyph { ch: UNMAPPED, bbox, origin, size, bold: false, face, flow, space_before: false, break_before: false }
    }

    /// `angle`: clockwise degrees on the unrotated page.
    fn flow(&self, angle: f32) -> Flow {
        let shown = (angle + 90.0 * f32::from(self.turns)).rem_euclid(360.0);
        let quarter = (shown / 90.0).round();
        if (shown - quarter * 90.0).abs() > 8.0 {
            return Flow::Skewed;
        }
        match quarter as i32 % 4 {
            0 => Flow::Right,
            1 => Flow::Down,
            2 => Flow::Left,
            _ => Flow::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(turns: u8) -> Placement {
        Placement { left: 10.0, bottom: 20.0, width: 600.0, height: 800.0, turns }
    }

    #[test]
    fn page_corners_are_shown_where_the_rotation_puts_them() {
        let upper_left = (10.0, 820.0);
        for (turns, expected) in [(0, (0.0, 0.0)), (1, (800.0, 0.0)), (2, (600.0, 800.0)), (3, (0.0, 600.0))] {
            assert_eq!(placement(turns).shown(upper_left.0, upper_left.1), expected, "{turns} turns");
        }
    }

    #[test]
    fn text_rotated_against_the_page_reads_to_the_right() {
        assert_eq!(placement(1).flow(270.0), Flow::Right);
        assert_eq!(placement(0).flow(90.0), Flow::Down);
        assert_eq!(placement(0).flow(359.0), Flow::Right);
        assert_eq!(placement(0).flow(270.0), Flow::Up);
        assert_eq!(placement(0).flow(45.0), Flow::Skewed);
    }

    #[test]
    fn surrogate_pairs_are_one_character() {
        assert_eq!(whole_character(0xD835, 0xDC44), '𝑄');
        assert_eq!(whole_character(0xDBFF, 0xDFFF), '\u{10FFFF}');
    }

    #[test]
    fn bold_fonts_by_name() {
        for (name, bold) in [
            ("ABCDEF+NimbusRomNo9L-Medi", true),
            ("CMBX12", true),
            ("HaranoAjiGothic-Medium", true),
            ("CMR10", false),
            ("Inter-Medium", false),
        ] {
            assert_eq!(is_bold(name), bold, "{name}");
        }
    }
}
