//! What the text of a line says about its part in the paper: heading, caption, list item, end of a sentence.

use super::lines::Line;
use crate::document::pattern;
use regex::Regex;
use std::sync::LazyLock;

/// A line that is a section's heading whatever stands around it.
pub fn is_heading_line(line: &Line) -> bool {
    static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?i)^((\d+|[IVX]+|[A-Z])\.?\s+)?(abstract|introduction|related works?|background|references|bibliography|",
            r"acknowledge?ments?|conclusions?|discussion|limitations|appendix|参考文献|概要|はじめに|おわりに|謝辞)[.:]?$"
        ))
    });
    static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^(\d{1,2}(\.\d{1,2}){0,3}\.?|[A-Z](\.\d{1,2}){0,3}\.?|[IVX]{1,4}\.)\s+\p{L}.{0,90}$")
    });
    if KNOWN.is_match(line.text.trim()) {
        return true;
    }
    let capitals = line.text.chars().filter(|c| c.is_alphabetic()).all(char::is_uppercase);
    NUMBERED.is_match(&line.text)
        && (line.bold || (capitals && line.text.chars().filter(|c| c.is_alphabetic()).count() > 5))
}

pub fn is_bullet(text: &str) -> bool {
    text.starts_with(['•', '◦', '▪', '■', '●', '‣', '・'])
}

/// `(1) …`, `2. …`, `a) …`
pub fn is_item(text: &str) -> bool {
    static ITEM: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\(\s?\w{1,3}\s?\)|\d{1,2}[.)]|[a-z]\))\s"));
    ITEM.is_match(text)
}

pub fn is_broken_word(line: &Line, next: &Line) -> bool {
    let mut end = line.text.chars().rev();
    end.next() == Some('-') && end.next().is_some_and(char::is_alphabetic) && next.text.starts_with(char::is_alphabetic)
}

pub fn is_references_heading(text: &str) -> bool {
    static REFERENCES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?i)^\W*((\d+|[IVX]+)\.?\s+)?(references|bibliography|literature cited|参\s*考\s*文\s*献)\W*$")
    });
    REFERENCES.is_match(text.trim())
}

pub fn is_caption(text: &str) -> bool {
    static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(Figure|Fig\.|FIG\.|FIGURE|Table|TABLE|Tab\.|Algorithm|Listing|図|表)\s*[\dA-Z]+(\.\d+)*\s*[:.|–—\s]",
        )
    });
    CAPTION.is_match(text)
}

/// Whether a sentence ends here, closing quotes and brackets aside.
pub fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end_matches(['"', '\'', '”', '’', ')', ']', '」', '）']);
    text.ends_with(['.', '?', '!', ':', '。', '．', '？', '！', '：'])
}

pub fn starts_sentence(text: &str) -> bool {
    text.starts_with(|c: char| !c.is_lowercase() && !matches!(c, ',' | '.' | ';' | ')' | '，' | '、' | '。'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_known() {
        assert!(is_caption("Figure 1: The model") && is_caption("TABLE II. Results") && is_caption("図 3 構成"));
        assert!(!is_caption("Tables are hard") && !is_caption("Figures show"));
    }

    #[test]
    fn headings_are_known_by_their_words_or_by_number_and_face() {
        let heading = |text: &str, bold: bool| is_heading_line(&Line { text: text.into(), bold, ..Line::default() });
        assert!(heading("Abstract", false) && heading("5 Related Work", false) && heading("参考文献", false));
        assert!(heading("3.2 Pre-training Data", true) && heading("II. METHODS AND DATA", false));
        assert!(
            !heading("3.2 Pre-training Data", false) && !heading("A bold line", false) && !heading("2 apples", false)
        );
        assert!(is_references_heading("7. References") && !is_references_heading("References to others"));
    }

    #[test]
    fn items_and_sentences() {
        assert!(is_item("(1) first") && is_item("2. second") && is_item("b) third") && !is_item("2.5 percent"));
        assert!(ends_sentence("so (it is.)") && ends_sentence("である．") && !ends_sentence("and"));
        assert!(starts_sentence("The") && starts_sentence("これ") && !starts_sentence("the") && !starts_sentence("，"));
    }
}
