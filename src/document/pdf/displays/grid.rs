//! Lines of a table → rows and cells. Columns are what stands between white stripes that run through all lines, those
//! cells aside that lie across several columns of other lines.

use super::super::fragments::Fragment;
use super::super::letters::is_cjk;
use super::super::lines::Line;

/// Width of a white stripe between columns, in font sizes: of a long table, and of a short one.
const STRIPE: f32 = 0.45;
const STRIPE_OF_FEW: f32 = 1.0;
const FEW: usize = 3;
/// Words no further apart than this (in font sizes) belong to one cell.
const CELL_GAP: f32 = 0.45;
/// More cells than this are no table that a person reads.
const MAX_CELLS: usize = 3_000;

/// The cells of each row, all rows of one length; none if there is only one column. `levels`: heights of rules over the
/// whole width.
pub fn rows(lines: &[&Line], levels: &[f32]) -> Option<Vec<Vec<String>>> {
    let cells: Vec<Vec<Cell>> = lines.iter().map(|line| cells(line)).collect();
    if cells.iter().map(Vec::len).sum::<usize>() > MAX_CELLS {
        return None;
    }
    let stripes = stripes(lines, &cells);
    if stripes.is_empty() || !stand_under_each_other(&cells, &stripes) {
        return None;
    }
    let groups = groups(lines, levels, &stripes);
    Some(groups.into_iter().map(|group| row(&group, &stripes)).collect())
}

/// Words of a line without a wide gap between them.
struct Cell<'a> {
    parts: &'a [Fragment],
    left: f32,
    right: f32,
}

fn cells(line: &Line) -> Vec<Cell<'_>> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut start = 0;
    for end in 1..=line.fragments.len() {
        let parts = &line.fragments[start..end];
        let right = parts.iter().map(|part| part.right).fold(f32::MIN, f32::max);
        if line.fragments.get(end).is_none_or(|next| next.left - right > CELL_GAP * line.size) {
            cells.push(Cell { parts, left: parts[0].left, right });
            start = end;
        }
    }
    cells
}

impl Cell<'_> {
    fn overlaps(&self, other: &Cell) -> bool {
        self.right.min(other.right) - self.left.max(other.left) > 0.5
    }

    /// Whether it lies over two cells or more of other lines, rather than over one: a heading over several columns. The
    /// more cells a line has, the more it says about where columns are.
    fn spans(&self, others: &[Vec<Cell>]) -> bool {
        let (mut parted, mut whole) = (0, 0);
        for line in others {
            match line.iter().filter(|cell| self.overlaps(cell)).count() {
                0 => {}
                1 => whole += line.len(),
                _ => parted += line.len(),
            }
        }
        // The line of the cell itself is among the latter.
        parted > 0 && parted >= whole
    }
}

/// The middles of the white stripes, from left to right.
fn stripes(lines: &[&Line], cells: &[Vec<Cell>]) -> Vec<f32> {
    let size = median(lines.iter().map(|line| line.size).collect());
    let wide = size * if lines.len() <= FEW { STRIPE_OF_FEW } else { STRIPE };
    let mut narrow: Vec<(f32, f32)> =
        cells.iter().flatten().filter(|cell| !cell.spans(cells)).map(|cell| (cell.left, cell.right)).collect();
    narrow.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut stripes = Vec::new();
    let mut edge = f32::MAX;
    for (left, right) in narrow {
        if left - edge >= wide {
            stripes.push((edge + left) / 2.0);
        }
        edge = if edge == f32::MAX { right } else { edge.max(right) };
    }
    stripes
}

