//! Tables: lines between rules of one width, or lines whose cells stand under each other. Rows and cells are told by the
//! white stripes between columns ([`super::grid`]).

use super::super::layout::Chunk;
use super::super::lines::{Line, Rect, join_rows};
use super::super::marks;
use super::grid;
use super::{Found, Sheet, is_running_text};
use crate::document::{BlockKind, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// Longer stretches between rules are no table that fits a page.
const MAX_LINES: usize = 200;
/// Cells longer than this (in characters, on average) are prose, unless rules or a caption say that it is a table.
const LONG_CELL: usize = 30;

/// Tables with rules over the whole width: at least at the top and at the bottom.
pub fn ruled(chunk: &Chunk, sheet: &Sheet, taken: &[bool]) -> Vec<Found> {
    let mut taken = taken.to_vec();
    let mut found = Vec::new();
    for rules in rules_by_extent(sheet) {
        let mut lines: Vec<usize> = Vec::new();
        let mut levels: Vec<f32> = Vec::new();
        for pair in rules.windows(2) {
            match band(chunk, &pair[0], &pair[1], &taken) {
                Some(band) => {
                    levels.extend([pair[0].top, pair[1].top]);
                    lines.extend(band);
                }
                None => {
                    found.extend(ruled_table(chunk, std::mem::take(&mut lines), &levels));
                    levels.clear();
                }
            }
        }
        found.extend(ruled_table(chunk, lines, &levels));
        found.iter().flat_map(|found| &found.lines).for_each(|index| taken[*index] = true);
    }
    found
}

/// The places between rules of one width, where tables may be.
pub fn extents(sheet: &Sheet) -> Vec<Rect> {
    let groups = rules_by_extent(sheet);
    groups.into_iter().filter_map(|rules| rules.into_iter().reduce(Rect::union)).collect()
}

/// A table over several columns of the page, which the gutter may have parted: its lines, taken out of the chunks that they
/// were in, are a chunk of their own before the first of those.
pub fn rejoin(chunks: Vec<Chunk>, sheet: &Sheet) -> Vec<Chunk> {
    extents(sheet).iter().fold(chunks, |chunks, area| rejoin_within(&chunks, area, sheet).unwrap_or(chunks))
}

fn rejoin_within(chunks: &[Chunk], area: &Rect, sheet: &Sheet) -> Option<Vec<Chunk>> {
    let within = |line: &Line| {
        line.baseline > area.top
            && line.baseline - 0.3 * line.size < area.bottom
            && line.bbox.left < area.right
            && line.bbox.right > area.left
    };
    let holds = |chunk: &Chunk| chunk.lines.iter().any(within);
    let first = chunks.iter().position(holds)?;
    let beside = chunks.iter().filter(|chunk| holds(chunk) && (chunk.left - chunks[first].left).abs() > 50.0).count();
    if beside == 0 {
        return None;
    }
    let lines: Vec<Line> = chunks.iter().flat_map(|chunk| &chunk.lines).filter(|line| within(line)).cloned().collect();
    let lines = join_rows(lines);
    let chunk = Chunk { lines, left: area.left, right: area.right };
    let found = ruled(&chunk, sheet, &vec![false; chunk.lines.len()]);
    if found.iter().map(|found| found.lines.len()).sum::<usize>() * 10 < chunk.lines.len() * 9 {
        return None;
    }
    let mut out: Vec<Chunk> = Vec::with_capacity(chunks.len() + 1);
    for (index, before) in chunks.iter().enumerate() {
        if index == first {
            out.push(chunk.clone());
        }
        let lines: Vec<Line> = before.lines.iter().filter(|line| !within(line)).cloned().collect();
        if !lines.is_empty() {
            out.push(Chunk { lines, ..*before });
        }
    }
    Some(out)
}

/// Horizontal rules by their left and right ends, from top to bottom; pieces drawn cell by cell are joined first.
fn rules_by_extent(sheet: &Sheet) -> Vec<Vec<Rect>> {
    let mut level: Vec<Rect> =
        sheet.rules.iter().copied().filter(|rule| rule.bottom - rule.top <= 3.0 && rule.width() > 3.0).collect();
    level.sort_by(|a, b| a.top.total_cmp(&b.top).then(a.left.total_cmp(&b.left)));
    let mut rules: Vec<Rect> = Vec::new();
    for rule in level {
        let joins = |last: &Rect| {
            (last.top - rule.top).abs() < 1.5 && rule.left <= last.right + 3.0 && last.left <= rule.right + 3.0
        };
        match rules.iter_mut().rev().take(4).find(|last| joins(last)) {
            Some(last) => *last = last.union(rule),
            None => rules.push(rule),
        }
    }
    let mut groups: Vec<Vec<Rect>> = Vec::new();
    for rule in rules.into_iter().filter(|rule| rule.width() > 40.0) {
        let same = |group: &&mut Vec<Rect>| {
            group
                .last()
                .is_some_and(|last| (last.left - rule.left).abs() < 4.0 && (last.right - rule.right).abs() < 4.0)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(rule),
            None => groups.push(vec![rule]),
        }
    }
    groups.retain(|group| group.len() >= 2);
    // A table's own rules before those of a box around it.
    groups.sort_by(|a, b| a[0].width().total_cmp(&b[0].width()));
    groups
}

/// The lines between two rules, if they may be rows of a table: none reaches out of it, none is a caption, few are prose.
fn band(chunk: &Chunk, upper: &Rect, lower: &Rect, taken: &[bool]) -> Option<Vec<usize>> {
    let between = |line: &Line| line.baseline > upper.top && line.baseline - 0.3 * line.size < lower.top;
    let overlaps = |line: &Line| line.bbox.left < upper.right && line.bbox.right > upper.left;
    let lines: Vec<usize> = (0..chunk.lines.len())
        .filter(|index| between(&chunk.lines[*index]) && overlaps(&chunk.lines[*index]))
        .collect();
    let inside = |line: &Line| line.bbox.left > upper.left - line.size && line.bbox.right < upper.right + line.size;
    let fits = |index: &usize| {
        let line = &chunk.lines[*index];
        !taken[*index] && inside(line) && !marks::is_caption(&line.text) && !is_caption(&line.text)
    };
    if lines.len() > MAX_LINES || !lines.iter().all(fits) {
        return None;
    }
    let fills = |index: &&usize| {
        let line = &chunk.lines[**index];
        is_running_text(line) && line.bbox.width() > 0.8 * upper.width()
    };
    (3 * lines.iter().filter(fills).count() <= lines.len()).then_some(lines)
}

/// A list of references between the rules of a page's head and foot has cells too, its numbers: they are long, and no
/// caption says that it is a table.
fn ruled_table(chunk: &Chunk, lines: Vec<usize>, levels: &[f32]) -> Option<Found> {
    let captioned = has_caption(chunk, *lines.first()?, *lines.last()?);
    let table = table(chunk, lines, levels)?;
    let BlockKind::Table { rows } = &table.kind else { return None };
    let longest = |row: &Vec<String>| row.iter().map(|cell| cell.split_whitespace().count()).max().unwrap_or(0);
    let long = rows.iter().filter(|row| longest(row) >= 9).count();
    (captioned || 3 * long <= rows.len()).then_some(table)
}

/// Tables without rules: three lines of cells or more, with numbers in them; or two beside a caption.
pub fn aligned(chunk: &Chunk, _: &Sheet, taken: &[bool]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut lines: Vec<usize> = Vec::new();
    for (index, line) in chunk.lines.iter().enumerate() {
        let near = lines.last().is_none_or(|last| line.baseline - chunk.lines[*last].baseline < 3.0 * line.size);
        let is_row = !taken[index] && line.cells >= 2 && !marks::is_caption(&line.text) && !has_leaders(&line.text);
        if !(is_row && near) {
            found.extend(aligned_table(chunk, std::mem::take(&mut lines)));
        }
        if is_row {
            lines.push(index);
        }
    }
    found.extend(aligned_table(chunk, lines));
    found
}

fn aligned_table(chunk: &Chunk, lines: Vec<usize>) -> Option<Found> {
    let (first, last) = (*lines.first()?, *lines.last()?);
    let captioned = has_caption(chunk, first, last);
    if lines.len() < if captioned { 2 } else { 3 } {
        return None;
    }
    let table = table(chunk, lines, &[])?;
    let BlockKind::Table { rows } = &table.kind else { return None };
    let cells: Vec<&str> = rows.iter().flatten().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
    let numbers = cells.iter().filter(|cell| cell.contains(|c: char| c.is_ascii_digit())).count();
    let chars: usize = cells.iter().map(|cell| cell.chars().count()).sum();
    (captioned || 3 * numbers >= cells.len() && chars < LONG_CELL * cells.len()).then_some(table)
}

/// `1 Introduction . . . . 3`
fn has_leaders(text: &str) -> bool {
    text.contains(". . . .") || text.contains(".....")
}

/// Whether the caption of a table stands right before or behind the lines.
fn has_caption(chunk: &Chunk, first: usize, last: usize) -> bool {
    let around = chunk.lines[first.saturating_sub(4)..first].iter().chain(chunk.lines.iter().skip(last + 1).take(2));
    around.into_iter().any(|line| is_caption(&line.text))
}

/// Whether a line begins the caption of a table: its name and number, and nothing or a mark behind them.
pub fn is_caption(text: &str) -> bool {
    static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(Table|TABLE|Tab\.|Tabelle|Tableau|Tabla|表|표)\s*[A-Z]?\.?[\dIVX]+(\.\d+)*\s*([:.|–—]|$|\s+\p{Lu}|\s*[^\p{Latin}\s])",
        )
    });
    CAPTION.is_match(text)
}

