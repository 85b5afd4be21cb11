//! Links in answers, held to the paper: models make up addresses that look right, and a wrong one misleads most.

use crate::document::{Document, Link, LinkKind};
use regex::{Captures, Regex};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Addresses with a scheme, with `www.`, or a bare host with a path.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let end = r"[A-Za-z0-9\-._~:/?#@!$&()*+,;=%]";
    let host = r"(?:[A-Za-z0-9-]+\.)+(?:com|org|net|io|ai|edu|gov|dev|co|jp|cn|de|fr|uk|eu|ch|kr|me|app|ly|gl|info)";
    Regex::new(&format!(r"(?i:https?://|www\.){end}+|\b{host}/{end}+")).expect("a constant pattern")
});

/// `[text](address)` and `<address>`.
static MARKED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[([^\]\n]*)\]\(([^)\s]*)[^)\n]*\)|<([^<>\s]+)>").expect("a constant pattern"));

/// The paper's addresses: its links, and its text to look others up in.
pub(crate) struct Known {
    keys: HashSet<String>,
    /// The text without white space, in lower case, and for each byte whether white space came before it.
    squeezed: String,
    space_before: Vec<bool>,
}

impl Known {
    pub(crate) fn of(document: &Document) -> Known {
        let mut squeezed = String::new();
        let mut space_before = Vec::new();
        let mut space = true;
        for c in document.text().chars() {
            // Soft hyphens and PDFium's mark for a hyphen at a line's end.
            if c.is_whitespace() || matches!(c, '\u{ad}' | '\u{fffe}') {
                space |= c.is_whitespace();
                continue;
            }
            for lower in c.to_lowercase() {
                squeezed.push(lower);
                space_before.push(space);
                space_before.resize(squeezed.len(), false);
                space = false;
            }
        }
        let keys = document.links.iter().map(|link| key(&link.url)).collect();
        Known { keys, squeezed, space_before }
    }

    /// Whether the paper has this very address, in a link or in its text, where a line's end may run through it.
    pub(crate) fn has(&self, address: &str) -> bool {
        let key = key(address);
        !key.is_empty() && (self.keys.contains(&key) || self.text_has(&key.to_lowercase()))
    }

    fn text_has(&self, key: &str) -> bool {
        self.squeezed.match_indices(key).any(|(start, _)| {
            let before = self.squeezed[..start].chars().next_back();
            let end = start + key.len();
            let starts = before.is_none_or(|c| self.space_before[start] || !c.is_alphanumeric() && c != '-');
            starts && self.ends_at(end)
        })
    }

    /// Whether an address can end before byte `end`: at white space, or at what is no part of an address.
    fn ends_at(&self, end: usize) -> bool {
        let rest = self.squeezed[end..].trim_start_matches('/');
        let at = self.squeezed.len() - rest.len();
        let mut following = rest.chars();
        match following.next() {
            None => true,
            Some(_) if self.space_before[at] => true,
            Some('.' | ',' | ';' | ':' | '?' | '!') => {
                following.next().is_none_or(|c| self.space_before[at + 1] || !c.is_alphanumeric())
            }
            Some(c) => at == end && !is_of_address(c),
        }
    }
}

fn is_of_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_~/#=&%+@$*".contains(c)
}

/// An address without what does not matter: scheme, `www.`, the host's case, what follows it in a sentence.
fn key(address: &str) -> String {
    let address = address.trim();
    let lower = address.to_ascii_lowercase();
    let without_scheme = ["https://", "http://"].iter().find(|scheme| lower.starts_with(**scheme));
    let rest = &address[without_scheme.map_or(0, |scheme| scheme.len())..];
    let rest = if rest.to_ascii_lowercase().starts_with("www.") { &rest[4..] } else { rest };
    let rest = trim_end(rest).trim_end_matches('/');
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{}{path}", host.to_ascii_lowercase())
}

