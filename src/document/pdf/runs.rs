//! Glyphs → runs, each a stretch of one row without a wide gap.

use super::faces::Face;
use super::fragments::Fragments;
use super::letters::{is_rtl, normalise, raised};
use super::lines::{Frame, Line, Rect, is_raised, spaced};
use super::pdfium::{Flow, Glyph};

/// A gap wider than this (in font sizes) ends a run: it may be a gutter between columns.
const RUN_GAP: f32 = 0.9;
/// A gap wider than this behind a sub- or superscript is a space, where PDFium often sees none.
const SCRIPT_GAP: f32 = 0.17;

/// Glyphs in PDFium's order → runs, each a stretch of one row without a wide gap.
pub fn runs(glyphs: &[Glyph], frame: &Frame) -> Vec<Line> {
    let mut runs = Vec::new();
    let mut open: Option<Run> = None;
    for glyph in glyphs {
        let next = Placed::new(glyph, frame);
        match &mut open {
            Some(run) if run.takes(&next, frame.flow) => run.push(next),
            _ => {
                runs.extend(open.take().map(Run::finish));
                open = Some(Run::new(next));
            }
        }
    }
    runs.extend(open.map(Run::finish));
    runs.retain(|run| !run.text.is_empty());
    runs
}

/// A glyph in the text's frame.
#[derive(Clone)]
struct Placed {
    ch: char,
    left: f32,
    right: f32,
    baseline: f32,
    size: f32,
    bold: bool,
    face: Face,
    space_before: bool,
    break_before: bool,
}

impl Placed {
    fn new(glyph: &Glyph, frame: &Frame) -> Placed {
        let rect = frame.rect(glyph.bbox);
        let (_, baseline) = frame.point(glyph.origin.0, glyph.origin.1);
        let Glyph { ch, size, bold, face, space_before, break_before, .. } = *glyph;
        Placed { ch, left: rect.left, right: rect.right, baseline, size, bold, face, space_before, break_before }
    }
}

struct Run {
    /// With the spaces before each.
    glyphs: Vec<(bool, Placed)>,
    last: Placed,
    bbox: Rect,
    space_before: bool,
    chars: usize,
    bold: usize,
    /// Of the first character.
    first: (f32, f32),
    /// Characters by size in tenths of a point, with the baseline of the first.
    sizes: Vec<(i32, usize, f32)>,
    fragments: Fragments,
}

impl Run {
    fn new(first: Placed) -> Run {
        let bbox = Rect { left: first.left, right: first.right, top: f32::MAX, bottom: f32::MIN };
        let space_before = first.space_before;
        let mark = (first.size, first.baseline);
        let last = first.clone();
        let (glyphs, fragments) = (Vec::new(), Fragments::default());
        let mut run =
            Run { glyphs, last, bbox, space_before, chars: 0, bold: 0, first: mark, sizes: vec![], fragments };
        run.add(false, first);
        run
    }

    fn takes(&self, next: &Placed, flow: Flow) -> bool {
        let size = self.last.size.max(next.size);
        if flow == Flow::Skewed {
            return !next.break_before;
        }
        if is_rtl(self.last.ch) && is_rtl(next.ch) {
            return (next.baseline - self.last.baseline).abs() < 0.5 * size
                && (self.bbox.left - next.right).abs() < RUN_GAP * size;
        }
        (next.baseline - self.last.baseline).abs() < 0.5 * size
            && next.left > self.last.left - 0.5 * size
            && next.left - self.bbox.right < RUN_GAP * size
    }

    fn push(&mut self, next: Placed) {
        let gap = next.left - self.last.right;
        let size = next.size.max(self.last.size);
        let after_script = self.last.size < 0.85 * next.size && gap > SCRIPT_GAP * size;
        let spaced = spaced(self.last.ch, next.ch, gap, size, next.space_before || after_script);
        self.add(spaced, next);
    }

    fn add(&mut self, spaced: bool, next: Placed) {
        let (look, x) = ((next.face, next.bold), [next.left, next.right]);
        self.fragments.add(next.ch, look, x, next.baseline, next.size, spaced);
        self.glyphs.push((spaced, next.clone()));
        self.chars += 1;
        self.bold += usize::from(next.bold);
        let key = (next.size * 10.0).round() as i32;
        match self.sizes.iter_mut().find(|(size, _, _)| *size == key) {
            Some((_, count, _)) => *count += 1,
            None => self.sizes.push((key, 1, next.baseline)),
        }
        self.cover(&next);
        self.last = next;
    }

    fn cover(&mut self, next: &Placed) {
        let Placed { left, right, baseline, size, .. } = *next;
        self.bbox = self.bbox.union(Rect { left, right, top: baseline - 0.75 * size, bottom: baseline + 0.22 * size });
    }

    fn finish(self) -> Line {
        let (size, _, baseline) = self
            .sizes
            .iter()
            .copied()
            .max_by_key(|(size, count, _)| (*count, *size))
            .unwrap_or((10, 0, self.last.baseline));
        let measure = (size as f32 / 10.0, baseline);
        let mut text = String::with_capacity(self.glyphs.len());
        let mut small = String::new();
        for (spaced, glyph) in &self.glyphs {
            if !small.is_empty() && (*spaced || !is_raised(measure, (glyph.size, glyph.baseline))) {
                text.push_str(&raised(&small, &text));
                small.clear();
            }
            if *spaced {
                text.push(' ');
            }
            match is_raised(measure, (glyph.size, glyph.baseline)) {
                true => small.push(glyph.ch),
                false => text.push(glyph.ch),
            }
        }
        text.push_str(&raised(&small, &text));
        Line {
            text: normalise(text.trim()),
            bbox: self.bbox,
            baseline,
            size: size as f32 / 10.0,
            bold: self.bold * 20 >= self.chars * 19,
            chars: self.chars,
            marked: self.first.0 < 0.85 * size as f32 / 10.0 && self.first.1 < baseline - 0.15 * self.first.0,
            cells: 1,
            gaps: Vec::new(),
            space_before: self.space_before,
            fragments: self.fragments.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::{FRAME, texts, word};
    use super::*;

    #[test]
    fn japanese_has_no_spaces_where_lines_are_stretched() {
        let glyphs = [word("論", 0.0, 50.0), word("文", 8.0, 50.0), word("BERT", 16.5, 50.0)].concat();
        assert_eq!(texts(&runs(&glyphs, &FRAME)), ["論文BERT"]);
    }

    #[test]
    fn arabic_runs_from_right_to_left_keep_their_order() {
        let mut glyphs = word("حبيبي", 0.0, 100.0);
        let count = glyphs.len();
        for (index, glyph) in glyphs.iter_mut().enumerate() {
            let left = 100.0 + 5.0 * (count - index) as f32;
            (glyph.bbox[0], glyph.bbox[2], glyph.origin.0) = (left, left + 5.0, left);
        }
        assert_eq!(texts(&runs(&glyphs, &FRAME)), ["حبيبي"]);
    }
}
