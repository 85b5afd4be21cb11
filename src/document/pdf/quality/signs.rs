//! Characters that are no text, counted: glyphs without a mapping, private-use and control characters, words of letters
//! that no one mixes.

use super::super::pdfium::{Glyph, UNMAPPED};
use unicode_script::{Script, UnicodeScript};

/// Words that say something about scripts have at least this many letters.
const LONG: usize = 4;

/// Whether a reader can make nothing of the character.
pub fn is_no_text(ch: char) -> bool {
    ch == UNMAPPED || ch.is_control() || matches!(ch, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}')
}

/// Of a stretch of glyphs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    pub glyphs: usize,
    pub unmapped: usize,
    pub private: usize,
    pub control: usize,
}

impl Signs {
    pub fn of<'a>(glyphs: impl IntoIterator<Item = &'a Glyph>) -> Signs {
        let mut signs = Signs::default();
        glyphs.into_iter().for_each(|glyph| signs.add(glyph));
        signs
    }

    pub fn add(&mut self, glyph: &Glyph) {
        self.glyphs += 1;
        match glyph.ch {
            UNMAPPED => self.unmapped += 1,
            ch if ch.is_control() => self.control += 1,
            ch if is_no_text(ch) => self.private += 1,
            _ => {}
        }
    }

    pub fn no_text(&self) -> usize {
        self.unmapped + self.private + self.control
    }
}

/// Whether so many words mix scripts that their font must map glyphs to letters of any kind: Latin with Cyrillic within a
/// word, Greek with Arabic. Symbols and the scripts of Japanese and Korean go with all.
pub fn mixes_scripts(text: &str) -> bool {
    let (mut words, mut mixed) = (0, 0);
    for word in text.split(|ch: char| !ch.is_alphabetic()) {
        let mut scripts: Vec<(Script, usize)> = Vec::new();
        for script in word.chars().map(|ch| ch.script()).filter(|script| !goes_with_all(*script)) {
            match scripts.iter_mut().find(|(known, _)| *known == script) {
                Some((_, count)) => *count += 1,
                None => scripts.push((script, 1)),
            }
        }
        if scripts.iter().map(|(_, count)| count).sum::<usize>() < LONG {
            continue;
        }
        words += 1;
        // One foreign letter is a variable in a formula.
        mixed += usize::from(scripts.iter().filter(|(_, count)| *count >= 2).count() >= 2);
    }
    words >= 20 && 5 * mixed >= words
}

fn goes_with_all(script: Script) -> bool {
    use Script::{Bopomofo, Common, Han, Hangul, Hiragana, Inherited, Katakana, Unknown};
    matches!(script, Bopomofo | Common | Han | Hangul | Hiragana | Inherited | Katakana | Unknown)
}

#[cfg(test)]
mod tests {
    use super::super::tests::glyphs;
    use super::*;

    #[test]
    fn signs_are_counted_by_kind() {
        let signs = Signs::of(&glyphs("ab\u{3}\u{FFFD}\u{E001}\u{F0001}"));
        assert_eq!(signs, Signs { glyphs: 6, unmapped: 1, private: 2, control: 1 });
        assert_eq!(signs.no_text(), 4);
    }

    #[test]
    fn words_of_several_alphabets_are_implausible_and_formulas_are_not() {
        assert!(mixes_scripts(&"Βϴhaϲbi ".repeat(30)));
        assert!(!mixes_scripts(&"Βϴhaϲbi ".repeat(10)));
        assert!(!mixes_scripts(&"αxyz βσxβ2 the value ".repeat(30)));
        assert!(!mixes_scripts(&"Transformerモデルを用いた ".repeat(30)));
    }
}
