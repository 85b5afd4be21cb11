//! Whether letters are language: how near a text's commonest letter trigrams are to those of any language that is written
//! with its letters. Text in a shifted alphabet is near none.

use whatlang::dev::{RawLangInfo, raw_detect};

/// Under this many letters a text says too little about its language.
pub const ENOUGH_LETTERS: usize = 300;
/// What the collection's papers stay above, pages of nothing but names and tables included; text in shifted alphabets
/// stays under 0.09.
pub const NO_LANGUAGE: f64 = 0.10;
/// Trigrams that a language's profile holds.
const PROFILE: usize = 300;

/// From 0 (no language) to 1 (the profile of a language itself); running text of papers has 0.2 to 0.5. None where the
/// letters are not of one alphabet, or of one that writes only one language.
pub fn nearness(text: &str) -> Option<f64> {
    let info = raw_detect(text);
    let all: usize = info.script_info.counters.iter().map(|(_, count)| count).sum();
    let main = info.script_info.counters.iter().map(|(_, count)| *count).max()?;
    if 10 * main < 9 * all {
        return None;
    }
    let Some(RawLangInfo::MultiScript(info)) = info.lang_info else { return None };
    let trigrams = info.trigram_raw_outcome;
    let (_, score) = trigrams.scores.first()?;
    // whatlang's score counts the text's trigrams too, of which a long text has more than a profile.
    let (count, most) = (trigrams.trigrams_count as f64, trigrams.trigrams_count.clamp(1, PROFILE) as f64);
    Some(1.0 - count * (1.0 - score) / most)
}

/// Whether `text` has enough letters to tell, and they are those of no language.
pub fn is_no_language(text: &str) -> bool {
    letters(text) >= ENOUGH_LETTERS && nearness(text).is_some_and(|nearness| nearness < NO_LANGUAGE)
}

/// The text's words: single letters and pairs are variables of formulas.
pub fn words(text: &str) -> String {
    let words = text.split(|ch: char| !ch.is_alphabetic()).filter(|word| word.chars().count() >= 3);
    words.collect::<Vec<_>>().join(" ")
}

pub fn letters(text: &str) -> usize {
    text.chars().filter(|ch| ch.is_alphabetic()).count()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const ENGLISH: &str = "The dominant sequence transduction models are based on complex recurrent or convolutional \
        neural networks that include an encoder and a decoder. The best performing models also connect the encoder and \
        decoder through an attention mechanism. We propose a new simple network architecture, the Transformer, based \
        solely on attention mechanisms, dispensing with recurrence and convolutions entirely. Experiments on two machine \
        translation tasks show these models to be superior in quality while being more parallelizable and requiring \
        significantly less time to train.";

    /// Letters moved by `by` within their alphabet.
    pub fn shifted(text: &str, by: u8) -> String {
        let within = |ch: char, first: u8| char::from((ch as u8 - first + by) % 26 + first);
        text.chars()
            .map(|ch| match ch {
                'a'..='z' => within(ch, b'a'),
                'A'..='Z' => within(ch, b'A'),
                ch => ch,
            })
            .collect()
    }

    #[test]
    fn languages_are_language_and_shifted_alphabets_are_none() {
        let german = "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen \
            begabt und sollen einander im Geist der Brüderlichkeit begegnen. Jeder hat Anspruch auf die in dieser \
            Erklärung verkündeten Rechte und Freiheiten ohne irgendeinen Unterschied, etwa nach Rasse, Hautfarbe, \
            Geschlecht, Sprache, Religion, politischer oder sonstiger Überzeugung, nationaler oder sozialer Herkunft.";
        for text in [ENGLISH, german] {
            assert!(nearness(text).is_some_and(|nearness| nearness > 0.2), "{:?}", nearness(text));
            assert!(!is_no_language(text));
        }
        for by in 1..26 {
            let text = shifted(ENGLISH, by);
            assert!(is_no_language(&text), "{by}: {:?}", nearness(&text));
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_condemned() {
        assert!(!is_no_language(&shifted("Too short to tell.", 25)));
        assert!(!is_no_language(&"日本語の論文を読む".repeat(100)));
        assert!(!is_no_language(&format!("{} {}", shifted(ENGLISH, 3), "日本語の論文を読む".repeat(100))));
        assert!(!is_no_language(""));
    }
}
