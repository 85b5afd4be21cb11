//! PDF bytes → [`Document`]: the paper's text by page. Knows nothing of models.
//!
//! Glyphs come from PDFium ([`pdfium`]), are set right ([`glyphs`]), become lines ([`lines`]), are put in reading order
//! ([`layout`]), lose running heads ([`heads`]) and become paragraphs ([`paragraphs`], with [`words`] for what happens at
//! line ends).

mod glyphs;
mod heads;
mod input;
mod layout;
mod lines;
mod links;
mod marks;
mod paragraphs;
mod pdfium;
mod title;
mod warnings;
mod words;

use crate::{Error, Kind, Result};
use layout::Chunk;
use lines::Frame;
use links::Links;
use paragraphs::Paragraphs;
use pdfium::{Flow, Glyph, RawDocument};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use words::Vocabulary;

pub const SCHEMA_VERSION: u32 = 1;

/// A paper as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub schema_version: u32,
    /// File name, without folders.
    pub file: String,
    pub sha256: String,
    pub title: Option<String>,
    pub pages: Vec<Page>,
    /// URLs of the paper, from its annotations and from its text, each once, in order.
    pub links: Vec<Link>,
    /// What a reader of the result should know: pages without text, unmapped glyphs, …
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// In points.
    pub width: f32,
    pub height: f32,
    pub paragraphs: Vec<Paragraph>,
    /// Lines left out of the text: running heads, page numbers, the arXiv stamp.
    pub dropped: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paragraph {
    pub text: String,
    /// Left, top, right, bottom in points from the page's upper left corner.
    pub bbox: [f32; 4],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    pub url: String,
    /// Page of its first occurrence, from 1.
    pub page: u32,
    pub kind: LinkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    Code,
    Data,
    Other,
}

impl Document {
    /// Refuses what is plainly no PDF, without any PDF library.
    pub fn check(file: &Path) -> Result<()> {
        input::read_pdf(file).map(drop)
    }

    /// Reads `file` with the PDFium library at `library`. The whole text, always: what is left out stands in
    /// [`Page::dropped`], and what could not be read in [`Document::warnings`].
    ///
    /// Errors: [`Kind::Input`] (no such file, not a PDF, …), [`Kind::Password`], [`Kind::Damaged`], [`Kind::NoText`],
    /// [`Kind::Unavailable`] (the library), [`Kind::Interrupted`].
    pub fn read(library: &Path, file: &Path, password: Option<&str>) -> Result<Document> {
        let bytes = input::read_pdf(file)?;
        let raw = pdfium::read(library, file, &bytes, password)?;
        if raw.pages.iter().all(|page| page.glyphs.is_empty()) {
            return Err(no_text(file, raw.pages.len()));
        }
        let name = file.file_name().map_or_else(|| file.to_string_lossy(), |name| name.to_string_lossy());
        Ok(assemble(raw, name.into_owned(), hex(&Sha256::digest(&bytes))))
    }

    /// The whole text, paragraphs separated by an empty line.
    pub fn text(&self) -> String {
        let paragraphs = self.pages.iter().flat_map(|page| &page.paragraphs);
        paragraphs.map(|paragraph| paragraph.text.as_str()).collect::<Vec<_>>().join("\n\n")
    }

    /// The text of each page; a paragraph that goes on over a page's end is on the page where it starts.
    pub fn text_by_page(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        self.pages.iter().map(|page| {
            let paragraphs: Vec<&str> = page.paragraphs.iter().map(|paragraph| paragraph.text.as_str()).collect();
            (page.number, paragraphs.join("\n\n"))
        })
    }
}

