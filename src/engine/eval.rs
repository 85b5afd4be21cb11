//! What anybody can repeat with another engine: logits and greedy continuations of token ids, without a tokenizer.

use super::{PREFILL_CHUNK, sampler::largest};
use crate::{
    Error, Kind, Result,
    attention::{KvCache, KvType},
    interrupt,
    model::{Decoder, Sequence},
};
use rayon::prelude::*;
use serde::Serialize;
use std::ops::Range;

/// A token taken greedily.
#[derive(Debug, Clone, PartialEq)]
pub struct GreedyStep {
    pub id: u32,
    /// The likeliest tokens and their logits, the one taken first.
    pub top: Vec<(u32, f32)>,
}

/// Tokens that a [`GreedyStep`] shows.
const SHOWN: usize = 5;

/// The last position's logits after `ids`, computed `chunk` tokens at a time (all at once without). Keys and values are
/// kept in f32, and positions are planned for just these tokens.
pub fn logits(mut decoder: Decoder, ids: &[u32], chunk: Option<usize>) -> Result<Vec<f32>> {
    decoder.plan(ids.len());
    run(&decoder, &mut decoder.new_cache(KvType::F32), ids, chunk)
}

/// `tokens` greedy tokens after `ids`, with positions planned for all of them.
pub fn greedy(mut decoder: Decoder, ids: &[u32], tokens: usize, chunk: Option<usize>) -> Result<Vec<GreedyStep>> {
    decoder.plan(ids.len().saturating_add(tokens));
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

/// Positions whose logits are held at once.
const LOGITS_HELD: usize = 128;

/// Negative log-likelihood of each of `ids[wanted]`, in nats, as `decoder` computes it with a cache of type `kv`; the
/// very first id, which nothing foretells, is left out. `progress` is told tokens done.
pub fn nll(
    decoder: &Decoder,
    kv: KvType,
    ids: &[u32],
    wanted: Range<usize>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<f64>> {
    let mut cache = decoder.new_cache(kv);
    let mut losses = Vec::with_capacity(wanted.len());
    for (number, chunk) in ids[..wanted.end].chunks(PREFILL_CHUNK).enumerate() {
        interrupt::check()?;
        let first = number * PREFILL_CHUNK;
        let rows: Vec<usize> = (0..chunk.len()).filter(|row| wanted.contains(&(first + row + 1))).collect();
        if rows.is_empty() {
            decoder.extend(chunk, &mut cache)?;
            progress(first + chunk.len());
            continue;
        }
        let hidden = decoder.forward(None, &mut [Sequence { ids: chunk, cache: &mut cache }])?;
        for rows in rows.chunks(LOGITS_HELD) {
            let logits = decoder.logits(&hidden, rows)?;
            let loss = |(row, logits): (&usize, &Vec<f32>)| -log_softmax(logits)[ids[first + row + 1] as usize];
            losses.par_extend(rows.par_iter().zip(&logits).map(loss));
        }
        progress(first + chunk.len());
    }
    Ok(losses)
}

/// How far the arithmetic that answers are computed with is from f32, over some positions of a text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Divergence {
    /// The first position, and one past the last.
    pub from: usize,
    pub to: usize,
    /// Positions looked at.
    pub positions: usize,
    /// Mean Kullback-Leibler divergence of the distributions of the next token from those in f32, in nats.
    pub divergence: f64,
    /// Mean negative log-likelihood of the text's own next token in f32, and as computed here; in nats.
    pub exact_nll: f64,
    pub nll: f64,
    /// Share of positions with the same likeliest token.
    pub agreement: f64,
}

/// Reads `ids` twice, in f32 and with `fast`, whose cache is of type `kv`, and compares as [`compare`] does.
pub fn divergence(
    exact: &Decoder,
    (fast, kv): (&Decoder, KvType),
    ids: &[u32],
    steps: (usize, usize),
    progress: impl FnMut(usize),
) -> Result<Vec<Divergence>> {
    Ok(compare(reader(exact, KvType::F32), vec![reader(fast, kv)], ids, steps, progress)?.remove(0))
}

/// Reads a text piece by piece: takes its next tokens, gives the logits after some of them.
pub type Reader<'a> = Box<dyn FnMut(&[u32], &[usize]) -> Result<Vec<Vec<f32>>> + 'a>;

/// `decoder` as a reader, whose cache is of type `kv`.
pub fn reader(decoder: &Decoder, kv: KvType) -> Reader<'_> {
    let mut cache = decoder.new_cache(kv);
    Box::new(move |ids, rows| {
        let hidden = decoder.forward(None, &mut [Sequence { ids, cache: &mut cache }])?;
        decoder.logits(&hidden, rows)
    })
}

