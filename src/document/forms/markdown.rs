//! Markdown: headings, lists, tables; formulas and code fenced, captions in italics, notes and labels as quotations.

use crate::document::{Block, BlockKind, Document, pattern};
use regex::Regex;
use std::fmt::Write;
use std::sync::LazyLock;

/// The whole document.
pub fn markdown(document: &Document) -> String {
    let mut out = String::new();
    let mut before: Option<&Block> = None;
    for block in &document.blocks {
        let in_list = |block: &Block| matches!(block.kind, BlockKind::ListItem | BlockKind::Reference);
        match before {
            Some(before) if in_list(before) && before.kind == block.kind => out.push('\n'),
            Some(_) => out.push_str("\n\n"),
            None => {}
        }
        out.push_str(&of(block));
        before = Some(block);
    }
    out.push('\n');
    out
}

/// The tables alone, each under its page and its caption.
pub fn tables(document: &Document) -> String {
    let blocks = &document.blocks;
    let mut out = String::new();
    for (index, block) in blocks.iter().enumerate() {
        let BlockKind::Table { rows } = &block.kind else { continue };
        let beside =
            [index.checked_sub(1), Some(index + 1)].into_iter().flatten().filter_map(|index| blocks.get(index));
        let caption = beside.into_iter().find(|block| is_table_caption(block));
        let _ = write!(out, "Page {}", block.page());
        let _ = match caption {
            Some(caption) => write!(out, ": *{}*\n\n", escape(&caption.text)),
            None => write!(out, "\n\n"),
        };
        let _ = write!(out, "{}\n\n", table(rows));
    }
    out.truncate(out.trim_end().len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn is_table_caption(block: &Block) -> bool {
    static TABLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?i:table|tab\.)\s*|^[表표]"));
    block.kind == BlockKind::Caption && TABLE.is_match(&block.text)
}

fn of(block: &Block) -> String {
    let text = &block.text;
    match &block.kind {
        BlockKind::Title => format!("# {}", escape(&one_line(text))),
        BlockKind::Heading { level, .. } => {
            format!("{} {}", "#".repeat(usize::from(*level).clamp(1, 5) + 1), escape(&one_line(text)))
        }
        BlockKind::ListItem => item(text),
        BlockKind::Reference => format!("- {}", escape(&one_line(text))),
        BlockKind::Caption => format!("*{}*", escape(&one_line(text))),
        BlockKind::Table { rows } => table(rows),
        BlockKind::Formula => fenced(text, "math"),
        BlockKind::Code => fenced(text, ""),
        BlockKind::Figure | BlockKind::Footnote => {
            text.lines().map(|line| format!("> {}", start_escaped(line))).collect::<Vec<_>>().join("\\\n")
        }
        BlockKind::Paragraph | BlockKind::Authors => text.lines().map(start_escaped).collect::<Vec<_>>().join("\\\n"),
    }
}

fn item(text: &str) -> String {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,3}[.)]\s"));
    let text = one_line(text);
    if NUMBER.is_match(&text) {
        return escape(&text);
    }
    let text = text.trim_start_matches(['•', '◦', '▪', '■', '●', '‣', '・', '–', '-', '*']).trim_start();
    format!("- {}", escape(text))
}

/// Rows as a table, the first as its head.
fn table(rows: &[Vec<String>]) -> String {
    table_of(rows, |cell| escape(cell).replace('|', "\\|"))
}

/// Rows as a table of cells that `cell` has made fit for one.
pub(super) fn table_of(rows: &[Vec<String>], cell: impl Fn(&str) -> String) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cells = (0..width).map(|at| cell(&one_line(row.get(at).map_or("", String::as_str))));
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if !lines.is_empty() {
        lines.insert(1, format!("|{}", " --- |".repeat(width)));
    }
    lines.join("\n")
}

/// Between fences longer than any within the text.
fn fenced(text: &str, language: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line of text whose start would make it something else: a heading, a list, a quotation, a fence.
fn start_escaped(line: &str) -> String {
    static START: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\s*)(#{1,6}(\s|$)|[-+>=]|~~~|\|)"));
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\d{1,9})([.)](\s|$))"));
    let line = escape(line);
    let line = NUMBER.replace(&line, r"$1\$2");
    START.replace(&line, r"$1\$2").into_owned()
}

/// Characters that mean something in Markdown, within a line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let within_word = before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if matches!(c, '*' | '`' | '<' | '\\') || c == '_' && !within_word {
            out.push('\\');
        }
        out.push(c);
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn each_kind_has_its_form() {
        let expected = r"# On \<Forms>

### 1.1 Method

\# no heading, \*no\* stress & \<b>no tag\</b>

- first
2. second

```math
E = mc^2
```

````
if a:
    ```b```
````

| a\|b | c |
| --- | --- |
| 1 | \<2> |

*Table 1: Cells*

> epoch

> 1 A note.
";
        assert_eq!(markdown(&sample()), expected);
    }

    #[test]
    fn tables_come_with_their_page_and_caption() {
        assert_eq!(tables(&sample()), "Page 1: *Table 1: Cells*\n\n| a\\|b | c |\n| --- | --- |\n| 1 | \\<2> |\n");
        let mut none = sample();
        none.blocks.retain(|block| block.is_prose());
        assert_eq!(tables(&none), "");
    }

    #[test]
    fn names_with_underscores_stay_readable_and_numbers_start_no_list() {
        assert_eq!(start_escaped("1. snake_case and _stress_"), r"1\. snake_case and \_stress\_");
        assert_eq!(start_escaped("- 3 |x|"), r"\- 3 |x|");
    }
}
