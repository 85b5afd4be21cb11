//! What some queries see in a block of bytes.

use super::{
    HIDDEN, Head, NEVER, STRIP,
    products::{CHUNK, Factors, Products},
    queries::Queries,
    value_dim,
};
use crate::{
    attention::{BLOCK, Partial},
    lines::Lines,
    simd::{self, MOST_LANES, MOST_WEIGHT, Simd, transpose},
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
    /// Of a block and of the one after it.
    pub(super) rooms: [Room; 2],
    /// Products of values with weights, of a chunk of dimensions and of the one after it: (CHUNK, vectors, LANES).
    values: [Lines<i32>; 2],
}

impl Scratch {
    pub(super) fn new(lanes: usize) -> Scratch {
        let room = || Room {
            scores: Lines::any(BLOCK * 2 * lanes),
            weights: Lines::any(BLOCK * 2 * lanes),
            keep: Lines::any(2 * lanes),
        };
        let values = || Lines::any(CHUNK * 2 * lanes);
        Scratch { common: Lines::any(TOGETHER * 2 * lanes), rooms: [room(), room()], values: [values(), values()] }
    }
}

/// What of a block is still to be used.
pub(super) struct Room {
    /// Products with its keys, in whose place scores come: (BLOCK, vectors, LANES).
    pub(super) scores: Lines<f32>,
    /// (BLOCK / 4, vectors, LANES, 4)
    weights: Lines<u8>,
    /// What results so far are multiplied with: (vectors, LANES).
    keep: Lines<f32>,
}

/// What is known of a block before its keys are looked at.
#[derive(Clone, Copy)]
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

/// Adds what the vectors from `vector` on, V of them, see in some blocks, one after the other.
///
/// Tiles make products while vectors do what else there is: those with the next block's keys and those of the last block's
/// values while a block's scores become weights.
#[inline(always)]
pub(super) unsafe fn add_blocks<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    blocks: &[Seen],
    scratch: &mut Scratch,
    state: &mut State,
) {
    let Scratch { rooms, values, .. } = scratch;
    let [mut now, mut other] = rooms.each_mut();
    // SAFETY: the instruction set and the vectors are the caller's; the rooms are as large as a block's.
    unsafe {
        if let Some(first) = blocks.first() {
            for chunk in 0..BLOCK / CHUNK {
                prepare_keys::<S, P, V>(queries, vector, first, chunk, now);
            }
        }
        for number in 0..=blocks.len() {
            let (block, next) = (blocks.get(number), blocks.get(number + 1));
            let last = number.checked_sub(1).map(|last| &blocks[last]);
            let mut largest = [S::splat(NEVER); V];
            for chunk in 0..BLOCK / CHUNK {
                if let Some(next) = next {
                    prepare_keys::<S, P, V>(queries, vector, next, chunk, other);
                }
                if let Some(block) = block {
                    score::<S, P, V>(keys_of::<S>(queries, vector, block), block, chunk, &mut now.scores, &mut largest);
                }
            }
            if let Some(last) = last {
                P::prepare::<S, V, false>(values_of::<S, V>(last, &other.weights), 0, values[0].as_mut_ptr());
            }
            if let Some(block) = block {
                weigh_block::<S, V>(queries, vector, block, largest, now, state);
            }
            if let Some(last) = last {
                let out = state.out.as_mut_ptr().add(vector * S::LANES * last.head.value_dim());
                gather::<S, P, V>(last, other, values, out);
            }
            (now, other) = (other, now);
        }
    }
}

