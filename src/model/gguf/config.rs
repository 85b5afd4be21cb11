//! A GGUF file's keys as a [`Config`]. What they leave out is what llama.cpp takes for it.

use super::Metadata;
use crate::{
    model::{Activation, Config, Family, LayerKind, TensorView, config::MOST_LAYERS},
    rope::{GgufKeys, Rope, Scaling},
};
use ronbun_kernels::{Isa, blocks};
use std::collections::HashMap;

pub fn family(metadata: &Metadata) -> Result<Family, String> {
    let arch = metadata.string("general.architecture").ok_or("has no general.architecture")?;
    Family::from_name(arch)
        .ok_or_else(|| format!("unknown architecture '{arch}' (this version runs {})", Family::KNOWN))
}

pub fn config(family: Family, metadata: &Metadata, tensors: &HashMap<String, TensorView>) -> Result<Config, String> {
    let keys = Keys { arch: metadata.string("general.architecture").unwrap_or_default(), metadata, tensors };
    if metadata.integer("split.count").unwrap_or(1) > 1 {
        return Err("is one part of a split model; join the parts first (llama.cpp's gguf-split --merge)".into());
    }
    if keys.count("expert_count").unwrap_or(0) > 0 {
        return Err(format!("is a mixture of experts ({}.expert_count), which this version cannot run", keys.arch));
    }
    if let Some(cap) = keys.number("attn_logit_softcapping").filter(|cap| *cap != 0.0) {
        return Err(format!("{}.attn_logit_softcapping is {cap}; scores are not capped here", keys.arch));
    }
    let heads = keys.required("attention.head_count")?;
    let hidden_size = keys.required("embedding_length")?;
    let head_dim = keys.count("attention.key_length").unwrap_or(hidden_size / heads.max(1));
    let context_length = keys.required("context_length")?;
    let num_hidden_layers = keys.required("block_count")?;
    let kv_heads = keys.kv_heads(family, heads, num_hidden_layers)?;
    let eps = "attention.layer_norm_rms_epsilon";
    let vocab_size = tensors.get("model.embed_tokens.weight").and_then(|tensor| tensor.shape.first().copied());
    let gemma = family == Family::Gemma3;
    Config {
        family,
        vocab_size: vocab_size.ok_or("has no token_embd.weight")?,
        hidden_size,
        intermediate_size: keys.required("feed_forward_length")?,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads.iter().copied().max().unwrap_or(heads),
        head_dim,
        rms_norm_eps: keys.number(eps).ok_or_else(|| format!("has no {}.{eps}", keys.arch))?,
        // The converter has added Gemma's 1 to the weights.
        norm_offset: 0.0,
        activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
        attention_scale: keys.number("attention.scale").unwrap_or_else(|| {
            // Gemma 3 27B, by its number of layers.
            let scores = if gemma && num_hidden_layers == 62 { hidden_size / heads.max(1) } else { head_dim };
            (scores as f64).powf(-0.5)
        }),
        embedding_scale: if gemma { (hidden_size as f64).sqrt() } else { 1.0 },
        logit_softcap: keys.number("final_logit_softcapping").filter(|cap| gemma && *cap != 0.0),
        context_length,
        ropes: keys.ropes(family, head_dim, context_length)?,
        layers: keys.layers(family, &kv_heads)?,
        tied: None,
        pairing: family.gguf_pairing(),
        eos_token_ids: ["eos", "eot", "eom"]
            .iter()
            .filter_map(|name| metadata.integer(&format!("tokenizer.ggml.{name}_token_id")))
            .map(|id| id as u32)
            .collect(),
    }
    .check()
}

/// What a file says below its architecture's name, and its tensors.
struct Keys<'a> {
    arch: &'a str,
    metadata: &'a Metadata,
    tensors: &'a HashMap<String, TensorView>,
}

