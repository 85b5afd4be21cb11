//! Prefill, decoding and cascade decoding: whole plans, run and merged as on a device.

use crate::{FLOATS, Memory, Random, assert_close, bits, kept_at, rounding, wide};
use ronbun_kernels::{
    attention::{Shape, Visible},
    cuda::{
        Chip, Float, Kind, Plan, Span,
        arguments::{Attention, Job, Merge},
        launch,
    },
    reference,
};

/// A batch: branches behind a prefix, each of whose tails holds `held` keys before its `new` tokens.
struct Batch<'a> {
    shape: Shape,
    float: Float,
    prefix: usize,
    branches: &'a [(usize, usize)],
    /// Of the chip that it is planned for: many split the keys.
    processors: usize,
    seed: i32,
}

/// Keys and values (tokens, kv_heads, head_dim).
struct Kv {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Batch<'_> {
    fn width(&self) -> usize {
        self.shape.kv_heads * self.shape.head_dim
    }

    fn random_kv(&self, tokens: usize, random: &mut Random) -> Kv {
        let len = tokens * self.width();
        Kv { keys: random.exact(self.float, len), values: random.exact(self.float, len) }
    }

    /// As the device keeps them; the room that is not used holds no numbers.
    fn kept(&self, rows: &[f32], capacity: usize) -> Vec<u16> {
        let Shape { kv_heads, head_dim, .. } = self.shape;
        let mut kept = vec![0xffff; kv_heads * capacity * head_dim];
        for (number, row) in bits(self.float, rows).chunks_exact(head_dim).enumerate() {
            for (element, bits) in row.iter().enumerate() {
                kept[kept_at(head_dim, capacity, number % kv_heads, number / kv_heads, element)] = *bits;
            }
        }
        kept
    }

    fn job(&self, memory: &mut Memory, kv: &Kv, base: usize, first_token: usize, tokens: usize) -> Job {
        let length = kv.keys.len() / self.width();
        let capacity = length + 3;
        Job {
            keys: memory.put(&self.kept(&kv.keys, capacity)),
            values: memory.put(&self.kept(&kv.values, capacity)),
            length: length as i32,
            capacity: capacity as i32,
            base: base as i32,
            first_token: first_token as i32,
            tokens: tokens as i32,
            ..Job::default()
        }
    }

    /// Runs the batch with numbers of its own and holds it to the reference.
    #[track_caller]
    fn check(&self) {
        let mut random = Random(self.prefix as u64 * 31 + self.branches.len() as u64 + 5);
        let tokens: usize = self.branches.iter().map(|(_, new)| new).sum();
        let prefix = self.random_kv(self.prefix, &mut random);
        let tails: Vec<Kv> = self.branches.iter().map(|(held, new)| self.random_kv(held + new, &mut random)).collect();
        let q = random.exact(self.float, tokens * self.shape.heads * self.shape.head_dim);
        let expected = self.expected(&prefix, &tails, &q);
        // What is rounded: the weights, and the result.
        let tolerance = 2.0 * rounding(self.float);
        for hopper in [false, true] {
            let Some(got) = self.run(hopper, &prefix, &tails, &q) else { continue };
            let name = format!("{:?} {:?} {}", self.float, self.shape, if hopper { "by Hopper's kernels" } else { "" });
            assert_close(&got, &expected, tolerance, &name);
        }
    }

    fn expected(&self, prefix: &Kv, tails: &[Kv], q: &[f32]) -> Vec<f64> {
        let width = self.shape.heads * self.shape.head_dim;
        let mut first = 0;
        let mut all = Vec::new();
        for ((held, new), tail) in self.branches.iter().zip(tails) {
            let (keys, values) = ([&*prefix.keys, &tail.keys].concat(), [&*prefix.values, &tail.values].concat());
            let visible = Visible::Causal { first: self.prefix + held };
            let q = &q[first * width..(first + new) * width];
            all.extend(reference::attention(self.shape, q, &keys, &values, visible).0);
            first += new;
        }
        all
    }

    /// `None` as [`Look::run`] tells.
    fn run(&self, hopper: bool, prefix: &Kv, tails: &[Kv], q: &[f32]) -> Option<Vec<f32>> {
        let mut memory = Memory::default();
        let (mut jobs, mut positions) = (Vec::new(), Vec::new());
        let tokens = self.branches.iter().map(|(_, new)| new).sum();
        jobs.push(self.job(&mut memory, prefix, 0, 0, tokens));
        for ((held, new), tail) in self.branches.iter().zip(tails) {
            jobs.push(self.job(&mut memory, tail, self.prefix, positions.len(), *new));
            positions.extend((0..*new).map(|token| (self.prefix + held + token) as i32));
        }
        let chip = Chip { processors: self.processors, hopper };
        let look = Look { float: self.float, shape: self.shape, jobs: &jobs, positions: &positions, q };
        look.run(&mut memory, chip, self.seed)
    }
}

/// Queries (tokens, heads, head_dim) at their positions, and the keys and values that they look at.
pub struct Look<'a> {
    pub float: Float,
    pub shape: Shape,
    pub jobs: &'a [Job],
    pub positions: &'a [i32],
    pub q: &'a [f32],
}