/// Without punctuation that belongs to the sentence around an address; a closing bracket stays if it was opened.
fn trim_end(address: &str) -> &str {
    let mut address = address;
    while let Some(last) = address.chars().next_back() {
        let unopened = last == ')' && address.matches('(').count() < address.matches(')').count();
        if !unopened && !matches!(last, '.' | ',' | ';' | ':' | '!' | '?' | '*' | '_' | '~') {
            break;
        }
        address = &address[..address.len() - last.len_utf8()];
    }
    address
}

/// The addresses in a text, as they stand in it.
pub(crate) fn addresses(text: &str) -> Vec<&str> {
    ADDRESS.find_iter(text).map(|found| trim_end(found.as_str())).collect()
}

/// The answer without addresses that the paper does not have, and those addresses, each once. `note` stands where one
/// was, so that the sentence around it stays readable; a line that was nothing but the address goes.
pub(super) fn keep_known(text: &str, known: &Known, note: &str) -> (String, Vec<String>) {
    let mut removed: Vec<String> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let before = removed.len();
        let kept = without_unknown(line, known, note, &mut removed);
        if removed.len() == before || says_more(&kept, note) {
            lines.push(kept);
        }
    }
    complete_colons(&mut lines, text, note);
    let mut seen = HashSet::new();
    removed.retain(|address| seen.insert(address.clone()));
    (lines.join("\n").trim().to_string(), removed)
}

/// One line: links of unknown addresses become their text and the note, bare ones the note.
fn without_unknown(line: &str, known: &Known, note: &str, removed: &mut Vec<String>) -> String {
    let unmarked = MARKED.replace_all(line, |found: &Captures| {
        let label = found.get(1).map_or("", |label| label.as_str());
        let address = found.get(2).or(found.get(3)).map_or("", |address| address.as_str());
        if !ADDRESS.is_match(address) || known.has(address) {
            return found[0].to_string();
        }
        removed.push(trim_end(address).to_string());
        if ADDRESS.is_match(label) || label.trim().is_empty() { note.to_string() } else { format!("{label} {note}") }
    });
    let kept = ADDRESS.replace_all(&unmarked, |found: &Captures| {
        let address = trim_end(&found[0]);
        if known.has(address) {
            return found[0].to_string();
        }
        removed.push(address.to_string());
        format!("{note}{}", &found[0][address.len()..])
    });
    let kept = kept.replace(&format!("({note})"), note).replace(&format!("（{note}）"), note);
    if !note.starts_with('（') {
        return kept;
    }
    // Full-width brackets bring their own space.
    kept.replace(&format!(" {note}"), note).replace(&format!("{note} "), note)
}

/// Whether anything but the note and a bullet is left.
fn says_more(line: &str, note: &str) -> bool {
    line.replace(note, "").trim_start_matches(|c: char| c.is_ascii_digit()).chars().any(char::is_alphanumeric)
}

/// A line that led to a list ("The code is here:") gets the note if all its list is gone.
fn complete_colons(lines: &mut [String], original: &str, note: &str) {
    let was_followed = |line: &str| {
        let mut after = original.lines().skip_while(|other| *other != line).skip(1).filter(|l| !l.trim().is_empty());
        after.next().is_some_and(|next| ADDRESS.is_match(next))
    };
    for index in 0..lines.len() {
        let line = lines[index].trim_end().to_string();
        let next = lines[index + 1..].iter().find(|next| !next.trim().is_empty());
        let leads_on =
            next.is_some_and(|next| next.trim_start().starts_with(['-', '*', '•', '1']) || ADDRESS.is_match(next));
        if line.ends_with([':', '：']) && !leads_on && was_followed(&lines[index]) {
            lines[index] = format!("{line} {note}");
        }
    }
}

