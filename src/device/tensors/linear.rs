//! A weight matrix on the device.

use super::gpu::{Gpu, put};
use candle_core::{DType, Error, Module, Result, Tensor, bail, quantized::QMatMul};
use std::sync::Arc;

/// Elements of a head that are widened to f32 at a time.
const PIECE: usize = 1 << 24;

/// y = x · wᵀ + bias.
pub struct Linear {
    /// (outputs, inputs): as they are in the file where they are quantised, else of the device's type.
    weights: QMatMul,
    /// f32
    bias: Option<Tensor>,
}

impl Linear {
    /// Of one matrix.
    pub fn new(_: Arc<Gpu>, pieces: Vec<QMatMul>, bias: Option<Tensor>) -> Result<Linear> {
        let [weights] = <[QMatMul; 1]>::try_from(pieces)
            .map_err(|pieces| Error::msg(format!("{} matrices in one", pieces.len())))?;
        Ok(Linear { weights, bias })
    }

    /// (rows, inputs) → `y` (rows, outputs), both of the device's type.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        put(&self.result(x)?, y)
    }

    /// Adds to `sum` (rows, outputs), which is in f32, what [`Linear::forward`] gives.
    pub fn add(&self, x: &Tensor, sum: &Tensor) -> Result<()> {
        put(&(sum + self.result(x)?.to_dtype(DType::F32)?)?, sum)
    }

    fn result(&self, x: &Tensor) -> Result<Tensor> {
        let product = match &self.weights {
            QMatMul::Tensor(w) => x.to_dtype(w.dtype())?.matmul(&w.t()?)?,
            // Metal's kernels for them take and give f32.
            quantised => quantised.forward(&x.to_dtype(DType::F32)?)?,
        };
        match &self.bias {
            Some(bias) => product.to_dtype(DType::F32)?.broadcast_add(bias),
            None => Ok(product),
        }
    }

    /// As [`Linear::forward`], in f32, into plain memory. Only for matrices without a bias, as heads are.
    pub fn forward_to_host(&self, x: &Tensor, y: &mut [f32]) -> Result<()> {
        if self.bias.is_some() {
            bail!("a head with a bias");
        }
        let x = x.to_dtype(DType::F32)?;
        let result = match &self.weights {
            QMatMul::Tensor(w) => product(&x, w)?,
            quantised => quantised.forward(&x)?,
        };
        let values = result.flatten_all()?.to_vec1::<f32>()?;
        if values.len() != y.len() {
            bail!("{} results for {} places", values.len(), y.len());
        }
        y.copy_from_slice(&values);
        Ok(())
    }
}

/// x · wᵀ in f32, whatever `w` is of: a product of 16-bit matrices would be rounded to 16 bits, and logits to ties.
fn product(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = w.dims2()?;
    let step = (PIECE / inputs.max(1)).max(1);
    let piece = |first| x.matmul(&w.narrow(0, first, step.min(outputs - first))?.to_dtype(DType::F32)?.t()?);
    let pieces = (0..outputs).step_by(step).map(piece).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&pieces, 1)
}
