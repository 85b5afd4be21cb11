//! Which language an answer is in. Papers' names, code, formulas and URLs say nothing about it and are left out.

use crate::template::language;
use regex::Regex;
use std::sync::LazyLock;
use whatlang::{Detector, Lang};

/// Fewer letters than this do not tell a language. One ideograph, kana or hangul counts as two letters.
const TELLING_LETTERS: usize = 40;
/// To tell two languages with the same letters apart takes more.
const TELLING_LATIN_LETTERS: usize = 80;

/// The language that most of `text` is in, as a tag; `None` where it is too short or not clear.
pub(crate) fn detect(text: &str) -> Option<&'static str> {
    let shares = Shares::of(text);
    let (tag, weight) = shares.0.iter().max_by_key(|(_, weight)| *weight)?;
    (weight * 10 >= shares.total() * 6).then_some(*tag).flatten()
}

/// The language that much of `text` is in, if it is not the `expected` one (a tag). Unknown tags cannot be checked.
pub(super) fn wrong(text: &str, expected: &str) -> Option<&'static str> {
    let expected = language::find(expected)?.tag;
    let shares = Shares::of(text);
    let foreign = shares.0.iter().filter(|(tag, _)| tag.is_some_and(|tag| tag != expected));
    let (tag, weight) = foreign.max_by_key(|(_, weight)| *weight)?;
    (weight * 10 > shares.total() * 4).then_some(*tag).flatten()
}

/// How much of a text is in which language; `None` is prose whose language is not clear.
struct Shares(Vec<(Option<&'static str>, usize)>);

impl Shares {
    /// Lines are judged one by one, since small models drift from one language into another midway.
    fn of(text: &str) -> Shares {
        let mut shares: Vec<(Option<&'static str>, usize)> = Vec::new();
        let mut alphabetic = String::new();
        for line in prose(text).lines() {
            let letters = Letters::count(line);
            match letters.east_asian() {
                Some(tag) => match shares.iter_mut().find(|(found, _)| *found == Some(tag)) {
                    Some((_, weight)) => *weight += letters.weight(),
                    None => shares.push((Some(tag), letters.weight())),
                },
                None if letters.words >= 5 && !is_reference(line) => {
                    alphabetic.push_str(line);
                    alphabetic.push('\n');
                }
                None => {}
            }
        }
        let weight = Letters::count(&alphabetic).weight();
        if weight > 0 {
            shares.push((alphabetic_language(&alphabetic, weight), weight));
        }
        let shares = Shares(shares);
        if shares.total() < TELLING_LETTERS { Shares(Vec::new()) } else { shares }
    }

    fn total(&self) -> usize {
        self.0.iter().map(|(_, weight)| weight).sum()
    }
}

/// A detector's word on text in an alphabet. English, which most papers are in and models fall back to, is believed
/// even of a short text.
fn alphabetic_language(text: &str, letters: usize) -> Option<&'static str> {
    let known = language::all().iter().filter_map(|language| Lang::from_code(language.code)).collect();
    let info = Detector::with_allowlist(known).detect(text)?;
    let certain = info.is_reliable() && letters >= TELLING_LATIN_LETTERS;
    let tag = language::find_code(info.lang().code()).map(|language| language.tag);
    if certain || info.lang() == Lang::Eng { tag } else { None }
}

/// A line of a reading list: titles and names stay in the language of the works.
fn is_reference(line: &str) -> bool {
    static YEAR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(?:19|20)\d\d[a-z]?\b").expect("a constant pattern"));
    let line = line.trim_start();
    let listed = line.starts_with(['-', '*', '•', '[']) || line.starts_with(|c: char| c.is_ascii_digit());
    listed && (YEAR.is_match(line) || line.contains("et al"))
}

/// Without code, formulas, URLs and quoted or bracketed titles.
fn prose(text: &str) -> String {
    static NOT_PROSE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?s:```.*?(?:```|\z))",
            r"|`[^`\n]*`",
            r"|(?s:\$\$.*?\$\$)|\$[^$\n]{1,200}\$|(?s:\\\[.*?\\\])|\\\([^\n]*?\\\)",
            r"|(?:https?://|www\.)[^\s）」』】]+",
            r#"|"[^"\n]{1,200}"|“[^”\n]{1,200}”|「[A-Za-z][^」\n]{1,200}」|『[^』\n]{1,200}』"#,
        ))
        .expect("a constant pattern")
    });
    NOT_PROSE.replace_all(text, " ").into_owned()
}

/// Letters of one line.
#[derive(Debug, Clone, Copy, Default)]
struct Letters {
    kana: usize,
    han: usize,
    hangul: usize,
    other: usize,
    /// Words of other scripts that are no names: not capitalised, no digits.
    words: usize,
}

