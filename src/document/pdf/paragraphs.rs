//! Lines in reading order → paragraphs.

use super::displays::{Display, Piece};
use super::layout::Chunk;
use super::lines::{Frame, Line, Rect, Style};
use super::marks::{
    ends_sentence, is_broken_word, is_bullet, is_caption, is_heading_line, is_item, is_references_heading,
    starts_sentence,
};
use super::words::{Vocabulary, join};
use super::{flow, kinds, notes};
use crate::document::{BlockKind, pattern};
use regex::Regex;
use std::sync::LazyLock;

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

/// What the lines of one chunk have in common.
struct Setting<'a> {
    chunk: &'a Chunk,
    /// Usual distance of two baselines.
    pitch: f32,
    /// First lines stand out to the left, as in reference lists.
    hanging: bool,
    body: Style,
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
    /// Whether `line` starts a new paragraph after the lines of `group`, of which there is at least one.
    fn breaks(&self, group: &[Line], line: &Line, next: Option<&Line>) -> bool {
        let last = &group[group.len() - 1];
        let step = line.baseline - last.baseline;
        let pitch = self.pitch.max(line.size).min(2.0 * line.size);
        let same_size = (last.size - line.size).abs() <= 0.12 * last.size.max(line.size);
        if same_size && step > 0.0 && step < 2.0 * line.size && (is_broken_word(last, line) || self.wraps(group, line))
        {
            return false;
        }
        !same_size
            || step < -0.5 * line.size
            || step > (1.3 * pitch).max(pitch + 0.3 * line.size)
            || (last.bold != line.bold && last.chars.min(line.chars) >= 3 && !self.leads_in(last, line))
            || is_heading_line(line)
            || is_heading_line(last)
            || line.marked
            || is_bullet(&line.text)
            || self.starts_item(group, line)
            || is_caption(&line.text) && ends_sentence(&last.text)
            || if self.hanging { self.starts_entry(group, line) } else { self.indents(group, line, next) }
            || self.is_last_of_sentence(last) && starts_sentence(&line.text)
    }

    /// Whether a paragraph's own heading, in bold, fills `last` and ends within `line`.
    fn leads_in(&self, last: &Line, line: &Line) -> bool {
        let fills = last.bbox.right > self.chunk.right - 3.0 * line.size;
        let bold_start =
            line.fragments.first().is_some_and(|word| word.bold && word.text.starts_with(char::is_alphabetic));
        last.bold && fills && bold_start
    }

    /// In a reference list: a marker, or a line that stands out to the left.
    fn starts_entry(&self, group: &[Line], line: &Line) -> bool {
        static MARKER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\[[\w+\-]{1,12}\]|\d{1,3}[.)])(\s|$)"));
        let marked = MARKER.is_match(&group[0].text);
        if marked || MARKER.is_match(&line.text) {
            return MARKER.is_match(&line.text) && line.bbox.left <= group[0].bbox.left + line.size;
        }
        let first = group[0].bbox.left;
        // The rest of an entry that began in another column.
        if line.bbox.left < first - 0.5 * line.size {
            return true;
        }
        let second = group.get(1).map(|second| second.bbox.left);
        line.bbox.left < first + 0.4 * line.size && second.is_some_and(|second| second > first + 0.5 * line.size)
            || line.bbox.left < first + 0.4 * line.size && second.is_none() && ends_sentence(&group[0].text)
    }

    /// A numbered item of a list, after an item or after a line that does not fill the column.
    fn starts_item(&self, group: &[Line], line: &Line) -> bool {
        let last = &group[group.len() - 1];
        let short = last.bbox.right < self.chunk.right - 2.0 * line.size;
        let beside = (group[0].bbox.left - line.bbox.left).abs() < line.size;
        is_item(&line.text) && (short || ends_sentence(&last.text) || (is_item(&group[0].text) && beside))
    }

    /// In prose: an indented line after one that is not, or the end of an indented list item.
    fn indents(&self, group: &[Line], line: &Line, next: Option<&Line>) -> bool {
        let last = &group[group.len() - 1];
        let em = line.size;
        let indent = line.bbox.left - last.bbox.left;
        let centred = (line.bbox.left - self.chunk.left) - (self.chunk.right - line.bbox.right);
        let in_item = is_bullet(&group[0].text) || is_item(&group[0].text);
        if in_item && line.bbox.left > group[0].bbox.left + 0.4 * em {
            return false;
        }
        if indent > 0.7 * em && indent < 4.0 * em {
            let hangs = next.is_some_and(|next| {
                next.bbox.left > line.bbox.left - 0.4 * em && next.baseline - line.baseline < 1.5 * self.pitch
            });
            let full = line.bbox.right > self.chunk.right - 3.0 * em;
            return (!hangs || ends_sentence(&last.text)) && (full || centred.abs() > em);
        }
        let settled = group.len() >= 2 && (group[group.len() - 2].bbox.left - last.bbox.left).abs() < 0.4 * em;
        indent < -0.7 * em && settled && ends_sentence(&last.text)
    }

    /// A line that ends its sentence well before the column's edge.
    fn is_last_of_sentence(&self, line: &Line) -> bool {
        let width = self.chunk.right - self.chunk.left;
        ends_sentence(&line.text) && line.bbox.right < self.chunk.right - (0.1 * width).max(line.size)
    }

    /// Whether a numbered heading goes on in this line: in its face, and too long for the line before.
    fn wraps(&self, group: &[Line], line: &Line) -> bool {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let capitals = |line: &Line| !line.text.contains(char::is_lowercase);
        let stands_out = first.bold && !self.body.bold || first.size > 1.12 * self.body.size || capitals(first);
        let same = line.bold == first.bold && (line.size - first.size).abs() < 0.05 * first.size;
        let word = line.text.split_whitespace().next().map_or(0, |word| word.chars().count());
        let left_free = (self.chunk.right - last.bbox.right).max(0.0);
        // A centred heading leaves as much free on both sides.
        let centred = (last.bbox.left - self.chunk.left - left_free).abs() < 2.0 * last.size;
        let free = if centred { 2.0 * left_free } else { left_free };
        group.len() < 3
            && stands_out
            && same
            && capitals(line) == capitals(first)
            && is_heading_line(first)
            && !is_heading_line(line)
            && free < (0.6 * word as f32 + 2.5) * line.size
    }

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

    /// Rows of a table, lines of an address: too short to be prose (by the paragraph's extent, or far by the column's),
    /// and the next does not go on in lower case.
    fn stands_alone(&self, line: &Line, next: &Line, extent: &Rect) -> bool {
        let short = line.bbox.right < extent.right - 0.25 * extent.width()
            || line.bbox.right < self.chunk.right - 0.45 * (self.chunk.right - self.chunk.left);
        let lower = next.text.starts_with(char::is_lowercase);
        line.cells > 1 || next.cells > 1 || (short && !lower && !line.bold && !line.text.ends_with('-'))
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
    fn rows_of_a_table_keep_their_lines() {
        let row = |text: &str, row: usize| line(text, 100.0, 180.0, 50.0 + 12.0 * row as f32);
        assert_eq!(read(vec![vec![row("BERT 93.2", 0), row("GPT 91.0", 1)]]), ["BERT 93.2\nGPT 91.0"]);
    }
}
