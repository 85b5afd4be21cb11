//! Short convolutions over texts in pieces, behind a prefix, and cut.

use crate::{FLOATS, Memory, Random, assert_close, bits, rounding, wide};
use ronbun_kernels::cuda::{Float, arguments::Convolve, launch, slots::Slots};

const STRIDE: usize = 8;
/// Of what a sequence may come to have.
const TOKENS: usize = 40;

/// A convolution on the device, with the same weights here.
struct Kernel {
    float: Float,
    length: usize,
    channels: usize,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    memory: Memory,
}

/// What it remembers of a sequence, at `kept` on the device.
#[derive(Clone, Copy)]
struct Sequence {
    slots: Slots,
    kept: u64,
}

impl Kernel {
    fn new(float: Float, length: usize, channels: usize, biased: bool) -> Kernel {
        let mut random = Random(length as u64 + 40);
        let weights = random.vec(length * channels);
        let bias = biased.then(|| random.vec(channels));
        Kernel { float, length, channels, weights, bias, memory: Memory::default() }
    }

    /// Numbers for `tokens` tokens.
    fn tokens(&self, tokens: usize, seed: u64) -> Vec<f32> {
        Random(seed).exact(self.float, tokens * 3 * self.channels)
    }

    fn sequence(&mut self) -> Sequence {
        let room = Slots::count(STRIDE, TOKENS) * (self.length - 1) * self.channels;
        Sequence { slots: Slots::new(STRIDE), kept: self.memory.put(&vec![f32::NAN; room]) }
    }

    /// Runs the new tokens of some sequences behind a prefix.
    fn run(&mut self, prefix: Option<Sequence>, tails: &mut [(&mut Sequence, &[f32])]) -> Vec<f32> {
        let slot_bytes = (4 * (self.length - 1) * self.channels) as u64;
        let slot = |kept: u64| move |number: usize| kept + number as u64 * slot_bytes;
        let before = prefix.and_then(|prefix| prefix.slots.last().map(slot(prefix.kept)));
        let (mut sequences, mut sequence_of, mut bcx) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (sequence, rows)) in tails.iter_mut().enumerate() {
            let tokens = rows.len() / 3 / self.channels;
            let new = (sequence_of.len(), tokens);
            sequences.push(sequence.slots.remembered(slot(sequence.kept), before, new));
            sequence.slots.advance(tokens);
            sequence_of.extend(vec![number as i32; tokens]);
            bcx.extend(bits(self.float, rows));
        }
        let convolve = Convolve {
            bcx: self.memory.put(&bcx),
            weights: self.memory.put(&self.weights),
            bias: self.bias.as_ref().map_or(0, |bias| self.memory.put(bias)),
            sequences: self.memory.put(&sequences),
            sequence_of: self.memory.put(&sequence_of),
            out: self.memory.put(&vec![0xffff_u16; bcx.len() / 3]),
            tokens: sequence_of.len() as i32,
            channels: self.channels as i32,
            length: self.length as i32,
            stride: STRIDE as i32,
        };
        self.memory.run(&launch::convolve(self.float, &convolve), &convolve, 1);
        wide(self.float, &self.memory.get(convolve.out))
    }

    /// A whole text, by the formula.
    fn slowly(&self, bcx: &[f32]) -> Vec<f64> {
        let at = |token: usize, part: usize, c: usize| f64::from(bcx[(3 * token + part) * self.channels + c]);
        let value = |token: usize, c: usize| {
            let seen = (0..self.length).filter(|back| *back <= token);
            let weight = |back: usize| f64::from(self.weights[(self.length - 1 - back) * self.channels + c]);
            let sum: f64 = seen.map(|back| weight(back) * at(token - back, 0, c) * at(token - back, 2, c)).sum();
            at(token, 1, c) * (sum + self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[c])))
        };
        (0..bcx.len() / 3).map(|n| value(n / self.channels, n % self.channels)).collect()
    }

    /// Tokens `from..to` of what there is for each channel so many times.
    fn part<'a, V>(&self, rows: &'a [V], times: usize, from: usize, to: usize) -> &'a [V] {
        &rows[times * self.channels * from..times * self.channels * to]
    }
}

