//! Short convolutions over a sequence's tokens, each channel by itself: a token is mixed with the few before it. What the
//! next token needs of those is kept beside the sequence's keys and values.

use super::{KvCache, MIXED, Tail, split, split_mut};
use crate::{
    Result,
    device::{self, Marks, Place},
};
use ronbun_kernels::pool;
use std::{convert::Infallible, sync::Arc};

/// A sequence can be cut after every so many tokens: where keys and values in bytes can be cut too, and seldom enough
/// that what is kept for it is small beside them.
const STRIDE: usize = 256;

/// Rows computed by one thread at a time.
const ROWS: usize = 32;

/// A layer's convolution.
pub struct Kernel {
    pub channels: usize,
    /// (length, channels): of the oldest token first, of the token itself last.
    weights: Vec<f32>,
    /// (channels)
    bias: Option<Vec<f32>>,
    /// The same there, where a GPU computes.
    on_gpu: Option<device::Convolution>,
}

/// What a layer's convolution keeps of one sequence.
pub enum Memory {
    Cpu(Inputs),
    Gpu(device::Memory),
}

/// As [`Memory`], on the CPU.
pub struct Inputs {
    channels: usize,
    /// Elements that are remembered of a place.
    kept: usize,
    /// Inputs of the last tokens, (length − 1, channels).
    marks: Marks<Vec<f32>>,
}

impl Memory {
    /// Of a convolution over `length` tokens.
    pub fn new(place: &Place, length: usize, channels: usize) -> Memory {
        let on_gpu = place.gpu().map(|gpu| device::Memory::new(gpu.clone(), length, channels, STRIDE));
        on_gpu.map_or_else(|| Memory::Cpu(Inputs::new(length, channels)), Memory::Gpu)
    }

    /// Bytes that `tokens` tokens take.
    pub fn bytes_for(place: &Place, length: usize, channels: usize, tokens: usize) -> u64 {
        match place {
            Place::Cpu => ((1 + tokens / STRIDE) * (length - 1) * channels * size_of::<f32>()) as u64,
            Place::Gpu(_) => device::Memory::bytes_for(length, channels, STRIDE, tokens),
        }
    }

    /// Keeps the first `len` tokens, or fewer: those up to a mark. Returns how many are left.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        match self {
            Memory::Cpu(inputs) => inputs.marks.truncate(len),
            Memory::Gpu(memory) => memory.truncate(len),
        }
    }

    fn inputs(&self) -> &Inputs {
        match self {
            Memory::Cpu(inputs) => inputs,
            Memory::Gpu(_) => panic!("{MIXED}"),
        }
    }

    fn inputs_mut(&mut self) -> &mut Inputs {
        match self {
            Memory::Cpu(inputs) => inputs,
            Memory::Gpu(_) => panic!("{MIXED}"),
        }
    }

    pub(super) fn on_gpu(&self) -> &device::Memory {
        match self {
            Memory::Cpu(_) => panic!("{MIXED}"),
            Memory::Gpu(memory) => memory,
        }
    }

    pub(super) fn on_gpu_mut(&mut self) -> &mut device::Memory {
        match self {
            Memory::Cpu(_) => panic!("{MIXED}"),
            Memory::Gpu(memory) => memory,
        }
    }
}

impl Inputs {
    fn new(length: usize, channels: usize) -> Inputs {
        Inputs { channels, kept: (length - 1) * channels, marks: Marks::new(STRIDE) }
    }

    /// Adds tokens' inputs (tokens, channels); returns them behind those that were remembered, that `before` remembers, or
    /// behind zeros, which stand for those before a text's start.
    fn append(&mut self, inputs: impl Iterator<Item = f32>, before: Option<&Inputs>) -> Vec<f32> {
        let past = self.marks.last().or(before.and_then(|before| before.marks.last()));
        let mut joined = past.cloned().unwrap_or_else(|| vec![0.0; self.kept]);
        joined.extend(inputs);
        let tokens = (joined.len() - self.kept) / self.channels;
        // After so many of the new tokens, what came last begins at as many rows.
        let after = |tokens: usize| Ok::<_, Infallible>(joined[tokens * self.channels..][..self.kept].to_vec());
        let Ok(()) = self.marks.advance(tokens, after);
        joined
    }
}

