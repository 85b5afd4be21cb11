//! Answers as lines of JSON: what `answers.jsonl` holds and `compare import` takes, so that comparisons made elsewhere can be
//! joined.

use super::store::Store;
use super::types::{Answer, Measured};
use crate::generator::FinishReason;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub model: String,
    pub paper: String,
    #[serde(default = "first")]
    pub trial: u32,
    pub question: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// What the call took, on the first answer that came of it; the others name that one's question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

fn first() -> u32 {
    1
}

impl Line {
    pub fn answer(&self) -> Answer {
        let Line { model, paper, trial, question, text, tokens, finish_reason, .. } = self.clone();
        let call = self.call.clone().unwrap_or_else(|| question.clone());
        Answer { model, paper, trial, question, text, tokens, finish_reason, call }
    }
}

/// Each of them as a line of JSON.
pub fn lines<T: Serialize>(all: &[T]) -> Result<String> {
    let mut text = String::new();
    for each in all {
        text += &serde_json::to_string(each).map_err(|error| Error::new(Kind::Internal, "JSON lines", error))?;
        text.push('\n');
    }
    Ok(text)
}

/// All answers of a store, a line each.
pub fn jsonl(store: &Store) -> Result<String> {
    let calls = store.calls()?.into_iter();
    let mut calls: HashMap<_, Measured> =
        calls.map(|call| ((call.model, call.paper, call.trial, call.call), call.measured)).collect();
    let line = |answer| {
        let Answer { model, paper, trial, question, text, tokens, finish_reason, call } = answer;
        let leads = call == question;
        let measured = if leads { calls.remove(&(model.clone(), paper.clone(), trial, call.clone())) } else { None };
        let call = (!leads).then_some(call);
        Line { model, paper, trial, question, text, tokens, finish_reason, measured, call }
    };
    lines(&store.answers()?.into_iter().map(line).collect::<Vec<_>>())
}
