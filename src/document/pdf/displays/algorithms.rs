//! Algorithms: steps under a caption `Algorithm N`, between rules or with numbers, kept line by line.

use super::super::layout::Chunk;
use super::super::lines::{Line, Rect};
use super::code::indented;
use super::{Found, Sheet, is_running_text};
use crate::document::{BlockKind, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// Longer ones are taken for something else.
const MAX_LINES: usize = 120;

pub fn find(chunk: &Chunk, sheet: &Sheet, taken: &[bool]) -> Vec<Found> {
    static CAPTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(Algorithm|ALGORITHM|Procedure|Listing)\s+\d+\b"));
    let mut found = Vec::new();
    let mut end = 0;
    for (index, line) in chunk.lines.iter().enumerate() {
        if index < end || taken[index] || !CAPTION.is_match(&line.text) {
            continue;
        }
        let free = chunk.lines[index + 1..].iter().zip(&taken[index + 1..]).take(MAX_LINES);
        let free = free.take_while(|(_, taken)| !**taken).count();
        let below = &chunk.lines[index + 1..index + 1 + free];
        let steps = ruled(line, below, sheet).or_else(|| numbered(line, below));
        if let Some((skip, count)) = steps.filter(|(_, count)| *count >= 2) {
            let lines: Vec<usize> = (index + 1 + skip..index + 1 + skip + count).collect();
            end = index + 1 + skip + count;
            let rows: Vec<&Line> = lines.iter().map(|index| &chunk.lines[*index]).collect();
            found.push(Found { text: indented(&rows), lines, kind: BlockKind::Code });
        }
    }
    found
}

/// Between the rule under the caption and the last one: how many lines to skip, and how many follow.
fn ruled(caption: &Line, below: &[Line], sheet: &Sheet) -> Option<(usize, usize)> {
    let reaches = |rule: &&Rect| {
        let level = rule.bottom - rule.top < 3.0 && rule.width() > 60.0;
        level && rule.left < caption.bbox.left + caption.size && rule.right > caption.bbox.left + 6.0 * caption.size
    };
    let mut rules: Vec<&Rect> = sheet.rules.iter().filter(reaches).filter(|rule| rule.top > caption.baseline).collect();
    rules.sort_by(|a, b| a.top.total_cmp(&b.top));
    let (first, last) = (rules.first()?, rules.get(1)?);
    let skip = below.iter().take_while(|line| line.baseline < first.top).count();
    let count = below[skip..].iter().take_while(|line| line.baseline < last.top).count();
    let steps = &below[skip..skip + count];
    let running = steps.iter().filter(|line| is_running_text(line)).count();
    (skip <= 3 && 2 * running <= count).then_some((skip, count))
}

/// Without rules: while lines have numbers, or are indented behind one that has.
fn numbered(caption: &Line, below: &[Line]) -> Option<(usize, usize)> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,2}\s?[:.]?\s+\S"));
    static START: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(Input|Output|Require|Ensure|Data|Result|Initiali[sz]e)\b"));
    let skip = below.iter().take(4).position(|line| NUMBER.is_match(&line.text) || START.is_match(&line.text))?;
    let left = below[skip].bbox.left;
    let belongs = |line: &&Line| {
        NUMBER.is_match(&line.text) || START.is_match(&line.text) || line.bbox.left > left + 0.8 * caption.size
    };
    let count = below[skip..].iter().take_while(belongs).count();
    let steps = &below[skip..skip + count];
    let numbers = steps.iter().filter(|line| NUMBER.is_match(&line.text)).count();
    (2 * numbers >= count).then_some((skip, count))
}

#[cfg(test)]
mod tests {
    use super::super::super::faces::Face;
    use super::super::tests::{chunk, line, prose};
    use super::*;

    fn step(row: usize, text: &str, left: f32) -> Line {
        line(row, &[(text, left)], Face::Plain)
    }

    fn algorithm() -> Vec<Line> {
        vec![
            step(0, "Algorithm 1 Search", 100.0),
            step(1, "1: for each x do", 100.0),
            step(2, "2: y = f(x)", 120.0),
            prose(4),
        ]
    }

    #[test]
    fn numbered_steps_under_the_caption_are_kept_line_by_line() {
        let found = find(&chunk(algorithm()), &Sheet::default(), &[false; 4]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].lines.as_slice(), found[0].text.as_str()),
            (&[1, 2][..], "1: for each x do\n    2: y = f(x)")
        );
    }

    #[test]
    fn rules_hold_steps_without_numbers() {
        let rule = |top: f32| Rect { left: 100.0, top, right: 320.0, bottom: top + 0.4 };
        let sheet = Sheet { rules: vec![rule(88.0), rule(103.0), rule(130.0)], body: 10.0, ..Sheet::default() };
        let mut lines = algorithm();
        lines[1] = step(1, "for each x do", 100.0);
        lines[2] = step(2, "y = f(x)", 120.0);
        assert_eq!(find(&chunk(lines.clone()), &sheet, &[false; 4])[0].lines, [1, 2]);
        assert_eq!(find(&chunk(lines), &Sheet::default(), &[false; 4]), [], "neither rules nor numbers");
    }

    #[test]
    fn a_sentence_about_an_algorithm_is_no_caption_of_one() {
        let lines = vec![step(0, "Algorithm 1 is fast, as we show.", 100.0), prose(1), prose(2)];
        assert_eq!(find(&chunk(lines), &Sheet::default(), &[false; 3]), []);
    }
}
