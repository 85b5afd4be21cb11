//! What the GPU can do at most, measured on the spot: the rates that kernels are compared with.

use super::gpu::{DTYPE, Gpu, failed};
use candle_core::{Result, Tensor};
use std::time::{Duration, Instant};

/// How long each rate is looked at; the best moment counts.
const LOOK: Duration = Duration::from_millis(400);
/// Calls between two waits for the device.
const CALLS: usize = 4;
/// Bytes that are copied at a time, or an eighth of what is free: far more than caches hold.
const COPIED: u64 = 1 << 30;
/// Rows and columns of the matrices that are multiplied.
const SIDE: usize = 8192;

impl Gpu {
    /// Bytes a second that a copy within the device's memory reads and writes together.
    pub fn copy_rate(&self) -> Result<f64> {
        let bytes = (self.memory()?.0 / 8).min(COPIED) as usize;
        let stream = self.cuda().cuda_stream();
        let from = self.cuda().alloc_zeros::<u8>(bytes)?;
        let mut to = self.cuda().alloc_zeros::<u8>(bytes)?;
        let seconds = self.best(|| stream.memcpy_dtod(&from, &mut to).map_err(failed))?;
        Ok(2.0 * bytes as f64 / seconds)
    }

    /// Operations a second in products of 16-bit matrices with f32 sums. The numbers are random: zeros cost less power, and
    /// would be multiplied faster than any model's.
    pub fn matrix_rate(&self) -> Result<f64> {
        let random = || Tensor::randn(0f32, 1f32, (SIDE, SIDE), &self.device())?.to_dtype(DTYPE);
        let (x, w) = (random()?, random()?);
        let y = Tensor::zeros((SIDE, SIDE), DTYPE, &self.device())?;
        let seconds = self.best(|| self.linear(&x, &w, &y, 0.0))?;
        Ok(2.0 * (SIDE as f64).powi(3) / seconds)
    }

    /// Seconds of a call of `work` in the best moment.
    fn best(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        work()?;
        self.finish()?;
        let start = Instant::now();
        let mut best = f64::INFINITY;
        while start.elapsed() < LOOK {
            let start = Instant::now();
            for _ in 0..CALLS {
                work()?;
            }
            self.finish()?;
            best = best.min(start.elapsed().as_secs_f64() / CALLS as f64);
        }
        Ok(best)
    }
}
