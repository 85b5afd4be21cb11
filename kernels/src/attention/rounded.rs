//! Attention over blocks of keys and values that are rounded to signed bytes: products of integers, the softmax in f32.
//!
//! A vector's lanes are queries: those of all heads of a group, times positions or branches. A key's four bytes go to all
//! lanes at once, so maxima, sums and scales are a lane's own affair and nothing is ever added up across a vector. A block's
//! weights are rounded to 0…254 of the block's own largest, so that a block that counts little is as exact in itself as one
//! that counts much; what is added before cutting differs from key to key, so that many small weights do not all vanish.
//! Keys are rounded around their block's mean (as SageAttention does, arXiv:2410.02367, for whole sequences): it shifts all
//! scores of a query in the block alike, and is added in f32. What keys of neighbouring positions have in common, often
//! much more than what they differ by, costs no precision then.

use super::{BLOCK, KvBlocks, Partial, Shape, Task, Visible, cache::Block};
use crate::{
    lines::Lines,
    simd::{self, Simd},
};
use std::ops::Range;

/// Keys, or dimensions of a value, whose products are collected at a time.
const STRIP: usize = 8;
/// Below every score, also times the smallest scale of a query.
const NEVER: f32 = -1e30;
/// Below every score that a key has which is seen.
const HIDDEN: f32 = -1e20;
/// Queries that are smaller in every element count as this small.
const LEAST_QUERY: f32 = 1e-4;

/// A block of all key heads.
#[derive(Debug, Clone)]
pub(super) struct Rounded {
    /// For each key head: keys (BLOCK / STRIP, padded head_dim / 4, STRIP, 4), then values (padded head_dim / STRIP,
    /// BLOCK / 4, STRIP, 4): in the order in which products take them.
    codes: Vec<i8>,
    /// For each key head: of each key -128 times the sum of its codes (queries are shifted by 128 to be unsigned).
    shifts: Vec<i32>,
    /// For each key head: scales of keys (BLOCK), the keys' mean (head_dim), scales of values (padded head_dim).
    factors: Vec<f32>,
}

/// One key head of a block.
struct Head<'a> {
    keys: &'a [i8],
    values: &'a [i8],
    shifts: &'a [i32],
    key_scales: &'a [f32],
    mean: &'a [f32],
    value_scales: &'a [f32],
}

/// Bytes of a key: its last four go to the lanes together with the others.
const fn key_dim(head_dim: usize) -> usize {
    head_dim.next_multiple_of(4)
}

/// Dimensions of a value, those of the last strip included.
const fn value_dim(head_dim: usize) -> usize {
    head_dim.next_multiple_of(STRIP)
}

/// Factors of one key head.
const fn factors(head_dim: usize) -> usize {
    BLOCK + head_dim + value_dim(head_dim)
}

impl Rounded {
    /// Bytes of one key head's block.
    pub(super) fn head_bytes(head_dim: usize) -> usize {
        BLOCK * (key_dim(head_dim) + value_dim(head_dim)) + 4 * (BLOCK + factors(head_dim))
    }

