//! The decoder's operations on tensors: each hands plain slices to a kernel.

use super::{gguf, internal};
use crate::{
    Result,
    device::{self, Place},
};
use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Storage, Tensor};
use ronbun_kernels::{
    Isa,
    elementwise::{self, Activation, Pairing},
    linear,
    packed::{self, Activations, Packed},
};
use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
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
#[derive(Clone)]
pub struct Linear {
    view: TensorView,
    /// The same weights packed for products of integers; without them products are those of the dequantised weights.
    packed: Option<PackedView>,
    bias: Option<Vec<f32>>,
    /// The same on the GPU, where that computes.
    on_gpu: Option<Arc<device::Linear>>,
}

impl Linear {
    /// `view` is a matrix, `bias` as long as it has rows: the decoder checked both.
    pub fn new(view: TensorView, packed: Option<PackedView>, bias: Option<Vec<f32>>) -> Linear {
        Linear { view, packed, bias, on_gpu: None }
    }

    /// Sends the matrix to where it is computed with.
    pub fn place(mut self, place: &Place) -> Result<Linear> {
        if let Some(gpu) = place.gpu() {
            self.on_gpu = Some(Arc::new(Linear::send(gpu, std::slice::from_ref(&self))?));
        }
        Ok(self)
    }

    /// Linears of the same inputs on a GPU, as one whose outputs are all of theirs.
    pub fn send(gpu: &Arc<device::Gpu>, linears: &[Linear]) -> Result<device::Linear> {
        let views = linears.iter().map(|linear| &linear.view);
        let matrices: Vec<_> = views.map(|view| (gguf::ggml_type(view.kind), view.bytes(), view.shape[0])).collect();
        let bias = |linear: &Linear| linear.bias.clone().unwrap_or_else(|| vec![0.0; linear.outputs()]);
        let biased = linears.iter().any(|linear| linear.bias.is_some());
        let biases = biased.then(|| linears.iter().flat_map(bias).collect::<Vec<_>>());
        let columns = linears[0].view.shape[1];
        let sent = device::linear(gpu.clone(), columns, &matrices, biases.as_deref()).map_err(device::failed)?;
        // What was read of the file for that is of no more use.
        linears.iter().for_each(|linear| linear.view.file.let_go(linear.view.range.clone()));
        Ok(sent)
    }

    fn weights(&self) -> linear::Weights<'_> {
        let (rows, columns) = (self.view.shape[0], self.view.shape[1]);
        linear::Weights { kind: self.view.kind, bytes: self.view.bytes(), rows, columns }
    }

    /// (rows, inputs) → `y` (rows, outputs)
    pub fn forward(&self, x: &Input, y: &Tensor) -> Result<()> {
        if let Some(on_gpu) = &self.on_gpu {
            return on_gpu.forward(x.tensor, y).map_err(device::failed);
        }
        fill(y, |y| self.forward_into(x, y))?
    }

    /// Adds what [`Linear::forward`] gives to `sum` in f32, where that is no more work: on a GPU. Returns whether it did.
    pub fn add(&self, x: &Input, sum: &Tensor) -> Result<bool> {
        let Some(on_gpu) = &self.on_gpu else { return Ok(false) };
        on_gpu.add(x.tensor, sum).map_err(device::failed)?;
        Ok(true)
    }

    /// As [`Linear::forward`], into plain memory.
    pub fn forward_into(&self, x: &Input, y: &mut [f32]) -> Result<()> {
        if let Some(on_gpu) = &self.on_gpu {
            return on_gpu.forward_to_host(x.tensor, y).map_err(device::failed);
        }
        let (isa, bias) = (Isa::current(), self.bias.as_deref());
        match self.packed() {
            Some(packed) => {
                packed::linear(isa, x.rounded(packed.columns)?, packed, bias, y);
                Ok(())
            }
            None => with_slice(x.tensor, |x| linear::linear(isa, x, self.weights(), bias, y)),
        }
    }

    /// The matrix packed for products of integers.
    fn packed(&self) -> Option<Packed<'_>> {
        let linear::Weights { kind, rows, columns, .. } = self.weights();
        self.packed.as_ref().map(|packed| Packed { kind, bytes: packed.bytes(), rows, columns })
    }

    /// `activation(gate · x) · (up · x)`, rounded for the linear `next`, where a kernel computes that in one go.
    pub fn gated([gate, up, next]: [&Linear; 3], activation: Activation, x: &Input) -> Result<Option<Activations>> {
        let alone = |linear: &Linear| linear.bias.is_none() && linear.on_gpu.is_none();
        let (Some(packed_gate), Some(packed_up), Some(_)) = (gate.packed(), up.packed(), next.packed()) else {
            return Ok(None);
        };
        if !alone(gate) || !alone(up) {
            return Ok(None);
        }
        let rounded = x.rounded(packed_gate.columns)?;
        Ok(packed::gated(Isa::current(), rounded, [packed_gate, packed_up], activation))
    }

    pub fn outputs(&self) -> usize {
        self.view.shape[0]
    }

    /// The matrix's rows `ids`, which are all below its number of rows: (ids, inputs).
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let weights = self.weights();
        let mut out = vec![0f32; ids.len() * weights.columns];
        linear::rows(Isa::current(), weights, ids, &mut out);
        tensor(out, (ids.len(), weights.columns))
    }
}

/// What linears are given: (rows, inputs), rounded once for all of them that multiply in integers.
pub struct Input<'a> {
    pub tensor: &'a Tensor,
    /// The rows are of one sequence alone, however many others are read beside it.
    prompt: bool,
    rounded: OnceCell<Activations>,
}

