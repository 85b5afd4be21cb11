//! The plain-text form: Markdown's marks taken away, its structure kept by lines and indents.

use super::Summary;
use super::content::Section;
use super::words::Words;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::fmt::Write;

pub(super) fn render(summary: &Summary) -> String {
    let words = summary.words();
    let mut out = heading(summary.title(), '=');
    if let Some(gist) = &summary.gist {
        let _ = write!(out, "\n{}\n", plain(gist));
    }
    for section in summary.sections() {
        out.push('\n');
        if let Some(title) = section.title {
            let _ = writeln!(out, "{}", heading(title, '-'));
        }
        let _ = writeln!(out, "{}", plain(section.text));
        out.push_str(&additions(&section, words));
    }
    let warnings = summary.warnings();
    if !warnings.is_empty() {
        let _ = write!(out, "\n{}\n", heading(words.warnings, '-'));
        warnings.iter().for_each(|warning| out.push_str(&format!("- {warning}\n")));
    }
    let _ = write!(out, "\n{}\n", heading(words.how, '-'));
    for (label, value) in summary.facts() {
        let _ = writeln!(out, "{label}: {value}");
    }
    out
}

fn additions(section: &Section, words: &Words) -> String {
    let mut out = String::new();
    if let Some((sentence, links)) = section.code {
        let _ = write!(out, "\n{sentence}\n");
        links.iter().for_each(|link| out.push_str(&format!("- {} ({}{})\n", link.url, words.page, link.page)));
    }
    for evidence in &section.answer.evidence {
        let _ = writeln!(out, "{} {}{}: “{}”", words.evidence, words.page, evidence.page, evidence.quote);
    }
    if !section.answer.removed_links.is_empty() {
        let _ = write!(out, "\n[{} {}]\n", words.links_removed, section.answer.removed_links.join(" "));
    }
    section.answer.warnings.iter().for_each(|warning| out.push_str(&format!("\n[! {warning}]\n")));
    out
}

/// A line underlined in its width; East Asian letters are two wide.
fn heading(title: &str, mark: char) -> String {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let width: usize =
        title.chars().map(|c| if ('\u{1100}'..='\u{115f}').contains(&c) || c >= '\u{2e80}' { 2 } else { 1 }).sum();
    format!("{title}\n{}\n", mark.to_string().repeat(width.min(100)))
}

/// Markdown as plain text.
pub(super) fn plain(markdown: &str) -> String {
    let mut writer = Writer::default();
    Parser::new_ext(markdown, Options::ENABLE_TABLES).for_each(|event| writer.take(event));
    writer.out.trim_end().to_string()
}

#[derive(Default)]
struct Writer {
    out: String,
    /// For each open list, the number of its next item if it is ordered.
    lists: Vec<Option<u64>>,
    /// Address of the open link, and where its text begins.
    link: Option<(String, usize)>,
}

impl Writer {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::SoftBreak | Event::HardBreak => self.line(),
            Event::Rule => self.text("\n"),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag) {
        match tag {
            Tag::Paragraph | Tag::Heading { .. } | Tag::Table(_) if self.lists.is_empty() => self.blank_line(),
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => self.blank_line(),
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.blank_line();
                }
                self.lists.push(first);
            }
            Tag::Item => {
                if !self.out.is_empty() && !self.out.ends_with('\n') {
                    self.out.push('\n');
                }
                self.out.push_str(&"  ".repeat(self.lists.len().saturating_sub(1)));
                match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let _ = write!(self.out, "{number}. ");
                        *number += 1;
                    }
                    _ => self.out.push_str("- "),
                }
            }
            Tag::Link { dest_url, .. } => self.link = Some((dest_url.to_string(), self.out.len())),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::TableHead | TagEnd::TableRow => {
                let end = self.out.trim_end_matches(" | ").len();
                self.out.truncate(end);
                self.out.push('\n');
            }
            TagEnd::TableCell => self.out.push_str(" | "),
            TagEnd::Link => {
                if let Some((address, start)) = self.link.take()
                    && self.out.get(start..) != Some(address.as_str())
                {
                    let _ = write!(self.out, " ({address})");
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A line end inside a paragraph, indented as its list item.
    fn line(&mut self) {
        self.out.push('\n');
        self.out.push_str(&"  ".repeat(self.lists.len()));
    }

    fn blank_line(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let end = self.out.trim_end_matches('\n').len();
        self.out.truncate(end);
        self.out.push_str("\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_plain_lines() {
        for (markdown, expected) in [
            ("**Bold** and `code`.", "Bold and code."),
            ("One\n\n- a\n- **b**\n  - c\n\nTwo", "One\n\n- a\n- b\n  - c\n\nTwo"),
            ("1. a\n2. b", "1. a\n2. b"),
            ("[text](https://x.org) <https://x.org>", "text (https://x.org) https://x.org"),
            ("### 見出し\n本文", "見出し\n\n本文"),
            ("a <b>c</b>", "a <b>c</b>"),
            ("| a | b |\n|---|---|\n| 1 | 2 |\n\nc", "a | b\n1 | 2\n\nc"),
        ] {
            assert_eq!(plain(markdown), expected, "{markdown:?}");
        }
    }

    #[test]
    fn headings_are_underlined_in_their_width() {
        assert_eq!(heading("手法 A", '-'), "手法 A\n------\n");
    }
}
