//! What a page's text layer is worth: text, something that only looks like it, or a picture of text.
//!
//! Every page gets a [`Verdict`]. What is refused is taken out of the document and its reason is told; nothing that is no
//! text is passed on silently. [`signs`] counts characters that are no text, [`language`] tells letters that are no
//! language, [`fonts`] finds the fonts that they come from, and [`shift`] the way back where there is one; [`hidden`] takes
//! out what nobody sees.

mod fonts;
mod hidden;
mod language;
mod shift;
mod signs;

use super::pdfium::{Glyph, RawDocument, RawPage, UNMAPPED};
use crate::document::TextQuality;
use rayon::prelude::*;
use signs::Signs;

/// From this share of characters that are no text on, a page is not worth reading.
const TOO_MANY_SIGNS: f32 = 0.3;
/// A picture that covers this share of a page without text is the page.
const FILLED: f32 = 0.7;
/// So many letter-sized paths on a page without text are its letters.
const MANY_OUTLINES: usize = 200;
/// A page under a picture that has fewer characters than this has next to no text: a stamp, a page number.
const NEXT_TO_NO_TEXT: usize = 50;
/// Letters of a text layer over a scan that are enough to judge it: what OCR gets wrong shows early.
const ENOUGH_OF_A_LAYER: usize = 150;
/// A text layer under this nearness to any language is misread; good ones over scans have 0.2 and more.
const MISREAD: f64 = 0.15;

/// What a page's text layer was found to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    pub quality: TextQuality,
    /// Of a page that is not good: why, in words that go on after "page 3 is refused: ".
    pub reason: Option<String>,
    /// Of a page that is good: what a reader should know all the same.
    pub note: Option<String>,
    /// Lines that the page holds and does not show; they are taken out.
    pub hidden: Vec<String>,
}

impl Verdict {
    fn refused(reason: impl Into<String>) -> Verdict {
        Verdict { quality: TextQuality::Refused, reason: Some(reason.into()), ..Verdict::default() }
    }

    fn noted(note: impl Into<String>) -> Verdict {
        Verdict { note: Some(note.into()), ..Verdict::default() }
    }
}

/// Judges each page, sets right what can be proven, and takes out of `raw` what is refused: all glyphs of a refused page,
/// and those of a font that maps its glyphs to wrong letters on any other.
pub fn judge(raw: &mut RawDocument) -> Vec<Verdict> {
    let letters = fonts::letters(raw);
    let has_backgrounds = has_backgrounds(&raw.pages);
    raw.pages.par_iter_mut().map(|page| judge_page(page, &letters, has_backgrounds)).collect()
}

fn judge_page(page: &mut RawPage, letters: &[fonts::Letters], has_backgrounds: bool) -> Verdict {
    let mended = fonts::mend(&mut page.glyphs, letters);
    let hidden = hidden::take_out(page);
    let mut verdict = verdict(page, has_backgrounds);
    if mended > 0 && verdict.quality == TextQuality::Good {
        verdict = repaired(page);
    }
    if verdict.quality == TextQuality::Refused {
        page.glyphs.clear();
    }
    settle(&mut page.glyphs);
    if !hidden.is_empty() {
        let told = "some of its text is invisible on the page and was left out";
        let note = verdict.note.take().map_or_else(|| told.into(), |note| format!("{note}; {told}"));
        (verdict.note, verdict.hidden) = (Some(note), hidden);
    }
    verdict
}

fn repaired(page: &RawPage) -> Verdict {
    let unknown = Signs::of(&page.glyphs).unmapped;
    let lost = match unknown {
        0 => String::new(),
        _ => format!("; {unknown} signs, digits among them, went no way that is known and stand as {UNMAPPED}"),
    };
    let reason = format!("its fonts shift the alphabet; its letters were read back into language{lost}");
    Verdict { quality: TextQuality::Repaired, reason: Some(reason), ..Verdict::default() }
}

fn verdict(page: &RawPage, has_backgrounds: bool) -> Verdict {
    if page.failure.is_some() {
        return Verdict::refused("the PDF is damaged there and the page cannot be opened");
    }
    if let Some(verdict) = without_text(page, has_backgrounds) {
        return verdict;
    }
    let signs = Signs::of(&page.glyphs);
    if signs.no_text() as f32 >= TOO_MANY_SIGNS * signs.glyphs as f32 {
        return Verdict::refused("its fonts do not tell which letters its glyphs are");
    }
    let text = text_of(&page.glyphs);
    if language::is_no_language(&text) {
        return Verdict::refused("its letters are those of no language: a shifted alphabet or a broken font");
    }
    if signs::mixes_scripts(&text) {
        return Verdict::refused("its words mix alphabets that no language mixes: a broken font");
    }
    of_layer(page, &text)
}