/// Whether the cells of the columns behind the first begin, end or have their middles in one line, most of them: the words
/// of a text that happen to have gaps under each other do not.
fn stand_under_each_other(cells: &[Vec<Cell>], stripes: &[f32]) -> bool {
    let (mut in_line, mut all) = (0, 0);
    for at in 1..=stripes.len() {
        let within = |cell: &&Cell| cell.parts.first().is_some_and(|part| column(part, stripes) == at);
        let column: Vec<&Cell> = cells.iter().flatten().filter(within).filter(|cell| !cell.spans(cells)).collect();
        let most = |place: &dyn Fn(&Cell) -> f32| {
            let places: Vec<f32> = column.iter().map(|cell| place(cell)).collect();
            let near = |x: &f32| places.iter().filter(|other| (*other - x).abs() < 2.5).count();
            places.iter().map(near).max().unwrap_or(0)
        };
        in_line +=
            most(&|cell| cell.left).max(most(&|cell| cell.right)).max(most(&|cell| (cell.left + cell.right) / 2.0));
        all += column.len();
    }
    5 * in_line >= 2 * all
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(10.0)
}

/// Lines that are one row: between two rules of a table that has a rule under each row; else a line that goes on with
/// cells of the one above it, closer to it than rows are to each other.
fn groups<'a>(lines: &[&'a Line], levels: &[f32], stripes: &[f32]) -> Vec<Vec<&'a Line>> {
    let by_rules = has_rule_under_each_row(lines, levels, stripes);
    let steps: Vec<f32> = lines.windows(2).map(|pair| pair[1].baseline - pair[0].baseline).collect();
    let close = steps.iter().copied().fold(f32::MAX, f32::min);
    let wide = steps.iter().copied().fold(0.0, f32::max);
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    for line in lines {
        let joins = groups.last().and_then(|group: &Vec<&Line>| group.last()).is_some_and(|above| {
            if by_rules {
                return band(above, levels) == band(line, levels);
            }
            let first_is_empty = stripes.first().is_some_and(|stripe| line.bbox.left > *stripe);
            let near = line.baseline - above.baseline < 1.1 * close && close < 0.85 * wide;
            near && first_is_empty && filled(line, stripes) < filled(above, stripes)
        });
        match groups.last_mut().filter(|_| joins) {
            Some(group) => group.push(line),
            None => groups.push(vec![line]),
        }
    }
    groups
}

/// How many rules stand above a line.
fn band(line: &Line, levels: &[f32]) -> usize {
    levels.iter().filter(|level| **level < line.baseline - 0.3 * line.size).count()
}

/// Whether rules part the rows: there are several, and between no two of them do two lines begin a row.
fn has_rule_under_each_row(lines: &[&Line], levels: &[f32], stripes: &[f32]) -> bool {
    let mut starts: Vec<usize> = Vec::new();
    let mut bands: Vec<usize> = Vec::new();
    for line in lines {
        let band = band(line, levels);
        let named = line.bbox.left < stripes.first().copied().unwrap_or(f32::MAX) && filled(line, stripes) >= 2;
        let begins = named || line.fragments.iter().filter(|part| is_value(&part.text)).count() >= 2;
        if begins && starts.last() == Some(&band) {
            return false;
        }
        starts.extend(begins.then_some(band));
        bands.push(band);
    }
    bands.dedup();
    bands.len() >= 3 && 4 * bands.len() >= lines.len()
}

/// How many columns of a line hold something.
fn filled(line: &Line, stripes: &[f32]) -> usize {
    let mut columns: Vec<usize> = line.fragments.iter().map(|part| column(part, stripes)).collect();
    columns.dedup();
    columns.len()
}

/// The column that holds the fragment, or the first of those that it lies over.
fn column(fragment: &Fragment, stripes: &[f32]) -> usize {
    stripes.iter().filter(|stripe| **stripe < fragment.left + 0.3 * (fragment.right - fragment.left)).count()
}

fn row(lines: &[&Line], stripes: &[f32]) -> Vec<String> {
    let mut row = vec![String::new(); stripes.len() + 1];
    for line in lines {
        for cell in cells(line) {
            for (column, parts) in columns_of(&cell, stripes) {
                for (index, part) in parts.iter().enumerate() {
                    add(&mut row[column], &part.text, index == 0 || part.space_before);
                }
            }
        }
    }
    row
}

