//! Which letters an answer may be written in. A small model that writes Japanese slips into Korean, Russian or Chinese for
//! a word now and then; the tokens of scripts that neither the answer's language nor the paper uses need not be drawn.

use std::collections::HashSet;
use unicode_script::{Script, UnicodeScript};

/// Scripts that any paper may need: Latin for names and code, Greek for formulas, signs and digits.
const EVERYWHERE: [Script; 5] = [Script::Latin, Script::Greek, Script::Common, Script::Inherited, Script::Unknown];

/// The letters of a language and of the text that is answered about.
#[derive(Debug, Clone)]
pub struct Letters {
    scripts: HashSet<Script>,
    /// In Japanese, an ideograph must be one that Japanese is written with (Shift_JIS has it), or one of these.
    ideographs: Option<HashSet<char>>,
}

impl Letters {
    /// Those of `language` (a tag) and of `text`. `None` for a language whose script is not known here: then any letter
    /// may be needed.
    pub fn of(language: &str, text: &str) -> Option<Letters> {
        let mut scripts: HashSet<Script> = scripts_of(language)?.iter().chain(&EVERYWHERE).copied().collect();
        scripts.extend(text.chars().map(|c| c.script()));
        let ideographs = || text.chars().filter(|c| c.script() == Script::Han).collect();
        let ideographs = (primary(language) == "ja").then(ideographs);
        Some(Letters { scripts, ideographs })
    }

    /// Whether every character of `text` may be written. The replacement character, which half a character decodes to, may.
    pub fn allow(&self, text: &str) -> bool {
        text.chars().all(|c| match (c.script(), &self.ideographs) {
            (Script::Han, Some(known)) => known.contains(&c) || is_in_shift_jis(c),
            (script, _) => self.scripts.contains(&script),
        })
    }
}

fn is_in_shift_jis(c: char) -> bool {
    let mut utf8 = [0; 4];
    let (_, _, unmappable) = encoding_rs::SHIFT_JIS.encode(c.encode_utf8(&mut utf8));
    !unmappable
}

fn primary(language: &str) -> String {
    language.split(['-', '_', '.', '@']).next().unwrap_or_default().to_ascii_lowercase()
}

fn scripts_of(language: &str) -> Option<&'static [Script]> {
    Some(match primary(language).as_str() {
        "ja" => &[Script::Han, Script::Hiragana, Script::Katakana],
        "zh" => &[Script::Han, Script::Bopomofo],
        "ko" => &[Script::Hangul, Script::Han],
        "ar" => &[Script::Arabic],
        "he" => &[Script::Hebrew],
        "hi" => &[Script::Devanagari],
        "ru" | "uk" => &[Script::Cyrillic],
        "el" => &[Script::Greek],
        "cs" | "da" | "de" | "en" | "es" | "fi" | "fr" | "id" | "it" | "nl" | "pl" | "pt" | "sv" | "tr" | "vi" => {
            &[Script::Latin]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_the_language_and_of_the_paper() {
        let japanese = Letters::of("ja_JP", "A paper that quotes файл and 论.").unwrap();
        for (text, allowed) in [
            ("ファイルを解凍します。α = 0.5, naïve → ①", true),
            ("\u{fffd}", true),
            ("файлы", true),
            ("论", true),
            ("파일", false),
            ("问题", false),
            ("ไฟล์", false),
        ] {
            assert_eq!(japanese.allow(text), allowed, "{text}");
        }
        let english = Letters::of("en", "plain").unwrap();
        assert!(!english.allow("模型") && english.allow("café"));
        assert!(Letters::of("ko", "").unwrap().allow("파일"));
        assert!(Letters::of("tlh", "").is_none());
    }
}
