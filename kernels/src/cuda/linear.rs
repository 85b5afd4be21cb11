//! Weight matrices on the device.

use super::gpu::{DTYPE, Gpu};
use candle_core::{
    DType, Device, Module, Result, Tensor, bail,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use std::{borrow::Cow, sync::Arc};

/// y = x · wᵀ + bias, where w is the rows of one or several matrices. Quantised weights stay as they are in the file and are
/// multiplied by candle's kernels; others are in the 16-bit type of the device and are multiplied by cuBLAS.
pub struct Linear {
    gpu: Arc<Gpu>,
    outputs: usize,
    /// Each with the first of its outputs; neighbours of one type are one.
    pieces: Vec<(usize, Weights)>,
    /// f32
    bias: Option<Tensor>,
}

enum Weights {
    Plain(Tensor),
    Quantised(QMatMul),
}

impl Linear {
    /// Sends matrices of `columns` inputs to the device: of each its type, its bytes in a file, and its rows. The bias is of
    /// all rows.
    pub fn new(
        gpu: Arc<Gpu>,
        columns: usize,
        matrices: &[(GgmlDType, &[u8], usize)],
        bias: Option<&[f32]>,
    ) -> Result<Linear> {
        let device = gpu.device();
        let (mut outputs, mut pieces) = (0, Vec::new());
        for alike in matrices.chunk_by(|one, next| one.0 == next.0) {
            let bytes = match alike {
                [(_, only, _)] => Cow::Borrowed(*only),
                several => Cow::Owned(several.iter().map(|(_, bytes, _)| *bytes).collect::<Vec<_>>().concat()),
            };
            let rows: usize = alike.iter().map(|(.., rows)| rows).sum();
            pieces.push((outputs, Weights::new(&device, alike[0].0, bytes, (rows, columns))?));
            outputs += rows;
        }
        let bias = bias.map(|bias| Tensor::from_slice(bias, bias.len(), &device)).transpose()?;
        Ok(Linear { gpu, outputs, pieces, bias })
    }

    /// (rows, inputs), whose rows may lie apart, → `y` (rows, outputs), which is of the 16-bit type.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        for (first, weights) in &self.pieces {
            match weights {
                Weights::Plain(w) => self.gpu.linear(x, w, &y.narrow(1, *first, w.dim(0)?)?, 0.0)?,
                Weights::Quantised(w) => y.slice_set(&w.forward(&x.contiguous()?)?, 1, *first)?,
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
            ([(_, Weights::Plain(w))], None) => self.gpu.linear(x, w, sum, 1.0),
            ([(_, Weights::Quantised(w))], None) => self.gpu.add(sum, &w.forward(&x.contiguous()?)?),
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
            Weights::Plain(w) => {
                let y = Tensor::zeros((x.dim(0)?, w.dim(0)?), DType::F32, &self.gpu.device())?;
                self.gpu.linear(x, w, &y, 0.0)?;
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

impl Weights {
    fn new(device: &Device, kind: GgmlDType, bytes: Cow<[u8]>, shape: (usize, usize)) -> Result<Weights> {
        let dtype = match kind {
            GgmlDType::F32 => DType::F32,
            GgmlDType::F16 => DType::F16,
            GgmlDType::BF16 => DType::BF16,
            quantised => {
                let storage = QStorage::from_data(bytes, device, quantised)?;
                return QMatMul::from_arc(Arc::new(QTensor::new(storage, shape)?)).map(Weights::Quantised);
            }
        };
        let matrix = Tensor::from_raw_buffer(&bytes, dtype, &[shape.0, shape.1], &Device::Cpu)?;
        matrix.to_dtype(DTYPE)?.to_device(device).map(Weights::Plain)
    }
}
