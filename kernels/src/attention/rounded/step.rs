//! What some queries see in a block of bytes.

use super::{
    ALIKE, HIDDEN, Head, NEVER, STRIP,
    products::{CHUNK, Factors, Products},
    queries::Queries,
    value_dim,
};
use crate::{
    attention::{BLOCK, Partial},
    lines::Lines,
    simd::{self, BIAS, FOURS, MOST_LANES, MOST_WEIGHT, Simd, transpose},
};
use std::ops::Range;

/// What is known so far of some vectors of queries.
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

/// Room for what is known of blocks, for two vectors of queries at most.
pub(super) struct Scratch {
    /// (TOGETHER, vectors, LANES)
    pub(super) common: Lines<f32>,
    /// Products with a block's keys, in whose place scores come: (BLOCK, vectors, LANES).
    pub(super) scores: Lines<f32>,
    /// (BLOCK / 4, vectors, LANES, 4)
    weights: Lines<u8>,
    /// What results so far are multiplied with: (vectors, LANES).
    keep: Lines<f32>,
    /// Products of values with weights, of a chunk of dimensions: (CHUNK, vectors, LANES).
    values: Lines<i32>,
}

impl Scratch {
    pub(super) fn new(lanes: usize) -> Scratch {
        Scratch {
            common: Lines::any(TOGETHER * 2 * lanes),
            scores: Lines::any(BLOCK * 2 * lanes),
            weights: Lines::any(BLOCK * 2 * lanes),
            keep: Lines::any(2 * lanes),
            values: Lines::any(CHUNK * 2 * lanes),
        }
    }
}

/// What is known of a block before its keys are looked at.
pub(super) struct Seen<'a> {
    pub(super) head: Head<'a>,
    /// The block that is looked at after it.
    pub(super) next: Head<'a>,
    /// The part of the scores that all its keys have in common: (vectors, LANES).
    pub(super) common: &'a [f32],
    pub(super) first_key: usize,
    /// The keys that each lane sees, where some see only a part.
    pub(super) parts: Option<&'a [Range<usize>]>,
}

/// Adds what the vectors from `vector` on, V of them, see in a block.
#[inline(always)]
pub(super) unsafe fn add_block<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    scratch: &mut Scratch,
    state: &mut State,
) {
    // SAFETY: the instruction set and the vectors are the caller's; the scratch is as large as a block's.
    unsafe {
        let largest = score::<S, P, V>(keys_of::<S>(queries, vector, block), block, &mut scratch.scores);
        weigh_block::<S, P, V>(queries, vector, block, largest, scratch, state);
        let out = state.out.as_mut_ptr().add(vector * S::LANES * block.head.value_dim());
        gather::<S, P, V>(block, scratch, out);
    }
}

/// A block's keys, and the queries of the vectors from `vector` on.
#[inline(always)]
unsafe fn keys_of<'a, S: Simd>(queries: &Queries, vector: usize, block: &Seen<'a>) -> Factors<'a> {
    let width = block.head.keys.len() / BLOCK;
    // SAFETY: the vector is the caller's.
    let lanes = unsafe { queries.codes.as_ptr().add(vector * S::LANES * width) };
    Factors { codes: block.head.keys, width, lanes, step: 4 * S::LANES, vector: width * S::LANES }
}

/// A block's values, and the weights of V vectors.
#[inline(always)]
unsafe fn values_of<'a, S: Simd, const V: usize>(block: &Seen<'a>, weights: &[u8]) -> Factors<'a> {
    let vector = 4 * S::LANES;
    Factors { codes: block.head.values, width: BLOCK, lanes: weights.as_ptr(), step: V * vector, vector }
}

