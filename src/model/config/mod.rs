//! A decoder's shape, read from config.json or from a GGUF file's metadata.

mod json;

pub(super) use json::ids;

use super::Family;
use crate::rope::{Rope, Scaling};
pub use ronbun_kernels::elementwise::Activation;
use ronbun_kernels::elementwise::Pairing;
use std::ops::Range;

/// More than any model has, and few enough that a list of them is nothing.
pub(super) const MOST_LAYERS: usize = 1 << 14;

/// Longer than that of any model; each is held in memory for each sequence.
const LONGEST_CONVOLUTION: usize = 1 << 8;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub family: Family,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub rms_norm_eps: f64,
    /// What is added to a norm's weights as they lie in the file.
    pub norm_offset: f32,
    pub activation: Activation,
    /// The scores' factor.
    pub attention_scale: f64,
    /// The embedding's factor.
    pub embedding_scale: f64,
    /// Logits x become cap · tanh(x / cap).
    pub logit_softcap: Option<f64>,
    /// The most tokens that the model was made for.
    pub context_length: usize,
    /// Rotary embeddings that the layers choose from.
    pub ropes: Vec<Rope>,
    /// How each layer mixes tokens.
    pub layers: Vec<LayerKind>,
    pub pairing: Pairing,
    /// Whether the head is the embedding; unknown of a GGUF file, where the tensors tell.
    pub tied: Option<bool>,
    /// Token ids that end an answer.
    pub eos_token_ids: Vec<u32>,
}

/// How a layer mixes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerKind {
    /// A query sees this many keys, itself and those right before it; all without.
    pub window: Option<usize>,
    /// Which of [`Config::ropes`] turns queries and keys; none at all without.
    pub rope: Option<usize>,
    /// A convolution over so many tokens in place of attention; window and rotation are none then.
    pub convolution: Option<usize>,
}

impl Config {
    /// Layers that attend; the others convolve.
    pub fn attending(&self) -> usize {
        self.numbers(0..self.layers.len())[0].len()
    }

    /// The numbers that some layers have among those of their kind: those that attend, and those that convolve.
    pub fn numbers(&self, layers: Range<usize>) -> [Range<usize>; 2] {
        [false, true].map(|convolves| {
            let before =
                |end: usize| self.layers[..end].iter().filter(|layer| layer.convolution.is_some() == convolves).count();
            before(layers.start)..before(layers.end)
        })
    }

    /// Which of the rotary embeddings turn heads that see the whole text.
    fn of_whole_text(&self) -> Vec<usize> {
        let unbounded = self.layers.iter().filter(|layer| layer.window.is_none());
        let mut used: Vec<usize> = unbounded.filter_map(|layer| layer.rope).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// The rotary embedding that a text longer than the context would need extended; none where every layer has a window.
    pub fn extendable(&self) -> Option<&Rope> {
        self.of_whole_text().first().map(|&rope| &self.ropes[rope])
    }

    /// Scales the positions of all layers that see the whole text in another way than the model's own.
    pub fn extend(&mut self, scaling: &Scaling) -> Result<(), String> {
        for rope in self.of_whole_text() {
            let Rope { rotary_dim, theta, .. } = self.ropes[rope];
            self.ropes[rope] = Rope::new(rotary_dim, theta, scaling.clone())?;
        }
        Ok(())
    }

    /// Shapes that no decoder has are refused here, so that later code can rely on them.
    pub fn check(self) -> Result<Config, String> {
        let sizes = [
            ("vocabulary", self.vocab_size),
            ("hidden size", self.hidden_size),
            ("intermediate size", self.intermediate_size),
            ("number of layers", self.num_hidden_layers),
            ("number of heads", self.num_attention_heads),
            ("number of key-value heads", self.num_key_value_heads),
            ("head size", self.head_dim),
            ("context length", self.context_length),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| *size == 0 || *size > 1 << 24) {
            return Err(format!("{name} is {size}"));
        }
        if self.num_hidden_layers > MOST_LAYERS || self.layers.len() != self.num_hidden_layers {
            return Err(format!("number of layers is {}", self.num_hidden_layers));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(format!(
                "{} heads do not share {} key-value heads evenly",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(format!("rms_norm_eps is {}", self.rms_norm_eps));
        }
        let factors = [
            ("attention scale", Some(self.attention_scale)),
            ("embedding scale", Some(self.embedding_scale)),
            ("soft cap of the logits", self.logit_softcap),
        ];
        let bad = |factor: f64| !(factor.is_finite() && factor > 0.0);
        if let Some((name, factor)) = factors.iter().find(|(_, factor)| factor.is_some_and(bad)) {
            return Err(format!("{name} is {}", factor.unwrap_or_default()));
        }
        if let Some(number) = self.layers.iter().position(|layer| layer.window == Some(0)) {
            return Err(format!("the window of layer {number} is 0"));
        }
        let lengths = self.layers.iter().filter_map(|layer| layer.convolution);
        if let Some(length) = lengths.into_iter().find(|length| *length == 0 || *length > LONGEST_CONVOLUTION) {
            return Err(format!("a convolution is over {length} tokens"));
        }
        if self.attending() == 0 {
            return Err("no layer attends".into());
        }
        Ok(self)
    }
}
