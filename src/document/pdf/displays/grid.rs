//! Lines of a table → rows and cells. Columns are what stands between white stripes that run through (nearly) all lines.

use super::super::fragments::Fragment;
use super::super::lines::Line;
use super::super::words::is_cjk;

/// Width of a white stripe between columns, in font sizes: of a long table, and of a short one.
const STRIPE: f32 = 0.6;
const STRIPE_OF_FEW: f32 = 1.0;
const FEW: usize = 4;
/// Words no further apart than this belong to one cell.
const CELL_GAP: f32 = 0.6;

/// The cells of each row, all rows of one length; none if there is only one column. `levels`: heights of rules over the
/// whole width.
pub fn rows(lines: &[&Line], levels: &[f32]) -> Option<Vec<Vec<String>>> {
    let stripes = stripes(lines);
    if stripes.is_empty() {
        return None;
    }
    let groups = groups(lines, levels, &stripes);
    Some(groups.into_iter().map(|group| row(&group, &stripes)).collect())
}

/// The middles of the white stripes, from left to right. Lines that cross one, as headings over columns do, are allowed
/// as long as they are few.
fn stripes(lines: &[&Line]) -> Vec<f32> {
    let left = lines.iter().map(|line| line.bbox.left).fold(f32::MAX, f32::min);
    let right = lines.iter().map(|line| line.bbox.right).fold(f32::MIN, f32::max);
    let size = median(lines.iter().map(|line| line.size).collect());
    if !(right - left).is_finite() || right - left > 20_000.0 || right <= left {
        return Vec::new();
    }
    let mut cover = vec![0_usize; (right - left) as usize + 1];
    for line in lines {
        for (from, to) in line.fragments.iter().map(|part| (part.left - left, part.right - left)).collect::<Vec<_>>() {
            let (from, to) = ((from.max(0.0).ceil()) as usize, (to.max(0.0).floor()) as usize);
            let last = cover.len();
            cover[from.min(last)..to.min(last).max(from.min(last))].iter_mut().for_each(|count| *count += 1);
        }
    }
    let allowed = if lines.len() <= 2 { 0 } else { (lines.len() / 5).max(1) };
    let wide = size * if lines.len() <= FEW { STRIPE_OF_FEW } else { STRIPE };
    let mut stripes = Vec::new();
    let mut start = None;
    for (x, count) in cover.iter().enumerate() {
        match (start, *count <= allowed) {
            (None, true) => start = Some(x),
            (Some(from), false) => {
                let from = std::mem::replace(&mut start, None).unwrap_or(from);
                let parts = |side: &dyn Fn(&Fragment) -> bool| lines.iter().any(|line| line.fragments.iter().any(side));
                let middle = left + (from + x) as f32 / 2.0;
                if (x - from) as f32 >= wide
                    && parts(&|part| part.right <= middle)
                    && parts(&|part| part.left >= middle)
                {
                    stripes.push(middle);
                }
            }
            _ => {}
        }
    }
    stripes
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(10.0)
}

/// Lines that are one row: between two rules of a table that has a rule under each row; else a line that goes on with
/// cells of the one above it, closer to it than rows are to each other.
fn groups<'a>(lines: &[&'a Line], levels: &[f32], stripes: &[f32]) -> Vec<Vec<&'a Line>> {
    let band = |line: &Line| levels.iter().filter(|level| **level < line.baseline - 0.3 * line.size).count();
    let mut bands: Vec<usize> = lines.iter().map(|line| band(line)).collect();
    bands.dedup();
    let by_rules = bands.len() >= 3 && 3 * bands.len() >= lines.len();
    let steps: Vec<f32> = lines.windows(2).map(|pair| pair[1].baseline - pair[0].baseline).collect();
    let usual = median(steps.clone());
    let close = steps.iter().copied().fold(f32::MAX, f32::min).min(usual);
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    for line in lines {
        let joins = groups.last().and_then(|group: &Vec<&Line>| group.last()).is_some_and(|above| {
            if by_rules {
                return band(above) == band(line);
            }
            let step = line.baseline - above.baseline;
            let first_is_empty = stripes.first().is_some_and(|stripe| line.bbox.left > *stripe);
            first_is_empty
                && step < 1.1 * close
                && close < 0.85 * steps.iter().copied().fold(0.0, f32::max)
                && filled(line, stripes) < filled(above, stripes)
        });
        match groups.last_mut().filter(|_| joins) {
            Some(group) => group.push(line),
            None => groups.push(vec![line]),
        }
    }
    groups
}

fn filled(line: &Line, stripes: &[f32]) -> usize {
    let mut columns: Vec<usize> = line.fragments.iter().map(|part| column(part, stripes)).collect();
    columns.dedup();
    columns.len()
}

fn column(fragment: &Fragment, stripes: &[f32]) -> usize {
    let middle = (fragment.left + fragment.right) / 2.0;
    stripes.iter().filter(|stripe| **stripe < middle).count()
}

fn row(lines: &[&Line], stripes: &[f32]) -> Vec<String> {
    let mut cells = vec![String::new(); stripes.len() + 1];
    for line in lines {
        let mut edge = f32::MIN;
        let mut at = 0;
        for fragment in &line.fragments {
            let gap = fragment.left - edge;
            // A heading over several columns stands in the first of them.
            if gap > CELL_GAP * line.size || edge == f32::MIN {
                at = column(fragment, stripes);
            }
            let spaced = fragment.space_before || gap > CELL_GAP * line.size;
            add(&mut cells[at], &fragment.text, spaced || edge == f32::MIN);
            edge = fragment.right;
        }
    }
    cells
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

    #[test]
    fn a_heading_over_two_columns_stands_in_the_first() {
        let lines = [
            line(0, &[("BLEU score", 150.0)], Face::Plain),
            line(1, &[("Model", 100.0), ("EN-DE", 150.0), ("EN-FR", 190.0)], Face::Plain),
            line(2, &[("a", 100.0), ("23.7", 150.0), ("39.2", 190.0)], Face::Plain),
            line(3, &[("b", 100.0), ("26.0", 150.0), ("40.4", 190.0)], Face::Plain),
            line(4, &[("c", 100.0), ("28.4", 150.0), ("41.8", 190.0)], Face::Plain),
        ];
        let rows = read(&lines, &[]);
        assert_eq!(rows[0], ["", "BLEU score", ""]);
        assert_eq!(rows[4], ["c", "28.4", "41.8"]);
    }

    #[test]
    fn rules_under_each_row_hold_the_lines_of_a_row_together() {
        let lines = [
            line(0, &[("Task", 100.0), ("Size", 200.0)], Face::Plain),
            line(1, &[("long name", 100.0), ("10", 200.0)], Face::Plain),
            line(2, &[("goes on", 100.0)], Face::Plain),
            line(3, &[("other", 100.0), ("20", 200.0)], Face::Plain),
        ];
        let rows = read(&lines, &[91.0, 103.0, 127.0, 139.0]);
        assert_eq!(rows, [["Task", "Size"], ["long name goes on", "10"], ["other", "20"]]);
    }

    #[test]
    fn text_without_stripes_has_no_columns() {
        let lines =
            [line(0, &[("one", 100.0), ("two", 118.0)], Face::Plain), line(1, &[("three", 100.0)], Face::Plain)];
        assert_eq!(rows(&lines.iter().collect::<Vec<_>>(), &[]), None);
    }
}