    /// Of full blocks in f32, for each key head: keys (head_dim, BLOCK) and values (BLOCK, padded head_dim).
    #[inline(always)]
    pub(super) fn new<'a>(head_dim: usize, heads: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Rounded {
        let mut rounded = Rounded { codes: Vec::new(), shifts: Vec::new(), factors: Vec::new() };
        for (keys, values) in heads {
            rounded.push(head_dim, keys, values);
        }
        rounded
    }

    #[inline(always)]
    fn push(&mut self, head_dim: usize, keys: &[f32], values: &[f32]) {
        let mean: Vec<f32> = keys.chunks_exact(BLOCK).map(|keys| keys.iter().sum::<f32>() / BLOCK as f32).collect();
        let mut spread: Vec<f32> = keys.to_vec();
        for (keys, mean) in spread.chunks_exact_mut(BLOCK).zip(&mean) {
            keys.iter_mut().for_each(|key| *key -= mean);
        }
        spread_out(&mut spread, BLOCK);
        let mut most = [0f32; BLOCK];
        for keys in spread.chunks_exact(BLOCK) {
            most.iter_mut().zip(keys).for_each(|(most, key)| *most = most.max(key.abs()));
        }
        let width = key_dim(head_dim);
        let start = self.codes.len();
        self.codes.resize(start + BLOCK * width, 0);
        let codes = &mut self.codes[start..];
        let inverses = most.map(inverse);
        let mut sums = [0i32; BLOCK];
        for (i, keys) in spread.chunks_exact(BLOCK).enumerate() {
            for (key, value) in keys.iter().enumerate() {
                let code = (value * inverses[key]).round_ties_even() as i8;
                codes[place(key, i, width)] = code;
                sums[key] += i32::from(code);
            }
        }
        self.shifts.extend(sums.map(|sum| -128 * sum));
        self.factors.extend(most.map(|most| most / 127.0));
        self.factors.extend(mean);
        let stride = values.len() / BLOCK;
        let first_value = self.codes.len();
        self.codes.resize(first_value + BLOCK * value_dim(head_dim), 0);
        for i in 0..value_dim(head_dim) {
            let column = || (0..BLOCK).map(|key| if i < head_dim { values[key * stride + i] } else { 0.0 });
            let most = column().fold(0f32, |most, value| most.max(value.abs()));
            for (key, value) in column().enumerate() {
                self.codes[first_value + place(i, key, BLOCK)] = (value * inverse(most)).round_ties_even() as i8;
            }
            self.factors.push(most / 127.0);
        }
    }

    fn head(&self, number: usize, head_dim: usize) -> Head<'_> {
        let width = key_dim(head_dim);
        let padded = value_dim(head_dim);
        let (keys, values) = self.codes[number * BLOCK * (width + padded)..].split_at(BLOCK * width);
        let (key_scales, rest) = self.factors[number * factors(head_dim)..].split_at(BLOCK);
        let (mean, value_scales) = rest.split_at(head_dim);
        Head {
            keys,
            values: &values[..padded * BLOCK],
            shifts: &self.shifts[number * BLOCK..(number + 1) * BLOCK],
            key_scales,
            mean,
            value_scales: &value_scales[..padded],
        }
    }
}

/// Where element `column` of row `row` stands in codes of rows of `width` elements: four of a row, then those of the other
/// rows of its strip.
#[inline(always)]
fn place(row: usize, column: usize, width: usize) -> usize {
    row / STRIP * STRIP * width + (column / 4 * STRIP + row % STRIP) * 4 + column % 4
}

#[inline(always)]
fn inverse(most: f32) -> f32 {
    if most > 0.0 { 127.0 / most } else { 0.0 }
}

/// Queries in lanes, `LANES` to a vector.
struct Queries {
    vectors: usize,
    /// (vectors, head_dim / 4, LANES, 4): rounded, and shifted by 128.
    codes: Lines<u8>,
    /// (vectors, LANES)
    scales: Lines<f32>,
    /// (vectors, head_dim, LANES): not rounded; scores are in units of log₂.
    exact: Lines<f32>,
}

impl Queries {
    #[inline(always)]
    unsafe fn new<S: Simd>(shape: Shape, q: &[f32], task: Task) -> Queries {
        let Shape { heads, kv_heads, head_dim, scale, .. } = shape;
        let group = heads / kv_heads;
        let rows = task.rows * group;
        let vectors = rows.div_ceil(S::LANES);
        let width = key_dim(head_dim);
        let mut queries = Queries {
            vectors,
            codes: Lines::zeros(vectors * S::LANES * width),
            scales: Lines::zeros(vectors * S::LANES),
            exact: Lines::zeros(vectors * S::LANES * head_dim),
        };
        let scale = scale * std::f32::consts::LOG2_E;
        for row in 0..rows {
            let from = ((task.first_row + row / group) * heads + task.kv_head * group + row % group) * head_dim;
            let (vector, lane) = (row / S::LANES, row % S::LANES);
            let exact = &mut queries.exact[vector * head_dim * S::LANES..];
            for (lanes, q) in exact.chunks_exact_mut(S::LANES).zip(&q[from..from + head_dim]) {
                lanes[lane] = q * scale;
            }
        }
        let mut spread = Lines::<f32>::zeros(S::LANES * width);
        for vector in 0..vectors {
            let exact = &queries.exact[vector * head_dim * S::LANES..][..head_dim * S::LANES];
            spread[..exact.len()].copy_from_slice(exact);
            spread_out(&mut spread[..exact.len()], S::LANES);
            let scales = &mut queries.scales[vector * S::LANES..][..S::LANES];
            let codes = &mut queries.codes[vector * S::LANES * width..][..S::LANES * width];
            // SAFETY: the instruction set is the caller's.
            unsafe { round_lanes::<S>(&spread, scales, codes) };
        }
        queries
    }
}

