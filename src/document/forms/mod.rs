//! Documents as people and models read them.

mod html;
mod markdown;

pub use html::{escape, html};
pub use markdown::{markdown, tables};

use super::{Block, BlockKind, Document};

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

/// Some blocks as a model reads them: headings and tables in Markdown, all else as it is printed, without escapes.
pub fn for_model<'a>(blocks: impl Iterator<Item = &'a Block>) -> String {
    let block = |block: &Block| match &block.kind {
        BlockKind::Title => format!("# {}", block.text),
        BlockKind::Heading { level, .. } => {
            format!("{} {}", "#".repeat(usize::from(*level).clamp(1, 5) + 1), block.text)
        }
        BlockKind::Table { rows } if !rows.is_empty() => markdown::table_of(rows, |cell| cell.replace('|', "/")),
        _ => block.text.clone(),
    };
    blocks.map(block).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
pub mod tests {
    use super::super::{Page, Part, Source, Span};
    use super::*;

    /// A document of one page with a block of each kind that the forms treat in their own way.
    pub fn sample() -> Document {
        let table = BlockKind::Table { rows: vec![vec!["a|b".into(), "c".into()], vec!["1".into(), "<2>".into()]] };
        let kinds = [
            (BlockKind::Title, "On <Forms>"),
            (BlockKind::Heading { level: 2, number: Some("1.1".into()) }, "1.1 Method"),
            (BlockKind::Paragraph, "# no heading, *no* stress & <b>no tag</b>"),
            (BlockKind::ListItem, "• first"),
            (BlockKind::ListItem, "2. second"),
            (BlockKind::Formula, "E = mc^2"),
            (BlockKind::Code, "if a:\n    ```b```"),
            (table, "a|b\tc\n1\t<2>"),
            (BlockKind::Caption, "Table 1: Cells"),
            (BlockKind::Figure, "epoch"),
            (BlockKind::Footnote, "1 A note."),
        ];
        let span = Span { page: 1, bbox: [60.0, 80.0, 300.0, 160.0] };
        let block = |(kind, text): (BlockKind, &str)| {
            let part = if kind == BlockKind::Title { Part::Front } else { Part::Body };
            Block::new(kind, part, text, vec![span])
        };
        Document {
            title: Some("On <Forms>".into()),
            pages: vec![Page { number: 1, width: 600.0, height: 800.0, dropped: vec!["7".into()], ..Page::default() }],
            blocks: kinds.into_iter().map(block).collect(),
            ..Document::empty("a&b.pdf", Source::Pdf)
        }
    }

    #[test]
    fn the_body_is_its_running_text_alone() {
        let expected = "1.1 Method\n\n# no heading, *no* stress & <b>no tag</b>\n\n• first\n\n2. second";
        assert_eq!(body(&sample()), expected);
        assert!(text(&sample()).starts_with("On <Forms>\n\n1.1 Method") && text(&sample()).ends_with("1 A note."));
    }
}
