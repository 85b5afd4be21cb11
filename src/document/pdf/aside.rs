//! Text that runs across the page's own direction: axis labels, stamps, watermarks, a margin's notice.

use super::displays::Piece;
use super::heads;
use super::layout::Chunk;
use super::lines::{Frame, Style};
use super::paragraphs::Paragraphs;
use super::pdfium::Flow;
use super::words::Vocabulary;
use crate::document::{Block, BlockKind, Page, Part, Span};
use std::collections::{HashMap, HashSet};

/// A page's text of one such direction.
pub type Aside = (Frame, Vec<Chunk>);

/// Lines across the page's own direction that stand on three pages at least.
pub fn repeated<'a>(pages: impl Iterator<Item = &'a [Aside]>) -> HashSet<String> {
    let mut found: HashMap<String, HashSet<usize>> = HashMap::new();
    for (index, page) in pages.enumerate() {
        for line in page.iter().flat_map(|(_, chunks)| chunks).flat_map(|chunk| &chunk.lines) {
            if line.chars >= 12 {
                found.entry(heads::key(&line.text)).or_default().insert(index);
            }
        }
    }
    found.into_iter().filter(|(_, pages)| pages.len() >= 3).map(|(key, _)| key).collect()
}

/// Text across the page's own direction follows the page's text; stamps, watermarks, page numbers and what stands so on
/// other pages too are dropped.
pub fn blocks(
    page: &mut Page,
    aside: Vec<Aside>,
    part: Part,
    repeated: &HashSet<String>,
    (vocabulary, body): (&Vocabulary, Style),
) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (frame, chunks) in aside {
        let mut paragraphs = Paragraphs::new(vocabulary, body);
        for mut chunk in chunks {
            chunk.lines.retain(|line| {
                let watermark = frame.flow == Flow::Skewed && line.size > 1.5 * body.size;
                let drop =
                    watermark || heads::is_stamp(line, frame.height()) || repeated.contains(&heads::key(&line.text));
                if drop {
                    page.dropped.push(line.text.clone());
                }
                !drop
            });
            if !chunk.lines.is_empty() {
                paragraphs.add_page(0, vec![Piece::Prose(chunk)], &frame);
            }
        }
        blocks.extend(paragraphs.finish().into_iter().map(|draft| {
            let places = draft.places.into_iter();
            let spans = places.map(|(_, bbox)| Span { page: page.number, bbox: frame.on_page(bbox) }).collect();
            let kind = if draft.kind == BlockKind::Caption { draft.kind } else { BlockKind::Figure };
            Block::new(kind, part, draft.text, spans)
        }));
    }
    blocks
}