/// Rounds a vector of queries (padded head_dim, LANES) to bytes, shifted by 128, four of a lane together.
#[inline(always)]
unsafe fn round_lanes<S: Simd>(queries: &[f32], scales: &mut [f32], codes: &mut [u8]) {
    // SAFETY: `queries` and `codes` are whole vectors, `scales` is one.
    unsafe {
        let mut most = S::splat(LEAST_QUERY);
        for q in queries.chunks_exact(S::LANES) {
            let q = S::load(q.as_ptr());
            most = S::max(most, S::max(q, S::mul(q, S::splat(-1.0))));
        }
        S::store(scales.as_mut_ptr(), S::mul(most, S::splat(1.0 / 127.0)));
        let inverse = S::div(S::splat(127.0), most);
        for (four, codes) in queries.chunks_exact(4 * S::LANES).zip(codes.chunks_exact_mut(4 * S::LANES)) {
            let code = |i: usize| {
                // What is cut to an integer later is rounded by the half.
                S::fma(S::load(four.as_ptr().add(i * S::LANES)), inverse, S::splat(128.5))
            };
            S::store_bytes(codes.as_mut_ptr(), [code(0), code(1), code(2), code(3)]);
        }
    }
}

/// Turns the columns of `x` (head_dim, width) by a Hadamard matrix, or by several smaller ones where `head_dim` is no power
/// of two: products of columns stay as they are, but what was large in one element is spread over all of them, so that
/// rounding loses less (arXiv:2407.08608 §3.3, arXiv:2404.00456).
#[inline(always)]
fn spread_out(x: &mut [f32], width: usize) {
    let head_dim = x.len() / width;
    let size = 1 << head_dim.trailing_zeros();
    let norm = 1.0 / (size as f32).sqrt();
    for x in x.chunks_exact_mut(size * width) {
        let mut half = width;
        while half < x.len() {
            for pair in x.chunks_exact_mut(2 * half) {
                let (a, b) = pair.split_at_mut(half);
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
        x.iter_mut().for_each(|x| *x *= norm);
    }
}

/// What is known so far of some vectors of queries: the largest score, the sum of weights, the weighted values.
struct State {
    /// (vectors, LANES)
    top: Lines<f32>,
    /// (vectors, LANES)
    sum: Lines<f32>,
    /// (vectors, padded head_dim, LANES)
    out: Lines<f32>,
}

/// Attention of a task's queries over those of its blocks that are rounded; `None` if none is.
#[inline(always)]
pub(super) unsafe fn attend<S: Simd>(
    shape: Shape,
    q: &[f32],
    kv: &KvBlocks,
    visible: Visible,
    task: Task,
) -> Option<Partial> {
    let head_dim = shape.head_dim;
    let group = shape.heads / shape.kv_heads;
    let mut blocks = task
        .seen_blocks(kv, visible, shape.window)
        .filter_map(|number| match &kv.blocks[number] {
            Block::Rounded(block) => Some((number, block)),
            Block::Exact(_) => None,
        })
        .peekable();
    blocks.peek()?;
    // SAFETY: the instruction set is the caller's.
    let queries = unsafe { Queries::new::<S>(shape, q, task) };
    let lanes = queries.vectors * S::LANES;
    let mut state = State {
        top: Lines::filled(NEVER, lanes),
        sum: Lines::zeros(lanes),
        out: Lines::zeros(lanes * value_dim(head_dim)),
    };
    let mut scratch =
        Scratch { scores: Lines::zeros(2 * BLOCK * S::LANES), weights: Lines::zeros(2 * BLOCK * S::LANES) };
    // Of each lane the keys that it sees.
    let row = |lane: usize| task.first_row + (lane / group).min(task.rows - 1);
    let seen: Vec<Range<usize>> = (0..lanes).map(|lane| visible.range(row(lane), kv.len, shape.window)).collect();
    for (number, block) in blocks {
        let head = block.head(task.kv_head, head_dim);
        let keys = number * BLOCK..(number + 1) * BLOCK;
        let mut vector = 0;
        while vector < queries.vectors {
            let wide = S::PAIRS && vector + 2 <= queries.vectors;
            let count = if wide { 2 } else { 1 };
            let seen = &seen[vector * S::LANES..(vector + count) * S::LANES];
            if seen.iter().any(|seen| seen.start < keys.end && keys.start < seen.end) {
                let whole = seen.iter().all(|seen| seen.start <= keys.start && keys.end <= seen.end);
                let seen = (!whole).then_some(seen);
                // SAFETY: the instruction set is the caller's; the vectors are within the queries.
                unsafe {
                    match wide {
                        true => step::<S, 2>(&queries, vector, &head, keys.start, seen, &mut scratch, &mut state),
                        false => step::<S, 1>(&queries, vector, &head, keys.start, seen, &mut scratch, &mut state),
                    }
                }
            }
            vector += count;
        }
    }
    Some(state.partial(task.rows * group, head_dim, S::LANES))
}

/// A block's scores and weights, for two vectors of queries at most.
struct Scratch {
    /// (BLOCK, vectors, LANES)
    scores: Lines<f32>,
    /// (BLOCK / 4, vectors, LANES, 4)
    weights: Lines<u8>,
}

/// Adds what the vectors from `vector` on, V of them, see in a block.
#[inline(always)]
unsafe fn step<S: Simd, const V: usize>(
    queries: &Queries,
    vector: usize,
    head: &Head,
    first_key: usize,
    seen: Option<&[Range<usize>]>,
    scratch: &mut Scratch,
    state: &mut State,
) {
    unsafe {
        let mut largest = score::<S, V>(queries, vector, head, &mut scratch.scores);
        if let Some(seen) = seen {
            largest = hide::<S, V>(seen, first_key, &mut scratch.scores);
        }
        let at = vector * S::LANES;
        let mut sums = [S::splat(0.0); V];
        let (mut keep, mut take) = (sums, sums);
        let (mut scales, mut offsets) = (sums, sums);
        for v in 0..V {
            let scale = S::load(queries.scales.as_ptr().add(at + v * S::LANES));
            let common = common::<S>(queries, vector + v, head);
            let highest = S::fma(largest[v], scale, common);
            let top = state.top.as_mut_ptr().add(at + v * S::LANES);
            let old = S::load(top);
            let new = S::max(old, highest);
            S::store(top, new);
            keep[v] = simd::exp2::<S>(S::add(old, S::mul(new, S::splat(-1.0))));
            take[v] = simd::exp2::<S>(S::add(highest, S::mul(new, S::splat(-1.0))));
            scales[v] = scale;
            // Where a lane sees nothing its scores stay below what is added to them.
            offsets[v] = S::min(S::mul(S::mul(largest[v], scale), S::splat(-1.0)), S::splat(-HIDDEN));
        }
        weigh::<S, V>(scales, offsets, &scratch.scores, &mut scratch.weights, &mut sums);
        for v in 0..V {
            let sum = state.sum.as_mut_ptr().add(at + v * S::LANES);
            S::store(sum, S::fma(S::load(sum), keep[v], S::mul(sums[v], take[v])));
            take[v] = S::mul(take[v], S::splat(1.0 / MOST_WEIGHT));
        }
        let out = state.out.as_mut_ptr().add(at * head.value_scales.len());
        gather::<S, V>(head, &scratch.weights, keep, take, out);
    }
}

/// Products of the vectors' queries with a block's keys, times the keys' scales: (BLOCK, V, LANES). Returns the largest of
/// each lane.
#[inline(always)]
unsafe fn score<S: Simd, const V: usize>(
    queries: &Queries,
    vector: usize,
    head: &Head,
    scores: &mut [f32],
) -> [S::V; V] {
    unsafe {
        let width = head.keys.len() / BLOCK;
        let codes = queries.codes.as_ptr().add(vector * S::LANES * width);
        let mut largest = [S::splat(NEVER); V];
        for strip in (0..BLOCK).step_by(STRIP) {
            let keys = head.keys.as_ptr().add(strip * width);
            let mut dots = [[S::splat_i32(0); V]; STRIP];
            for (i, dots) in dots.iter_mut().enumerate() {
                *dots = [S::splat_i32(*head.shifts.get_unchecked(strip + i)); V];
            }
            strip_products::<S, V>(keys, width / 4, codes, (4 * S::LANES, width * S::LANES), &mut dots);
            for (i, dots) in dots.iter().enumerate() {
                let scale = S::splat(*head.key_scales.get_unchecked(strip + i));
                for (v, dot) in dots.iter().enumerate() {
                    let score = S::mul(S::to_f32(*dot), scale);
                    largest[v] = S::max(largest[v], score);
                    S::store(scores.as_mut_ptr().add(((strip + i) * V + v) * S::LANES), score);
                }
            }
        }
        largest
    }
}

/// Adds to `dots` the products of a strip of keys or values, `fours` times four bytes of each, with what the lanes hold at
/// `lanes`: four bytes each, which go on after `step` bytes for the next four and after `vector` bytes for the next vector.
#[inline(always)]
unsafe fn strip_products<S: Simd, const V: usize>(
    strip: *const i8,
    fours: usize,
    lanes: *const u8,
    (step, vector): (usize, usize),
    dots: &mut [[S::I; V]; STRIP],
) {
    unsafe {
        for four in 0..fours {
            for (i, dots) in dots.iter_mut().enumerate() {
                let bytes = strip.add((four * STRIP + i) * 4).cast::<i32>().read_unaligned();
                for (v, dot) in dots.iter_mut().enumerate() {
                    *dot = S::dot4(*dot, lanes.add(four * step + v * vector), bytes);
                }
            }
        }
    }
}

/// Puts what a lane does not see at [`NEVER`]; the largest scores that are left.
#[inline(always)]
unsafe fn hide<S: Simd, const V: usize>(seen: &[Range<usize>], first_key: usize, scores: &mut [f32]) -> [S::V; V] {
    for (key, scores) in scores.chunks_exact_mut(V * S::LANES).take(BLOCK).enumerate() {
        for (score, seen) in scores.iter_mut().zip(seen) {
            if !seen.contains(&(first_key + key)) {
                *score = NEVER;
            }
        }
    }
    unsafe {
        let mut largest = [S::splat(NEVER); V];
        for key in 0..BLOCK {
            for (v, largest) in largest.iter_mut().enumerate() {
                *largest = S::max(*largest, S::load(scores.as_ptr().add((key * V + v) * S::LANES)));
            }
        }
        largest
    }
}

/// The part of a vector's scores that all keys of the block have in common: queries times the keys' mean.
#[inline(always)]
unsafe fn common<S: Simd>(queries: &Queries, vector: usize, head: &Head) -> S::V {
    unsafe {
        let exact = queries.exact.as_ptr().add(vector * head.mean.len() * S::LANES);
        let mut sums = [S::splat(0.0); 4];
        let (fours, rest) = head.mean.as_chunks::<4>();
        for (four, means) in fours.iter().enumerate() {
            for (i, (sum, mean)) in sums.iter_mut().zip(means).enumerate() {
                *sum = S::fma(S::load(exact.add((4 * four + i) * S::LANES)), S::splat(*mean), *sum);
            }
        }
        for (i, mean) in rest.iter().enumerate() {
            sums[0] = S::fma(S::load(exact.add((4 * fours.len() + i) * S::LANES)), S::splat(*mean), sums[0]);
        }
        S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]))
    }
}

