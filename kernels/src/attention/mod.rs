//! Keys and values in blocks, and attention over them with an online softmax.
//!
//! A block holds [`BLOCK`] keys, transposed to (head_dim, BLOCK) so that the scores of many queries are one matrix product,
//! and as many values as (BLOCK, head_dim). Queries of all heads that share a key head, times several positions or several
//! branches, are the rows of one product: that is what makes grouped-query attention and shared-prefix decoding cheap.
//! [`KvType`] chooses whether blocks are kept exactly or rounded to bytes; the example `rates` prints how fast each is.
//! No length×length matrix is ever built; results of disjoint key ranges merge exactly by their log-sum-exp.

mod cache;
mod exact;
mod rounded;

pub use cache::{KvBlocks, KvType};

use crate::{
    Isa,
    simd::{Simd, kernel},
};
use rayon::prelude::*;

/// Keys in a block.
pub const BLOCK: usize = 64;
/// Query rows that one task works on; about what the second-level cache holds with its accumulators.
const TASK_ROWS: usize = 96;
/// Fewest key blocks worth a task of their own when there are few queries.
const SPLIT_BLOCKS: usize = 8;

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
    let mut results: Vec<Partial> =
        tasks.par_iter().map(|&task| attend_task(isa, shape, q, kv, visible, task)).collect();

    let mut whole = Partial { out: vec![0.0; rows * heads * head_dim], lse: vec![f32::NEG_INFINITY; rows * heads] };
    for (task, results) in tasks.chunks(splits).zip(results.chunks_mut(splits)) {
        let Some((merged, others)) = results.split_first_mut() else { continue };
        others.iter().for_each(|other| merged.merge(other));
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
    // SAFETY: the instruction set is the caller's.
    let mut partial = unsafe { exact::attend::<S>(shape, q, kv, visible, task) };
    // SAFETY: as above.
    if let Some(rounded) = unsafe { rounded::attend::<S>(shape, q, kv, visible, task) } {
        partial.merge(&rounded);
    }
    partial
}
