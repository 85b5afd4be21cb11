//! Whether an answer keeps to what was asked: every question answered, in order, in the form asked for; refusals.

use super::types::Question;
use crate::generator::FinishReason;
use crate::pipeline;
use regex::Regex;
use serde::Serialize;
use std::sync::LazyLock;

/// A refusal stands at the beginning, within so many characters.
const BEGINNING: usize = 240;

/// How one text that answers all questions is laid out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Layout {
    /// For each question: its answer in the text, without the heading; none where its heading is missing.
    #[serde(skip)]
    pub sections: Vec<Option<String>>,
    /// The share of the questions that have an answer.
    pub answered: f64,
    /// Whether the headings that are there come in the order of the questions.
    pub in_order: bool,
    /// The share of the questions whose heading is marked as one (`## 1. Title`), as asked for.
    pub headed: f64,
}

/// Lays `text` out under the questions' titles.
pub fn layout(text: &str, questions: &[Question]) -> Layout {
    let lines: Vec<&str> = text.lines().collect();
    let heads: Vec<Option<usize>> =
        questions.iter().map(|question| lines.iter().position(|line| heads(line, &question.title))).collect();
    let found: Vec<usize> = heads.iter().copied().flatten().collect();
    let sections: Vec<Option<String>> = heads
        .iter()
        .zip(questions)
        .map(|(head, question)| head.map(|head| section(&lines, head, &found, &question.title)))
        .collect();
    let count = questions.len().max(1) as f64;
    let answered = sections.iter().filter(|section| section.as_ref().is_some_and(|text| !text.is_empty())).count();
    let headed = found.iter().filter(|head| lines[**head].trim_start().starts_with('#')).count();
    Layout {
        answered: answered as f64 / count,
        in_order: found.len() == questions.len() && found.is_sorted(),
        headed: headed as f64 / count,
        sections,
    }
}

/// Whether a line is the heading with this title, or begins with it and a colon.
fn heads(line: &str, title: &str) -> bool {
    let title = pipeline::bare(title);
    let before = line.split([':', '：']).next().unwrap_or_default();
    !title.is_empty() && (pipeline::bare(line) == title || line.len() > before.len() && pipeline::bare(before) == title)
}

/// From a heading to the next.
fn section(lines: &[&str], head: usize, heads: &[usize], title: &str) -> String {
    let end = heads.iter().copied().filter(|other| *other > head).min().unwrap_or(lines.len());
    let rest = match pipeline::bare(lines[head]) == pipeline::bare(title) {
        true => "",
        false => lines[head].split_once([':', '：']).map_or("", |(_, rest)| rest),
    };
    let text = [&[rest], &lines[head + 1..end]].concat().join("\n");
    text.trim().trim_start_matches('*').trim().to_string()
}

/// Whether the model refused instead of answering.
pub fn refuses(text: &str, finish_reason: Option<FinishReason>) -> bool {
    static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?i)\bI(?:['’]m| am)(?: really| very)? sorry,? but\b",
            r"|\bI(?:['’]m| am)? (?:can(?:not|['’]?t|not)|unable to|won['’]t|not able to) ",
            r"(?:help|assist|provide|reproduce|summari[sz]e|answer|comply|fulfil|do that|share)",
            r"|\bas an AI\b.{0,60}\bcan(?:not|['’]t)\b|\b(?:protected by|violat\w+|due to) copyright",
            r"|申し訳(?:ありません|ございません|ないの?です)が|お手伝い(?:することは)?できません|お答えできません",
            r"|著作権.{0,20}(?:できません|差し控え)",
        ))
        .expect("a constant pattern")
    });
    let beginning: String = text.chars().take(BEGINNING).collect();
    finish_reason == Some(FinishReason::Refused) || REFUSAL.is_match(&beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> Vec<Question> {
        let question = |id: &str, title: &str| Question { id: id.into(), title: title.into(), text: String::new() };
        vec![question("a", "Problem"), question("b", "Method"), question("c", "Code")]
    }

    #[test]
    fn answers_are_found_under_their_headings() {
        let text = "Sure:\n## 1. Problem\nIt is slow.\n\n## 2. Method\n1. First.\n2. Then.\n\n## 3. Code\nNone.";
        let found = layout(text, &questions());
        assert_eq!(found.sections[1].as_deref(), Some("1. First.\n2. Then."));
        assert_eq!((found.answered, found.in_order, found.headed), (1.0, true, 1.0));
    }

    #[test]
    fn what_is_missing_empty_or_out_of_order_shows() {
        let found = layout("**Method**: by rule.\n\n1. Problem\nIt is slow.\n\n### Code\n", &questions());
        assert_eq!(found.sections[0].as_deref(), Some("It is slow."));
        assert_eq!(found.sections[1].as_deref(), Some("by rule."));
        assert_eq!(found.sections[2].as_deref(), Some(""));
        assert!((found.answered - 2.0 / 3.0).abs() < 1e-12 && !found.in_order);
        assert!((found.headed - 1.0 / 3.0).abs() < 1e-12);
        let found = layout("One text without headings about the problem: it is slow.", &questions());
        assert_eq!((found.answered, found.in_order), (0.0, false));
    }

    #[test]
    fn refusals_are_seen_and_limits_of_a_method_are_none() {
        for text in [
            "I'm sorry, but I can't help with that.",
            "I cannot reproduce this paper, for it is protected by copyright.",
            "申し訳ありませんが、この論文の要約はできません。",
        ] {
            assert!(refuses(text, None), "{text}");
        }
        for text in
            ["The method cannot provide guarantees.", "The authors are unable to test it.", "手法はできません。"]
        {
            assert!(!refuses(text, None), "{text}");
        }
        assert!(refuses("", Some(FinishReason::Refused)));
    }
}
