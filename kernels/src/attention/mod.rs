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
    output::Output,
    pool,
    simd::{Simd, kernel},
};
use std::{ops::Range, sync::OnceLock};

/// Keys in a block.
pub const BLOCK: usize = 128;
/// Keys of a sequence's beginning that are looked at exactly: every query looks at the first ones most (attention sinks,
/// arXiv:2309.17453).
const SINKS: usize = 16;
/// Query rows that one task works on; about what the second-level cache holds with its accumulators.
const TASK_ROWS: usize = 384;
/// Fewest key blocks worth a task of their own when there are few queries.
const SPLIT_BLOCKS: usize = 4;

/// Which keys a query row sees, where no window narrows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible<'a> {
    /// All of them: the keys are a prefix of every query.
    All,
    /// Row r sees the keys 0 to `first + r`.
    Causal { first: usize },
    /// The keys are a prefix, of which row r is at the position `at[r]`, past its end.
    Behind { at: &'a [usize] },
}

impl Visible<'_> {
    /// Keys that row `row` sees of `len`, the last `window` up to itself where there is one.
    fn range(self, row: usize, len: usize, window: Option<usize>) -> Range<usize> {
        let end = match self {
            Visible::All => return 0..len,
            Visible::Causal { first } => first + row + 1,
            Visible::Behind { at } => at[row] + 1,
        };
        let start = window.map_or(0, |window| end.saturating_sub(window));
        start.min(len)..end.min(len)
    }
}

/// Whether queries of so many elements are multiplied with [`KvType::I8`]'s keys in tiles.
pub fn is_in_tiles(isa: Isa, head_dim: usize) -> bool {
    head_dim <= rounded::MOST_DIM && rounded::Order::of(isa, head_dim) == rounded::Order::Tiles
}

/// Cuts several to one length, `len` at most. Returns it.
pub fn cut_alike<T>(
    all: &mut [T],
    len: usize,
    truncate: impl Fn(&mut T, usize) -> usize,
    length: impl Fn(&T) -> usize,
) -> usize {
    // Work that was stopped has filled some further than others, and not each can be cut everywhere.
    let mut kept = len;
    loop {
        let shortest = all.iter_mut().map(|each| truncate(each, kept)).min().unwrap_or(0);
        if shortest == kept || all.iter().all(|each| length(each) == shortest) {
            return shortest;
        }
        kept = shortest;
    }
}

/// Attention of one layer: shapes, and what is done to the scores.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f32,
    /// A query sees this many keys at most, itself included; not for [`Visible::All`], which has no positions.
    pub window: Option<usize>,
    /// Scores become `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
}

impl Shape {
    /// Plain attention: scores are scaled by 1 / √head_dim.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize) -> Shape {
        let scale = 1.0 / (head_dim as f32).sqrt();
        Shape { heads, kv_heads, head_dim, scale, window: None, softcap: None }
    }

    /// Heads that share a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
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
    /// Of queries that saw no key.
    fn nothing(rows: usize, head_dim: usize) -> Partial {
        Partial { out: vec![0.0; rows * head_dim], lse: vec![f32::NEG_INFINITY; rows] }
    }

    /// Merges attention over other keys of the same queries into this one:
    /// o = e^(l₁-l) o₁ + e^(l₂-l) o₂ with l = log(e^l₁ + e^l₂).
    pub fn merge(&mut self, other: &Partial) {
        merge(&mut self.out, &mut self.lse, other);
    }
}

/// As [`Partial::merge`], of results that lie in `out` and `lse`.
pub fn merge(out: &mut [f32], lse: &mut [f32], other: &Partial) {
    merge_rows(out, lse, (&other.out, &other.lse));
}

/// The same, of results that lie anywhere.
fn merge_rows(out: &mut [f32], lse: &mut [f32], (other, other_lse): (&[f32], &[f32])) {
    assert_eq!((out.len(), lse.len()), (other.len(), other_lse.len()), "same queries");
    let head_dim = out.len() / lse.len().max(1);
    for (row, (lse, &other_lse)) in lse.iter_mut().zip(other_lse).enumerate() {
        if other_lse == f32::NEG_INFINITY {
            continue;
        }
        let top = lse.max(other_lse);
        let (mine, theirs) = ((*lse - top).exp(), (other_lse - top).exp());
        let sum = mine + theirs;
        let (mine, theirs) = (mine / sum, theirs / sum);
        let at = row * head_dim..(row + 1) * head_dim;
        for (out, other) in out[at.clone()].iter_mut().zip(&other[at]) {
            *out = mine * *out + theirs * other;
        }
        *lse = top + sum.ln();
    }
}

