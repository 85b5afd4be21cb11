//! Runs → lines in reading order. Two columns are found by the gutter between them; what spans both stands between
//! bands of columns, and a table over both columns is read row by row.

use super::lines::{Line, Rect, join_rows};
use super::marks::is_heading_line;

/// Height of the rows in which evidence for a gutter is counted, in points.
const BIN: f32 = 4.0;
/// A line that reaches this far over the gutter on both sides spans the columns, in points.
const OVERHANG: f32 = 12.0;

/// Lines that are read one after the other: one column of a band, or what spans the page.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    pub lines: Vec<Line>,
    /// Edges of the column that it is set in.
    pub left: f32,
    pub right: f32,
}

/// The middle of the gutter between two columns, if the page has them.
pub fn gutter(runs: &[Line]) -> Option<f32> {
    let area = area(runs)?;
    let best =
        candidates(area).filter_map(|x| Evidence::at(runs, area, x)).max_by(|a, b| a.score.total_cmp(&b.score))?;
    best.convinces().then(|| best.middle(runs))
}

/// For a page without convincing evidence in a paper set in columns: the gutter near `expected`, if anything is there.
pub fn gutter_near(runs: &[Line], expected: f32) -> Option<f32> {
    let area = area(runs)?;
    let near = (-5..=5).map(|step| expected + 2.0 * step as f32);
    let best = near.filter_map(|x| Evidence::at(runs, area, x)).max_by(|a, b| a.score.total_cmp(&b.score))?;
    (best.paired >= 8 && best.left_cover.max(best.right_cover) > 0.6).then(|| best.middle(runs))
}

fn area(runs: &[Line]) -> Option<Rect> {
    let area = runs.iter().map(|run| run.bbox).reduce(Rect::union)?;
    (area.width() > 100.0 && area.width() < 20_000.0 && area.bottom - area.top < 20_000.0).then_some(area)
}

fn candidates(area: Rect) -> impl Iterator<Item = f32> {
    let (from, to) = (area.left + 0.25 * area.width(), area.left + 0.75 * area.width());
    let step = (area.width() / 300.0).max(1.0);
    (0..=((to - from) / step) as usize).map(move |index| from + step * index as f32)
}

/// What speaks for a gutter at `x`.
struct Evidence {
    x: f32,
    /// Rows with text on both sides and none across.
    paired: usize,
    /// Rows with text across.
    crossed: usize,
    /// Median share of each column's width that its rows fill: near 1 in prose, less in tables.
    left_cover: f32,
    right_cover: f32,
    score: f32,
}

impl Evidence {
    fn at(runs: &[Line], area: Rect, x: f32) -> Option<Evidence> {
        let bins = ((area.bottom - area.top) / BIN) as usize + 1;
        let (mut left, mut right, mut crossed) = (vec![0.0_f32; bins], vec![0.0_f32; bins], vec![false; bins]);
        for run in runs {
            let first = ((run.baseline - 0.7 * run.size - area.top).max(0.0) / BIN) as usize;
            let last = (((run.baseline - area.top).max(0.0) / BIN) as usize).min(bins - 1);
            // Names and table cells show that something is there, but only longer runs are signs of prose.
            let width = if run.bbox.width() >= 6.0 * run.size { run.bbox.width() } else { 0.01 };
            for bin in first.min(last)..=last {
                if run.bbox.right <= x + 1.0 {
                    left[bin] += width;
                } else if run.bbox.left >= x - 1.0 {
                    right[bin] += width;
                } else {
                    crossed[bin] = true;
                }
            }
        }
        let paired: Vec<usize> =
            (0..bins).filter(|&bin| left[bin] > 0.0 && right[bin] > 0.0 && !crossed[bin]).collect();
        if paired.len() < 3 {
            return None;
        }
        let cover = |side: &[f32], width: f32| median(paired.iter().map(|&bin| side[bin] / width.max(1.0)).collect());
        let (left_cover, right_cover) = (cover(&left, x - area.left), cover(&right, area.right - x));
        let crossed = crossed.iter().filter(|crossed| **crossed).count();
        let score = paired.len() as f32 * (0.2 + left_cover.min(1.0) * right_cover.min(1.0));
        Some(Evidence { x, paired: paired.len(), crossed, left_cover, right_cover, score })
    }

    fn convinces(&self) -> bool {
        let prose = self.left_cover > 0.6 && self.right_cover > 0.6;
        let half_prose = self.left_cover.max(self.right_cover) > 0.7 && self.left_cover.min(self.right_cover) > 0.25;
        (prose && self.paired >= 10 && 4 * self.paired > self.crossed)
            || (half_prose && self.paired >= 25 && 2 * self.paired > self.crossed)
    }

