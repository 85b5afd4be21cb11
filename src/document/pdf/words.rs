//! Words: lines joined. A hyphen at a line's end is kept or dropped by what the paper itself shows elsewhere.

use super::letters::{is_cjk, is_superscript};
use super::lines::Line;
use std::collections::HashMap;

/// How often the paper has each word that no line end breaks, in lower case. Words with hyphens count as a whole and by
/// each two parts that follow one another; of those that a line end breaks, the parts away from it count.
#[derive(Debug, Default)]
pub struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    pub fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Vocabulary {
        let mut vocabulary = Vocabulary::default();
        let mut broken = false;
        for line in lines {
            let tokens: Vec<&str> = line.text.split_whitespace().collect();
            let ends_broken = line.text.ends_with('-');
            for (index, token) in tokens.iter().enumerate() {
                let goes_on = index == 0 && broken;
                let fragment = goes_on || (index + 1 == tokens.len() && ends_broken);
                let word = token.trim_matches(|c: char| !c.is_alphanumeric() || is_superscript(c));
                if !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '-') {
                    vocabulary.add(&word.to_lowercase(), fragment, goes_on);
                }
            }
            broken = ends_broken;
        }
        vocabulary
    }

    /// A word; or a fragment of one, whose first part may be none where it goes on from the line above.
    fn add(&mut self, word: &str, fragment: bool, goes_on: bool) {
        let parts: Vec<&str> = word.split('-').skip(usize::from(goes_on)).collect();
        if !fragment {
            *self.0.entry(word.to_string()).or_default() += 1;
        }
        if parts.len() > 2 || fragment {
            for pair in parts.windows(2) {
                *self.0.entry(pair.join("-")).or_default() += 1;
            }
        }
    }

    fn count(&self, word: &str) -> u32 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// Whether the hyphen between `left` and `right`, the parts of a word over a line end, is part of the word.
    fn keeps_hyphen(&self, left: &str, right: &str) -> bool {
        let whole = left.rsplit(|c: char| !c.is_alphanumeric() && c != '-').next().unwrap_or(left);
        let before = whole.rsplit('-').next().unwrap_or(whole);
        let tail =
            right.split(|c: char| !c.is_alphanumeric() && c != '-').next().unwrap_or(right).trim_end_matches('-');
        let after = tail.split('-').next().unwrap_or(tail);
        if before.is_empty() || after.is_empty() || after.starts_with(|c: char| c.is_numeric()) {
            return true;
        }
        if before.ends_with(|c: char| c.is_numeric()) {
            return true;
        }
        let (low_before, low_after) = (before.to_lowercase(), after.to_lowercase());
        let shown = self.shows_hyphen(&whole.to_lowercase(), &tail.to_lowercase());
        if let Some(shown) = shown.or_else(|| self.shows_hyphen(&low_before, &low_after)) {
            return shown;
        }
        if whole.contains('-') {
            return !SUFFIXES.contains(&low_after.as_str());
        }
        if after.starts_with(char::is_uppercase) {
            return !before.chars().all(char::is_uppercase) || !after.chars().all(char::is_uppercase);
        }
        COMPOUND_ENDS.contains(&low_after.as_str())
            || (before.chars().count() > 1 && before.chars().all(char::is_uppercase))
            || (tail.contains('-') && self.count(&low_before) > 0)
            || self.are_two_words(&low_before, &low_after)
    }

    /// What the rest of the paper shows: with a hyphen more often than joined, or less often. Parts in lower case.
    fn shows_hyphen(&self, left: &str, right: &str) -> Option<bool> {
        let joined = self.count(&format!("{left}{right}"));
        let hyphened = self.count(&format!("{left}-{right}"));
        (joined != hyphened).then_some(hyphened > joined)
    }

    fn are_two_words(&self, before: &str, after: &str) -> bool {
        before.len() >= 4
            && after.len() >= 4
            && self.count(before) > 0
            && self.count(after) > 0
            && !JOINED_STARTS.contains(&before)
    }
}

/// Second halves of words that are written with a hyphen.
const COMPOUND_ENDS: [&str; 30] = [
    "based",
    "specific",
    "level",
    "wise",
    "aware",
    "free",
    "like",
    "scale",
    "shot",
    "tuned",
    "tuning",
    "trained",
    "art",
    "end",
    "dimensional",
    "driven",
    "oriented",
    "grained",
    "supervised",
    "known",
    "related",
    "quality",
    "of",
    "to",
    "the",
    "purpose",
    "aligned",
    "efficient",
    "agnostic",
    "independent",
];

/// Ends of words that are no words: behind a compound's last part they belong to it.
const SUFFIXES: [&str; 24] = [
    "ness", "tion", "tions", "ation", "ations", "sion", "sions", "ing", "ings", "ment", "ments", "ed", "er", "ers",
    "ly", "ity", "ities", "ive", "tive", "ous", "ized", "ised", "ality", "ture",
];

