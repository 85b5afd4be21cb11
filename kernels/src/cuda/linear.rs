//! A weight matrix on the device.

use super::gpu::{DTYPE, Gpu};
use crate::{Isa, blocks, blocks::BlockType};
use candle_core::{
    DType, Module, Result, Tensor, bail,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use half::bf16;
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
        kind: BlockType,
        bytes: &[u8],
        (rows, columns): (usize, usize),
        bias: Option<&[f32]>,
    ) -> Result<Linear> {
        let device = gpu.device();
        let weights = match ggml_type(kind) {
            Some(ggml) => {
                let storage = QStorage::from_data(Cow::Borrowed(bytes), &device, ggml)?;
                Weights::Quantised(QMatMul::from_arc(Arc::new(QTensor::new(storage, (rows, columns))?))?)
            }
            None if kind == BlockType::BF16 => {
                Weights::Plain(Tensor::from_raw_buffer(bytes, DTYPE, &[rows, columns], &device)?)
            }
            None => {
                let mut values = vec![0f32; rows * columns];
                blocks::dequantize(Isa::current(), kind, bytes, &mut values);
                let values: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
                Weights::Plain(Tensor::from_vec(values, (rows, columns), &device)?)
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

/// candle's name of a quantised type; `None` of one that is not quantised.
fn ggml_type(kind: BlockType) -> Option<GgmlDType> {
    Some(match kind {
        BlockType::F32 | BlockType::F16 | BlockType::BF16 => return None,
        BlockType::Q4_0 => GgmlDType::Q4_0,
        BlockType::Q4_1 => GgmlDType::Q4_1,
        BlockType::Q5_0 => GgmlDType::Q5_0,
        BlockType::Q5_1 => GgmlDType::Q5_1,
        BlockType::Q8_0 => GgmlDType::Q8_0,
        BlockType::Q2K => GgmlDType::Q2K,
        BlockType::Q3K => GgmlDType::Q3K,
        BlockType::Q4K => GgmlDType::Q4K,
        BlockType::Q5K => GgmlDType::Q5K,
        BlockType::Q6K => GgmlDType::Q6K,
    })
}
