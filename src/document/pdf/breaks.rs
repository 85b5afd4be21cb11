//! Where one paragraph ends and the next begins.

use super::layout::Chunk;
use super::lines::{Line, Rect, Style};
use super::marks::{ends_sentence, is_broken_word, is_bullet, is_caption, is_heading_line, is_item, starts_sentence};
use crate::document::pattern;
use regex::Regex;
use std::sync::LazyLock;

/// What the lines of one chunk have in common.
pub struct Setting<'a> {
    pub chunk: &'a Chunk,
    /// Usual distance of two baselines.
    pub pitch: f32,
    /// First lines stand out to the left, as in reference lists.
    pub hanging: bool,
    pub body: Style,
}

impl Setting<'_> {
    /// Whether `line` starts a new paragraph after the lines of `group`, of which there is at least one.
    pub fn breaks(&self, group: &[Line], line: &Line, next: Option<&Line>) -> bool {
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

    /// Rows of a table, lines of an address: too short to be prose (by the paragraph's extent, or far by the column's),
    /// and the next does not go on in lower case.
    pub fn stands_alone(&self, line: &Line, next: &Line, extent: &Rect) -> bool {
        let short = line.bbox.right < extent.right - 0.25 * extent.width()
            || line.bbox.right < self.chunk.right - 0.45 * (self.chunk.right - self.chunk.left);
        let lower = next.text.starts_with(char::is_lowercase);
        line.cells > 1 || next.cells > 1 || (short && !lower && !line.bold && !line.text.ends_with('-'))
    }
}
