//! A page's glyphs set right before they become lines: drawn twice, accents apart from their letters, vertical writing.

use super::letters::{is_cjk, is_spacing_accent, with_accent};
use super::pdfium::{Flow, Glyph, UNMAPPED};
use std::collections::HashMap;

/// The glyphs of a page by the way they run, vertical writing found out; glyphs drawn twice (fake bold) only once.
/// The flow with most glyphs comes first.
pub fn by_flow(glyphs: Vec<Glyph>) -> Vec<(Flow, Vec<Glyph>)> {
    let glyphs = compose_accents(mend_sizes(without_doubles(straighten(glyphs))));
    let vertical = is_vertical_writing(&glyphs);
    let mut groups: Vec<(Flow, Vec<Glyph>)> = Vec::new();
    for mut glyph in glyphs {
        if vertical && glyph.flow == Flow::Right {
            glyph.flow = Flow::Down;
            // Vertical glyphs have their origin anywhere; their middle is on the line.
            glyph.origin =
                ((glyph.bbox[0] + glyph.bbox[2]) / 2.0 - 0.38 * glyph.size, (glyph.bbox[1] + glyph.bbox[3]) / 2.0);
        }
        match groups.iter_mut().find(|(flow, _)| *flow == glyph.flow) {
            Some((_, group)) => group.push(glyph),
            None => groups.push((glyph.flow, vec![glyph])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

/// Sides of the squares that glyphs are looked up in, in points.
const CELL: f32 = 6.0;

/// Drops a glyph that stands (almost) where the same one already stands.
fn without_doubles(glyphs: Vec<Glyph>) -> Vec<Glyph> {
    let mut seen: HashMap<(char, i32, i32), Vec<(f32, f32)>> = HashMap::new();
    let mut kept: Vec<Glyph> = Vec::with_capacity(glyphs.len());
    for glyph in glyphs {
        let (x, y) = glyph.origin;
        if kept.last().is_some_and(|last| last.bbox == glyph.bbox && last.origin == glyph.origin) {
            // The letters of a ligature, which PDFium puts in one place.
            kept.push(glyph);
            continue;
        }
        let near = (0.12 * glyph.size).clamp(0.0, 1.5);
        let cell = |at: f32| (at / CELL).floor() as i32;
        // Mostly one cell, at most four.
        let doubled = (cell(x - near)..=cell(x + near)).any(|column| {
            (cell(y - near)..=cell(y + near)).any(|row| {
                let others = seen.get(&(glyph.ch, column, row));
                others.is_some_and(|all| all.iter().any(|(a, b)| (a - x).abs() < near && (b - y).abs() < near))
            })
        });
        if doubled && glyph.ch != UNMAPPED {
            continue;
        }
        let places = seen.entry((glyph.ch, cell(x), cell(y))).or_default();
        if places.len() < 8 {
            places.push((x, y));
        }
        kept.push(glyph);
    }
    kept
}

/// Letters that a program slanted itself, for want of an italic font, run to the right like others: only their own axis
/// is skewed, not the line through their origins.
fn straighten(mut glyphs: Vec<Glyph>) -> Vec<Glyph> {
    let runs_right = |a: &Glyph, b: &Glyph| {
        let (x, y) = (b.origin.0 - a.origin.0, b.origin.1 - a.origin.1);
        y.abs() < 0.05 * a.size && x > 0.1 * a.size && x < 3.0 * a.size
    };
    let straight: Vec<bool> = (0..glyphs.len())
        .map(|index| {
            let before = index.checked_sub(1).map(|before| runs_right(&glyphs[before], &glyphs[index]));
            let after = glyphs.get(index + 1).map(|after| runs_right(&glyphs[index], after));
            before == Some(true) || after == Some(true)
        })
        .collect();
    for (glyph, straight) in glyphs.iter_mut().zip(straight) {
        if glyph.flow == Flow::Skewed && straight {
            glyph.flow = Flow::Right;
        }
    }
    glyphs
}

/// Type 3 fonts may give any size; where most of a page's sizes disagree with the boxes, the boxes are right.
fn mend_sizes(mut glyphs: Vec<Glyph>) -> Vec<Glyph> {
    let mut ratios: Vec<f32> = glyphs
        .iter()
        .filter(|glyph| glyph.flow == Flow::Right)
        .map(|glyph| (glyph.bbox[3] - glyph.bbox[1]) / glyph.size)
        .filter(|ratio| ratio.is_finite())
        .collect();
    if ratios.is_empty() {
        return glyphs;
    }
    let middle = ratios.len() / 2;
    let median = *ratios.select_nth_unstable_by(middle, f32::total_cmp).1;
    if !(0.3..=3.0).contains(&median) {
        for glyph in &mut glyphs {
            glyph.size = (glyph.bbox[3] - glyph.bbox[1]).clamp(1.0, 1000.0);
        }
    }
    glyphs
}

/// An accent that stands over (or under) a letter, as LaTeX draws them, becomes one character with it.
fn compose_accents(mut glyphs: Vec<Glyph>) -> Vec<Glyph> {
    if !glyphs.iter().any(|glyph| is_spacing_accent(glyph.ch)) {
        return glyphs;
    }
    let cell = |x: f32, y: f32| ((x / 8.0) as i32, (y / 8.0) as i32);
    let mut letters: HashMap<(i32, i32), Vec<usize>> = HashMap::new();
    for (index, glyph) in glyphs.iter().enumerate() {
        if glyph.ch.is_alphabetic() && !is_spacing_accent(glyph.ch) {
            let middle = (glyph.bbox[0] + glyph.bbox[2]) / 2.0;
            let cell = letters.entry(cell(middle, glyph.origin.1)).or_default();
            if cell.len() < 64 {
                cell.push(index);
            }
        }
    }
    let mut composed = vec![false; glyphs.len()];
    for index in 0..glyphs.len() {
        let accent = &glyphs[index];
        if !is_spacing_accent(accent.ch) || accent.flow != Flow::Right {
            continue;
        }
        let (ch, size, y) = (accent.ch, accent.size, accent.origin.1);
        let middle = (accent.bbox[0] + accent.bbox[2]) / 2.0;
        let (column, row) = cell(middle, y);
        let around =
            (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (column.saturating_add(dx), row.saturating_add(dy))));
        let near = around.filter_map(|cell| letters.get(&cell)).flatten().copied().filter(|&letter| {
            let Glyph { bbox, origin, flow, .. } = &glyphs[letter];
            let down = origin.1 - y;
            *flow == Flow::Right
                && ((bbox[0] + bbox[2]) / 2.0 - middle).abs() < 0.3 * size
                && (-0.1 * size..0.6 * size).contains(&down)
        });
        let distance = |letter: &usize| (glyphs[*letter].origin.1 - y).abs();
        let letter = near.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let Some((letter, whole)) = letter.and_then(|letter| Some((letter, with_accent(glyphs[letter].ch, ch)?)))
        else {
            continue;
        };
        glyphs[letter].ch = whole;
        composed[index] = true;
        // White space before an accent that was drawn first belongs to its letter.
        if letter == index + 1 {
            glyphs[letter].space_before = glyphs[index].space_before;
            glyphs[letter].break_before = glyphs[index].break_before;
        }
    }
    let mut composed = composed.into_iter();
    glyphs.retain(|_| !composed.next().unwrap_or(false));
    glyphs
}

/// Whether most neighbouring Japanese or Chinese characters stand below each other.
fn is_vertical_writing(glyphs: &[Glyph]) -> bool {
    let (mut down, mut along) = (0, 0);
    for pair in glyphs.windows(2) {
        let [a, b] = pair else { continue };
        if a.flow != Flow::Right || b.flow != Flow::Right || !is_cjk(a.ch) || !is_cjk(b.ch) {
            continue;
        }
        let middle = |glyph: &Glyph| ((glyph.bbox[0] + glyph.bbox[2]) / 2.0, (glyph.bbox[1] + glyph.bbox[3]) / 2.0);
        let ((ax, ay), (bx, by)) = (middle(a), middle(b));
        let (x, y) = (bx - ax, by - ay);
        if x.abs() < 0.4 * a.size && (0.5..2.0).contains(&(y / a.size)) {
            down += 1;
        } else if y.abs() < 0.4 * a.size && (0.3..2.0).contains(&(x / a.size)) {
            along += 1;
        }
    }
    down > 2 * along && down >= 2
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::{FRAME, texts, word};
    use super::super::lines::{Frame, join_rows};
    use super::super::runs::runs;
    use super::*;

    #[test]
    fn vertical_writing_is_read_from_right_to_left() {
        let column = |text: &str, x: f32| -> Vec<Glyph> {
            let glyph = |(index, ch): (usize, char)| {
                let top = 50.0 + 10.0 * index as f32;
                let mut glyph = word("x", x, top + 8.0).remove(0);
                (glyph.ch, glyph.bbox) = (ch, [x, top, x + 10.0, top + 10.0]);
                glyph
            };
            text.chars().enumerate().map(glyph).collect()
        };
        let groups = by_flow([column("二行目", 480.0), column("一行目", 500.0)].concat());
        assert_eq!(groups.len(), 1);
        let (flow, glyphs) = &groups[0];
        assert_eq!(*flow, Flow::Down);
        let frame = Frame { flow: *flow, ..FRAME };
        let lines = join_rows(runs(glyphs, &frame));
        assert_eq!(texts(&lines), ["一行目", "二行目"]);
        let [left, top, right, bottom] = frame.on_page(lines[0].bbox);
        assert!(left > 495.0 && right < 515.0 && top < 51.0 && bottom > 79.0, "{left} {top} {right} {bottom}");
    }

    #[test]
    fn glyphs_drawn_twice_are_read_once_and_double_letters_twice() {
        let mut again = word("all", 0.4, 100.0);
        again.iter_mut().for_each(|glyph| glyph.origin.1 += 0.2);
        let groups = by_flow([word("all", 0.0, 100.0), again].concat());
        assert_eq!(texts(&runs(&groups[0].1, &FRAME)), ["all"]);
    }

    #[test]
    fn the_letters_of_a_ligature_are_all_kept() {
        let mut glyphs = word("effi", 0.0, 100.0);
        for index in [2, 3] {
            (glyphs[index].bbox, glyphs[index].origin) = (glyphs[1].bbox, glyphs[1].origin);
        }
        assert_eq!(texts(&runs(&by_flow(glyphs)[0].1, &FRAME)), ["effi"]);
    }

    #[test]
    fn slanted_letters_on_one_line_run_to_the_right_and_a_watermark_does_not() {
        let skewed = |step: f32| {
            let mut glyphs = word("italic", 0.0, 100.0);
            for (index, glyph) in glyphs.iter_mut().enumerate() {
                glyph.flow = Flow::Skewed;
                glyph.origin.1 -= step * index as f32;
            }
            by_flow(glyphs)[0].0
        };
        assert_eq!((skewed(0.0), skewed(5.0)), (Flow::Right, Flow::Skewed));
    }

    #[test]
    fn an_accent_over_its_letter_becomes_one_character() {
        let glyphs = [word("Universit", 0.0, 100.0), word("´", 45.2, 100.0), word("e", 45.0, 100.0)].concat();
        assert_eq!(texts(&runs(&by_flow(glyphs)[0].1, &FRAME)), ["Université"]);
    }
}
