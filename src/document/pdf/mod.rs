//! A PDF's bytes → [`Document`].
//!
//! Glyphs come from PDFium ([`pdfium`]), are set right ([`glyphs`]), become lines ([`lines`]), are put in reading order
//! ([`layout`]), lose running heads ([`heads`]), are told apart from tables, formulas, code and figures ([`displays`]) and
//! become paragraphs ([`paragraphs`], with [`words`] for what happens at line ends and [`kinds`] and [`notes`] for what
//! they are), which go on over columns and pages ([`flow`]). [`structure`] finds the paper's parts, with [`front`] for title
//! and authors and [`headings`] for numbers and levels.

mod displays;
mod drawn;
mod faces;
mod flow;
mod fragments;
mod front;
mod glyphs;
mod headings;
mod heads;
mod kinds;
mod layout;
mod lines;
mod marks;
mod notes;
mod paragraphs;
mod pdfium;
mod pictures;
mod quality;
mod structure;
mod title;
mod warnings;
mod words;

use super::links::{Links, Place};
use super::references;
use super::{Block, BlockKind, Document, Link, Page, Part, Picture, ReadOptions, Source, Span};
use crate::{Error, Kind, Result};
use displays::{Piece, Sheet};
use layout::Chunk;
use lines::{Frame, Style};
use paragraphs::{Draft, Paragraphs};
use pdfium::{Flow, Glyph, LinkedUri, RawDocument};
use quality::Verdict;
use std::path::Path;
use words::Vocabulary;
pub use words::is_cjk;

pub use pdfium::prepare;