/// Has `ids` read by `exact`, which computes in f32, and by each of the others, and compares every `stride`-th
/// position's distributions: for each of the others a row for each `bucket` tokens. `progress` is told tokens done.
pub fn compare(
    mut exact: Reader,
    mut others: Vec<Reader>,
    ids: &[u32],
    (stride, bucket): (usize, usize),
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<Divergence>>> {
    let mut tables: Vec<Vec<Divergence>> = vec![Vec::new(); others.len()];
    for (number, chunk) in ids.chunks(PREFILL_CHUNK).enumerate() {
        interrupt::check()?;
        let first = number * PREFILL_CHUNK;
        let looked: Vec<usize> =
            (0..chunk.len()).filter(|i| (first + i).is_multiple_of(stride) && first + i + 1 < ids.len()).collect();
        let expected = exact(chunk, &looked)?;
        for (read, rows) in others.iter_mut().zip(&mut tables) {
            let got = read(chunk, &looked)?;
            for ((i, expected), got) in looked.iter().zip(&expected).zip(&got) {
                let position = first + i;
                let from = position / bucket * bucket;
                if rows.last().is_none_or(|row| row.from != from) {
                    rows.push(Divergence::between(from, (from + bucket).min(ids.len())));
                }
                if let Some(row) = rows.last_mut() {
                    row.add(expected, got, ids[position + 1] as usize);
                }
            }
        }
        progress(first + chunk.len());
    }
    Ok(tables)
}

impl Divergence {
    /// No position looked at yet.
    fn between(from: usize, to: usize) -> Divergence {
        Divergence { from, to, positions: 0, divergence: 0.0, exact_nll: 0.0, nll: 0.0, agreement: 0.0 }
    }

    /// Counts a position whose logits are `got`, and `expected` in f32; `next` is the text's own next token.
    fn add(&mut self, expected: &[f32], got: &[f32], next: usize) {
        let (p, q) = (log_softmax(expected), log_softmax(got));
        let divergence: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        let agree = f64::from(u8::from(largest(expected) == largest(got)));
        let n = self.positions as f64;
        let mean = |old: f64, new: f64| (old * n + new) / (n + 1.0);
        self.divergence = mean(self.divergence, divergence);
        self.exact_nll = mean(self.exact_nll, -p[next]);
        self.nll = mean(self.nll, -q[next]);
        self.agreement = mean(self.agreement, agree);
        self.positions += 1;
    }
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().fold(f32::NEG_INFINITY, |top, logit| top.max(*logit));
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    logits.iter().map(|logit| f64::from(logit - top) - sum.ln()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let mut row = Divergence::between(0, 8);
        // p = (3/4, 1/4), q = (1/2, 1/2), whatever is added to all logits.
        row.add(&[3f32.ln() + 5.0, 5.0], &[-2.0, -2.0], 1);
        let expected = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((row.divergence - expected).abs() < 1e-6, "{row:?}");
        assert!((row.exact_nll - 4f64.ln()).abs() < 1e-6 && (row.nll - 2f64.ln()).abs() < 1e-6, "{row:?}");
        row.add(&[0.0, 1.0], &[0.0, 1.0], 0);
        assert!((row.divergence - expected / 2.0).abs() < 1e-6, "{row:?}");
        assert_eq!((row.positions, row.agreement), (2, 1.0));
    }
}
