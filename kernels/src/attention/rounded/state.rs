//! What is known so far of queries, and what it comes to.

use super::{HIDDEN, block::value_dim};
use crate::{
    attention::Target,
    lines::Lines,
    simd::{self, MOST_LANES, MOST_WEIGHT, Simd, transpose},
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

/// A block whose largest score is further below the largest one, in octaves, counts nothing: what is known of the others is
/// made no larger than this for its sake.
const REACH: f32 = 40.0;

impl State {
    /// Brings what is known of the vector that begins at lane `at`, but for the weighted values, to the unit of a block, whose
    /// largest scores are `highest`. Returns the unit, and what weighted values so far have to be multiplied with.
    #[inline(always)]
    pub(super) unsafe fn turn_to<S: Simd>(&mut self, at: usize, highest: S::V) -> (S::V, S::V) {
        // SAFETY: the instruction set and the vector are the caller's.
        unsafe {
            let (top, unit) = (self.top.as_mut_ptr().add(at), self.unit.as_mut_ptr().add(at));
            let most = S::max(S::load(top), highest);
            S::store(top, most);
            let (old, new) = (S::load(unit), S::max(highest, S::sub(most, S::splat(REACH))));
            S::store(unit, new);
            let keep = simd::exp2::<S>(S::sub(old, new));
            let sum = self.sum.as_mut_ptr().add(at);
            S::store(sum, S::mul(S::load(sum), keep));
            (new, keep)
        }
    }

    /// Adds a block's weights.
    #[inline(always)]
    pub(super) unsafe fn add_weights<S: Simd>(&mut self, at: usize, weights: S::I) {
        // SAFETY: as above.
        unsafe {
            let sum = self.sum.as_mut_ptr().add(at);
            S::store(sum, S::add(S::load(sum), S::to_f32(weights)));
        }
    }

    /// Stores what the first `rows` lanes come to, which are the heads of one row after the other.
    ///
    /// # Safety
    /// The instruction set is there; the rows are the target's, and nobody else has them.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(&self, rows: usize, to: Target) {
        let (group, head_dim) = (to.group, to.head_dim);
        let mut found = Lines::<f32>::any(S::LANES * head_dim);
        for (vector, first) in (0..rows).step_by(S::LANES).enumerate() {
            let lanes = S::LANES.min(rows - first);
            let mut inverses = [0f32; MOST_LANES];
            let values = &self.out[vector * value_dim(head_dim) * S::LANES..][..head_dim * S::LANES];
            for (lane, inverse) in inverses.iter_mut().enumerate().take(lanes) {
                // SAFETY: the caller's.
                let (_, lse) = unsafe { to.row((first + lane) / group) };
                (lse[(first + lane) % group], *inverse) = self.sum_of_powers::<S>(vector * S::LANES + lane);
            }
            // SAFETY: the instruction set is the caller's; there is room for as many rows as lanes.
            unsafe { one_by_one::<S>(values, &inverses, &mut found, lanes) };
            for (lane, found) in found.chunks_exact(head_dim).enumerate().take(lanes) {
                // SAFETY: as above.
                let (out, _) = unsafe { to.row((first + lane) / group) };
                out[(first + lane) % group * head_dim..][..head_dim].copy_from_slice(found);
            }
        }
    }

    /// The log of a lane's sum of powers, and what its weighted values are multiplied with; -∞ and 0 where it saw no key.
    fn sum_of_powers<S: Simd>(&self, lane: usize) -> (f32, f32) {
        let sum = self.sum[lane];
        if self.top[lane] >= HIDDEN && sum > 0.0 {
            // Weights are bytes, and all of them too small by the slack.
            let log2 = self.unit[lane] + (sum / MOST_WEIGHT).log2() + S::SLACK;
            return (log2 * std::f32::consts::LN_2, 1.0 / sum);
        }
        (f32::NEG_INFINITY, 0.0)
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
