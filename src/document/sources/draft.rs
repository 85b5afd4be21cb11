//! A [`Document`] as it is put together from text that says what its parts are.

use super::inline::Inline;
use crate::document::links::Links;
use crate::document::pdf::marks;
use crate::document::{Block, BlockKind, Citation, Document, Page, Part, Reference, Source, Span, pattern};
use regex::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A paragraph of the front matter that is as long as this, in characters, is where the body starts.
const LONG: usize = 300;
/// More authors than any paper has.
const MOST_AUTHORS: usize = 5_000;

/// Takes blocks in reading order.
pub struct Draft {
    document: Document,
    part: Part,
    links: Links,
    /// Keys of reference entries → their index.
    keys: HashMap<String, usize>,
    /// Citations with the keys that they name, before all entries are known.
    citations: Vec<(Citation, Vec<String>)>,
}

impl Draft {
    pub fn new(source: Source) -> Draft {
        let mut document = Document::empty("", source);
        document.pages.push(Page { number: 1, ..Page::default() });
        Draft { document, part: Part::Front, links: Links::default(), keys: HashMap::new(), citations: Vec::new() }
    }

    /// What comes now stands on the next page.
    pub fn next_page(&mut self) {
        let number = self.page() + 1;
        self.document.pages.push(Page { number, ..Page::default() });
    }

    fn page(&self) -> u32 {
        self.document.pages.last().map_or(1, |page| page.number)
    }

    pub fn part(&self) -> Part {
        self.part
    }

    pub fn set_part(&mut self, part: Part) {
        self.part = part;
    }

    pub fn has_text(&self) -> bool {
        !self.document.blocks.is_empty()
    }

    pub fn set_title(&mut self, title: &str) {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.document.title.is_none() && !title.is_empty() {
            self.document.title = Some(title);
        }
    }

    pub fn add_author(&mut self, name: &str) {
        let name = name.trim().to_string();
        let few = self.document.authors.len() < MOST_AUTHORS;
        if few && !name.is_empty() && !self.document.authors.contains(&name) {
            self.document.authors.push(name);
        }
    }

    pub fn warn(&mut self, warning: String) {
        if !self.document.warnings.contains(&warning) {
            self.document.warnings.push(warning);
        }
    }

    /// Something of the source that is no text of the paper.
    pub fn drop(&mut self, what: &str) {
        if let Some(page) = self.document.pages.last_mut() {
            page.dropped.push(what.to_string());
        }
    }

    pub fn link(&mut self, url: &str) {
        let page = self.page();
        self.links.add_uri(url, page);
    }

    /// The paper's title where it is printed.
    pub fn title(&mut self, title: Inline) {
        let (text, _) = title.clone().finish();
        self.set_title(&text);
        self.push_to(BlockKind::Title, Part::Front, title);
    }

    /// A heading. `number` as it is printed; where it is not known apart from the words, it is looked for in them.
    pub fn heading(&mut self, level: u8, number: Option<String>, words: Inline) {
        let (text, _) = words.clone().finish();
        if text.is_empty() {
            return;
        }
        self.part = match self.part {
            _ if marks::is_references_heading(&text) => Part::References,
            _ if is_appendix_heading(&text) => Part::Appendix,
            Part::Front => Part::Body,
            Part::References => Part::Appendix,
            part => part,
        };
        let (number, line) = match number {
            Some(number) => {
                let mut line = Inline::of(&number);
                line.push(' ');
                line.append(&words);
                (Some(number), line)
            }
            None => (number_of(&text), words),
        };
        self.push_to(BlockKind::Heading { level: level.max(1), number }, self.part, line);
    }

    /// A block of the part that is being read.
    pub fn push(&mut self, kind: BlockKind, text: Inline) {
        if self.part == Part::Front && kind == BlockKind::Paragraph && text.as_str().chars().count() >= LONG {
            self.part = Part::Body;
        }
        self.push_to(kind, self.part, text);
    }

