//! What the vendors' protocols have in common.

use super::Server;
use super::http::Request;
use crate::generator::{FinishReason, Prompt, Question, Sampling};
use serde_json::Value;

/// What was heard of an answer so far.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    pub text: String,
    /// 0 where the server does not tell.
    pub prompt_tokens: u64,
    /// Thoughts included, which are billed too; 0 where the server does not tell.
    pub output_tokens: u64,
    /// There once the answer is whole.
    pub finish_reason: Option<FinishReason>,
}

pub trait Dialect: Sync {
    fn request(&self, server: &Server, prompt: &Prompt, question: &Question, sampling: &Sampling) -> Request;

    /// Takes in one event of the stream. The error says what is wrong with it.
    fn hear(&self, event: &Value, heard: &mut Heard) -> Result<(), String>;
}

/// The request's body as the server takes it.
pub fn body(server: &Server, mut body: Value) -> Value {
    if let Some(map) = body.as_object_mut() {
        map.retain(|key, _| !server.omit.contains(key));
        map.extend(server.extra.clone());
    }
    body
}

/// The user's message: the paper, then the question.
pub fn user(prompt: &Prompt, question: &Question) -> String {
    format!("{}{}", prompt.paper, question.text)
}

/// An error that a server tells within a stream that began well.
pub fn told_error(event: &Value) -> Result<(), String> {
    match event.get("error").filter(|error| !error.is_null()) {
        Some(error) => Err(format!("the server says: {}", error["message"].as_str().unwrap_or("error"))),
        None => Ok(()),
    }
}
