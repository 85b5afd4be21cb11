//! Keys and values on the device.

use super::gpu::Gpu;
use candle_core::{DType, Result, Tensor, bail};
use std::sync::Arc;

/// Fewest tokens that room is made for.
const STEP: usize = 256;

/// Keys and values of one sequence in all layers, in the device's type.
pub struct Cache {
    gpu: Arc<Gpu>,
    kv_heads: usize,
    head_dim: usize,
    layers: Vec<Layer>,
}

/// What a layer holds.
#[derive(Clone, Default)]
pub struct Layer {
    /// Keys and values, (capacity, kv_heads, head_dim) each, or nothing yet.
    kv: Option<(Tensor, Tensor)>,
    length: usize,
}

impl Cache {
    /// Keeps nothing as bytes: who asks for that is refused before.
    pub fn new(gpu: Arc<Gpu>, layers: usize, kv_heads: usize, head_dim: usize, _: bool) -> Cache {
        Cache { gpu, kv_heads, head_dim, layers: vec![Layer::default(); layers] }
    }

    /// Tokens held by all layers.
    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.length)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `len` tokens at most. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        let kept = self.layers.iter().map(|layer| layer.length).min().unwrap_or(0).min(len);
        self.layers.iter_mut().for_each(|layer| layer.length = kept);
        kept
    }

    /// Bytes that `tokens` tokens take in all layers, in 16 bits.
    pub fn bytes_for(layers: usize, kv_heads: usize, head_dim: usize, tokens: usize, _: bool) -> u64 {
        let token = kv_heads * head_dim * DType::BF16.size_in_bytes();
        if tokens == 0 { 0 } else { (2 * layers * room(tokens, token) * token) as u64 }
    }

    /// Makes room for `tokens` tokens altogether, where it is known that so many will come.
    pub fn make_room(&mut self, tokens: usize) -> Result<()> {
        self.grow(|_| tokens)
    }

    /// Makes room for `more` tokens.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        self.grow(|layer| layer.length + more)
    }

    /// Makes room a layer after the other: two copies are there of one layer only.
    fn grow(&mut self, wanted: impl Fn(&Layer) -> usize) -> Result<()> {
        let (gpu, heads, dim) = (self.gpu.clone(), self.kv_heads, self.head_dim);
        for layer in &mut self.layers {
            let wanted = wanted(layer);
            let there = layer.kv.as_ref().map_or(Ok(0), |(keys, _)| keys.dim(0))?;
            if wanted <= there {
                continue;
            }
            let capacity = room(wanted, heads * dim * gpu.dtype().size_in_bytes());
            let grown = |old: Option<&Tensor>| {
                let new = Tensor::zeros((capacity, heads, dim), gpu.dtype(), &gpu.device())?;
                if let Some(old) = old {
                    new.slice_set(old, 0, 0)?;
                }
                Ok::<_, candle_core::Error>(new)
            };
            let (keys, values) = layer.kv.as_ref().map(|(keys, values)| (Some(keys), Some(values))).unwrap_or_default();
            layer.kv = Some((grown(keys)?, grown(values)?));
        }
        Ok(())
    }

    /// What a layer holds now. What is appended later, as far as there is room, appears in the same tensors.
    pub fn layer(&self, layer: usize) -> Layer {
        self.layers[layer].clone()
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Puts keys and values (tokens, kv_heads · head_dim), of the device's type, behind those of a layer.
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<()> {
        let Layer { kv: Some((keys, values)), length } = &mut self.layers[layer] else { bail!("a cache without room") };
        let tokens = k.dim(0)?;
        for (kept, new) in [(keys, k), (values, v)] {
            kept.slice_set(&new.reshape((tokens, self.kv_heads, self.head_dim))?, 0, *length)?;
        }
        *length += tokens;
        Ok(())
    }
}

impl Layer {
    /// Tokens held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// The first `tokens` keys and values, (tokens, kv_heads, head_dim) each.
    pub fn first(&self, tokens: usize) -> Result<(Tensor, Tensor)> {
        let Some((keys, values)) = &self.kv else { bail!("a cache without room") };
        Ok((keys.narrow(0, 0, tokens)?, values.narrow(0, 0, tokens)?))
    }
}

/// Tokens that room is made for where `tokens` are wanted, `bytes` each: on Metal candle takes memory in powers of two, all of
/// which may as well be used.
fn room(tokens: usize, bytes: usize) -> usize {
    (tokens.max(STEP) * bytes).next_power_of_two() / bytes.max(1)
}
