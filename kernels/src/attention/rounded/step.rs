//! What some queries see in a block of bytes.

use super::{
    HIDDEN, Head, NEVER, STRIP, places,
    products::{Factors, Products, STEP},
    queries::Queries,
    state::State,
};
use crate::{
    attention::BLOCK,
    lines::Lines,
    simd::{FOURS, MOST_LANES, Simd},
};
use std::ops::Range;

/// Room for what is known of [`TOGETHER`] blocks.
pub(super) struct Scratch {
    /// Of each pair of vectors: (TOGETHER, its vectors, LANES).
    pub(super) common: Lines<f32>,
    /// Products with a block's keys, in whose place scores come: (BLOCK, two vectors, LANES). Elsewhere products of some steps:
    /// ([`RING`], STEP, two vectors, LANES).
    pub(super) scores: Lines<f32>,
    /// Where products have become words, of a block's keys, two together: (BLOCK / 2, two vectors, LANES).
    pub(super) words: Lines<i32>,
    /// Of each pair of vectors: (TOGETHER, BLOCK / 4, its vectors, LANES, 4).
    pub(super) weights: Lines<u8>,
    /// What results so far are multiplied with, of each pair of vectors: (TOGETHER, its vectors, LANES).
    pub(super) keep: Lines<f32>,
}

impl Scratch {
    pub(super) fn new(lanes: usize, vectors: usize) -> Scratch {
        Scratch {
            common: Lines::any(vectors * TOGETHER * lanes),
            scores: Lines::any(BLOCK.max(RING * STEP) * 2 * lanes),
            words: Lines::any(BLOCK * lanes),
            weights: Lines::any(vectors * TOGETHER * BLOCK * lanes),
            keep: Lines::any(vectors * TOGETHER * lanes),
        }
    }
}

/// Where the lanes of a pair of V vectors, from `vector` on, begin for the block of this number among those together.
pub(super) const fn lanes_of<S: Simd, const V: usize>(vector: usize, number: usize) -> usize {
    (vector * TOGETHER + number * V) * S::LANES
}

/// A block, and what is known of it before its keys are looked at.
pub(super) struct Seen<'a> {
    pub(super) head: Head<'a>,
    /// Among those that are looked at together.
    pub(super) number: usize,
    pub(super) first_key: usize,
    /// Steps at its beginning that no lane sees, where all see the rest.
    pub(super) hidden: usize,
    /// The keys that each lane sees, where that differs otherwise.
    pub(super) parts: Option<&'a [Range<usize>]>,
}

/// Finds how much a block's keys weigh for the vectors from `vector` on, V of them.
#[inline(always)]
pub(super) unsafe fn weigh_keys<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    scratch: &mut Scratch,
    state: &mut State,
) {
    // SAFETY: the instruction set and the vectors are the caller's; there is room for a block's scores.
    unsafe {
        if places::are_there::<S, P>(queries, block) {
            return places::weigh_keys::<S, P, V>(queries, vector, block, scratch, state);
        }
        let keys = keys_of::<S>(queries, vector, block);
        let largest = score::<S, P, V>(keys, &block.head, block.hidden, &mut scratch.scores);
        weigh_scores::<S, V>(queries, vector, block, largest, scratch, state);
    }
}

/// A block's keys, and the queries of the vectors from `vector` on.
#[inline(always)]
pub(super) unsafe fn keys_of<'a, S: Simd>(queries: &Queries, vector: usize, block: &Seen<'a>) -> Factors<'a> {
    let width = block.head.keys.len() / BLOCK;
    // SAFETY: the vector is the caller's.
    let lanes = unsafe { queries.codes.as_ptr().add(vector * S::LANES * width) };
    Factors { codes: block.head.keys, width, lanes, step: 4 * S::LANES, vector: width * S::LANES }
}

/// A block's values, and the weights of V vectors.
#[inline(always)]
unsafe fn values_of<'a, S: Simd, const V: usize>(head: Head<'a>, weights: &[u8]) -> Factors<'a> {
    let vector = 4 * S::LANES;
    Factors { codes: head.values, width: BLOCK, lanes: weights.as_ptr(), step: V * vector, vector }
}

