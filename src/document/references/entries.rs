//! Blocks of the reference list → its entries, each whole: joined where a page's end cut one in two, split where two ran
//! together.

use super::text::{is_cjk, joined};
use crate::document::pdf::marks::is_bullet;
use crate::document::{Block, BlockKind, Part, Reference, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// An entry as it is printed, its label apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub label: Option<String>,
    /// The whole entry, with its label.
    pub text: String,
    /// Where its text begins behind the label, in bytes.
    pub body: usize,
    /// Index of the block that it starts in.
    pub block: usize,
}

/// How the entries of a list are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// `[1]`, `[Vas17]`
    Brackets,
    /// `1.`, `1)`
    Numbers,
    None,
}

/// The entries of the list, in order.
pub fn entries(blocks: &[Block]) -> Vec<Entry> {
    let texts = blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| belongs(block))
        .map(|(index, block)| (index, joined(&block.text)))
        .filter(|(_, text)| !text.chars().all(|c| c.is_ascii_digit() || c.is_whitespace()));
    let pieces = without_bullets(texts.collect());
    let marks = marks(&pieces);
    let mut entries: Vec<Entry> = Vec::with_capacity(pieces.len());
    let mut in_note = false;
    for (block, text) in pieces {
        let rest_of_note = in_note && text.starts_with(char::is_lowercase);
        in_note = rest_of_note || entries.last().is_some_and(|last| is_note(last, &text));
        match label(&text, marks) {
            Some((label, body)) if marks != Marks::None && follows(&label, entries.last()) => {
                entries.push(Entry { label: Some(label), text, body, block });
            }
            _ => match entries.last_mut() {
                Some(_) if in_note => {}
                Some(last) if goes_on(last, &text, marks) => append(last, &text),
                Some(_) if marks != Marks::None => {}
                _ => entries.push(Entry { label: None, text, body: 0, block }),
            },
        }
    }
    if marks == Marks::None { entries } else { apart(entries, marks) }
}

/// Entries that the source told apart, each with the label that it told or that the text begins with.
pub fn told(list: &[Reference]) -> Vec<Entry> {
    let pieces = without_bullets(list.iter().map(|told| (told.block, joined(&told.text))).collect());
    let marks = marks(&pieces);
    let entry = |(told, (block, text)): (&Reference, (usize, String))| {
        let known = told.label.as_deref().and_then(|label| {
            let rest = text.strip_prefix('[')?.strip_prefix(label)?.strip_prefix(']')?;
            Some((label.to_string(), text.len() - rest.trim_start().len()))
        });
        match known.or_else(|| label(&text, marks)) {
            Some((label, body)) => Entry { label: Some(label), text, body, block },
            None => Entry { label: None, text, body: 0, block },
        }
    };
    list.iter().zip(pieces).map(entry).collect()
}

/// The bullets of a list that has them are no part of its entries.
fn without_bullets(mut pieces: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let bulleted = pieces.iter().filter(|(_, text)| is_bullet(text)).count();
    if 2 * bulleted > pieces.len() {
        for (_, text) in pieces.iter_mut().filter(|(_, text)| is_bullet(text)) {
            *text = text.chars().skip(1).collect::<String>().trim_start().to_string();
        }
    }
    pieces
}

/// Whether a block is of the list.
pub fn belongs(block: &Block) -> bool {
    match block.kind {
        BlockKind::Reference => true,
        BlockKind::Paragraph | BlockKind::ListItem => block.part == Part::References,
        _ => false,
    }
}

fn marks(pieces: &[(usize, String)]) -> Marks {
    let count = |marks| pieces.iter().filter(|(_, text)| label(text, marks).is_some()).count();
    let (brackets, numbers) = (count(Marks::Brackets), count(Marks::Numbers));
    // A number at a line's start is often the rest of an entry; brackets hardly ever are.
    if 2 * numbers > pieces.len() && numbers > brackets {
        Marks::Numbers
    } else if 4 * brackets > pieces.len() {
        Marks::Brackets
    } else {
        Marks::None
    }
}

