//! Displayed formulas: lines of symbols set apart from the text, with the numerators, denominators and limits that stand
//! as lines of their own above and below them.

use super::super::faces::Face;
use super::super::fragments::Fragment;
use super::super::layout::Chunk;
use super::super::letters::is_cjk;
use super::super::lines::{Line, Rect};
use super::super::marks::{is_bullet, is_caption};
use super::{Found, Sheet, is_running_text, linear};
use crate::document::{BlockKind, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// Share of symbols among the letters and symbols of a formula; and of one that has a number.
const SYMBOLS: f32 = 0.5;
const NUMBERED: f32 = 0.25;
/// Words that stand in formulas.
const NAMES: [&str; 34] = [
    "exp",
    "log",
    "ln",
    "sin",
    "cos",
    "tan",
    "tanh",
    "max",
    "min",
    "arg",
    "argmax",
    "argmin",
    "softmax",
    "sigmoid",
    "relu",
    "gelu",
    "lim",
    "sup",
    "inf",
    "det",
    "dim",
    "mod",
    "var",
    "cov",
    "diag",
    "rank",
    "sign",
    "where",
    "if",
    "otherwise",
    "for",
    "and",
    "with",
    "subject",
];

/// Words that stand in sentences only.
const SENTENCE: [&str; 14] =
    ["is", "are", "of", "the", "we", "to", "in", "that", "it", "this", "by", "can", "has", "have"];

pub fn find(chunk: &Chunk, _: &Sheet, taken: &[bool]) -> Vec<Found> {
    let lines = &chunk.lines;
    let cores = cores(chunk, taken);
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(core) = (next..lines.len()).find(|index| cores[*index]) {
        let mut first = core;
        while first > next && !taken[first - 1] && belongs(&lines[first - 1], &lines[first..=core], chunk) {
            first -= 1;
        }
        let mut last = core;
        while last + 1 < lines.len()
            && !taken[last + 1]
            && (cores[last + 1] && follows(&lines[last + 1], &lines[last])
                || belongs(&lines[last + 1], &lines[first..=last], chunk))
        {
            last += 1;
        }
        let text = linear::text(&lines[first..=last], |line| cores[first..=last].get(line).copied().unwrap_or(false));
        found.push(Found { lines: (first..=last).collect(), kind: BlockKind::Formula, text });
        next = last + 1;
    }
    found
}

/// Which lines are rows of formulas, and no numerators or denominators beside such rows.
fn cores(chunk: &Chunk, taken: &[bool]) -> Vec<bool> {
    let lines = &chunk.lines;
    let mut cores: Vec<bool> = lines.iter().zip(taken).map(|(line, taken)| !taken && is_formula(line, chunk)).collect();
    for (index, core) in cores.iter_mut().enumerate().filter(|(_, core)| **core) {
        *core = number(&lines[index], chunk) || !stands_in_text(lines, index);
    }
    let weight = |line: &Line| (number(line, chunk), line.bbox.width());
    for index in 0..lines.len() {
        let beside = |other: &usize| {
            *other != index
                && (lines[*other].baseline - lines[index].baseline).abs() < 1.15 * lines[*other].size
                && weight(&lines[*other]) > weight(&lines[index])
        };
        let around = index.saturating_sub(3)..(index + 4).min(lines.len());
        if cores[index] && around.clone().filter(|other| cores[*other]).any(|other| beside(&other)) {
            cores[index] = false;
        }
    }
    cores
}

/// Whether a line of running text is so near that the line must be a part of it: a fraction within the text.
fn stands_in_text(lines: &[Line], index: usize) -> bool {
    let around = index.saturating_sub(3)..(index + 4).min(lines.len());
    let near = |other: &Line| (other.baseline - lines[index].baseline).abs() < 0.95 * other.size;
    around.filter(|other| *other != index).any(|other| is_running_text(&lines[other]) && near(&lines[other]))
}

/// Whether a line is the heart of a formula.
fn is_formula(line: &Line, chunk: &Chunk) -> bool {
    if is_bullet(&line.text) || is_caption(&line.text) {
        return false;
    }
    let em = line.size;
    let numbered = number(line, chunk);
    let content = &line.fragments[..line.fragments.len() - usize::from(numbered)];
    let signs = Signs::of(content);
    let (Some(first), Some(last)) = (content.first(), content.last()) else { return false };
    let relation = content.iter().any(|part| part.text.contains(is_relation));
    if numbered {
        return signs.share() >= NUMBERED && signs.words <= 2 + content.len() / 4 && (relation || signs.words <= 1);
    }
    if content
        .iter()
        .any(|part| SENTENCE.contains(&name(&part.text).as_str()) && part.text.chars().all(char::is_alphabetic))
    {
        return false;
    }
    let (indent, rest) = (first.left - chunk.left, chunk.right - last.right);
    let apart = indent > 1.2 * em && (rest > 2.0 * em || (indent - rest).abs() < 3.0 * em);
    apart
        && relation
        && signs.share() >= SYMBOLS
        && signs.words * 5 <= content.len()
        && signs.symbols >= 3
        && line.chars >= 5
}

/// Whether the line ends with the formula's number, apart from it and at the column's edge.
fn number(line: &Line, chunk: &Chunk) -> bool {
    static NUMBER: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^[(（](Eq\.\s?)?[A-Z]?\.?\d{1,3}([.\-]\d{1,3})*[a-z]?[)）]$"));
    let [.., before, last] = &line.fragments[..] else { return false };
    NUMBER.is_match(&last.text)
        && last.left - before.right > 1.2 * line.size
        && last.right > chunk.right - 2.0 * line.size
}

fn is_relation(c: char) -> bool {
    "=≤≥<>≈≡∼≃≅∝∈⊂⊆→←↔⇒⇔↦≜≪≫≠:+−×⊗⊕⊙∑∏∫√".contains(c)
}

/// The letters and symbols of fragments, by what they stand for. Digits, brackets and punctuation say nothing.
#[derive(Default)]
struct Signs {
    symbols: usize,
    letters: usize,
    /// Words of the language.
    words: usize,
}

impl Signs {
    fn of(fragments: &[Fragment]) -> Signs {
        let mut signs = Signs::default();
        let size = fragments.iter().map(|fragment| fragment.size).fold(0.0, f32::max);
        // A word in a script is a name: `d` of the model, `x` at the start.
        let in_script = |fragment: &Fragment| fragment.size < 0.8 * size;
        for fragment in fragments {
            let letters = fragment.text.chars().filter(|c| c.is_alphabetic()).count();
            let name = name(&fragment.text);
            let function = fragment.text.contains('(') && !fragment.text.starts_with('(');
            let variable = match fragment.face {
                Face::Math => true,
                Face::Italic => letters <= 2,
                Face::Plain | Face::Mono => letters == 1 || fragment.text.chars().all(is_greek),
            };
            let symbols = fragment.text.chars().filter(|c| is_symbol(*c)).count();
            signs.symbols += symbols + if variable { letters } else { 0 };
            if !variable && !function && !in_script(fragment) && !NAMES.contains(&name.as_str()) {
                signs.letters += letters;
                let cjk = fragment.text.chars().any(is_cjk);
                signs.words += usize::from(cjk || letters >= 3 && fragment.text.contains(char::is_lowercase));
            }
        }
        signs
    }

    fn share(&self) -> f32 {
        self.symbols as f32 / (self.symbols + self.letters).max(1) as f32
    }
}

/// The letters that a fragment starts with, brackets and signs before them aside.
fn name(text: &str) -> String {
    let text = text.trim_start_matches(|c: char| !c.is_alphabetic());
    text.chars().take_while(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect()
}

fn is_greek(c: char) -> bool {
    ('\u{391}'..='\u{3C9}').contains(&c)
}

fn is_symbol(c: char) -> bool {
    is_relation(c) && c != ':'
        || matches!(c as u32, 0x2200..=0x22FF | 0x2190..=0x21FF | 0x27C0..=0x27EF | 0x2A00..=0x2AFF)
}

/// The next line of a formula of several: right under it.
fn follows(line: &Line, above: &Line) -> bool {
    line.baseline - above.baseline < 3.2 * line.size.max(above.size)
}

/// A part of a fraction, a limit, the end of a formula: symbols without words, right above or below the lines of `group`
/// and within their width or nearly so.
fn belongs(line: &Line, group: &[Line], chunk: &Chunk) -> bool {
    let Some(area) = group.iter().map(|line| line.bbox).reduce(Rect::union) else { return false };
    let size = group.iter().map(|line| line.size).fold(line.size, f32::max);
    let near = group.iter().any(|other| (other.baseline - line.baseline).abs() < 1.5 * size);
    let overlaps = line.bbox.left < area.right + size && line.bbox.right > area.left - size;
    let signs = Signs::of(&line.fragments);
    let inside = line.bbox.left > chunk.left + 0.8 * size;
    let symbolic = signs.words == 0 && (signs.symbols > 0 || signs.letters <= 2 || line.size < 0.85 * size);
    near && overlaps && inside && symbolic && line.chars <= 60 && !is_bullet(&line.text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chunk, line, prose};
    use super::*;

    /// `E = m c (1)` in the middle of the column, its number at the edge.
    fn formula(row: usize) -> Line {
        line(row, &[("E", 180.0), ("=", 190.0), ("m", 200.0), ("c", 206.0), ("(1)", 305.0)], Face::Math)
    }

    fn found(lines: Vec<Line>) -> Vec<Vec<usize>> {
        let taken = vec![false; lines.len()];
        find(&chunk(lines), &Sheet::default(), &taken).into_iter().map(|found| found.lines).collect()
    }

    #[test]
    fn a_formula_is_found_between_lines_of_text_with_its_limits() {
        let mut limit = line(2, &[("i", 190.0)], Face::Math);
        limit.size = 7.0;
        assert_eq!(found(vec![prose(0), formula(1), limit, prose(4)]), [[1, 2]]);
        let unnumbered = line(1, &[("x", 180.0), ("≤", 190.0), ("y+z", 200.0)], Face::Math);
        assert_eq!(found(vec![prose(0), unnumbered, prose(3)]), [[1]]);
    }

    #[test]
    fn text_with_symbols_in_it_stays_text() {
        let words = [("where", 100.0), ("x", 130.0), ("=", 140.0), ("y", 150.0), ("holds", 160.0), ("here", 190.0)];
        assert!(found(vec![prose(0), line(1, &words, Face::Plain), prose(2)]).is_empty());
        let end = line(1, &[("x", 100.0), ("=", 110.0), ("y.", 120.0)], Face::Math);
        assert!(found(vec![prose(0), end, prose(2)]).is_empty(), "the last line of a paragraph");
        let heading = line(1, &[("Results", 160.0), ("and", 200.0), ("Discussion", 220.0)], Face::Plain);
        assert!(found(vec![prose(0), heading, prose(2)]).is_empty());
    }
}
