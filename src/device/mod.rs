//! Where the decoder computes: on the CPU, or on a GPU in builds that have kernels for one.
//!
//! The GPU's types are there in all builds, so that the code above is one: those of `ronbun_kernels::cuda` with the feature
//! `cuda`, else [`tensors`], whose GPU can be opened in builds with the feature `metal` on a Mac only.

mod marks;
mod parts;
mod sent;
mod split;
#[cfg(not(feature = "cuda"))]
pub mod tensors;
#[cfg(test)]
pub mod tests;

#[cfg(feature = "cuda")]
pub use ronbun_kernels::cuda::{Batch, Cache, ConvolutionBatch, Gpu, Linear, Memory};
#[cfg(not(feature = "cuda"))]
pub use tensors::{Batch, Cache, ConvolutionBatch, Gpu, Linear, Memory};

pub use marks::Marks;
pub use parts::{Devices, Part, describe};
pub use sent::{Convolution, Turn, linear};
pub use split::{Demand, GpuLayers};

use crate::{Error, Kind, Result};
use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Whether this build has kernels for NVIDIA's GPUs.
pub const CUDA: bool = cfg!(feature = "cuda");
/// Whether it has kernels for a Mac's.
pub const METAL: bool = cfg!(all(feature = "metal", target_os = "macos", not(feature = "cuda")));
/// Whether a GPU's kernels take rows that lie apart, so that several matrices can be multiplied with as one.
pub const JOINS: bool = CUDA;
/// What --device and reports call the GPUs of this build.
pub const GPUS: &str = if CUDA { "cuda" } else { "metal" };

/// Where tensors of a decoder are, and who computes on them.
#[derive(Debug, Clone, Default)]
pub enum Place {
    #[default]
    Cpu,
    Gpu(Arc<Gpu>),
}

impl Place {
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        match self {
            Place::Cpu => None,
            Place::Gpu(gpu) => Some(gpu),
        }
    }

    /// What a report calls it.
    pub fn describe(&self) -> String {
        match self {
            Place::Cpu => format!("cpu ({})", ronbun_kernels::Isa::current()),
            Place::Gpu(gpu) => format!("{GPUS} ({})", gpu.name().unwrap_or_else(|_| "unnamed".into())),
        }
    }

    /// Room for what a layer computes: f32 on the CPU, the GPU's own type there.
    pub fn empty(&self, rows: usize, width: usize) -> Result<Tensor> {
        let (dtype, device) = match self {
            Place::Cpu => (DType::F32, Device::Cpu),
            Place::Gpu(gpu) => (gpu.dtype(), gpu.device()),
        };
        Tensor::zeros((rows, width), dtype, &device).map_err(failed)
    }

    /// Sends a tensor to where it is computed with.
    pub fn take(&self, x: Tensor) -> Result<Tensor> {
        let Some(gpu) = self.gpu() else { return x.to_device(&Device::Cpu).map_err(failed) };
        let here = x.to_device(&gpu.device()).map_err(failed)?;
        if x.device().is_cuda() && !x.device().same_device(here.device()) {
            // The other GPU knows nothing of who reads its memory, and `x` may be gone in a moment.
            self.finish()?;
        }
        Ok(here)
    }

    /// Waits until what was begun is done, so that it can be timed.
    pub fn finish(&self) -> Result<()> {
        self.gpu().map_or(Ok(()), |gpu| gpu.finish().map_err(failed))
    }
}

/// What a GPU is, and what it can do at most, measured on the spot.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    pub name: String,
    pub memory_bytes: u64,
    pub free_bytes: u64,
    /// Read and written by a copy within its memory.
    pub copy_bytes_per_second: f64,
    /// Of products of 16-bit matrices.
    pub matrix_flops_per_second: f64,
}

impl Facts {
    /// Looks at an idle GPU for about a second.
    pub fn of(gpu: &Gpu) -> Result<Facts> {
        let (free_bytes, memory_bytes) = gpu.memory().map_err(failed)?;
        let copied = (free_bytes / 8).min(COPIED) as usize;
        Ok(Facts {
            name: gpu.name().map_err(failed)?,
            memory_bytes,
            free_bytes,
            copy_bytes_per_second: gpu.copying(copied).and_then(|work| rate(gpu, work)).map_err(failed)?,
            matrix_flops_per_second: gpu.multiplying().and_then(|work| rate(gpu, work)).map_err(failed)?,
        })
    }
}

/// How long each rate is looked at; the best moment counts.
const LOOK: Duration = Duration::from_millis(400);
/// Calls between two waits for the device.
const CALLS: usize = 4;
/// Bytes that are copied at a time, or an eighth of what is free: far more than caches hold.
const COPIED: u64 = 1 << 30;

/// How much work a GPU does in a second, in the best moment: `work` does some, so much at a time.
fn rate(gpu: &Gpu, (mut work, amount): (impl FnMut() -> candle_core::Result<()>, f64)) -> candle_core::Result<f64> {
    work()?;
    gpu.finish()?;
    let begin = Instant::now();
    let mut best = 0f64;
    while begin.elapsed() < LOOK {
        let start = Instant::now();
        for _ in 0..CALLS {
            work()?;
        }
        gpu.finish()?;
        best = best.max(CALLS as f64 * amount / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// A failure inside candle or on a GPU. Memory that runs out is the user's to change, anything else a defect.
pub fn failed(error: candle_core::Error) -> Error {
    // As CUDA and Metal say it.
    let words = ["OUT_OF_MEMORY", "Failed to create metal resource: Buffer"];
    let text = error.to_string();
    match words.iter().any(|words| text.contains(words)) {
        true => Error::new(Kind::Memory, "the GPU", "has no memory left for this model and text")
            .hint("take a smaller model or a shorter text, ask fewer questions at a time, or --device cpu"),
        false => Error::new(Kind::Internal, "engine", error),
    }
}
