//! Attention as products of matrices, in f32, a block of rows over a block of keys at a time.
//!
//! Rows are the queries of all tokens and of all heads that share a key head: a prefix is read once for all branches behind
//! it. What blocks give is kept as sums of unnormalised weights below the largest score so far, which merge exactly:
//! with t = max(t₁, t₂), w = e^(t₁-t) w₁ + e^(t₂-t) w₂ and o = e^(t₁-t) o₁ + e^(t₂-t) o₂; the result is o / w.

use candle_core::{DType, Device, Result, Tensor, bail};
use ronbun_kernels::attention::Shape;
use std::ops::Range;

/// Keys and values side by side, and who sees them.
pub struct Seen {
    /// (keys, kv_heads, head_dim) each, of any type
    pub keys: Tensor,
    pub values: Tensor,
    /// The stretch of them that each token sees.
    pub by: Vec<Range<usize>>,
}

/// How much is computed at a time.
#[derive(Clone, Copy)]
pub struct Blocks {
    /// Rows of a key head.
    pub rows: usize,
    pub keys: usize,
    /// Scores of all key heads, which take four bytes each; some such blocks are there at a time.
    pub scores: usize,
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks { rows: 1024, keys: 16 << 10, scores: 16 << 20 }
    }
}

/// Added to the score of a key that is not seen: far below all scores, and a number, unlike -∞, of which Metal's fast
/// arithmetic promises nothing.
const UNSEEN: f64 = -1e30;

/// What rows have found so far, each (kv_heads, rows, ..).
struct Found {
    /// The largest score, (.., 1).
    top: Tensor,
    /// The sum of weights, (.., 1).
    weight: Tensor,
    /// The sum of weighted values, (.., head_dim).
    out: Tensor,
}

impl Found {
    fn merge(self, other: Found) -> Result<Found> {
        let top = self.top.maximum(&other.top)?;
        let (mine, theirs) = ((self.top - &top)?.exp()?, (other.top - &top)?.exp()?);
        let sum = |a: Tensor, b: Tensor| a.broadcast_mul(&mine)? + b.broadcast_mul(&theirs)?;
        Ok(Found { weight: sum(self.weight, other.weight)?, out: sum(self.out, other.out)?, top })
    }
}

/// Attends from `q` (tokens, heads, head_dim), in f32, to all that is seen: (tokens, heads, head_dim) in f32. Every token has
/// to see a key. Windows are told by what is seen.
pub fn attend(shape: Shape, q: &Tensor, seen: &[Seen], blocks: Blocks) -> Result<Tensor> {
    let Shape { heads, kv_heads, head_dim, .. } = shape;
    let (tokens, group) = (q.dim(0)?, heads / kv_heads);
    let step = (blocks.rows / group).max(1);
    let mut out = Vec::new();
    for first in (0..tokens).step_by(step) {
        let count = step.min(tokens - first);
        let rows = (q.narrow(0, first, count)? * f64::from(shape.scale))?;
        let rows = rows.reshape((count, kv_heads, group, head_dim))?.transpose(0, 1)?.contiguous()?;
        let rows = rows.reshape((kv_heads, count * group, head_dim))?;
        let mut found: Option<Found> = None;
        for seen in seen {
            let by = &seen.by[first..first + count];
            for keys in stretches(by, blocks.keys.min(blocks.scores / (kv_heads * count * group)).max(1)) {
                let part = look(shape, &rows, seen, by, keys)?;
                found = Some(match found {
                    Some(found) => found.merge(part)?,
                    None => part,
                });
            }
        }
        let Some(Found { weight, out: sum, .. }) = found else { bail!("tokens that see no key") };
        let result = sum.broadcast_div(&weight)?.reshape((kv_heads, count, group, head_dim))?;
        out.push(result.transpose(0, 1)?.contiguous()?.reshape((count, heads, head_dim))?);
    }
    Tensor::cat(&out, 0)
}

/// Keys that any of the tokens sees, from the first to the last, so many at a time.
fn stretches(by: &[Range<usize>], step: usize) -> impl Iterator<Item = Range<usize>> {
    let seeing = || by.iter().filter(|keys| !keys.is_empty());
    let first = seeing().map(|keys| keys.start).min().unwrap_or(0);
    let end = seeing().map(|keys| keys.end).max().unwrap_or(0);
    (first..end).step_by(step).map(move |from| from..end.min(from + step))
}

