//! ronbun's own words in a report, in Japanese and, for every other language, in English.

use super::Paper;
use crate::document::{LeftOut, Pages, Portion, Share};
use crate::generator::FinishReason;
use crate::template::language;

/// The fixed words and sentences of one language.
pub(crate) struct Words {
    /// For HTML's `lang` on ronbun's own words.
    pub tag: &'static str,
    pub no_answer: &'static str,
    pub code_links: &'static str,
    pub no_code_links: &'static str,
    pub link_removed: &'static str,
    pub links_removed: &'static str,
    pub evidence: &'static str,
    pub page: &'static str,
    pub warnings: &'static str,
    pub how: &'static str,
    pub cut: &'static str,
    pub circled: &'static str,
    pub withheld: &'static str,
    pub together: &'static str,
    pub contents: &'static str,
    pub paper: &'static str,
    pub left_out: &'static str,
    pub model: &'static str,
    pub time: &'static str,
    pub memory: &'static str,
    pub sampling: &'static str,
    pub made: &'static str,
}

static ENGLISH: Words = Words {
    tag: "en",
    no_answer: "The model gave no answer.",
    code_links: "Links to code that ronbun found in the paper itself:",
    no_code_links: "ronbun found no link to code in the paper itself.",
    link_removed: "(link removed: it is not in the paper)",
    links_removed: "The model wrote links that the paper does not have; they were removed:",
    evidence: "Evidence",
    page: "p. ",
    warnings: "Warnings",
    how: "How this was made",
    cut: "The answer was cut at its limit of tokens.",
    circled: "The model began to repeat itself; the answer was cut there.",
    withheld: "The server withheld this answer, or a part of it.",
    together: "All questions",
    contents: "Questions",
    paper: "Paper",
    left_out: "Left out",
    model: "Model",
    time: "Time",
    memory: "Peak memory",
    sampling: "Sampling",
    made: "Made",
};

static JAPANESE: Words = Words {
    tag: "ja",
    no_answer: "モデルから回答が得られませんでした。",
    code_links: "ronbun が論文の中で見つけたコードへのリンク：",
    no_code_links: "ronbun が調べた範囲では、論文にコードへのリンクはありませんでした。",
    link_removed: "（論文にないリンクのため削除）",
    links_removed: "論文にないリンクをモデルが書いたため、削除しました：",
    evidence: "根拠",
    page: "p. ",
    warnings: "注意",
    how: "この要約について",
    cut: "回答が長さの上限に達したため、途中で切れています。",
    circled: "同じ内容の繰り返しが始まったため、そこで回答を打ち切りました。",
    withheld: "サーバーが回答の全部または一部を出しませんでした。",
    together: "すべての質問",
    contents: "目次",
    paper: "論文",
    left_out: "読ませなかった部分",
    model: "モデル",
    time: "時間",
    memory: "最大メモリ",
    sampling: "サンプリング",
    made: "作成",
};

/// A language's name in Japanese, for those that models drift into.
fn in_japanese(tag: &str) -> String {
    match language::primary(tag).as_str() {
        "ja" => "日本語".into(),
        "en" => "英語".into(),
        "zh" => "中国語".into(),
        "ko" => "韓国語".into(),
        _ => language::name(tag),
    }
}

fn share_in_japanese(share: Share) -> &'static str {
    match share {
        Share::Front => "題名と著者",
        Share::Body => "本文",
        Share::Tables => "表",
        Share::Footnotes => "脚注",
        Share::References => "参考文献",
        Share::Appendix => "付録",
        Share::AppendixTables => "付録の表",
    }
}

/// Words for a report in the language with this tag.
pub(crate) fn of(tag: &str) -> &'static Words {
    if language::primary(tag) == "ja" { &JAPANESE } else { &ENGLISH }
}

impl Words {
    fn japanese(&self) -> bool {
        self.tag == "ja"
    }

    /// What a reader should know about how an answer ended.
    pub(crate) fn ending(&self, reason: FinishReason) -> Option<&'static str> {
        match reason {
            FinishReason::Stop => None,
            FinishReason::Length => Some(self.cut),
            FinishReason::Loop => Some(self.circled),
            FinishReason::Refused => Some(self.withheld),
        }
    }

    /// The answer stayed in another language than the one asked for, both by tag.
    pub(crate) fn wrong_language(&self, asked: &str, found: &str) -> String {
        if self.japanese() {
            let (asked, found) = (in_japanese(asked), in_japanese(found));
            return format!("指定した言語（{asked}）ではなく、{found} で回答されています。");
        }
        let (asked, found) = (language::name(asked), language::name(found));
        format!("The answer is in {found}, although {asked} was asked for.")
    }

    /// Nothing but white space came back, however often the question was put.
    pub(crate) fn empty(&self, attempts: u32) -> String {
        if self.japanese() {
            return format!("{attempts} 回質問しましたが、モデルから回答が得られませんでした。");
        }
        format!("The model gave no answer in {attempts} {}.", if attempts == 1 { "attempt" } else { "attempts" })
    }

    /// What was read, and what it took.
    pub(crate) fn pages_and_tokens(&self, paper: &Paper) -> String {
        let (pages, tokens) = (paper.pages, super::content::thousands(paper.tokens as u64));
        let whole = paper.left_out.is_empty();
        if self.japanese() {
            let whole = if whole { "、全文を読み込み" } else { "" };
            return format!("{pages} ページ、{tokens} トークン{whole}");
        }
        let whole = if whole { ", read whole" } else { "" };
        format!("{pages} {}, {tokens} tokens{whole}", if pages == 1 { "page" } else { "pages" })
    }

    /// What the model did not see.
    pub(crate) fn left_out(&self, left_out: &LeftOut) -> String {
        let japanese = self.japanese();
        let part = |part: &Portion| {
            let characters = super::content::thousands(part.characters as u64);
            match japanese {
                true => format!("{}（{characters} 文字）", share_in_japanese(part.share)),
                false => format!("{} ({characters} characters)", part.share),
            }
        };
        let pages = (!left_out.pages.is_empty()).then(|| match (japanese, Pages::of(&left_out.pages)) {
            (true, pages) => format!("{pages} ページ"),
            (false, pages) => format!("{} {pages}", if left_out.pages.len() == 1 { "page" } else { "pages" }),
        });
        let all: Vec<String> = left_out.parts.iter().map(part).chain(pages).collect();
        all.join(if japanese { "、" } else { ", " })
    }

    pub(crate) fn answered_in(&self, seconds: f64, tokens: usize, per_second: f64) -> String {
        let (time, tokens) = (self.duration(seconds), super::content::thousands(tokens as u64));
        if self.japanese() {
            return format!("{time}で {tokens} トークンを回答（{per_second:.1} トークン/秒）");
        }
        format!("answered in {time}: {tokens} tokens at {per_second:.1} tokens/s")
    }

    fn duration(&self, seconds: f64) -> String {
        let whole = seconds.round() as u64;
        match (self.japanese(), whole < 60) {
            (true, true) => format!("{seconds:.1} 秒"),
            (true, false) => format!("{} 分 {} 秒", whole / 60, whole % 60),
            (false, true) => format!("{seconds:.1} s"),
            (false, false) => format!("{} min {} s", whole / 60, whole % 60),
        }
    }
}
