//! Documents as people and models read them.

use super::{Block, Document};

/// The whole text, blocks separated by an empty line.
pub fn text(document: &Document) -> String {
    text_of(document.blocks.iter())
}

/// The running text of the body: headings, paragraphs and lists, without captions, tables, displayed formulas, notes.
pub fn body(document: &Document) -> String {
    text_of(document.blocks.iter().filter(|block| block.is_body()))
}

/// The text of some blocks.
pub fn text_of<'a>(blocks: impl Iterator<Item = &'a Block>) -> String {
    blocks.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n\n")
}
