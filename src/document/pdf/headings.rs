//! Headings: their numbers, those that only their number's place in the sequence shows, and their levels.

use super::letters::is_cjk;
use super::lines::Style;
use super::marks::{begins_with_word, is_bullet, is_heading_text, is_item};
use super::paragraphs::Draft;
use crate::document::{BlockKind, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// How sections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Arabic,
    Roman,
    Letter,
}

impl Scheme {
    fn is_above(self, other: Scheme) -> bool {
        use Scheme::{Arabic, Letter, Roman};
        matches!((self, other), (Roman, Letter) | (Letter, Arabic) | (Arabic, Letter))
    }
}

/// A section's number: `3.2`, `A.1`, `IV`.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    pub label: String,
    pub scheme: Scheme,
    /// Its parts as numbers, from the section down.
    pub path: Vec<u32>,
}

impl Number {
    /// The number that `text` begins with, and the title behind it.
    pub fn of(text: &str) -> Option<(Number, &str)> {
        static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
            pattern(concat!(
                r"^((Section|Appendix|APPENDIX|付録)\s*)?(\d{1,2}([.．]\d{1,2}){0,3}|[A-Z]([.．]\d{1,2}){0,3}|[IVX]{1,5})",
                r"([.．:)]\s*|\s+|$)"
            ))
        });
        let found = NUMBER.captures(text).filter(|_| !begins_with_word(text))?;
        let label = found.get(3)?.as_str().replace('．', ".");
        let title = text.get(found.get(0)?.end()..)?;
        let named = found.get(2).is_some();
        let mut parts = label.split('.');
        let first = parts.next()?;
        let roman = roman(first).filter(|_| !named);
        let (scheme, first) = match (first.parse(), roman) {
            (Ok(number), _) => (Scheme::Arabic, number),
            (_, Some(number)) => (Scheme::Roman, number),
            _ => (Scheme::Letter, u32::from(*first.as_bytes().first()? - b'A') + 1),
        };
        let path = std::iter::once(first).chain(parts.filter_map(|part| part.parse().ok())).collect();
        Some((Number { label, scheme, path }, title))
    }

    /// One letter may be a number of either kind: it is a letter where sections are not counted in Roman numerals.
    pub fn settled(mut self, roman: bool) -> Number {
        if let ([letter], Scheme::Roman, false) = (self.label.as_bytes(), self.scheme, roman) {
            (self.scheme, self.path) = (Scheme::Letter, vec![u32::from(letter - b'A') + 1]);
        }
        self
    }

    /// Whether it may come next behind the heading that `above` ends with, within those before it: of its own scheme,
    /// or the first of the scheme below.
    fn comes_next(&self, above: &[Number]) -> bool {
        above.is_empty() && self.follows(None)
            || above.iter().any(|last| last.scheme == self.scheme && self.follows(Some(last)))
            || above.last().is_some_and(|last| {
                let in_roman = above[0].scheme == Scheme::Roman;
                last.scheme != self.scheme && (in_roman || last.scheme == Scheme::Arabic) && self.follows(Some(last))
            })
    }

    /// Whether it may come next after `last`: the same with one part counted on (one may have
    /// been missed), or a first part below it. Under Roman numerals stand letters, and under these Arabic numbers;
    /// behind sections with Arabic numbers stand appendices with letters.
    fn follows(&self, last: Option<&Number>) -> bool {
        let Some(last) = last else { return self.path == [1] || self.path == [0] };
        if last.scheme != self.scheme && last.scheme.is_above(self.scheme) {
            return self.path == [1];
        }
        let (Some((end, above)), len) = (self.path.split_last(), self.path.len()) else { return false };
        let counted = last
            .path
            .get(..len)
            .is_some_and(|start| start[..len - 1] == *above && (1..=2).contains(&end.saturating_sub(start[len - 1])));
        let below = last.path == above && *end == 1;
        self.scheme == last.scheme && (counted || below)
    }
}

fn roman(text: &str) -> Option<u32> {
    const NUMERALS: [&str; 20] = [
        "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI", "XVII",
        "XVIII", "XIX", "XX",
    ];
    (1..).zip(NUMERALS).find(|(_, numeral)| *numeral == text).map(|(number, _)| number)
}

