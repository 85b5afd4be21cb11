//! Whether what an answer says stands in the paper: its links, its numbers, and the works that it recommends.

use crate::document::{Document, Reference};
use crate::pipeline::{self, Known};
use regex::Regex;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

/// A work is recognised by this share of the words of its title.
const SHARED: f64 = 0.8;
/// Titles of fewer words are common phrases.
const TELLING_WORDS: usize = 2;

/// What a paper says, looked up many times.
pub struct Truth {
    links: Known,
    numbers: HashSet<String>,
    /// The words of each title of the reference list, or of the whole entry where its title is not known.
    works: Vec<(HashSet<String>, bool)>,
}

/// What was checked of an answer, and what the paper does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub links: usize,
    pub invented_links: Vec<String>,
    pub numbers: usize,
    pub invented_numbers: Vec<String>,
}

impl Truth {
    pub fn of(document: &Document) -> Truth {
        let numbers = numbers(&document.text()).into_iter().collect();
        let works = document.references.iter().map(work).collect();
        Truth { links: Known::of(document), numbers, works }
    }

    pub fn check(&self, text: &str) -> Checked {
        let links = unique(pipeline::addresses(text).into_iter().map(str::to_string));
        let without_links = links.iter().fold(text.to_string(), |text, link| text.replace(link.as_str(), " "));
        let numbers = unique(numbers(&without_links).into_iter());
        Checked {
            links: links.len(),
            numbers: numbers.len(),
            invented_links: links.into_iter().filter(|link| !self.links.has(link)).collect(),
            invented_numbers: numbers.into_iter().filter(|number| !self.has_number(number)).collect(),
        }
    }

    /// As it stands there, or as a share of 100; a rounded number is another number.
    fn has_number(&self, number: &str) -> bool {
        let percent = number.parse::<f64>().ok().map(|value| [value * 100.0, value / 100.0]);
        let mut forms = percent.iter().flatten().map(|value| plain(&format!("{value:.6}")));
        self.numbers.contains(number) || forms.any(|form| self.numbers.contains(&form))
    }

    /// For each item of a reading list, whether it is a work of the reference list. None where the paper has no list that
    /// could be read.
    pub fn works(&self, list: &str) -> Option<Vec<(String, bool)>> {
        if self.works.is_empty() {
            return None;
        }
        Some(items(list).into_iter().map(|item| (item.to_string(), self.has_work(item))).collect())
    }

    fn has_work(&self, item: &str) -> bool {
        let said = words(item);
        let titled = quoted(item).map(words);
        self.works.iter().any(|(work, is_title)| match (is_title, &titled) {
            (true, _) => shares(work, &said),
            // The entry has more words than the title; what is quoted must stand in it.
            (false, Some(title)) => shares(title, work),
            (false, None) => false,
        })
    }
}

fn work(reference: &Reference) -> (HashSet<String>, bool) {
    match &reference.title {
        Some(title) => (words(title), true),
        None => (words(&reference.text), false),
    }
}

fn shares(title: &HashSet<String>, text: &HashSet<String>) -> bool {
    title.len() >= TELLING_WORDS && title.intersection(text).count() as f64 >= SHARED * title.len() as f64
}

fn words(text: &str) -> HashSet<String> {
    let text: String = text.nfkc().flat_map(char::to_lowercase).collect();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 1);
    words.map(str::to_string).collect()
}

/// The lines of a list, without marks; lines below an item belong to it.
fn items(list: &str) -> Vec<&str> {
    static ITEM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*(?:[-*•・+]|\d{1,2}[.)、．])[ \t]*(\S.*)$").expect("a constant pattern")
    });
    ITEM.captures_iter(list).filter_map(|found| found.get(1)).map(|item| item.as_str()).collect()
}

/// What an item names in quotation marks or in bold, as titles are.
fn quoted(item: &str) -> Option<&str> {
    static TITLE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#""([^"]{8,})"|“([^”]{8,})”|「([^」]{4,})」|『([^』]{4,})』|\*\*([^*]{8,})\*\*|\*([^*]{8,})\*"#)
            .expect("a constant pattern")
    });
    TITLE.captures(item)?.iter().skip(1).flatten().next().map(|title| title.as_str())
}

