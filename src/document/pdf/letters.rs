//! Characters: which script they are of, accents and their letters, compatibility forms, superscripts.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::compose;

/// Characters that are joined across line ends without a space: Han, kana, and their punctuation. Hangul has spaces.
pub fn is_cjk(c: char) -> bool {
    matches!(c as u32,
        0x2E80..=0x303F | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x20000..=0x3FFFF)
}

/// Hebrew and Arabic letters.
pub fn is_rtl(c: char) -> bool {
    matches!(c as u32, 0x0590..=0x08FF | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFF)
}

/// Accents as characters of their own, and what combines with a letter instead.
const ACCENTS: [(char, char); 12] = [
    ('`', '\u{300}'),
    ('´', '\u{301}'),
    ('ˆ', '\u{302}'),
    ('˜', '\u{303}'),
    ('¯', '\u{304}'),
    ('˘', '\u{306}'),
    ('˙', '\u{307}'),
    ('¨', '\u{308}'),
    ('˚', '\u{30A}'),
    ('˝', '\u{30B}'),
    ('ˇ', '\u{30C}'),
    ('¸', '\u{327}'),
];

pub fn is_spacing_accent(c: char) -> bool {
    ACCENTS.iter().any(|(accent, _)| *accent == c)
}

/// The letter with the accent as one character, where Unicode has it.
pub fn with_accent(letter: char, accent: char) -> Option<char> {
    let letter = match letter {
        'ı' => 'i',
        'ȷ' => 'j',
        other => other,
    };
    let (_, combining) = ACCENTS.iter().find(|(spacing, _)| *spacing == accent)?;
    letter.is_alphabetic().then(|| compose(letter, *combining))?
}

/// Ligatures, full-width letters, presentation forms and the like become what they stand for; superscripts, subscripts,
/// fractions, double-struck and other characters that mean something in a formula stay, Japanese punctuation too.
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c as u32 {
            // Soft hyphens within a line, zero-width characters, byte order marks.
            0x00AD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060 | 0xFEFF => {}
            _ if c.is_whitespace() => out.push(' '),
            // Latin and Arabic presentation forms, full-width letters and digits, half-width kana, radicals.
            0xFB00..=0xFB4F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFE => out.extend(std::iter::once(c).nfkc()),
            0xFF10..=0xFF19 | 0xFF21..=0xFF3A | 0xFF41..=0xFF5A | 0xFF61..=0xFF9F | 0x2E80..=0x2FDF => {
                out.extend(std::iter::once(c).nfkc());
            }
            // Letters of mathematics: italic, bold, sans-serif …
            0x1D400..=0x1D7FF => out.extend(std::iter::once(c).nfkc()),
            0x2010 | 0x2011 => out.push('-'),
            _ => out.push(c),
        }
    }
    out.nfc().collect()
}

/// Raised characters behind `before` as Unicode has them, so that a note's mark is no part of its word and an exponent
/// none of its number: `result³`, `10⁻⁹`, `Laneᵃ,ᶜ`. Ordinals (`4th`) and other raised words stay as they are.
pub fn raised(small: &str, before: &str) -> String {
    let letters = before.chars().rev().take_while(|c| c.is_alphabetic()).count();
    let after_word = letters >= 3
        || before.is_empty()
        || before.ends_with([',', '.', ')', '”', '"'])
        || before.ends_with(is_superscript);
    let is_mark = |part: &str| part.chars().count() == 1 && after_word;
    let mark = small.split(',').all(is_mark);
    small.chars().map(|c| superscript(c).filter(|_| mark || !c.is_alphabetic()).unwrap_or(c)).collect()
}

const SUPERSCRIPTS: [(char, char); 38] = [
    ('0', '⁰'),
    ('1', '¹'),
    ('2', '²'),
    ('3', '³'),
    ('4', '⁴'),
    ('5', '⁵'),
    ('6', '⁶'),
    ('7', '⁷'),
    ('8', '⁸'),
    ('9', '⁹'),
    ('+', '⁺'),
    ('-', '⁻'),
    ('−', '⁻'),
    ('a', 'ᵃ'),
    ('b', 'ᵇ'),
    ('c', 'ᶜ'),
    ('d', 'ᵈ'),
    ('e', 'ᵉ'),
    ('f', 'ᶠ'),
    ('g', 'ᵍ'),
    ('h', 'ʰ'),
    ('i', 'ⁱ'),
    ('j', 'ʲ'),
    ('k', 'ᵏ'),
    ('l', 'ˡ'),
    ('m', 'ᵐ'),
    ('n', 'ⁿ'),
    ('o', 'ᵒ'),
    ('p', 'ᵖ'),
    ('r', 'ʳ'),
    ('s', 'ˢ'),
    ('t', 'ᵗ'),
    ('u', 'ᵘ'),
    ('v', 'ᵛ'),
    ('w', 'ʷ'),
    ('x', 'ˣ'),
    ('y', 'ʸ'),
    ('z', 'ᶻ'),
];

fn superscript(c: char) -> Option<char> {
    SUPERSCRIPTS.iter().find(|(plain, _)| *plain == c).map(|(_, raised)| *raised)
}

/// Digits and letters that are raised: marks of notes and citations, exponents.
pub fn is_superscript(c: char) -> bool {
    SUPERSCRIPTS.iter().any(|(_, raised)| *raised == c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalising_spares_mathematics_and_japanese_punctuation() {
        for (text, expected) in [
            ("eﬃcient ﬁle", "efficient file"),
            ("x² + ½ ∈ ℝ", "x² + ½ ∈ ℝ"),
            ("𝑥𝐀", "xA"),
            ("Ａ１，Ｂ．", "A1，B．"),
            ("ﾃﾞｰﾀ", "データ"),
            ("\u{2F00}", "一"),
            ("a\u{A0}b\u{AD}c", "a bc"),
        ] {
            assert_eq!(normalise(text), expected);
        }
    }

    #[test]
    fn raised_marks_are_told_from_words_and_ordinals_are_not() {
        for (small, before, expected) in [
            ("3", "result", "³"),
            ("−9", "10", "⁻⁹"),
            ("a,c,*", "Lane", "ᵃ,ᶜ,*"),
            ("th", "the 4", "th"),
            ("n", "x", "n"),
            ("12,13", "shown.", "¹²,¹³"),
        ] {
            assert_eq!(raised(small, before), expected, "{before}");
        }
    }

    #[test]
    fn accents() {
        assert_eq!(with_accent('e', '´'), Some('é'));
        assert_eq!(with_accent('ı', '¨'), Some('ï'));
        assert_eq!(with_accent('1', '´'), None);
        assert!(is_spacing_accent('ˇ') && !is_spacing_accent('e'));
    }
}
