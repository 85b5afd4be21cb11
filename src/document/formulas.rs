//! Displayed formulas. Numerators, denominators and the limits of sums stand in rows of their own; they go into the line
//! of the formula, row by row.

use super::lines::{Line, Rect};
use super::marks::{is_bullet, is_item};

/// Signs that a line with one of them is the formula's own row.
const RELATIONS: [char; 14] = ['=', '≈', '≤', '≥', '<', '>', '∈', '∝', '≡', '∼', '→', '←', '≜', '≪'];

/// One column's lines, from the top, with each displayed formula as one line.
pub fn merge(lines: &[Line]) -> Vec<Line> {
    let mut out = Vec::with_capacity(lines.len());
    let mut done = 0;
    for (index, core) in lines.iter().enumerate() {
        if index < done || !is_core(core) {
            continue;
        }
        let above = lines[done..index].iter().rev().take_while(|line| belongs(line, core)).count();
        let below = lines[index + 1..].iter().take_while(|line| belongs(line, core)).count();
        if above + below > 0 {
            out.extend_from_slice(&lines[done..index - above]);
            done = index + below + 1;
            out.push(joined(&lines[index - above..done], core));
        }
    }
    out.extend_from_slice(&lines[done..]);
    out
}

/// A relation, and at most one word: "where" or "otherwise", but no prose.
fn is_core(line: &Line) -> bool {
    line.chars >= 3 && !line.bold && line.text.contains(RELATIONS) && words(&line.text, 3) <= 1
}

/// Whether `line` is a part of the formula in whose row `core` stands: over or under it, nearer than another line of text
/// would be.
fn belongs(line: &Line, core: &Line) -> bool {
    let small = line.size < 0.85 * core.size;
    let reach = if small { 1.8 } else { 1.05 } * core.size;
    let Rect { left, right, .. } = core.bbox;
    (line.baseline - core.baseline).abs() < reach
        && line.size < 1.05 * core.size
        && line.bbox.left > left - core.size
        && line.bbox.right < right + core.size
        && line.chars <= 30
        && words(&line.text, 4) == 0
        && (small || !is_core(line))
        && !line.marked
        && !is_bullet(&line.text)
        && !is_item(&line.text)
}

/// Words of at least so many letters, with nothing else in them.
fn words(text: &str, letters: usize) -> usize {
    let word = |token: &&str| token.chars().all(char::is_alphabetic) && token.chars().count() >= letters;
    text.split_whitespace().filter(word).count()
}

fn joined(rows: &[Line], core: &Line) -> Line {
    let text = rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join(" ");
    let bbox = rows.iter().fold(core.bbox, |bbox, row| bbox.union(row.bbox));
    Line { text, bbox, chars: rows.iter().map(|row| row.chars).sum(), ..core.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::texts;
    use super::*;

    fn line(text: &str, left: f32, right: f32, baseline: f32, size: f32) -> Line {
        let bbox = Rect { left, top: baseline - 0.75 * size, right, bottom: baseline + 0.22 * size };
        Line { text: text.into(), bbox, baseline, size, chars: text.chars().count(), ..Line::default() }
    }

    #[test]
    fn a_fraction_and_the_limits_of_a_sum_join_their_row() {
        let lines = [
            line("We compute the outputs as", 100.0, 400.0, 80.0, 10.0),
            line("n", 150.0, 155.0, 91.0, 7.0),
            line("q k", 180.0, 195.0, 93.2, 10.0),
            line("o = ∑ softmax( √ ) v, (1)", 120.0, 400.0, 100.0, 10.0),
            line("d", 185.0, 190.0, 108.0, 10.0),
            line("j=1", 148.0, 158.0, 111.0, 7.0),
            line("with head dimension d.", 100.0, 400.0, 124.0, 10.0),
        ];
        let expected = ["We compute the outputs as", "n q k o = ∑ softmax( √ ) v, (1) d j=1", "with head dimension d."];
        assert_eq!(texts(&merge(&lines)), expected);
    }

    #[test]
    fn rows_of_equations_and_of_tables_and_prose_keep_their_lines() {
        for rows in
            [["a = b + c", "= d + e"], ["N = 6", "512 2048"], ["the sum is = 3 and more", "dk"], ["x = 3", "and then"]]
        {
            let lines: Vec<Line> = (0_u8..)
                .zip(rows)
                .map(|(row, text)| line(text, 100.0, 200.0, 100.0 + 12.0 * f32::from(row), 10.0))
                .collect();
            assert_eq!(texts(&merge(&lines)), rows);
        }
        let near = [line("the sum is = 3 and more", 100.0, 300.0, 100.0, 10.0), line("dk", 150.0, 160.0, 108.0, 10.0)];
        assert_eq!(merge(&near).len(), 2);
    }
}
