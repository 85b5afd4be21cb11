//! Glyphs → lines. All geometry from here on is in the text's own frame: x grows along the line, y down the page.

use super::faces::Face;
use super::fragments::{Fragment, Fragments};
use super::pdfium::{Flow, Glyph};
use super::words::{is_cjk, is_rtl, normalise, raised};
use std::collections::HashMap;

/// A gap wider than this (in font sizes) ends a run: it may be a gutter between columns.
const RUN_GAP: f32 = 0.9;
/// A gap wider than this is a space even where PDFium saw none.
const SPACE_GAP: f32 = 0.3;
/// The same behind a sub- or superscript, where PDFium often sees none.
const SCRIPT_GAP: f32 = 0.17;
/// A gap wider than this lies between the cells of a table.
const CELL_GAP: f32 = 1.5;
/// A gap wider than this sets pieces of a line apart: names, columns of an address.
const PIECE_GAP: f32 = 0.8;
/// Over this many runs a page is taken as it comes, so that hostile pages cost linear time.
const MAX_RUNS: usize = 6_000;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Rect {
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    pub fn union(self, other: Rect) -> Rect {
        Rect {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// A stretch of text without a wide gap; and, once runs of one row are joined, a line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    pub text: String,
    /// From baseline and font size, not from ink.
    pub bbox: Rect,
    pub baseline: f32,
    /// The size of most of its characters.
    pub size: f32,
    /// Nearly all of its characters are bold.
    pub bold: bool,
    /// Characters without spaces.
    pub chars: usize,
    /// It begins with a raised mark, as a footnote does.
    pub marked: bool,
    /// Pieces with wide gaps between them, as in the rows of a table.
    pub cells: usize,
    /// Where in the text a piece begins that a gap sets apart from what stands before it, in bytes.
    pub gaps: Vec<usize>,
    /// A space stands before it, if it is joined to a line on its left.
    pub space_before: bool,
    /// Its words from left to right, those with sub- or superscripts in parts.
    pub fragments: Vec<Fragment>,
}

/// The page's frame for text of one flow.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub flow: Flow,
    pub page_width: f32,
    pub page_height: f32,
}

impl Frame {
    fn point(&self, x: f32, y: f32) -> (f32, f32) {
        match self.flow {
            Flow::Right | Flow::Skewed => (x, y),
            Flow::Down => (y, self.page_width - x),
            Flow::Left => (self.page_width - x, self.page_height - y),
            Flow::Up => (self.page_height - y, x),
        }
    }

    pub fn rect(&self, [x0, y0, x1, y1]: [f32; 4]) -> Rect {
        let ((a, b), (c, d)) = (self.point(x0, y0), self.point(x1, y1));
        Rect { left: a.min(c), top: b.min(d), right: a.max(c), bottom: b.max(d) }
    }

    /// Back to the page: left, top, right, bottom.
    pub fn on_page(&self, rect: Rect) -> [f32; 4] {
        let back = |u: f32, v: f32| match self.flow {
            Flow::Right | Flow::Skewed => (u, v),
            Flow::Down => (self.page_width - v, u),
            Flow::Left => (self.page_width - u, self.page_height - v),
            Flow::Up => (v, self.page_height - u),
        };
        let ((a, b), (c, d)) = (back(rect.left, rect.top), back(rect.right, rect.bottom));
        [a.min(c), b.min(d), a.max(c), b.max(d)]
    }

    /// Lines run along the page's longer side, as on slides.
    pub fn is_wide(&self) -> bool {
        self.height() < 0.9 * self.page_width.max(self.page_height)
    }

    /// Height of the page across the text's lines.
    pub fn height(&self) -> f32 {
        if matches!(self.flow, Flow::Down | Flow::Up) { self.page_width } else { self.page_height }
    }
}

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

/// Whether characters of `small` (size, baseline) are set as superscripts to those of `measure`.
fn is_raised(measure: (f32, f32), small: (f32, f32)) -> bool {
    let rise = measure.1 - small.1;
    small.0 < 0.85 * measure.0 && (0.15 * measure.0..0.8 * measure.0).contains(&rise)
}

/// Whether a space belongs between two neighbours. Japanese and Chinese have none, however their lines are stretched.
fn spaced(before: char, after: char, gap: f32, size: f32, white_space: bool) -> bool {
    let gap = gap / size.max(0.1);
    match (is_cjk(before), is_cjk(after)) {
        (true, true) => gap > 0.7,
        (true, false) | (false, true) => gap > 0.45,
        _ if is_rtl(before) || is_rtl(after) => white_space,
        _ => white_space || gap > SPACE_GAP,
    }
}

/// Runs → lines: runs that stand in one row are joined, from left to right.
pub fn join_rows(runs: Vec<Line>) -> Vec<Line> {
    if runs.len() > MAX_RUNS {
        return runs;
    }
    let mut rows: Vec<Vec<Line>> = Vec::new();
    let mut order: Vec<Line> = runs;
    // The widest run of a row is its measure: sub- and superscripts are judged by it, not by each other.
    order.sort_by(|a, b| b.bbox.width().total_cmp(&a.bbox.width()));
    for run in order {
        match rows.iter_mut().find(|row| same_row(&row[0], &run) && row.iter().all(|other| apart(other, &run))) {
            Some(row) => row.push(run),
            None => rows.push(vec![run]),
        }
    }
    let mut lines: Vec<Line> = rows.into_iter().map(join_row).collect();
    lines.sort_by(|a, b| a.baseline.total_cmp(&b.baseline).then(a.bbox.left.total_cmp(&b.bbox.left)));
    lines
}

fn core(line: &Line) -> (f32, f32) {
    (line.baseline - 0.7 * line.size, line.baseline)
}

fn same_row(row: &Line, run: &Line) -> bool {
    let ((top, bottom), (a, b)) = (core(row), core(run));
    let overlap = bottom.min(b) - top.max(a);
    overlap >= 0.5 * (bottom - top).min(b - a)
}

/// Not on top of each other.
fn apart(a: &Line, b: &Line) -> bool {
    let overlap = a.bbox.right.min(b.bbox.right) - a.bbox.left.max(b.bbox.left);
    overlap <= 0.3 * a.bbox.width().min(b.bbox.width()).max(1.0)
}

fn join_row(mut row: Vec<Line>) -> Line {
    let right_to_left = row.iter().flat_map(|run| run.text.chars()).filter(|c| is_rtl(*c)).count() * 2
        > row.iter().map(|run| run.chars).sum::<usize>();
    if right_to_left {
        row.sort_by(|a, b| b.bbox.left.total_cmp(&a.bbox.left));
    } else {
        row.sort_by(|a, b| a.bbox.left.total_cmp(&b.bbox.left));
    }
    let measure = row.iter().max_by_key(|run| run.chars).cloned().unwrap_or_default();
    // A mark in another face does not make a bold line plain.
    let (all, plain) =
        row.iter().fold((0, 0), |(all, plain), run| (all + run.chars, plain + if run.bold { 0 } else { run.chars }));
    let bold = 8 * plain < all;
    let marked = row.first().is_some_and(|first| {
        first.marked || first.size < 0.85 * measure.size && first.baseline < measure.baseline - 0.15 * measure.size
    });
    let mut line = Line {
        text: String::new(),
        bbox: measure.bbox,
        chars: 0,
        cells: 1,
        bold,
        marked,
        gaps: Vec::new(),
        space_before: false,
        fragments: Vec::new(),
        ..measure
    };
    let mut edge: Option<f32> = None;
    for mut run in row {
        if let (Some(edge), Some(before), Some(after)) = (edge, line.text.chars().next_back(), run.text.chars().next())
        {
            let gap = if right_to_left { edge - run.bbox.right } else { run.bbox.left - edge };
            let white_space = run.space_before && gap > 0.1 * run.size;
            if spaced(before, after, gap, line.size.min(run.size), white_space) {
                line.text.push(' ');
                run.fragments.iter_mut().take(1).for_each(|first| first.space_before = true);
            }
            line.cells += usize::from(gap > CELL_GAP * line.size);
            if gap > PIECE_GAP * line.size {
                line.gaps.push(line.text.len());
            }
        }
        if is_raised((line.size, line.baseline), (run.size, run.baseline)) {
            let text = raised(&run.text, &line.text);
            line.text.push_str(&text);
        } else {
            line.text.push_str(&run.text);
        }
        line.fragments.append(&mut run.fragments);
        line.chars += run.chars;
        line.bbox = line.bbox.union(run.bbox);
        edge = Some(if right_to_left { run.bbox.left } else { run.bbox.right });
    }
    // A bold line that ends with a plain word is the end of a paragraph's own heading.
    line.bold &= !line.fragments.last().is_some_and(is_plain_word);
    line
}

fn is_plain_word(last: &Fragment) -> bool {
    let letters = last.text.chars().all(char::is_alphabetic) && last.text.chars().count() > 1;
    letters && !last.bold && last.face == Face::Plain
}

impl Line {
    /// The line's pieces, as gaps set them apart.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.gaps.iter().copied());
        let ends = self.gaps.iter().copied().chain([self.text.len()]);
        starts.zip(ends).filter_map(|(start, end)| self.text.get(start..end)).map(str::trim)
    }
}

