//! A weight matrix on the device.

use super::gpu::{Gpu, put};
use candle_core::{
    DType, Device, Module, Result, Tensor, bail,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use std::{borrow::Cow, sync::Arc};

/// Elements of a head that are widened to f32 at a time.
const PIECE: usize = 1 << 24;

/// y = x · wᵀ + bias. Quantised weights stay as they are in the file, others are rounded to the device's type.
pub struct Linear {
    weights: Weights,
    /// f32
    bias: Option<Tensor>,
}

enum Weights {
    /// (outputs, inputs)
    Plain(Tensor),
    Quantised(QMatMul),
}

impl Linear {
    /// Sends a matrix of `columns` inputs to the device: its type, its bytes in a file, and its rows. One at a time.
    pub fn new(
        gpu: Arc<Gpu>,
        columns: usize,
        matrices: &[(GgmlDType, &[u8], usize)],
        bias: Option<&[f32]>,
    ) -> Result<Linear> {
        let &[(kind, bytes, rows)] = matrices else { bail!("{} matrices in one", matrices.len()) };
        let device = gpu.device();
        let plain = |dtype| {
            let matrix = Tensor::from_raw_buffer(bytes, dtype, &[rows, columns], &Device::Cpu)?;
            matrix.to_dtype(gpu.dtype())?.to_device(&device).map(Weights::Plain)
        };
        let weights = match kind {
            GgmlDType::F32 => plain(DType::F32)?,
            GgmlDType::F16 => plain(DType::F16)?,
            GgmlDType::BF16 => plain(DType::BF16)?,
            quantised => {
                let storage = QStorage::from_data(Cow::Borrowed(bytes), &device, quantised)?;
                let matrix = QTensor::new(storage, (rows, columns))?;
                // Only tests compute on candle's CPU device, whose products round to bytes what weights are multiplied with.
                Weights::Quantised(match device.is_cpu() {
                    true => QMatMul::Tensor(matrix.dequantize(&device)?),
                    false => QMatMul::from_qtensor(matrix)?,
                })
            }
        };
        let bias = bias.map(|bias| Tensor::from_slice(bias, bias.len(), &device)).transpose()?;
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
            Weights::Plain(w) => x.matmul(&w.t()?)?,
            // Metal's kernels for them take and give f32.
            Weights::Quantised(w) => w.forward(&x.to_dtype(DType::F32)?)?,
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
            Weights::Plain(w) => product(&x, w)?,
            Weights::Quantised(w) => w.forward(&x)?,
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