fn no_text(file: &Path, pages: usize) -> Error {
    let pages = if pages == 1 { "its page holds".to_string() } else { format!("its {pages} pages hold") };
    let problem = format!("the PDF has no text layer: {pages} only images or outlines");
    Error::new(Kind::NoText, file.display(), problem)
        .hint("add a text layer with an OCR tool first, for example: ocrmypdf --force-ocr in.pdf out.pdf")
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A constant of this module as a regular expression.
fn pattern(pattern: &'static str) -> Regex {
    Regex::new(pattern).expect("a constant that the tests of its module use")
}

/// What a page is between glyphs and paragraphs.
struct LaidOut {
    /// Of the text that most of the page's glyphs belong to.
    frame: Frame,
    chunks: Vec<Chunk>,
    /// Text that runs in other directions: stamps, axis labels.
    aside: Vec<(Frame, Vec<Chunk>)>,
}

fn assemble(raw: RawDocument, file: String, sha256: String) -> Document {
    let mut warnings = warnings::of_reading(&raw);
    let (facts, glyphs): (Vec<_>, Vec<_>) =
        raw.pages.into_iter().map(|page| ((page.width, page.height, page.uris), page.glyphs)).unzip();
    let sizes: Vec<(f32, f32)> = facts.iter().map(|(width, height, _)| (*width, *height)).collect();
    let laid_out = lay_out(glyphs, &sizes);
    let (mut mains, rest): (Vec<_>, Vec<_>) =
        laid_out.into_iter().map(|page| (page.chunks, (page.frame, page.aside))).unzip();
    let heights: Vec<f32> = rest.iter().map(|(frame, _)| frame.height()).collect();
    let dropped = heads::drop_heads(&mut mains, &heights);

    let lines = || mains.iter().flatten().flat_map(|chunk| &chunk.lines);
    let body = lines::body_size(lines()).unwrap_or(10.0);
    let vocabulary = Vocabulary::of(lines());
    let title = mains.first().and_then(|first| title::title(first, body, raw.metadata_title.as_deref(), &vocabulary));
    let mut paragraphs = Paragraphs::default();
    for (index, chunks) in mains.iter().enumerate() {
        paragraphs.add_page(index, chunks, &vocabulary);
    }
    let drafts = paragraphs.finish(&vocabulary);

    let mut pages: Vec<Page> = (1..)
        .zip(sizes)
        .zip(dropped)
        .map(|((number, (width, height)), dropped)| Page { number, width, height, paragraphs: Vec::new(), dropped })
        .collect();
    for draft in drafts {
        let bbox = rest[draft.page].0.on_page(draft.bbox);
        pages[draft.page].paragraphs.push(Paragraph { text: draft.text, bbox });
    }
    for (page, (_, aside)) in pages.iter_mut().zip(rest) {
        add_aside(page, aside, &vocabulary);
    }
    let links = collect_links(&pages, facts.iter().map(|(_, _, uris)| uris.as_slice()));
    warnings.extend(warnings::of_text(&pages));
    Document { schema_version: SCHEMA_VERSION, file, sha256, title, pages, links, warnings }
}

fn lay_out(glyphs: Vec<Vec<Glyph>>, sizes: &[(f32, f32)]) -> Vec<LaidOut> {
    let mut pages = Vec::with_capacity(glyphs.len());
    for (glyphs, &(page_width, page_height)) in glyphs.into_iter().zip(sizes) {
        let mut groups = glyphs::by_flow(glyphs).into_iter().map(|(flow, glyphs)| {
            let frame = Frame { flow, page_width, page_height };
            (frame, lines::runs(&glyphs, &frame))
        });
        let main = groups.next().unwrap_or((Frame { flow: Flow::Right, page_width, page_height }, Vec::new()));
        pages.push((main, groups.collect::<Vec<_>>()));
    }
    let found: Vec<Option<f32>> = pages.iter().map(|((_, runs), _)| layout::gutter(runs)).collect();
    let mut certain: Vec<f32> = found.iter().flatten().copied().collect();
    certain.sort_by(f32::total_cmp);
    let usual = (certain.len() >= 2 && 2 * certain.len() >= pages.len()).then(|| certain[certain.len() / 2]);
    let mut laid_out = Vec::with_capacity(pages.len());
    for (((frame, runs), aside), found) in pages.into_iter().zip(found) {
        let gutter = found.or_else(|| layout::gutter_near(&runs, usual?));
        let chunks = layout::arrange(runs, gutter);
        let aside = aside.into_iter().map(|(frame, runs)| (frame, layout::arrange(runs, None))).collect();
        laid_out.push(LaidOut { frame, chunks, aside });
    }
    laid_out
}

/// Text across the page's own direction follows the page's text; stamps are dropped.
fn add_aside(page: &mut Page, aside: Vec<(Frame, Vec<Chunk>)>, vocabulary: &Vocabulary) {
    for (frame, chunks) in aside {
        let mut paragraphs = Paragraphs::default();
        for mut chunk in chunks {
            chunk.lines.retain(|line| {
                let stamp = heads::is_arxiv_stamp(&line.text);
                if stamp {
                    page.dropped.push(line.text.clone());
                }
                !stamp
            });
            if !chunk.lines.is_empty() {
                paragraphs.add_page(0, &[chunk], vocabulary);
            }
        }
        let drafts = paragraphs.finish(vocabulary);
        page.paragraphs
            .extend(drafts.into_iter().map(|draft| Paragraph { text: draft.text, bbox: frame.on_page(draft.bbox) }));
    }
}

fn collect_links<'a>(pages: &[Page], uris: impl Iterator<Item = &'a [String]>) -> Vec<Link> {
    let mut links = Links::default();
    for (page, uris) in pages.iter().zip(uris) {
        uris.iter().for_each(|uri| links.add_uri(uri, page.number));
        page.paragraphs.iter().for_each(|paragraph| links.add_text(&paragraph.text, page.number));
    }
    links.finish()
}
