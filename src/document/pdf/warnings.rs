//! What a reader of the result should know: pages that gave no text, glyphs without a mapping, text that is none.

use super::Block;
use super::pdfium::{RawDocument, UNMAPPED};

/// Under this many letters a page says too little about its language.
const ENOUGH_LETTERS: usize = 400;

/// Pages that could not be opened, pages without text beside pages with it, glyphs without a Unicode mapping.
pub fn of_reading(raw: &RawDocument) -> Vec<String> {
    let numbers = |wanted: &dyn Fn(&super::pdfium::RawPage) -> bool| -> Vec<u32> {
        (1..).zip(&raw.pages).filter(|(_, page)| wanted(page)).map(|(number, _)| number).collect()
    };
    let mut warnings = Vec::new();
    let failed = numbers(&|page| page.failure.is_some());
    if !failed.is_empty() {
        warnings.push(format!("{} could not be read: the PDF is damaged there", page_list(&failed)));
    }
    let empty = numbers(&|page| page.failure.is_none() && page.glyphs.is_empty());
    if !empty.is_empty() {
        let verb = if empty.len() == 1 { "has" } else { "have" };
        warnings.push(format!("{} {verb} no text (empty, or images without a text layer)", page_list(&empty)));
    }
    let unmapped: usize = raw.pages.iter().flat_map(|page| &page.glyphs).filter(|glyph| glyph.ch == UNMAPPED).count();
    if unmapped > 0 {
        let on = numbers(&|page| page.glyphs.iter().any(|glyph| glyph.ch == UNMAPPED));
        let glyphs = if unmapped == 1 {
            "glyph without a Unicode mapping stands"
        } else {
            "glyphs without a Unicode mapping stand"
        };
        warnings.push(format!("{unmapped} {glyphs} as {UNMAPPED} in the text ({})", page_list(&on)));
    }
    warnings
}

/// Pages whose Latin letters are no words of any language: their font maps its glyphs to wrong letters.
pub fn of_text(blocks: &[Block], pages: usize) -> Vec<String> {
    let on = |page: u32| blocks.iter().filter(move |block| block.page() == page).map(|block| block.text.as_str());
    let garbled: Vec<u32> = (1..=pages as u32).filter(|page| is_garbled(on(*page))).collect();
    if garbled.is_empty() {
        return Vec::new();
    }
    vec![format!("the text of {} looks garbled (a broken text layer); OCR would read it better", page_list(&garbled))]
}

/// Running text of a European language has vowels in near half of its letters; a shifted alphabet has not, nor the
/// commonest words.
fn is_garbled<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    const COMMON: [&str; 32] = [
        "the", "of", "and", "in", "to", "a", "is", "for", "with", "we", "on", "that", "de", "la", "le", "et", "les",
        "en", "el", "der", "die", "und", "das", "ist", "il", "di", "che", "per", "do", "da", "van", "het",
    ];
    let (mut words, mut common, mut letters, mut latin) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut vowels = 0_usize;
    for text in texts {
        letters += text.chars().filter(|c| c.is_alphabetic()).count();
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty() && word.is_ascii()) {
            latin += word.len();
            vowels += word.bytes().filter(|c| b"aeiouyAEIOUY".contains(c)).count();
            words += 1;
            common += usize::from(COMMON.contains(&word.to_ascii_lowercase().as_str()));
        }
    }
    latin >= ENOUGH_LETTERS && 10 * latin > 9 * letters && 100 * common < words && 4 * vowels < latin
}

/// `page 3`, `pages 2-4, 7`.
fn page_list(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let ranges =
        ranges.into_iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    format!("page{} {}", if numbers.len() == 1 { "" } else { "s" }, ranges.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::pdfium::{Glyph, RawPage};
    use super::*;

    fn page(text: &str) -> RawPage {
        let glyph = |ch| Glyph { ch, size: 10.0, ..Glyph::default() };
        RawPage { glyphs: text.chars().map(glyph).collect(), ..RawPage::default() }
    }

    #[test]
    fn pages_and_glyphs_are_counted() {
        let failed = RawPage { failure: Some("broken".into()), ..RawPage::default() };
        let pages = vec![page("a\u{FFFD}\u{FFFD}"), page(""), page(""), failed];
        let warnings = of_reading(&RawDocument { pages, ..RawDocument::default() });
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].starts_with("page 4 could not be read"));
        assert!(warnings[1].starts_with("pages 2-3 have no text"));
        assert!(warnings[2].starts_with("2 glyphs without a Unicode mapping") && warnings[2].ends_with("(page 1)"));
        assert!(of_reading(&RawDocument { pages: vec![page("fine")], ..RawDocument::default() }).is_empty());
    }

    #[test]
    fn a_shifted_alphabet_is_garbled_and_a_language_is_not() {
        let plain =
            "Proceedings of the meeting of the association for computational linguistics in the summer ".repeat(8);
        let shifted: String = plain
            .chars()
            .map(|c| if c.is_ascii_lowercase() { (((c as u8 - b'a' + 25) % 26) + b'a') as char } else { c })
            .collect();
        assert!(!is_garbled([plain.as_str()].into_iter()));
        assert!(is_garbled([shifted.as_str()].into_iter()));
        assert!(!is_garbled(["日本語の論文を読む".repeat(100).as_str()].into_iter()));
        assert!(!is_garbled(["Xq zrt"].into_iter()));
    }

    #[test]
    fn page_lists() {
        assert_eq!(page_list(&[3]), "page 3");
        assert_eq!(page_list(&[2, 3, 4, 7]), "pages 2-4, 7");
    }
}
