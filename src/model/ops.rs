//! The decoder's operations on tensors: each hands plain slices to a kernel.

use super::internal;
use crate::Result;
use candle_core::{CpuStorage, Device, Storage, Tensor};
use ronbun_kernels::{
    Isa, elementwise, linear,
    packed::{self, Activations},
};

use super::{TensorView, packed::PackedView};

/// Calls `f` with a CPU tensor's f32 elements.
pub fn with_slice<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let x = x.contiguous().map_err(internal)?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => {
            let start = layout.start_offset();
            Ok(f(&values[start..start + layout.shape().elem_count()]))
        }
        _ => Err(internal(candle_core::Error::Msg("a kernel was given a tensor that is not f32 on the CPU".into()))),
    }
}

pub fn tensor(values: Vec<f32>, shape: (usize, usize)) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu).map_err(internal)
}

/// A weight matrix (outputs, inputs) as it lies in the file, with its bias.
#[derive(Debug, Clone)]
pub struct Linear {
    view: TensorView,
    /// The same weights packed for products of integers; without them products are those of the dequantised weights.
    packed: Option<PackedView>,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// `view` is a matrix, `bias` as long as it has rows: the decoder checked both.
    pub fn new(view: TensorView, packed: Option<PackedView>, bias: Option<Vec<f32>>) -> Linear {
        Linear { view, packed, bias }
    }

    fn weights(&self) -> linear::Weights<'_> {
        let (rows, columns) = (self.view.shape[0], self.view.shape[1]);
        linear::Weights { kind: self.view.kind, bytes: self.view.bytes(), rows, columns }
    }

    /// (rows, inputs) → (rows, outputs)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.dim(0).map_err(internal)?;
        let weights = self.weights();
        let mut y = vec![0f32; rows * weights.rows];
        let (isa, bias) = (Isa::current(), self.bias.as_deref());
        with_slice(x, |x| match &self.packed {
            Some(packed) => {
                let x = Activations::new(isa, x, weights.columns, weights.kind);
                packed::linear(isa, &x, packed.matrix(), bias, &mut y);
            }
            None => linear::linear(isa, x, weights, bias, &mut y),
        })?;
        tensor(y, (rows, weights.rows))
    }

    /// The matrix's rows `ids`, which are all below its number of rows: (ids, inputs).
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let weights = self.weights();
        let mut out = vec![0f32; ids.len() * weights.columns];
        linear::rows(Isa::current(), weights, ids, &mut out);
        tensor(out, (ids.len(), weights.columns))
    }
}

/// Root-mean-square norm of each row.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    pub weight: Vec<f32>,
    pub eps: f64,
}

impl RmsNorm {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = x.dims2().map_err(internal)?;
        let mut y = vec![0f32; rows * width];
        with_slice(x, |x| elementwise::rms_norm(x, &self.weight, self.eps, &mut y))?;
        tensor(y, (rows, width))
    }
}

/// silu(gate) · up
pub fn silu_mul(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let shape = gate.dims2().map_err(internal)?;
    let mut y = with_slice(gate, <[f32]>::to_vec)?;
    with_slice(up, |up| elementwise::silu_mul(Isa::current(), &mut y, up))?;
    tensor(y, shape)
}