/// A gated convolution: from `bcx` (rows of all tails, 3 · channels), two gates B and C beside the inputs x, computes
/// C · (kernel ∗ B · x) into `out` (rows, channels). A tail goes on where it stood; one that is empty starts with a copy
/// of what the prefix remembers.
pub fn convolve(
    layer: usize,
    kernel: &Kernel,
    bcx: &[f32],
    prefix: Option<&KvCache>,
    tails: &mut [Tail],
    out: &mut [f32],
) {
    let channels = kernel.channels;
    let parts = split(bcx, 3 * channels, tails).into_iter().zip(split_mut(out, channels, tails));
    for ((bcx, out), tail) in parts.collect::<Vec<_>>().into_iter().zip(tails) {
        let memory = tail.cache.convolutions[layer].inputs_mut();
        let before = prefix.map(|prefix| prefix.convolutions[layer].inputs());
        let gated = |row: &[f32]| (0..channels).map(|c| row[c] * row[2 * channels + c]).collect::<Vec<_>>();
        let inputs = memory.append(bcx.chunks_exact(3 * channels).flat_map(gated), before);
        pool::chunks_mut(out, ROWS * channels, |number, rows| {
            for (at, out) in rows.chunks_exact_mut(channels).enumerate() {
                let row = number * ROWS + at;
                kernel.row(&inputs[row * channels..], &bcx[(3 * row + 1) * channels..], out);
            }
        });
    }
}

impl Kernel {
    /// `weights` are (length, channels), of the oldest token first. Sends them to where they are computed with.
    pub fn new(channels: usize, weights: Vec<f32>, bias: Option<Vec<f32>>, place: &Place) -> Result<Kernel> {
        let send = |gpu: &Arc<device::Gpu>| device::Convolution::new(gpu, channels, &weights, bias.as_deref());
        let on_gpu = place.gpu().map(send).transpose().map_err(device::failed)?;
        Ok(Kernel { channels, weights, bias, on_gpu })
    }

    pub(super) fn on_gpu(&self) -> Option<&device::Convolution> {
        self.on_gpu.as_ref()
    }

