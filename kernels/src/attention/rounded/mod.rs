//! Attention over blocks of keys and values that are rounded to signed bytes: products of integers, the softmax in f32.
//!
//! A vector's lanes are queries: those of all heads of a group, times positions or branches. A key's four bytes go to all
//! lanes at once, so maxima, sums and scales are a lane's own affair and nothing is ever added up across a vector. A block's
//! weights are rounded to bytes of the block's own largest, so that a block that counts little is as exact in itself as one
//! that counts much, and what is known of earlier blocks is brought to that unit; the sum that outputs are divided by is that
//! of the rounded weights.
//! Keys are rounded around their block's mean (as SageAttention does, arXiv:2410.02367, for whole sequences): it shifts all
//! scores of a query in the block alike, and is added in f32. What keys of neighbouring positions have in common, often
//! much more than what they differ by, costs no precision then. Then they and the queries are turned, so that no element is
//! much larger than the others ([`spread_out`]).

mod pairs;
mod places;
mod products;
mod queries;
mod scale;
mod sinks;
mod state;
mod step;

use super::{BLOCK, KvBlocks, SINKS, Shape, Target, Task, Visible, cache::Block};
use crate::{
    amx,
    lines::{Kept, Lines},
    simd::{BIAS, BIAS_BITS, Simd, turn_lanes},
};
use pairs::{Pair, look_at};
pub(super) use products::Order;
use products::{InTiles, InVectors, Products};
use queries::Queries;
use scale::best_inverses;
use sinks::Sinks;
pub(super) use sinks::sinks_of;
use state::State;
use std::ops::Range;
use step::{Scratch, TOGETHER};

/// Keys that share a scale, where they do ([`Order::shares_scales`]): the largest of their scores is that of the largest product.
const ALIKE: usize = 16;
/// Keys, or dimensions of a value, whose products are collected at a time.
const STRIP: usize = 8;
/// Below every score, also times the smallest scale of a query.
const NEVER: f32 = -1e30;
/// Below every score that a key has which is seen.
const HIDDEN: f32 = -1e20;
/// Longest keys and values whose products are turned into f32 exactly: up to 128 · 127 for each element, within ±2²².
pub(super) const MOST_DIM: usize = 256;

/// A block of all key heads.
#[derive(Debug, Clone)]
pub(super) struct Rounded {
    /// For each key head: keys (BLOCK, padded head_dim), then values (padded head_dim, BLOCK), both in `order`.
    codes: Kept,
    order: Order,
    /// For each key head: of each key -128 times the sum of its codes (queries are shifted by 128 to be unsigned), from
    /// [`BIAS_BITS`] on.
    shifts: Vec<i32>,
    /// For each key head: [`Scales`] of keys (2, BLOCK), the keys' mean (head_dim), scales of values (2, padded head_dim).
    factors: Vec<f32>,
}

/// One key head of a block.
#[derive(Clone, Copy)]
struct Head<'a> {
    keys: &'a [i8],
    values: &'a [i8],
    shifts: &'a [i32],
    key_scales: Scales<'a>,
    /// Of the key scales.
    largest_key_scale: f32,
    mean_key_scale: f32,
    mean: &'a [f32],
    value_scales: Scales<'a>,
}

impl Head<'_> {
    /// Dimensions of a value, those of the last strip included.
    fn value_dim(&self) -> usize {
        self.value_scales.scale.len()
    }
}

/// Of some keys, or dimensions of values, what a code of one stands for, and that times -[`BIAS`], as [`Simd::scaled`] takes
/// them.
#[derive(Clone, Copy)]
struct Scales<'a> {
    scale: &'a [f32],
    less: &'a [f32],
}

