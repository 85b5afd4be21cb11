//! Footnotes: small text at the foot of a column, from its first mark on.

use super::letters::is_superscript;
use super::lines::{Frame, Style};
use super::marks::is_entry;
use super::paragraphs::Draft;
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
            && !is_entry(&draft.text)
    };
    let from = column.iter().rposition(|draft| !can_be(draft)).map_or(0, |last| last + 1);
    let begins = |at: &usize| {
        let draft = &column[*at];
        (draft.marked || begins_with_mark(&draft.text)) && top(draft) > 0.35 * height
            || from > 0 && top(draft) > (1.0 - FOOT) * height && !goes_on(&column[at - 1], draft)
    };
    let Some(first) = (from..column.len()).find(begins) else { return };
    for note in &mut column[first..] {
        note.kind = BlockKind::Footnote;
    }
}

/// Whether an item with a bullet is of the same list as the one before it; those with numbers may be notes.
fn goes_on(before: &Draft, draft: &Draft) -> bool {
    let bullet = |draft: &Draft| draft.kind == BlockKind::ListItem && !draft.text.starts_with(char::is_alphanumeric);
    bullet(before) && bullet(draft) && (before.style.size - draft.style.size).abs() < 0.02 * draft.style.size
}

fn begins_with_mark(text: &str) -> bool {
    static MARK: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([∗*⋆†‡§¶‖#]+\s?\d?|\d{1,2}\s|[a-z]\)\s)\s*\S"));
    text.starts_with(is_superscript) || MARK.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::FRAME;
    use super::super::paragraphs::tests::draft;
    use super::*;

    const BODY: Style = Style { size: 10.0, bold: false };

    /// On a page 800 points high.
    fn at(text: &str, size: f32, top: f32) -> Draft {
        let mut draft = draft(text);
        draft.style.size = size;
        draft.places[0].1.top = top;
        draft
    }

    fn notes(mut column: Vec<Draft>) -> Vec<bool> {
        mark(&mut column, BODY, &FRAME);
        column.iter().map(|draft| draft.kind == BlockKind::Footnote).collect()
    }

    #[test]
    fn entries_of_a_reference_list_are_no_notes() {
        let column = vec![at("Text of the body.", 10.0, 100.0), at("[9] A. Author: A title.", 8.0, 700.0)];
        assert_eq!(notes(column), [false, false]);
    }

    #[test]
    fn small_print_at_the_foot_is_a_note_from_its_mark_on() {
        let column = vec![
            at("Text of the body.", 10.0, 100.0),
            at("Small text of a table", 8.0, 500.0),
            at("¹We thank nobody.", 8.0, 600.0),
            at("It goes on.", 8.0, 640.0),
        ];
        assert_eq!(notes(column), [false, false, true, true]);
    }

    #[test]
    fn a_list_of_small_print_goes_on_to_the_foot() {
        let item = |text, top| Draft { kind: BlockKind::ListItem, ..at(text, 8.0, top) };
        let column = |last| {
            vec![
                at("Text of the body.", 10.0, 100.0),
                item("• one", 660.0),
                item("• two", 690.0),
                last,
                item("• four", 740.0),
            ]
        };
        assert_eq!(notes(column(item("• three", 720.0))), [false; 5]);
        for note in [at("Preprint. Under review.", 8.0, 720.0), item("8. A note with a number.", 720.0)] {
            assert_eq!(notes(column(note)), [false, false, false, true, true]);
        }
    }

    #[test]
    fn small_print_without_a_mark_is_one_at_the_very_foot_only() {
        let column = |top| vec![at("Text of the body.", 10.0, 100.0), at("Preprint. Under review.", 8.0, top)];
        assert_eq!(notes(column(400.0)), [false, false]);
        assert_eq!(notes(column(720.0)), [false, true]);
        assert_eq!(notes(vec![at("A page of small text.", 8.0, 720.0)]), [false]);
    }
}
