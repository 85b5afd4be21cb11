//! Short convolutions over a sequence's tokens, each channel by itself, and what they remember of the sequence.

use super::gpu::{Gpu, put};
use crate::device::Marks;
use candle_core::{DType, Result, Tensor, bail};
use std::sync::Arc;

/// From `inputs` (length − 1 + tokens, channels) for each token what it and those before it give, by weights (length,
/// channels): (tokens, channels).
fn convolved(weights: &Tensor, inputs: &Tensor) -> Result<Tensor> {
    let length = weights.dim(0)?;
    let tokens = inputs.dim(0)? + 1 - length;
    let back = |from| inputs.narrow(0, from, tokens)?.broadcast_mul(&weights.narrow(0, from, 1)?);
    (1..length).try_fold(back(0)?, |sum, from| sum + back(from)?)
}

/// What a layer's convolution remembers of one sequence.
pub struct Memory {
    gpu: Arc<Gpu>,
    /// (length − 1, channels)
    shape: (usize, usize),
    /// Inputs of the last tokens, in f32, of that shape.
    marks: Marks<Tensor>,
}

impl Memory {
    /// Of a convolution over `length` tokens, which can be cut after each `stride` of them.
    pub fn new(gpu: Arc<Gpu>, length: usize, channels: usize, stride: usize) -> Memory {
        Memory { gpu, shape: (length - 1, channels), marks: Marks::new(stride) }
    }

    /// Keeps the first `len` tokens, or fewer: those up to a multiple of the stride. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        self.marks.truncate(len)
    }

    /// Bytes that `tokens` tokens take.
    pub fn bytes_for(length: usize, channels: usize, stride: usize, tokens: usize) -> u64 {
        ((1 + tokens / stride) * (length - 1) * channels * DType::F32.size_in_bytes()) as u64
    }

    /// Adds tokens' inputs (tokens, channels); returns them behind those that were remembered, or that `before` holds.
    fn append(&mut self, inputs: &Tensor, before: Option<&Tensor>) -> Result<Tensor> {
        let kept = self.shape.0;
        let joined = match (kept, self.marks.last().or(before)) {
            // There is no tensor of nothing.
            (0, _) => return Ok(inputs.clone()),
            (_, Some(past)) => Tensor::cat(&[past, inputs], 0)?,
            (_, None) => {
                let none = Tensor::zeros(self.shape, DType::F32, &self.gpu.device())?;
                Tensor::cat(&[&none, inputs], 0)?
            }
        };
        // After so many of the new tokens, what came last begins at as many rows. A copy: else all of them would stay.
        self.marks.advance(inputs.dim(0)?, |tokens| joined.narrow(0, tokens, kept)?.force_contiguous())?;
        Ok(joined)
    }
}

/// New tokens of some sequences behind a prefix, for all convolutions of a part.
pub struct ConvolutionBatch {
    /// Tokens of each tail.
    rows: Vec<usize>,
    /// What each layer remembers of the prefix.
    before: Vec<Option<Tensor>>,
}

impl ConvolutionBatch {
    /// `tails` are new tokens and what each layer's convolution remembers of those before them, `prefix` what the layers
    /// remember of it.
    pub fn new(
        _: Arc<Gpu>,
        prefix: Option<&[&Memory]>,
        tails: &mut [(usize, Vec<&mut Memory>)],
    ) -> Result<ConvolutionBatch> {
        let Some((_, memories)) = tails.first() else { bail!("a batch without sequences") };
        let of_prefix = |layer: usize| prefix.and_then(|prefix| prefix[layer].marks.last().cloned());
        let before = (0..memories.len()).map(of_prefix).collect();
        Ok(ConvolutionBatch { rows: tails.iter().map(|(rows, _)| *rows).collect(), before })
    }

