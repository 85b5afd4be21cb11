//! Keys and values that are kept as bytes: appended, rounded block by block, cut, and looked at.

use crate::{Memory, Random, assert_close, attention::Look, bits, rounding, wide};
use ronbun_kernels::{
    attention::{Shape, Visible},
    cuda::{
        Chip, Float,
        arguments::{Append, Job},
        extent::{self, Extent, line_of},
        launch,
        plan::BLOCK,
    },
    reference,
};

const FLOAT: Float = Float::Bf16;
/// Tokens that there is room for in 16 bits, and as bytes.
const EXACT: usize = 5 * BLOCK;
const ROUNDED: usize = 8 * BLOCK;

/// One sequence of one layer as the device keeps it, and what it is to hold.
struct Sequence {
    memory: Memory,
    shape: Shape,
    extent: Extent,
    exact: extent::Memory,
    rounded: extent::Memory,
    /// (tokens, kv_heads, head_dim)
    keys: Vec<f32>,
    values: Vec<f32>,
    seed: i32,
}

impl Sequence {
    fn new(shape: Shape, seed: i32) -> Sequence {
        let mut memory = Memory::default();
        let width = shape.kv_heads * shape.head_dim;
        let factors = shape.kv_heads * ROUNDED / BLOCK * (BLOCK + 2 * shape.head_dim);
        let [keys, values] = [(); 2].map(|()| memory.put(&vec![0xffff_u16; EXACT * width]));
        let exact = extent::Memory { keys, values, factors: 0, capacity: EXACT };
        let [keys, values] = [(); 2].map(|()| memory.put(&vec![0x55_i8; ROUNDED * width]));
        let factors = memory.put(&vec![f32::NAN; factors]);
        let rounded = extent::Memory { keys, values, factors, capacity: ROUNDED };
        let extent = Extent::default();
        Sequence { memory, shape, extent, exact, rounded, keys: Vec::new(), values: Vec::new(), seed }
    }

    fn width(&self) -> usize {
        self.shape.kv_heads * self.shape.head_dim
    }

    fn jobs(&self) -> Vec<Job> {
        let job = |stretch: extent::Stretch| {
            let memory = if stretch.rounded { self.rounded } else { self.exact };
            stretch.job(memory, self.shape.head_dim)
        };
        self.extent.stretches().into_iter().map(job).collect()
    }

    /// Appends tokens whose keys have much in common, as real ones have.
    fn append(&mut self, tokens: usize, random: &mut Random) {
        let dim = self.shape.head_dim;
        let keys = random.vec(tokens * self.width());
        let keys: Vec<f32> = keys.iter().enumerate().map(|(at, x)| x + 3.0 * ((at % dim) as f32).sin()).collect();
        let keys = wide(FLOAT, &bits(FLOAT, &keys));
        let values = random.exact(FLOAT, keys.len());
        let mut job = self.jobs().pop().expect("a last stretch");
        job.length += tokens as i32;
        job.tokens = tokens as i32;
        let append = Append {
            k: self.memory.put(&bits(FLOAT, &keys)),
            v: self.memory.put(&bits(FLOAT, &values)),
            jobs: self.memory.put(&[job]),
            job_of: self.memory.put(&vec![0; tokens]),
            tokens: tokens as i32,
            kv_heads: self.shape.kv_heads as i32,
            head_dim: dim as i32,
            stride: self.width() as i32,
            ..Append::default()
        };
        self.memory.run(&launch::append(FLOAT, &append), &append, self.seed);
        self.extent.length += tokens;
        self.keys.extend(keys);
        self.values.extend(values);
    }

    /// Rounds whole blocks, and moves what lies behind them to their place.
    fn round(&mut self) {
        let blocks = self.extent.to_round();
        let round = self.extent.round(self.exact, self.rounded, (self.shape.kv_heads, self.shape.head_dim));
        self.memory.run(&launch::round(FLOAT, &round, blocks), &round, self.seed);
        let from = BLOCK + blocks * BLOCK;
        let left = self.extent.exact() - from;
        self.extent = self.extent.with_rounded(blocks);
        for address in [&mut self.exact.keys, &mut self.exact.values] {
            let mut elements: Vec<u16> = self.memory.get(*address);
            let line = line_of(self.shape.head_dim);
            for lines in elements.chunks_exact_mut(EXACT * line) {
                lines.copy_within(from * line..(from + left) * line, BLOCK * line);
                lines[(BLOCK + left) * line..].fill(0xffff);
            }
            *address = self.memory.put(&elements);
        }
    }

    fn cut(&mut self, length: usize) -> usize {
        self.extent = self.extent.cut(length);
        let elements = self.extent.length * self.width();
        self.keys.truncate(elements);
        self.values.truncate(elements);
        self.extent.length
    }

    /// Holds the attention of the last tokens to the reference over keys and values that were not rounded.
    #[track_caller]
    fn check(&mut self, tokens: usize, processors: usize, random: &mut Random) {
        let q = random.exact(FLOAT, tokens * self.shape.heads * self.shape.head_dim);
        let first = self.extent.length - tokens;
        let jobs: Vec<Job> = self.jobs().into_iter().map(|job| Job { tokens: tokens as i32, ..job }).collect();
        let positions: Vec<i32> = (first..self.extent.length).map(|position| position as i32).collect();
        let look = Look { float: FLOAT, shape: self.shape, jobs: &jobs, positions: &positions, q: &q };
        let chip = Chip { processors, hopper: false };
        let got = look.run(&mut self.memory, chip, self.seed).expect("kernels for all");
        let visible = Visible::Causal { first };
        let (expected, _) = reference::attention(self.shape, &q, &self.keys, &self.values, visible);
        let tolerance = if self.extent.rounded > 0 { 1.5e-2 } else { 2.0 * rounding(FLOAT) };
        assert_close(&got, &expected, tolerance, &format!("{:?}, {:?}", self.shape, self.extent));
    }
}

#[test]
fn a_sequence_grows_is_rounded_cut_and_grows_again() {
    for (seed, (heads, kv_heads, dim)) in (0..).zip([(4, 2, 64), (6, 2, 96), (3, 1, 128), (2, 1, 256)]) {
        let mut random = Random(dim as u64);
        let mut sequence = Sequence::new(Shape::new(heads, kv_heads, dim), seed);
        sequence.append(70, &mut random);
        sequence.append(3, &mut random);
        sequence.check(3, 1, &mut random);
        sequence.append(150, &mut random);
        sequence.check(150, 1, &mut random);
        sequence.round();
        assert_eq!(sequence.extent, Extent { length: 223, rounded: 128 });
        sequence.check(1, 8, &mut random);
        sequence.append(100, &mut random);
        sequence.check(100, 8, &mut random);
        sequence.round();
        assert_eq!((sequence.extent.rounded, sequence.cut(200)), (256, 192));
        sequence.append(9, &mut random);
        sequence.check(9, 4, &mut random);
        assert_eq!(sequence.cut(40), 40);
        sequence.append(1, &mut random);
        sequence.check(1, 1, &mut random);
    }
}

#[test]
fn windows_and_soft_caps_over_bytes() {
    for (seed, (window, softcap)) in (0..).zip([(Some(100), None), (None, Some(2.0)), (Some(40), Some(2.0))]) {
        let mut random = Random(7);
        let mut sequence = Sequence::new(Shape { window, softcap, ..Shape::new(4, 2, 64) }, seed);
        sequence.append(290, &mut random);
        sequence.round();
        sequence.append(12, &mut random);
        sequence.check(12, 4, &mut random);
    }
}