/// How text is set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Style {
    pub size: f32,
    pub bold: bool,
}

impl Style {
    /// The style of most characters; bold where much of the text is, so that it tells nothing.
    pub fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Option<Style> {
        let mut sizes: HashMap<i32, usize> = HashMap::new();
        let (mut bold, mut all) = (0, 0);
        for line in lines {
            *sizes.entry((line.size * 5.0).round() as i32).or_default() += line.chars;
            bold += if line.bold { line.chars } else { 0 };
            all += line.chars;
        }
        let most = sizes.into_iter().max_by_key(|(size, chars)| (*chars, *size))?;
        Some(Style { size: most.0 as f32 / 5.0, bold: 5 * bold > 2 * all })
    }

    pub fn is_like(&self, other: &Style) -> bool {
        self.bold == other.bold && (self.size - other.size).abs() < 0.03 * other.size
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const FRAME: Frame = Frame { flow: Flow::Right, page_width: 600.0, page_height: 800.0 };

    /// Ten-point glyphs, five points wide, from `x` on, on one baseline.
    pub fn word(text: &str, x: f32, baseline: f32) -> Vec<Glyph> {
        let glyph = |(index, ch): (usize, char)| {
            let left = x + 5.0 * index as f32;
            Glyph {
                ch,
                bbox: [left, baseline - 7.0, left + 5.0, baseline + 2.0],
                origin: (left, baseline),
                size: 10.0,
                ..Glyph::default()
            }
        };
        text.chars().enumerate().map(glyph).collect()
    }

    pub fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_wide_gap_ends_a_run_and_a_narrow_one_is_a_space() {
        let glyphs = [word("two", 0.0, 100.0), word("words", 18.5, 100.0), word("column", 60.0, 100.0)].concat();
        let runs = runs(&glyphs, &FRAME);
        assert_eq!(texts(&runs), ["two words", "column"]);
        assert_eq!(texts(&join_rows(runs)), ["two words column"]);
    }

    #[test]
    fn a_superscript_drawn_later_joins_its_line_without_a_space() {
        let mut small = word("2", 10.0, 96.5);
        small[0].size = 7.0;
        let glyphs = [word("mc", 0.0, 100.0), word("next", 0.0, 112.0), small].concat();
        assert_eq!(texts(&join_rows(runs(&glyphs, &FRAME))), ["mc²", "next"]);
    }

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
