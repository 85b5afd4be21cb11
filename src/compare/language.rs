//! Which languages answers are in, as a whole and sentence by sentence.

use crate::pipeline;
use crate::template::language;
use serde::Serialize;
use std::collections::BTreeMap;

/// What stands for a language that is not clear, in counts.
pub const UNCLEAR: &str = "unclear";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// Tag of what most of it is in; none where it is too short to tell, or not clear.
    pub language: Option<&'static str>,
    /// Sentences by language; those that are too short to tell do not count.
    pub sentences: BTreeMap<&'static str, usize>,
}

/// A second language in this share of the sentences makes an answer mixed.
const MIXED: f64 = 0.1;

impl Spoken {
    pub fn of(text: &str) -> Spoken {
        let mut sentences = BTreeMap::new();
        for sentence in text.lines().flat_map(pipeline::sentences) {
            if let Some(tag) = pipeline::language(sentence) {
                *sentences.entry(tag).or_default() += 1;
            }
        }
        Spoken { language: pipeline::language(text), sentences }
    }

    pub fn tag(&self) -> &'static str {
        self.language.unwrap_or(UNCLEAR)
    }

    fn judged(&self) -> usize {
        self.sentences.values().sum()
    }

    /// The share of its sentences that are in a language; none where no sentence could be judged.
    pub fn share(&self, asked: &str) -> Option<f64> {
        let asked = language::primary(asked);
        let judged = self.judged();
        (judged > 0).then(|| *self.sentences.get(asked.as_str()).unwrap_or(&0) as f64 / judged as f64)
    }

    /// Whether two languages have a part in it.
    pub fn is_mixed(&self) -> bool {
        let most = self.sentences.values().max().copied().unwrap_or(0);
        let others = self.judged() - most;
        others > 0 && others as f64 >= MIXED * self.judged() as f64
    }
}

/// Counts as the published comparison writes them: `{'ja': 15}`, the most frequent first.
pub fn counts(languages: &BTreeMap<String, usize>) -> String {
    let mut order: Vec<_> = languages.iter().collect();
    order.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let parts: Vec<String> = order.into_iter().map(|(tag, count)| format!("'{tag}': {count}")).collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAPANESE: &str = "この論文は、再帰も畳み込みも使わず、注意機構だけで系列を変換するモデルを提案しています。";
    const ENGLISH: &str = "The paper proposes a network that is built on attention alone and needs no recurrence.";

    #[test]
    fn answers_and_their_sentences_have_languages() {
        let spoken = Spoken::of(&format!("{JAPANESE}{JAPANESE}\n{ENGLISH}"));
        assert_eq!(spoken.sentences, BTreeMap::from([("en", 1), ("ja", 2)]));
        assert!(spoken.is_mixed() && (spoken.share("ja-JP").unwrap() - 2.0 / 3.0).abs() < 1e-12);
        let pure = Spoken::of(JAPANESE);
        assert_eq!((pure.tag(), pure.is_mixed(), pure.share("en")), ("ja", false, Some(0.0)));
        let nothing = Spoken::of("28.4");
        assert_eq!((nothing.tag(), nothing.is_mixed(), nothing.share("en")), (UNCLEAR, false, None));
    }

    #[test]
    fn counts_are_written_as_the_published_ones() {
        let languages = [("en", 6), ("fr", 6), ("de", 1)].map(|(tag, count)| (tag.to_string(), count));
        assert_eq!(counts(&BTreeMap::from(languages)), "{'en': 6, 'fr': 6, 'de': 1}");
    }
}
