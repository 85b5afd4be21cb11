//! Paragraphs that go on: over a note or a figure, in the next column, on the next page.

use super::headings::Number;
use super::letters::is_cjk;
use super::marks::{ends_sentence, is_entry};
use super::paragraphs::Draft;
use super::words::{Vocabulary, join};
use crate::document::BlockKind;
use std::collections::HashMap;

/// A paragraph whose sentence is not finished, and where its text ended so far.
struct Open {
    index: usize,
    chunk: usize,
    page: usize,
    full: bool,
}

/// Joins paragraphs to where they start, so that what interrupts them comes behind them. Text of one size goes on in text
/// of that size: the main text behind footnotes, footnotes behind main text.
pub fn joined(drafts: Vec<Draft>, vocabulary: &Vocabulary) -> Vec<Draft> {
    let mut done: Vec<Draft> = Vec::with_capacity(drafts.len());
    let mut open: HashMap<i32, Open> = HashMap::new();
    let mut in_chunk = usize::MAX;
    for draft in drafts {
        let in_float = done.last().is_some_and(Draft::floats) && Number::of(&draft.text).is_none();
        // What follows a formula is not joined to what stands before it, or the formula would come too late.
        if draft.kind == BlockKind::Formula || draft.is_heading() && !in_float {
            open.clear();
        }
        let goes_on_at_all = matches!(draft.kind, BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Footnote);
        if !goes_on_at_all || draft.tabular {
            done.push(draft);
            continue;
        }
        let size = (2.0 * draft.style.size).round() as i32;
        let (chunk, page, full) = (draft.chunk, draft.page(), draft.full);
        let first = std::mem::replace(&mut in_chunk, chunk) != chunk;
        let goes_on = |open: &Open| {
            let after_float = || done[open.index + 1..].iter().all(Draft::floats) && done.len() > open.index + 1;
            open.full
                && page <= open.page + 1
                && (open.chunk != chunk || after_float())
                && continues(&done[open.index], &draft, first)
        };
        let index = match open.get(&size).filter(|open| goes_on(open)) {
            Some(open) => {
                let before = &mut done[open.index];
                join(&mut before.text, &draft.text, vocabulary);
                before.places.extend(draft.places);
                before.lines += draft.lines;
                open.index
            }
            None => {
                done.push(draft);
                done.len() - 1
            }
        };
        let text = &done[index].text;
        if ends_sentence(text) {
            open.remove(&size);
        } else if is_prose(text) {
            open.insert(size, Open { index, chunk, page, full });
        }
    }
    done
}

/// Whether `next` goes on with the sentence that `before` leaves open. `first`: no other text of its column stands
/// before it.
fn continues(before: &Draft, next: &Draft, first: bool) -> bool {
    const OPEN_ENDS: [&str; 22] = [
        "the", "of", "and", "in", "a", "an", "to", "with", "for", "by", "on", "is", "are", "that", "as", "from", "or",
        "at", "our", "we", "et", "its",
    ];
    let (text, next_text) = (before.text.as_str(), next.text.as_str());
    let item = next.kind == BlockKind::ListItem || next.marked || is_entry(text) && is_entry(next_text);
    if ends_sentence(text) || item || (next.kind == BlockKind::Footnote) != (before.kind == BlockKind::Footnote) {
        return false;
    }
    let last_word = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = text.chars().next_back().unwrap_or(' ');
    let sentence = is_prose(next_text) || ends_sentence(next_text);
    let same_face = before.style.is_like(&next.style) && before.lines > 1 && next.lines > 1;
    sentence
        && (next_text.starts_with(char::is_lowercase)
            || matches!(last, '-' | ',' | '，' | '、')
            || OPEN_ENDS.contains(&last_word)
            || (is_cjk(last) && next_text.starts_with(is_cjk))
            || (first && same_face && is_prose(next_text)))
}

/// Long enough not to be a label in a figure.
fn is_prose(text: &str) -> bool {
    text.chars().count() >= if text.chars().any(is_cjk) { 20 } else { 40 }
}
