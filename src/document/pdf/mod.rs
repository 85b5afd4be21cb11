//! A PDF's bytes → [`Document`].
//!
//! Glyphs come from PDFium ([`pdfium`]), are set right ([`glyphs`]), become runs ([`runs`]) and
//! lines ([`lines`]), are put in reading order ([`layout`]), lose running heads ([`heads`]), are
//! told apart from tables, formulas, code and figures ([`displays`]) and become paragraphs
//! ([`paragraphs`], with [`breaks`] for where they begin, [`words`] for what happens at line ends
//! and [`kinds`] and [`notes`] for what they are), which go on over columns and pages ([`flow`]).
//! [`structure`] finds the paper's parts, with [`front`] for title and authors and [`headings`] for
//! numbers and levels.

mod aside;
mod breaks;
mod displays;
mod drawn;
mod faces;
mod flow;
mod fragments;
mod front;
mod glyphs;
mod gutters;
mod headings;
mod heads;
mod kinds;
mod layout;
mod letters;
mod lines;
pub(super) mod marks;
mod notes;
mod paragraphs;
mod pdfium;
mod pictures;
mod quality;
mod recognised;
mod restrictions;
mod runs;
mod structure;
mod title;
mod warnings;
mod words;

use super::links::{Links, Place};
use super::{Block, Document, Link, Page, Part, Picture, ReadOptions, Source, Span};
use super::{ocr, references};
use crate::{Error, Kind, Result};
use aside::Aside;
use displays::Sheet;
use drawn::Drawn;
use layout::Chunk;
pub use letters::is_cjk;
use lines::{Frame, Line, Style};
use paragraphs::{Draft, Paragraphs};
use pdfium::{Flow, Glyph, LinkedUri, RawDocument};
use quality::Verdict;
use rayon::prelude::*;
use std::path::Path;
use words::Vocabulary;

pub use pdfium::prepare;