/// Pages whose text is a picture, and pages that are empty.
fn without_text(page: &RawPage, has_backgrounds: bool) -> Option<Verdict> {
    let pictures = &page.pictures;
    let is_filled = pictures.cover >= FILLED;
    let images = if pictures.images == 1 { "an image fills it" } else { "images fill it" };
    if !page.glyphs.is_empty() {
        let next_to_none = page.glyphs.len() < NEXT_TO_NO_TEXT && is_filled && !has_backgrounds;
        return next_to_none.then(|| Verdict::refused(format!("{images}, with next to no text over it")));
    }
    Some(if is_filled {
        Verdict::refused(format!("{images} and it has no text layer"))
    } else if pictures.outlines >= MANY_OUTLINES {
        Verdict::refused("its letters are drawn as outlines and it has no text layer")
    } else if pictures.images > 0 || pictures.outlines > 0 {
        Verdict::noted("no text, only figures")
    } else {
        Verdict::noted("empty")
    })
}

/// The text that OCR laid over a scan: refused where it is no language, else told.
fn of_layer(page: &RawPage, text: &str) -> Verdict {
    let invisible = page.glyphs.iter().filter(|glyph| glyph.invisible).count();
    if invisible == 0 {
        return Verdict::default();
    }
    if page.pictures.cover < FILLED || 2 * invisible < page.glyphs.len() {
        return Verdict::noted("some of its text is invisible on the page");
    }
    let misread = language::nearness(text).is_some_and(|nearness| nearness < MISREAD);
    if misread && language::letters(text) >= ENOUGH_OF_A_LAYER {
        return Verdict::refused("it is a scan and its OCR layer is misread beyond use");
    }
    Verdict::noted("a scan, read from the OCR layer in the file; words may be misread")
}

/// Whether the pictures that fill pages are backgrounds, as on slides: most pages that have one have text over it.
fn has_backgrounds(pages: &[RawPage]) -> bool {
    let visible = |page: &RawPage| page.glyphs.iter().filter(|glyph| !glyph.invisible).count();
    // A page of full text is not looked at for pictures, and has none to doubt.
    let filled = pages.iter().filter(|page| page.pictures.cover >= FILLED);
    let (with, all) =
        filled.fold((0, 0), |(with, all), page| (with + usize::from(visible(page) >= NEXT_TO_NO_TEXT), all + 1));
    2 * with > all
}

fn text_of(glyphs: &[Glyph]) -> String {
    let mut text = String::with_capacity(glyphs.len() * 6 / 5);
    for glyph in glyphs {
        if glyph.space_before || glyph.break_before {
            text.push(' ');
        }
        text.push(glyph.ch);
    }
    text
}

/// What is no text becomes [`UNMAPPED`], and blanks become white space.
fn settle(glyphs: &mut Vec<Glyph>) {
    let mut space = false;
    glyphs.retain_mut(|glyph| {
        glyph.space_before |= space;
        space = glyph.blank;
        if signs::is_no_text(glyph.ch) {
            glyph.ch = UNMAPPED;
        }
        !space
    });
}

#[cfg(test)]
pub mod tests {
    use super::super::pdfium::Pictures;
    use super::language::tests::{ENGLISH, shifted};
    use super::*;

    pub fn glyphs(text: &str) -> Vec<Glyph> {
        let mut space_before = false;
        let mut glyphs = Vec::new();
        for ch in text.chars() {
            if ch != ' ' {
                let origin = (glyphs.len() as f32, 0.0);
                glyphs.push(Glyph { ch, space_before, origin, ..Glyph::default() });
            }
            space_before = ch == ' ';
        }
        glyphs
    }

    fn page(text: &str, cover: f32, images: usize, outlines: usize) -> RawPage {
        RawPage {
            glyphs: glyphs(text),
            pictures: Pictures { images, cover, outlines, ..Pictures::default() },
            ..RawPage::default()
        }
    }

    fn judged(pages: Vec<RawPage>) -> (RawDocument, Vec<Verdict>) {
        let mut raw = RawDocument { pages, fonts: vec!["Times".into()], ..RawDocument::default() };
        let verdicts = judge(&mut raw);
        (raw, verdicts)
    }

    fn refused(page: RawPage, part: &str) {
        let (raw, verdicts) = judged(vec![page]);
        let reason = verdicts[0].reason.as_deref().unwrap_or("good");
        assert!(verdicts[0].quality == TextQuality::Refused && reason.contains(part), "{reason} for {part}");
        assert!(raw.pages[0].glyphs.is_empty());
    }