/// The paper's links to code that `text` does not name.
pub(super) fn code_links_missing(text: &str, document: &Document) -> Vec<Link> {
    let named: HashSet<String> = addresses(text).into_iter().map(key).collect();
    let code = document.links.iter().filter(|link| link.kind == LinkKind::Code);
    code.filter(|link| !named.contains(&key(&link.url))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Block, BlockKind, Part, Source};

    const NOTE: &str = "(link removed)";

    fn paper() -> Document {
        let paragraphs = [
            "The code is at https://github.com/tensorflow/ tensor2tensor. See also (http://Example.org/data_set/).",
            "Models: github.com/org/re-po, and https://host.example.com/a/b.html",
        ];
        let blocks = paragraphs.iter().map(|text| Block::new(BlockKind::Paragraph, Part::Body, *text, vec![]));
        let link = |url: &str, kind| Link { url: url.to_string(), page: 1, bbox: None, kind };
        Document {
            blocks: blocks.collect(),
            links: vec![
                link("https://github.com/org/linked", LinkKind::Code),
                link("https://example.org/data_set", LinkKind::Data),
            ],
            ..Document::empty("paper.pdf", Source::Pdf)
        }
    }

    #[test]
    fn the_papers_own_addresses_are_known_in_any_spelling() {
        let known = Known::of(&paper());
        for address in [
            "https://github.com/tensorflow/tensor2tensor",
            "http://www.GitHub.com/tensorflow/tensor2tensor/",
            "github.com/org/linked",
            "https://example.org/data_set/.",
            "https://github.com/org/re-po",
            "https://host.example.com/a/b.html",
        ] {
            assert!(known.has(address), "{address}");
        }
        for address in [
            "https://github.com/tensorflow/tensor2tensors",
            "https://github.com/tensorflow/tensor",
            "https://github.com/org",
            "https://github.com/org/linked2",
            "https://ample.org/data_set",
            "https://github.com/made/up",
            "https://host.example.com/a",
            "https://host.example.com/a/b",
            "https://",
        ] {
            assert!(!known.has(address), "{address}");
        }
    }

    #[test]
    fn unknown_links_leave_a_readable_text() {
        let known = Known::of(&paper());
        for (text, expected, removed) in [
            ("See https://made.up/x.", "See (link removed).", vec!["https://made.up/x"]),
            ("See [the code](https://made.up/x).", "See the code (link removed).", vec!["https://made.up/x"]),
            (
                "The code (https://made.up/x) is public.",
                "The code (link removed) is public.",
                vec!["https://made.up/x"],
            ),
            ("See <https://made.up/x>.", "See (link removed).", vec!["https://made.up/x"]),
            ("- https://made.up/x\n- good", "- good", vec!["https://made.up/x"]),
            ("Here:\n- https://made.up/x", "Here: (link removed)", vec!["https://made.up/x"]),
            (
                "コードは https://made.up/x にあります。",
                "コードは (link removed) にあります。",
                vec!["https://made.up/x"],
            ),
            ("コードはhttps://made.up/xにあります。", "コードは(link removed)にあります。", vec!["https://made.up/x"]),
            ("[a](github.com/org/linked)", "[a](github.com/org/linked)", vec![]),
            ("https://made.up/x", "", vec!["https://made.up/x"]),
            (
                "On github.com/made/up and https://github.com/org/linked.",
                "On (link removed) and https://github.com/org/linked.",
                vec!["github.com/made/up"],
            ),
        ] {
            let (kept, gone) = keep_known(text, &known, NOTE);
            assert_eq!((kept.as_str(), gone), (expected, removed.iter().map(|s| s.to_string()).collect()), "{text}");
        }
    }

    #[test]
    fn a_full_width_note_has_no_spaces_around_it() {
        let (kept, _) = keep_known("コードは https://made.up/x にあります。", &Known::of(&paper()), "（削除）");
        assert_eq!(kept, "コードは（削除）にあります。");
    }

    #[test]
    fn code_links_that_an_answer_misses_are_listed() {
        let paper = paper();
        assert_eq!(code_links_missing("None.", &paper).len(), 1);
        assert!(code_links_missing("At http://github.com/org/linked/.", &paper).is_empty());
    }
}