/// Queries over one cache.
pub struct Job<'a> {
    /// (rows, heads, head_dim)
    pub q: &'a [f32],
    pub kv: &'a KvBlocks,
    pub visible: Visible<'a>,
    /// Where the results go: (rows, heads, head_dim).
    pub out: &'a mut [f32],
    /// (rows, heads); -∞ where a row sees no key.
    pub lse: &'a mut [f32],
}

/// Attention of `q` (rows, heads, head_dim) over the keys of `kv` that `visible` shows them.
pub fn attend(isa: Isa, shape: Shape, q: &[f32], kv: &KvBlocks, visible: Visible) -> Partial {
    let mut whole = Partial { out: vec![0.0; q.len()], lse: vec![0.0; q.len() / shape.head_dim] };
    attend_all(isa, shape, &mut [Job { q, kv, visible, out: &mut whole.out, lse: &mut whole.lse }]);
    whole
}

/// Does all of `jobs`, side by side.
pub fn attend_all(isa: Isa, shape: Shape, jobs: &mut [Job]) {
    jobs.iter().for_each(|job| job.check(shape));
    let tasks: Vec<Task> = jobs.iter().enumerate().flat_map(|(number, job)| job.tasks(number, shape)).collect();
    let targets: Vec<Target> = jobs.iter_mut().map(|job| job.target(shape)).collect();
    // Of those tasks whose keys others share, what they found.
    let found: Vec<OnceLock<Partial>> = tasks.iter().map(|_| OnceLock::new()).collect();
    let jobs = &*jobs;
    pool::run(tasks.len(), |index| {
        let task = tasks[index];
        let job = &jobs[task.job];
        let attend = |to: Target| attend_task(isa, shape, job.q, job.kv, job.visible, task, to);
        if task.splits == 1 {
            return attend(targets[task.job].of(&task));
        }
        let mut partial = Partial::nothing(task.rows * shape.group(), shape.head_dim);
        attend(Target::within(&mut partial, shape));
        found[index].set(partial).expect("each task is run once");
    });
    let mut rest = tasks.iter().zip(found).filter(|(task, _)| task.splits > 1);
    while let Some((task, first)) = rest.next() {
        let mut merged = first.into_inner().expect("every task was run");
        for (_, other) in rest.by_ref().take(task.splits - 1) {
            merged.merge(&other.into_inner().expect("every task was run"));
        }
        // SAFETY: the rows and the heads are within the job's results, and no other task's.
        unsafe { targets[task.job].of(task).store(&merged) };
    }
}

impl Job<'_> {
    fn rows(&self, shape: Shape) -> usize {
        self.q.len() / (shape.heads * shape.head_dim)
    }

    fn check(&self, shape: Shape) {
        let Shape { heads, kv_heads, head_dim, .. } = shape;
        assert_eq!((kv_heads, head_dim), (self.kv.layout.kv_heads, self.kv.layout.head_dim), "shape of the cache");
        assert!(heads.is_multiple_of(kv_heads), "whole groups of heads");
        let rows = self.rows(shape);
        assert_eq!(self.q.len(), rows * heads * head_dim, "length of q");
        assert_eq!((self.out.len(), self.lse.len()), (self.q.len(), rows * heads), "lengths of the results");
        if let Visible::Behind { at } = self.visible {
            assert_eq!(at.len(), rows, "as many positions as rows");
        }
    }

    fn tasks(&self, job: usize, shape: Shape) -> impl Iterator<Item = Task> {
        let (rows, blocks) = (self.rows(shape), self.kv.len.div_ceil(BLOCK));
        let (step, splits) = (task_rows(shape), splits(shape, rows, blocks));
        (0..rows.div_ceil(step)).flat_map(move |part| (0..shape.kv_heads).map(move |kv_head| (part, kv_head))).flat_map(
            move |(part, kv_head)| {
                (0..splits).map(move |split| Task {
                    job,
                    kv_head,
                    first_row: part * step,
                    rows: step.min(rows - part * step),
                    blocks: (split * blocks / splits, (split + 1) * blocks / splits),
                    splits,
                })
            },
        )
    }

    fn target(&mut self, shape: Shape) -> Target {
        Target::new(self.out, self.lse, shape.heads, shape)
    }
}

/// Query positions that one task works on.
fn task_rows(shape: Shape) -> usize {
    (TASK_ROWS / shape.group()).max(1)
}

/// How many tasks share the keys of the same queries, where there are few of these.
fn splits(shape: Shape, rows: usize, blocks: usize) -> usize {
    let row_tasks = rows.div_ceil(task_rows(shape));
    let wanted = (4 * pool::threads()).div_ceil((shape.kv_heads * row_tasks).max(1));
    wanted.min(blocks / SPLIT_BLOCKS).max(1)
}

