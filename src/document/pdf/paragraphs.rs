//! Lines in reading order → paragraphs.

use super::breaks::Setting;
use super::displays::{Display, Piece};
use super::layout::Chunk;
use super::lines::{Frame, Line, Rect, Style};
use super::marks::is_references_heading;
use super::words::{Vocabulary, join};
use super::{flow, kinds, notes};
use crate::document::BlockKind;

/// A paragraph on its way to a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Headings have no level yet.
    pub kind: BlockKind,
    pub text: String,
    /// Page by index, and box, of each stretch.
    pub places: Vec<(usize, Rect)>,
    pub style: Style,
    pub lines: usize,
    /// Pieces of its lines that gaps set apart.
    pub pieces: Vec<String>,
    /// It begins with a raised mark, as a footnote does.
    pub marked: bool,
    /// It begins with a row of cells: a table, or a formula with its number.
    pub tabular: bool,
    /// Which chunk of the document it comes from.
    pub chunk: usize,
    /// Its last line reaches the column's edge.
    pub full: bool,
    /// It stands in a reference list and does not begin as its entries do.
    pub inside: bool,
}

impl Draft {
    /// Index of the page that it starts on.
    pub fn page(&self) -> usize {
        self.places.first().map_or(0, |(page, _)| *page)
    }

    pub fn is_heading(&self) -> bool {
        matches!(self.kind, BlockKind::Heading { .. })
    }

    /// What may stand in the middle of a paragraph without being part of it.
    pub fn floats(&self) -> bool {
        use BlockKind::{Caption, Code, Figure, Footnote, Table};
        matches!(self.kind, Caption | Code | Figure | Footnote | Table { .. }) || self.tabular
    }
}

/// Turns the pages' chunks into paragraphs.
#[derive(Debug)]
pub struct Paragraphs<'a> {
    vocabulary: &'a Vocabulary,
    body: Style,
    drafts: Vec<Draft>,
    chunks: usize,
    in_references: bool,
    /// Size and pitch of the last chunk with enough lines to measure it: between two formulas there may be only one.
    measured: Option<(f32, f32)>,
}

impl<'a> Paragraphs<'a> {
    /// `body`: how the paper's main text is set.
    pub fn new(vocabulary: &'a Vocabulary, body: Style) -> Paragraphs<'a> {
        Paragraphs { vocabulary, body, drafts: Vec::new(), chunks: 0, in_references: false, measured: None }
    }

    /// The parts of a page in reading order, by the page's index.
    pub fn add_page(&mut self, page: usize, pieces: Vec<Piece>, frame: &Frame) {
        let mut column = self.drafts.len();
        let mut bottom = f32::MIN;
        for piece in pieces {
            let bbox = piece.bbox();
            if bbox.top < bottom - self.body.size {
                notes::mark(&mut self.drafts[column..], self.body, frame);
                column = self.drafts.len();
            }
            bottom = bbox.bottom;
            match piece {
                Piece::Prose(chunk) => self.add_chunk(page, &chunk),
                Piece::Display(display) => self.add_display(page, display),
            }
        }
        notes::mark(&mut self.drafts[column..], self.body, frame);
    }

    fn add_display(&mut self, page: usize, Display { kind, text, bbox }: Display) {
        self.drafts.push(Draft {
            kind,
            text,
            places: vec![(page, bbox)],
            style: Style::default(),
            lines: 0,
            pieces: Vec::new(),
            marked: false,
            tabular: false,
            chunk: self.chunks,
            full: false,
            inside: false,
        });
        self.chunks += 1;
    }

    fn add_chunk(&mut self, page: usize, chunk: &Chunk) {
        let lines = &absorb_fractions(&chunk.lines);
        let (pitch, body) = (self.pitch(lines), self.body);
        let mut setting = Setting { chunk, pitch, hanging: self.in_references, body };
        let mut start = 0;
        for end in 1..=lines.len() {
            if end < lines.len() && !setting.breaks(&lines[start..end], &lines[end], lines.get(end + 1)) {
                continue;
            }
            let draft = setting.draft((page, self.chunks), &lines[start..end], self.vocabulary);
            if is_references_heading(&draft.text) {
                self.in_references = true;
            } else if draft.is_heading() {
                self.in_references = false;
            }
            setting.hanging = self.in_references;
            self.drafts.push(draft);
            start = end;
        }
        self.chunks += 1;
    }

    /// The usual distance of two baselines, from earlier lines of the same size where there are too few.
    fn pitch(&mut self, lines: &[Line]) -> f32 {
        let Some(size) = lines.first().map(|line| line.size) else { return 12.0 };
        let earlier = self.measured.filter(|(other, _)| (other - size).abs() < 0.05 * size);
        match (pitch(lines), earlier) {
            (Some(pitch), _) => {
                self.measured = Some((size, pitch));
                pitch
            }
            (None, Some((_, pitch))) => pitch,
            (None, None) => 1.2 * size,
        }
    }

    /// All paragraphs in reading order, those that go on elsewhere joined.
    pub fn finish(self) -> Vec<Draft> {
        flow::joined(self.drafts, self.vocabulary)
    }
}

/// The lower half of a small fraction, or exponents raised high, stand as lines of their own between two lines of prose;
/// they go to the upper one.
fn absorb_fractions(lines: &[Line]) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let between = |above: &Line, below: &Line| {
            line.chars <= 12
                && line.size < 0.85 * above.size
                && (above.size - below.size).abs() < 0.05 * above.size
                && below.baseline - above.baseline < 1.8 * above.size
                && line.bbox.left >= above.bbox.left.min(below.bbox.left)
        };
        let below = lines[index + 1..].iter().find(|below| below.size > 1.1 * line.size);
        match (out.last_mut(), below) {
            (Some(above), Some(below)) if between(above, below) => {
                above.text.push(' ');
                above.text.push_str(&line.text);
            }
            _ => out.push(line.clone()),
        }
    }
    out
}