/// The label at the start of `text`, and where the text behind it begins.
fn label(text: &str, marks: Marks) -> Option<(String, usize)> {
    static BRACKETS: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*[\[［]\s*([\p{L}\d][\p{L}\d+⁺*\-:.’']{0,15})\s*[\]］]\s*"));
    static NUMBERS: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*\(?(\d{1,3})[.)）．](?:\s+|\p{Han}|\p{Katakana})"));
    let regex = match marks {
        Marks::Brackets => &BRACKETS,
        Marks::Numbers => &NUMBERS,
        Marks::None => return None,
    };
    let captures = regex.captures(text)?;
    let (whole, label) = (captures.get(0)?, captures.get(1)?);
    let body = text[label.end()..whole.end()].find([']', '］', '.', ')', '）', '．']);
    let mark = text[label.end() + body?..].chars().next()?.len_utf8();
    let end = label.end() + body? + mark;
    let space = text[end..].len() - text[end..].trim_start().len();
    Some((label.as_str().to_string(), end + space))
}

/// Whether a marker continues the count: `5.` at a line's start may be the end of a number, not an entry's mark.
fn follows(label: &str, last: Option<&Entry>) -> bool {
    let number = |label: &str| label.parse::<u32>().ok();
    let last = last.and_then(|last| number(last.label.as_deref()?));
    match (number(label), last) {
        (Some(1), _) | (None, _) | (Some(_), None) => true,
        (Some(next), Some(last)) => next > last && next <= last + 5,
    }
}

/// Whether `text` is the rest of `last`, which a page's or a column's end cut.
fn goes_on(last: &Entry, text: &str, marks: Marks) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let open = !ends(&last.text);
    if marks != Marks::None {
        return open || text.len() < 300 || first.is_lowercase();
    }
    open || first.is_lowercase() || first.is_ascii_digit() || "(:,;–-".contains(first)
}

/// A footnote between two entries: a number that touches its first word, after an entry that is whole.
fn is_note(last: &Entry, text: &str) -> bool {
    static NOTE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\d{1,2}|[*†‡])\s?\p{Lu}\p{Ll}+[\s,]"));
    ends(&last.text) && NOTE.is_match(text)
}

/// Whether an entry may end like this.
fn ends(text: &str) -> bool {
    let text = text.trim_end();
    let last = text.chars().next_back().unwrap_or(' ');
    let word = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    match last {
        '-' | '–' | ',' | ':' | '(' | '&' => false,
        '.' | '?' | '!' | ')' | ']' | '．' | '。' | '）' | '/' => true,
        _ => word.contains("://") || word.contains("10.") || word.ends_with(|c: char| c.is_ascii_digit()),
    }
}

fn append(entry: &mut Entry, text: &str) {
    let last = entry.text.chars().next_back().unwrap_or(' ');
    let first = text.chars().next().unwrap_or(' ');
    let broken = last == '-' && first.is_lowercase();
    if broken {
        entry.text.pop();
    } else if !(is_cjk(last) && is_cjk(first) || matches!(last, '-' | '–')) {
        entry.text.push(' ');
    }
    entry.text.push_str(text);
}

/// Entries in whose text the next number's marker stands are two.
fn apart(entries: Vec<Entry>, marks: Marks) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
    let next: Vec<Option<u32>> = entries.iter().skip(1).map(number).chain([None]).collect();
    for (mut entry, next) in entries.into_iter().zip(next) {
        while let Some((at, label, body)) = number(&entry).and_then(|n| inner(&entry, n + 1, next, marks)) {
            let rest = entry.text.split_off(at);
            entry.text.truncate(entry.text.trim_end().len());
            let block = entry.block;
            out.push(std::mem::replace(&mut entry, Entry { label: Some(label), text: rest, body, block }));
        }
        out.push(entry);
    }
    out
}

fn number(entry: &Entry) -> Option<u32> {
    entry.label.as_deref()?.parse().ok()
}

