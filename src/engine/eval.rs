//! What anybody can repeat with another engine: logits and greedy continuations of token ids, without a tokenizer.

use super::sampler::largest;
use crate::{
    Error, Kind, Result,
    attention::{KvCache, KvType},
    interrupt,
    model::{Checkpoint, Decoder, Sequence},
};
use std::path::Path;

/// A token taken greedily.
#[derive(Debug, Clone, PartialEq)]
pub struct GreedyStep {
    pub id: u32,
    /// The likeliest tokens and their logits, the one taken first.
    pub top: Vec<(u32, f32)>,
}

/// Tokens that a [`GreedyStep`] shows.
const SHOWN: usize = 5;

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
        let top = likeliest(&mut logits, SHOWN);
        let id = top[0].0;
        steps.push(GreedyStep { id, top });
        if steps.len() < tokens {
            logits = run(&decoder, &mut cache, &[id], None)?;
        }
    }
    Ok(steps)
}

/// The `count` largest logits, largest first; they are taken out of `logits`.
fn likeliest(logits: &mut [f32], count: usize) -> Vec<(u32, f32)> {
    let mut take = || {
        let id = largest(logits);
        (id, std::mem::replace(&mut logits[id as usize], f32::NEG_INFINITY))
    };
    (0..count).map(|_| take()).collect()
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
