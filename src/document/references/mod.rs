//! The reference list: blocks → [`Reference`]s, and the [`Citation`]s that name them.
//!
//! [`entries`] makes each entry whole, [`identifiers`] finds DOI, arXiv id, URL and years, [`names`] where the authors end,
//! [`fields`] the title between them and the venue; [`citations`] and [`named`] link the text to the entries. How a list is set (whether names are turned round, whether the year
//! comes first) is decided by most of its entries, because one alone is often ambiguous.

mod citations;
mod entries;
mod fields;
mod identifiers;
mod named;
mod names;
mod text;

use super::{Block, Citation, Reference};
use fields::{Fields, Style};

/// The entries of the paper's reference list and the places of its text that name them.
pub fn read(blocks: &[Block]) -> (Vec<Reference>, Vec<Citation>) {
    let fields = list(blocks);
    let citations = citations::citations(blocks, &fields);
    (fields.into_iter().map(|fields| fields.reference).collect(), citations)
}

fn list(blocks: &[Block]) -> Vec<Fields> {
    let entries = entries::entries(blocks);
    let bodies: Vec<&str> = entries.iter().filter_map(|entry| entry.text.get(entry.body..)).collect();
    let style = Style::of(&bodies);
    let fields = bodies.iter().map(|body| fields::parse(body, style)).collect::<Vec<_>>();
    let with_text = |(entry, fields): (entries::Entry, Fields)| {
        let reference = Reference { label: entry.label, text: entry.text, block: entry.block, ..fields.reference };
        Fields { reference, ..fields }
    };
    entries.into_iter().zip(fields).map(with_text).collect()
}
