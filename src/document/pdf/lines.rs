//! Runs → lines. All geometry from here on is in the text's own frame: x grows along the line, y down the page.

use super::faces::Face;
use super::fragments::Fragment;
use super::letters::{is_cjk, is_rtl, raised};
use super::pdfium::Flow;
use std::collections::HashMap;

/// A gap wider than this (in font sizes) is a space even where PDFium saw none.
const SPACE_GAP: f32 = 0.3;
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
    pub fn point(&self, x: f32, y: f32) -> (f32, f32) {
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

/// Whether characters of `small` (size, baseline) are set as superscripts to those of `measure`.
pub fn is_raised(measure: (f32, f32), small: (f32, f32)) -> bool {
    let rise = measure.1 - small.1;
    small.0 < 0.85 * measure.0 && (0.15 * measure.0..0.8 * measure.0).contains(&rise)
}

/// Whether a space belongs between two neighbours. Japanese and Chinese have none, however their lines are stretched.
pub fn spaced(before: char, after: char, gap: f32, size: f32, white_space: bool) -> bool {
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
    use super::super::pdfium::Glyph;
    use super::super::runs::runs;
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
}
