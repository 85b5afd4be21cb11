//! Keys and values in blocks, and attention over them with an online softmax.
//!
//! A block holds [`BLOCK`] keys, transposed to (head_dim, BLOCK) so that the scores of many queries are one matrix product,
//! and as many values as (BLOCK, head_dim). Queries of all heads that share a key head, times several positions or several
//! branches, are the rows of one product: that is what makes grouped-query attention and shared-prefix decoding cheap.
//! No length×length matrix is ever built; results of disjoint key ranges merge exactly by their log-sum-exp.

use crate::{
    Isa,
    gemm::{self, Rows},
    simd::{self, Simd, kernel},
};
use half::f16;
use rayon::prelude::*;

/// Keys in a block.
pub const BLOCK: usize = 64;
/// Query rows that one task works on; about what the second-level cache holds with its accumulators.
const TASK_ROWS: usize = 96;
/// Fewest key blocks worth a task of their own when there are few queries.
const SPLIT_BLOCKS: usize = 8;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    F16,
    F32,
}

impl KvType {
    pub fn bytes(self) -> usize {
        match self {
            KvType::F16 => 2,
            KvType::F32 => 4,
        }
    }
}

#[derive(Debug, Clone)]
enum Values {
    F16(Vec<f16>),
    F32(Vec<f32>),
}

impl Values {
    fn zeros(kind: KvType, len: usize) -> Values {
        match kind {
            KvType::F16 => Values::F16(vec![f16::ZERO; len]),
            KvType::F32 => Values::F32(vec![0.0; len]),
        }
    }

    fn set(&mut self, at: usize, x: f32) {
        match self {
            // Keys past f16's range would become infinite; they are kept at its end instead.
            Values::F16(values) => values[at] = f16::from_f32(x.clamp(-65504.0, 65504.0)),
            Values::F32(values) => values[at] = x,
        }
    }

    /// Elements from `at` on, as many as `out` has, a multiple of 16.
    #[inline(always)]
    unsafe fn widen<S: Simd>(&self, at: usize, out: &mut [f32]) {
        debug_assert!(out.len().is_multiple_of(16));
        match self {
            Values::F16(values) => {
                let values = &values[at..at + out.len()];
                for i in (0..out.len()).step_by(S::LANES) {
                    // SAFETY: LANES divides 16, and both slices are as long.
                    unsafe { S::store(out.as_mut_ptr().add(i), S::load_f16(values.as_ptr().add(i))) };
                }
            }
            Values::F32(values) => out.copy_from_slice(&values[at..at + out.len()]),
        }
    }
}

/// Keys and values of one sequence in one layer.
#[derive(Debug, Clone)]
pub struct KvBlocks {
    kind: KvType,
    kv_heads: usize,
    head_dim: usize,
    len: usize,
    /// Per block: for each key head its keys (head_dim, BLOCK), then for each its values (BLOCK, padded head_dim).
    blocks: Vec<Values>,
}

/// Rows of values are padded to this many elements.
const PAD: usize = 16;

impl KvBlocks {
    pub fn new(kind: KvType, kv_heads: usize, head_dim: usize) -> Self {
        KvBlocks { kind, kv_heads, head_dim, len: 0, blocks: Vec::new() }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn value_dim(&self) -> usize {
        self.head_dim.next_multiple_of(PAD)
    }

    fn keys_at(&self, kv_head: usize) -> usize {
        kv_head * self.head_dim * BLOCK
    }

    fn values_at(&self, kv_head: usize) -> usize {
        self.kv_heads * self.head_dim * BLOCK + kv_head * BLOCK * self.value_dim()
    }

    /// Bytes that `tokens` tokens take.
    pub fn bytes_for(kind: KvType, kv_heads: usize, head_dim: usize, tokens: usize) -> usize {
        let block = kv_heads * BLOCK * (head_dim + head_dim.next_multiple_of(PAD));
        tokens.div_ceil(BLOCK) * block * kind.bytes()
    }

    /// Adds tokens: `keys` and `values` are (tokens, kv_heads, head_dim), keys already rotated.
    pub fn append(&mut self, keys: &[f32], values: &[f32]) {
        let row = self.kv_heads * self.head_dim;
        assert_eq!(keys.len(), values.len(), "as many keys as values");
        assert!(keys.len().is_multiple_of(row), "whole tokens");
        let block_len = self.kv_heads * BLOCK * (self.head_dim + self.value_dim());
        let (head_dim, value_dim) = (self.head_dim, self.value_dim());
        for (k, v) in keys.chunks_exact(row).zip(values.chunks_exact(row)) {
            let slot = self.len % BLOCK;
            let number = self.len / BLOCK;
            if number == self.blocks.len() {
                self.blocks.push(Values::zeros(self.kind, block_len));
            }
            for head in 0..self.kv_heads {
                let (keys_at, values_at) = (self.keys_at(head), self.values_at(head));
                let block = &mut self.blocks[number];
                for i in 0..head_dim {
                    block.set(keys_at + i * BLOCK + slot, k[head * head_dim + i]);
                    block.set(values_at + slot * value_dim + i, v[head * head_dim + i]);
                }
            }
            self.len += 1;
        }
    }

    /// Keeps the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.blocks.truncate(self.len.div_ceil(BLOCK));
    }
}