impl<'a> Input<'a> {
    pub fn new(tensor: &'a Tensor) -> Input<'a> {
        Input { tensor, prompt: false, rounded: OnceCell::new() }
    }

    /// Of a `prompt`, or as [`Input::new`].
    pub fn of(tensor: &'a Tensor, prompt: bool) -> Input<'a> {
        Input { prompt, ..Input::new(tensor) }
    }

    /// What is made of these inputs, row by row.
    pub fn then<'b>(&self, tensor: &'b Tensor) -> Input<'b> {
        Input::of(tensor, self.prompt)
    }

    /// What was rounded already; `tensor` is where it would be otherwise.
    pub fn already(rounded: Activations, tensor: &'a Tensor) -> Input<'a> {
        Input { rounded: OnceCell::from(rounded), ..Input::new(tensor) }
    }

    fn rounded(&self, columns: usize) -> Result<&Activations> {
        if let Some(rounded) = self.rounded.get() {
            return Ok(rounded);
        }
        let round = if self.prompt { Activations::of_prompt } else { Activations::new };
        let rounded = with_slice(self.tensor, |x| round(Isa::current(), x, columns))?;
        Ok(self.rounded.get_or_init(|| rounded))
    }
}

/// Root-mean-square norm of each row, or of each part of a row that is as long as the weight.
#[derive(Clone)]
pub struct RmsNorm {
    pub weight: Vec<f32>,
    pub eps: f64,
    /// The weight there, where a GPU computes.
    on_gpu: Option<(Arc<device::Gpu>, Tensor)>,
}

impl RmsNorm {
    pub fn new(weight: Vec<f32>, eps: f64, place: &Place) -> Result<RmsNorm> {
        let send = |gpu: &Arc<device::Gpu>| {
            Ok((gpu.clone(), Tensor::from_slice(&weight, weight.len(), &gpu.device()).map_err(device::failed)?))
        };
        let on_gpu = place.gpu().map(send).transpose()?;
        Ok(RmsNorm { weight, eps, on_gpu })
    }

    /// (rows, width) → `y`, of the same shape
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        if let Some((gpu, weight)) = &self.on_gpu {
            return gpu.rms_norm(x, weight, self.eps, y).map_err(device::failed);
        }
        with_slice(x, |x| fill(y, |y| elementwise::rms_norm(Isa::current(), x, &self.weight, self.eps, y)))?
    }

    /// As [`RmsNorm::forward`], in place.
    pub fn apply(&self, x: &Tensor) -> Result<()> {
        if self.on_gpu.is_some() {
            return self.forward(x, x);
        }
        fill(x, |x| elementwise::rms_norm_in_place(Isa::current(), x, &self.weight, self.eps))
    }
}

/// Lets a kernel write the elements of a tensor on the CPU.
pub fn fill<R>(y: &Tensor, kernel: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let alone = Alone { kernel: Cell::new(Some(kernel)), result: Cell::new(None) };
    y.inplace_op1(&alone).map_err(internal)?;
    alone.result.into_inner().ok_or_else(|| internal(not_f32()))
}

/// A kernel that changes the first of two tensors of the same shape.
struct WithOther<F>(F);

impl<F: Fn(&mut [f32], &[f32])> InplaceOp2 for WithOther<F> {
    fn name(&self) -> &'static str {
        "a kernel on two tensors"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(x), CpuStorage::F32(y)) = (x, y) else { return Err(not_f32()) };
        let (Some((from, to)), Some((y_from, y_to))) = (layout.contiguous_offsets(), y_layout.contiguous_offsets())
        else {
            return Err(not_f32());
        };
        (self.0)(&mut x[from..to], &y[y_from..y_to]);
        Ok(())
    }
}

/// A kernel that changes a tensor, to be run once.
struct Alone<F, R> {
    kernel: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Alone<F, R> {
    fn name(&self) -> &'static str {
        "a kernel on a tensor"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(x), Some((from, to))) = (x, layout.contiguous_offsets()) else { return Err(not_f32()) };
        self.result.set(self.kernel.take().map(|kernel| kernel(&mut x[from..to])));
        Ok(())
    }
}

fn not_f32() -> candle_core::Error {
    candle_core::Error::Msg("a kernel was given a tensor that is not f32, or not in one piece".into())
}

/// `gate = activation(gate) · up`
pub fn gate(place: &Place, activation: Activation, gate: &Tensor, up: &Tensor) -> Result<()> {
    if let Some(gpu) = place.gpu() {
        return gpu.gate(activation, gate, up).map_err(device::failed);
    }
    let kernel = |gate: &mut [f32], up: &[f32]| elementwise::gate(Isa::current(), activation, gate, up);
    gate.inplace_op2(up, &WithOther(kernel)).map_err(internal)
}

/// `x = factor · x`, on the CPU.
pub fn scale(x: &Tensor, factor: f32) -> Result<()> {
    fill(x, |x| elementwise::scale(x, factor))
}

/// `x = x + y`
pub fn add(place: &Place, x: &Tensor, y: &Tensor) -> Result<()> {
    if let Some(gpu) = place.gpu() {
        return gpu.add(x, y).map_err(device::failed);
    }
    x.inplace_op2(y, &WithOther(elementwise::add)).map_err(internal)
}

/// Rotates queries or keys (rows, heads · head_dim) by their positions; see [`elementwise::rotate`].
pub fn rotate(x: &Tensor, cos: &[f32], sin: &[f32], head_dim: usize, pairing: Pairing) -> Result<()> {
    let rows = x.dim(0).map_err(internal)?;
    fill(x, |x| elementwise::rotate(Isa::current(), x, cos, sin, rows, head_dim, pairing))
}