/// The lines as rows and cells, if they have at least two of each. `levels`: heights of the rules over the whole width.
fn table(chunk: &Chunk, lines: Vec<usize>, levels: &[f32]) -> Option<Found> {
    let rows: Vec<&Line> = lines.iter().map(|index| &chunk.lines[*index]).collect();
    let rows = grid::rows(&rows, levels)?;
    let filled = |row: &&Vec<String>| row.iter().filter(|cell| !cell.is_empty()).count() >= 2;
    if rows.len() < 2 || 2 * rows.iter().filter(filled).count() < rows.len() {
        return None;
    }
    let text = rows.iter().map(|row| row.join("\t")).collect::<Vec<_>>().join("\n");
    Some(Found { lines, kind: BlockKind::Table { rows }, text })
}

#[cfg(test)]
mod tests {
    use super::super::super::faces::Face;
    use super::super::tests::{chunk, line, prose};
    use super::*;

    fn row(at: usize, cells: [&str; 3]) -> Line {
        let words = [(cells[0], 110.0), (cells[1], 180.0), (cells[2], 250.0)];
        let words: Vec<(&str, f32)> = words.into_iter().filter(|(text, _)| !text.is_empty()).collect();
        Line { cells: words.len(), ..line(at, &words, Face::Plain) }
    }

