//! Places in the text that name entries by their labels: `[3]`, `[3-5, 7]`, `[Vas17]`, `(12)`, raised numbers; and by names
//! and years, for which see [`super::named`].

use super::entries::belongs;
use super::fields::Fields;
use super::named;
use crate::document::{Block, BlockKind, Citation, pattern};
use regex::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How far a range of numbers may reach: longer ones are no citation.
const LONGEST_RANGE: u32 = 60;

/// All citations, in the order of the text.
pub fn citations(blocks: &[Block], list: &[Fields]) -> Vec<Citation> {
    if list.is_empty() {
        return Vec::new();
    }
    let labels = Labels::of(list);
    let form = labels.form(blocks);
    let names = named::Index::of(list);
    let mut citations = Vec::new();
    for (index, block) in cited_in(blocks) {
        let found = match &form {
            Some(form) => labels.find(&block.text, *form),
            None => names.find(&block.text),
        };
        citations.extend(found.into_iter().map(|(start, text, references)| Citation {
            text: text.to_string(),
            block: index,
            start,
            references,
        }));
    }
    citations
}

/// Where it stands in bytes, its text, the entries.
pub type Found<'a> = (usize, &'a str, Vec<usize>);

fn cited_in(blocks: &[Block]) -> impl Iterator<Item = (usize, &Block)> {
    let prose = |kind: &BlockKind| {
        !matches!(kind, BlockKind::Code | BlockKind::Formula | BlockKind::Title | BlockKind::Authors)
    };
    blocks.iter().enumerate().filter(move |(_, block)| prose(&block.kind) && !belongs(block))
}

/// How a paper with labels cites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `[3]`
    Brackets,
    /// `(3)`
    Parentheses,
    /// Numbers set high, which stand at the end of words in the text: `known.3,4`
    Raised,
}

struct Labels {
    entries: HashMap<String, usize>,
    /// The list itself is set with brackets.
    bracketed: bool,
}

/// Bytes between brackets that may name entries.
const LONGEST_INSIDE: usize = 400;

impl Labels {
    fn of(list: &[Fields]) -> Labels {
        let mut entries = HashMap::new();
        for (index, fields) in list.iter().enumerate() {
            if let Some(label) = &fields.reference.label {
                entries.entry(label.clone()).or_insert(index);
            }
        }
        let bracketed = list.iter().any(|fields| fields.reference.text.starts_with(['[', '［']));
        Labels { entries, bracketed }
    }

    /// The form that names most entries; none where the list has no labels or nothing in the text names them.
    fn form(&self, blocks: &[Block]) -> Option<Form> {
        let named = |form: Form| {
            let found = cited_in(blocks).flat_map(|(_, block)| self.find(&block.text, form));
            let mut entries: Vec<usize> = found.flat_map(|(_, _, references)| references).collect();
            entries.sort_unstable();
            entries.dedup();
            entries.len()
        };
        if self.entries.is_empty() {
            return None;
        }
        // Numbers in parentheses and raised ones are many other things too: most of the list must be named by them.
        let enough = |form: Form| named(form) * 10 >= self.entries.len() * 7;
        let brackets = named(Form::Brackets);
        if brackets * 5 >= self.entries.len() || brackets > 0 && self.bracketed {
            return Some(Form::Brackets);
        }
        [Form::Parentheses, Form::Raised].into_iter().find(|form| enough(*form))
    }

    fn find<'a>(&self, text: &'a str, form: Form) -> Vec<Found<'a>> {
        static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[\[［]([^\[\]［］]+)[\]］]"));
        static PARENTHESES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\((\d{1,3}(?:\s?[,;–-]\s?\d{1,3})*)\)"));
        static RAISED: LazyLock<Regex> =
            LazyLock::new(|| pattern(r"[\p{Ll})\]”’][.,;:]?(\d{1,3}(?:\s?[,–-]\s?\d{1,3})*)(?:[\s.,;:)]|$)"));
        let (regex, raised) = match form {
            Form::Brackets => (&BRACKETS, false),
            Form::Parentheses => (&PARENTHESES, false),
            Form::Raised => (&RAISED, true),
        };
        let mut found = Vec::new();
        for captures in regex.captures_iter(text) {
            let (Some(whole), Some(inside)) = (captures.get(0), captures.get(1)) else { continue };
            if inside.len() > LONGEST_INSIDE {
                continue;
            }
            let shown = if raised { inside } else { whole };
            if !raised && is_no_citation(&text[..whole.start()], inside.as_str(), &text[whole.end()..]) {
                continue;
            }
            if let Some(references) = self.named(inside.as_str()) {
                found.push((shown.start(), shown.as_str(), references));
            }
        }
        found
    }

    /// The entries that the inside of a bracket names, if all of it names entries: `3`, `3-5, 7`, `Vas17; 3, p. 12`.
    fn named(&self, inside: &str) -> Option<Vec<usize>> {
        static NOTE: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r"^(?:see|e\.g\.|cf\.|also|and|p{1,2}\.|pages?|[Ss]ec(?:\.|tion)|[Cc]h(?:\.|apter)|Theorem|Fig\.|§)\s?.*$",
            )
        });
        let mut references = Vec::new();
        for part in inside.split([',', ';', '，', '、']).map(str::trim).filter(|part| !part.is_empty()) {
            let part = ["see also ", "see ", "e.g. ", "cf. ", "and "]
                .iter()
                .find_map(|word| part.strip_prefix(word))
                .unwrap_or(part);
            if let Some(index) = self.entries.get(part) {
                references.push(*index);
            } else if let Some((from, to)) = range(part) {
                let range = (from..=to).map(|number| self.entries.get(&number.to_string()).copied());
                references.extend(range.collect::<Option<Vec<usize>>>()?);
            } else if references.is_empty() || !NOTE.is_match(part) {
                return None;
            }
        }
        (!references.is_empty()).then_some(references)
    }
}

