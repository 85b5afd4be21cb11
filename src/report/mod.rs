//! The summary of a paper and its forms: Markdown, JSON, HTML, plain text.

mod content;
mod html;
mod markdown;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod words;
mod write;

use crate::document::{LeftOut, Link};
use crate::generator::{FinishReason, ModelFacts, Sampling};
use crate::template::Ask;
use crate::{Error, Kind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use write::write;

/// Version of the JSON form; it grows when a field changes its meaning or disappears.
pub const SCHEMA_VERSION: u32 = 1;

/// A paper's questions answered, with everything that is needed to judge and repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    pub schema_version: u32,
    pub ronbun_version: String,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    pub paper: Paper,
    pub model: ModelFacts,
    pub template: TemplateFacts,
    pub sampling: Sampling,
    /// The paper in one sentence; absent where the template does not ask for it.
    pub gist: Option<String>,
    /// In the template's order, the gist included.
    pub answers: Vec<Answer>,
    pub timings: Timings,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paper {
    /// File name, without folders.
    pub file: String,
    /// Of the file, hexadecimal.
    pub sha256: String,
    pub title: Option<String>,
    pub pages: usize,
    /// Tokens that all questions share: the paper (but for what was left out) and the few words around it.
    pub tokens: usize,
    pub links: Vec<Link>,
    pub warnings: Vec<String>,
    /// What the model did not see, because the user left it out.
    #[serde(default)]
    pub left_out: LeftOut,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateFacts {
    pub id: String,
    /// Tag of the language that was asked for.
    pub language: String,
    pub ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    pub id: String,
    pub title: String,
    /// The question as it was put to the model.
    pub question: String,
    /// The model's words, in Markdown; links that the paper does not have are taken out.
    pub text: String,
    /// Tokens of this attempt, before clean-up.
    pub tokens: usize,
    pub finish_reason: FinishReason,
    /// Tag of the language that the text was found to be in; absent where it is too short to tell.
    pub language: Option<String>,
    /// How many times the question was put; the best attempt is the one kept.
    pub attempts: u32,
    /// For the question about code: code links of the paper that the text does not name, found by ronbun itself.
    pub links: Vec<Link>,
    /// Links that the model wrote and the paper does not have.
    pub removed_links: Vec<String>,
    /// Where the paper says so.
    pub evidence: Vec<Evidence>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// From 1.
    pub page: u32,
    /// Left, top, right, bottom in points from the page's upper left corner.
    pub bbox: [f32; 4],
    pub quote: String,
}

/// Seconds unless the name says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Loading the model; 0 for papers after the first.
    pub load_seconds: f64,
    /// PDF to text.
    pub extract_seconds: f64,
    pub prefill_seconds: f64,
    /// From the questions to the first token of the first answer.
    pub time_to_first_token_seconds: f64,
    pub decode_seconds: f64,
    /// All of it: loading, reading, answering, checking.
    pub total_seconds: f64,
    /// Prompt tokens really computed, all attempts together.
    pub prefill_tokens: usize,
    /// Answer tokens, all attempts together.
    pub decode_tokens: usize,
    pub prefill_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
    /// Of the whole process until now; absent where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
}

/// A form that a summary can be written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Markdown,
    Json,
    Html,
    Text,
}

impl Form {
    /// Of a file in this form, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Form::Markdown => "md",
            Form::Json => "json",
            Form::Html => "html",
            Form::Text => "txt",
        }
    }
}

impl Summary {
    /// The summary as a file of this form, ending in a line feed.
    pub fn render(&self, form: Form) -> Result<String> {
        match form {
            Form::Markdown => Ok(markdown::render(self)),
            Form::Json => self.to_json(),
            Form::Html => Ok(html::render(self)),
            Form::Text => Ok(text::render(self)),
        }
    }

    fn to_json(&self) -> Result<String> {
        let mut json = serde_json::to_string_pretty(self)
            .map_err(|error| Error::new(Kind::Internal, &self.paper.file, format!("cannot write JSON: {error}")))?;
        json.push('\n');
        Ok(json)
    }
}