    /// One token's (channels), from the inputs of the tokens up to it, oldest first, and its gate.
    fn row(&self, inputs: &[f32], gate: &[f32], out: &mut [f32]) {
        match &self.bias {
            Some(bias) => out.copy_from_slice(bias),
            None => out.fill(0.0),
        }
        for (weights, inputs) in self.weights.chunks_exact(self.channels).zip(inputs.chunks_exact(self.channels)) {
            for ((out, weight), input) in out.iter_mut().zip(weights).zip(inputs) {
                *out += weight * input;
            }
        }
        out.iter_mut().zip(gate).for_each(|(out, gate)| *out *= gate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attention::KvType, device::Place};

    const CHANNELS: usize = 5;
    const LENGTH: usize = 4;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * 37 + seed * 11) % 23) as f32 / 11.0 - 1.0).collect()
    }

    fn kernel() -> Kernel {
        let (weights, bias) = (values(LENGTH * CHANNELS, 1), values(CHANNELS, 2));
        Kernel::new(CHANNELS, weights, Some(bias), &Place::Cpu).expect("a kernel")
    }

    fn cache() -> KvCache {
        let keys = KvCache::new([(&Place::Cpu, KvType::F32, 1)], 1, 16);
        keys.with_convolutions(vec![Memory::new(&Place::Cpu, LENGTH, CHANNELS)])
    }

    /// Rows of a whole text, by the formula.
    fn slowly(bcx: &[f32]) -> Vec<f32> {
        let kernel = kernel();
        let at = |row: usize, part: usize, c: usize| bcx[(3 * row + part) * CHANNELS + c];
        let value = |row: usize, c: usize| {
            let seen = (0..LENGTH).filter(|back| *back <= row);
            let weight = |back: usize| kernel.weights[(LENGTH - 1 - back) * CHANNELS + c];
            let sum: f32 = seen.map(|back| weight(back) * at(row - back, 0, c) * at(row - back, 2, c)).sum();
            at(row, 1, c) * (sum + kernel.bias.as_ref().unwrap()[c])
        };
        (0..bcx.len() / 3).map(|n| value(n / CHANNELS, n % CHANNELS)).collect()
    }

    fn next(cache: &mut KvCache, bcx: &[f32], prefix: Option<&KvCache>) -> Vec<f32> {
        run(bcx, prefix, &mut [Tail { rows: bcx.len() / 3 / CHANNELS, cache }])
    }

    fn run(bcx: &[f32], prefix: Option<&KvCache>, tails: &mut [Tail]) -> Vec<f32> {
        let mut out = vec![f32::NAN; bcx.len() / 3];
        convolve(0, &kernel(), bcx, prefix, tails, &mut out);
        out
    }

    fn near(got: &[f32], expected: &[f32]) -> bool {
        got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    fn rows(bcx: &[f32], from: usize, to: usize) -> &[f32] {
        &bcx[3 * CHANNELS * from..3 * CHANNELS * to]
    }

    #[test]
    fn pieces_give_what_the_whole_does() {
        let bcx = values(3 * CHANNELS * 70, 3);
        let expected = slowly(&bcx);
        for piece in [1, 2, 7, 33, 70] {
            let mut cache = cache();
            let got: Vec<f32> =
                bcx.chunks(3 * CHANNELS * piece).flat_map(|piece| next(&mut cache, piece, None)).collect();
            assert!(near(&got, &expected), "{piece} at a time");
        }
    }

    #[test]
    fn branches_start_from_the_prefix_and_do_not_see_each_other() {
        let bcx = values(3 * CHANNELS * 20, 4);
        let mut prefix = cache();
        next(&mut prefix, rows(&bcx, 0, 10), None);
        let other = values(3 * CHANNELS * 10, 5);
        let expected = [&bcx[..], &[rows(&bcx, 0, 10), &other].concat()].map(slowly);
        let mut caches = [cache(), cache()];
        for (from, to) in [(0, 3), (3, 10)] {
            let [a, b] = &mut caches;
            let tails = &mut [Tail { rows: to - from, cache: a }, Tail { rows: to - from, cache: b }];
            let both = [rows(&bcx, 10 + from, 10 + to), rows(&other, from, to)].concat();
            let got = run(&both, Some(&prefix), tails);
            let expected = expected.each_ref().map(|rows| &rows[(10 + from) * CHANNELS..(10 + to) * CHANNELS]);
            assert!(near(&got, &expected.concat()));
        }
        // The prefix is as it was.
        assert!(near(&next(&mut prefix, rows(&bcx, 10, 20), None), &expected[0][10 * CHANNELS..]));
    }

    #[test]
    fn a_text_that_is_cut_goes_on_from_a_mark() {
        let bcx = values(3 * CHANNELS * 700, 6);
        let expected = slowly(&bcx);
        for (cut, kept) in [(700, 700), (699, 512), (512, 512), (511, 256), (255, 0), (0, 0)] {
            let mut cache = cache();
            for piece in bcx.chunks(3 * CHANNELS * 300) {
                next(&mut cache, piece, None);
            }
            let memory = cache.convolutions[0].inputs_mut();
            assert_eq!(memory.marks.truncate(cut), kept);
            assert_eq!(memory.marks.all().count(), kept / STRIDE + usize::from(kept > 0));
            if kept < 700 {
                let got = next(&mut cache, rows(&bcx, kept, 700), None);
                assert!(near(&got, &expected[kept * CHANNELS..]), "cut at {cut}");
            }
        }
    }

    #[test]
    fn bytes_are_those_that_are_held() {
        let mut memory = Inputs::new(LENGTH, CHANNELS);
        for tokens in [0usize, 10, 255, 256, 1000] {
            let more = (tokens - memory.marks.tokens()) * CHANNELS;
            memory.append(std::iter::repeat_n(1.0, more), None);
            let held = memory.marks.all().map(Vec::len).sum::<usize>();
            assert_eq!(Memory::bytes_for(&Place::Cpu, LENGTH, CHANNELS, tokens), 4 * held as u64, "{tokens}");
        }
    }
}
