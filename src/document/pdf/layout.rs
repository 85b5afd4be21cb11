//! Runs → lines in reading order. Columns are told by the gutters between them; what spans them stands between bands of
//! columns, and a table over all columns is read row by row.

use super::gutters::{gutter, median};
use super::lines::{Line, Rect, join_rows};
use super::marks::is_heading_line;

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

/// All of a page's runs as lines, in the order in which they are read. A page may have a part with columns of other
/// widths: the box of facts beside an abstract, over two columns of text.
pub fn arrange(runs: Vec<Line>, gutters: &[f32]) -> Vec<Chunk> {
    let single = (gutters.len() == 1).then(|| gutters[0]);
    let Some((x, other)) = single.and_then(|x| Some((x, other_gutter(&runs, x)?))) else {
        return arrange_part(runs, gutters);
    };
    let aside = |run: &&Line| run.bbox.right <= other + 1.0 || run.bbox.left >= other - 1.0;
    let inside = split_spanning(runs.clone(), &[x]).0.iter().filter(aside).map(|run| run.bbox).reduce(Rect::union);
    let Some(Rect { top, bottom, .. }) = inside else { return arrange_part(runs, gutters) };
    let (above, rest): (Vec<Line>, Vec<Line>) = runs.into_iter().partition(|run| run.baseline < top);
    let (inside, below): (Vec<Line>, Vec<Line>) = rest.into_iter().partition(|run| run.baseline <= bottom);
    let mut chunks = Vec::new();
    for (part, x) in [(above, None), (inside, Some(other)), (below, None)] {
        let x = x.or_else(|| gutter(&part));
        chunks.extend(arrange_part(part, x.as_slice()));
    }
    chunks
}

/// The gutter of those runs that cross the one at `x`, if they have one.
fn other_gutter(runs: &[Line], x: f32) -> Option<f32> {
    let (spanning, _) = split_spanning(runs.to_vec(), &[x]);
    gutter(&spanning).filter(|other| (other - x).abs() > 20.0)
}

fn arrange_part(runs: Vec<Line>, gutters: &[f32]) -> Vec<Chunk> {
    if gutters.is_empty() {
        let lines = join_rows(runs);
        return edged(vec![lines]);
    }
    let (spanning, sides) = split_spanning(runs, gutters);
    let spanning = join_rows(spanning);
    let mut bands: Vec<Vec<Line>> = vec![Vec::new(); spanning.len() + 1];
    for run in sides {
        let band = spanning.partition_point(|line| line.baseline <= run.baseline);
        bands[band].push(run);
    }
    let mut columns = Columns { gutters: gutters.to_vec(), spanning: Vec::new(), order: Vec::new() };
    let mut spanning = spanning.into_iter();
    for band in bands {
        columns.add_band(band);
        columns.spanning.extend(spanning.next());
    }
    columns.finish()
}

/// Runs that span columns, with what stands beside them in their rows; and the others.
fn split_spanning(runs: Vec<Line>, gutters: &[f32]) -> (Vec<Line>, Vec<Line>) {
    let spans = |run: &Line, x: f32| run.bbox.left < x - OVERHANG && run.bbox.right > x + OVERHANG;
    let (mut spanning, sides): (Vec<Line>, Vec<Line>) =
        runs.into_iter().partition(|run| gutters.iter().any(|x| spans(run, *x)));
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
    gutters: Vec<f32>,
    /// Spanning lines not yet in the order.
    spanning: Vec<Line>,
    order: Vec<(Kind, Vec<Line>)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Spanning,
    /// By its place from the left.
    Column(usize),
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
        let rest = rest.into_iter().flatten().collect();
        for (index, runs) in self.by_column(rest).into_iter().enumerate() {
            if !runs.is_empty() {
                self.order.push((Kind::Column(index), join_rows(runs)));
            }
        }
    }

    fn by_column(&self, runs: Vec<Line>) -> Vec<Vec<Line>> {
        let mut columns = vec![Vec::new(); self.gutters.len() + 1];
        for run in runs {
            let middle = (run.bbox.left + run.bbox.right) / 2.0;
            columns[self.gutters.iter().filter(|x| **x <= middle).count()].push(run);
        }
        columns
    }

    fn flush_spanning(&mut self) {
        if !self.spanning.is_empty() {
            self.order.push((Kind::Spanning, std::mem::take(&mut self.spanning)));
        }
    }

    /// Whether one of the columns is filled with text, or only one has anything.
    fn is_prose(&self, runs: &[Line]) -> bool {
        let columns = self.by_column(runs.to_vec());
        if columns.iter().filter(|column| !column.is_empty()).count() <= 1 {
            return true;
        }
        let width = self.width(runs);
        columns.into_iter().filter(|column| !column.is_empty()).any(|column| {
            let rows = join_rows(column);
            2 * rows.iter().filter(|row| row.cells == 1).count() > rows.len()
                && median(rows.iter().map(|row| row.bbox.width() / width).collect()) > 0.6
                && median(rows.iter().map(|row| row.chars as f32).collect()) > 15.0
        })
    }

    /// About as wide as one column.
    fn width(&self, runs: &[Line]) -> f32 {
        let mut area = Rect { left: f32::MAX, right: f32::MIN, ..Rect::default() };
        for lines in self.order.iter().map(|(_, lines)| lines.as_slice()).chain([runs]) {
            area = lines.iter().fold(area, |area, line| area.union(line.bbox));
        }
        (area.width() / (self.gutters.len() + 1) as f32).max(50.0)
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.flush_spanning();
        let mut chunks = Vec::new();
        let edges = |wanted: Kind| {
            let lines = self.order.iter().filter(|(kind, _)| *kind == wanted).flat_map(|(_, lines)| lines);
            edges(lines)
        };
        let spanning = edges(Kind::Spanning);
        let columns: Vec<(f32, f32)> = (0..=self.gutters.len()).map(|index| edges(Kind::Column(index))).collect();
        for (kind, lines) in &self.order {
            let (left, right) = match kind {
                Kind::Spanning => spanning,
                Kind::Column(index) => columns[*index],
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
    use super::super::gutters::{gutters, near};
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
        let gutters = gutters(&runs);
        let lines = arrange(runs, &gutters).into_iter().flat_map(|chunk| chunk.lines);
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
    fn three_columns_are_read_one_after_the_other_under_their_title() {
        let mut runs = vec![run("title", 120.0, 480.0, 0)];
        for row in 2..14 {
            for (name, left) in [("a", 60.0), ("b", 226.0), ("c", 392.0)] {
                runs.push(run(&format!("{name}{row}"), left, left + 150.0, row));
            }
        }
        let text = read(runs);
        assert!(
            text.starts_with("title a2 a3")
                && text.contains("a13 b2")
                && text.ends_with("b13 c2 c3 c4 c5 c6 c7 c8 c9 c10 c11 c12 c13"),
            "{text}"
        );
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
        assert!(near(&runs, &[300.0]).is_some());
        assert_eq!(near(&[run("wide", 72.0, 525.0, 0)], &[300.0]), None);
    }
}