/// Which keys a query row sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// All of them: the keys are a prefix of every query.
    All,
    /// Row r sees the keys 0 to `first + r`.
    Causal { first: usize },
}

impl Visible {
    /// Keys that row `row` sees of `len`.
    pub fn count(self, row: usize, len: usize) -> usize {
        match self {
            Visible::All => len,
            Visible::Causal { first } => (first + row + 1).min(len),
        }
    }
}

/// Attention of one layer: shapes and the scale of the scores.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f32,
}

/// What attention over some keys gives: outputs and the log-sum-exp of their scores, which makes them mergeable.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// (rows, heads, head_dim)
    pub out: Vec<f32>,
    /// (rows, heads); -∞ where a row saw no key.
    pub lse: Vec<f32>,
}

impl Partial {
    /// Merges attention over other keys of the same queries into this one:
    /// o = e^(l₁-l) o₁ + e^(l₂-l) o₂ with l = log(e^l₁ + e^l₂).
    pub fn merge(&mut self, other: &Partial) {
        assert_eq!(self.lse.len(), other.lse.len(), "same queries");
        let head_dim = self.out.len() / self.lse.len().max(1);
        for (row, (lse, &other_lse)) in self.lse.iter_mut().zip(&other.lse).enumerate() {
            if other_lse == f32::NEG_INFINITY {
                continue;
            }
            let top = lse.max(other_lse);
            let (mine, theirs) = ((*lse - top).exp(), (other_lse - top).exp());
            let sum = mine + theirs;
            let at = row * head_dim..(row + 1) * head_dim;
            for (out, other) in self.out[at.clone()].iter_mut().zip(&other.out[at]) {
                *out = (mine * *out + theirs * other) / sum;
            }
            *lse = top + sum.ln();
        }
    }
}

/// Attention of `q` (rows, heads, head_dim) over the keys of `kv` that `visible` shows them.
pub fn attend(isa: Isa, shape: Shape, q: &[f32], kv: &KvBlocks, visible: Visible) -> Partial {
    let Shape { heads, kv_heads, head_dim, .. } = shape;
    assert_eq!((kv_heads, head_dim), (kv.kv_heads, kv.head_dim), "shape of the cache");
    assert!(heads.is_multiple_of(kv_heads), "whole groups of heads");
    let rows = q.len() / (heads * head_dim);
    assert_eq!(q.len(), rows * heads * head_dim, "length of q");
    let group = heads / kv_heads;
    let step = (TASK_ROWS / group).max(1);
    let row_tasks = rows.div_ceil(step);
    let blocks = kv.len.div_ceil(BLOCK);
    let wanted = (4 * rayon::current_num_threads()).div_ceil((kv_heads * row_tasks).max(1));
    let splits = wanted.min(blocks / SPLIT_BLOCKS).max(1);
    let tasks: Vec<Task> = (0..row_tasks)
        .flat_map(|part| (0..kv_heads).map(move |kv_head| (part, kv_head)))
        .flat_map(|(part, kv_head)| {
            (0..splits).map(move |split| Task {
                kv_head,
                first_row: part * step,
                rows: step.min(rows - part * step),
                blocks: (split * blocks / splits, (split + 1) * blocks / splits),
            })
        })
        .collect();
    let results: Vec<Partial> = tasks.par_iter().map(|&task| attend_task(isa, shape, q, kv, visible, task)).collect();

    let mut whole = Partial { out: vec![0.0; rows * heads * head_dim], lse: vec![f32::NEG_INFINITY; rows * heads] };
    for (task, results) in tasks.chunks(splits).zip(results.chunks(splits)) {
        let mut merged = results[0].clone();
        results[1..].iter().for_each(|result| merged.merge(result));
        // A task's rows are (row, head of the group).
        for row in 0..task[0].rows {
            let to = (task[0].first_row + row) * heads + task[0].kv_head * group;
            let from = row * group;
            whole.lse[to..to + group].copy_from_slice(&merged.lse[from..from + group]);
            whole.out[to * head_dim..(to + group) * head_dim]
                .copy_from_slice(&merged.out[from * head_dim..(from + group) * head_dim]);
        }
    }
    whole
}

