//! Short convolutions on the device: what they remember of a sequence, and a batch over them.

use super::{
    arguments::{Convolve, Remembered},
    gpu::{DTYPE, FLOAT, Gpu},
    launch,
    slots::{MARKS, Slots},
};
use candle_core::{
    DType, Result, Tensor, bail,
    cuda_backend::cudarc::driver::{CudaSlice, DevicePtr},
};
use std::sync::Arc;

/// What a layer's convolution remembers of one sequence.
pub struct Memory {
    gpu: Arc<Gpu>,
    slots: Slots,
    /// Elements of a slot: (length - 1, channels).
    width: usize,
    /// (slots, width), f32, or nothing yet.
    kept: Option<Tensor>,
}

impl Memory {
    /// Of a convolution over `length` tokens, which can be cut after each `stride` of them.
    pub fn new(gpu: Arc<Gpu>, length: usize, channels: usize, stride: usize) -> Memory {
        // There is no memory of nothing on a device: one over a token alone, which remembers nothing, has an element.
        let width = ((length - 1) * channels).max(1);
        Memory { gpu, slots: Slots::new(stride), width, kept: None }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Keeps the first `len` tokens, or fewer: those up to a multiple of the stride. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        self.slots.truncate(len)
    }

    /// Bytes that `tokens` tokens take, without the room that is made ahead.
    pub fn bytes_for(length: usize, channels: usize, stride: usize, tokens: usize) -> u64 {
        (Slots::count(stride, tokens) * (length - 1) * channels * size_of::<f32>()) as u64
    }

    /// Makes room for `more` tokens, and some ahead.
    fn reserve(&mut self, more: usize) -> Result<()> {
        let there = self.kept.as_ref().map_or(Ok(0), |kept| kept.dim(0))?;
        let wanted = Slots::count(self.slots.stride, self.len() + more);
        if wanted > there {
            let ahead = if there > MARKS { there } else { 0 };
            let new = Tensor::zeros((wanted + ahead, self.width), DType::F32, &self.gpu.device())?;
            if let Some(old) = &self.kept {
                new.slice_set(old, 0, 0)?;
            }
            self.kept = Some(new);
        }
        Ok(())
    }

    /// The address of the first slot; 0 where there is none yet.
    fn address(&self) -> Result<u64> {
        self.kept.as_ref().map_or(Ok(0), |kept| self.gpu.address(kept, DType::F32))
    }

    fn slot(&self, start: u64, number: usize) -> u64 {
        start + (number * self.width * size_of::<f32>()) as u64
    }

    /// Where what came last is.
    fn last(&self) -> Result<Option<u64>> {
        let start = self.address()?;
        Ok(self.slots.last().map(|number| self.slot(start, number)))
    }

    fn remembered(&self, prefix: Option<&Memory>, tokens: (usize, usize)) -> Result<Remembered> {
        let (start, before) = (self.address()?, prefix.map_or(Ok(None), Memory::last)?);
        Ok(self.slots.remembered(|number| self.slot(start, number), before, tokens))
    }
}

/// New tokens of some sequences behind a prefix for all convolutions of a part, in tables on the device.
pub struct ConvolutionBatch {
    gpu: Arc<Gpu>,
    stride: usize,
    /// Tokens of each tail.
    rows: Vec<usize>,
    /// (layers, tails)
    sequences: CudaSlice<Remembered>,
    /// Each token's own tail.
    sequence_of: CudaSlice<i32>,
}

impl ConvolutionBatch {
    /// `tails` are new tokens and what each layer's convolution remembers of those before them, `prefix` what the layers
    /// remember of it. Makes room in the tails' memories.
    pub fn new(
        gpu: Arc<Gpu>,
        prefix: Option<&[&Memory]>,
        tails: &mut [(usize, Vec<&mut Memory>)],
    ) -> Result<ConvolutionBatch> {
        let rows: Vec<usize> = tails.iter().map(|(rows, _)| *rows).collect();
        for (rows, memories) in tails.iter_mut() {
            memories.iter_mut().try_for_each(|memory| memory.reserve(*rows))?;
        }
        let Some(memory) = tails.first().and_then(|(_, memories)| memories.first()) else {
            bail!("a batch without sequences, or without convolutions")
        };
        let (stride, layers) = (memory.slots.stride, tails[0].1.len());
        let mut sequences = Vec::new();
        for layer in 0..layers {
            let mut first = 0;
            for (rows, memories) in tails.iter() {
                sequences.push(memories[layer].remembered(prefix.map(|prefix| prefix[layer]), (first, *rows))?);
                first += rows;
            }
        }
        let own = rows.iter().enumerate().flat_map(|(tail, rows)| vec![tail as i32; *rows]);
        let sequence_of = gpu.cuda().clone_htod(&own.collect::<Vec<_>>())?;
        Ok(ConvolutionBatch { stride, rows, sequences: gpu.cuda().clone_htod(&sequences)?, sequence_of, gpu })
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
        let tokens: usize = self.rows.iter().sum();
        let (length, channels) = weights.dims2()?;
        if tails.len() != self.rows.len() || bcx.dims() != [tokens, 3 * channels] || out.dims() != [tokens, channels] {
            bail!("a convolution of {:?} into {:?} for {tokens} tokens", bcx.shape(), out.shape());
        }
        let stream = self.gpu.cuda().cuda_stream();
        let sequences = self.sequences.device_ptr(&stream).0;
        let convolve = Convolve {
            bcx: self.gpu.address(bcx, DTYPE)?,
            weights: self.gpu.address(weights, DType::F32)?,
            bias: bias.map_or(Ok(0), |bias| self.gpu.address(bias, DType::F32))?,
            sequences: sequences + (layer * self.rows.len() * size_of::<Remembered>()) as u64,
            sequence_of: self.sequence_of.device_ptr(&stream).0,
            out: self.gpu.address(out, DTYPE)?,
            tokens: tokens as i32,
            channels: channels as i32,
            length: length as i32,
            stride: self.stride as i32,
        };
        self.gpu.run(&launch::convolve(FLOAT, &convolve), &convolve)?;
        tails.iter_mut().zip(&self.rows).for_each(|(memory, rows)| memory.slots.advance(*rows));
        Ok(())
    }
}
