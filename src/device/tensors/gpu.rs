//! A device that candle computes on: what there is to know of it, and a layer's operations between products.

use super::mac;
use crate::device::METAL;
use candle_core::{DType, Device, Result, Tensor, bail};
use ronbun_kernels::elementwise::Activation;
use std::time::{Duration, Instant};
use sysinfo::System;

/// Elements of a gated activation that are computed in f32 at a time.
const PIECE: usize = 1 << 22;
/// How long each rate is looked at; the best moment counts.
const LOOK: Duration = Duration::from_millis(400);
/// Bytes that are copied at a time, or an eighth of what is free: far more than caches hold.
const COPIED: u64 = 1 << 30;
/// Rows and columns of the matrices that are multiplied.
const SIDE: usize = 4096;

/// A device of candle's.
#[derive(Debug)]
pub struct Gpu {
    device: Device,
    /// Of activations between products, and of keys and values.
    dtype: DType,
}

impl Gpu {
    /// Opens the GPU of this number. Fails in builds without kernels for it, and where there is no such GPU.
    pub fn open(number: usize) -> Result<Gpu> {
        if !METAL {
            bail!("this build of ronbun has no kernels for GPUs");
        }
        // candle takes the list's element without a look.
        if number >= Gpu::count() {
            bail!("there is no GPU of number {number} that Metal can use");
        }
        Ok(Gpu::on(Device::new_metal(number)?, DType::BF16))
    }

    /// Computes on a device of candle's, in this type between products.
    pub fn on(device: Device, dtype: DType) -> Gpu {
        Gpu { device, dtype }
    }

    pub fn count() -> usize {
        mac::count()
    }

    pub fn device(&self) -> Device {
        self.device.clone()
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn name(&self) -> Result<String> {
        mac::name(&self.device)
    }

    /// Free and all bytes of memory, which the processor shares: free is what neither Metal's limit nor other programs forbid.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let mut system = System::new();
        system.refresh_memory();
        let free = system.available_memory();
        Ok(match mac::working_set(&self.device)? {
            Some((taken, most)) => (free.min(most.saturating_sub(taken)), most),
            None => (free, system.total_memory()),
        })
    }

    /// Metal tells no peak.
    pub fn peak_memory(&self) -> Option<u64> {
        None
    }

    /// Bytes a second that a copy within the device's memory reads and writes together.
    pub fn copy_rate(&self) -> Result<f64> {
        let elements = (self.memory()?.0 / 8).min(COPIED) as usize / DType::F32.size_in_bytes();
        let [from, to] = [(); 2].map(|()| Tensor::zeros(elements, DType::F32, &self.device));
        let (from, to) = (from?, to?);
        let seconds = self.best(|| to.slice_set(&from, 0, 0))?;
        Ok((2 * elements * DType::F32.size_in_bytes()) as f64 / seconds)
    }

    /// Operations a second in products of matrices of the type that layers are multiplied in; of random numbers, as zeros cost
    /// less power.
    pub fn matrix_rate(&self) -> Result<f64> {
        let random = || Tensor::randn(0f32, 1f32, (SIDE, SIDE), &self.device)?.to_dtype(self.dtype);
        let (x, w) = (random()?, random()?);
        let seconds = self.best(|| x.matmul(&w.t()?).map(drop))?;
        Ok(2.0 * (SIDE as f64).powi(3) / seconds)
    }

    /// Seconds of a call of `work` in the best moment.
    fn best(&self, work: impl Fn() -> Result<()>) -> Result<f64> {
        work()?;
        self.finish()?;
        let begin = Instant::now();
        let mut best = f64::INFINITY;
        while begin.elapsed() < LOOK {
            let start = Instant::now();
            work()?;
            self.finish()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best)
    }

    /// Waits for all work that was begun.
    pub fn finish(&self) -> Result<()> {
        self.device.synchronize()
    }

    /// y = x / rms(x) · weight for each row, or each part of a row that is as long as `weight` (f32).
    pub fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f64, y: &Tensor) -> Result<()> {
        let parts = x.to_dtype(DType::F32)?.reshape(((), weight.elem_count()))?;
        put(&candle_nn::ops::rms_norm(&parts, weight, eps as f32)?, y)
    }

    /// gate = activation(gate) · up
    pub fn gate(&self, activation: Activation, gate: &Tensor, up: &Tensor) -> Result<()> {
        let (rows, width) = gate.dims2()?;
        let step = (PIECE / width.max(1)).max(1);
        for first in (0..rows).step_by(step) {
            let piece = |x: &Tensor| x.narrow(0, first, step.min(rows - first))?.to_dtype(DType::F32);
            let x = piece(gate)?;
            let activated = match activation {
                Activation::Silu => x.silu()?,
                Activation::GeluTanh => x.gelu()?,
            };
            gate.slice_set(&(activated * piece(up)?)?.to_dtype(gate.dtype())?, 0, first)?;
        }
        Ok(())
    }

    /// x = x + y, where x is in f32.
    pub fn add(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        put(&(x + y.to_dtype(DType::F32)?)?, x)
    }
}

/// y = x, rounded to the type of y and laid out as it is.
pub fn put(x: &Tensor, y: &Tensor) -> Result<()> {
    y.slice_set(&x.to_dtype(y.dtype())?.reshape(y.shape())?, 0, 0)
}