/// Finds headings that are neither bold nor large: alone on their line, with the number that comes next, or set apart by
/// white space before a paragraph.
pub fn promote(drafts: &mut [Draft]) {
    let roman = counts_in_roman(drafts);
    // The last heading and those that it stands under, as far as they are counted in another way.
    let mut above: Vec<Number> = Vec::new();
    for index in 0..drafts.len() {
        let draft = &drafts[index];
        let number = Number::of(&draft.text).map(|(number, title)| (number.settled(roman), title));
        if draft.is_heading() {
            if let Some((number, _)) = number {
                enter(&mut above, number, roman);
            }
            continue;
        }
        let Some((number, title)) = number else { continue };
        let bare = matches!(draft.kind, BlockKind::Paragraph | BlockKind::ListItem) && !draft.tabular && !draft.inside;
        let in_list = number.path.len() == 1 && has_sibling(drafts, index, &number);
        if bare && draft.lines <= 2 && is_title(title) && number.comes_next(&above) && !in_list {
            drafts[index].kind = BlockKind::Heading { level: 0, number: None };
            enter(&mut above, number, roman);
        }
    }
}

/// Puts a heading's number behind those that it stands under: only where the paper counts its sections in Roman numerals.
fn enter(above: &mut Vec<Number>, number: Number, roman: bool) {
    let keep = above.iter().position(|other| !roman || !stands_over(other.scheme, number.scheme));
    above.truncate(keep.unwrap_or(above.len()));
    above.push(number);
}

fn stands_over(above: Scheme, below: Scheme) -> bool {
    above.is_above(below) || (above, below) == (Scheme::Roman, Scheme::Arabic)
}

/// Of a slide's large lines only the first of the largest are its heading.
pub fn keep_one_a_page(drafts: &mut [Draft]) {
    let mut first = 0;
    while first < drafts.len() {
        let page = drafts[first].page();
        let end =
            drafts[first..].iter().position(|draft| draft.page() != page).map_or(drafts.len(), |count| first + count);
        let slide = &mut drafts[first..end];
        let sizes = slide.iter().filter(|draft| draft.is_heading()).map(|draft| draft.style.size);
        let largest = sizes.fold(0.0, f32::max);
        let heading = slide.iter().position(|draft| draft.is_heading() && draft.style.size > 0.97 * largest);
        for (index, draft) in slide.iter_mut().enumerate() {
            if draft.is_heading() && heading != Some(index) {
                draft.kind = if is_bullet(&draft.text) { BlockKind::ListItem } else { BlockKind::Paragraph };
            }
        }
        first = end;
    }
}

/// Whether the paper has a section II.
pub fn counts_in_roman(drafts: &[Draft]) -> bool {
    let number = |draft: &Draft| Number::of(&draft.text).is_some_and(|(number, _)| number.label == "II");
    drafts.iter().any(|draft| draft.is_heading() && number(draft))
}

/// Whether the next items of a list count on from or up to this number.
fn has_sibling(drafts: &[Draft], index: usize, number: &Number) -> bool {
    let around = drafts[index.saturating_sub(2)..].iter().take(5);
    around.filter(|draft| !draft.is_heading() && is_item(&draft.text)).any(|draft| {
        let other = Number::of(&draft.text).map(|(other, _)| other);
        other.is_some_and(|other| other.path.len() == 1 && other.path[0].abs_diff(number.path[0]) == 1)
    })
}

fn is_title(text: &str) -> bool {
    let chars = text.chars().count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let starts = text.starts_with(|c: char| c.is_uppercase() || is_cjk(c));
    starts
        && (2..=90).contains(&chars)
        && 3 * letters > 2 * chars
        && !text.ends_with(['.', ',', ':', ';', '。', '．', '，'])
}

/// Gives headings their numbers and levels.
pub fn set_levels(drafts: &mut [Draft]) {
    let roman = counts_in_roman(drafts);
    let numbers: Vec<Option<Number>> = drafts
        .iter()
        .map(|draft| {
            draft.is_heading().then(|| Number::of(&draft.text)).flatten().map(|(number, _)| number.settled(roman))
        })
        .collect();
    let mut known: Vec<(Style, u8)> = Vec::new();
    let mut levels: Vec<Option<u8>> = Vec::with_capacity(drafts.len());
    for (draft, number) in drafts.iter().zip(&numbers) {
        let level = match number {
            Some(number) if roman && number.scheme == Scheme::Letter && number.path.len() == 1 => Some(2),
            Some(number) if roman && number.scheme == Scheme::Arabic && number.path.len() == 1 => Some(3),
            Some(number) => Some(number.path.len() as u8),
            None => is_heading_text(&draft.text).then_some(1),
        };
        if let (true, Some(level)) = (draft.is_heading(), level) {
            known.push((draft.style, level));
        }
        levels.push(level);
    }
    let unknown =
        |(draft, level): (&Draft, &Option<u8>)| (draft.is_heading() && level.is_none()).then_some(draft.style);
    let mut styles: Vec<Style> = drafts.iter().zip(&levels).filter_map(unknown).collect();
    styles.sort_by(|a, b| b.size.total_cmp(&a.size).then(b.bold.cmp(&a.bold)));
    styles.dedup_by(|b, a| b.is_like(a));
    for ((draft, number), level) in drafts.iter_mut().zip(numbers).zip(levels) {
        if draft.is_heading() {
            let level = level.unwrap_or_else(|| level_of(draft.style, &known, &styles));
            draft.kind = BlockKind::Heading { level, number: number.map(|number| number.label) };
        }
    }
}

