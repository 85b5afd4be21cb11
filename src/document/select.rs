//! What of a paper goes to the model. All of it, unless the user leaves something out; and then it is said what.

use super::{Block, BlockKind, Document, Pages, Part, forms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Title, body and footnotes always go; these can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The reference list.
    pub references: bool,
    /// What follows the references, its tables included.
    pub appendix: bool,
    /// The tables of the appendix: in some papers most of the text.
    pub appendix_tables: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Selection { references: true, appendix: true, appendix_tables: true }
    }
}

/// A share of a document's text that goes to the model or stays out as a whole. Every block belongs to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// Title, authors.
    Front,
    /// From the abstract to the references, without tables and footnotes.
    Body,
    /// Those of the body.
    Tables,
    /// Those outside the appendix.
    Footnotes,
    References,
    /// Without its tables.
    Appendix,
    AppendixTables,
}

impl Share {
    pub const ALL: [Share; 7] = [
        Share::Front,
        Share::Body,
        Share::Tables,
        Share::Footnotes,
        Share::References,
        Share::Appendix,
        Share::AppendixTables,
    ];

    fn of(block: &Block) -> Share {
        match (block.part, &block.kind) {
            (Part::Appendix, BlockKind::Table { .. }) => Share::AppendixTables,
            (Part::Appendix, _) => Share::Appendix,
            (Part::References, _) => Share::References,
            (_, BlockKind::Table { .. }) => Share::Tables,
            (_, BlockKind::Footnote) => Share::Footnotes,
            (Part::Front, _) => Share::Front,
            (Part::Body, _) => Share::Body,
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Share::Front => "title and authors",
            Share::Body => "body",
            Share::Tables => "tables",
            Share::Footnotes => "footnotes",
            Share::References => "references",
            Share::Appendix => "appendix",
            Share::AppendixTables => "tables of the appendix",
        })
    }
}

/// How much a share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Portion {
    pub share: Share,
    pub blocks: usize,
    pub characters: usize,
}

/// What of a paper the model does not see, because the user wanted it so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    pub parts: Vec<Portion>,
    /// Numbers of the pages that were not asked for.
    pub pages: Vec<u32>,
}

impl LeftOut {
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.pages.is_empty()
    }
}

/// `references (2,113 characters), pages 4-9`.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(|part| format!("{} ({} characters)", part.share, part.characters));
        let pages = (!self.pages.is_empty()).then(|| {
            let plural = if self.pages.len() == 1 { "" } else { "s" };
            format!("page{plural} {}", Pages::of(&self.pages))
        });
        f.write_str(&parts.chain(pages).collect::<Vec<_>>().join(", "))
    }
}

impl Selection {
    pub fn sends(&self, share: Share) -> bool {
        match share {
            Share::Front | Share::Body | Share::Tables | Share::Footnotes => true,
            Share::References => self.references,
            Share::Appendix => self.appendix,
            Share::AppendixTables => self.appendix && self.appendix_tables,
        }
    }
}

impl Document {
    /// The text that goes to the model.
    pub fn select(&self, selection: &Selection) -> String {
        forms::for_model(self.chosen(selection))
    }

    /// The blocks that go to the model.
    pub fn chosen(&self, selection: &Selection) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| selection.sends(Share::of(block)))
    }

    /// The text of one share.
    pub fn share(&self, share: Share) -> String {
        forms::for_model(self.blocks.iter().filter(|block| Share::of(block) == share))
    }

    /// The shares that the document has.
    pub fn portions(&self) -> Vec<Portion> {
        let portion = |share| {
            let blocks = self.blocks.iter().filter(|block| Share::of(block) == share).count();
            Portion { share, blocks, characters: self.share(share).chars().count() }
        };
        Share::ALL.into_iter().map(portion).filter(|portion| portion.blocks > 0).collect()
    }

    /// What [`Document::select`] leaves out, and what was not read.
    pub fn left_out(&self, selection: &Selection) -> LeftOut {
        let mut parts = self.portions();
        parts.retain(|portion| !selection.sends(portion.share));
        let pages = self.pages.iter().filter(|page| page.skipped).map(|page| page.number).collect();
        LeftOut { parts, pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Page, Source};

    fn paper() -> Document {
        let table = || BlockKind::Table { rows: Vec::new() };
        let blocks = [
            (BlockKind::Title, Part::Front, "Title"),
            (BlockKind::Paragraph, Part::Body, "Text."),
            (table(), Part::Body, "a b"),
            (BlockKind::Footnote, Part::Body, "Note."),
            (BlockKind::Reference, Part::References, "[1] 論文."),
            (BlockKind::Paragraph, Part::Appendix, "More."),
            (table(), Part::Appendix, "c d"),
        ];
        let blocks = blocks.map(|(kind, part, text)| Block::new(kind, part, text, Vec::new())).to_vec();
        Document { blocks, ..Document::empty("x", Source::Pdf) }
    }

    #[test]
    fn everything_goes_unless_something_is_left_out() {
        let (paper, all) = (paper(), Selection::default());
        assert_eq!(paper.select(&all), format!("# {}", paper.text()));
        assert!(paper.left_out(&all).is_empty());
        let (no_references, no_tables) =
            (Selection { references: false, ..all }, Selection { appendix_tables: false, ..all });
        assert_eq!(paper.select(&no_references), "# Title\n\nText.\n\na b\n\nNote.\n\nMore.\n\nc d");
        assert_eq!(paper.select(&no_tables), "# Title\n\nText.\n\na b\n\nNote.\n\n[1] 論文.\n\nMore.");
        let no_appendix = Selection { appendix: false, ..all };
        assert_eq!(paper.select(&no_appendix), "# Title\n\nText.\n\na b\n\nNote.\n\n[1] 論文.");
    }

    #[test]
    fn what_is_left_out_is_told_in_full() {
        let mut paper = paper();
        paper.pages = (1..6).map(|number| Page { number, skipped: number > 3, ..Page::default() }).collect();
        let left_out = paper.left_out(&Selection { references: false, appendix: false, appendix_tables: true });
        assert_eq!(
            left_out.to_string(),
            "references (7 characters), appendix (5 characters), tables of the appendix (3 characters), pages 4-5"
        );
    }

    #[test]
    fn every_block_is_in_one_share() {
        let paper = paper();
        let portions = paper.portions();
        assert_eq!(portions.iter().map(|portion| portion.share).collect::<Vec<_>>(), Share::ALL);
        assert_eq!(portions.iter().map(|portion| portion.blocks).sum::<usize>(), paper.blocks.len());
    }
}
