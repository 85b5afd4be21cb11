//! Weight matrices on the device.

use super::gpu::{DTYPE, Gpu};
use candle_core::{DType, Module, Result, Tensor, bail, quantized::QMatMul};
use std::sync::Arc;

/// y = x · wᵀ + bias, where w is the rows of one or several matrices. Quantised ones are multiplied by candle's kernels, others,
/// in the 16-bit type of the device, by cuBLAS.
pub struct Linear {
    gpu: Arc<Gpu>,
    outputs: usize,
    /// Each with the first of its outputs.
    pieces: Vec<(usize, QMatMul)>,
    /// f32, of all rows
    bias: Option<Tensor>,
}

impl Linear {
    pub fn new(gpu: Arc<Gpu>, matrices: Vec<QMatMul>, bias: Option<Tensor>) -> Result<Linear> {
        let (mut outputs, mut pieces) = (0, Vec::new());
        for matrix in matrices {
            let rows = match &matrix {
                QMatMul::QTensor(w) => w.shape().dims2()?.0,
                QMatMul::Tensor(w) | QMatMul::TensorF16(w) => w.dim(0)?,
            };
            pieces.push((outputs, matrix));
            outputs += rows;
        }
        Ok(Linear { gpu, outputs, pieces, bias })
    }

    /// (rows, inputs), whose rows may lie apart, → `y` (rows, outputs), which is of the 16-bit type.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        for (first, weights) in &self.pieces {
            match weights {
                QMatMul::Tensor(w) => self.gpu.linear(x, w, &y.narrow(1, *first, w.dim(0)?)?, 0.0)?,
                quantised => y.slice_set(&quantised.forward(&x.contiguous()?)?, 1, *first)?,
            }
        }
        match &self.bias {
            Some(bias) => self.gpu.add_bias(y, bias),
            None => Ok(()),
        }
    }

    /// Adds to `sum` (rows, outputs), which is in f32, what [`Linear::forward`] gives.
    pub fn add(&self, x: &Tensor, sum: &Tensor) -> Result<()> {
        match (self.pieces.as_slice(), &self.bias) {
            ([(_, QMatMul::Tensor(w))], None) => self.gpu.linear(x, w, sum, 1.0),
            ([(_, quantised)], None) => self.gpu.add(sum, &quantised.forward(&x.contiguous()?)?),
            _ => {
                let y = Tensor::zeros((x.dim(0)?, self.outputs), DTYPE, &self.gpu.device())?;
                self.forward(x, &y)?;
                self.gpu.add(sum, &y)
            }
        }
    }

    /// As [`Linear::forward`], in f32, into plain memory. Only for one matrix without a bias, as heads are.
    pub fn forward_to_host(&self, x: &Tensor, y: &mut [f32]) -> Result<()> {
        let ([(_, weights)], None) = (self.pieces.as_slice(), &self.bias) else {
            bail!("a head of several matrices, or with a bias");
        };
        let result = match weights {
            QMatMul::Tensor(w) => {
                let y = Tensor::zeros((x.dim(0)?, w.dim(0)?), DType::F32, &self.gpu.device())?;
                self.gpu.linear(x, w, &y, 0.0)?;
                y
            }
            // candle gives what it is given: in f32 logits keep their last bits.
            quantised => quantised.forward(&x.to_dtype(DType::F32)?)?,
        };
        let values = result.flatten_all()?.to_vec1::<f32>()?;
        if values.len() != y.len() {
            bail!("{} results for {} places", values.len(), y.len());
        }
        y.copy_from_slice(&values);
        Ok(())
    }
}