/// A cell by columns: in the first that it lies over if it is a heading of several, in each its own part if these are
/// numbers that stand too close to each other.
fn columns_of<'a>(cell: &Cell<'a>, stripes: &[f32]) -> Vec<(usize, &'a [Fragment])> {
    let first = cell.parts.first().map_or(0, |part| column(part, stripes));
    let mut groups: Vec<(usize, &[Fragment])> = Vec::new();
    let mut start = 0;
    for end in 1..=cell.parts.len() {
        let at = column(&cell.parts[start], stripes);
        if cell.parts.get(end).is_none_or(|next| next.space_before && column(next, stripes) != at) {
            groups.push((at, &cell.parts[start..end]));
            start = end;
        }
    }
    let is_value = |parts: &[Fragment]| parts.iter().all(|part| is_value(&part.text));
    if groups.iter().all(|(_, parts)| is_value(parts)) { groups } else { vec![(first, cell.parts)] }
}

/// A number, or the sign that there is none.
fn is_value(text: &str) -> bool {
    let digits = text.chars().filter(|c| c.is_ascii_digit()).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    digits > 0 && letters <= 2 || ["-", "–", "—"].contains(&text)
}

fn add(cell: &mut String, text: &str, spaced: bool) {
    let joined = cell.ends_with(is_cjk) && text.starts_with(is_cjk);
    if spaced && !cell.is_empty() && !joined {
        cell.push(' ');
    }
    cell.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::super::super::faces::Face;
    use super::super::tests::line;
    use super::*;

    fn read(lines: &[Line], levels: &[f32]) -> Vec<Vec<String>> {
        rows(&lines.iter().collect::<Vec<_>>(), levels).expect("columns")
    }

    fn scores() -> Vec<Line> {
        vec![
            line(0, &[("BLEU score by pair", 145.0)], Face::Plain),
            line(1, &[("Model", 100.0), ("EN-DE", 150.0), ("EN-FR", 190.0)], Face::Plain),
            line(2, &[("a", 100.0), ("23.7", 150.0), ("39.2", 190.0)], Face::Plain),
            line(3, &[("b", 100.0), ("26.0", 150.0), ("40.4", 190.0)], Face::Plain),
        ]
    }

    #[test]
    fn a_heading_over_two_columns_stands_in_the_first() {
        let rows = read(&scores(), &[]);
        assert_eq!(rows[0], ["", "BLEU score by pair", ""]);
        assert_eq!(rows[3], ["b", "26.0", "40.4"]);
    }

    #[test]
    fn numbers_that_nearly_touch_are_parted_by_the_columns_of_other_lines() {
        let mut lines = scores();
        lines.push(line(4, &[("c", 100.0), ("123.45±6", 148.0), ("40.4", 191.0)], Face::Plain));
        assert_eq!(read(&lines, &[])[4], ["c", "123.45±6", "40.4"]);
    }

    #[test]
    fn rules_under_each_row_hold_the_lines_of_a_row_together() {
        let lines = [
            line(0, &[("Task", 100.0), ("Size", 200.0)], Face::Plain),
            line(1, &[("long name", 100.0), ("10", 200.0)], Face::Plain),
            line(2, &[("goes on", 100.0)], Face::Plain),
            line(3, &[("other", 100.0), ("20", 200.0)], Face::Plain),
        ];
        let joined = read(&lines, &[91.0, 103.0, 127.0, 139.0]);
        assert_eq!(joined, [["Task", "Size"], ["long name goes on", "10"], ["other", "20"]]);
        assert_eq!(read(&lines, &[91.0, 103.0, 139.0])[2], ["goes on", ""], "one rule under the head alone");
    }

    #[test]
    fn text_without_stripes_has_no_columns() {
        let lines =
            [line(0, &[("one", 100.0), ("two", 118.0)], Face::Plain), line(1, &[("three", 100.0)], Face::Plain)];
        assert_eq!(rows(&lines.iter().collect::<Vec<_>>(), &[]), None);
    }
}
