//! OpenAI's chat completions, as vLLM, llama.cpp's server, Ollama and LM Studio speak them too.

use super::Server;
use super::dialect::{Dialect, Heard, body, told_error, user};
use super::http::Request;
use crate::generator::{FinishReason, Prompt, Question, Sampling};
use serde_json::{Value, json};

pub struct OpenAi;

impl Dialect for OpenAi {
    fn request(&self, server: &Server, prompt: &Prompt, question: &Question, sampling: &Sampling) -> Request {
        // OpenAI's newer models know only the longer name, servers of one's own mostly the shorter.
        let limit = if server.is_vendors_own() { "max_completion_tokens" } else { "max_tokens" };
        let request = json!({
            "model": server.model,
            "messages": [
                { "role": "system", "content": prompt.system },
                { "role": "user", "content": user(prompt, question) },
            ],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            limit: question.max_tokens,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        Request {
            url: format!("{}/chat/completions", server.address()),
            key_header: ("authorization", "Bearer "),
            headers: Vec::new(),
            body: body(server, request),
        }
    }

    fn hear(&self, event: &Value, heard: &mut Heard) -> Result<(), String> {
        told_error(event)?;
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            heard.prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or(0);
            heard.output_tokens = usage["completion_tokens"].as_u64().unwrap_or(0);
        }
        // The event with the usage has no choice, or null instead of a list.
        let Some(choice) = event["choices"].as_array().and_then(|choices| choices.first()) else {
            return if event.get("choices").is_some() { Ok(()) } else { Err("an event without `choices`".into()) };
        };
        // A server that does not stream sends one `message`.
        let message = choice.get("delta").or(choice.get("message")).unwrap_or(&Value::Null);
        heard.text.push_str(message["content"].as_str().unwrap_or_default());
        if let Some(refusal) = message["refusal"].as_str() {
            heard.text.push_str(refusal);
            heard.finish_reason = Some(FinishReason::Refused);
        }
        if let Some(reason) = choice["finish_reason"].as_str()
            && heard.finish_reason.is_none()
        {
            heard.finish_reason = Some(match reason {
                "length" => FinishReason::Length,
                "content_filter" => FinishReason::Refused,
                _ => FinishReason::Stop,
            });
        }
        Ok(())
    }
}