/// The numbers of a text in one spelling, in order. Not those that number a list, are a part of a name (GPT-4), have one
/// digit, or stand before a counting word of Japanese (3万).
fn numbers(text: &str) -> Vec<String> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t#*]*\d{1,2}[.)、．](?:[ \t]|$)|\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
            .expect("a constant pattern")
    });
    let text: String = text.nfkc().collect();
    let mut numbers = Vec::new();
    for found in NUMBER.find_iter(&text) {
        let (before, after) = (text[..found.start()].chars().next_back(), text[found.end()..].chars().next());
        let numbers_a_list = found.as_str().ends_with([')', '.', '、', ' ', '\t']);
        // In Latin script a letter or a hyphen binds; Japanese writes numbers without a space.
        let in_a_name = before.is_some_and(|c| c.is_ascii_alphabetic() || "-_/.".contains(c));
        let counted = after.is_some_and(|c| "万億兆千百".contains(c));
        let number = plain(found.as_str());
        if !numbers_a_list && !in_a_name && !counted && number.len() > 1 {
            numbers.push(number);
        }
    }
    numbers
}

/// `1,000.50` as `1000.5`.
fn plain(number: &str) -> String {
    let number = number.replace(',', "");
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    let number = number.trim_start_matches('0');
    if number.is_empty() || number.starts_with('.') { format!("0{number}") } else { number.to_string() }
}

fn unique(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Block, BlockKind, Link, LinkKind, Part, Source};

    fn truth() -> Truth {
        let text = "We reach 28.4 BLEU with 65,000,000 parameters, 41.8 % of 4.5 million pairs, in 2017.";
        let entry = |title: Option<&str>, text: &str| Reference {
            title: title.map(str::to_string),
            text: text.into(),
            ..Reference::default()
        };
        let url = "https://github.com/own/code".into();
        Truth::of(&Document {
            blocks: vec![Block::new(BlockKind::Paragraph, Part::Body, text, vec![])],
            links: vec![Link { url, page: 1, bbox: None, kind: LinkKind::Code }],
            references: vec![
                entry(Some("Neural machine translation by jointly learning to align and translate"), ""),
                entry(None, "[2] S. Hochreiter and J. Schmidhuber. Long short-term memory. Neural computation, 1997."),
            ],
            ..Document::empty("p", Source::Text)
        })
    }

    #[test]
    fn links_and_numbers_of_the_paper_are_known_in_any_spelling() {
        let checked =
            truth().check("28.40 BLEU, 65000000 parameters and 0.418 of it: https://github.com/own/code (2017).");
        assert_eq!((checked.links, checked.numbers), (1, 4));
        assert!(checked.invented_links.is_empty() && checked.invented_numbers.is_empty(), "{checked:?}");
    }

    #[test]
    fn what_the_paper_does_not_say_is_listed_once() {
        let text = "29.1 BLEU, again 29.1, on 12 GPUs, see https://github.com/made/up2024 and [x](http://made.up/x).";
        let checked = truth().check(text);
        assert_eq!(checked.invented_links, ["https://github.com/made/up2024", "http://made.up/x"]);
        assert_eq!(checked.invented_numbers, ["29.1", "12"]);
    }

    #[test]
    fn lists_names_and_counts_are_no_numbers() {
        let text = "## 12. Method\n1. GPT-4 and T5-11 do it in 3 steps.\n10) ResNet50\n約3万件と 99 件。";
        assert_eq!(numbers(text), ["99"]);
        assert_eq!(numbers("２８．４点、BLEUは41.8"), ["28.4", "41.8"]);
    }

    #[test]
    fn recommended_works_are_held_to_the_reference_list() {
        let list = "Read these:\n- **Neural Machine Translation by Jointly Learning to Align and Translate**, Bahdanau: why.\n\
            1. \"Long short-term memory\" by Hochreiter: it is the basis.\n* \"A work nobody has ever written\", Smith 2020";
        let found: Vec<bool> = truth().works(list).unwrap().into_iter().map(|(_, known)| known).collect();
        assert_eq!(found, [true, true, false]);
        let none = Truth::of(&Document::empty("p", Source::Text));
        assert_eq!(none.works(list), None);
    }
}