/// As [`weigh_keys`], by what [`score`] gives.
#[inline(always)]
unsafe fn weigh_scores<S: Simd, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    mut largest: [S::V; V],
    scratch: &mut Scratch,
    state: &mut State,
) {
    let scores = &mut scratch.scores[..BLOCK * V * S::LANES];
    unsafe {
        let at = vector * S::LANES;
        let in_scratch = lanes_of::<S, V>(vector, block.number);
        let commons = scratch.common.as_ptr().add(in_scratch);
        let scales_at = queries.scales.as_ptr().add(at);
        if let Some(cap) = queries.softcap {
            let hidden = block.hidden * STEP * V * S::LANES;
            largest = bend::<S, V>(cap, scales_at, commons, &mut scores[hidden..]);
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
                None => (S::load(scales_at.add(v * S::LANES)), S::load(commons.add(v * S::LANES))),
            };
            let highest = S::fma(largest[v], scale, common);
            let (unit, keep) = state.turn_to::<S>(at + v * S::LANES, highest);
            S::store(scratch.keep.as_mut_ptr().add(in_scratch + v * S::LANES), keep);
            // Exponents of weights; where a lane sees nothing its scores stay below what is added to them.
            scales[v] = S::mul(scale, S::splat(S::OCTAVE));
            let offset = S::sub(S::sub(highest, unit), S::mul(largest[v], scale));
            let exponent = S::add(S::min(offset, S::splat(-HIDDEN)), S::splat(-S::SLACK));
            offsets[v] = S::fma(exponent, S::splat(S::OCTAVE), S::splat(S::TOP));
        }
        let weights = &mut scratch.weights[in_scratch * BLOCK..];
        let sums = weigh::<S, V>(scales, offsets, block.hidden, scores, weights);
        for (v, weights) in sums.into_iter().enumerate() {
            state.add_weights::<S>(at + v * S::LANES, weights);
        }
    }
}

/// Products of the vectors' queries with a block's keys, times the keys' scales: (BLOCK, V, LANES). The largest of each lane, but
/// for the first `hidden` steps.
#[inline(always)]
unsafe fn score<S: Simd, P: Products, const V: usize>(
    keys: Factors,
    head: &Head,
    hidden: usize,
    scores: &mut [f32],
) -> [S::V; V] {
    // SAFETY: the instruction set is the caller's.
    let mut largest = [unsafe { S::splat(NEVER) }; V];
    for number in 0..BLOCK / STEP + LAG {
        // SAFETY: the instruction set is the caller's; steps are within the block, and so are its scores.
        unsafe {
            let before =
                number.checked_sub(1).map(|before| scores.as_mut_ptr().add(before * STEP * V * S::LANES).cast());
            P::step::<S, V, true>(keys, number, before);
            if let Some(number) = number.checked_sub(LAG) {
                let of_step = score_step::<S, P, V>(keys, head, number, scores);
                for (largest, of_step) in largest.iter_mut().zip(of_step).filter(|_| number >= hidden) {
                    *largest = S::max(*largest, of_step);
                }
            }
        }
    }
    largest
}

/// As [`score`], of the [`STEP`] keys with this number, whose products are there.
#[inline(always)]
unsafe fn score_step<S: Simd, P: Products, const V: usize>(
    keys: Factors,
    head: &Head,
    number: usize,
    scores: &mut [f32],
) -> [S::V; V] {
    // SAFETY: the instruction set is the caller's; strips are within the block.
    unsafe {
        // By chains of their own, since each comparison waits for the one before.
        let mut chains = [[S::splat(NEVER); V]; CHAINS];
        for first in (number * STEP..(number + 1) * STEP).step_by(STRIP) {
            let at = scores.as_mut_ptr().add(first * V * S::LANES);
            let dots = P::strip::<S, V>(keys, first, Some(head.shifts), at.cast());
            for (i, dots) in dots.into_iter().enumerate() {
                for (v, score) in P::scaled::<S, V>(head.key_scales, first + i, dots).into_iter().enumerate() {
                    let largest = &mut chains[i % CHAINS][v];
                    *largest = S::max(*largest, score);
                    S::store(at.add((i * V + v) * S::LANES), score);
                }
            }
        }
        let mut largest = [S::splat(NEVER); V];
        for (v, largest) in largest.iter_mut().enumerate() {
            let [a, b, c, d] = chains.map(|chain| chain[v]);
            *largest = S::max(S::max(a, b), S::max(c, d));
        }
        largest
    }
}

