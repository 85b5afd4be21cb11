//! Which language an answer is in. Papers' names, code, formulas and URLs say nothing about it and are left out.

use crate::template::language::{self, Language};
use regex::Regex;
use std::sync::LazyLock;
use whatlang::{Detector, Lang};

/// Fewer letters than this do not tell a language. One ideograph or kana counts as two letters.
const TELLING_LETTERS: usize = 40;
/// Detectors of Latin-letter languages need more.
const TELLING_LATIN_LETTERS: usize = 100;

/// What an answer's words are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Language(&'static str),
    /// Too short, or not clear.
    Unclear,
}

/// The language of `text`, of which `expected` (a tag) was asked for.
pub(super) fn detect(text: &str, expected: &str) -> Found {
    let prose = prose(text);
    let lines: Vec<Letters> = prose.lines().map(Letters::count).collect();
    let all = Letters::count(&prose);
    if all.weight() < TELLING_LETTERS {
        return Found::Unclear;
    }
    match all.script() {
        Script::Cjk => cjk(&lines, &all),
        Script::Hangul => Found::Language("ko"),
        Script::Other => alphabetic(&prose, &all, expected),
    }
}

/// The language that `text` is in, if that is clearly not the `expected` one. Unknown tags cannot be checked.
pub(super) fn wrong(text: &str, expected: &str) -> Option<&'static str> {
    let expected = language::find(expected)?;
    match detect(text, expected.tag) {
        Found::Language(found) if found != expected.tag => Some(found),
        _ => None,
    }
}

/// Japanese prose has kana in every sentence, Chinese has none. Lines are judged one by one, since small models
/// drift from one into the other midway.
fn cjk(lines: &[Letters], all: &Letters) -> Found {
    let telling = || lines.iter().filter(|line| line.script() == Script::Cjk && line.kana + line.han >= 12);
    let judged: usize = telling().map(Letters::weight).sum();
    let chinese: usize = telling().filter(|line| !line.has_kana()).map(Letters::weight).sum();
    if judged == 0 {
        return Found::Language(if all.has_kana() { "ja" } else { "zh" });
    }
    Found::Language(if chinese * 10 > judged * 3 { "zh" } else { "ja" })
}

fn alphabetic(prose: &str, all: &Letters, expected: &str) -> Found {
    if all.weight() < TELLING_LATIN_LETTERS {
        // Short, yet clearly not in a script of its own that was asked for.
        let own_script = matches!(expected, "ja" | "zh" | "ko");
        return if own_script && all.lower_words >= 8 { latin(prose) } else { Found::Unclear };
    }
    latin(prose)
}

fn latin(prose: &str) -> Found {
    let known = language::all().iter().filter_map(|language| Lang::from_code(language.code)).collect();
    let Some(info) = Detector::with_allowlist(known).detect(prose) else { return Found::Unclear };
    match language::find_code(info.lang().code()) {
        Some(Language { tag, .. }) if info.is_reliable() => Found::Language(tag),
        _ => Found::Unclear,
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Cjk,
    Hangul,
    Other,
}

#[derive(Debug, Clone, Copy, Default)]
struct Letters {
    kana: usize,
    han: usize,
    hangul: usize,
    other: usize,
    /// Words of other scripts that are no names: not capitalised, no digits.
    lower_words: usize,
}

impl Letters {
    fn count(text: &str) -> Letters {
        let mut letters = Letters::default();
        for c in text.chars().filter(|c| c.is_alphabetic()) {
            match c {
                // Not the prolonged sound mark, the iteration marks and half-width forms alone: those follow a kana.
                '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30ff}' | '\u{ff66}'..='\u{ff9d}' => letters.kana += 1,
                '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' | '々' => {
                    letters.han += 1;
                }
                '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' => letters.hangul += 1,
                _ => letters.other += 1,
            }
        }
        let words = text.split(|c: char| !c.is_alphanumeric() || is_cjk(c));
        letters.lower_words = words
            .filter(|word| word.chars().count() > 1 && word.chars().all(|c| c.is_alphabetic() && !c.is_uppercase()))
            .count();
        letters
    }

    /// Letters, with ideographs, kana and hangul counted as two.
    fn weight(&self) -> usize {
        2 * (self.kana + self.han + self.hangul) + self.other
    }

    /// Names of methods and models stay in Latin letters in any language, so words count rather than letters.
    fn script(&self) -> Script {
        let cjk = self.kana + self.han;
        if self.hangul > cjk && self.hangul / 2 >= self.lower_words {
            return Script::Hangul;
        }
        if cjk > 0 && cjk / 2 >= self.lower_words { Script::Cjk } else { Script::Other }
    }

    fn has_kana(&self) -> bool {
        self.kana * 10 >= self.kana + self.han
    }
}

fn is_cjk(c: char) -> bool {
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
        assert_eq!(wrong(reading, "ja"), None);
    }

    #[test]
    fn what_is_short_or_no_prose_is_not_judged() {
        for text in
            ["", "28.4 BLEU", "https://github.com/tensorflow/tensor2tensor", "```python\nfor x in y: print(x)\n```"]
        {
            assert_eq!(detect(text, "ja"), Found::Unclear, "{text}");
        }
        assert_eq!(wrong(ENGLISH, "tlh"), None);
    }

    #[test]
    fn a_short_english_sentence_is_not_japanese() {
        assert_eq!(wrong("The paper does not give any link to code, so the code is not public.", "ja"), Some("en"));
    }
}