/// Prepares products with a chunk of a block's keys.
#[inline(always)]
unsafe fn prepare_keys<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    chunk: usize,
    room: &mut Room,
) {
    // SAFETY: the caller's.
    unsafe {
        let dots = room.scores.as_mut_ptr().cast::<i32>().add(chunk * CHUNK * V * S::LANES);
        P::prepare::<S, V, true>(keys_of::<S>(queries, vector, block), chunk * CHUNK, dots);
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

/// Finds how much a block's keys weigh for the vectors from `vector` on, V of them, by their scores, of which `largest` are
/// the largest.
#[inline(always)]
unsafe fn weigh_block<S: Simd, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    mut largest: [S::V; V],
    room: &mut Room,
    state: &mut State,
) {
    let scores = &mut room.scores;
    unsafe {
        let at = vector * S::LANES;
        let scales_at = queries.scales.as_ptr().add(at);
        if let Some(cap) = queries.softcap {
            largest = bend::<S, V>(cap, scales_at, block.common.as_ptr(), scores);
        }
        if let Some(parts) = block.parts {
            largest = hide::<S, V>(parts, block.first_key, &mut scores[..BLOCK * V * S::LANES]);
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
            S::store(room.keep.as_mut_ptr().add(v * S::LANES), keep);
            let sum = state.sum.as_mut_ptr().add(at + v * S::LANES);
            S::store(sum, S::mul(S::load(sum), keep));
            // Exponents of weights; where a lane sees nothing its scores stay below what is added to them.
            scales[v] = S::mul(scale, S::splat(S::OCTAVE));
            let offset = S::sub(S::sub(highest, new), S::mul(largest[v], scale));
            offsets[v] = S::mul(S::add(S::min(offset, S::splat(-HIDDEN)), S::splat(-SLACK)), S::splat(S::OCTAVE));
        }
        let sums = weigh::<S, V>(scales, offsets, scores, &mut room.weights);
        for (v, new) in sums.into_iter().enumerate() {
            let sum = state.sum.as_mut_ptr().add(at + v * S::LANES);
            S::store(sum, S::add(S::load(sum), S::to_f32(new)));
        }
    }
}

/// Exponents are this much smaller than they should be, in all weights alike: rounding must not bring the largest above 0.
pub(super) const SLACK: f32 = 1.0 / 256.0;

/// Products of the vectors' queries with a chunk of a block's keys, times the keys' scales, into `scores` (BLOCK, V, LANES),
/// where what was prepared is. Raises `largest` to the largest of each lane.
#[inline(always)]
unsafe fn score<S: Simd, P: Products, const V: usize>(
    keys: Factors,
    block: &Seen,
    chunk: usize,
    scores: &mut [f32],
    largest: &mut [S::V; V],
) {
    let head = &block.head;
    unsafe {
        for strip in (chunk * CHUNK..(chunk + 1) * CHUNK).step_by(STRIP) {
            if P::PREFETCHES {
                simd::prefetch(block.next.keys.as_ptr().add(strip * keys.width), STRIP * keys.width);
            }
            let dots = scores.as_ptr().add(strip * V * S::LANES).cast();
            let dots = P::strip::<S, V>(keys, strip, Some(head.shifts), dots);
            for (i, dots) in dots.into_iter().enumerate() {
                let scores_of_key = head.key_scales.scaled::<S, V>(strip + i, dots);
                for (v, score) in scores_of_key.into_iter().enumerate() {
                    largest[v] = S::max(largest[v], score);
                    S::store(scores.as_mut_ptr().add(((strip + i) * V + v) * S::LANES), score);
                }
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

/// Scores → weights 2^(score · scale + offset) as bytes; their sums.
#[inline(always)]
unsafe fn weigh<S: Simd, const V: usize>(
    scales: [S::V; V],
    offsets: [S::V; V],
    scores: &[f32],
    weights: &mut [u8],
) -> [S::I; V] {
    unsafe {
        let mut sums = [S::splat_i32(0); V];
        for four in 0..BLOCK / 4 {
            for v in 0..V {
                let mut exponents = [offsets[v]; 4];
                for (i, exponent) in exponents.iter_mut().enumerate() {
                    let score = S::load(scores.as_ptr().add(((4 * four + i) * V + v) * S::LANES));
                    *exponent = S::fma(score, scales[v], offsets[v]);
                }
                let out = weights.as_mut_ptr().add((four * V + v) * 4 * S::LANES);
                S::store_powers(out, exponents, four);
                sums[v] = S::dot4(sums[v], out, 0x0101_0101);
            }
        }
        sums
    }
}

/// `out = out · keep + weights · values`: out is (V, padded head_dim, LANES). The first chunk's products were prepared.
#[inline(always)]
unsafe fn gather<S: Simd, P: Products, const V: usize>(
    block: &Seen,
    room: &Room,
    dots: &mut [Lines<i32>; 2],
    out: *mut f32,
) {
    let head = &block.head;
    let [mut now, mut other] = dots.each_mut();
    unsafe {
        let width = head.value_dim();
        let values = values_of::<S, V>(block, &room.weights);
        let mut keep = [S::splat(0.0); V];
        for (v, keep) in keep.iter_mut().enumerate() {
            *keep = S::load(room.keep.as_ptr().add(v * S::LANES));
        }
        for first in (0..width).step_by(STRIP) {
            if first % CHUNK == 0 {
                if first > 0 {
                    (now, other) = (other, now);
                }
                if first + CHUNK < width {
                    P::prepare::<S, V, false>(values, first + CHUNK, other.as_mut_ptr());
                }
            }
            if P::PREFETCHES {
                simd::prefetch(block.next.values.as_ptr().add(first * BLOCK), STRIP * BLOCK);
            }
            let dots = now.as_ptr().add(first % CHUNK * V * S::LANES);
            let dots = P::strip::<S, V>(values, first, None, dots);
            for (i, dots) in dots.into_iter().enumerate() {
                let of_values = head.value_scales.scaled::<S, V>(first + i, dots);
                for (v, new) in of_values.into_iter().enumerate() {
                    let out = out.add((v * width + first + i) * S::LANES);
                    S::store(out, S::fma(S::load(out), keep[v], new));
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
                    let sum_of_powers = self.unit[at] + (sum / MOST_WEIGHT).log2() + SLACK;
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