/// Finds how much a block's keys weigh for the vectors from `vector` on, V of them, by what [`score`] gives: their scores, or
/// what these are made of, and the largest.
#[inline(always)]
unsafe fn weigh_block<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    mut largest: [S::V; V],
    scratch: &mut Scratch,
    state: &mut State,
) {
    let scores = &mut scratch.scores[..BLOCK * V * S::LANES];
    let shared = P::ORDER.shares_scales().then_some(block.head.key_scales.scale);
    // Where keys share scales, and nothing else is made of scores, they stay products.
    let key_scales = shared.filter(|_| queries.softcap.is_none() && block.parts.is_none());
    unsafe {
        let at = vector * S::LANES;
        let scales_at = queries.scales.as_ptr().add(at);
        if let (Some(shared), None) = (shared, key_scales) {
            scale_products::<S, V>(shared, scores);
        }
        if let Some(cap) = queries.softcap {
            largest = bend::<S, V>(cap, scales_at, block.common.as_ptr(), scores);
        }
        if let Some(parts) = block.parts {
            largest = hide::<S, V>(parts, block.first_key, scores);
        }
        let zeros = [S::splat(0.0); V];
        let (mut scales, mut offsets) = (zeros, zeros);
        for v in 0..V {
            // Scores that were bent are whole already.
            let (scale, common) = match queries.softcap {
                Some(_) => (S::splat(1.0), S::splat(0.0)),
                None => (S::load(scales_at.add(v * S::LANES)), S::load(block.common.as_ptr().add(v * S::LANES))),
            };
            let highest = S::fma(largest[v], scale, common);
            let (top, unit) =
                (state.top.as_mut_ptr().add(at + v * S::LANES), state.unit.as_mut_ptr().add(at + v * S::LANES));
            let most = S::max(S::load(top), highest);
            S::store(top, most);
            let (old, new) = (S::load(unit), S::max(highest, S::sub(most, S::splat(REACH))));
            S::store(unit, new);
            let keep = simd::exp2::<S>(S::sub(old, new));
            S::store(scratch.keep.as_mut_ptr().add(v * S::LANES), keep);
            let sum = state.sum.as_mut_ptr().add(at + v * S::LANES);
            S::store(sum, S::mul(S::load(sum), keep));
            // Exponents of weights; where a lane sees nothing its scores stay below what is added to them.
            scales[v] = S::mul(scale, S::splat(S::OCTAVE));
            let offset = S::sub(S::sub(highest, new), S::mul(largest[v], scale));
            let exponent = S::add(S::min(offset, S::splat(-HIDDEN)), S::splat(-S::SLACK));
            offsets[v] = S::fma(exponent, S::splat(S::OCTAVE), S::splat(S::TOP));
        }
        let sums = weigh::<S, V>(scales, offsets, key_scales, scores, &mut scratch.weights);
        for (v, new) in sums.into_iter().enumerate() {
            let sum = state.sum.as_mut_ptr().add(at + v * S::LANES);
            S::store(sum, S::add(S::load(sum), S::to_f32(new)));
        }
    }
}

/// More than [`BIAS`] by what is rounded away of it times a scale, lest the largest exponent be too large by that.
const ABOVE_BIAS: f32 = BIAS + 3.0;

/// Products of the vectors' queries with a block's keys, (BLOCK, V, LANES): times the keys' scales, or, where keys share scales,
/// plus [`BIAS`]. The largest of each lane, times its key's scale.
#[inline(always)]
unsafe fn score<S: Simd, P: Products, const V: usize>(keys: Factors, block: &Seen, scores: &mut [f32]) -> [S::V; V] {
    let (scales, shared) = (block.head.key_scales, P::ORDER.shares_scales());
    // SAFETY: the instruction set is the caller's; strips are within the block.
    unsafe {
        let mut largest = [S::splat(NEVER); V];
        for alike in (0..BLOCK).step_by(ALIKE) {
            // By chains of their own, since each comparison waits for the one before.
            let mut chains = [[S::splat(NEVER); V]; CHAINS];
            for first in (alike..alike + ALIKE).step_by(STRIP) {
                let at = scores.as_mut_ptr().add(first * V * S::LANES);
                if first.is_multiple_of(CHUNK) {
                    P::prepare::<S, V, true>(keys, first, at.cast());
                }
                if P::PREFETCHES {
                    simd::prefetch(block.next.keys.as_ptr().add(first * keys.width), STRIP * keys.width);
                }
                let dots = P::strip::<S, V>(keys, first, Some(block.head.shifts), at.cast());
                for (i, dots) in dots.into_iter().enumerate() {
                    let products =
                        if shared { dots.map(|dot| S::biased(dot)) } else { scales.scaled::<S, V>(first + i, dots) };
                    for (v, product) in products.into_iter().enumerate() {
                        let largest = &mut chains[i % CHAINS][v];
                        *largest = S::max(*largest, product);
                        if !shared {
                            S::store(at.add((i * V + v) * S::LANES), product);
                        }
                    }
                }
            }
            for (v, largest) in largest.iter_mut().enumerate() {
                let [a, b, c, d] = chains.map(|chain| chain[v]);
                let mut product = S::max(S::max(a, b), S::max(c, d));
                if shared {
                    product = S::mul(S::sub(product, S::splat(BIAS)), S::splat(scales.scale[alike]));
                }
                *largest = S::max(*largest, product);
            }
        }
        largest
    }
}

