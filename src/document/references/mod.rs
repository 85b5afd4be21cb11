//! The reference list: blocks → [`Reference`]s, and the [`Citation`]s that name them.
//!
//! [`entries`] makes each entry whole, [`identifiers`] finds DOI, arXiv id, URL and years, [`names`] where the authors end,
//! [`fields`] the title between them and the venue; [`citations`] and [`named`] link the text to the entries. How a list is
//! set (whether names are turned round, whether the year comes first) is decided by most of its entries, because one alone
//! is often ambiguous.

mod citations;
mod entries;
mod fields;
mod identifiers;
mod named;
mod names;
mod text;

use super::{Block, BlockKind, Citation, Reference};
use entries::Entry;
use fields::{Fields, Style};
use rayon::prelude::*;

/// The entries of the paper's reference list and the places of its text that name them.
pub fn read(blocks: &[Block]) -> (Vec<Reference>, Vec<Citation>) {
    complete(blocks, Vec::new(), Vec::new())
}

/// The same of a paper whose source may have told its entries and citations apart: what it told is kept, what it left open
/// is read out of the text.
pub fn complete(blocks: &[Block], told: Vec<Reference>, cited: Vec<Citation>) -> (Vec<Reference>, Vec<Citation>) {
    let entries = if told.is_empty() { entries::entries(blocks) } else { entries::told(&told) };
    let mut list = parse(&entries);
    for (fields, told) in list.iter_mut().zip(told) {
        fields.reference = filled(told, std::mem::take(&mut fields.reference));
    }
    // Sources mark their citations or do not; but the cells of a table are kept as mere text.
    let found = citations::citations(blocks, &list).into_iter();
    let is_table = |citation: &Citation| matches!(blocks[citation.block].kind, BlockKind::Table { .. });
    let mut citations: Vec<Citation> = found.filter(|found| cited.is_empty() || is_table(found)).collect();
    citations.extend(cited);
    citations.sort_by_key(|citation| (citation.block, citation.start));
    (list.into_iter().map(|fields| fields.reference).collect(), citations)
}

fn parse(entries: &[Entry]) -> Vec<Fields> {
    let bodies: Vec<&str> = entries.iter().map(|entry| entry.text.get(entry.body..).unwrap_or_default()).collect();
    let style = Style::of(&bodies);
    let with_text = |(entry, body): (&Entry, &str)| {
        let fields = fields::parse(body, style);
        let reference =
            Reference { label: entry.label.clone(), text: entry.text.clone(), block: entry.block, ..fields.reference };
        Fields { reference, ..fields }
    };
    entries.par_iter().zip(bodies).map(with_text).collect()
}

/// What the source told of an entry, and what was read in its text where it told nothing. A source that names the title has
/// the entry's fields: there, what is missing does not exist.
fn filled(told: Reference, read: Reference) -> Reference {
    let (authors, venue) = match told.title {
        Some(_) => (told.authors, told.venue),
        None => (read.authors, read.venue),
    };
    Reference {
        label: told.label.or(read.label),
        text: read.text,
        authors,
        title: told.title.or(read.title),
        year: told.year.or(read.year),
        venue,
        doi: told.doi.or(read.doi),
        arxiv: told.arxiv.or(read.arxiv),
        url: told.url.or(read.url),
        block: told.block,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Part;

    fn complete_list(told: &[Reference], cited: Vec<Citation>) -> (Vec<Reference>, Vec<Citation>) {
        let block = |kind, part, text: &str| Block::new(kind, part, text, Vec::new());
        let mut blocks = vec![block(BlockKind::Paragraph, Part::Body, "As [1] and [2] say.")];
        blocks.extend(told.iter().map(|told| block(BlockKind::Reference, Part::References, &told.text)));
        complete(&blocks, told.to_vec(), cited)
    }

    fn told(block: usize, label: &str, text: &str) -> Reference {
        Reference { label: Some(label.into()), text: text.into(), block, ..Reference::default() }
    }

    #[test]
    fn the_text_fills_what_the_source_left_open() {
        let text = "[1] Ada Lovelace and Alan Turing. Notes on engines.\nIn Proceedings, 1843. doi:10.1000/182.";
        let (list, citations) =
            complete_list(&[told(1, "1", text), told(2, "2", "[2] Turing. Numbers. 1936.")], vec![]);
        let first = &list[0];
        assert_eq!(first.authors, ["Ada Lovelace", "Alan Turing"]);
        assert_eq!((first.title.as_deref(), first.year), (Some("Notes on engines"), Some(1843)));
        assert_eq!((first.venue.as_deref(), first.doi.as_deref()), (Some("Proceedings"), Some("10.1000/182")));
        assert_eq!((first.label.as_deref(), first.block, list[1].block), (Some("1"), 1, 2));
        assert!(!first.text.contains('\n') && first.text.starts_with("[1] Ada"), "{}", first.text);
        let cited: Vec<_> = citations.iter().map(|citation| citation.references.as_slice()).collect();
        assert_eq!(cited, [[0], [1]]);
    }

    #[test]
    fn what_the_source_told_is_kept() {
        let text = "[1] The Engine Group. Notes on engines. 1843.";
        let fields = Reference { title: Some("Notes".into()), year: Some(1842), ..told(1, "1", text) };
        let citation = Citation { text: "As".into(), block: 0, start: 0, references: vec![0] };
        let (list, citations) = complete_list(&[fields], vec![citation.clone()]);
        assert_eq!((list[0].title.as_deref(), list[0].year), (Some("Notes"), Some(1842)));
        assert!(list[0].authors.is_empty() && list[0].venue.is_none(), "{:?}", list[0]);
        assert_eq!(citations, [citation]);
    }
}