#[test]
fn pieces_give_what_the_whole_does() {
    for float in FLOATS {
        for (length, channels, biased) in [(1, 5, true), (2, 130, false), (3, 33, false), (4, 128, true)] {
            let mut kernel = Kernel::new(float, length, channels, biased);
            let bcx = kernel.tokens(28, 3);
            let expected = kernel.slowly(&bcx);
            for pieces in [&[28][..], &[1, 1, 2, 4, 3, 17]] {
                let (mut sequence, mut done) = (kernel.sequence(), 0);
                for piece in pieces {
                    let rows = kernel.part(&bcx, 3, done, done + piece);
                    let got = kernel.run(None, &mut [(&mut sequence, rows)]);
                    let expected = kernel.part(&expected, 1, done, done + piece);
                    assert_close(&got, expected, rounding(float), &format!("{length} tokens, pieces {pieces:?}"));
                    done += piece;
                }
            }
        }
    }
}

#[test]
fn ragged_tails_start_from_the_prefix_and_do_not_see_each_other() {
    let mut kernel = Kernel::new(Float::Bf16, 4, 70, true);
    let text = kernel.tokens(10, 4);
    let mut prefix = kernel.sequence();
    kernel.run(None, &mut [(&mut prefix, &text)]);
    let before = prefix;
    let ends = [5, 6, 7].map(|seed| kernel.tokens(20, seed));
    let expected = ends.each_ref().map(|end| kernel.slowly(&[&*text, end].concat()));
    let mut tails = [0; 3].map(|_| kernel.sequence());
    let mut done = [0; 3];
    for new in [[1, 2, 11], [9, 0, 1], [1, 1, 1], [2, 16, 0]] {
        let [a, b, c] = &mut tails;
        let rows = |n: usize| kernel.part(&ends[n], 3, done[n], done[n] + new[n]);
        let mut batch = [(a, rows(0)), (b, rows(1)), (c, rows(2))];
        let all = (0..3).flat_map(|n| kernel.part(&expected[n], 1, 10 + done[n], 10 + done[n] + new[n])).copied();
        let all: Vec<f64> = all.collect();
        let got = kernel.run(Some(prefix), &mut batch);
        assert_close(&got, &all, rounding(Float::Bf16), "tails");
        done.iter_mut().zip(new).for_each(|(done, new)| *done += new);
    }
    // The prefix is as it was.
    assert_eq!(before.slots.last(), prefix.slots.last());
    let got = kernel.run(None, &mut [(&mut prefix, &ends[0])]);
    assert_close(&got, kernel.part(&expected[0], 1, 10, 30), rounding(Float::Bf16), "the prefix");
}

#[test]
fn a_text_that_is_cut_goes_on_from_a_mark() {
    let mut kernel = Kernel::new(Float::F16, 3, 40, false);
    let bcx = kernel.tokens(30, 8);
    let expected = kernel.slowly(&bcx);
    for (cut, kept) in [(30, 30), (29, 24), (24, 24), (23, 16), (7, 0), (0, 0)] {
        for piece in [7, 30] {
            let mut sequence = kernel.sequence();
            for piece in bcx.chunks(3 * kernel.channels * piece) {
                kernel.run(None, &mut [(&mut sequence, piece)]);
            }
            assert_eq!((sequence.slots.truncate(cut), sequence.slots.len()), (kept, kept));
            for (from, to) in [(kept, 30.min(kept + 3)), (30.min(kept + 3), 30)] {
                let got = kernel.run(None, &mut [(&mut sequence, kernel.part(&bcx, 3, from, to))]);
                let expected = kernel.part(&expected, 1, from, to);
                assert_close(&got, expected, rounding(Float::F16), &format!("cut at {cut}"));
            }
        }
    }
}