/// Where the marker of number `wanted` stands in the entry's text, if the list goes on with another one behind it.
fn inner(entry: &Entry, wanted: u32, next: Option<u32>, marks: Marks) -> Option<(usize, String, usize)> {
    if next.is_some_and(|next| next <= wanted) {
        return None;
    }
    let mark = match marks {
        Marks::Brackets => format!(" [{wanted}] "),
        _ if next.is_none() => return None,
        _ => format!(" {wanted}. "),
    };
    let at = entry.body + entry.text.get(entry.body..)?.find(&mark)? + 1;
    let (label, body) = label(&entry.text[at..], marks)?;
    Some((at, label, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<(Option<String>, String)> {
        let block = |text: &&str| Block::new(BlockKind::Reference, Part::References, *text, Vec::new());
        let blocks: Vec<Block> = texts.iter().map(block).collect();
        entries(&blocks).into_iter().map(|entry| (entry.label, entry.text)).collect()
    }

    fn texts(list_of: &[&str]) -> Vec<String> {
        list(list_of).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn labels_of_all_kinds() {
        for (text, label) in [
            ("[12] A. One", "12"),
            ("[Vas+17] B", "Vas+17"),
            ("[Vas⁺17] B", "Vas⁺17"),
            ("3. Lovelace A", "3"),
            ("[4]著者", "4"),
        ] {
            assert_eq!(list(&[text])[0].0.as_deref(), Some(label), "{text}");
        }
        assert_eq!(list(&["Ada Lovelace. 1843. Notes."])[0].0, None);
    }

    #[test]
    fn bullets_of_a_list_are_no_part_of_its_entries() {
        assert_eq!(
            list(&["• [1] A. One. 1999.", "• [2] B. Two. 2000."])[1],
            (Some("2".into()), "[2] B. Two. 2000.".into())
        );
        assert_eq!(texts(&["- Ada. Notes. 1843.", "- Turing. Numbers. 1936."])[0], "Ada. Notes. 1843.");
        assert_eq!(
            texts(&["Ada. Notes. 1843.", "Turing. Numbers. 1936.", "* Curry. Logic. 1958."])[2],
            "* Curry. Logic. 1958."
        );
    }

    #[test]
    fn an_entry_cut_by_a_page_is_one() {
        assert_eq!(
            texts(&["[1] A. One, pages", "1470–1480, Beijing.", "[2] B. Two. 2001."]),
            ["[1] A. One, pages 1470–1480, Beijing.", "[2] B. Two. 2001."]
        );
        assert_eq!(
            texts(&["Ada. Notes on the engine. In", "Proceedings, 1843.", "Turing. Numbers. 1936."]),
            ["Ada. Notes on the engine. In Proceedings, 1843.", "Turing. Numbers. 1936."]
        );
        assert_eq!(texts(&["Kingdon. Nets. ISBN 978-1-4471-0949-", "5. doi: 10.1007/978. 1997."]).len(), 1);
    }

    #[test]
    fn two_entries_in_one_block_are_two() {
        let read = list(&["[1] A. One. 1999. [2] B. Two. 2000. [3] C. Three. 2001.", "[4] D. Four. 2002."]);
        let labels: Vec<&str> = read.iter().filter_map(|(label, _)| label.as_deref()).collect();
        assert_eq!(labels, ["1", "2", "3", "4"]);
        assert_eq!(read[1].1, "[2] B. Two. 2000.");
    }

    #[test]
    fn page_numbers_and_footnotes_are_no_entries() {
        let expected = ["Ada. Notes. 1843.", "Turing. Numbers. 1936."];
        let note = ["14Ideally, we would know more", "of their workings (2022)."];
        assert_eq!(texts(&[expected[0], "265", note[0], note[1], expected[1]]), expected);
        assert!(entries(&[Block::new(BlockKind::Paragraph, Part::Body, "[1] A. One.", Vec::new())]).is_empty());
    }
}