/// First halves of words that are written as one.
const JOINED_STARTS: [&str; 12] =
    ["over", "under", "inter", "some", "with", "back", "every", "where", "there", "here", "data", "through"];

/// Appends `next`, the start of the following line, to `text`.
pub fn join(text: &mut String, next: &str, vocabulary: &Vocabulary) {
    let (Some(before), Some(after)) = (text.chars().next_back(), next.chars().next()) else {
        text.push_str(next);
        return;
    };
    let hyphen = before == '-' && text.chars().rev().nth(1).is_some_and(char::is_alphanumeric);
    if hyphen && after.is_alphanumeric() {
        let left = text[..text.len() - 1].rsplit(char::is_whitespace).next().unwrap_or_default();
        if !left.contains("://") && !left.starts_with("www.") && !vocabulary.keeps_hyphen(left, next) {
            text.pop();
        }
    } else if before == '\u{AD}' {
        text.pop();
    } else if !(is_cjk(before) || is_cjk(after) || goes_on(text, next)) {
        text.push(' ');
    }
    text.push_str(next);
}

/// Whether a URL at the end of `text` goes on in `next`.
fn goes_on(text: &str, next: &str) -> bool {
    let last = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    let Some(start) = last.find("http://").or_else(|| last.find("https://")).or_else(|| last.find("www.")) else {
        return false;
    };
    let first = next.split(char::is_whitespace).next().unwrap_or_default();
    let urlish = first.chars().all(|c| c.is_ascii_graphic()) && !first.starts_with(['(', '[', '"']);
    let open = last.ends_with(['/', '-', '_', '=', '&', '?', '%', '~', '#', ':']) || last.len() - start < 9;
    let dotted = last.ends_with('.') && first.starts_with(|c: char| c.is_ascii_lowercase());
    urlish && (open || dotted || first.starts_with(['/', '_', '-', '.', '?', '=', '&', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { text: text.into(), ..Line::default() }
    }

    fn joined(first: &str, second: &str, elsewhere: &[&str]) -> String {
        let lines: Vec<Line> = elsewhere.iter().map(|text| line(text)).chain([line(first), line(second)]).collect();
        let vocabulary = Vocabulary::of(lines.iter());
        let mut text = first.to_string();
        join(&mut text, second, &vocabulary);
        text
    }

    #[test]
    fn hyphens_at_line_ends_are_judged_by_the_rest_of_the_paper() {
        for (first, second, elsewhere, expected) in [
            ("deep learn-", "ing works", &[][..], "deep learning works"),
            ("closed-", "source models", &["a closed-source one"], "closed-source models"),
            ("state-of-the-", "art results", &[], "state-of-the-art results"),
            ("by log-", "sum-exp, which", &["the log-sum-exp"], "by log-sum-exp, which"),
            ("by log-", "sum-exp, which", &["their log-sum-", "exp gives"], "by log-sum-exp, which"),
            ("by log-", "sum-exp, which", &["a log of"], "by log-sum-exp, which"),
            ("the log-sum-", "exp of", &[], "the log-sum-exp of"),
            ("an architec-", "ture-based one", &[], "an architecture-based one"),
            ("with IO-Aware-", "ness’, in", &[], "with IO-Awareness’, in"),
            ("our pre-train-", "ing data", &["in training"], "our pre-training data"),
            ("in GPT-", "3 we", &[], "in GPT-3 we"),
            ("task-", "specific heads", &[], "task-specific heads"),
            ("pre-", "training", &["pretraining helps"], "pretraining"),
            ("pre-", "training", &["our pre-training"], "pre-training"),
            ("the Trans-", "former (2017)", &["Transformer"], "the Transformer (2017)"),
            ("a masked-", "language model", &["masked words of a language"], "a masked-language model"),
            ("a range 1-", "2", &[], "a range 1-2"),
            ("text \u{2013} -", "x", &[], "text \u{2013} - x"),
        ] {
            assert_eq!(joined(first, second, elsewhere), expected);
        }
    }

    #[test]
    fn lines_join_with_a_space_but_japanese_without() {
        assert_eq!(joined("two", "lines", &[]), "two lines");
        assert_eq!(joined("日本語の論", "文を読む", &[]), "日本語の論文を読む");
        assert_eq!(joined("提案する", "LSTM", &[]), "提案するLSTM");
        assert_eq!(joined("한국어", "문장", &[]), "한국어 문장");
    }

    #[test]
    fn urls_go_on_over_the_line_end() {
        assert_eq!(
            joined("see https://github.com/", "tensorflow/tensor2tensor.", &[]),
            "see https://github.com/tensorflow/tensor2tensor."
        );
        assert_eq!(joined("at https://a.org/x", "and more", &[]), "at https://a.org/x and more");
        assert_eq!(joined("at https://a.org.", "The next", &[]), "at https://a.org. The next");
        assert_eq!(joined("at https://a.org/some-", "thing", &["something"]), "at https://a.org/some-thing");
    }
}