impl Letters {
    fn count(text: &str) -> Letters {
        let mut letters = Letters::default();
        for c in text.chars().filter(|c| c.is_alphabetic()) {
            match c {
                '\u{3041}'..='\u{30ff}' | '\u{ff66}'..='\u{ff9d}' => letters.kana += 1,
                '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => letters.han += 1,
                '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' => letters.hangul += 1,
                _ => letters.other += 1,
            }
        }
        let words = text.split(|c: char| !c.is_alphanumeric() || is_cjk(c));
        letters.words = words
            .filter(|word| word.chars().count() > 1 && word.chars().all(|c| c.is_alphabetic() && !c.is_uppercase()))
            .count();
        letters
    }

    /// Letters, with ideographs, kana and hangul counted as two.
    fn weight(&self) -> usize {
        2 * (self.kana + self.han + self.hangul) + self.other
    }

    /// Japanese, Chinese or Korean, if the line is in one of them. Japanese prose has kana in every sentence, Chinese
    /// has none. Names of methods and titles of works stay in Latin letters, so a line needs few letters of its own.
    fn east_asian(&self) -> Option<&'static str> {
        let cjk = self.kana + self.han;
        let own = cjk.max(self.hangul);
        if own < 4 || own * 4 < self.words {
            return None;
        }
        if self.hangul > cjk {
            return Some("ko");
        }
        if self.kana * 10 >= cjk {
            return Some("ja");
        }
        // A short line without kana ("評価指標") can be Japanese as well.
        (self.han >= 12).then_some("zh")
    }
}

pub(crate) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAPANESE: &str = "この論文は、再帰も畳み込みも使わず、注意機構だけで系列を変換する Transformer を提案します。\n\
        WMT 2014 English-to-German で BLEU 28.4 を達成し、従来の最良の手法を上回りました。";
    const CHINESE: &str = "本文提出了一种完全基于注意力机制的新型网络架构，不使用循环和卷积结构。\n\
        实验结果表明该模型在机器翻译任务上取得了最好的成绩，并且训练时间更短。";
    const ENGLISH: &str = "The paper proposes a network that is built on attention alone and needs neither recurrence \
        nor convolution. It trains faster than earlier models and translates better.";

    #[test]
    fn languages_are_told_apart() {
        for (text, tag) in [(JAPANESE, "ja"), (CHINESE, "zh"), (ENGLISH, "en")] {
            assert_eq!(wrong(text, tag), None, "{tag}");
            for other in ["ja", "zh", "en", "fr"].into_iter().filter(|other| *other != tag) {
                assert_eq!(wrong(text, other), Some(tag), "{tag} asked as {other}");
            }
        }
        let french = "Cet article propose un réseau qui repose uniquement sur l'attention, sans récurrence ni \
            convolution, et qui s'entraîne plus vite que les modèles précédents tout en traduisant mieux.";
        assert_eq!(wrong(french, "fr"), None);
        assert_eq!(wrong(french, "en"), Some("fr"));
        let korean =
            "이 논문은 순환 신경망이나 합성곱 없이 주의 메커니즘만으로 이루어진 새로운 신경망 구조를 제안한다.";
        assert_eq!(wrong(korean, "ja"), Some("ko"));
    }

    #[test]
    fn a_drift_into_chinese_counts() {
        assert_eq!(wrong(&format!("{JAPANESE}\n{CHINESE}"), "ja"), Some("zh"));
    }

    #[test]
    fn japanese_full_of_names_is_japanese() {
        let reading = "- Vaswani et al., Attention Is All You Need, 2017：注意機構の基礎となる論文です。\n\
            - Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding, \
            2018：事前学習の考え方がわかります。";
        let titles_alone = "1. Bahdanau et al., Neural machine translation by jointly learning to align and translate\n\
            注意機構を初めて提案した論文です。\n\
            2. Long short-term memory for sequences of any length and for any kind of task, 1997\n\
            再帰型モデルの基礎です。";
        for text in [reading, titles_alone] {
            assert_eq!((wrong(text, "ja"), detect(text)), (None, Some("ja")), "{text}");
        }
    }

    #[test]
    fn what_is_short_or_no_prose_is_not_judged() {
        for text in
            ["", "28.4 BLEU", "https://github.com/tensorflow/tensor2tensor", "```python\nfor x in y: print(x)\n```"]
        {
            assert_eq!(detect(text), None, "{text}");
            assert_eq!(wrong(text, "ja"), None, "{text}");
        }
        assert_eq!(wrong(ENGLISH, "tlh"), None);
    }

    #[test]
    fn a_short_english_sentence_is_not_japanese() {
        assert_eq!(wrong("The paper does not give any link to code, so the code is not public.", "ja"), Some("en"));
    }
}