/// Maxima that are looked for beside each other.
const CHAINS: usize = 4;

/// Products of keys that share scales, as [`score`] gives them, times these.
#[inline(always)]
unsafe fn scale_products<S: Simd, const V: usize>(key_scales: &[f32], scores: &mut [f32]) {
    for (scores, key_scale) in scores.chunks_exact_mut(V * S::LANES).zip(key_scales) {
        for score in scores.chunks_exact_mut(S::LANES) {
            // SAFETY: the instruction set is the caller's; a whole vector.
            unsafe {
                let product = S::sub(S::load(score.as_ptr()), S::splat(BIAS));
                S::store(score.as_mut_ptr(), S::mul(product, S::splat(*key_scale)));
            }
        }
    }
}

/// Turns products into whole scores, scaled and with what a block's keys have in common, and bends them to below `cap`.
/// Returns the largest of each lane.
#[inline(always)]
unsafe fn bend<S: Simd, const V: usize>(
    cap: f32,
    scales: *const f32,
    common: *const f32,
    scores: &mut [f32],
) -> [S::V; V] {
    unsafe {
        let mut largest = [S::splat(NEVER); V];
        for key in 0..BLOCK {
            for (v, largest) in largest.iter_mut().enumerate() {
                let at = scores.as_mut_ptr().add((key * V + v) * S::LANES);
                let (scale, common) = (S::load(scales.add(v * S::LANES)), S::load(common.add(v * S::LANES)));
                S::store(at, S::fma(S::load(at), scale, common));
                for score in std::slice::from_raw_parts_mut(at, S::LANES) {
                    *score = cap * (*score / cap).tanh();
                }
                *largest = S::max(*largest, S::load(at));
            }
        }
        largest
    }
}

/// Puts scores (keys, V, LANES) of what a lane does not see at [`NEVER`]; the largest scores that are left.
#[inline(always)]
pub(super) unsafe fn hide<S: Simd, const V: usize>(
    seen: &[Range<usize>],
    first_key: usize,
    scores: &mut [f32],
) -> [S::V; V] {
    // Half a key's distance times this is past every score; a power of two, so that distances are exact.
    const FAR: f32 = (1u128 << 101) as f32;
    let (mut starts, mut ends) = ([0f32; 2 * MOST_LANES], [0f32; 2 * MOST_LANES]);
    for ((seen, start), end) in seen.iter().zip(&mut starts).zip(&mut ends) {
        let place = |key: usize| (key.saturating_sub(first_key).min(BLOCK) as f32 - 0.5) * FAR;
        (*start, *end) = (place(seen.start), place(seen.end));
    }
    // SAFETY: the instruction set is the caller's; there are V vectors of ranges, two at most.
    unsafe {
        let mut largest = [S::splat(NEVER); V];
        for (key, scores) in scores.chunks_exact_mut(V * S::LANES).enumerate() {
            let place = S::splat(key as f32 * FAR);
            for (v, largest) in largest.iter_mut().enumerate() {
                let (start, end) = (S::load(&starts[v * S::LANES]), S::load(&ends[v * S::LANES]));
                // Far above 0 for what is seen, far below it for what is not.
                let limit = S::min(S::sub(place, start), S::sub(end, place));
                let at = scores.as_mut_ptr().add(v * S::LANES);
                let score = S::max(S::min(S::load(at), limit), S::splat(NEVER));
                S::store(at, score);
                *largest = S::max(*largest, score);
            }
        }
        largest
    }
}

/// Blocks whose keys' means are multiplied with the queries at a time.
pub(super) const TOGETHER: usize = 8;