/// The largest weight of a block, as bytes have it: one less than they could, since a score may be a little above what was
/// found to be the largest when it is computed again.
const MOST_WEIGHT: f32 = 254.0;

/// What is added to the weight of each key of a block before it is cut to an integer: every 64th of one once, neighbours far
/// apart, so that the rounding of many keys is even.
const DITHER: [f32; BLOCK] = {
    let mut dither = [0f32; BLOCK];
    let mut key = 0;
    while key < BLOCK {
        dither[key] = ((key * 27 % BLOCK) as f32 + 0.5) / BLOCK as f32;
        key += 1;
    }
    dither
};

/// Scores → weights 2^(score · scale + offset), summed in f32 and rounded to bytes.
#[inline(always)]
unsafe fn weigh<S: Simd, const V: usize>(
    scales: [S::V; V],
    offsets: [S::V; V],
    scores: &[f32],
    weights: &mut [u8],
    sums: &mut [S::V; V],
) {
    unsafe {
        let most = S::splat(MOST_WEIGHT);
        for four in 0..BLOCK / 4 {
            for v in 0..V {
                let mut rounded = [most; 4];
                for (i, rounded) in rounded.iter_mut().enumerate() {
                    let key = 4 * four + i;
                    let score = S::load(scores.as_ptr().add((key * V + v) * S::LANES));
                    let weight = simd::exp2::<S>(S::fma(score, scales[v], offsets[v]));
                    sums[v] = S::add(sums[v], weight);
                    *rounded = S::fma(weight, most, S::splat(DITHER[key]));
                }
                S::store_bytes(weights.as_mut_ptr().add((four * V + v) * 4 * S::LANES), rounded);
            }
        }
    }
}