    fn rules(rows: &[f32]) -> Sheet {
        let rule = |row: &f32| {
            let top = 100.0 + 12.0 * row - 9.0;
            Rect { left: 105.0, top, right: 300.0, bottom: top + 0.5 }
        };
        Sheet { rules: rows.iter().map(rule).collect(), body: 10.0, ..Sheet::default() }
    }

    fn cells(found: &[Found]) -> Vec<Vec<Vec<String>>> {
        let rows = |found: &Found| match &found.kind {
            BlockKind::Table { rows } => rows.clone(),
            other => panic!("{other:?}"),
        };
        found.iter().map(rows).collect()
    }

    fn results() -> Vec<Line> {
        vec![
            prose(0),
            row(2, ["Model", "BLEU", "Cost"]),
            row(3, ["ours", "28.4", ""]),
            row(4, ["theirs", "", "9"]),
            prose(6),
        ]
    }

    #[test]
    fn lines_between_rules_are_rows_with_empty_cells_kept() {
        let found = ruled(&chunk(results()), &rules(&[2.0, 3.0, 5.0]), &[false; 5]);
        assert_eq!(cells(&found), [[["Model", "BLEU", "Cost"], ["ours", "28.4", ""], ["theirs", "", "9"]]]);
        assert_eq!(found[0].lines, [1, 2, 3]);
        assert_eq!(found[0].text, "Model\tBLEU\tCost\nours\t28.4\t\ntheirs\t\t9");
    }

    #[test]
    fn prose_between_rules_is_no_table() {
        let lines: Vec<Line> = (0..6).map(prose).collect();
        assert_eq!(ruled(&chunk(lines), &rules(&[0.0, 6.0]), &[false; 6]), []);
    }

    #[test]
    fn cells_under_each_other_are_a_table_without_rules_if_they_hold_numbers() {
        let more = row(5, ["both", "30.1", "7"]);
        let lines: Vec<Line> = results().into_iter().take(4).chain([more]).collect();
        let found = aligned(&chunk(lines), &Sheet::default(), &[false; 5]);
        assert_eq!(found.len(), 1);
        let names = vec![row(0, ["Ann", "Bob", "Cy"]), row(1, ["Uni", "Lab", "Inc"]), row(2, ["Rome", "Oslo", "Ulm"])];
        assert_eq!(aligned(&chunk(names.clone()), &Sheet::default(), &[false; 3]), [], "authors of a paper");
        let caption = line(0, &[("Table 2: Names", 100.0)], Face::Plain);
        let lines: Vec<Line> = [caption].into_iter().chain(names).collect();
        assert_eq!(aligned(&chunk(lines), &Sheet::default(), &[false; 4]).len(), 1);
    }
}