    /// The middle of the white stripe around `x`.
    fn middle(&self, runs: &[Line]) -> f32 {
        let rights: Vec<f32> = runs.iter().filter(|run| run.chars > 8).map(|run| run.bbox.right).collect();
        let lefts: Vec<f32> = runs.iter().filter(|run| run.chars > 8).map(|run| run.bbox.left).collect();
        let from = rights.into_iter().filter(|right| *right <= self.x + 1.0).fold(f32::MIN, f32::max);
        let to = lefts.into_iter().filter(|left| *left >= self.x - 1.0).fold(f32::MAX, f32::min);
        if from > f32::MIN && to < f32::MAX && to > from { (from + to) / 2.0 } else { self.x }
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// All of a page's runs as lines, in the order in which they are read. A page may have a part with columns of other
/// widths: the box of facts beside an abstract, over two columns of text.
pub fn arrange(runs: Vec<Line>, found: Option<f32>) -> Vec<Chunk> {
    let Some((x, other)) = found.and_then(|x| Some((x, other_gutter(&runs, x)?))) else {
        return arrange_part(runs, found);
    };
    let aside = |run: &&Line| run.bbox.right <= other + 1.0 || run.bbox.left >= other - 1.0;
    let inside = split_spanning(runs.clone(), x).0.iter().filter(aside).map(|run| run.bbox).reduce(Rect::union);
    let Some(Rect { top, bottom, .. }) = inside else { return arrange_part(runs, found) };
    let (above, rest): (Vec<Line>, Vec<Line>) = runs.into_iter().partition(|run| run.baseline < top);
    let (inside, below): (Vec<Line>, Vec<Line>) = rest.into_iter().partition(|run| run.baseline <= bottom);
    let mut chunks = Vec::new();
    for (part, x) in [(above, None), (inside, Some(other)), (below, None)] {
        let x = x.or_else(|| gutter(&part));
        chunks.extend(arrange_part(part, x));
    }
    chunks
}

/// The gutter of those runs that cross the one at `x`, if they have one.
fn other_gutter(runs: &[Line], x: f32) -> Option<f32> {
    let (spanning, _) = split_spanning(runs.to_vec(), x);
    gutter(&spanning).filter(|other| (other - x).abs() > 20.0)
}

fn arrange_part(runs: Vec<Line>, gutter: Option<f32>) -> Vec<Chunk> {
    let Some(x) = gutter else {
        let lines = join_rows(runs);
        return edged(vec![lines]);
    };
    let (spanning, sides) = split_spanning(runs, x);
    let spanning = join_rows(spanning);
    let mut bands: Vec<Vec<Line>> = vec![Vec::new(); spanning.len() + 1];
    for run in sides {
        let band = spanning.partition_point(|line| line.baseline <= run.baseline);
        bands[band].push(run);
    }
    let mut columns = Columns { x, spanning: Vec::new(), order: Vec::new() };
    let mut spanning = spanning.into_iter();
    for band in bands {
        columns.add_band(band);
        columns.spanning.extend(spanning.next());
    }
    columns.finish()
}

/// Runs that span both columns, with what stands beside them in their rows; and the others.
fn split_spanning(runs: Vec<Line>, x: f32) -> (Vec<Line>, Vec<Line>) {
    let (mut spanning, sides): (Vec<Line>, Vec<Line>) =
        runs.into_iter().partition(|run| run.bbox.left < x - OVERHANG && run.bbox.right > x + OVERHANG);
    let beside = |run: &Line| {
        spanning.iter().any(|line| {
            let gap = (run.bbox.left - line.bbox.right).max(line.bbox.left - run.bbox.right);
            (line.baseline - run.baseline).abs() < 0.4 * line.size && gap < 2.5 * line.size
        })
    };
    let (near, far): (Vec<Line>, Vec<Line>) = sides.into_iter().partition(beside);
    spanning.extend(near);
    let (ends, far) = last_lines(&spanning, far);
    spanning.extend(ends);
    (spanning, far)
}

/// Short lines under spanning ones of the same size, alone in their row: the last lines of captions and abstracts.
fn last_lines(spanning: &[Line], sides: Vec<Line>) -> (Vec<Line>, Vec<Line>) {
    let ends: Vec<bool> = sides
        .iter()
        .map(|run| {
            let alone =
                || !sides.iter().any(|other| other != run && (other.baseline - run.baseline).abs() < 0.7 * run.size);
            let under = |line: &Line| {
                let step = run.baseline - line.baseline;
                step > 0.5 * run.size
                    && step < 1.4 * run.size
                    && (run.size - line.size).abs() < 0.03 * line.size
                    && (run.bbox.left - line.bbox.left).abs() < run.size
            };
            spanning.iter().any(under) && alone()
        })
        .collect();
    let mut ends = ends.into_iter();
    sides.into_iter().partition(|_| ends.next().unwrap_or(false))
}

/// Collects chunks: lines by the kind of column that they are in, so that each kind shares its edges over the page.
struct Columns {
    x: f32,
    /// Spanning lines not yet in the order.
    spanning: Vec<Line>,
    order: Vec<(Kind, Vec<Line>)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Spanning,
    Left,
    Right,
}

impl Columns {
    fn add_band(&mut self, band: Vec<Line>) {
        if band.is_empty() {
            return;
        }
        let mut parts = split_at_gaps(band);
        // Headings at the columns' tops stand alone in their row, as a table's would.
        let has_heading = |part: &[Line]| part.iter().any(is_heading_line);
        let tabular = parts.iter().take_while(|part| !self.is_prose(part) && !has_heading(part)).count();
        let rest = parts.split_off(tabular);
        for part in parts {
            self.spanning.extend(join_rows(part));
        }
        self.flush_spanning();
        let (left, right): (Vec<Line>, Vec<Line>) =
            rest.into_iter().flatten().partition(|run| (run.bbox.left + run.bbox.right) / 2.0 < self.x);
        for (kind, runs) in [(Kind::Left, left), (Kind::Right, right)] {
            if !runs.is_empty() {
                self.order.push((kind, join_rows(runs)));
            }
        }
    }

    fn flush_spanning(&mut self) {
        if !self.spanning.is_empty() {
            self.order.push((Kind::Spanning, std::mem::take(&mut self.spanning)));
        }
    }

    /// Whether one of the sides is filled with text, or only one side has anything.
    fn is_prose(&self, runs: &[Line]) -> bool {
        let (left, right): (Vec<&Line>, Vec<&Line>) =
            runs.iter().partition(|run| (run.bbox.left + run.bbox.right) / 2.0 < self.x);
        if left.is_empty() || right.is_empty() {
            return true;
        }
        let width = self.half_width(runs);
        [left, right].into_iter().any(|side| {
            let rows = join_rows(side.into_iter().cloned().collect());
            2 * rows.iter().filter(|row| row.cells == 1).count() > rows.len()
                && median(rows.iter().map(|row| row.bbox.width() / width).collect()) > 0.6
                && median(rows.iter().map(|row| row.chars as f32).collect()) > 15.0
        })
    }

    fn half_width(&self, runs: &[Line]) -> f32 {
        let mut area = Rect { left: f32::MAX, right: f32::MIN, ..Rect::default() };
        for lines in self.order.iter().map(|(_, lines)| lines.as_slice()).chain([runs]) {
            area = lines.iter().fold(area, |area, line| area.union(line.bbox));
        }
        ((area.right - area.left) / 2.0).max(50.0)
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.flush_spanning();
        let mut chunks = Vec::new();
        let edges = |wanted: Kind| {
            let lines = self.order.iter().filter(|(kind, _)| *kind == wanted).flat_map(|(_, lines)| lines);
            edges(lines)
        };
        let (spanning, left, right) = (edges(Kind::Spanning), edges(Kind::Left), edges(Kind::Right));
        for (kind, lines) in &self.order {
            let (left, right) = match kind {
                Kind::Spanning => spanning,
                Kind::Left => left,
                Kind::Right => right,
            };
            chunks.push(Chunk { lines: lines.clone(), left, right });
        }
        chunks
    }
}

/// Parts of a band between which nothing stands over the whole width.
fn split_at_gaps(mut band: Vec<Line>) -> Vec<Vec<Line>> {
    band.sort_by(|a, b| a.bbox.top.total_cmp(&b.bbox.top));
    let mut parts: Vec<Vec<Line>> = Vec::new();
    let mut bottom = f32::MIN;
    for run in band {
        if run.bbox.top > bottom + 6.0 || parts.is_empty() {
            parts.push(Vec::new());
        }
        bottom = bottom.max(run.bbox.bottom);
        if let Some(part) = parts.last_mut() {
            part.push(run);
        }
    }
    parts
}

/// Chunks of one column each, with their own edges.
pub fn edged(columns: Vec<Vec<Line>>) -> Vec<Chunk> {
    let chunk = |lines: Vec<Line>| {
        let (left, right) = edges(lines.iter());
        Chunk { lines, left, right }
    };
    columns.into_iter().filter(|lines| !lines.is_empty()).map(chunk).collect()
}

/// Where a column's lines begin and end: edges that at least a few of its lines reach.
fn edges<'a>(lines: impl Iterator<Item = &'a Line> + Clone) -> (f32, f32) {
    let long = lines.clone().map(|line| line.chars).max().unwrap_or(0) / 2;
    let lines: Vec<&Line> = lines.filter(|line| line.chars >= long).collect();
    let mut lefts: Vec<f32> = lines.iter().map(|line| line.bbox.left).collect();
    let mut rights: Vec<f32> = lines.iter().map(|line| line.bbox.right).collect();
    if lefts.is_empty() {
        return (0.0, 0.0);
    }
    let few = lefts.len() / 20;
    let left = *lefts.select_nth_unstable_by(few, f32::total_cmp).1;
    let last = rights.len() - 1 - few;
    let right = *rights.select_nth_unstable_by(last, f32::total_cmp).1;
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ten-point run on the row that begins twelve points under the one before.
    fn run(text: &str, left: f32, right: f32, row: usize) -> Line {
        let baseline = 100.0 + 12.0 * row as f32;
        let bbox = Rect { left, top: baseline - 7.5, right, bottom: baseline + 2.2 };
        Line { text: text.into(), bbox, baseline, size: 10.0, chars: 40, ..Line::default() }
    }

    fn two_columns(rows: std::ops::Range<usize>) -> Vec<Line> {
        rows.flat_map(|row| [run(&format!("l{row}"), 72.0, 290.0, row), run(&format!("r{row}"), 307.0, 525.0, row)])
            .collect()
    }

    fn read(runs: Vec<Line>) -> String {
        let gutter = gutter(&runs);
        let lines = arrange(runs, gutter).into_iter().flat_map(|chunk| chunk.lines);
        lines.map(|line| line.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_read_one_after_the_other() {
        let runs = two_columns(0..12);
        let x = gutter(&runs).expect("two columns");
        assert!((290.0..=307.0).contains(&x), "{x}");
        assert!(read(runs).starts_with("l0 l1 l2"));
    }

    #[test]
    fn a_title_over_both_columns_comes_first_and_a_figure_between_bands() {
        let mut runs = vec![run("title", 120.0, 480.0, 0)];
        runs.extend(two_columns(2..8));
        runs.push(run("caption", 72.0, 525.0, 9));
        runs.extend(two_columns(11..16));
        let expected = "title l2 l3 l4 l5 l6 l7 r2 r3 r4 r5 r6 r7 caption l11 l12 l13 l14 l15 r11 r12 r13 r14 r15";
        assert_eq!(read(runs), expected);
    }

    #[test]
    fn one_column_with_a_small_table_stays_one_column() {
        let mut runs: Vec<Line> = (0..10).map(|row| run(&format!("p{row}"), 72.0, 525.0, row)).collect();
        for row in 10..14 {
            runs.push(run("cell", 150.0, 200.0, row));
            runs.push(run("9.1", 400.0, 420.0, row));
        }
        assert_eq!(gutter(&runs), None);
        assert!(read(runs).ends_with("p9 cell 9.1 cell 9.1 cell 9.1 cell 9.1"));
    }

    #[test]
    fn a_table_over_both_columns_is_read_by_rows() {
        let mut runs = Vec::new();
        for row in 0..3 {
            runs.push(run(&format!("name{row}"), 90.0, 140.0, row));
            runs.push(run(&format!("value{row}"), 400.0, 430.0, row));
        }
        runs.push(run("caption", 72.0, 525.0, 4));
        runs.extend(two_columns(6..20));
        assert!(read(runs).starts_with("name0 value0 name1 value1 name2 value2 caption l6 l7"));
    }

    #[test]
    fn a_box_beside_the_abstract_has_a_gutter_of_its_own() {
        let mut runs = Vec::new();
        for row in 0..14 {
            runs.push(run(&format!("box{row}"), 72.0, 190.0, row));
            runs.push(run(&format!("abstract{row}"), 207.0, 525.0, row));
        }
        runs.extend(two_columns(16..26));
        let text = read(runs);
        let places: Vec<_> = ["box0", "box13", "abstract0", "abstract13", "l16", "l25", "r16", "r25"]
            .iter()
            .map(|word| text.find(word))
            .collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn a_page_of_a_two_column_paper_with_little_text_follows_the_others() {
        let runs = two_columns(0..4);
        assert_eq!(gutter(&runs[..4]), None);
        assert!(gutter_near(&runs, 300.0).is_some());
        assert_eq!(gutter_near(&[run("wide", 72.0, 525.0, 0)], 300.0), None);
    }
}
