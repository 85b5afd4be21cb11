//! What anybody can repeat with another engine: logits and greedy continuations of token ids, without a tokenizer.

use super::sampler::largest;
use crate::{
    Error, Kind, Result,
    attention::{KvCache, KvType},
    interrupt,
    model::{Checkpoint, Decoder, Sequence},
};
use std::path::Path;

/// A token taken greedily, and the one that came second.
#[derive(Debug, Clone, PartialEq)]
pub struct GreedyStep {
    pub id: u32,
    pub logit: f32,
    pub runner_up: u32,
    pub runner_up_logit: f32,
}

/// The last position's logits after `ids`, computed `chunk` tokens at a time (all at once without).
/// Keys and values are kept in f32.
pub fn logits(path: &Path, ids: &[u32], chunk: Option<usize>) -> Result<Vec<f32>> {
    let decoder = Decoder::new(&Checkpoint::open(path)?)?;
    run(&decoder, &mut decoder.new_cache(KvType::F32), ids, chunk)
}

/// `tokens` greedy tokens after `ids`.
pub fn greedy(path: &Path, ids: &[u32], tokens: usize, chunk: Option<usize>) -> Result<Vec<GreedyStep>> {
    let decoder = Decoder::new(&Checkpoint::open(path)?)?;
    let mut cache = decoder.new_cache(KvType::F32);
    let mut logits = run(&decoder, &mut cache, ids, chunk)?;
    let mut steps = Vec::with_capacity(tokens);
    while steps.len() < tokens {
        let id = largest(&logits);
        let logit = std::mem::replace(&mut logits[id as usize], f32::NEG_INFINITY);
        let runner_up = largest(&logits);
        steps.push(GreedyStep { id, logit, runner_up, runner_up_logit: logits[runner_up as usize] });
        if steps.len() < tokens {
            logits = run(&decoder, &mut cache, &[id], None)?;
        }
    }
    Ok(steps)
}

fn run(decoder: &Decoder, cache: &mut KvCache, ids: &[u32], chunk: Option<usize>) -> Result<Vec<f32>> {
    if ids.is_empty() || chunk == Some(0) {
        return Err(Error::new(Kind::Usage, "eval", "needs at least one token id, and chunks of at least one token"));
    }
    let mut last = Vec::new();
    let chunk = chunk.unwrap_or(ids.len());
    for ids in ids.chunks(chunk) {
        interrupt::check()?;
        let hidden = decoder.forward(None, &mut [Sequence { ids, cache }])?;
        last = decoder.logits(&hidden, &[ids.len() - 1])?.remove(0);
    }
    Ok(last)
}
