//! A device that candle computes on: what there is to know of it, and a layer's operations between products.

use super::mac;
use crate::device::METAL;
use candle_core::{DType, Device, Result, Tensor, bail};
use ronbun_kernels::elementwise::Activation;
use sysinfo::System;

/// Elements of a gated activation that are computed in f32 at a time.
const PIECE: usize = 1 << 22;
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

    /// A copy of so many bytes within the device's memory, and those that it reads and writes together.
    pub fn copying(&self, bytes: usize) -> Result<(impl FnMut() -> Result<()>, f64)> {
        let [from, to] = [(); 2].map(|()| Tensor::zeros(bytes, DType::U8, &self.device));
        let (from, to) = (from?, to?);
        Ok((move || to.slice_set(&from, 0, 0), 2.0 * bytes as f64))
    }

    /// A product of matrices of the type that layers are multiplied in, and its operations. The numbers are random: zeros cost
    /// less power.
    pub fn multiplying(&self) -> Result<(impl FnMut() -> Result<()>, f64)> {
        let random = || Tensor::randn(0f32, 1f32, (SIDE, SIDE), &self.device)?.to_dtype(self.dtype);
        let (x, w) = (random()?, random()?);
        Ok((move || x.matmul(&w.t()?).map(drop), 2.0 * (SIDE as f64).powi(3)))
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