/// Rows of q times one key head times a range of key blocks.
#[derive(Debug, Clone, Copy)]
struct Task {
    job: usize,
    kv_head: usize,
    first_row: usize,
    rows: usize,
    blocks: (usize, usize),
    /// Tasks for the same rows and head, which share all blocks, one after the other.
    splits: usize,
}

impl Task {
    /// Those of its blocks of which a row sees something.
    fn seen_blocks(&self, kv: &KvBlocks, visible: Visible, window: Option<usize>) -> Range<usize> {
        let ranges = (self.first_row..self.first_row + self.rows).map(|row| visible.range(row, kv.len, window));
        let (start, end) = ranges.fold((kv.len, 0), |(start, end), range| (start.min(range.start), end.max(range.end)));
        (start / BLOCK).max(self.blocks.0)..end.div_ceil(BLOCK).min(self.blocks.1)
    }
}

/// Where results go: (rows, heads, head_dim) and (rows, heads), of which those of one group are meant. Tasks that run side by side
/// have rows or groups of their own, and none outlives the results.
#[derive(Clone, Copy)]
struct Target {
    out: Output,
    lse: Output,
    /// Heads that share a key head.
    group: usize,
    head_dim: usize,
}

impl Target {
    /// The first group of results of so many heads.
    fn new(out: &mut [f32], lse: &mut [f32], heads: usize, shape: Shape) -> Target {
        let (group, head_dim) = (shape.group(), shape.head_dim);
        Target {
            out: Output { start: out.as_mut_ptr(), stride: heads * head_dim },
            lse: Output { start: lse.as_mut_ptr(), stride: heads },
            group,
            head_dim,
        }
    }

    /// The whole of a task's results.
    fn within(partial: &mut Partial, shape: Shape) -> Target {
        Target::new(&mut partial.out, &mut partial.lse, shape.group(), shape)
    }

    /// Where those of a task begin.
    fn of(self, task: &Task) -> Target {
        let first_head = task.kv_head * self.group;
        Target {
            out: self.out.at(task.first_row, first_head * self.head_dim),
            lse: self.lse.at(task.first_row, first_head),
            ..self
        }
    }

    /// Those of a row: (heads of the group, head_dim) and (heads of the group).
    ///
    /// # Safety
    /// The row is among the results, and nobody else has it.
    #[inline(always)]
    unsafe fn row<'a>(self, row: usize) -> (&'a mut [f32], &'a mut [f32]) {
        let Target { out, lse, group, head_dim } = self;
        // SAFETY: the caller's.
        unsafe {
            let out = std::slice::from_raw_parts_mut(out.at(row, 0).start, group * head_dim);
            (out, std::slice::from_raw_parts_mut(lse.at(row, 0).start, group))
        }
    }

    /// Each row, and that of what was `found`.
    ///
    /// # Safety
    /// As many rows are among the results, and nobody else has them.
    unsafe fn each_row(self, found: &Partial, with: impl Fn(&mut [f32], &mut [f32], (&[f32], &[f32]))) {
        let rows = found.out.chunks_exact(self.group * self.head_dim).zip(found.lse.chunks_exact(self.group));
        for (row, found) in rows.enumerate() {
            // SAFETY: the caller's.
            let (out, lse) = unsafe { self.row(row) };
            with(out, lse, found);
        }
    }

    /// Puts there what was found.
    ///
    /// # Safety
    /// As for [`Target::each_row`].
    unsafe fn store(self, found: &Partial) {
        let put = |out: &mut [f32], lse: &mut [f32], found: (&[f32], &[f32])| {
            out.copy_from_slice(found.0);
            lse.copy_from_slice(found.1);
        };
        // SAFETY: the caller's.
        unsafe { self.each_row(found, put) };
    }
}

kernel! { amx
    fn attend_task = task_body(shape: Shape, q: &[f32], kv: &KvBlocks, visible: Visible, task: Task, to: Target)
}

#[inline(always)]
unsafe fn task_body<S: Simd>(shape: Shape, q: &[f32], kv: &KvBlocks, visible: Visible, task: Task, to: Target) {
    // SAFETY: the instruction set is the caller's; the task's results are nobody else's.
    unsafe {
        let is_there = rounded::attend::<S>(shape, q, kv, visible, task, to);
        match (is_there, exact::attend::<S>(shape, q, kv, visible, task)) {
            (true, Some(other)) => to.each_row(&other, merge_rows),
            (true, None) => (),
            (false, Some(only)) => to.store(&only),
            (false, None) => to.store(&Partial::nothing(task.rows * shape.group(), shape.head_dim)),
        }
    }
}
