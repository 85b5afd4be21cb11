//! What layers are given on a GPU beside activations: tensors that are sent there once.

use super::{Gpu, Linear};
use candle_core::{
    DType, Device, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use ronbun_kernels::elementwise::Pairing;
use std::{borrow::Cow, sync::Arc};

/// Cosines and sines of a batch's positions.
pub struct Turn {
    /// (tokens, pairs), f32
    cos: Tensor,
    sin: Tensor,
    pairing: Pairing,
}

impl Turn {
    pub fn new(gpu: &Gpu, cos: &[f32], sin: &[f32], tokens: usize, pairing: Pairing) -> Result<Turn> {
        let sent = |values: &[f32]| Tensor::from_slice(values, (tokens, values.len() / tokens.max(1)), &gpu.device());
        Ok(Turn { cos: sent(cos)?, sin: sent(sin)?, pairing })
    }

    pub fn angles(&self) -> (&Tensor, &Tensor, Pairing) {
        (&self.cos, &self.sin, self.pairing)
    }
}

/// A layer's convolution, each channel by itself.
pub struct Convolution {
    /// (length, channels), f32
    weights: Tensor,
    /// (channels), f32
    bias: Option<Tensor>,
}

impl Convolution {
    /// `weights` are (length, channels), of the oldest token first.
    pub fn new(gpu: &Gpu, channels: usize, weights: &[f32], bias: Option<&[f32]>) -> Result<Convolution> {
        let device = gpu.device();
        let bias = bias.map(|bias| Tensor::from_slice(bias, channels, &device)).transpose()?;
        Ok(Convolution { weights: Tensor::from_slice(weights, (weights.len() / channels, channels), &device)?, bias })
    }

    pub fn parts(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.weights, self.bias.as_ref())
    }
}

/// Matrices of `columns` inputs as one linear: of each its type, its bytes in a file, and its rows. The bias is of all rows.
/// Quantised weights stay as they are, others become the GPU's type.
pub fn linear(
    gpu: Arc<Gpu>,
    columns: usize,
    matrices: &[(GgmlDType, &[u8], usize)],
    bias: Option<&[f32]>,
) -> Result<Linear> {
    // Neighbours of one type are one matrix.
    let alike = matrices.chunk_by(|one, next| one.0 == next.0).map(|alike| {
        let bytes = match alike {
            [(_, only, _)] => Cow::Borrowed(*only),
            several => Cow::Owned(several.iter().map(|(_, bytes, _)| *bytes).collect::<Vec<_>>().concat()),
        };
        matrix(&gpu, alike[0].0, bytes, (alike.iter().map(|(.., rows)| rows).sum(), columns))
    });
    let pieces = alike.collect::<Result<Vec<_>>>()?;
    let bias = bias.map(|bias| Tensor::from_slice(bias, bias.len(), &gpu.device())).transpose()?;
    Linear::new(gpu, pieces, bias)
}

fn matrix(gpu: &Gpu, kind: GgmlDType, bytes: Cow<[u8]>, (rows, columns): (usize, usize)) -> Result<QMatMul> {
    let device = gpu.device();
    let plain = match kind {
        GgmlDType::F32 => DType::F32,
        GgmlDType::F16 => DType::F16,
        GgmlDType::BF16 => DType::BF16,
        quantised => {
            let matrix = QTensor::new(QStorage::from_data(bytes, &device, quantised)?, (rows, columns))?;
            // Only tests compute on candle's CPU device, whose products round to bytes what weights are multiplied with.
            return match device.is_cpu() {
                true => matrix.dequantize(&device).map(QMatMul::Tensor),
                false => QMatMul::from_qtensor(matrix),
            };
        }
    };
    let matrix = Tensor::from_raw_buffer(&bytes, plain, &[rows, columns], &Device::Cpu)?;
    matrix.to_dtype(gpu.dtype())?.to_device(&device).map(QMatMul::Tensor)
}