/// The level of a heading without a number: that of most headings of its style; else one below those of the smallest
/// larger style; else by rank among its kind.
fn level_of(style: Style, known: &[(Style, u8)], styles: &[Style]) -> u8 {
    let alike = |level: u8| known.iter().filter(|(other, at)| *at == level && other.is_like(&style)).count();
    let most = (1..=4).max_by_key(|level| (alike(*level), std::cmp::Reverse(*level))).unwrap_or(1);
    if alike(most) > 0 {
        return most;
    }
    let larger = known.iter().filter(|(other, _)| other.size > 1.03 * style.size || other.bold && !style.bold);
    if let Some(level) = larger.map(|(_, level)| *level).max() {
        return (level + 1).min(6);
    }
    if !known.is_empty() {
        return 1;
    }
    styles.iter().position(|other| other.is_like(&style)).map_or(1, |rank| rank.min(3) as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::super::paragraphs::tests::draft;
    use super::*;

    fn levels(texts: &[&str]) -> Vec<Option<(u8, Option<String>)>> {
        let mut drafts: Vec<Draft> = texts.iter().map(|text| draft(text)).collect();
        promote(&mut drafts);
        set_levels(&mut drafts);
        let level = |draft: Draft| match draft.kind {
            BlockKind::Heading { level, number } => Some((level, number)),
            _ => None,
        };
        drafts.into_iter().map(level).collect()
    }

    fn at(level: u8, number: &str) -> Option<(u8, Option<String>)> {
        Some((level, Some(number.to_string())))
    }

    #[test]
    fn numbers_are_read_with_what_stands_behind_them() {
        for (text, label, title) in [
            ("3.2 Data", "3.2", "Data"),
            ("IV. RESULTS", "IV", "RESULTS"),
            ("A.1. More", "A.1", "More"),
            ("Appendix B Proofs", "B", "Proofs"),
            ("2．関連研究", "2", "関連研究"),
        ] {
            let (number, rest) = Number::of(text).expect(text);
            assert_eq!((number.label.as_str(), rest), (label, title));
        }
        assert_eq!(Number::of("Data"), None);
        assert_eq!(Number::of("2019 was"), None);
    }

    #[test]
    fn a_plain_line_with_the_number_that_comes_next_is_a_heading() {
        let texts =
            ["1 Introduction", "Some prose that goes on.", "2 The quick method", "2.1 Its parts", "9 lives of cats"];
        let expected = [at(1, "1"), None, at(1, "2"), at(2, "2.1"), None];
        assert_eq!(levels(&texts), expected);
    }

    #[test]
    fn an_appendix_begins_with_a_letter_and_no_list_in_it_with_a_number() {
        let texts = ["1 Introduction", "2 The quick method", "Appendix A. Prompts", "1 Layer of it", "B. More prompts"];
        assert_eq!(levels(&texts)[2..], [at(1, "A"), None, at(1, "B")]);
    }

    #[test]
    fn items_of_a_list_are_none() {
        let texts = ["1 Introduction", "1. Collect the data", "2. Train the model", "3. Look at it"];
        assert_eq!(levels(&texts)[1..], [None, None, None]);
    }

    #[test]
    fn letters_stand_under_roman_numerals_and_beside_arabic_ones() {
        let roman = [
            "I. INTRODUCTION",
            "II. METHODS AND DATA",
            "A. Collection of texts",
            "1) From the network",
            "Text that goes on.",
            "More of it.",
            "2) From books",
            "B. Training",
        ];
        let expected = [at(1, "I"), at(1, "II"), at(2, "A"), at(3, "1"), None, None, at(3, "2"), at(2, "B")];
        assert_eq!(levels(&roman), expected);
        assert_eq!(levels(&["1 INTRODUCTION", "C APPENDIX"])[1], at(1, "C"));
    }
}