/// Reads the PDF in `bytes`; `file` is what errors name. The document's own name and hash are left to the caller.
pub fn read(file: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Document> {
    let mut raw = pdfium::read(&options.library, file, bytes, options.password.as_deref())?;
    let verdicts = quality::judge(&mut raw);
    if raw.pages.iter().all(|page| page.glyphs.is_empty()) {
        return Err(no_text(file, &verdicts));
    }
    Ok(assemble(raw, verdicts))
}

/// The pages of the PDF in `bytes` as pictures of `width` pixels.
pub fn pictures(file: &Path, bytes: &[u8], options: &ReadOptions, width: u16) -> Result<Vec<Picture>> {
    pictures::render(&options.library, file, bytes, options.password.as_deref(), width)
}

fn no_text(file: &Path, verdicts: &[Verdict]) -> Error {
    let reason = verdicts.iter().find_map(|verdict| verdict.reason.as_deref().or(verdict.note.as_deref()));
    let problem = match (verdicts.len(), reason) {
        (1, Some(reason)) => format!("the PDF has no text that can be read: its page: {reason}"),
        (pages, Some(reason)) => format!("the PDF has no text that can be read: on its {pages} pages: {reason}"),
        (pages, None) => format!("the PDF has no text on its {pages} pages"),
    };
    Error::new(Kind::NoText, file.display(), problem)
        .hint("add a text layer with an OCR tool first, for example: ocrmypdf --force-ocr in.pdf out.pdf")
}

/// What a page is between glyphs and paragraphs.
struct LaidOut {
    /// Of the text that most of the page's glyphs belong to.
    frame: Frame,
    chunks: Vec<Chunk>,
    /// Text that runs in other directions: stamps, axis labels.
    aside: Vec<(Frame, Vec<Chunk>)>,
}

fn assemble(raw: RawDocument, verdicts: Vec<Verdict>) -> Document {
    let warnings = warnings::of_reading(&raw, &verdicts);
    let (facts, glyphs): (Vec<_>, Vec<_>) =
        raw.pages.into_iter().map(|page| ((page.width, page.height, page.uris, page.drawn), page.glyphs)).unzip();
    let sizes: Vec<(f32, f32)> = facts.iter().map(|(width, height, ..)| (*width, *height)).collect();
    let laid_out = lay_out(glyphs, &sizes);
    let (mut mains, rest): (Vec<_>, Vec<_>) =
        laid_out.into_iter().map(|page| (page.chunks, (page.frame, page.aside))).unzip();
    let heights: Vec<f32> = rest.iter().map(|(frame, _)| frame.height()).collect();
    let dropped = heads::drop_heads(&mut mains, &heights);

    let lines = || mains.iter().flatten().flat_map(|chunk| &chunk.lines);
    let body = Style::of(lines()).unwrap_or(Style { size: 10.0, bold: false });
    let vocabulary = Vocabulary::of(lines());
    let metadata = raw.metadata_title.as_deref();
    let title = mains.first().and_then(|first| title::title(first, body.size, metadata, &vocabulary));
    let mut paragraphs = Paragraphs::new(&vocabulary, body);
    for (index, (chunks, (frame, _))) in mains.iter().zip(&rest).enumerate() {
        let sheet = Sheet::new(&facts[index].3, frame, body.size);
        paragraphs.add_page(index, displays::split(chunks, &sheet), frame);
    }
    let mut drafts = paragraphs.finish();
    let slides = 2 * rest.iter().filter(|(frame, _)| frame.is_wide()).count() > rest.len();
    let (parts, authors) = structure::structure(&mut drafts, title.as_deref(), slides);

    let mut pages: Vec<Page> = (1..)
        .zip(sizes)
        .zip(dropped)
        .zip(verdicts)
        .map(|(((number, (width, height)), dropped), Verdict { quality, reason, .. })| Page {
            number,
            width,
            height,
            text_quality: quality,
            reason,
            dropped,
        })
        .collect();
    let frames: Vec<Frame> = rest.iter().map(|(frame, _)| *frame).collect();
    let mut blocks: Vec<Block> =
        drafts.into_iter().zip(parts).map(|(draft, part)| block(draft, part, &frames)).collect();
    for (page, (_, aside)) in pages.iter_mut().zip(rest) {
        let at = blocks.iter().rposition(|block: &Block| block.page() <= page.number).map_or(0, |last| last + 1);
        let part = at.checked_sub(1).map_or(Part::Body, |before| blocks[before].part);
        blocks.splice(at..at, aside_blocks(page, aside, part, &vocabulary, body));
    }
    let (references, citations) = references::read(&blocks);
    let links = collect_links(&blocks, facts.iter().map(|(_, _, uris, _)| uris.as_slice()));
    let source = Document::empty("", Source::Pdf);
    Document { title, authors, pages, blocks, references, citations, links, warnings, ..source }
}

/// A paragraph at its places, of which each page has its own frame.
fn block(draft: Draft, part: Part, frames: &[Frame]) -> Block {
    let span = |(page, bbox): (usize, lines::Rect)| Span { page: page as u32 + 1, bbox: frames[page].on_page(bbox) };
    Block::new(draft.kind, part, draft.text, draft.places.into_iter().map(span).collect())
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
fn aside_blocks(
    page: &mut Page,
    aside: Vec<(Frame, Vec<Chunk>)>,
    part: Part,
    vocabulary: &Vocabulary,
    body: Style,
) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (frame, chunks) in aside {
        let mut paragraphs = Paragraphs::new(vocabulary, body);
        for mut chunk in chunks {
            chunk.lines.retain(|line| {
                let stamp = heads::is_arxiv_stamp(&line.text);
                if stamp {
                    page.dropped.push(line.text.clone());
                }
                !stamp
            });
            if !chunk.lines.is_empty() {
                paragraphs.add_page(0, vec![Piece::Prose(chunk)], &frame);
            }
        }
        blocks.extend(paragraphs.finish().into_iter().map(|draft| {
            let places = draft.places.into_iter();
            let spans = places.map(|(_, bbox)| Span { page: page.number, bbox: frame.on_page(bbox) }).collect();
            Block::new(BlockKind::Figure, part, draft.text, spans)
        }));
    }
    blocks
}

fn collect_links<'a>(blocks: &[Block], uris: impl Iterator<Item = &'a [LinkedUri]>) -> Vec<Link> {
    let mut links = Links::default();
    for (page, uris) in (1..).zip(uris) {
        uris.iter().for_each(|linked| links.add_uri(&linked.uri, Place { page, bbox: linked.bbox }));
        for block in blocks.iter().filter(|block| block.page() == page) {
            let bbox = block.spans.first().map(|span| span.bbox);
            links.add_text(&block.text, Place { page, bbox });
        }
    }
    links.finish()
}
