//! Attention over blocks of keys and values that are not rounded: products in f32.

use super::{BLOCK, KvBlocks, Partial, Shape, Task, Visible, cache::Block};
use crate::{
    gemm::{self, Rows},
    simd::{self, Simd},
};

/// Attention of a task's queries over those of its blocks that are not rounded; `None` if all are.
#[inline(always)]
pub(super) unsafe fn attend<S: Simd>(
    shape: Shape,
    q: &[f32],
    kv: &KvBlocks,
    visible: Visible,
    task: Task,
) -> Option<Partial> {
    let Shape { heads, head_dim, scale, window, softcap, .. } = shape;
    let mut blocks = task
        .seen_blocks(kv, visible, window)
        .filter_map(|number| match &kv.blocks[number] {
            Block::Exact(kept) => Some((number, kept)),
            Block::Rounded(_) | Block::First(..) => None,
        })
        .peekable();
    blocks.peek()?;
    let group = shape.group();
    let rows = task.rows * group;
    let value_dim = kv.layout.value_dim();
    // (rows, head_dim), scaled
    let mut queries = vec![0f32; rows * head_dim];
    for row in 0..task.rows {
        let from = ((task.first_row + row) * heads + task.kv_head * group) * head_dim;
        let to = row * group * head_dim;
        for (out, x) in queries[to..to + group * head_dim].iter_mut().zip(&q[from..]) {
            *out = x * scale;
        }
    }
    let (mut key_room, mut value_room) = (Vec::new(), Vec::new());
    let mut scores = vec![0f32; rows * BLOCK];
    let mut out = vec![0f32; rows * value_dim];
    let mut top = vec![f32::NEG_INFINITY; rows];
    let mut sum = vec![0f32; rows];

    for (block, kept) in blocks {
        // SAFETY: the instruction set is the caller's; (head_dim, BLOCK) and (BLOCK, value_dim) are multiples of 64.
        let (keys, values) = unsafe {
            (
                kept.widened::<S>(kv.layout.keys_at(task.kv_head), head_dim * BLOCK, &mut key_room),
                kept.widened::<S>(kv.layout.values_at(task.kv_head), BLOCK * value_dim, &mut value_room),
            )
        };
        let first_key = block * BLOCK;
        // SAFETY: queries (rows, head_dim), keys (head_dim, BLOCK), scores (rows, BLOCK).
        unsafe {
            let a = Rows { start: queries.as_ptr(), stride: head_dim };
            let b = Rows { start: keys.as_ptr(), stride: BLOCK };
            gemm::multiply::<S>(a, b, scores.as_mut_ptr(), BLOCK, (rows, head_dim, BLOCK), false);
        }
        if let Some(cap) = softcap {
            scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
        }
        for row in 0..rows {
            let seen = visible.range(task.first_row + row / group, kv.len, window);
            let seen = [seen.start, seen.end].map(|key| key.saturating_sub(first_key).min(BLOCK));
            let scores = &mut scores[row * BLOCK..(row + 1) * BLOCK];
            let out = &mut out[row * value_dim..(row + 1) * value_dim];
            // SAFETY: the instruction set is the caller's; lengths are multiples of 16.
            unsafe { soften::<S>(scores, seen, out, &mut top[row], &mut sum[row]) };
        }
        // SAFETY: scores (rows, BLOCK), values (BLOCK, value_dim), out (rows, value_dim).
        unsafe {
            let a = Rows { start: scores.as_ptr(), stride: BLOCK };
            let b = Rows { start: values.as_ptr(), stride: value_dim };
            gemm::multiply::<S>(a, b, out.as_mut_ptr(), value_dim, (rows, BLOCK, value_dim), true);
        }
    }

    let mut partial = Partial::nothing(rows, head_dim);
    for row in 0..rows {
        if sum[row] > 0.0 {
            partial.lse[row] = top[row] + sum[row].ln();
            let inverse = 1.0 / sum[row];
            for (to, from) in partial.out[row * head_dim..(row + 1) * head_dim].iter_mut().zip(&out[row * value_dim..])
            {
                *to = from * inverse;
            }
        }
    }
    Some(partial)
}

/// One step of the online softmax for one row: turns the scores from `start` to `end` into weights e^(s - top), the rest
/// into 0, after raising `top` to their maximum and scaling what `out` and `sum` hold accordingly.
#[inline(always)]
unsafe fn soften<S: Simd>(scores: &mut [f32], [start, end]: [usize; 2], out: &mut [f32], top: &mut f32, sum: &mut f32) {
    scores[..start].fill(f32::NEG_INFINITY);
    scores[end..].fill(f32::NEG_INFINITY);
    if start >= end {
        scores.fill(0.0);
        return;
    }
    unsafe {
        let mut largest = S::load(scores.as_ptr());
        for at in (S::LANES..BLOCK).step_by(S::LANES) {
            largest = S::max(largest, S::load(scores.as_ptr().add(at)));
        }
        let new_top = S::largest(largest).max(*top);
        if new_top > *top {
            let factor = (*top - new_top).exp();
            *top = new_top;
            *sum *= factor;
            let factor = S::splat(factor);
            for at in (0..out.len()).step_by(S::LANES) {
                let p = out.as_mut_ptr().add(at);
                S::store(p, S::mul(S::load(p), factor));
            }
        }
        let minus_top = S::splat(-*top);
        let mut total = S::splat(0.0);
        for at in (0..BLOCK).step_by(S::LANES) {
            let p = scores.as_mut_ptr().add(at);
            let weight = simd::exp::<S>(S::add(S::load(p), minus_top));
            S::store(p, weight);
            total = S::add(total, weight);
        }
        scores[..start].fill(0.0);
        scores[end..].fill(0.0);
        *sum += S::sum(total);
    }
}
