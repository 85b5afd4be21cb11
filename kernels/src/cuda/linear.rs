//! A weight matrix on the device.

use super::gpu::{DTYPE, Gpu};
use candle_core::{
    DType, Device, Module, Result, Tensor, bail,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use std::{borrow::Cow, sync::Arc};

/// y = x · wᵀ + bias. Quantised weights stay as they are in the file and are multiplied by candle's kernels; others are in
/// the 16-bit type of the device and are multiplied by cuBLAS.
pub struct Linear {
    gpu: Arc<Gpu>,
    weights: Weights,
    /// f32
    bias: Option<Tensor>,
}

enum Weights {
    Plain(Tensor),
    Quantised(QMatMul),
}

impl Linear {
    /// Sends a matrix (rows, columns) of a file to the device.
    pub fn new(
        gpu: Arc<Gpu>,
        kind: GgmlDType,
        bytes: &[u8],
        (rows, columns): (usize, usize),
        bias: Option<&[f32]>,
    ) -> Result<Linear> {
        let device = gpu.device();
        let plain = |dtype| {
            let matrix = Tensor::from_raw_buffer(bytes, dtype, &[rows, columns], &Device::Cpu)?;
            matrix.to_dtype(DTYPE)?.to_device(&device).map(Weights::Plain)
        };
        let weights = match kind {
            GgmlDType::F32 => plain(DType::F32)?,
            GgmlDType::F16 => plain(DType::F16)?,
            GgmlDType::BF16 => plain(DType::BF16)?,
            quantised => {
                let storage = QStorage::from_data(Cow::Borrowed(bytes), &device, quantised)?;
                Weights::Quantised(QMatMul::from_arc(Arc::new(QTensor::new(storage, (rows, columns))?))?)
            }
        };
        let bias = bias.map(|bias| Tensor::from_slice(bias, bias.len(), &device)).transpose()?;
        Ok(Linear { gpu, weights, bias })
    }

    /// (rows, inputs) → `y` (rows, outputs), which is of the 16-bit type.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        match &self.weights {
            Weights::Plain(w) => self.gpu.linear(x, w, y)?,
            Weights::Quantised(w) => y.slice_set(&w.forward(x)?, 0, 0)?,
        }
        match &self.bias {
            Some(bias) => self.gpu.add_bias(y, bias),
            None => Ok(()),
        }
    }

    /// As [`Linear::forward`], in f32, into plain memory. Only for matrices without a bias, as heads are.
    pub fn forward_to_host(&self, x: &Tensor, y: &mut [f32]) -> Result<()> {
        if self.bias.is_some() {
            bail!("a head with a bias");
        }
        let result = match &self.weights {
            Weights::Plain(w) => {
                let y = Tensor::zeros((x.dim(0)?, w.dim(0)?), DType::F32, &self.gpu.device())?;
                self.gpu.linear(x, w, &y)?;
                y
            }
            // candle gives what it is given: in f32 logits keep their last bits.
            Weights::Quantised(w) => w.forward(&x.to_dtype(DType::F32)?)?,
        };
        let values = result.flatten_all()?.to_vec1::<f32>()?;
        if values.len() != y.len() {
            bail!("{} results for {} places", values.len(), y.len());
        }
        y.copy_from_slice(&values);
        Ok(())
    }
}