impl Scales<'_> {
    fn new(factors: &[f32]) -> Scales<'_> {
        let (scale, less) = factors.split_at(factors.len() / 2);
        Scales { scale, less }
    }

    /// Those of codes that were numbers times `inverses`.
    fn push(factors: &mut Vec<f32>, inverses: &[f32]) {
        factors.extend(inverses.iter().map(|&inverse| unit(inverse)));
        factors.extend(inverses.iter().map(|&inverse| -unit(inverse) * BIAS));
    }

    /// Of the one with this number, in all lanes, times its products, which were added up from [`BIAS_BITS`] on.
    #[inline(always)]
    unsafe fn of_biased<S: Simd, const V: usize>(&self, number: usize, dots: [S::I; V]) -> [S::V; V] {
        // SAFETY: the instruction set and the number are the caller's.
        unsafe {
            let scale = S::splat(*self.scale.get_unchecked(number));
            let less = S::splat(*self.less.get_unchecked(number));
            let mut scaled = [scale; V];
            for (scaled, dot) in scaled.iter_mut().zip(dots) {
                *scaled = S::scaled(dot, scale, less);
            }
            scaled
        }
    }

    /// The same of products that were added up from 0 on.
    #[inline(always)]
    unsafe fn of_plain<S: Simd, const V: usize>(&self, number: usize, dots: [S::I; V]) -> [S::V; V] {
        // SAFETY: the instruction set and the number are the caller's.
        unsafe {
            let mut scaled = [S::splat(*self.scale.get_unchecked(number)); V];
            for (scaled, dot) in scaled.iter_mut().zip(dots) {
                *scaled = S::mul(S::to_f32(dot), *scaled);
            }
            scaled
        }
    }
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
    2 * BLOCK + head_dim + 2 * value_dim(head_dim)
}

impl Rounded {
    /// Bytes of one key head's block.
    pub(super) fn head_bytes(head_dim: usize) -> usize {
        BLOCK * (key_dim(head_dim) + value_dim(head_dim)) + 4 * (BLOCK + factors(head_dim))
    }

