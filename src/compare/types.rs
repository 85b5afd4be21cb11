//! What a comparison is made of: models, papers, questions, answers and what each call took.

use crate::document::Document;
use crate::generator::{FinishReason, ModelFacts};
use serde::{Deserialize, Serialize};

/// Where a model's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// This machine's engine.
    Local,
    /// A server; see [`Sent`].
    Remote,
    /// A file of answers from elsewhere.
    Recorded,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// As the user names it; unique in a comparison.
    pub id: String,
    pub origin: Origin,
    /// Its name in the list of prices; local models have none.
    pub price: Option<String>,
    /// The server's address, without anything secret.
    pub destination: Option<String>,
    pub facts: Option<ModelFacts>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paper {
    /// The file's name without its extension, or as a file of answers calls it; unique in a comparison.
    pub key: String,
    /// What was read; absent where only answers are known.
    pub document: Option<Document>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub id: String,
    pub title: String,
    /// Empty where nobody told it.
    pub text: String,
}

/// One text that a model wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub model: String,
    pub paper: String,
    /// From 1.
    pub trial: u32,
    pub question: String,
    /// As it came, thoughts and invented links included.
    pub text: String,
    /// As the model counts them; absent where nobody told it.
    pub tokens: Option<u64>,
    /// Absent where nobody told it.
    pub finish_reason: Option<FinishReason>,
    /// Which call of this model, paper and trial it came with: the first question of that call.
    pub call: String,
}

/// One conversation, or several over one prefix, and what it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub model: String,
    pub paper: String,
    pub trial: u32,
    pub call: String,
    #[serde(flatten)]
    pub measured: Measured,
}

/// Seconds unless the name says otherwise. Of a local model they are its share of the machine's time: see `together`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// When it ended: RFC 3339, UTC.
    pub at: String,
    pub seconds: f64,
    /// Of a local model, to load it; 0 for all calls but its first.
    pub load_seconds: f64,
    pub prompt_tokens: u64,
    /// Without white space.
    pub prompt_characters: u64,
    pub output_tokens: u64,
    /// Without white space.
    pub output_characters: u64,
    pub prefill_tokens: u64,
    pub prefill_seconds: f64,
    pub time_to_first_token_seconds: f64,
    pub decode_tokens: u64,
    pub decode_seconds: f64,
    /// How many calls were decoded together, this one too, and share that time among them; 0 where nobody told it.
    pub together: u64,
    pub peak_memory_bytes: Option<u64>,
    /// As a meter of this machine told it.
    pub energy_joules: Option<f64>,
}

/// A call that brought no answer; it is put again when the comparison goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub model: String,
    pub paper: String,
    pub trial: u32,
    pub call: String,
    pub problem: String,
}

/// What left this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The server's address, without anything secret.
    pub destination: String,
    pub model: String,
    pub paper: String,
    /// Conversations begun; one that is put again after an error counts once.
    pub requests: u64,
    /// Of text: system message, paper and questions.
    pub bytes: u64,
}

/// A right answer, by people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gold {
    pub paper: String,
    pub question: String,
    pub text: String,
}