impl Keys<'_> {
    fn count(&self, key: &str) -> Option<usize> {
        self.metadata.integer(&format!("{}.{key}", self.arch)).map(|n| n as usize)
    }

    fn required(&self, key: &str) -> Result<usize, String> {
        self.count(key).ok_or_else(|| format!("has no {}.{key}", self.arch))
    }

    /// One for all layers; in Gemma 3 another for those with a window, which no scaling is about.
    fn ropes(&self, family: Family, head_dim: usize, context: usize) -> Result<Vec<Rope>, String> {
        let mut ropes = vec![Rope::of_gguf(self, head_dim, context)?];
        if family == Family::Gemma3 {
            let theta = self.number("rope.freq_base_swa").unwrap_or(10_000.0);
            ropes.push(Rope::new(ropes[0].rotary_dim, theta, Scaling::None)?);
        }
        Ok(ropes)
    }

    /// Each layer's key-value heads. In LFM2 a layer that convolves has none; all others have as many.
    fn kv_heads(&self, family: Family, heads: usize, layers: usize) -> Result<Vec<usize>, String> {
        let key = "attention.head_count_kv";
        let Some(listed) = self.metadata.numbers(&format!("{}.{key}", self.arch)) else {
            return Ok(vec![self.count(key).unwrap_or(heads); layers.min(MOST_LAYERS)]);
        };
        if listed.len() < layers {
            return Err(format!("{}.{key} has {} entries for {layers} layers", self.arch, listed.len()));
        }
        let listed: Vec<usize> = listed[..layers].iter().map(|heads| *heads as usize).collect();
        let most = listed.iter().copied().max().unwrap_or(heads);
        let convolves = |heads: usize| heads == 0 && family == Family::Lfm2;
        match listed.iter().find(|heads| **heads != most && !convolves(**heads)) {
            Some(other) => Err(format!("{}.{key} holds {most} and {other}; layers are of one shape here", self.arch)),
            None => Ok(listed),
        }
    }

    fn layers(&self, family: Family, kv_heads: &[usize]) -> Result<Vec<LayerKind>, String> {
        let count = kv_heads.len();
        // Asked for where a layer needs it.
        let length = if kv_heads.contains(&0) { self.required("shortconv.l_cache")? } else { 0 };
        let window = self.count("attention.sliding_window").filter(|window| *window > 0);
        let key = "attention.sliding_window_pattern";
        let listed = self.metadata.booleans(&format!("{}.{key}", self.arch));
        if let Some(short) = listed.as_ref().filter(|listed| listed.len() < count) {
            return Err(format!("{}.{key} has {} entries for {count} layers", self.arch, short.len()));
        }
        // Every how many layers one sees everything.
        let pattern =
            self.count(key).filter(|period| *period > 0).unwrap_or(if family == Family::Gemma3 { 6 } else { 0 });
        let kind = |number: usize| {
            let every = |period: usize| period > 0 && (number + 1).is_multiple_of(period);
            if kv_heads[number] == 0 {
                return LayerKind { window: None, rope: None, convolution: Some(length) };
            }
            let slides = listed.as_ref().map_or(!every(pattern), |listed| listed[number]);
            let rope = match family {
                Family::Gemma3 => Some(usize::from(slides)),
                Family::SmolLm3 => (!every(4)).then_some(0),
                _ => Some(0),
            };
            LayerKind { window: window.filter(|_| slides), rope, convolution: None }
        };
        Ok((0..count).map(kind).collect())
    }
}

impl GgufKeys for Keys<'_> {
    fn number(&self, key: &str) -> Option<f64> {
        self.metadata.number(&format!("{}.{key}", self.arch))
    }

    fn string(&self, key: &str) -> Option<String> {
        self.metadata.string(&format!("{}.{key}", self.arch)).map(str::to_string)
    }

    fn tensor(&self, name: &str) -> Option<Vec<f64>> {
        let tensor = self.tensors.get(name)?;
        let mut values = vec![0f32; tensor.shape.iter().product()];
        blocks::dequantize(Isa::current(), tensor.kind, tensor.bytes(), &mut values);
        Some(values.into_iter().map(f64::from).collect())
    }
}
