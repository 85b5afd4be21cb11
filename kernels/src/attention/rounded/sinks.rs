//! What queries see of a sequence's first keys, in f32.

use super::{
    HIDDEN, STRIP,
    queries::Queries,
    state::State,
    step::{Scratch, hide},
};
use crate::{
    attention::{BLOCK, SINKS, cache::Layout},
    simd::{self, MOST_WEIGHT, Simd},
};
use std::ops::Range;

/// The first [`SINKS`] keys and values of a block's key heads, which are (head_dim, BLOCK) and (BLOCK, padded head_dim): of each
/// head (head_dim, SINKS) and (SINKS, padded head_dim).
pub(in crate::attention) fn sinks_of<'a>(heads: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Vec<f32> {
    let mut sinks = Vec::new();
    for (keys, values) in heads {
        keys.chunks_exact(BLOCK).for_each(|keys| sinks.extend(&keys[..SINKS]));
        sinks.extend(&values[..values.len() / BLOCK * SINKS]);
    }
    sinks
}

/// The first keys and values of one key head.
#[derive(Clone, Copy)]
pub(super) struct Sinks<'a> {
    /// (head_dim, SINKS)
    keys: &'a [f32],
    /// (SINKS, padded head_dim)
    values: &'a [f32],
    layout: Layout,
}

impl<'a> Sinks<'a> {
    /// Of what [`sinks_of`] gives.
    pub(super) fn new(all: &'a [f32], layout: Layout, kv_head: usize) -> Sinks<'a> {
        let len = SINKS * (layout.head_dim + layout.value_dim());
        let (keys, values) = all[kv_head * len..(kv_head + 1) * len].split_at(SINKS * layout.head_dim);
        Sinks { keys, values, layout }
    }

    /// Begins with what a vector of queries, its lanes' keys in `seen`, sees of the first [`SINKS`] keys.
    #[inline(always)]
    pub(super) unsafe fn begin<S: Simd>(
        &self,
        queries: &Queries,
        vector: usize,
        seen: &[Range<usize>],
        scratch: &mut Scratch,
        state: &mut State,
    ) {
        let scores = &mut scratch.scores[..SINKS * S::LANES];
        // SAFETY: the instruction set and the vector are the caller's.
        unsafe {
            self.score::<S>(queries, vector, scores);
            if let Some(cap) = queries.softcap {
                scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
            }
            let [top] = hide::<S, 1>(seen, 0, scores);
            S::store(state.top[vector * S::LANES..].as_mut_ptr(), top);
            S::store(state.unit[vector * S::LANES..].as_mut_ptr(), top);
            // What a lane that sees nothing has not seen weighs nothing.
            let largest = S::max(top, S::splat(HIDDEN));
            let most = S::splat(MOST_WEIGHT * (-S::SLACK).exp2());
            let mut sum = S::splat(0.0);
            for score in scores.chunks_exact_mut(S::LANES) {
                let weight = S::mul(simd::exp2::<S>(S::sub(S::load(score.as_ptr()), largest)), most);
                S::store(score.as_mut_ptr(), weight);
                sum = S::add(sum, weight);
            }
            S::store(state.sum[vector * S::LANES..].as_mut_ptr(), sum);
            self.gather::<S>(scores, vector, state);
        }
    }

    /// Scores in units of log₂: (SINKS, LANES).
    #[inline(always)]
    unsafe fn score<S: Simd>(&self, queries: &Queries, vector: usize, scores: &mut [f32]) {
        let head_dim = self.layout.head_dim;
        let queries = &queries.exact[vector * head_dim * S::LANES..][..head_dim * S::LANES];
        for first in (0..SINKS).step_by(STRIP) {
            // SAFETY: the instruction set is the caller's; vectors of queries and scores are whole.
            unsafe {
                let mut sums = [S::splat(0.0); STRIP];
                for (q, keys) in queries.chunks_exact(S::LANES).zip(self.keys.chunks_exact(SINKS)) {
                    let q = S::load(q.as_ptr());
                    for (sum, key) in sums.iter_mut().zip(&keys[first..first + STRIP]) {
                        *sum = S::fma(q, S::splat(*key), *sum);
                    }
                }
                for (scores, sum) in scores[first * S::LANES..].chunks_exact_mut(S::LANES).zip(sums) {
                    S::store(scores.as_mut_ptr(), sum);
                }
            }
        }
    }

    /// Values times `weights` (SINKS, LANES).
    #[inline(always)]
    unsafe fn gather<S: Simd>(&self, weights: &[f32], vector: usize, state: &mut State) {
        let stride = self.layout.value_dim();
        let width = state.out.len() / state.sum.len();
        let out = &mut state.out[vector * width * S::LANES..][..width * S::LANES];
        for (number, out) in out.chunks_exact_mut(STRIP * S::LANES).enumerate() {
            // SAFETY: the instruction set is the caller's; vectors of weights and results are whole.
            unsafe {
                let mut sums = [S::splat(0.0); STRIP];
                for (weight, values) in weights.chunks_exact(S::LANES).zip(self.values.chunks_exact(stride)) {
                    let weight = S::load(weight.as_ptr());
                    for (sum, value) in sums.iter_mut().zip(&values[number * STRIP..(number + 1) * STRIP]) {
                        *sum = S::fma(weight, S::splat(*value), *sum);
                    }
                }
                for (out, sum) in out.chunks_exact_mut(S::LANES).zip(sums) {
                    S::store(out.as_mut_ptr(), sum);
                }
            }
        }
    }
}