/// Rows of q times one key head times a range of key blocks.
#[derive(Debug, Clone, Copy)]
struct Task {
    kv_head: usize,
    first_row: usize,
    rows: usize,
    blocks: (usize, usize),
}

kernel! {
    fn attend_task = task_body(shape: Shape, q: &[f32], kv: &KvBlocks, visible: Visible, task: Task) -> Partial
}

#[inline(always)]
unsafe fn task_body<S: Simd>(shape: Shape, q: &[f32], kv: &KvBlocks, visible: Visible, task: Task) -> Partial {
    let Shape { heads, kv_heads, head_dim, scale } = shape;
    let group = heads / kv_heads;
    let rows = task.rows * group;
    let value_dim = kv.value_dim();
    // (rows, head_dim), scaled
    let mut queries = vec![0f32; rows * head_dim];
    for row in 0..task.rows {
        let from = ((task.first_row + row) * heads + task.kv_head * group) * head_dim;
        let to = row * group * head_dim;
        for (out, x) in queries[to..to + group * head_dim].iter_mut().zip(&q[from..]) {
            *out = x * scale;
        }
    }
    let mut keys = vec![0f32; head_dim * BLOCK];
    let mut values = vec![0f32; BLOCK * value_dim];
    let mut scores = vec![0f32; rows * BLOCK];
    let mut out = vec![0f32; rows * value_dim];
    let mut top = vec![f32::NEG_INFINITY; rows];
    let mut sum = vec![0f32; rows];

    let seen_by_last = visible.count(task.first_row + task.rows - 1, kv.len);
    for block in task.blocks.0..task.blocks.1.min(seen_by_last.div_ceil(BLOCK)) {
        // SAFETY: the instruction set is the caller's; (head_dim, BLOCK) and (BLOCK, value_dim) are multiples of 64.
        unsafe {
            kv.blocks[block].widen::<S>(kv.keys_at(task.kv_head), &mut keys);
            kv.blocks[block].widen::<S>(kv.values_at(task.kv_head), &mut values);
        }
        let first_key = block * BLOCK;
        // SAFETY: queries (rows, head_dim), keys (head_dim, BLOCK), scores (rows, BLOCK).
        unsafe {
            let a = Rows { start: queries.as_ptr(), stride: head_dim };
            let b = Rows { start: keys.as_ptr(), stride: BLOCK };
            gemm::multiply::<S>(a, b, scores.as_mut_ptr(), BLOCK, (rows, head_dim, BLOCK), false);
        }
        for row in 0..rows {
            let seen = visible.count(task.first_row + row / group, kv.len).saturating_sub(first_key).min(BLOCK);
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

    let mut partial = Partial { out: vec![0.0; rows * head_dim], lse: vec![f32::NEG_INFINITY; rows] };
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
    partial
}

/// One step of the online softmax for one row: turns the first `seen` scores into weights e^(s - top), the rest into 0,
/// after raising `top` to their maximum and scaling what `out` and `sum` hold accordingly.
#[inline(always)]
unsafe fn soften<S: Simd>(scores: &mut [f32], seen: usize, out: &mut [f32], top: &mut f32, sum: &mut f32) {
    scores[seen..].fill(f32::NEG_INFINITY);
    if seen == 0 {
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
        scores[seen..].fill(0.0);
        *sum += S::sum(total);
    }
}
