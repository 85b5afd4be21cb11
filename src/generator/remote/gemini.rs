//! Gemini's `streamGenerateContent`.

use super::Server;
use super::dialect::{Dialect, Heard, body, told_error, user};
use super::http::Request;
use crate::generator::{FinishReason, Prompt, Question, Sampling};
use serde_json::{Value, json};

pub struct Gemini;

impl Dialect for Gemini {
    fn request(&self, server: &Server, prompt: &Prompt, question: &Question, sampling: &Sampling) -> Request {
        let request = json!({
            "systemInstruction": { "parts": [{ "text": prompt.system }] },
            "contents": [{ "role": "user", "parts": [{ "text": user(prompt, question) }] }],
            "generationConfig": {
                "temperature": sampling.temperature,
                "topP": sampling.top_p,
                // It takes 32 bits.
                "seed": sampling.seed & 0x7fff_ffff,
                "maxOutputTokens": question.max_tokens,
            },
        });
        Request {
            url: format!("{}/models/{}:streamGenerateContent?alt=sse", server.address(), server.model),
            key_header: ("x-goog-api-key", ""),
            headers: Vec::new(),
            body: body(server, request),
        }
    }

    fn hear(&self, event: &Value, heard: &mut Heard) -> Result<(), String> {
        told_error(event)?;
        if let Some(usage) = event.get("usageMetadata") {
            heard.prompt_tokens = usage["promptTokenCount"].as_u64().unwrap_or(heard.prompt_tokens);
            let written = ["candidatesTokenCount", "thoughtsTokenCount"];
            heard.output_tokens = written.iter().filter_map(|key| usage[*key].as_u64()).sum();
        }
        if event["promptFeedback"]["blockReason"].is_string() {
            heard.finish_reason = Some(FinishReason::Refused);
            return Ok(());
        }
        let Some(candidate) = event["candidates"].as_array().and_then(|candidates| candidates.first()) else {
            let known = event.get("usageMetadata").is_some();
            return if known { Ok(()) } else { Err("an event without `candidates`".into()) };
        };
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            if part["thought"].as_bool() != Some(true) {
                heard.text.push_str(part["text"].as_str().unwrap_or_default());
            }
        }
        if let Some(reason) = candidate["finishReason"].as_str() {
            heard.finish_reason = Some(match reason {
                "STOP" => FinishReason::Stop,
                "MAX_TOKENS" => FinishReason::Length,
                _ => FinishReason::Refused,
            });
        }
        Ok(())
    }
}
