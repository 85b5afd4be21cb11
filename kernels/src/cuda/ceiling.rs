//! Work that shows what the GPU can do at most, to measure by.

use super::gpu::{DTYPE, Gpu, failed};
use candle_core::{Result, Tensor};

/// Rows and columns of the matrices that are multiplied.
const SIDE: usize = 8192;

impl Gpu {
    /// A copy of so many bytes within the device's memory, and those that it reads and writes together.
    pub fn copying(&self, bytes: usize) -> Result<(impl FnMut() -> Result<()>, f64)> {
        let stream = self.cuda().cuda_stream();
        let from = self.cuda().alloc_zeros::<u8>(bytes)?;
        let mut to = self.cuda().alloc_zeros::<u8>(bytes)?;
        Ok((move || stream.memcpy_dtod(&from, &mut to).map_err(failed), 2.0 * bytes as f64))
    }

    /// A product of 16-bit matrices with f32 sums, and its operations. The numbers are random: zeros cost less power, and
    /// would be multiplied faster than any model's.
    pub fn multiplying(&self) -> Result<(impl FnMut() -> Result<()>, f64)> {
        let random = || Tensor::randn(0f32, 1f32, (SIDE, SIDE), &self.device())?.to_dtype(DTYPE);
        let (x, w) = (random()?, random()?);
        let y = Tensor::zeros((SIDE, SIDE), DTYPE, &self.device())?;
        Ok((move || self.linear(&x, &w, &y, 0.0), 2.0 * (SIDE as f64).powi(3)))
    }
}
