//! What a reader of the result should know: pages that gave no text, glyphs without a mapping.

use super::pdfium::{RawDocument, RawPage, UNMAPPED};
use super::quality::Verdict;
use crate::document::TextQuality;

/// What the verdicts say, pages of the same reason together, and glyphs without a Unicode mapping.
pub fn of_reading(raw: &RawDocument, verdicts: &[Verdict]) -> Vec<String> {
    let mut told: Vec<(&'static str, &str, Vec<u32>)> = Vec::new();
    for (number, verdict) in (1..).zip(verdicts) {
        let (what, why) = match (verdict.quality, &verdict.reason, &verdict.note) {
            (TextQuality::Refused, Some(reason), _) => (" left out", reason),
            (TextQuality::Repaired, Some(reason), _) => (" repaired", reason),
            (_, _, Some(note)) => ("", note),
            _ => continue,
        };
        match told.iter_mut().find(|(known, reason, _)| (*known, *reason) == (what, why)) {
            Some((_, _, pages)) => pages.push(number),
            None => told.push((what, why, vec![number])),
        }
    }
    let mut warnings: Vec<String> =
        told.into_iter().map(|(what, why, pages)| format!("{}{what}: {why}", page_list(&pages))).collect();
    warnings.extend(unmapped(raw));
    warnings.extend(lost(raw));
    warnings
}

/// Text that PDFium leaves out for want of a font. A few runs without width may be spaces.
fn lost(raw: &RawDocument) -> Option<String> {
    let loses = |page: &RawPage| 5 * page.pictures.lost > page.pictures.foreign;
    let on: Vec<u32> = (1..).zip(&raw.pages).filter(|(_, page)| loses(page)).map(|(number, _)| number).collect();
    (!on.is_empty()).then(|| {
        format!(
            "lines are missing ({}): their font is not in the file, and none of this machine has their letters; install one \
             (Debian: fonts-ipafont, fonts-noto-cjk)",
            page_list(&on)
        )
    })
}

fn unmapped(raw: &RawDocument) -> Option<String> {
    let on_page = |page: &RawPage| page.glyphs.iter().filter(|glyph| glyph.ch == UNMAPPED).count();
    let on: Vec<u32> = (1..).zip(&raw.pages).filter(|(_, page)| on_page(page) > 0).map(|(number, _)| number).collect();
    let count: usize = raw.pages.iter().map(on_page).sum();
    let glyphs =
        if count == 1 { "glyph whose letter is not known stands" } else { "glyphs whose letters are not known stand" };
    (count > 0).then(|| format!("{count} {glyphs} as {UNMAPPED} in the text ({})", page_list(&on)))
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
    fn lines_without_a_font_are_told() {
        let page = |foreign, lost| RawPage {
            pictures: crate::document::pdf::pdfium::Pictures { foreign, lost, ..Default::default() },
            ..page("text")
        };
        let raw = RawDocument { pages: vec![page(30, 2), page(30, 19), page(0, 0), page(3, 3)], ..Default::default() };
        let warnings = of_reading(&raw, &[]);
        assert!(warnings.len() == 1 && warnings[0].starts_with("lines are missing (pages 2, 4): "), "{warnings:?}");
    }

    #[test]
    fn pages_of_one_reason_are_told_together() {
        let refused =
            |reason: &str| Verdict { quality: TextQuality::Refused, reason: Some(reason.into()), ..Verdict::default() };
        let noted = Verdict { note: Some("empty".into()), ..Verdict::default() };
        let verdicts = [noted.clone(), refused("a scan"), Verdict::default(), refused("a scan"), noted];
        let warnings = of_reading(&RawDocument::default(), &verdicts);
        assert_eq!(warnings, ["pages 1, 5: empty", "pages 2, 4 left out: a scan"]);
    }

    #[test]
    fn glyphs_without_a_mapping_are_counted() {
        let pages = vec![page("fine"), page("a\u{FFFD}\u{FFFD}")];
        let warnings = of_reading(&RawDocument { pages, ..RawDocument::default() }, &[]);
        assert_eq!(warnings, ["2 glyphs whose letters are not known stand as \u{FFFD} in the text (page 2)"]);
    }

    #[test]
    fn page_lists() {
        assert_eq!(page_list(&[3]), "page 3");
        assert_eq!(page_list(&[2, 3, 4, 7]), "pages 2-4, 7");
    }
}
