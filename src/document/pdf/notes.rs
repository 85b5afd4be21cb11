//! Footnotes: small text at the foot of a column, from its first mark on.

use super::lines::{Frame, Style};
use super::paragraphs::Draft;
use super::words::is_superscript;
use crate::document::{BlockKind, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// Share of the page's height, at its bottom, in which small print without a mark is a note too.
const FOOT: f32 = 0.14;

/// Marks the footnotes among the paragraphs of one column, which are in order. Slides have none.
pub fn mark(column: &mut [Draft], body: Style, frame: &Frame) {
    let height = frame.height();
    if frame.is_wide() {
        return;
    }
    let top = |draft: &Draft| draft.places.first().map_or(0.0, |(_, rect)| rect.top);
    let small = |draft: &Draft| draft.style.size < 0.96 * body.size;
    let can_be = |draft: &Draft| {
        matches!(draft.kind, BlockKind::Paragraph | BlockKind::ListItem)
            && (small(draft) || draft.marked && top(draft) > 0.6 * height)
            && !draft.inside
    };
    let from = column.iter().rposition(|draft| !can_be(draft)).map_or(0, |last| last + 1);
    let begins = |draft: &Draft| {
        (draft.marked || begins_with_mark(&draft.text)) && top(draft) > 0.35 * height
            || from > 0 && top(draft) > (1.0 - FOOT) * height
    };
    let Some(first) = column[from..].iter().position(begins) else { return };
    for note in &mut column[from + first..] {
        note.kind = BlockKind::Footnote;
    }
}

fn begins_with_mark(text: &str) -> bool {
    static MARK: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([∗*⋆†‡§¶‖#]+\s?\d?|\d{1,2}\s|[a-z]\)\s)\s*\S"));
    text.starts_with(is_superscript) || MARK.is_match(text)
}
