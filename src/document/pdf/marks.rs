//! What the text of a line says about its part in the paper: heading, caption, list item, end of a sentence.

use super::letters::{is_cjk, is_superscript};
use super::lines::Line;
use crate::document::pattern;
use regex::Regex;
use std::sync::LazyLock;

/// Characters of a numbered heading's line.
const LONGEST_HEADING: usize = 120;

/// A line that is a section's heading whatever stands around it.
pub fn is_heading_line(line: &Line) -> bool {
    static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"^((Appendix|APPENDIX|付録)\s*)?(\d{1,2}([.．]\d{1,2}){0,3}|[A-Z](\.\d{1,2}){0,3}|[IVX]{1,4}\.)",
            r"([.．:]\s*|\s+)\p{L}.*$"
        ))
    });
    if is_heading_text(&line.text) {
        return true;
    }
    if begins_with_word(&line.text) {
        return false;
    }
    let mut letters = line.text.chars().filter(|c| c.is_alphabetic());
    let capitals = letters.all(char::is_uppercase);
    let title = line.text.trim_start_matches(|c: char| !c.is_whitespace()).trim_start();
    let title_letters = title.chars().filter(|c| c.is_alphabetic()).count();
    let word = title.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 2 || !word.is_ascii());
    let is_title = word && 2 * title_letters > title.chars().count() || line.text.contains('．');
    is_title
        && line.text.chars().count() <= LONGEST_HEADING
        && NUMBERED.is_match(&line.text)
        && (line.bold || (capitals && line.text.chars().filter(|c| c.is_alphabetic()).count() > 5))
}

/// A sentence that begins with `A` or `I`, and no section of that letter or numeral.
pub fn begins_with_word(text: &str) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[AI]\s+\p{Ll}"));
    WORD.is_match(text)
}

/// The end of one sentence and the start of the next.
pub fn has_two_sentences(text: &str) -> bool {
    static END: LazyLock<Regex> = LazyLock::new(|| pattern(r"\p{L}{3}[.?!]\s+\p{Lu}|[。．？！]."));
    END.is_match(text)
}

/// The words of a section that papers have, with or without its number.
pub fn is_heading_text(text: &str) -> bool {
    static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?i)^(((section|appendix)\s+)?(\d+|[IVX]+|[A-Z])[.．:]?\s*)?(abstract|summary|introduction|",
            r"related works?|background|",
            r"preliminaries|methods?|methodology|materials and methods|experiments?|experimental (setup|results)|results|",
            r"evaluation|results and discussion|references|bibliography|literature cited|acknowledge?ments?|conclusions?|",
            r"discussion|discussion and conclusions?|conclusions? and future work|limitations|ethics statement|",
            r"broader impacts?|future work|(table of )?contents|目次|appendix|appendices|supplementary materials?|",
            r"funding|author contributions|",
            r"competing interests|data availability|概要|あらまし|はじめに|まえがき|関連研究|おわりに|まとめ|むすび|謝辞|付録|",
            r"参\s*考\s*文\s*献)[:：]?$"
        ))
    });
    let starts = !text.trim_start().starts_with(char::is_lowercase);
    starts && KNOWN.is_match(text.trim()) || is_abstract_heading(text) || is_references_heading(text)
}

/// Some journals space the letters of their headings.
fn is_abstract_heading(text: &str) -> bool {
    let letters: String = text.chars().take(20).filter(|c| !c.is_whitespace()).collect();
    letters.eq_ignore_ascii_case("abstract")
}

/// The abstract's heading, or an abstract that begins with it.
pub fn is_abstract(text: &str) -> bool {
    static ABSTRACT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(Abstract|ABSTRACT|Summary|SUMMARY|概\s*要|あらまし|要\s*旨|要\s*約|抄\s*録|초록|요약|摘要)($|\s*[:：.．—–\-]|\s+\p{Lu}|\s+\p{Han}|\s*\n)",
        )
    });
    is_abstract_heading(text) || ABSTRACT.is_match(text)
}

pub fn is_contents_heading(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    ["contents", "table of contents", "目次"].contains(&lower.as_str())
}

/// Characters of a line of a table of contents that has no dots.
const LONGEST_ENTRY: usize = 128;

/// A line of a table of contents, with its page.
pub fn is_contents_entry(line: &str) -> bool {
    static DOTTED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\s?\.){4,}\s*\d{1,4}$"));
    static PLAIN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\S.{2}.*\s\d{1,4}$"));
    let line = line.trim();
    DOTTED.is_match(line) || line.chars().count() <= LONGEST_ENTRY && PLAIN.is_match(line)
}

pub fn ends_with_number(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
}

pub fn is_bullet(text: &str) -> bool {
    const BULLETS: [char; 17] =
        ['•', '◦', '▪', '■', '●', '○', '‣', '・', '▶', '►', '◆', '◇', '□', '⁃', '\u{F0B7}', '\u{F0A7}', '\u{F0D8}'];
    let dash = text.strip_prefix(['-', '–', '−', '*']).and_then(|rest| rest.chars().next());
    text.starts_with(BULLETS) || dash.is_some_and(|next| next == ' ' || is_cjk(next))
}

