//! Plain text → blocks: paragraphs by blank lines, headings and lists only where they are certain.

use super::draft::{Draft, number_of};
use super::inline::Inline;
use crate::document::pdf::marks;
use crate::document::{BlockKind, Document, Part, Source, pattern};
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Lines longer than this, in characters, are paragraphs: nobody breaks lines so late.
const UNBROKEN: usize = 160;
/// Of a word that a line's end breaks, no more is looked at than this, in characters.
const LONGEST_WORD: usize = 60;
/// A heading is not longer than this, in characters.
const LONGEST_HEADING: usize = 90;

pub fn read(text: &str) -> Document {
    let mut draft = Draft::new(Source::Text);
    let words: HashSet<String> = text.split(|c: char| !is_word(c)).map(str::to_lowercase).collect();
    let paged = text.contains('\x0c');
    for (index, page) in text.trim_end_matches('\x0c').split('\x0c').enumerate() {
        if index > 0 {
            draft.next_page();
        }
        let page = if paged { without_page_number(&mut draft, page) } else { page };
        let chunks = chunks(page);
        for (at, chunk) in chunks.iter().enumerate() {
            let next = chunks.get(at + 1).map(Vec::as_slice);
            read_chunk(&mut draft, chunk, next, &words);
        }
    }
    draft.finish()
}

/// Lines between blank lines.
fn chunks(page: &str) -> Vec<Vec<&str>> {
    let mut chunks = vec![Vec::new()];
    for line in page.lines().map(str::trim_end) {
        match chunks.last_mut() {
            Some(chunk) if !line.trim().is_empty() => chunk.push(line),
            Some(chunk) if !chunk.is_empty() => chunks.push(Vec::new()),
            _ => {}
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// A first or last line of a page that is nothing but a number.
fn without_page_number<'a>(draft: &mut Draft, page: &'a str) -> &'a str {
    let is_number = |line: &str| (1..=4).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_digit());
    let page = page.trim_end();
    let (rest, last) = page.rsplit_once('\n').unwrap_or(("", page));
    if is_number(last.trim()) {
        draft.drop(last.trim());
        return rest;
    }
    let start = page.trim_start_matches('\n');
    let (first, rest) = start.split_once('\n').unwrap_or((start, ""));
    if is_number(first.trim()) {
        draft.drop(first.trim());
        return rest;
    }
    page
}

fn read_chunk(draft: &mut Draft, chunk: &[&str], next: Option<&[&str]>, words: &HashSet<String>) {
    let (chunk, underlined) = match chunk {
        [heading, rule, rest @ ..] if is_rule(rule) && heading.chars().count() <= LONGEST_HEADING => {
            draft.heading(if rule.trim().starts_with('=') { 1 } else { 2 }, None, Inline::of(heading));
            (rest, true)
        }
        _ => (chunk, false),
    };
    if chunk.is_empty() {
        return;
    }
    if !underlined && !draft.has_text() && is_title(chunk) {
        return draft.title(Inline::of(&join(chunk, words)));
    }
    // `Abstract` on a line of its own, right above its text.
    let headings = chunk.iter().take(chunk.len() - 1).take_while(|line| is_known_heading(line)).count();
    if headings > 0 {
        chunk[..headings].iter().for_each(|line| draft.heading(1, None, Inline::of(line)));
        return read_text(draft, &chunk[headings..], next, words);
    }
    read_text(draft, chunk, next, words);
}

/// Lines below the heading that may stand right above them.
fn read_text(draft: &mut Draft, chunk: &[&str], next: Option<&[&str]>, words: &HashSet<String>) {
    let Some(first) = chunk.first() else { return };
    if is_heading(chunk, next) {
        let level = number_of(first.trim()).map_or(1, |number| 1 + number.matches('.').count().min(5) as u8);
        return draft.heading(level, None, Inline::of(first.trim().trim_start_matches('#')));
    }
    if draft.part() == Part::References {
        if ends_references(chunk, next) {
            return draft.heading(1, None, Inline::of(first.trim()));
        }
        return entries(chunk)
            .iter()
            .for_each(|entry| draft.push(BlockKind::Reference, Inline::of(&join(entry, words))));
    }
    if is_laid_out(chunk) {
        return draft.push_lines(BlockKind::Code, &chunk.join("\n"));
    }
    for (kind, lines) in paragraphs(chunk) {
        let text = Inline::of(&join(lines, words));
        match kind {
            BlockKind::Paragraph => draft.paragraph(text),
            kind => draft.push(kind, text),
        }
    }
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && (line.bytes().all(|byte| byte == b'=') || line.bytes().all(|byte| byte == b'-'))
}

/// The first lines of a text are its title where they are short and no sentence.
fn is_title(chunk: &[&str]) -> bool {
    let length: usize = chunk.iter().map(|line| line.trim().chars().count()).sum();
    let last = chunk.last().map_or("", |line| line.trim());
    let sentence = last.ends_with(['.', ':', ';', ',', '。', '．']);
    chunk.len() <= 3 && length <= 200 && !sentence && !is_known_heading(last) && !is_laid_out(chunk)
}

