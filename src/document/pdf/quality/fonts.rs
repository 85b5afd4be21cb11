//! Fonts that map their glyphs to wrong letters: their words, over the whole document, are of no language, or hold control
//! characters, as words do where codes of glyphs are taken for letters.

use super::super::pdfium::{Glyph, RawDocument, UNMAPPED};
use super::language;
use super::shift::Shift;
use super::signs::Signs;

/// From so many letters on, a font beside one of wrong letters must show that its own are right.
const SUSPECT: usize = 20;

/// What is to be made of a font's characters.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Letters {
    #[default]
    Right,
    /// Nobody knows what they stand for.
    Wrong,
    Shifted(Shift),
}

impl Letters {
    /// Sets the glyph right; tells whether its letter was found. `in_ligature`: it is drawn together with another.
    fn mend(&self, glyph: &mut Glyph, in_ligature: bool) -> bool {
        let read = match self {
            Letters::Right => return false,
            // What is taken for a ligature is one sign, and goes its own way.
            Letters::Shifted(shift) if !in_ligature => shift.read(glyph.ch),
            _ => UNMAPPED,
        };
        glyph.ch = read;
        // A blank of a shifted alphabet is one.
        read != UNMAPPED && !glyph.blank
    }
}

/// Sets a page's glyphs right by the letters of their fonts; how many letters were found.
pub fn mend(glyphs: &mut [Glyph], letters: &[Letters]) -> usize {
    let mut mended = 0;
    for index in 0..glyphs.len() {
        let place = |glyph: &Glyph| (glyph.bbox, glyph.origin);
        let is_same = |other: Option<&Glyph>| other.is_some_and(|other| place(other) == place(&glyphs[index]));
        let in_ligature =
            is_same(index.checked_sub(1).and_then(|before| glyphs.get(before))) || is_same(glyphs.get(index + 1));
        let glyph = &mut glyphs[index];
        mended +=
            usize::from(letters.get(usize::from(glyph.font)).is_some_and(|letters| letters.mend(glyph, in_ligature)));
    }
    mended
}

/// The letters of each font, by its number.
pub fn letters(raw: &RawDocument) -> Vec<Letters> {
    let fonts = texts(raw);
    let mut letters: Vec<Letters> =
        fonts.iter().map(|font| if font.is_wrong() { font.cure() } else { Letters::Right }).collect();
    let shift = letters.iter().find_map(|letters| match letters {
        Letters::Shifted(shift) => Some(shift.clone()),
        _ => None,
    });
    if letters.iter().any(|letters| *letters != Letters::Right) {
        let is_trusted = fonts.iter().zip(&letters).any(|(font, letters)| {
            *letters == Letters::Right && language::letters(&language::words(&font.text)) >= language::ENOUGH_LETTERS
        });
        for (font, letters) in fonts.iter().zip(&mut letters) {
            font.beside_wrong_ones(letters, shift.as_ref(), is_trusted);
        }
    }
    letters
}

#[derive(Default)]
struct Font {
    text: String,
    signs: Signs,
}

impl Font {
    fn is_wrong(&self) -> bool {
        let words = language::words(&self.text);
        let is_written = 2 * language::letters(&words) > self.signs.glyphs;
        language::is_no_language(&words)
            || is_written && self.signs.control >= 2 && 20 * self.signs.control > self.signs.glyphs
    }

    fn cure(&self) -> Letters {
        Shift::find(&self.text).map_or(Letters::Wrong, Letters::Shifted)
    }

    /// In a document with fonts of wrong letters, those that have too few to be judged alone are judged by them.
    /// `is_trusted`: other fonts of the document are right.
    fn beside_wrong_ones(&self, letters: &mut Letters, shift: Option<&Shift>, is_trusted: bool) {
        let words = language::words(&self.text);
        let count = language::letters(&words);
        let is_right = *letters == Letters::Right;
        if matches!(letters, Letters::Shifted(_)) || is_right && count >= language::ENOUGH_LETTERS {
            return;
        }
        let is_language = || language::nearness(&words).is_none_or(|nearness| nearness >= language::NO_LANGUAGE);
        match shift.filter(|_| count >= SUSPECT).and_then(|shift| shift.also(&self.text)) {
            Some(shift) => *letters = Letters::Shifted(shift),
            None if is_right && is_trusted && (count < SUSPECT || is_language()) => {}
            None => *letters = Letters::Wrong,
        }
    }
}

/// What each font writes over the whole document, words of several fonts as the pieces that they are.
fn texts(raw: &RawDocument) -> Vec<Font> {
    let mut fonts: Vec<Font> = raw.fonts.iter().map(|_| Font::default()).collect();
    for page in &raw.pages {
        let mut last = None;
        for glyph in &page.glyphs {
            let Some(font) = fonts.get_mut(usize::from(glyph.font)) else { continue };
            font.signs.add(glyph);
            if glyph.space_before || glyph.break_before || last != Some(glyph.font) {
                font.text.push(' ');
            }
            font.text.push(if glyph.blank { ' ' } else { glyph.ch });
            last = Some(glyph.font);
        }
    }
    fonts
}