    /// Of full blocks in f32, for each key head: keys (head_dim, BLOCK) and values (BLOCK, padded head_dim). All those before
    /// `first` count as zeros, which nobody may see.
    #[inline(always)]
    pub(super) unsafe fn new<'a, S: Simd>(
        head_dim: usize,
        first: usize,
        order: Order,
        heads: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    ) -> Rounded {
        let mut codes = Vec::new();
        let mut rounded = Rounded { codes: Kept::new(&[]), order, shifts: Vec::new(), factors: Vec::new() };
        for (keys, values) in heads {
            // SAFETY: the instruction set is the caller's.
            unsafe { rounded.push::<S>(head_dim, first, keys, values, &mut codes) };
        }
        Rounded { codes: Kept::new(&codes), ..rounded }
    }

    #[inline(always)]
    unsafe fn push<S: Simd>(&mut self, head_dim: usize, first: usize, keys: &[f32], values: &[f32], all: &mut Vec<i8>) {
        let mean: Vec<f32> = keys.chunks_exact(BLOCK).map(|keys| mean(&keys[first..])).collect();
        let mut spread: Vec<f32> = keys.to_vec();
        for (keys, mean) in spread.chunks_exact_mut(BLOCK).zip(&mean) {
            let (before, keys) = keys.split_at_mut(first);
            before.fill(0.0);
            keys.iter_mut().for_each(|key| *key -= mean);
        }
        // SAFETY: the instruction set is the caller's; rows are blocks wide.
        unsafe { spread_out::<S>(&mut spread, BLOCK) };
        let mut most = [0f32; BLOCK];
        for keys in spread.chunks_exact(BLOCK) {
            most.iter_mut().zip(keys).for_each(|(most, key)| *most = most.max(key.abs()));
        }
        let width = key_dim(head_dim);
        let start = all.len();
        all.resize(start + BLOCK * (width + value_dim(head_dim)), 0);
        let (codes, value_codes) = all[start..].split_at_mut(BLOCK * width);
        let mut inverses = [0f32; BLOCK];
        if self.order.shares_scales() {
            for (inverses, most) in inverses.chunks_exact_mut(ALIKE).zip(most.chunks_exact(ALIKE)) {
                let most = most.iter().copied().fold(0.0, f32::max);
                inverses.fill(if most > 0.0 { 127.0 / most } else { 0.0 });
            }
        } else {
            // SAFETY: the instruction set is the caller's.
            unsafe { best_inverses::<S>(&spread, BLOCK, &most, &mut inverses) };
        }
        let mut sums = [0i32; BLOCK];
        for (i, keys) in spread.chunks_exact(BLOCK).enumerate() {
            let mut rounded = [0i8; BLOCK];
            let numbers = keys.iter().zip(&inverses).zip(&mut sums);
            for (code, ((key, inverse), sum)) in rounded.iter_mut().zip(numbers) {
                *code = to_byte(key * inverse);
                *sum += i32::from(*code);
            }
            self.order.put(codes, width, i, &rounded);
        }
        self.shifts.extend(sums.map(|sum| BIAS_BITS - 128 * sum));
        Scales::push(&mut self.factors, &inverses);
        self.factors.extend(mean);
        let stride = values.len() / BLOCK;
        // What rows are filled up with is zeros.
        let mut most = vec![0f32; stride];
        for values in values.chunks_exact(stride).skip(first) {
            most.iter_mut().zip(values).for_each(|(most, value)| *most = most.max(value.abs()));
        }
        let mut inverses = vec![0f32; stride];
        // SAFETY: as above.
        unsafe { best_inverses::<S>(&values[first * stride..], stride, &most, &mut inverses) };
        let mut rounded = vec![0i8; head_dim];
        for (key, values) in values.chunks_exact(stride).enumerate().skip(first) {
            for (code, (value, inverse)) in rounded.iter_mut().zip(values.iter().zip(&inverses)) {
                *code = to_byte(value * inverse);
            }
            self.order.put(value_codes, BLOCK, key, &rounded);
        }
        Scales::push(&mut self.factors, &inverses[..value_dim(head_dim)]);
    }

    fn head(&self, number: usize, head_dim: usize) -> Head<'_> {
        let width = key_dim(head_dim);
        let padded = value_dim(head_dim);
        let (keys, values) = self.codes[number * BLOCK * (width + padded)..].split_at(BLOCK * width);
        let (key_scales, rest) = self.factors[number * factors(head_dim)..].split_at(2 * BLOCK);
        let (of_keys, value_scales) = rest.split_at(head_dim);
        Head {
            keys,
            values: &values[..padded * BLOCK],
            shifts: &self.shifts[number * BLOCK..(number + 1) * BLOCK],
            key_scales: Scales::new(key_scales),
            mean_key_scale: mean(&key_scales[..BLOCK]),
            largest_key_scale: key_scales[..BLOCK].iter().copied().fold(0.0, f32::max),
            mean: of_keys,
            value_scales: Scales::new(&value_scales[..2 * padded]),
        }
    }
}

/// By sixteen sums, so that none waits for itself.
#[inline(always)]
fn mean(x: &[f32]) -> f32 {
    let (whole, rest) = x.as_chunks::<16>();
    let mut sums = [0f32; 16];
    whole.iter().for_each(|x| sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x));
    (sums.iter().sum::<f32>() + rest.iter().sum::<f32>()) / x.len() as f32
}

#[inline(always)]
fn to_byte(x: f32) -> i8 {
    // Within a byte, or no number. Rounded by what is added; the lowest bits are the whole number's.
    (x + BIAS).to_bits() as i8
}

/// What a code of one stands for, without the last bits: then it is exact times [`BIAS`] too.
#[inline(always)]
fn unit(inverse: f32) -> f32 {
    if inverse > 0.0 { f32::from_bits((1.0 / inverse).to_bits() & !3) } else { 0.0 }
}