/// Reads the PDF in `bytes`; `file` is what errors name. The document's own name and hash are left to the caller.
pub fn read(file: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Document> {
    let mut raw = pdfium::read(&options.library, file, bytes, options.password.as_deref())?;
    let mut verdicts = quality::judge(&mut raw);
    recognised::put(&mut raw, &mut verdicts, &options.recognised, options.ocr.languages());
    if !options.keep_refused && raw.pages.iter().all(|page| page.glyphs.is_empty()) {
        return Err(no_text(file, &verdicts));
    }
    let mut document = assemble(raw, verdicts);
    if restrictions::forbids_copying(bytes) {
        document.warnings.insert(0, "its owner forbids copying its text".into());
    }
    Ok(document)
}

/// `page`, from 1, as a picture of so many dots to an inch.
pub fn picture(file: &Path, bytes: &[u8], options: &ReadOptions, page: u32, resolution: f32) -> Result<ocr::Picture> {
    pdfium::picture(&options.library, file, bytes, options.password.as_deref(), page, resolution)
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
        .hint(format!("{}, or add a text layer first: ocrmypdf --force-ocr in.pdf out.pdf", super::ocr::HINT))
}

/// What a page is between glyphs and paragraphs.
struct LaidOut {
    /// Of the text that most of the page's glyphs belong to.
    frame: Frame,
    chunks: Vec<Chunk>,
    /// Text that runs in other directions: stamps, axis labels.
    aside: Vec<Aside>,
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
    let split = |((chunks, (frame, _)), (.., drawn)): ((&Vec<Chunk>, &(Frame, _)), &(_, _, _, Drawn))| {
        displays::split(chunks, &Sheet::new(drawn, frame, body.size))
    };
    let split: Vec<_> = mains.par_iter().zip(&rest).zip(&facts).map(split).collect();
    for (index, (chunks, (frame, _))) in split.into_iter().zip(&rest).enumerate() {
        paragraphs.add_page(index, chunks, frame);
    }
    let mut drafts = paragraphs.finish();
    let slides = 2 * rest.iter().filter(|(frame, _)| frame.is_wide()).count() > rest.len();
    let (parts, authors) = structure::structure(&mut drafts, title.as_deref(), slides);

    let mut pages: Vec<Page> = (1..)
        .zip(sizes)
        .zip(dropped)
        .zip(verdicts)
        .map(|(((number, (width, height)), dropped), Verdict { quality, reason, hidden, .. })| Page {
            number,
            width,
            height,
            text_quality: quality,
            reason,
            dropped: [hidden, dropped].concat(),
            ..Page::default()
        })
        .collect();
    let frames: Vec<Frame> = rest.iter().map(|(frame, _)| *frame).collect();
    let mut blocks: Vec<Block> =
        drafts.into_iter().zip(parts).map(|(draft, part)| block(draft, part, &frames)).collect();
    let repeated = aside::repeated(rest.iter().map(|(_, aside)| aside.as_slice()));
    for (page, (_, aside)) in pages.iter_mut().zip(rest) {
        let at = blocks.iter().rposition(|block: &Block| block.page() <= page.number).map_or(0, |last| last + 1);
        let part = at.checked_sub(1).map_or(Part::Body, |before| blocks[before].part);
        blocks.splice(at..at, aside::blocks(page, aside, part, &repeated, (&vocabulary, body)));
    }
    let links = || collect_links(&blocks, facts.iter().map(|(_, _, uris, _)| uris.as_slice()));
    let ((references, citations), links) = rayon::join(|| references::read(&blocks), links);
    let source = Document::empty("", Source::Pdf);
    Document { title, authors, pages, blocks, references, citations, links, warnings, ..source }
}

/// A paragraph at its places, of which each page has its own frame.
fn block(draft: Draft, part: Part, frames: &[Frame]) -> Block {
    let span = |(page, bbox): (usize, lines::Rect)| Span { page: page as u32 + 1, bbox: frames[page].on_page(bbox) };
    Block::new(draft.kind, part, draft.text, draft.places.into_iter().map(span).collect())
}

fn lay_out(glyphs: Vec<Vec<Glyph>>, sizes: &[(f32, f32)]) -> Vec<LaidOut> {
    let pages: Vec<_> = glyphs.into_par_iter().zip(sizes).map(|(glyphs, size)| groups(glyphs, *size)).collect();
    let found: Vec<Vec<f32>> = pages.par_iter().map(|((_, runs), _)| gutters::gutters(runs)).collect();
    let usual = gutters::usual(&found);
    let arrange = |(((frame, runs), aside), found): ((Group, Vec<Group>), Vec<f32>)| {
        let expected = usual.as_ref().filter(|usual| found.len() < usual.len());
        let gutters = expected.and_then(|usual| gutters::near(&runs, usual)).unwrap_or(found);
        let chunks = layout::arrange(runs, &gutters);
        let aside = aside.into_iter().map(|(frame, runs)| (frame, layout::arrange(runs, &[]))).collect();
        LaidOut { frame, chunks, aside }
    };
    pages.into_par_iter().zip(found).map(arrange).collect()
}

/// Runs of a page that go the same way.
type Group = (Frame, Vec<Line>);

/// The runs of a page's text, and those that go other ways.
fn groups(glyphs: Vec<Glyph>, (page_width, page_height): (f32, f32)) -> (Group, Vec<Group>) {
    let runs = |(flow, glyphs): (Flow, Vec<Glyph>)| {
        let frame = Frame { flow, page_width, page_height };
        (frame, runs::runs(&glyphs, &frame))
    };
    let mut groups: Vec<Group> = glyphs::by_flow(glyphs).into_iter().map(runs).collect();
    // Labels of a figure may outnumber the words around it: where a caption stands, the page runs.
    let captioned = |(_, runs): &Group| runs.iter().any(|run| marks::is_caption(&run.text));
    let main = groups.iter().position(captioned).unwrap_or(0);
    let main = if groups.is_empty() {
        (Frame { flow: Flow::Right, page_width, page_height }, Vec::new())
    } else {
        groups.remove(main)
    };
    (main, groups)
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
