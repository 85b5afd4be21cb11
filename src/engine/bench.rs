//! One long prompt, then branches over it: what is timed, and how much there was to compute.

use super::{Branch, Engine, SamplingParams, TokenRules};
use crate::{Result, model::Stage};
use std::time::{Duration, Instant};

/// Times of a part of the work, and the operations that it took.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub tokens: usize,
    pub wall: Duration,
    pub stages: [(Stage, Duration); Stage::ALL.len()],
    /// Of the layers' matrices.
    pub linear_flops: f64,
    pub attention_flops: f64,
}

impl Measured {
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.wall.as_secs_f64()
    }

    pub fn seconds(&self, stage: Stage) -> f64 {
        self.stages.iter().filter(|(of, _)| *of == stage).map(|(_, time)| time.as_secs_f64()).sum()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Bench {
    pub prefill: Measured,
    /// From the prompt's start to the first token of the branches.
    pub ttft: Duration,
    /// All branches' tokens but the first of each.
    pub decode: Measured,
}

/// Reads `prompt`, then writes `tokens` tokens on each of `branches` continuations, which start with different tokens and
/// draw their own. `progress` is told tokens done and to do; the time that it takes does not count.
pub fn run(
    engine: &mut Engine,
    prompt: &[u32],
    branches: usize,
    tokens: usize,
    mut progress: impl FnMut(usize, usize),
) -> Result<Bench> {
    let config = engine.decoder.config.clone();
    let profile = |engine: &Engine| engine.decoder.profile.take();
    profile(engine);
    let mut start = Instant::now();
    engine.prefill(prompt, |done, total| {
        let begin = Instant::now();
        progress(done, total);
        start += begin.elapsed();
    })?;
    engine.decoder.finish()?;
    let length = prompt.len() as u64;
    let prefill = Measured {
        tokens: prompt.len(),
        wall: start.elapsed(),
        stages: profile(engine),
        linear_flops: config.extend_linear_flops(length),
        attention_flops: config.extend_attention_flops(0, length),
    };
    let mut first = None;
    let mut written = 0;
    let on_token = |_, _| {
        first.get_or_insert_with(|| {
            profile(engine);
            Instant::now()
        });
        written += 1;
    };
    engine.decode(&made(branches, tokens, config.vocab_size), TokenRules::default(), on_token)?;
    let end = Instant::now();
    let first = first.unwrap_or(end);
    let steps = (written / branches).saturating_sub(1);
    let decode = Measured {
        tokens: written - branches,
        wall: end - first,
        stages: profile(engine),
        linear_flops: config.linear_flops((branches * steps) as u64),
        attention_flops: branches as f64 * config.attention_flops(length + 1, steps as u64),
    };
    Ok(Bench { prefill, ttft: first - start, decode })
}

/// Continuations that start differently and never agree on what to write.
fn made(branches: usize, tokens: usize, vocabulary: usize) -> Vec<Branch> {
    let branch = |number: usize| Branch {
        ids: vec![((number * 7 + 11) % vocabulary) as u32],
        max_tokens: tokens,
        sampling: SamplingParams { temperature: 1.0, top_k: 20, seed: number as u64, ..SamplingParams::greedy() },
    };
    (0..branches).map(branch).collect()
}