/// Turns the columns of `x` (head_dim, width) by a Hadamard matrix, or by several smaller ones where `head_dim` is no power
/// of two: products of columns stay as they are, but what was large in one element is spread over all of them, so that
/// rounding loses less (arXiv:2407.08608 §3.3, arXiv:2404.00456).
#[inline(always)]
unsafe fn spread_out<S: Simd>(x: &mut [f32], width: usize) {
    let levels = (x.len() / width).trailing_zeros();
    let norm = 1.0 / ((1 << levels) as f32).sqrt();
    for x in x.chunks_exact_mut(width << levels) {
        let mut done = 0;
        while done < levels {
            let (step, factor) = (width << done, if done + 3 < levels { 1.0 } else { norm });
            // SAFETY: the instruction set is the caller's; rows are whole vectors.
            unsafe {
                match levels - done {
                    1 => turn_rows::<S, 2>(x, step, factor),
                    2 => turn_rows::<S, 4>(x, step, factor),
                    _ => turn_rows::<S, 8>(x, step, factor),
                }
            }
            done += 3;
        }
    }
}

/// Turns rows that lie `step` apart, N of them, by the matrix of Sylvester, times `factor`.
#[inline(always)]
unsafe fn turn_rows<S: Simd, const N: usize>(x: &mut [f32], step: usize, factor: f32) {
    debug_assert!(step.is_multiple_of(S::LANES), "rows of whole vectors");
    for x in x.chunks_exact_mut(N * step) {
        for at in (0..step).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let mut rows = [S::splat(0.0); N];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = S::load(x.as_ptr().add(at + i * step));
                }
                for (i, row) in turn_lanes::<S, N>(rows, N).into_iter().enumerate() {
                    S::store(x.as_mut_ptr().add(at + i * step), S::mul(row, S::splat(factor)));
                }
            }
        }
    }
}

/// Attention of a task's queries over those of its blocks that are rounded, put to where the task's results go; false if none is.
#[inline(always)]
pub(super) unsafe fn attend<S: Simd>(
    shape: Shape,
    q: &[f32],
    kv: &KvBlocks,
    visible: Visible,
    task: Task,
    to: Target,
) -> bool {
    // SAFETY: the instruction set is the caller's; where AMX is not available there are no blocks for it.
    unsafe {
        match kv.order {
            Order::Strips => attend_by::<S, InVectors>(shape, q, kv, visible, task, to),
            Order::Tiles => attend_by::<S, InTiles<amx::Machine>>(shape, q, kv, visible, task, to),
        }
    }
}