/// Steps that what was multiplied is looked at later by: the tiles' products of a step are stored in the one behind it.
pub(super) const LAG: usize = 2;
/// Steps whose products are kept at a time, where nothing is made of them in their place.
pub(super) const RING: usize = 4;
/// Maxima that are looked for beside each other.
const CHAINS: usize = 4;

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
        for scores in scores.chunks_exact_mut(V * S::LANES) {
            for (v, largest) in largest.iter_mut().enumerate() {
                let at = scores.as_mut_ptr().add(v * S::LANES);
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

/// Scores → weights 2^(score · scale + offset) as bytes; their sums. Those of the first `hidden` steps weigh nothing.
#[inline(always)]
unsafe fn weigh<S: Simd, const V: usize>(
    scales: [S::V; V],
    offsets: [S::V; V],
    hidden: usize,
    scores: &[f32],
    weights: &mut [u8],
) -> [S::I; V] {
    weights[..hidden * STEP * V * S::LANES].fill(0);
    // SAFETY: the instruction set is the caller's; scores and weights are a block's.
    unsafe {
        let mut sums = [S::splat_i32(0); V];
        for four in hidden * STEP / 4..BLOCK / 4 {
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
        sums
    }
}

/// Adds the values of a block, number `number` of those together, as their keys weigh: `out = out · keep + weights · values`.
#[inline(always)]
pub(super) unsafe fn add_values<S: Simd, P: Products, const V: usize>(
    head: Head,
    number: usize,
    vector: usize,
    scratch: &mut Scratch,
    state: &mut State,
) {
    let width = head.value_dim();
    // SAFETY: the instruction set and the vectors are the caller's; steps are within the values and the room for products.
    unsafe {
        let at = lanes_of::<S, V>(vector, number);
        let values = values_of::<S, V>(head, &scratch.weights[at * BLOCK..]);
        let mut keep = [S::splat(0.0); V];
        for (v, keep) in keep.iter_mut().enumerate() {
            *keep = S::load(scratch.keep.as_ptr().add(at + v * S::LANES));
        }
        let out = state.out.as_mut_ptr().add(vector * S::LANES * width);
        let dots = scratch.scores.as_mut_ptr().cast::<i32>();
        let of_step = |number: usize| dots.add(number % RING * STEP * V * S::LANES);
        for number in 0..width.div_ceil(STEP) + LAG {
            P::step::<S, V, false>(values, number, number.checked_sub(1).map(of_step));
            if let Some(number) = number.checked_sub(LAG) {
                let rows = number * STEP..((number + 1) * STEP).min(width);
                add_step::<S, P, V>(values, head, rows, of_step(number), keep, out);
            }
        }
    }
}

/// As [`add_values`], of some dimensions, whose products are in `dots`.
#[inline(always)]
unsafe fn add_step<S: Simd, P: Products, const V: usize>(
    values: Factors,
    head: Head,
    dimensions: Range<usize>,
    dots: *const i32,
    keep: [S::V; V],
    out: *mut f32,
) {
    let width = head.value_dim();
    for (strip, first) in dimensions.step_by(STRIP).enumerate() {
        // SAFETY: the instruction set is the caller's; strips are within the values and the sums.
        unsafe {
            let dots = P::strip::<S, V>(values, first, None, dots.add(strip * STRIP * V * S::LANES));
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
                let of_values = P::scaled::<S, V>(head.value_scales, first + i, dots);
                for (v, (new, sum)) in of_values.into_iter().zip(sums).enumerate() {
                    S::store(at(i, v), S::fma(sum, keep[v], new));
                }
            }
        }
    }
}
