//! A model as a judge of others' answers: which of two answers to a question is better, asked in both orders, and whether a
//! passage of the paper entails a sentence of an answer.
//!
//! [`cases`] tells what there is to ask, [`prompts`] puts it into words and reads the verdict, [`desk`] asks and keeps,
//! [`findings`] counts. A verdict that cannot be read is counted as that and as nothing else.

pub mod cases;
pub mod desk;
pub mod findings;
pub mod prompts;
pub mod show;

use super::types::Measured;
use serde::{Deserialize, Serialize};

/// Whose answer it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Model(String),
    /// The right answer, by people.
    Gold,
}

/// What a judge is asked once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Case {
    /// Which of two answers is better; `first` is shown first.
    Better { first: Side, second: Side, with_paper: bool },
    /// Whether a passage of the paper, on a page from 1, entails a sentence of a model's answer.
    Entailed { model: String, sentence: String, passage: String, page: u32 },
}

/// A case and what it is about. All of it together is its name: a judge is never asked the same twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Matter {
    pub paper: String,
    pub trial: u32,
    /// None where it is about all that a model wrote of the paper in that trial.
    pub question: Option<String>,
    #[serde(flatten)]
    pub case: Case,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answer that was shown first is better.
    First,
    Second,
    Tie,
    Yes,
    No,
    Unclear,
    /// The judge would not.
    Refused,
    /// What it said holds no verdict, or several.
    Unreadable,
}

impl Verdict {
    pub fn is_given(self) -> bool {
        !matches!(self, Verdict::Refused | Verdict::Unreadable)
    }
}

/// What a judge said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub judge: String,
    #[serde(flatten)]
    pub matter: Matter,
    pub verdict: Verdict,
    /// As it came, its reasons included.
    pub text: String,
    pub measured: Measured,
}

impl Side {
    pub fn name(&self) -> &str {
        match self {
            Side::Model(id) => id,
            Side::Gold => "the right answer",
        }
    }
}

impl Matter {
    /// In words, for a line about it.
    pub fn title(&self) -> String {
        match &self.case {
            Case::Better { first, second, .. } => {
                let about = self.question.as_deref().unwrap_or("all");
                format!("{about}: {} or {}", first.name(), second.name())
            }
            Case::Entailed { model, sentence, .. } => format!("{model}: {sentence}"),
        }
    }
}