fn is_known_heading(line: &str) -> bool {
    static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?i)^((\d+|[IVX]+|[A-Z])\.?\s+)?(abstract|introduction|related works?|background|methods?|results?|",
            r"references|bibliography|acknowledge?ments?|conclusions?|discussion|limitations|appendix|",
            r"参考文献|概要|要旨|はじめに|おわりに|まとめ|謝辞)[.:]?$"
        ))
    });
    KNOWN.is_match(line.trim())
}

/// One line, known by its words or by its number; a numbered line among others is an item of a list.
fn is_heading(chunk: &[&str], next: Option<&[&str]>) -> bool {
    let [line] = chunk else { return false };
    let line = line.trim();
    if is_known_heading(line) {
        return true;
    }
    let numbered = |line: &str| number_of(line).is_some();
    let follows = next.and_then(|next| next.first());
    let title = line.trim_start_matches(|c: char| !c.is_alphabetic()).starts_with(|c: char| !c.is_lowercase());
    let listed = line.starts_with(|c: char| c.is_ascii_digit())
        && !number_of(line).is_some_and(|number| number.contains('.'))
        && follows
            .is_some_and(|next| numbered(next.trim()) && !number_of(next.trim()).is_some_and(|n| n.contains('.')));
    let sentence = line.ends_with(['.', ',', ';', '。', '．']) || line.chars().count() > LONGEST_HEADING;
    numbered(line) && title && !listed && !sentence && follows.is_some()
}

/// A line of words alone, and no entry behind it: the heading of an appendix that has no number to be known by. Entries
/// have stops or commas, and a running head has the next entry with its year behind it.
fn ends_references(chunk: &[&str], next: Option<&[&str]>) -> bool {
    static YEAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:1[89]|20)\d\d[a-z]?\b"));
    let ([line], Some(next)) = (chunk, next) else { return false };
    let line = line.trim();
    let bare = line.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || c == '-');
    let entry = entries(next).len() > 1 || next.iter().any(|line| YEAR.is_match(line));
    bare && !entry && line.starts_with(char::is_uppercase) && line.chars().count() <= LONGEST_HEADING
}

/// Columns made with spaces: most lines have wide gaps inside.
fn is_laid_out(chunk: &[&str]) -> bool {
    let gaps = chunk.iter().filter(|line| line.trim().contains("   ") || line.trim().contains('\t')).count();
    chunk.len() > 1 && 2 * gaps > chunk.len()
}

/// The paragraphs and list items of a chunk, each with its lines.
fn paragraphs<'a, 'b>(chunk: &'b [&'a str]) -> Vec<(BlockKind, &'b [&'a str])> {
    let starts = |line: &str| marks::is_bullet(line) || is_dashed(line) || marks::is_item(line);
    let unbroken = chunk.iter().filter(|line| line.chars().count() > UNBROKEN).count() * 2 > chunk.len();
    let listed = chunk.first().is_some_and(|line| starts(line.trim()));
    let mut parts = Vec::new();
    let mut from = 0;
    for at in 1..=chunk.len() {
        if at == chunk.len() || unbroken || (listed && starts(chunk[at].trim())) {
            let kind = if starts(chunk[from].trim()) { BlockKind::ListItem } else { BlockKind::Paragraph };
            parts.push((kind, &chunk[from..at]));
            from = at;
        }
    }
    parts
}

fn is_dashed(line: &str) -> bool {
    ["- ", "* ", "– ", "+ "].iter().any(|mark| line.starts_with(mark))
}

/// The entries of a part of the reference list: each begins with a label, else at a line that is not set in.
fn entries<'a, 'b>(chunk: &'b [&'a str]) -> Vec<&'b [&'a str]> {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*(\[[^\]]{1,40}\]|\d{1,3}[.)])\s"));
    let set_in = |line: &str| line.starts_with([' ', '\t']);
    let labelled = chunk.first().is_some_and(|line| LABEL.is_match(line));
    let hanging = !labelled && chunk.iter().any(|line| set_in(line)) && !chunk.first().is_some_and(|line| set_in(line));
    let mut entries = Vec::new();
    let mut from = 0;
    for at in 1..=chunk.len() {
        let starts = at == chunk.len() || (labelled && LABEL.is_match(chunk[at])) || (hanging && !set_in(chunk[at]));
        if starts {
            entries.push(&chunk[from..at]);
            from = at;
        }
    }
    entries
}

/// Lines as one: words that a hyphen parts are joined where the text has the joined word elsewhere.
fn join(lines: &[&str], words: &HashSet<String>) -> String {
    let mut text = String::new();
    for line in lines.iter().map(|line| line.trim()) {
        let cjk = text.chars().next_back().is_some_and(is_cjk) && line.chars().next().is_some_and(is_cjk);
        match ends_in_half_a_word(&text, line) {
            Some((head, tail)) => {
                let joined = format!("{head}{tail}").to_lowercase();
                let compound = words.contains(&format!("{head}-{tail}").to_lowercase());
                if words.contains(&joined) || !compound {
                    text.pop();
                }
            }
            None if text.is_empty() || cjk => {}
            None => text.push(' '),
        }
        text.push_str(line);
    }
    text
}