/// `(1) …`, `2. …`, `a) …`
pub fn is_item(text: &str) -> bool {
    static ITEM: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\(\s?\w{1,3}\s?\)|\d{1,2}[.)]|[a-z]\))\s"));
    ITEM.is_match(text)
}

/// `[12] …`: an entry of a reference list.
pub fn is_entry(text: &str) -> bool {
    static ENTRY: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\[[\p{L}\d+⁺]{1,12}\]\s"));
    ENTRY.is_match(text)
}

pub fn is_broken_word(line: &Line, next: &Line) -> bool {
    let mut end = line.text.chars().rev();
    end.next() == Some('-') && end.next().is_some_and(char::is_alphabetic) && next.text.starts_with(char::is_alphabetic)
}

pub fn is_references_heading(text: &str) -> bool {
    static REFERENCES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?i)^\W*((\d+|[IVX]+)\.?)?(references(and(links|notes|furtherreading))?|referencescited|bibliography|",
            r"literaturecited|literature|参考文献|引用文献|参考資料|参考论文|참고문헌)\W*$"
        ))
    });
    text.len() < 60 && REFERENCES.is_match(&text.split_whitespace().collect::<String>())
}

/// `Figure 3: …`, `TABLE II. …`, `図 3 …`: a label with what sets it apart from the caption's text.
pub fn is_caption(text: &str) -> bool {
    static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"^(Figure|Fig\.?|FIGURE|FIG\.?|Table|TABLE|Tab\.|Scheme|Algorithm|ALGORITHM|Listing|Supplementary (Figure|Table)|",
            r"Extended Data (Figure|Fig\.|Table))\s*",
            r"([A-Z]?\d+(\.\d+)*[a-z]?|[IVX]+|[A-Z]\.?\d+)\s*([:|–—]|\.(\s+[^a-z]|$)|$)"
        ))
    });
    CAPTION.is_match(text) || is_japanese_caption(text)
}

pub fn is_figure_caption(text: &str) -> bool {
    let lower = text.trim_start().to_lowercase();
    is_caption(text) && (lower.starts_with("fig") || lower.starts_with('図'))
}

/// `図3 構成`, `表2．結果`; behind a particle (`表2は…`) the label is a part of a sentence.
fn is_japanese_caption(text: &str) -> bool {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(図|表)\s*[\dA-Z]+([.．\-]\d+)*(\s?[(（]\w[)）])?"));
    const GOES_ON: [&str; 17] =
        ["は", "が", "に", "を", "の", "で", "と", "も", "へ", "から", "より", "、", "，", "）", ")", "中", "参照"];
    let behind = LABEL.find(text).and_then(|label| text.get(label.end()..));
    behind.is_some_and(|behind| !GOES_ON.iter().any(|word| behind.starts_with(word)))
}

/// `Figure 3 The model`: a label and a capital, which may be a sentence that begins with them.
pub fn is_plain_caption(text: &str) -> bool {
    static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^(Figure|Fig\.|FIGURE|FIG\.|Table|TABLE|Algorithm|Scheme)\s*([A-Z]?\d+(\.\d+)*|[IVX]+)\s+[\p{Lu}(]")
    });
    CAPTION.is_match(text)
}

/// Whether a sentence ends here, closing quotes and brackets aside.
pub fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end_matches(is_superscript).trim_end();
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
        assert!(
            !is_caption("Tables are hard") && !is_caption("Table 2 shows") && !is_caption("Figure 2. of the paper")
        );
        assert!(is_caption("表2．結果") && is_caption("図1 “花粉”"));
        assert!(!is_caption("表2は，結果である") && !is_caption("図12から分かる") && !is_caption("図3（a）に示す"));
        assert!(is_plain_caption("Figure 3 The model") && !is_plain_caption("Table 2 summarizes"));
    }

    #[test]
    fn headings_are_known_by_their_words_or_by_number_and_face() {
        let heading = |text: &str, bold: bool| is_heading_line(&Line { text: text.into(), bold, ..Line::default() });
        assert!(heading("Abstract", false) && heading("5 Related Work", false) && heading("参考文献", false));
        assert!(heading("3.2 Pre-training Data", true) && heading("II. METHODS AND DATA", false));
        assert!(
            !heading("3.2 Pre-training Data", false) && !heading("A bold line", false) && !heading("2 apples", false)
        );
        assert!(!heading("I would like to cook", true) && heading("I Inference results", true));
        assert!(is_references_heading("7. References") && !is_references_heading("References to others"));
    }

    #[test]
    fn items_and_sentences() {
        assert!(has_two_sentences("I see. Thank you") && !has_two_sentences("Static vs. Dynamic Quantization"));
        assert!(is_item("(1) first") && is_item("2. second") && is_item("b) third") && !is_item("2.5 percent"));
        assert!(ends_sentence("so (it is.)") && ends_sentence("である．") && !ends_sentence("and"));
        assert!(starts_sentence("The") && starts_sentence("これ") && !starts_sentence("the") && !starts_sentence("，"));
    }
}
