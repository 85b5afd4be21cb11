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
//! much larger than the others ([`block::spread_out`]).

mod block;
mod pairs;
mod places;
mod products;
mod queries;
mod scale;
mod sinks;
mod state;
mod step;

use super::{BLOCK, KvBlocks, SINKS, Shape, Target, Task, Visible, cache::Block};
use crate::{amx, lines::Lines, simd::Simd};
pub(super) use block::Rounded;
use block::{Head, value_dim};
use pairs::{Pair, look_at};
pub(super) use products::Order;
use products::{InTiles, InVectors, Products};
use queries::Queries;
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
        if !Isa::Amx.is_available() {
            return eprintln!("skipped: no AMX here, and so no places");
        }
        let (tokens, rows) = (300, 11);
        for (head_dim, larger) in [(64, 0.1), (128, 1.0), (192, 4.0), (64, 30.0), (128, 60.0), (256, 100.0)] {
            let plain = Shape::new(2, 1, head_dim);
            let [keys, values] = [4, 5].map(|seed| noise(seed, tokens * head_dim));
            let [kv, tiled] = in_both_orders(1, head_dim, &keys, &values);
            let q: Vec<f32> = noise(6, rows * 2 * head_dim).iter().map(|q| larger * q).collect();
            let visible = Visible::Causal { first: tokens - rows };
            let task = Task { job: 0, kv_head: 0, first_row: 0, rows, blocks: (0, tokens.div_ceil(BLOCK)), splits: 1 };
            let found = [plain, Shape { softcap: Some(1e7), ..plain }].map(|shape| {
                let [_, in_tiles, ..] = &all_ways(Isa::Amx, shape, &q, [&kv, &tiled], visible, task)[..] else {
                    unreachable!()
                };
                in_tiles.clone().expect("blocks that are rounded")
            });
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < PLACES);
            assert!(near(&found[0].out, &found[1].out), "{head_dim} elements, {larger} times");
            assert!(near(&found[0].lse, &found[1].lse), "{head_dim} elements, {larger} times");
        }
    }
}
