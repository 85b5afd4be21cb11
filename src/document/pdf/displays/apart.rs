//! A line that runs from a table or a picture into the text beside it was joined from two: it becomes two again.

use super::super::fragments::Fragment;
use super::super::lines::{Line, Rect};

/// The gap at the edge of what stands beside the text, in font sizes.
const GAP: f32 = 0.8;

/// `lines` with those that cross the left or right edge of `area` parted there: first what is outside, then what is inside.
pub fn part(lines: Vec<Line>, area: &Rect) -> Vec<Line> {
    let beside = |line: &Line| {
        let middle = line.baseline - 0.35 * line.size;
        area.top <= middle && middle <= area.bottom
    };
    let crosses = |line: &Line| beside(line) && line.bbox.left < area.right && line.bbox.right > area.left;
    if !lines.iter().any(|line| crosses(line) && parts(line, area).len() > 1) {
        return lines;
    }
    let mut out: Vec<Line> = Vec::with_capacity(lines.len() + 8);
    let mut inside: Vec<Line> = Vec::new();
    for line in lines {
        if !beside(&line) && line.baseline > area.bottom {
            out.append(&mut inside);
        }
        for part in if crosses(&line) { parts(&line, area) } else { vec![line] } {
            let within = crosses(&part) && part.bbox.left > area.left - part.size;
            if within { inside.push(part) } else { out.push(part) }
        }
    }
    out.append(&mut inside);
    out
}

/// The line as it is, or in the pieces left of the area, in it, and right of it.
fn parts(line: &Line, area: &Rect) -> Vec<Line> {
    let mut pieces: Vec<Line> = Vec::new();
    let mut start = 0;
    for end in 1..=line.fragments.len() {
        let last = &line.fragments[end - 1];
        let ends = line.fragments.get(end).is_none_or(|next| {
            let crossed = |edge: f32| last.right < edge + line.size && next.left > edge - line.size;
            next.left - last.right > GAP * line.size && (crossed(area.left) || crossed(area.right))
        });
        if ends {
            pieces.push(piece(line, &line.fragments[start..end]));
            start = end;
        }
    }
    if pieces.len() > 1 { pieces } else { vec![line.clone()] }
}

/// A part of a line as a line.
fn piece(line: &Line, fragments: &[Fragment]) -> Line {
    let mut text = String::new();
    let mut cells = 1;
    let mut edge: Option<f32> = None;
    for fragment in fragments {
        if fragment.space_before && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&fragment.text);
        cells += usize::from(edge.is_some_and(|edge| fragment.left - edge > 1.5 * line.size));
        edge = Some(fragment.right);
    }
    let left = fragments.iter().map(|part| part.left).fold(f32::MAX, f32::min);
    let right = fragments.iter().map(|part| part.right).fold(f32::MIN, f32::max);
    let widest = fragments.iter().max_by(|a, b| (a.right - a.left).total_cmp(&(b.right - b.left)));
    let (size, baseline) = widest.map_or((line.size, line.baseline), |part| (part.size, part.baseline));
    let bbox = Rect { left, right, top: baseline - 0.75 * size, bottom: baseline + 0.22 * size };
    let chars = text.chars().filter(|c| !c.is_whitespace()).count();
    let marked = line.marked && line.fragments.first() == fragments.first();
    Line { text, bbox, baseline, size, chars, cells, marked, gaps: Vec::new(), fragments: fragments.to_vec(), ..*line }
}

#[cfg(test)]
mod tests {
    use super::super::super::faces::Face;
    use super::super::tests::line;
    use super::*;

    #[test]
    fn text_beside_a_table_is_parted_from_it_and_comes_first() {
        let lines = vec![
            line(0, &[("text above it", 100.0)], Face::Plain),
            line(1, &[("text beside", 100.0), ("BLEU", 220.0), ("28.4", 260.0)], Face::Plain),
            line(2, &[("goes on", 100.0), ("cost", 220.0), ("9", 260.0)], Face::Plain),
            line(4, &[("text below it", 100.0)], Face::Plain),
        ];
        let area = Rect { left: 215.0, top: 100.0, right: 290.0, bottom: 128.0 };
        let parted = part(lines.clone(), &area);
        let texts: Vec<&str> = parted.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["text above it", "text beside", "goes on", "BLEU 28.4", "cost 9", "text below it"]);
        assert_eq!(parted[3].cells, 2);
        let wide = Rect { left: 95.0, ..area };
        assert_eq!(part(lines.clone(), &wide), lines, "a table over the whole width");
    }
}