impl Look<'_> {
    /// Plans for a chip, runs and merges. `None` where Hopper's kernels are wanted and there is nothing to do for them, or
    /// nothing that they run on.
    pub fn run(&self, memory: &mut Memory, chip: Chip, seed: i32) -> Option<Vec<f32>> {
        let Shape { heads, kv_heads, head_dim, scale, window, softcap } = self.shape;
        let tokens = self.positions.len();
        let spans: Vec<Span> = self.jobs.iter().map(span).collect();
        let plan = Plan::new((heads, kv_heads, head_dim), &spans, tokens, chip).expect("a plan");
        if chip.hopper && !(memory.hopper() && plan.parts.iter().any(|part| part.tile.kind == Kind::Hopper)) {
            return None;
        }
        let none = f32::NAN;
        let out = memory.put(&vec![0xffff_u16; self.q.len()]);
        let mut attention = Attention {
            q: memory.put(&bits(self.float, self.q)),
            jobs: memory.put(self.jobs),
            positions: memory.put(self.positions),
            partial_out: memory.put(&vec![none; plan.partials * heads * head_dim]),
            partial_lse: memory.put(&vec![none; plan.partials * heads]),
            out: if plan.direct() { out } else { 0 },
            heads: heads as i32,
            kv_heads: kv_heads as i32,
            head_dim: head_dim as i32,
            window: window.unwrap_or(0) as i32,
            scale,
            softcap: softcap.unwrap_or(0.0),
            ..Attention::default()
        };
        for part in &plan.parts {
            attention.tasks = memory.put(&part.tasks);
            memory.run(&launch::attention(self.float, part, kv_heads), &attention, seed);
        }
        if !plan.direct() {
            let Attention { partial_out, partial_lse, .. } = attention;
            let (starts, list) = (memory.put(&plan.starts), memory.put(&plan.list));
            let (tokens, heads, head_dim) = (tokens as i32, heads as i32, head_dim as i32);
            let merge = Merge { partial_out, partial_lse, starts, list, out, tokens, heads, head_dim, unused: 0 };
            memory.run(&launch::merge(self.float, &merge), &merge, seed);
        }
        Some(wide(self.float, &memory.get(out)))
    }
}

fn span(job: &Job) -> Span {
    let [length, first_token, tokens] = [job.length, job.first_token, job.tokens].map(|number| number as usize);
    Span { length, first_token, tokens, rounded: job.factors != 0 }
}

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> Shape {
    Shape::new(heads, kv_heads, head_dim)
}

fn batch<'a>(shape: Shape, prefix: usize, branches: &'a [(usize, usize)]) -> Batch<'a> {
    Batch { shape, float: Float::Bf16, prefix, branches, processors: 1, seed: 0 }
}

#[test]
fn prefill_from_the_start_of_all_tiles() {
    for (seed, (heads, kv_heads, head_dim)) in
        [(2, 1, 64), (3, 1, 80), (4, 2, 96), (5, 1, 128), (2, 2, 192), (3, 1, 256)].into_iter().enumerate()
    {
        for float in FLOATS {
            let branches = [(0, 70)];
            let batch = batch(shape(heads, kv_heads, head_dim), 0, &branches);
            Batch { float, seed: seed as i32, ..batch }.check();
        }
    }
}

#[test]
fn prefill_with_an_offset_a_window_and_a_soft_cap() {
    let branches = [(100, 30)];
    for window in [None, Some(1), Some(50), Some(64)] {
        for softcap in [None, Some(1.5)] {
            let shape = Shape { window, softcap, scale: 0.7, ..shape(6, 2, 64) };
            // The last has copies and products early, and some that multiply before some that copy.
            for seed in [0, 7] {
                Batch { seed, ..batch(shape, 0, &branches) }.check();
            }
        }
    }
}

#[test]
fn prefill_over_many_tiles_of_keys() {
    for (seed, head_dim) in [64, 112, 128, 256].into_iter().enumerate() {
        for window in [None, Some(300)] {
            let branches = [(1000, 25)];
            let shape = Shape { window, ..shape(3, 1, head_dim) };
            Batch { seed: seed as i32, ..batch(shape, 0, &branches) }.check();
        }
    }
}

#[test]
fn one_token_over_split_keys() {
    for (head_dim, prefix) in [(64, 1), (64, 600), (128, 1000), (256, 515)] {
        for processors in [1, 8] {
            let branches = [(2, 1)];
            Batch { processors, seed: 1, ..batch(shape(4, 2, head_dim), prefix, &branches) }.check();
        }
    }
}

#[test]
fn branches_of_all_lengths_over_one_prefix() {
    let branches = [(0, 1), (17, 1), (64, 1), (3, 5), (130, 1), (1, 1)];
    for (window, softcap) in [(None, None), (Some(40), None), (None, Some(2.0))] {
        for (heads, kv_heads, head_dim, prefix) in [(7, 1, 64, 200), (8, 2, 128, 530)] {
            let shape = Shape { window, softcap, ..shape(heads, kv_heads, head_dim) };
            for seed in [2, 5] {
                Batch { processors: 4, seed, ..batch(shape, prefix, &branches) }.check();
            }
        }
    }
}