/// As [`attend`], by way of `P`.
#[inline(always)]
unsafe fn attend_by<S: Simd, P: Products>(
    shape: Shape,
    q: &[f32],
    kv: &KvBlocks,
    visible: Visible,
    task: Task,
    to: Target,
) -> bool {
    assert_eq!(kv.order, P::ORDER, "order of the codes");
    assert!(P::ORDER == Order::Strips || S::LANES == amx::ROWS, "vectors as wide as tiles");
    let group = shape.group();
    let mut sinks = None;
    // Where their keys begin, and what they are.
    let blocks: Vec<(usize, Head)> = task
        .seen_blocks(kv, visible, shape.window)
        .filter_map(|number| match &kv.blocks[number] {
            Block::Rounded(block) => Some((number * BLOCK, block.head(task.kv_head, shape.head_dim))),
            Block::First(first, block) => {
                sinks = Some(Sinks::new(first, kv.layout, task.kv_head));
                Some((number * BLOCK, block.head(task.kv_head, shape.head_dim)))
            }
            Block::Exact(_) => None,
        })
        .collect();
    if blocks.is_empty() {
        return false;
    }
    // SAFETY: the instruction set is the caller's.
    let queries = unsafe { Queries::new::<S>(shape, q, task, P::ORDER) };
    let lanes = queries.vectors * S::LANES;
    let mut state = State {
        top: Lines::filled(NEVER, lanes),
        unit: Lines::filled(NEVER, lanes),
        sum: Lines::zeros(lanes),
        out: Lines::any(lanes * value_dim(shape.head_dim)),
    };
    let mut scratch = Scratch::new(S::LANES, queries.vectors);
    // Of each lane the keys that it sees; lanes past the last row are like it.
    let rows = (task.first_row..task.first_row + task.rows).map(|row| visible.range(row, kv.len, shape.window));
    let mut seen: Vec<Range<usize>> = rows.flat_map(|seen| std::iter::repeat_n(seen, group)).collect();
    seen.resize(lanes, seen[seen.len() - 1].clone());
    if let Some(sinks) = sinks {
        for (vector, seen) in seen.chunks_exact_mut(S::LANES).enumerate() {
            // SAFETY: the instruction set is the caller's; the vector is one of the queries'.
            unsafe { sinks.begin::<S>(&queries, vector, seen, &mut scratch, &mut state) };
            seen.iter_mut().for_each(|seen| *seen = seen.start.max(SINKS)..seen.end.max(SINKS));
        }
    } else {
        state.out.fill(0.0);
    }
    // SAFETY: the instruction set is the caller's, and this thread has no other tiles.
    unsafe { P::begin() };
    let pairs = Pair::all::<S>(&seen);
    for blocks in blocks.chunks(TOGETHER) {
        // SAFETY: as above; the pairs' vectors are the queries'.
        unsafe { look_at::<S, P>(&queries, &pairs, &seen, blocks, &mut scratch, &mut state) };
    }
    // SAFETY: as above; the task's results are nobody else's.
    unsafe {
        P::end();
        state.store::<S>(task.rows * group, to);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Isa,
        attention::{KvType, Partial},
        simd::kernel,
    };

    kernel! { amx
        /// From blocks for vectors, and from those for tiles, in plain code and in the machine's own where it has them.
        fn all_ways = all_ways_body(shape: Shape, q: &[f32], kv: [&KvBlocks; 2], visible: Visible, task: Task) -> Vec<Option<Partial>>
    }

    #[inline(always)]
    unsafe fn all_ways_body<S: Simd>(
        shape: Shape,
        q: &[f32],
        [kv, tiled]: [&KvBlocks; 2],
        visible: Visible,
        task: Task,
    ) -> Vec<Option<Partial>> {
        // SAFETY: the instruction set is the caller's; tiles in plain code are everywhere.
        unsafe {
            let mut found = vec![
                found_by::<S, InVectors>(shape, q, kv, visible, task),
                found_by::<S, InTiles<amx::Soft>>(shape, q, tiled, visible, task),
            ];
            if S::ISA == Isa::Amx {
                found.push(found_by::<S, InTiles<amx::Machine>>(shape, q, tiled, visible, task));
            }
            found
        }
    }

    #[inline(always)]
    unsafe fn found_by<S: Simd, P: Products>(
        shape: Shape,
        q: &[f32],
        kv: &KvBlocks,
        visible: Visible,
        task: Task,
    ) -> Option<Partial> {
        let mut partial = Partial::nothing(task.rows * shape.group(), shape.head_dim);
        let to = Target::within(&mut partial, shape);
        // SAFETY: the caller's.
        unsafe { attend_by::<S, P>(shape, q, kv, visible, task, to) }.then_some(partial)
    }

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    fn in_both_orders(kv_heads: usize, head_dim: usize, keys: &[f32], values: &[f32]) -> [KvBlocks; 2] {
        [Order::Strips, Order::Tiles].map(|order| {
            let mut kv = KvBlocks::new(KvType::I8, kv_heads, head_dim);
            kv.order = order;
            kv.append_in_order(Isa::Avx512, keys, values);
            kv
        })
    }

    #[test]
    fn products_in_tiles_are_those_in_vectors() {
        // Tiles take vectors of sixteen lanes.
        if !Isa::Avx512.is_available() {
            return eprintln!("skipped: no AVX-512 here");
        }
        let shapes = [
            (Shape::new(3, 1, 64), 700, 50),
            (Shape::new(1, 1, 64), 1300, 7),
            (Shape::new(1, 1, 128), 300, 35),
            (Shape { window: Some(90), ..Shape::new(7, 1, 128) }, 400, 13),
            (Shape { softcap: Some(5.0), ..Shape::new(2, 2, 192) }, 130, 1),
            (Shape::new(1, 1, 256), 1100, 33),
        ];
        for (shape, tokens, rows) in shapes {
            let Shape { heads, kv_heads, head_dim, .. } = shape;
            let width = kv_heads * head_dim;
            let (keys, values) = (noise(1, tokens * width), noise(2, tokens * width));
            let [kv, tiled] = in_both_orders(kv_heads, head_dim, &keys, &values);
            let q = noise(3, rows * heads * head_dim);
            for (kv_head, visible) in (0..kv_heads).flat_map(|head| {
                [(head, Visible::Causal { first: tokens - rows }), (head, Visible::Causal { first: 40 })]
            }) {
                let task = Task { job: 0, kv_head, first_row: 0, rows, blocks: (0, tokens.div_ceil(BLOCK)), splits: 1 };
                for isa in [Isa::Avx512, Isa::Amx].into_iter().filter(|isa| isa.is_available()) {
                    let found = all_ways(isa, shape, &q, [&kv, &tiled], visible, task);
                    let [in_vectors, in_tiles @ ..] = &found[..] else { unreachable!("two ways at least") };
                    assert!(in_tiles.iter().all(|other| *other == in_tiles[0]), "{shape:?} on {isa}");
                    // Keys that share scales are rounded more coarsely, which few keys do not even out.
                    let numbers = |partial: &Option<Partial>| {
                        let Partial { out, lse } = partial.clone().expect("blocks that are rounded");
                        out.into_iter().chain(lse).collect::<Vec<_>>()
                    };
                    for (tiles, vectors) in numbers(&in_tiles[0]).iter().zip(numbers(in_vectors)) {
                        let off = if *tiles == vectors { 0.0 } else { (tiles - vectors).abs() };
                        assert!(off < 0.02, "{tiles}, not {vectors}: {shape:?} on {isa}");
                    }
                }
            }
        }
    }

    /// Weights are looked up by places where scores are not bent. Where they are, but hardly, the same codes are weighed in f32.
    #[test]
    fn places_weigh_as_scores_do_however_large_these_are() {
        // A weight that is two places off, one by cutting and one by rounding: 2^(2/12) - 1.
        const PLACES: f32 = 0.12;
        let (tokens, rows) = (300, 11);
        for (head_dim, larger) in [(64, 0.1), (128, 1.0), (192, 4.0), (64, 30.0), (128, 60.0), (256, 100.0)] {
            let plain = Shape::new(2, 1, head_dim);
            let [keys, values] = [4, 5].map(|seed| noise(seed, tokens * head_dim));
            let [kv, tiled] = in_both_orders(1, head_dim, &keys, &values);
            let q: Vec<f32> = noise(6, rows * 2 * head_dim).iter().map(|q| larger * q).collect();
            let visible = Visible::Causal { first: tokens - rows };
            let task = Task { job: 0, kv_head: 0, first_row: 0, rows, blocks: (0, tokens.div_ceil(BLOCK)), splits: 1 };
            for isa in [Isa::Avx512, Isa::Amx].into_iter().filter(|isa| isa.is_available()) {
                let found = [plain, Shape { softcap: Some(1e7), ..plain }].map(|shape| {
                    let [_, in_tiles, ..] = &all_ways(isa, shape, &q, [&kv, &tiled], visible, task)[..] else {
                        unreachable!()
                    };
                    in_tiles.clone().expect("blocks that are rounded")
                });
                let near = |a: &[f32], b: &[f32], most: f32| a.iter().zip(b).all(|(a, b)| (a - b).abs() < most);
                assert!(near(&found[0].out, &found[1].out, PLACES), "{head_dim} elements, {larger} times, on {isa}");
                assert!(near(&found[0].lse, &found[1].lse, PLACES), "{head_dim} elements, {larger} times, on {isa}");
            }
        }
    }
}
