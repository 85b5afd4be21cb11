//! What a paragraph's own lines say about its kind: heading, caption, item of a list, or running text.

use super::lines::{Line, Style};
use super::marks::{
    has_two_sentences, is_bullet, is_caption, is_heading_line, is_heading_text, is_item, is_plain_caption,
};
use crate::document::BlockKind;

/// A label in a figure may be bold and numbered, but is smaller than this share of the main text.
const SMALL: f32 = 0.85;
/// So many words before a colon are a sentence.
const SENTENCE: usize = 8;

/// `lines`: of one paragraph, at least one; `body`: how the paper's main text is set.
pub fn kind(lines: &[Line], text: &str, body: Style) -> BlockKind {
    let first = &lines[0];
    if is_heading(lines, text, body) {
        return BlockKind::Heading { level: 0, number: None };
    }
    let stands_out = first.size < 0.97 * body.size || !body.bold && (first.bold || has_bold_label(first));
    if is_caption(text) || is_plain_caption(text) && stands_out {
        return BlockKind::Caption;
    }
    if is_bullet(text) || is_item(text) { BlockKind::ListItem } else { BlockKind::Paragraph }
}

/// Whether the text is, or goes on as, a sentence: bold ones are no headings.
fn is_sentence(text: &str) -> bool {
    let leads_on = text.ends_with(':') && text.split_whitespace().count() >= SENTENCE;
    leads_on || has_two_sentences(text) || text.ends_with(['.', ',', ';', '．', '。', '，', '、'])
}

/// Whether the line's first two words are bold: those of `Figure 3 The model`.
fn has_bold_label(line: &Line) -> bool {
    let mut label = line.fragments.iter().take(2);
    line.fragments.len() > 2 && label.all(|word| word.bold)
}

fn is_heading(lines: &[Line], text: &str, body: Style) -> bool {
    let numbered = is_heading_line(&lines[0]);
    // Small capitals are the size of labels.
    if lines[0].size < SMALL * body.size && text.contains(char::is_lowercase) && !is_heading_text(text) {
        return false;
    }
    if numbered && lines.len() == 1 {
        return true;
    }
    let chars = text.chars().count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let bold = !body.bold && lines.iter().all(|line| line.bold) && lines[0].size > 0.93 * body.size;
    let large = lines.iter().all(|line| line.size > 1.12 * body.size);
    let capitals = numbered && !text.contains(char::is_lowercase);
    let short = lines.len() <= 3 && chars <= 160 && letters >= 2 && 2 * letters > chars;
    let plain = !is_bullet(text) && !is_caption(text) && !is_sentence(text);
    short && (bold || large || capitals) && (numbered || plain && lines.iter().all(|line| line.cells == 1))
}

#[cfg(test)]
mod tests {
    use super::super::displays::tests::line;
    use super::super::faces::Face;
    use super::*;

    const BODY: Style = Style { size: 10.0, bold: false };

    /// The kind of one line of body size, of whose words the first so many are bold.
    fn of(text: &str, bold: usize) -> BlockKind {
        let words: Vec<(&str, f32)> = text.split(' ').map(|word| (word, 100.0)).collect();
        let mut line = line(0, &words, Face::Plain);
        line.fragments.iter_mut().take(bold).for_each(|word| word.bold = true);
        line.bold = bold >= words.len();
        kind(&[line], text, BODY)
    }

    #[test]
    fn a_bold_label_without_a_colon_begins_a_caption() {
        assert_eq!(of("Figure 3 The model", 2), BlockKind::Caption);
        assert_eq!(of("Figure 3 The model", 1), BlockKind::Paragraph);
        assert_eq!(of("Table 2 shows it", 2), BlockKind::Paragraph);
    }

    #[test]
    fn bold_sentences_and_small_labels_are_no_headings() {
        let is_heading = |text: &str| matches!(of(text, 99), BlockKind::Heading { .. });
        assert!(is_heading("What is left to do?") && is_heading("Contributions:"));
        assert!(!is_heading("I see. Thank you for it") && !is_heading("Below is the code that we use for all of it:"));
        let mut label = line(0, &[("0", 100.0), ("Layers", 110.0)], Face::Plain);
        (label.bold, label.size) = (true, 6.0);
        assert_eq!(kind(std::slice::from_ref(&label), "0 Layers", BODY), BlockKind::Paragraph);
        label.size = 9.0;
        assert!(matches!(kind(&[label], "0 Layers", BODY), BlockKind::Heading { .. }));
    }
}