    /// From `bcx` (tokens, 3 · channels), two gates B and C beside the inputs x, computes C · (convolution ∗ B · x) into `out`
    /// (tokens, channels). The convolution is its weights (length, channels), of the oldest token first, and its bias
    /// (channels), in f32. `tails` are the memories of this layer that the batch was made of.
    pub fn convolve(
        &self,
        layer: usize,
        (weights, bias): (&Tensor, Option<&Tensor>),
        bcx: &Tensor,
        tails: &mut [&mut Memory],
        out: &Tensor,
    ) -> Result<()> {
        let channels = out.dim(1)?;
        let part = |number: usize| bcx.narrow(1, number * channels, channels)?.to_dtype(DType::F32);
        let (inputs, gates) = ((part(0)? * part(2)?)?, part(1)?);
        let (mut first, mut found) = (0, Vec::new());
        for (memory, rows) in tails.iter_mut().zip(&self.rows) {
            let inputs = memory.append(&inputs.narrow(0, first, *rows)?, self.before[layer].as_ref())?;
            let sum = convolved(weights, &inputs)?;
            let sum = bias.map_or(Ok(sum.clone()), |bias| sum.broadcast_add(bias))?;
            found.push((sum * gates.narrow(0, first, *rows)?)?);
            first += rows;
        }
        put(&Tensor::cat(&found, 0)?, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Convolution;
    use candle_core::Device;

    const CHANNELS: usize = 2;
    const STRIDE: usize = 4;

    fn gpu() -> Arc<Gpu> {
        Arc::new(Gpu::on(Device::Cpu, DType::F32))
    }

    fn bcx(tokens: usize) -> Vec<f32> {
        (0..3 * CHANNELS * tokens).map(|n| (n * 7919 % 101) as f32 / 50.0 - 1.0).collect()
    }

    fn memory(length: usize) -> Memory {
        Memory::new(gpu(), length, CHANNELS, STRIDE)
    }

    /// What some of the text's tokens give behind what is remembered.
    fn next(length: usize, all: &[f32], from: usize, to: usize, prefix: Option<&Memory>, own: &mut Memory) -> Vec<f32> {
        let weights: Vec<f32> = (0..length * CHANNELS).map(|n| 0.3 + n as f32).collect();
        let convolution = Convolution::new(&gpu(), CHANNELS, &weights, Some(&[0.5, -0.5])).expect("sent");
        let rows = &all[3 * CHANNELS * from..3 * CHANNELS * to];
        let rows = Tensor::from_slice(rows, (to - from, 3 * CHANNELS), &Device::Cpu).expect("rows");
        let out = Tensor::zeros((to - from, CHANNELS), DType::F32, &Device::Cpu).expect("room");
        let prefix = prefix.map(|prefix| [prefix]);
        let prefix = prefix.as_ref().map(|prefix| &prefix[..]);
        let batch = ConvolutionBatch::new(gpu(), prefix, &mut [(to - from, vec![&mut *own])]).expect("a batch");
        batch.convolve(0, convolution.parts(), &rows, &mut [own], &out).expect("convolves");
        out.flatten_all().and_then(|out| out.to_vec1()).expect("numbers")
    }

    /// By definition.
    fn slowly(length: usize, all: &[f32]) -> Vec<f32> {
        let at = |token: usize, part: usize, c: usize| all[(3 * token + part) * CHANNELS + c];
        let value = |token: usize, c: usize| {
            let weight = |back: usize| 0.3 + ((length - 1 - back) * CHANNELS + c) as f32;
            let seen = (0..length).filter(|back| *back <= token);
            let sum: f32 = seen.map(|back| weight(back) * at(token - back, 0, c) * at(token - back, 2, c)).sum();
            at(token, 1, c) * (sum + [0.5, -0.5][c])
        };
        (0..all.len() / 3).map(|n| value(n / CHANNELS, n % CHANNELS)).collect()
    }

    #[track_caller]
    fn near(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn pieces_behind_a_prefix_give_what_the_whole_does() {
        for length in [1, 3, 4] {
            let all = bcx(23);
            let expected = slowly(length, &all);
            let (mut prefix, mut own) = (memory(length), memory(length));
            near(&next(length, &all, 0, 9, None, &mut prefix), &expected[..9 * CHANNELS]);
            for (from, to) in [(9, 10), (10, 12), (12, 23)] {
                let got = next(length, &all, from, to, Some(&prefix), &mut own);
                near(&got, &expected[from * CHANNELS..to * CHANNELS]);
            }
        }
    }

    #[test]
    fn a_sequence_that_is_cut_goes_on_from_a_mark() {
        let all = bcx(20);
        let expected = slowly(3, &all);
        let mut own = memory(3);
        next(3, &all, 0, 3, None, &mut own);
        next(3, &all, 3, 18, None, &mut own);
        assert_eq!((own.truncate(30), own.truncate(15)), (18, 12));
        near(&next(3, &all, 12, 20, None, &mut own), &expected[12 * CHANNELS..]);
        assert_eq!(own.truncate(3), 0);
        near(&next(3, &all, 0, 20, None, &mut own), &expected);
    }
}