/// Median distance of the baselines of lines of one size.
fn pitch(lines: &[Line]) -> Option<f32> {
    let mut steps: Vec<f32> = lines
        .windows(2)
        .filter(|pair| (pair[0].size - pair[1].size).abs() < 0.5)
        .map(|pair| pair[1].baseline - pair[0].baseline)
        .filter(|step| *step > 0.5)
        .collect();
    if steps.len() < 3 {
        return None;
    }
    let middle = steps.len() / 2;
    let median = *steps.select_nth_unstable_by(middle, f32::total_cmp).1;
    let size = lines.iter().map(|line| line.size).fold(0.0, f32::max);
    Some(median.min(2.2 * size))
}

impl Setting<'_> {
    /// `place`: index of the page, and of the chunk in the document.
    fn draft(&self, place: (usize, usize), lines: &[Line], vocabulary: &Vocabulary) -> Draft {
        let mut text = String::new();
        let mut bbox = lines[0].bbox;
        let extent = lines.iter().fold(bbox, |extent, line| extent.union(line.bbox));
        let last = lines.last().unwrap_or(&lines[0]);
        let full = last.bbox.right > self.chunk.right - 0.15 * (self.chunk.right - self.chunk.left);
        for (index, line) in lines.iter().enumerate() {
            if index > 0 && self.stands_alone(&lines[index - 1], line, &extent) {
                text.push('\n');
                text.push_str(&line.text);
            } else {
                join(&mut text, &line.text, vocabulary);
            }
            bbox = bbox.union(line.bbox);
        }
        Draft {
            kind: kinds::kind(lines, &text, self.body),
            places: vec![(place.0, bbox)],
            style: Style { size: lines[0].size, bold: lines.iter().all(|line| line.bold) },
            lines: lines.len(),
            pieces: lines.iter().flat_map(Line::pieces).map(str::to_string).collect(),
            marked: lines[0].marked,
            tabular: lines[0].cells > 1,
            chunk: place.1,
            full,
            inside: self.hanging && lines[0].bbox.left > self.chunk.left + 0.5 * lines[0].size,
            text,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::lines::tests::FRAME;
    use super::*;

    /// A paragraph of one ten-point line on the first page.
    pub fn draft(text: &str) -> Draft {
        Draft {
            kind: kinds::kind(&[full(text, 0)], text, Style { size: 10.0, bold: false }),
            text: text.into(),
            places: vec![(0, Rect { left: 100.0, top: 100.0, right: 300.0, bottom: 110.0 })],
            style: Style { size: 10.0, bold: false },
            lines: 1,
            pieces: vec![text.into()],
            marked: false,
            tabular: false,
            chunk: 0,
            full: true,
            inside: false,
        }
    }

    /// A ten-point line in a column from 100 to 300.
    fn line(text: &str, left: f32, right: f32, baseline: f32) -> Line {
        let bbox = Rect { left, top: baseline - 7.5, right, bottom: baseline + 2.2 };
        Line { text: text.into(), bbox, baseline, size: 10.0, chars: text.chars().count(), ..Line::default() }
    }

    fn full(text: &str, row: usize) -> Line {
        line(text, 100.0, 300.0, 50.0 + 12.0 * row as f32)
    }

    fn read(chunks: Vec<Vec<Line>>) -> Vec<String> {
        let vocabulary = Vocabulary::of(chunks.iter().flatten());
        let mut paragraphs = Paragraphs::new(&vocabulary, Style { size: 10.0, bold: false });
        for (page, lines) in chunks.into_iter().enumerate() {
            let chunk = Chunk { lines, left: 100.0, right: 300.0 };
            paragraphs.add_page(page, vec![Piece::Prose(chunk)], &FRAME);
        }
        paragraphs.finish().into_iter().map(|draft| draft.text).collect()
    }

    #[test]
    fn an_indented_line_starts_a_paragraph() {
        let lines = vec![
            full("One paragraph that ends here and fills it.", 0),
            line("Another begins with an indent and", 112.0, 300.0, 62.0),
            full("goes on.", 2),
        ];
        let expected = ["One paragraph that ends here and fills it.", "Another begins with an indent and goes on."];
        assert_eq!(read(vec![lines]), expected);
    }

    #[test]
    fn a_gap_or_another_size_starts_a_paragraph() {
        let mut footnote = full("1 Small print.", 5);
        footnote.size = 8.0;
        assert_eq!(read(vec![vec![full("first text", 0), full("second text", 2), footnote]]).len(), 3);
    }

    #[test]
    fn headings_stand_alone() {
        let mut heading = full("3.2 Pre-training Data", 1);
        heading.bold = true;
        let texts = read(vec![vec![full("as shown", 0), heading, full("The corpus", 2)]]);
        assert_eq!(texts, ["as shown", "3.2 Pre-training Data", "The corpus"]);
        let texts = read(vec![vec![full("II. RELATED WORK", 0), full("Others did.", 1)]]);
        assert_eq!(texts, ["II. RELATED WORK", "Others did."]);
    }

    #[test]
    fn a_sentence_goes_on_in_the_next_column_behind_a_footnote_and_a_caption() {
        let mut footnote = full("1 See the appendix.", 8);
        footnote.size = 8.0;
        let caption = full("Figure 2: A caption of body size.", 0);
        let texts = read(vec![
            vec![full("The sentence is long, but it is not yet fin-", 0), footnote],
            vec![caption, full("ished, but it is now.", 4), full("finished elsewhere", 9)],
        ]);
        let expected = [
            "The sentence is long, but it is not yet finished, but it is now.",
            "1 See the appendix.",
            "Figure 2: A caption of body size.",
            "finished elsewhere",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_finished_sentence_is_not_joined_to_the_next_page() {
        assert_eq!(read(vec![vec![full("It ends here.", 0)], vec![full("lower case", 0)]]).len(), 2);
    }

    #[test]
    fn references_are_split_by_their_hanging_lines_and_by_their_markers() {
        let hanging = |text: &str, row: usize| line(text, 110.0, 300.0, 50.0 + 12.0 * row as f32);
        let texts = read(vec![vec![
            full("References", 0),
            full("Ada Lovelace. 1843. Notes on the", 2),
            hanging("Analytical Engine.", 3),
            full("Alan Turing. 1936. On computable", 4),
            hanging("numbers.", 5),
        ]]);
        assert_eq!(
            texts[1..],
            ["Ada Lovelace. 1843. Notes on the Analytical Engine.", "Alan Turing. 1936. On computable numbers."]
        );
        let texts = read(vec![vec![full("References", 0), full("[1] A. One", 2), full("book.", 3), full("[2] B.", 4)]]);
        assert_eq!(texts[1..], ["[1] A. One book.", "[2] B."]);
    }

    #[test]
    fn an_entry_without_a_full_stop_is_not_joined_to_the_next_columns() {
        let open = [full("[1] L. Ben Allal et al., a small", 0), full("language model, https://example.org", 1)];
        let entry = |first: &str| vec![full(first, 0), full("has a second line of some length. It ends.", 1)];
        let texts = read(vec![open.to_vec(), entry("[2] M. Milakov and N. Gimelshein, which")]);
        assert_eq!(texts.len(), 2);
        let texts = read(vec![open.to_vec(), entry("Milakov and N. Gimelshein, which all")]);
        assert_eq!(texts.len(), 1);
    }

    #[test]
    fn rows_of_a_table_keep_their_lines() {
        let row = |text: &str, row: usize| line(text, 100.0, 180.0, 50.0 + 12.0 * row as f32);
        assert_eq!(read(vec![vec![row("BERT 93.2", 0), row("GPT 91.0", 1)]]), ["BERT 93.2\nGPT 91.0"]);
    }
}