/// The halves of a word that a line's end parts.
fn ends_in_half_a_word<'a>(text: &'a str, next: &'a str) -> Option<(&'a str, &'a str)> {
    let text = text.strip_suffix('-')?;
    let letters = text.chars().rev().take(LONGEST_WORD).take_while(|c| c.is_alphabetic());
    let head = &text[text.len() - letters.map(char::len_utf8).sum::<usize>()..];
    let tail = &next[..next.len() - next.trim_start_matches(char::is_alphabetic).len()];
    (!head.is_empty() && tail.starts_with(char::is_lowercase)).then_some((head, tail))
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c == '-'
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(String, Part, String)> {
        let kind = |kind: &BlockKind| format!("{kind:?}").split([' ', '{']).next().unwrap_or_default().to_string();
        read(text).blocks.into_iter().map(|block| (kind(&block.kind), block.part, block.text)).collect()
    }

    #[test]
    fn a_paper_in_plain_text_has_its_parts() {
        let text = "A Paper\nof Two Lines\n\nAnn Author\n\nAbstract\n\nWe re-\nsearch. Our research is\nwell-known.\n\n\
            1 Introduction\n\nText.\n\n- one\n- two\n  lines\n\nReferences\n\n[1] A. B. Title.\n[2] C. D.\n    More.\n";
        let expected = [
            ("Title", Part::Front, "A Paper of Two Lines"),
            ("Paragraph", Part::Front, "Ann Author"),
            ("Heading", Part::Body, "Abstract"),
            ("Paragraph", Part::Body, "We research. Our research is well-known."),
            ("Heading", Part::Body, "1 Introduction"),
            ("Paragraph", Part::Body, "Text."),
            ("ListItem", Part::Body, "- one"),
            ("ListItem", Part::Body, "- two lines"),
            ("Heading", Part::References, "References"),
            ("Reference", Part::References, "[1] A. B. Title."),
            ("Reference", Part::References, "[2] C. D. More."),
        ];
        let found = kinds(text);
        let found: Vec<_> = found.iter().map(|(kind, part, text)| (kind.as_str(), *part, text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn form_feeds_are_pages_and_their_numbers_go() {
        let document = read("First page of text here.\n\n1\n\x0cSecond page of text.\n\n2\n\x0c");
        assert_eq!(document.pages.len(), 2);
        assert_eq!(document.pages[1].dropped, ["2"]);
        let places: Vec<_> = document.blocks.iter().map(|block| (block.page(), block.text.as_str())).collect();
        assert_eq!(places, [(1, "First page of text here."), (2, "Second page of text.")]);
        assert!(document.blocks.iter().all(|block| block.part == Part::Body));
    }

    #[test]
    fn numbered_lines_are_headings_only_alone() {
        let found = kinds("x.\n\n1. First thing\n\n2. Second thing\n\nText.\n\n2.1 Data Sets\n\nText.");
        let headings: Vec<_> = found.iter().filter(|each| each.0 == "Heading").map(|each| each.2.as_str()).collect();
        assert_eq!(headings, ["2. Second thing", "2.1 Data Sets"]);
    }

    #[test]
    fn an_appendix_ends_the_references_and_a_running_head_does_not() {
        let list = "x.\n\nReferences\n\nAda. Notes. 1843.\n\nJournal of Notes\n\nAlan Turing. Numbers. 1936.\n\n";
        let found = kinds(&format!("{list}A Author Contributions\n\nAll wrote."));
        let parts: Vec<_> = found[2..].iter().map(|each| (each.0.as_str(), each.1)).collect();
        let (list, behind) = (("Reference", Part::References), Part::Appendix);
        assert_eq!(parts, [list, list, list, ("Heading", behind), ("Paragraph", behind)]);
    }

    #[test]
    fn hostile_lines_are_read() {
        assert_eq!(kinds(&"Abstract\n".repeat(20_000)).len(), 20_000);
        assert_eq!(kinds(&"word-\n".repeat(5_000)).len(), 1);
        let long = format!("{}-", "a".repeat(1_000));
        let (head, _) = ends_in_half_a_word(&long, "b").expect("a broken word");
        assert_eq!(head.len(), LONGEST_WORD);
    }

    #[test]
    fn columns_of_spaces_stay_lines() {
        let found = kinds("x.\n\nname    score\na        1\nb        2\n");
        assert_eq!(found[1], ("Code".into(), Part::Body, "name    score\na        1\nb        2".into()));
    }

    #[test]
    fn japanese_lines_join_without_spaces() {
        assert_eq!(kinds("これは長い\n文である。")[0].2, "これは長い文である。");
    }
}