/// `3-5`
fn range(part: &str) -> Option<(u32, u32)> {
    let (from, to) = part.split_once(['-', '–', '—', '−', '~', '〜', '～'])?;
    let (from, to) = (from.trim().parse::<u32>().ok()?, to.trim().parse::<u32>().ok()?);
    (from < to && to - from <= LONGEST_RANGE).then_some((from, to))
}

/// Whether a bracket of numbers is an interval, an index or the number of an equation, by what stands around it.
fn is_no_citation(before: &str, inside: &str, behind: &str) -> bool {
    static OTHER: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?:[=∈⊂⊆×∪∩<>≤≥±\^]|(?i:\b(?:eqs?\.?|equations?|intervals?|ranges?|range of|bounded (?:in|by)|between|within|",
            r"lie in|clipped to|scale|scaled to|normali[sz]ed to|式|区間|範囲))|\b[a-zA-Z])$"
        ))
    });
    let numbers = inside.chars().all(|c| !c.is_alphabetic());
    let near = before.trim_end();
    let tail = near.char_indices().rev().nth(24).map_or(near, |(at, _)| &near[at..]);
    // An index touches its letter: `x[1]`; a single letter before a space may be any word's.
    let touching = before.len() == near.len();
    let letter = tail.ends_with(|c: char| c.is_alphabetic());
    let operator = OTHER.find(tail).is_some_and(|found| found.len() > 1 || !letter || touching);
    numbers && (operator || behind.starts_with(['^', '²', '×', 'ⁿ']) || behind.starts_with(" ×"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Part;
    use crate::document::references::read;

    /// A list of entries with the labels, and a text: what cites which.
    fn cite(labels: &[&str], text: &str) -> Vec<(String, Vec<usize>)> {
        let entry = |label: &&str| {
            let text = format!("{label} Ada Lovelace. Notes on engines. 1843.");
            Block::new(BlockKind::Reference, Part::References, text, Vec::new())
        };
        let mut blocks = vec![Block::new(BlockKind::Paragraph, Part::Body, text, Vec::new())];
        blocks.extend(labels.iter().map(entry));
        let (references, citations) = read(&blocks);
        assert_eq!(references.len(), labels.len());
        for citation in &citations {
            assert_eq!(&text[citation.start..citation.start + citation.text.len()], citation.text);
        }
        citations.into_iter().map(|citation| (citation.text, citation.references)).collect()
    }

    fn texts(labels: &[&str], text: &str) -> Vec<String> {
        cite(labels, text).into_iter().map(|(text, _)| text).collect()
    }

    const FIVE: [&str; 5] = ["[1]", "[2]", "[3]", "[4]", "[5]"];

    #[test]
    fn numbers_in_brackets() {
        let found = cite(&FIVE, "as in [3], in [3, 5] and in [1–3; 5], see [2, p. 12], not [9] nor [0, 1].");
        let expected =
            [("[3]", vec![2]), ("[3, 5]", vec![2, 4]), ("[1–3; 5]", vec![0, 1, 2, 4]), ("[2, p. 12]", vec![1])];
        assert_eq!(found, expected.map(|(text, references)| (text.to_string(), references)));
    }

    #[test]
    fn intervals_indices_and_equations_are_no_citations() {
        let text =
            "BERT [1] takes x ∈ [1, 2], the interval [2, 3], x[1] and y = [4], but Transformer[5] cites; eq. (3).";
        assert_eq!(texts(&FIVE, text), ["[1]", "[5]"]);
    }

    #[test]
    fn labels_of_letters() {
        let found = cite(&["[VSP+17]", "[BB01]"], "[VSP+17, BB01] but not [MASK]");
        assert_eq!(found, [("[VSP+17, BB01]".to_string(), vec![0, 1])]);
    }

    #[test]
    fn raised_numbers_where_the_paper_cites_by_them() {
        let list = ["1.", "2.", "3."];
        assert_eq!(texts(&list, "It is known.1,2 Others disagree3 on word2vec of 2017."), ["1,2", "3"]);
        assert_eq!(texts(&list, "It is known (1, 2), others disagree (3)."), ["(1, 2)", "(3)"]);
        assert!(texts(&list, "Nothing but item 1 and equation (2).").is_empty());
    }
}
