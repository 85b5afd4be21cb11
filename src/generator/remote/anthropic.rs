//! Anthropic's messages.

use super::Server;
use super::dialect::{Dialect, Heard, body, told_error, user};
use super::http::Request;
use crate::generator::{FinishReason, Prompt, Question, Sampling};
use serde_json::{Value, json};

pub struct Anthropic;

impl Dialect for Anthropic {
    fn request(&self, server: &Server, prompt: &Prompt, question: &Question, sampling: &Sampling) -> Request {
        let request = json!({
            "model": server.model,
            "system": prompt.system,
            "messages": [{ "role": "user", "content": user(prompt, question) }],
            // Newer models take one of temperature and top_p, and no temperature above 1.
            "temperature": sampling.temperature.min(1.0),
            "max_tokens": question.max_tokens,
            "stream": true,
        });
        Request {
            url: format!("{}/messages", server.address()),
            key_header: ("x-api-key", ""),
            headers: vec![("anthropic-version", "2023-06-01")],
            body: body(server, request),
        }
    }

    fn hear(&self, event: &Value, heard: &mut Heard) -> Result<(), String> {
        told_error(event)?;
        match event["type"].as_str().ok_or("an event without `type`")? {
            "message_start" => {
                let usage = &event["message"]["usage"];
                let read = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
                heard.prompt_tokens = read.iter().filter_map(|key| usage[*key].as_u64()).sum();
            }
            "content_block_delta" => heard.text.push_str(event["delta"]["text"].as_str().unwrap_or_default()),
            "message_delta" => {
                heard.output_tokens = event["usage"]["output_tokens"].as_u64().unwrap_or(heard.output_tokens);
                heard.finish_reason = event["delta"]["stop_reason"].as_str().map(|reason| match reason {
                    "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
                    "refusal" => FinishReason::Refused,
                    _ => FinishReason::Stop,
                });
            }
            // Pings, beginnings and ends of blocks, and what may come.
            _ => {}
        }
        Ok(())
    }
}
