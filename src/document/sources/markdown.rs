//! Markdown → blocks, with tables, footnotes and formulas between dollars.

use super::draft::Draft;
use super::html;
use super::inline::Inline;
use crate::document::{BlockKind, Document, Part, Source};
use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};

pub fn read(text: &str) -> Document {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_MATH
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let titled = has_one_title(text, options);
    let mut reader = Reader { draft: Draft::new(Source::Markdown), titled, ..Reader::default() };
    Parser::new_ext(text, options).for_each(|event| reader.take(event));
    reader.flush(BlockKind::Paragraph);
    reader.draft.finish()
}

/// One heading of the first level, before all others, is the title; then sections start at the second.
fn has_one_title(text: &str, options: Options) -> bool {
    let levels: Vec<HeadingLevel> = Parser::new_ext(text, options)
        .filter_map(|event| match event {
            Event::Start(Tag::Heading { level, .. }) => Some(level),
            _ => None,
        })
        .collect();
    levels.first() == Some(&HeadingLevel::H1) && levels.iter().filter(|level| **level == HeadingLevel::H1).count() == 1
}

struct Reader {
    draft: Draft,
    titled: bool,
    text: Inline,
    /// What a list counts; bullets count nothing.
    lists: Vec<Option<u64>>,
    /// The kind of paragraphs: of items and footnotes their own.
    kinds: Vec<BlockKind>,
    /// Lines of code, of front matter or of HTML.
    verbatim: Option<String>,
    rows: Vec<Vec<String>>,
    /// The paragraph holds a picture, and nothing else yet.
    picture: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Reader {
            draft: Draft::new(Source::Markdown),
            titled: false,
            text: Inline::default(),
            lists: Vec::new(),
            kinds: Vec::new(),
            verbatim: None,
            rows: Vec::new(),
            picture: false,
        }
    }
}

