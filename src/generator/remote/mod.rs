//! Servers that answer: OpenAI's protocol (OpenAI, vLLM, llama.cpp's server, Ollama, LM Studio), Anthropic's and Gemini's.
//!
//! [`http`] is the only part that opens a socket: it keeps to a rate, waits, and tries again. The dialects ([`openai`],
//! [`anthropic`], [`gemini`]) turn a prompt into a request and a stream of events into an answer. [`key`] holds what must
//! never be shown.

mod anthropic;
mod dialect;
mod embed;
mod gemini;
mod http;
mod key;
mod openai;
mod server;

pub use embed::Embeddings;
pub use key::Key;
pub use server::{Server, Vendor};

use super::{Event, Generator, ModelFacts, Plan, Prompt, Question, Reply, Sampling, Usage};
use crate::{Error, Kind, Result};
use dialect::Heard;
use http::{Http, Trouble};
use std::sync::Arc;
use std::time::Instant;

/// A model behind a server. Clones share the rate, so that several threads can ask at once.
#[derive(Clone)]
pub struct RemoteGenerator {
    server: Arc<Server>,
    http: Arc<Http>,
    facts: ModelFacts,
}

impl RemoteGenerator {
    /// Opens no connection yet. Errors: `Usage` where the address or the key cannot be.
    pub fn new(server: Server) -> Result<RemoteGenerator> {
        let facts = ModelFacts {
            id: server.name.clone(),
            files: Vec::new(),
            architecture: server.vendor.name().into(),
            quantization: String::new(),
            parameters: 0,
            context_length: 0,
            rope: String::new(),
            extension: None,
            device: server.destination(),
            threads: 0,
        };
        let http = Http::new(&server)?;
        Ok(RemoteGenerator { server: Arc::new(server), http: Arc::new(http), facts })
    }

    /// One conversation, put again while what went wrong may pass; what `watch` saw of an answer that was cut comes anew.
    fn converse(
        &self,
        prompt: &Prompt,
        question: &Question,
        sampling: &Sampling,
        watch: &mut dyn FnMut(&str),
    ) -> Result<(Reply, Usage)> {
        let dialect = self.server.vendor.dialect();
        let request = dialect.request(&self.server, prompt, question, sampling);
        let (mut start, mut first) = (Instant::now(), None);
        let heard = self.http.patiently(|| {
            // Neither waits nor earlier attempts are the server's time.
            (start, first) = (Instant::now(), None);
            let mut heard = Heard::default();
            self.http.events(&request, &mut |event| {
                let before = heard.text.len();
                dialect.hear(event, &mut heard).map_err(Trouble::Wrong)?;
                if heard.text.len() > before {
                    first.get_or_insert_with(Instant::now);
                    watch(&heard.text[before..]);
                }
                Ok(())
            })?;
            // A stream that ends without saying why it ends was cut.
            if heard.finish_reason.is_none() {
                return Err(Trouble::Cut("the connection was cut within the answer".into()));
            }
            Ok(heard)
        });
        let heard = heard.map_err(|trouble| self.error(trouble))?;
        let finish_reason = heard.finish_reason.unwrap_or(super::FinishReason::Stop);
        let (seconds, waited) = (start.elapsed().as_secs_f64(), first.map_or(start.elapsed(), |at| at - start));
        let (prompt_tokens, tokens) = (heard.prompt_tokens as usize, heard.output_tokens as usize);
        let usage = Usage {
            prompt_tokens,
            prefill_tokens: prompt_tokens,
            prefill_seconds: waited.as_secs_f64(),
            time_to_first_token_seconds: waited.as_secs_f64(),
            decode_tokens: tokens.saturating_sub(1),
            decode_seconds: (seconds - waited.as_secs_f64()).max(0.0),
        };
        Ok((Reply { text: heard.text, tokens, finish_reason }, usage))
    }

    fn error(&self, trouble: Trouble) -> Error {
        self.http.error(&self.server, trouble)
    }
}

impl Generator for RemoteGenerator {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Nothing is known of a server's context before it is asked; it refuses what is too long by itself.
    fn plan(&self, _: &Prompt, questions: &[Question]) -> Result<Plan> {
        if questions.is_empty() {
            return Err(Error::new(Kind::Internal, &self.facts.id, "no question was put"));
        }
        Ok(Plan {
            shared_tokens: 0,
            longest_tokens: 0,
            context_length: 0,
            weight_bytes: 0,
            cache_bytes: 0,
            gpu_bytes: 0,
            moves_layers: false,
            extension: None,
        })
    }

    fn answer(
        &mut self,
        prompt: &Prompt,
        questions: &[Question],
        sampling: &Sampling,
        watch: &mut dyn FnMut(Event),
    ) -> Result<(Vec<Reply>, Usage)> {
        let mut replies = Vec::with_capacity(questions.len());
        let mut total = Usage::default();
        for (index, question) in questions.iter().enumerate() {
            let mut tell = |piece: &str| watch(Event::Text { index, piece });
            let answered = self.converse(prompt, question, sampling, &mut tell);
            if self.http.went_alone() {
                watch(Event::OneAtATime);
            }
            let (reply, usage) = answered?;
            watch(Event::End { index, reason: reply.finish_reason });
            if index == 0 {
                total.time_to_first_token_seconds = usage.time_to_first_token_seconds;
            }
            total.prompt_tokens = total.prompt_tokens.max(usage.prompt_tokens);
            total.prefill_tokens += usage.prefill_tokens;
            total.prefill_seconds += usage.prefill_seconds;
            total.decode_tokens += usage.decode_tokens;
            total.decode_seconds += usage.decode_seconds;
            replies.push(reply);
        }
        Ok((replies, total))
    }
}