/// What `rows` (kv_heads, rows, head_dim), scaled, find in some keys.
fn look(shape: Shape, rows: &Tensor, seen: &Seen, by: &[Range<usize>], keys: Range<usize>) -> Result<Found> {
    let there = |x: &Tensor| {
        x.narrow(0, keys.start, keys.len())?.transpose(0, 1)?.to_dtype(DType::F32)?.contiguous() // (kv_heads, keys, head_dim)
    };
    let mut scores = rows.matmul(&there(&seen.keys)?.t()?)?;
    if let Some(cap) = shape.softcap.map(f64::from) {
        scores = ((scores / cap)?.tanh()? * cap)?;
    }
    if by.iter().any(|sees| sees.start > keys.start || sees.end < keys.end) {
        scores = scores.broadcast_add(&unseen(by, &keys, shape.heads / shape.kv_heads, rows.device())?)?;
    }
    let top = scores.max_keepdim(2)?;
    let weights = scores.broadcast_sub(&top)?.exp()?;
    Ok(Found { weight: weights.sum_keepdim(2)?, out: weights.matmul(&there(&seen.values)?)?, top })
}

/// [`UNSEEN`] where a row does not see a key, else 0: (rows, keys), `group` rows for each token.
fn unseen(by: &[Range<usize>], keys: &Range<usize>, group: usize, device: &Device) -> Result<Tensor> {
    // Numbers of keys are exact in f32 up to 2²⁴.
    let rows = by.len() * group;
    let column = |of: &dyn Fn(&Range<usize>) -> usize| {
        let numbers = by.iter().flat_map(|keys| std::iter::repeat_n(of(keys) as f32, group)).collect();
        Tensor::from_vec(numbers, (rows, 1), device)
    };
    let number = Tensor::from_vec(keys.clone().map(|key| key as f32).collect(), (1, keys.len()), device)?;
    let before = number.broadcast_lt(&column(&|keys| keys.start)?)?;
    let behind = number.broadcast_ge(&column(&|keys| keys.end)?)?;
    (before.to_dtype(DType::F32)? + behind.to_dtype(DType::F32)?)? * UNSEEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use ronbun_kernels::{attention::Visible, reference};

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// 23 tokens behind 40 keys that all see and beside their own, in blocks of all sizes.
    #[test]
    fn blocks_of_all_sizes_merge_to_the_reference() {
        let (prefix, tokens) = (40, 23);
        for window in [None, Some(1), Some(9), Some(30)] {
            for softcap in [None, Some(0.8)] {
                let shape = Shape { window, softcap, ..Shape::new(6, 2, 16) };
                let q = numbers(tokens * 6 * 16, 1);
                let [keys, values] = [2, 3].map(|seed| numbers((prefix + tokens) * 2 * 16, seed));
                let visible = Visible::Causal { first: prefix };
                let (expected, _) = reference::attention(shape, &q, &keys, &values, visible);
                let q = Tensor::from_vec(q, (tokens, 6, 16), &Device::Cpu).expect("queries");
                let part = |from: usize, to: usize, by: Vec<Range<usize>>| {
                    let cut = |x: &[f32]| Tensor::from_slice(&x[from * 32..to * 32], (to - from, 2, 16), &Device::Cpu);
                    Seen { keys: cut(&keys).expect("keys"), values: cut(&values).expect("values"), by }
                };
                let start = |token: usize| window.map_or(0, |window| (prefix + token + 1).saturating_sub(window));
                let behind = (0..tokens).map(|token| start(token).min(prefix)..prefix).collect();
                let own = (0..tokens).map(|token| start(token).saturating_sub(prefix)..token + 1).collect();
                let seen = [part(0, prefix, behind), part(prefix, prefix + tokens, own)];
                for (rows, keys, scores) in [(1024, 1024, 1 << 20), (1, 1, 1), (7, 5, 1 << 20), (30, 64, 400)] {
                    let got = attend(shape, &q, &seen, Blocks { rows, keys, scores }).expect("attends");
                    let got = got.flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("numbers");
                    let error = got.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                    assert!(error < 1e-5, "{shape:?}, blocks of {rows}, {keys} and {scores}: {error}");
                }
            }
        }
    }

    #[test]
    fn keys_that_nobody_sees_are_not_looked_at() {
        let of = |by: &[Range<usize>], step| stretches(by, step).collect::<Vec<_>>();
        assert_eq!(of(&[3..5, 4..9], 4), [3..7, 7..9]);
        assert_eq!(of(&[40..40, 12..14], 1), [12..13, 13..14]);
        assert!(of(&[40..40, 7..7], 100).is_empty());
    }
}
