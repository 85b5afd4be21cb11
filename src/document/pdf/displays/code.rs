//! Code: lines set in a typewriter's face, kept line by line with their indentation.

use super::super::faces::Face;
use super::super::layout::Chunk;
use super::super::lines::Line;
use super::{Found, Sheet};
use crate::document::BlockKind;

/// Share of a line's characters that are set in a typewriter's face.
const MONO: f32 = 0.8;
/// Lines of code stand no further apart than this, in font sizes.
const STEP: f32 = 2.6;

pub fn find(chunk: &Chunk, _: &Sheet, taken: &[bool]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut group: Vec<usize> = Vec::new();
    for (index, line) in chunk.lines.iter().enumerate() {
        let near = group.last().is_none_or(|last| {
            let step = line.baseline - chunk.lines[*last].baseline;
            step > 0.0 && step < STEP * line.size
        });
        let is_code = !taken[index] && is_mono(line);
        if !(is_code && near) {
            found.extend(block(chunk, std::mem::take(&mut group)));
        }
        if is_code {
            group.push(index);
        }
    }
    found.extend(block(chunk, group));
    found
}

fn is_mono(line: &Line) -> bool {
    let chars = |mono: bool| -> usize {
        let fragments = line.fragments.iter().filter(|fragment| !mono || fragment.face == Face::Mono);
        fragments.map(|fragment| fragment.text.chars().count()).sum()
    };
    chars(true) > 0 && chars(true) as f32 >= MONO * chars(false) as f32
}

fn is_address(word: &str) -> bool {
    word.contains("://") || word.contains("www.") || word.contains('@')
}

/// A single line may be an address under a name, and lines that fill their column prose in a typewriter's face.
fn block(chunk: &Chunk, lines: Vec<usize>) -> Option<Found> {
    let rows: Vec<&Line> = lines.iter().map(|index| &chunk.lines[*index]).collect();
    let text: String = rows.iter().flat_map(|row| row.text.split_whitespace()).collect();
    let signs = text.chars().filter(|c| "(){}[]=;:<>_#/\\\"'$*+|".contains(*c)).count();
    let lines_of_code = rows.iter().filter(|row| !row.text.split_whitespace().any(is_address)).count();
    let is_code = lines_of_code >= 2 && signs * 30 >= text.chars().count();
    is_code.then(|| Found { lines, kind: BlockKind::Code, text: indented(&rows) })
}

/// The lines one under the other, each behind as many spaces as stand before it on the page.
pub fn indented(rows: &[&Line]) -> String {
    let left = rows.iter().map(|row| row.bbox.left).fold(f32::MAX, f32::min);
    let mut widths: Vec<f32> =
        rows.iter().filter(|row| row.chars > 0).map(|row| row.bbox.width() / row.text.chars().count() as f32).collect();
    widths.sort_by(f32::total_cmp);
    let width = widths.get(widths.len() / 2).copied().unwrap_or(5.0).max(1.0);
    let mut text = String::new();
    let mut above: Option<&Line> = None;
    for row in rows {
        if above.is_some_and(|above| row.baseline - above.baseline < 0.8 * above.size && row.chars <= 12) {
            // Half of a fraction, an exponent: of the line that it stands beside.
            text.push(' ');
        } else {
            let indent = ((row.bbox.left - left) / width).round().clamp(0.0, 60.0) as usize;
            text.push_str(if above.is_some() { "\n" } else { "" });
            text.push_str(&" ".repeat(indent));
            above = Some(row);
        }
        text.push_str(&row.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chunk, line, prose};
    use super::*;

    fn code(row: usize, text: &str, left: f32) -> Line {
        line(row, &[(text, left)], Face::Mono)
    }

    #[test]
    fn code_keeps_its_lines_and_indentation() {
        let lines = vec![
            prose(0),
            code(1, "def add(a, b):", 100.0),
            code(2, "return a + b", 120.0),
            code(3, "add(1, 2)", 100.0),
            prose(4),
        ];
        let found = find(&chunk(lines), &Sheet::default(), &[false; 5]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].lines, [1, 2, 3]);
        assert_eq!(found[0].text, "def add(a, b):\n    return a + b\nadd(1, 2)");
    }

    #[test]
    fn addresses_and_prose_in_a_typewriters_face_are_no_code() {
        let address = vec![prose(0), code(1, "{first,last}@example.org", 120.0), prose(2)];
        let text =
            vec![code(0, "a whole paper that was written on a", 100.0), code(1, "typewriter has no code", 100.0)];
        for lines in [address, text] {
            let taken = vec![false; lines.len()];
            assert_eq!(find(&chunk(lines), &Sheet::default(), &taken), []);
        }
    }
}
