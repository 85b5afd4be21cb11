//! Linears of one input: a GPU that can multiplies with all of their matrices at once, and leaves the results side by side.

use super::ops::{Input, Linear};
use crate::{
    Result,
    device::{self, Place},
};
use candle_core::Tensor;
use ronbun_kernels::{elementwise::Activation, packed::Activations};
use std::sync::Arc;

pub struct Joined {
    each: Vec<Linear>,
    /// All of them, on such a GPU.
    on_gpu: Option<device::Linear>,
}

/// Room for the results of [`Joined`], (rows, width) each.
pub struct Columns<const N: usize> {
    pub each: [Tensor; N],
    /// On such a GPU: what each is a part of, (rows, all widths).
    whole: Option<Tensor>,
}

impl Joined {
    /// Sends the matrices, which are of the same inputs, to where they are computed with.
    pub fn new(each: Vec<Linear>, place: &Place) -> Result<Joined> {
        let on_gpu = joining(place).map(|gpu| Linear::send(gpu, &each)).transpose()?;
        let each = match &on_gpu {
            Some(_) => each,
            None => each.into_iter().map(|linear| linear.place(place)).collect::<Result<_>>()?,
        };
        Ok(Joined { each, on_gpu })
    }

    /// (rows, inputs) → `y`, of which those before the one numbered `from` are not wanted: they may be there or not.
    pub fn forward<const N: usize>(&self, from: usize, x: &Input, y: &Columns<N>) -> Result<()> {
        if let (Some(on_gpu), Some(whole)) = (&self.on_gpu, &y.whole) {
            return on_gpu.forward(x.tensor, whole).map_err(device::failed);
        }
        self.each.iter().zip(&y.each).skip(from).try_for_each(|(linear, y)| linear.forward(x, y))
    }

    /// Of a gate and what it is for, [`Linear::gated`].
    pub fn gated(&self, next: &Linear, activation: Activation, x: &Input) -> Result<Option<Activations>> {
        match &self.each[..] {
            [gate, up] if self.on_gpu.is_none() => Linear::gated([gate, up, next], activation, x),
            _ => Ok(None),
        }
    }
}

fn joining(place: &Place) -> Option<&Arc<device::Gpu>> {
    place.gpu().filter(|_| device::JOINS)
}

impl<const N: usize> Columns<N> {
    pub fn new(place: &Place, rows: usize, widths: [usize; N]) -> Result<Columns<N>> {
        let whole = joining(place).map(|_| place.empty(rows, widths.iter().sum())).transpose()?;
        let mut first = 0;
        let each = widths.into_iter().map(|width| {
            first += width;
            match &whole {
                Some(whole) => whole.narrow(1, first - width, width).map_err(device::failed),
                None => place.empty(rows, width),
            }
        });
        let each = each.collect::<Result<Vec<_>>>()?.try_into().expect("as many as widths");
        Ok(Columns { each, whole })
    }
}
