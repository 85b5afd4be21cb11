//! What is known so far of queries, and what it comes to.

use super::{HIDDEN, value_dim};
use crate::{
    attention::Partial,
    lines::Lines,
    simd::{MOST_LANES, MOST_WEIGHT, Simd, transpose},
};

/// Of some vectors of queries.
pub(super) struct State {
    /// The largest score: (vectors, LANES).
    pub(super) top: Lines<f32>,
    /// The score whose weight is [`MOST_WEIGHT`], but for the slack: (vectors, LANES).
    pub(super) unit: Lines<f32>,
    /// The sum of weights: (vectors, LANES).
    pub(super) sum: Lines<f32>,
    /// The weighted values: (vectors, padded head_dim, LANES).
    pub(super) out: Lines<f32>,
}

impl State {
    /// Rows of the first `rows` lanes.
    #[inline(always)]
    pub(super) unsafe fn partial<S: Simd>(&self, rows: usize, head_dim: usize) -> Partial {
        let mut partial = Partial { out: vec![0.0; rows * head_dim], lse: vec![f32::NEG_INFINITY; rows] };
        let lanes = partial.lse.chunks_mut(S::LANES).zip(partial.out.chunks_mut(S::LANES * head_dim));
        for (vector, (lse, out)) in lanes.enumerate() {
            let mut inverses = [0f32; MOST_LANES];
            for (lane, (lse, inverse)) in lse.iter_mut().zip(&mut inverses).enumerate() {
                let at = vector * S::LANES + lane;
                let sum = self.sum[at];
                if self.top[at] >= HIDDEN && sum > 0.0 {
                    // Weights are bytes, and all of them too small by the slack.
                    let sum_of_powers = self.unit[at] + (sum / MOST_WEIGHT).log2() + S::SLACK;
                    *lse = sum_of_powers * std::f32::consts::LN_2;
                    *inverse = 1.0 / sum;
                }
            }
            let values = &self.out[vector * value_dim(head_dim) * S::LANES..][..head_dim * S::LANES];
            // SAFETY: the instruction set is the caller's; as many rows of `out` as there are sums.
            unsafe { one_by_one::<S>(values, &inverses, out, lse.len()) };
        }
        partial
    }
}

/// Rows of values, a lane each, times the lane's factor, of the first `rows` lanes: (head_dim, LANES) to (rows, head_dim).
#[inline(always)]
unsafe fn one_by_one<S: Simd>(values: &[f32], factors: &[f32; MOST_LANES], out: &mut [f32], rows: usize) {
    let head_dim = values.len() / S::LANES;
    let whole = head_dim / S::LANES * S::LANES;
    // SAFETY: the instruction set is the caller's; within the values, the factors and the rows.
    unsafe {
        for first in (0..whole).step_by(S::LANES) {
            let mut from = [values.as_ptr(); MOST_LANES];
            for (i, from) in from.iter_mut().enumerate().take(S::LANES) {
                *from = values.as_ptr().add((first + i) * S::LANES);
            }
            transpose::<S>(&from, S::load(factors.as_ptr()), out.as_mut_ptr().add(first), (rows, head_dim));
        }
    }
    for (i, values) in values.chunks_exact(S::LANES).enumerate().skip(whole) {
        for (row, (value, factor)) in values.iter().zip(factors).enumerate().take(rows) {
            out[row * head_dim + i] = value * factor;
        }
    }
}
