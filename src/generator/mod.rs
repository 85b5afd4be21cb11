//! Who answers: the trait [`Generator`], and its implementations.
//!
//! A generator is given one [`Prompt`] (the paper) and several [`Question`]s. Each question is put as its own
//! conversation, system message then the user's message `prompt.paper + question.text`, so the long prefix is shared and
//! an implementation may compute it once.

pub mod local;
pub mod remote;
pub mod scripted;

use crate::{Result, rope::Extension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The prefix that all questions share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    pub system: String,
    /// The beginning of the user's message: the paper's text.
    pub paper: String,
    /// Tag of the language that the answers should be in. What the model is told of it stands in the texts; a generator
    /// that draws the tokens itself may keep to the language's letters.
    pub language: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub id: String,
    /// The end of the user's message.
    pub text: String,
    /// The most tokens that the answer may have.
    pub max_tokens: usize,
}

/// Questions with a sampling of their own, put beside others over the same prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    pub questions: Vec<Question>,
    pub sampling: Sampling,
}

/// How the next token is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 is off.
    pub top_k: usize,
    /// The smallest set of tokens whose probability reaches this; 1 is off.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the likeliest; 0 is off.
    pub min_p: f32,
    /// Divides the logits of tokens already in this answer (multiplies negative ones); 1 is off.
    pub repetition_penalty: f32,
    /// DRY: penalises a token that would go on with a repeated run of tokens in this answer; 0 is off.
    pub dry_multiplier: f32,
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.3,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.05,
            dry_multiplier: 0.8,
            seed: 42,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model said that it is done.
    Stop,
    /// `max_tokens` was reached.
    Length,
    /// The answer went in circles; it was cut where the circle began, or what came again was left out.
    Loop,
    /// A server withheld the answer, or what there was to come of it: a filter, a recitation, a refusal.
    Refused,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub text: String,
    /// Tokens written.
    pub tokens: usize,
    pub finish_reason: FinishReason,
}

/// Seconds and tokens of one call of [`Generator::answer`], or of one trial of [`Generator::answer_trials`]: there its share of
/// the machine's time, but for the time to the first token, which is what somebody who waits sees.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the longest conversation sent.
    pub prompt_tokens: usize,
    /// Tokens really computed in prefill (a prefix already held is not computed again).
    pub prefill_tokens: usize,
    pub prefill_seconds: f64,
    /// From the call to the first token of the first answer.
    pub time_to_first_token_seconds: f64,
    /// Tokens written after the first of each answer, which prefill gave.
    pub decode_tokens: usize,
    pub decode_seconds: f64,
}

/// What a generator is, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFacts {
    pub id: String,
    pub files: Vec<FileFact>,
    /// `llama`, `qwen2`, …; of a remote model its vendor.
    pub architecture: String,
    /// `Q4_K_M`, `bf16`, …
    pub quantization: String,
    pub parameters: u64,
    pub context_length: usize,
    /// The RoPE plan in words: base, scaling, pairing.
    pub rope: String,
    /// How positions were extended, and what is known of the cost; absent where nobody decides that here.
    #[serde(default)]
    pub extension: Option<Extension>,
    /// `cpu`, …
    pub device: String,
    pub threads: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileFact {
    pub name: String,
    pub bytes: u64,
    /// Hexadecimal; absent where nobody computed it.
    pub sha256: Option<String>,
}

/// What an answer will take, known before any work.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Tokens that all questions share, mostly the paper.
    pub shared_tokens: usize,
    /// The longest conversation: prompt and the most that may be answered.
    pub longest_tokens: usize,
    /// What that may be at most, in tokens.
    pub context_length: usize,
    pub weight_bytes: u64,
    pub cache_bytes: u64,
    /// Those of both that lie in the memory of GPUs, where they have room.
    pub gpu_bytes: u64,
    /// Whether layers leave a GPU for it, for good.
    pub moves_layers: bool,
    /// How positions are extended, where the generator decides it.
    pub extension: Option<Extension>,
}

/// What happens while a generator works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Prompt tokens done so far, of all that must be computed.
    Prefill { done: usize, total: usize },
    /// A piece of the answer to question `index`.
    Text { index: usize, piece: &'a str },
    /// The answer to question `index` ended.
    End { index: usize, reason: FinishReason },
    /// A server that cut an answer while others were under way is in one conversation at a time from now on.
    OneAtATime,
    /// Layers that had no room on a GPU beside this paper's keys and values compute on the CPU from now on: what computes
    /// where.
    Moved(&'a str),
}

pub trait Generator {
    fn facts(&self) -> &ModelFacts;

    /// Checks that every question fits the context (kind `Context` if not, with the exact counts) and tells what it
    /// takes. Does no heavy work.
    fn plan(&self, prompt: &Prompt, questions: &[Question]) -> Result<Plan>;

    /// Answers all questions, in their order. A later call with the same prompt reuses the prefix.
    fn answer(
        &mut self,
        prompt: &Prompt,
        questions: &[Question],
        sampling: &Sampling,
        watch: &mut dyn FnMut(Event),
    ) -> Result<(Vec<Reply>, Usage)>;

    /// Answers several trials. `keep` is given each trial's number, replies and usage as soon as all its replies are there;
    /// its error ends the call. Events count the questions of all trials through. One after the other, unless a generator
    /// can do better; one that computes them together shares the time out, so that the trials' seconds make up its own.
    fn answer_trials(
        &mut self,
        prompt: &Prompt,
        trials: &[Trial],
        watch: &mut dyn FnMut(Event),
        keep: &mut dyn FnMut(usize, Vec<Reply>, Usage) -> Result<()>,
    ) -> Result<()> {
        let mut before = 0;
        for (number, Trial { questions, sampling }) in trials.iter().enumerate() {
            let mut counted = |event: Event| watch(event.moved(before));
            let (replies, usage) = self.answer(prompt, questions, sampling, &mut counted)?;
            keep(number, replies, usage)?;
            before += questions.len();
        }
        Ok(())
    }
}

impl Event<'_> {
    /// The same of a question that stands `by` places further behind.
    fn moved(self, by: usize) -> Self {
        match self {
            Event::Prefill { .. } | Event::OneAtATime | Event::Moved(_) => self,
            Event::Text { index, piece } => Event::Text { index: index + by, piece },
            Event::End { index, reason } => Event::End { index: index + by, reason },
        }
    }
}