    #[test]
    fn the_three_shapes_of_pages_without_text_are_refused() {
        refused(page("", 1.0, 1, 0), "an image fills it");
        refused(page("", 0.9, 62, 0), "images fill it");
        refused(page("", 0.1, 1, 900), "outlines");
        refused(page("page 3", 1.0, 1, 0), "next to no text");
    }

    #[test]
    fn empty_pages_figures_and_slides_are_good() {
        let notes = [page("", 0.0, 0, 3), page("", 0.3, 1, 0), page("", 0.0, 0, 0)].map(|page| {
            let verdict = judged(vec![page]).1.remove(0);
            (verdict.quality, verdict.note.unwrap_or_default())
        });
        assert_eq!(
            notes.map(|(quality, note)| (quality == TextQuality::Good, note.contains("no text"))),
            [(true, true), (true, true), (true, false)]
        );
        let slides = ["Thank you", ENGLISH, ENGLISH].map(|text| page(text, 1.0, 1, 0));
        let (_, verdicts) = judged(slides.into());
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::default()), "{verdicts:?}");
    }

    #[test]
    fn text_that_is_none_is_refused_and_text_is_kept() {
        let noise = "qzkw xvjq wkzx jqvk zzxk vvqz kkjw ".repeat(40);
        refused(page(&noise, 0.0, 0, 0), "which letters");
        refused(page(&"Βϴhaϲbi ".repeat(30), 0.0, 0, 0), "alphabets");
        refused(page(&"a\u{FFFD}b".repeat(30), 0.0, 0, 0), "which letters");
        let mut good = page(&format!("{ENGLISH}\u{FFFD}\u{3}and\u{12}\u{E001}"), 0.0, 0, 0);
        good.glyphs.iter_mut().filter(|glyph| glyph.ch == '\u{3}').for_each(|glyph| glyph.blank = true);
        let (raw, verdicts) = judged(vec![good]);
        assert_eq!(verdicts, [Verdict::default()]);
        let text = text_of(&raw.pages[0].glyphs);
        assert!(text.ends_with("\u{FFFD} and\u{FFFD}\u{FFFD}"), "{text}");
    }

    #[test]
    fn a_layer_over_a_scan_is_told_or_refused() {
        let scan = |text: &str| {
            let mut page = page(text, 1.0, 1, 0);
            page.glyphs.iter_mut().for_each(|glyph| glyph.invisible = true);
            page
        };
        let (_, verdicts) = judged(vec![scan(ENGLISH)]);
        assert!(verdicts[0].note.as_deref().is_some_and(|note| note.contains("OCR layer")), "{verdicts:?}");
        let misread: String = shifted(ENGLISH, 7).chars().take(250).collect();
        refused(scan(&misread), "misread");
    }

    #[test]
    fn words_with_control_characters_are_codes_of_glyphs() {
        refused(page("3HQHåQt\u{3}SURVWHGN\\\u{3}QD\u{3}WHFK", 0.0, 0, 0), "which letters");
    }

    #[test]
    fn a_shifted_alphabet_is_read_back() {
        let (raw, verdicts) = judged(vec![page(&shifted(&ENGLISH.replace(['.', ','], ""), 25), 0.0, 0, 0)]);
        assert_eq!(verdicts[0].quality, TextQuality::Repaired);
        assert!(text_of(&raw.pages[0].glyphs).starts_with("The dominant sequence"));

        let mut ligature = page(&shifted(ENGLISH, 25), 0.0, 0, 0);
        ligature.glyphs[1].origin = ligature.glyphs[2].origin;
        let (raw, _) = judged(vec![ligature]);
        assert!(text_of(&raw.pages[0].glyphs).starts_with("T\u{FFFD}\u{FFFD} dominant sequence"));
    }

    #[test]
    fn a_font_of_wrong_letters_is_taken_out_of_a_good_page() {
        let mut mixed = page(&ENGLISH.repeat(3), 0.0, 0, 0);
        let wrong = glyphs(&"qzkw xvjq wkzx jqvk zzxk vvqz kkjw ".repeat(20));
        mixed.glyphs.extend(wrong.into_iter().map(|glyph| Glyph { font: 1, ..glyph }));
        let mut raw = RawDocument { pages: vec![mixed], fonts: vec!["A".into(), "B".into()], ..RawDocument::default() };
        let verdicts = judge(&mut raw);
        assert_eq!(verdicts[0].quality, TextQuality::Good);
        assert!(raw.pages[0].glyphs.iter().all(|glyph| (glyph.font == 1) == (glyph.ch == UNMAPPED)));
    }
}
