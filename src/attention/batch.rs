//! Attention and convolutions of a batch on a GPU: its tables are sent there once, for all layers of a part.

use super::{Kernel, KvCache, Shape, Tail, convolution::Memory};
use crate::{
    Result,
    device::{self, Place},
};
use candle_core::Tensor;
use std::ops::Range;

/// A layer that a batch is asked for is of its part.
const OF_PART: &str = "a layer of the batch's part";

/// A batch in a part's layers on a GPU.
pub struct GpuBatch {
    /// Of the layers that attend, if there are any, and of those that convolve.
    attention: Option<device::Batch>,
    convolution: Option<device::ConvolutionBatch>,
    /// The first layer of each kind, among all of its kind.
    first: [usize; 2],
}

impl GpuBatch {
    /// Of the part's layers of each kind, which attend or convolve. Makes room in the tails' caches; `None` on the CPU, which
    /// needs no tables.
    pub fn new(
        place: &Place,
        heads: usize,
        [attending, convolving]: [Range<usize>; 2],
        prefix: Option<&KvCache>,
        tails: &mut [Tail],
    ) -> Result<Option<GpuBatch>> {
        let Some(gpu) = place.gpu() else { return Ok(None) };
        let first = [attending.start, convolving.start];
        let attention = (!attending.is_empty()).then(|| {
            let caches = tails.iter_mut().map(|tail| (tail.rows, tail.cache.on_gpu_mut(attending.start)));
            let prefix = prefix.map(|prefix| prefix.on_gpu(attending.start));
            device::Batch::new(gpu.clone(), heads, prefix, &mut caches.collect::<Vec<_>>())
        });
        let attention = attention.transpose().map_err(device::failed)?;
        let convolution = (!convolving.is_empty()).then(|| {
            let memories = tails.iter_mut().map(|tail| {
                let layers = tail.cache.convolutions[convolving.clone()].iter_mut();
                (tail.rows, layers.map(Memory::on_gpu_mut).collect())
            });
            let prefix = prefix.map(|prefix| &prefix.convolutions[convolving.clone()]);
            let prefix = prefix.map(|layers| layers.iter().map(Memory::on_gpu).collect::<Vec<_>>());
            device::ConvolutionBatch::new(gpu.clone(), prefix.as_deref(), &mut memories.collect::<Vec<_>>())
        });
        let convolution = convolution.transpose().map_err(device::failed)?;
        Ok(Some(GpuBatch { attention, convolution, first }))
    }

    /// As [`super::append`], of queries, keys and values on the GPU; queries and keys are turned here.
    pub fn append(
        &self,
        layer: usize,
        qkv: [&Tensor; 3],
        turn: Option<&device::Turn>,
        tails: &mut [Tail],
    ) -> Result<()> {
        let attention = self.attention.as_ref().expect(OF_PART);
        let mut caches: Vec<_> = tails.iter_mut().map(|tail| tail.cache.on_gpu_mut(layer)).collect();
        attention
            .append(layer - self.first[0], qkv, turn.map(device::Turn::angles), &mut caches)
            .map_err(device::failed)
    }

    /// As [`super::attend`], from the queries that were appended with the layer's keys.
    pub fn attend(&self, shape: Shape, layer: usize, out: &Tensor) -> Result<()> {
        let attention = self.attention.as_ref().expect(OF_PART);
        attention.attend(layer - self.first[0], shape, out).map_err(device::failed)
    }

    /// As [`super::convolve`], of tensors on the GPU.
    pub fn convolve(
        &self,
        layer: usize,
        kernel: &Kernel,
        bcx: &Tensor,
        tails: &mut [Tail],
        out: &Tensor,
    ) -> Result<()> {
        let convolution = self.convolution.as_ref().expect(OF_PART);
        let kernel = kernel.on_gpu().expect(OF_PART).parts();
        let memories = tails.iter_mut().map(|tail| tail.cache.convolutions[layer].on_gpu_mut());
        let mut memories: Vec<_> = memories.collect();
        convolution.convolve(layer - self.first[1], kernel, bcx, &mut memories, out).map_err(device::failed)
    }
}