impl Reader {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) => match &mut self.verbatim {
                Some(lines) => lines.push_str(&text),
                None => self.text.push_str(&text),
            },
            Event::Code(text) => self.text.push_str(&text),
            Event::InlineMath(math) => self.text.push_str(&format!("${math}$")),
            Event::DisplayMath(math) => {
                self.flush(BlockKind::Paragraph);
                self.draft.push_lines(BlockKind::Formula, math.trim());
            }
            Event::InlineHtml(tag) if tag.starts_with("<br") => self.text.push(' '),
            Event::SoftBreak | Event::HardBreak => self.text.push(' '),
            Event::TaskListMarker(done) => self.text.push_str(if done { "[x] " } else { "[ ] " }),
            Event::InlineHtml(_) | Event::FootnoteReference(_) | Event::Rule => {}
        }
    }

    fn start(&mut self, tag: Tag) {
        match tag {
            Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::MetadataBlock(_) => {
                self.flush(BlockKind::Paragraph);
                self.verbatim = Some(String::new());
            }
            Tag::List(start) => {
                self.flush(BlockKind::Paragraph);
                self.lists.push(start);
            }
            Tag::Item => {
                self.kinds.push(BlockKind::ListItem);
                match self.lists.last_mut() {
                    Some(Some(number)) => {
                        self.text.push_str(&format!("{number}. "));
                        *number += 1;
                    }
                    _ => self.text.push_str("• "),
                }
            }
            Tag::FootnoteDefinition(_) => {
                self.flush(BlockKind::Paragraph);
                self.kinds.push(BlockKind::Footnote);
            }
            Tag::Table(_) | Tag::Heading { .. } => self.flush(BlockKind::Paragraph),
            Tag::TableRow | Tag::TableHead => self.rows.push(Vec::new()),
            Tag::Link { dest_url, .. } => self.draft.link(&dest_url),
            Tag::Image { .. } => self.picture = self.text.is_empty(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level as u8),
            TagEnd::Paragraph => {
                let kind = if self.picture { BlockKind::Caption } else { BlockKind::Paragraph };
                self.flush(kind);
            }
            TagEnd::Item | TagEnd::FootnoteDefinition => {
                self.flush(BlockKind::Paragraph);
                self.kinds.pop();
            }
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::CodeBlock => {
                let lines = self.verbatim.take().unwrap_or_default();
                self.draft.push_lines(BlockKind::Code, &lines);
            }
            TagEnd::HtmlBlock => {
                let lines = self.verbatim.take().unwrap_or_default();
                html::read_into(&mut self.draft, &lines);
            }
            TagEnd::MetadataBlock(MetadataBlockKind::YamlStyle) => {
                let lines = self.verbatim.take().unwrap_or_default();
                self.metadata(&lines);
            }
            TagEnd::TableCell => {
                let (cell, _) = std::mem::take(&mut self.text).finish();
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.draft.table(std::mem::take(&mut self.rows)),
            _ => {}
        }
    }

    fn heading(&mut self, level: u8) {
        let text = std::mem::take(&mut self.text);
        match (self.titled, level) {
            (true, 1) => self.draft.title(text),
            (true, _) => self.draft.heading(level - 1, None, text),
            (false, _) => self.draft.heading(level, None, text),
        }
    }

    /// Ends a paragraph.
    fn flush(&mut self, kind: BlockKind) {
        let text = std::mem::take(&mut self.text);
        self.picture = false;
        let in_references = self.draft.part() == Part::References;
        // What follows in an item is a paragraph of its own.
        let kind = match self.kinds.last_mut() {
            _ if in_references => BlockKind::Reference,
            Some(kind) if text.is_empty() => kind.clone(),
            Some(BlockKind::ListItem) => {
                self.kinds.last_mut().map_or(kind, |kept| std::mem::replace(kept, BlockKind::Paragraph))
            }
            Some(kept) => kept.clone(),
            None => kind,
        };
        match kind {
            BlockKind::Paragraph => self.draft.paragraph(text),
            kind => self.draft.push(kind, text),
        }
    }

    /// Title and authors of a YAML block, where they stand on lines of their own.
    fn metadata(&mut self, yaml: &str) {
        let value = |line: &str, key: &str| {
            let value = line.strip_prefix(key)?.trim_start().strip_prefix(':')?.trim();
            Some(value.trim_matches(['"', '\'']).to_string())
        };
        let mut in_authors = false;
        for line in yaml.lines() {
            if let Some(title) = value(line, "title") {
                self.draft.title(Inline::of(&title));
            }
            let names = value(line, "authors").or_else(|| value(line, "author"));
            match (names, line.trim_start().strip_prefix("- ")) {
                (Some(names), _) => {
                    in_authors = true;
                    names
                        .trim_matches(['[', ']'])
                        .split(',')
                        .for_each(|name| self.draft.add_author(name.trim_matches([' ', '"', '\''])));
                }
                (None, Some(name)) if in_authors => {
                    self.draft.add_author(name.trim_start_matches("name:").trim_matches([' ', '"', '\'']))
                }
                _ => in_authors = false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paper_in_markdown_has_its_parts() {
        let document = read(include_str!("../../../tests/fixtures/sources/paper.md"));
        let found: Vec<_> =
            document.blocks.iter().map(|block| (&block.kind, block.part, block.text.as_str())).collect();
        let heading = |level, number: Option<&str>| BlockKind::Heading { level, number: number.map(str::to_string) };
        let rows = vec![vec!["Model".to_string(), "Score".into()], vec!["Ours".into(), "0.9".into()]];
        let expected = [
            (&BlockKind::Title, Part::Front, "Small Papers"),
            (&BlockKind::Paragraph, Part::Front, "Ann Author, Bob Writer"),
            (&heading(1, None), Part::Body, "Abstract"),
            (&BlockKind::Paragraph, Part::Body, "We write small papers with $e = mc^2$ in them, see the code."),
            (&heading(1, Some("1")), Part::Body, "1 Methods"),
            (&BlockKind::ListItem, Part::Body, "1. first"),
            (&BlockKind::ListItem, Part::Body, "• inner"),
            (&BlockKind::ListItem, Part::Body, "2. second"),
            (&BlockKind::Formula, Part::Body, "\\sum_i x_i"),
            (&BlockKind::Table { rows }, Part::Body, "Model | Score\nOurs | 0.9"),
            (&BlockKind::Caption, Part::Body, "Table 1: Scores."),
            (&BlockKind::Code, Part::Body, "for x in y:\n    print(x)"),
            (&BlockKind::Caption, Part::Body, "Figure 1: A curve."),
            (&BlockKind::Footnote, Part::Body, "A note."),
            (&heading(1, None), Part::References, "References"),
            (&BlockKind::Reference, Part::References, "1. A. Author. A title. 2020."),
        ];
        assert_eq!(found, expected);
        assert_eq!(document.title.as_deref(), Some("Small Papers"));
        assert_eq!(document.links.iter().map(|link| link.url.as_str()).collect::<Vec<_>>(), ["https://github.com/a/b"]);
    }

    #[test]
    fn front_matter_names_title_and_authors() {
        let document = read(
            "---\ntitle: \"A Title\"\nauthor:\n  - Ann Author\n  - Bob Writer\ndate: 2020\n---\n\n# First\n\nx\n\n# Second\n\ny",
        );
        assert_eq!(document.title.as_deref(), Some("A Title"));
        assert_eq!(document.authors, ["Ann Author", "Bob Writer"]);
        assert_eq!(document.blocks.iter().filter(|block| block.is_heading()).count(), 2);
    }

    #[test]
    fn hostile_markdown_is_read() {
        for text in ["> ".repeat(20_000), "[".repeat(20_000), "- ".repeat(5_000), "|a|\n|-|\n".repeat(3_000)] {
            read(&text);
        }
    }
}
