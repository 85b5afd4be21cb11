//! What is no prose: tables, displayed formulas, code and algorithms, text inside figures. Found among a page's lines in
//! reading order, taken out whole, and put back as one block each where they stood.
//!
//! Prose must never be lost in a table or a figure: each finder asks for evidence, and what has too little stays prose.

mod algorithms;
mod apart;
mod code;
mod figures;
mod formulas;
mod grid;
mod linear;
mod tables;

use super::drawn::{self, Drawn};
use super::layout::Chunk;
use super::letters::is_cjk;
use super::lines::{Frame, Line, Rect};
use crate::document::BlockKind;

/// A part of a page in reading order.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Lines to be made paragraphs.
    Prose(Chunk),
    Display(Display),
}

impl Piece {
    pub fn bbox(&self) -> Rect {
        match self {
            Piece::Prose(chunk) => chunk.lines.iter().map(|line| line.bbox).reduce(Rect::union).unwrap_or_default(),
            Piece::Display(display) => display.bbox,
        }
    }
}

/// A block that is no prose.
#[derive(Debug, Clone, PartialEq)]
pub struct Display {
    pub kind: BlockKind,
    pub text: String,
    pub bbox: Rect,
}

/// What is known of the page around the lines, in their frame.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    pub rules: Vec<Rect>,
    pub pictures: Vec<Rect>,
    /// The size of the paper's main text.
    pub body: f32,
}

impl Sheet {
    pub fn new(drawn: &Drawn, frame: &Frame, body: f32) -> Sheet {
        let rects = |boxes: &[drawn::Box]| boxes.iter().map(|bounds| frame.rect(*bounds)).collect();
        Sheet { rules: rects(&drawn.rules), pictures: rects(&drawn.pictures), body }
    }
}

/// Lines of one chunk that a finder takes for one display.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// Indices, ascending.
    lines: Vec<usize>,
    kind: BlockKind,
    text: String,
}

/// Finds displays among the lines of a chunk that no finder before it has taken.
type Finder = fn(&Chunk, &Sheet, &[bool]) -> Vec<Found>;

/// In the order in which they are asked.
const FINDERS: [Finder; 6] =
    [figures::find, algorithms::find, tables::ruled, code::find, formulas::find, tables::aligned];

/// The chunks of a page, with what is no prose apart.
pub fn split(chunks: &[Chunk], sheet: &Sheet) -> Vec<Piece> {
    let shows_figure = |picture: &&Rect| !figures::frames_text(chunks, picture);
    let pictures = sheet.pictures.iter().filter(shows_figure).copied().collect();
    let sheet = &Sheet { pictures, rules: sheet.rules.clone(), body: sheet.body };
    let areas: Vec<Rect> = tables::extents(sheet).into_iter().chain(sheet.pictures.iter().copied()).collect();
    let parted = |chunk: Chunk| {
        let lines = areas.iter().fold(chunk.lines, apart::part);
        Chunk { lines, ..chunk }
    };
    let chunks = tables::rejoin(chunks.to_vec(), sheet);
    chunks.into_iter().map(parted).flat_map(|chunk| split_chunk(&chunk, sheet)).collect()
}

fn split_chunk(chunk: &Chunk, sheet: &Sheet) -> Vec<Piece> {
    let mut taken = vec![false; chunk.lines.len()];
    let mut displays: Vec<Found> = Vec::new();
    for finder in FINDERS {
        let found = finder(chunk, sheet, &taken);
        found.iter().flat_map(|found| &found.lines).for_each(|index| taken[*index] = true);
        displays.extend(found);
    }
    displays.sort_by_key(|found| found.lines.first().copied());
    let mut displays = displays.into_iter().peekable();
    let mut pieces = Vec::new();
    let mut prose: Vec<Line> = Vec::new();
    for (index, line) in chunk.lines.iter().enumerate() {
        while let Some(found) = displays.next_if(|found| found.lines.first() == Some(&index)) {
            flush(&mut prose, chunk, &mut pieces);
            pieces.extend(display(chunk, found));
        }
        if !taken[index] {
            prose.push(line.clone());
        }
    }
    flush(&mut prose, chunk, &mut pieces);
    pieces
}

/// A line as it stands within a paragraph: many words in small letters, or in a script without capitals, and no wide gap.
fn is_running_text(line: &Line) -> bool {
    let cjk = line.text.chars().filter(|c| is_cjk(*c)).count();
    line.cells <= 1 && (cjk >= 15 || has_words(&line.text))
}

fn has_words(text: &str) -> bool {
    let is_word = |word: &&str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.len() > 1 && word.chars().all(|c| c.is_alphabetic() && !c.is_uppercase() || c == '-' || c == '’')
    };
    text.split_whitespace().filter(is_word).count() >= 5
}

fn flush(prose: &mut Vec<Line>, chunk: &Chunk, pieces: &mut Vec<Piece>) {
    if !prose.is_empty() {
        pieces.push(Piece::Prose(Chunk { lines: std::mem::take(prose), ..*chunk }));
    }
}

fn display(chunk: &Chunk, found: Found) -> Option<Piece> {
    let lines = found.lines.iter().filter_map(|index| chunk.lines.get(*index));
    let bbox = lines.map(|line| line.bbox).reduce(Rect::union)?;
    Some(Piece::Display(Display { kind: found.kind, text: found.text, bbox }))
}

#[cfg(test)]
pub mod tests {
    use super::super::faces::Face;
    use super::super::fragments::Fragment;
    use super::*;

    /// A ten-point line of words five points a character, on the row that begins twelve points under the one before.
    pub fn line(row: usize, words: &[(&str, f32)], face: Face) -> Line {
        let baseline = 100.0 + 12.0 * row as f32;
        let fragments: Vec<Fragment> = words
            .iter()
            .map(|(text, left)| {
                let right = left + 5.0 * text.chars().count() as f32;
                let text = text.to_string();
                Fragment { text, left: *left, right, baseline, size: 10.0, face, bold: false, space_before: true }
            })
            .collect();
        let (left, right) = (fragments[0].left, fragments[fragments.len() - 1].right);
        let text = words.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" ");
        let bbox = Rect { left, top: baseline - 7.5, right, bottom: baseline + 2.2 };
        let chars = text.chars().filter(|c| *c != ' ').count();
        Line { text, bbox, baseline, size: 10.0, chars, cells: 1, fragments, ..Line::default() }
    }

    pub fn prose(row: usize) -> Line {
        line(row, &[("A line of running text that fills its column", 100.0)], Face::Plain)
    }

    pub fn chunk(lines: Vec<Line>) -> Chunk {
        Chunk { lines, left: 100.0, right: 320.0 }
    }

    #[test]
    fn a_display_stands_between_the_lines_before_and_after_it() {
        let code = |row, text| line(row, &[(text, 110.0)], Face::Mono);
        let chunk = chunk(vec![prose(0), code(1, "let x = 1;"), code(2, "let y = 2;"), prose(3)]);
        let pieces = split(&[chunk], &Sheet { body: 10.0, ..Sheet::default() });
        let [Piece::Prose(before), Piece::Display(display), Piece::Prose(after)] = &pieces[..] else {
            panic!("{pieces:?}")
        };
        assert_eq!((before.lines.len(), after.lines.len()), (1, 1));
        assert_eq!((&display.kind, display.text.as_str()), (&BlockKind::Code, "let x = 1;\nlet y = 2;"));
        assert_eq!(display.bbox, Rect { left: 110.0, top: 104.5, right: 160.0, bottom: 126.2 });
        assert_eq!(after.right, 320.0);
    }
}