/// `out = out · keep + weights · values · take`: out is (V, padded head_dim, LANES).
#[inline(always)]
unsafe fn gather<S: Simd, const V: usize>(
    head: &Head,
    weights: &[u8],
    keep: [S::V; V],
    take: [S::V; V],
    out: *mut f32,
) {
    unsafe {
        let width = head.value_scales.len();
        for first in (0..width).step_by(STRIP) {
            let values = head.values.as_ptr().add(first * BLOCK);
            let mut dots = [[S::splat_i32(0); V]; STRIP];
            let steps = (4 * V * S::LANES, 4 * S::LANES);
            strip_products::<S, V>(values, BLOCK / 4, weights.as_ptr(), steps, &mut dots);
            for (i, dots) in dots.iter().enumerate() {
                let scale = S::splat(*head.value_scales.get_unchecked(first + i));
                for (v, dot) in dots.iter().enumerate() {
                    let out = out.add((v * width + first + i) * S::LANES);
                    let new = S::mul(S::to_f32(*dot), S::mul(scale, take[v]));
                    S::store(out, S::fma(S::load(out), keep[v], new));
                }
            }
        }
    }
}

impl State {
    /// Rows of the first `rows` lanes.
    fn partial(&self, rows: usize, head_dim: usize, lanes: usize) -> Partial {
        let mut partial = Partial { out: vec![0.0; rows * head_dim], lse: vec![f32::NEG_INFINITY; rows] };
        for row in 0..rows {
            let sum = self.sum[row];
            if self.top[row] < HIDDEN || sum <= 0.0 {
                continue;
            }
            partial.lse[row] = (self.top[row] + sum.log2()) * std::f32::consts::LN_2;
            let (vector, lane) = (row / lanes, row % lanes);
            for (i, out) in partial.out[row * head_dim..(row + 1) * head_dim].iter_mut().enumerate() {
                *out = self.out[(vector * value_dim(head_dim) + i) * lanes + lane] / sum;
            }
        }
        partial
    }
}