    /// A paragraph, or a caption where it begins as one: `Figure 3:`, `Table 1.`
    pub fn paragraph(&mut self, text: Inline) {
        static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"^(Figure|Fig\.|FIG\.|FIGURE|Table|TABLE|Tab\.|Algorithm|Listing|図|表)\s*[\dA-Z]+(\.\d+)*\s*[:.|：．]",
            )
        });
        let kind = if CAPTION.is_match(text.as_str()) { BlockKind::Caption } else { BlockKind::Paragraph };
        self.push(kind, text);
    }

    pub fn authors(&mut self, text: Inline) {
        self.push_to(BlockKind::Authors, Part::Front, text);
    }

    pub fn table(&mut self, rows: Vec<Vec<String>>) {
        if rows.iter().flatten().any(|cell| !cell.trim().is_empty()) {
            let text = rows.iter().map(|row| row.join(" | ")).collect::<Vec<_>>().join("\n");
            self.push_lines(BlockKind::Table { rows }, &text);
        }
    }

    /// A block whose lines and spaces are its own: code, a formula, a table.
    pub fn push_lines(&mut self, kind: BlockKind, text: &str) {
        let text = text.trim_end().trim_start_matches('\n');
        if !text.is_empty() {
            self.add(kind, self.part, text.to_string());
        }
    }

    /// An entry of the reference list, known elsewhere in the source by `key`.
    pub fn reference(&mut self, key: Option<&str>, entry: Reference, text: Inline) {
        let (text, _) = text.finish();
        if text.is_empty() {
            return;
        }
        if let Some(key) = key {
            self.keys.entry(key.to_string()).or_insert(self.document.references.len());
        }
        let block = self.document.blocks.len();
        self.document.references.push(Reference { text: text.clone(), block, ..entry });
        self.add(BlockKind::Reference, Part::References, text);
    }

    fn push_to(&mut self, kind: BlockKind, part: Part, text: Inline) {
        let (text, marks) = text.finish();
        if text.is_empty() {
            return;
        }
        let block = self.document.blocks.len();
        for mark in marks {
            let citation = Citation { text: mark.text, block, start: mark.start, references: Vec::new() };
            self.citations.push((citation, mark.keys));
        }
        self.add(kind, part, text);
    }

    fn add(&mut self, kind: BlockKind, part: Part, text: String) {
        let page = self.page();
        if !matches!(kind, BlockKind::Code | BlockKind::Formula) {
            self.links.add_text(&text, page);
        }
        let spans = vec![Span { page, bbox: [0.0; 4] }];
        self.document.blocks.push(Block::new(kind, part, text, spans));
    }

    pub fn finish(mut self) -> Document {
        let bodiless = !self.document.blocks.iter().any(|block| block.part == Part::Body);
        for block in &mut self.document.blocks {
            if bodiless && block.part == Part::Front && !matches!(block.kind, BlockKind::Title | BlockKind::Authors) {
                block.part = Part::Body;
            }
        }
        for (mut citation, keys) in self.citations {
            citation.references = keys.iter().filter_map(|key| self.keys.get(key).copied()).collect();
            if !citation.references.is_empty() {
                self.document.citations.push(citation);
            }
        }
        self.document.links = self.links.finish();
        self.document
    }
}

fn is_appendix_heading(text: &str) -> bool {
    static APPENDIX: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?i)^\W*(appendix|appendices|supplementary materials?|supplemental materials?|付\s*録)\b")
    });
    APPENDIX.is_match(text)
}

/// The number that a heading starts with: `3.2`, `A.1`, `IV`.
pub fn number_of(text: &str) -> Option<String> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"^((?i:appendix|chapter|section)\s+)?",
            r"(\d{1,2}(?:\.\d{1,2}){0,4}|[A-Z](?:\.\d{1,2}){1,4}|[A-Z]\b|[IVX]{1,5}\b)([.:]?)\s+\S"
        ))
    });
    let parts = NUMBER.captures(text)?;
    // `A` and `I` are words, too.
    let is_word = parts[2].len() == 1 && parts[2].chars().all(char::is_alphabetic);
    (!is_word || parts.get(1).is_some() || !parts[3].is_empty()).then(|| parts[2].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_headings() {
        for (text, number) in [
            ("3.2 Data", Some("3.2")),
            ("1. Introduction", Some("1")),
            ("A.1 Proofs", Some("A.1")),
            ("Appendix B Proofs", Some("B")),
            ("IV. Methods", Some("IV")),
            ("A paper", None),
            ("2020 in review", None),
            ("3D models", None),
        ] {
            assert_eq!(number_of(text).as_deref(), number, "{text}");
        }
    }

    #[test]
    fn authors_end_somewhere() {
        let mut draft = Draft::new(Source::Markdown);
        (0..MOST_AUTHORS + 10).for_each(|number| draft.add_author(&format!("Author {number}")));
        assert_eq!(draft.finish().authors.len(), MOST_AUTHORS);
    }

    #[test]
    fn a_text_without_headings_is_all_body() {
        let mut draft = Draft::new(Source::Text);
        draft.title(Inline::of("Title"));
        draft.push(BlockKind::Paragraph, Inline::of("Text."));
        let parts: Vec<Part> = draft.finish().blocks.iter().map(|block| block.part).collect();
        assert_eq!(parts, [Part::Front, Part::Body]);
    }

    #[test]
    fn citations_find_their_entries_and_other_references_are_none() {
        let mut draft = Draft::new(Source::Html);
        let mut text = Inline::of("See ");
        text.cite("[1]", vec!["b1".into()]);
        text.cite("Figure 2", vec!["fig2".into()]);
        draft.push(BlockKind::Paragraph, text);
        draft.reference(Some("b1"), Reference::default(), Inline::of("[1] A. B."));
        let document = draft.finish();
        assert_eq!(document.citations.len(), 1);
        assert_eq!((document.citations[0].start, document.citations[0].references[0]), (4, 0));
        assert_eq!(document.references[0].block, 1);
    }
}