/// The part of scores that all keys of a block have in common: queries times the keys' means, of as many blocks as `means`
/// has and of the vectors from `vector` on: (blocks, V, LANES).
#[inline(always)]
pub(super) unsafe fn commons<S: Simd, const V: usize>(
    queries: &Queries,
    vector: usize,
    means: &[&[f32]; TOGETHER],
    out: &mut [f32],
) {
    unsafe {
        let head_dim = means[0].len();
        let exact = queries.exact.as_ptr().add(vector * head_dim * S::LANES);
        let mut sums = [[S::splat(0.0); V]; TOGETHER];
        for i in 0..head_dim {
            for v in 0..V {
                let q = S::load(exact.add((v * head_dim + i) * S::LANES));
                for (sums, mean) in sums.iter_mut().zip(means) {
                    sums[v] = S::fma(q, S::splat(*mean.get_unchecked(i)), sums[v]);
                }
            }
        }
        for (number, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                S::store(out.as_mut_ptr().add((number * V + v) * S::LANES), *sum);
            }
        }
    }
}

/// Scores → weights 2^(score · scale + offset) as bytes; their sums. With `key_scales` scores are products of keys that share
/// them, as [`score`] gives them.
#[inline(always)]
unsafe fn weigh<S: Simd, const V: usize>(
    scales: [S::V; V],
    offsets: [S::V; V],
    key_scales: Option<&[f32]>,
    scores: &[f32],
    weights: &mut [u8],
) -> [S::I; V] {
    unsafe {
        let mut sums = [S::splat_i32(0); V];
        for alike in (0..BLOCK).step_by(ALIKE) {
            let (mut scales, mut offsets) = (scales, offsets);
            if let Some(key_scales) = key_scales {
                for (scale, offset) in scales.iter_mut().zip(&mut offsets) {
                    *scale = S::mul(*scale, S::splat(*key_scales.get_unchecked(alike)));
                    *offset = S::fma(*scale, S::splat(-ABOVE_BIAS), *offset);
                }
            }
            for four in alike / 4..(alike + ALIKE) / 4 {
                for v in 0..V {
                    let mut exponents = [offsets[v]; 4];
                    for (i, exponent) in exponents.iter_mut().enumerate() {
                        let score = S::load(scores.as_ptr().add(((4 * four + i) * V + v) * S::LANES));
                        *exponent = S::fma(score, scales[v], offsets[v]);
                    }
                    let out = weights.as_mut_ptr().add((four * V + v) * 4 * S::LANES);
                    S::store_powers(out, exponents, four % FOURS);
                    sums[v] = S::dot4(sums[v], out, 0x0101_0101);
                }
            }
        }
        sums
    }
}

/// `out = out · keep + weights · values`: out is (V, padded head_dim, LANES).
#[inline(always)]
unsafe fn gather<S: Simd, P: Products, const V: usize>(block: &Seen, scratch: &mut Scratch, out: *mut f32) {
    let Scratch { weights, keep: keeps, values: dots, .. } = scratch;
    let head = &block.head;
    // SAFETY: the instruction set is the caller's; strips are within the values and the sums.
    unsafe {
        let width = head.value_dim();
        let values = values_of::<S, V>(block, weights);
        let mut keep = [S::splat(0.0); V];
        for (v, keep) in keep.iter_mut().enumerate() {
            *keep = S::load(keeps.as_ptr().add(v * S::LANES));
        }
        for first in (0..width).step_by(STRIP) {
            if first % CHUNK == 0 {
                P::prepare::<S, V, false>(values, first, dots.as_mut_ptr());
            }
            if P::PREFETCHES {
                simd::prefetch(block.next.values.as_ptr().add(first * BLOCK), STRIP * BLOCK);
            }
            let dots = dots.as_ptr().add(first % CHUNK * V * S::LANES);
            let dots = P::strip::<S, V>(values, first, None, dots);
            // Sums of both vectors are loaded before any is stored: they lie whole pages apart, and a load waits for a store
            // at such a distance.
            let at = |i: usize, v: usize| out.add((v * width + first + i) * S::LANES);
            let mut sums = [[S::splat(0.0); V]; STRIP];
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(at(i, v));
                }
            }
            for (i, (dots, sums)) in dots.into_iter().zip(sums).enumerate() {
                let of_values = head.value_scales.scaled::<S, V>(first + i, dots);
                for (v, (new, sum)) in of_values.into_iter().zip(sums).enumerate() {
                    S::store(at(i, v), S::fma(sum, keep[v], new));
                }
            }
        }
    }
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
