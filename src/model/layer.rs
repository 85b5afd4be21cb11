//! A checkpoint's tensors as the decoder's matrices and norms, their shapes checked.

use super::{
    Checkpoint, PackedWeights, TensorView,
    config::LayerKind,
    ops::{Linear, RmsNorm},
};
use crate::{Result, device::Place};
use ronbun_kernels::{Isa, blocks};

/// Attention and a gated MLP, each after a norm. What a family has not is `None`.
pub struct Layer {
    pub kind: LayerKind,
    pub attention_norm: RmsNorm,
    pub q_proj: Linear,
    pub k_proj: Linear,
    pub v_proj: Linear,
    /// Of each head's queries and keys, before they are rotated.
    pub q_norm: Option<RmsNorm>,
    pub k_norm: Option<RmsNorm>,
    pub o_proj: Linear,
    /// Of what attention gives, before it is added.
    pub attended_norm: Option<RmsNorm>,
    pub mlp_norm: RmsNorm,
    pub gate_proj: Linear,
    pub up_proj: Linear,
    pub down_proj: Linear,
    /// Of what the MLP gives, before it is added.
    pub down_norm: Option<RmsNorm>,
}

/// Takes tensors out of a checkpoint.
pub struct Tensors<'a> {
    pub checkpoint: &'a Checkpoint,
    pub packed: Option<&'a PackedWeights>,
    pub place: &'a Place,
}

impl Tensors<'_> {
    pub fn layer(&self, number: usize) -> Result<Layer> {
        let config = &self.checkpoint.config;
        let family = config.family;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let name = |part: &str| format!("model.layers.{number}.{part}");
        let biases = ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"].map(name);
        let missing = biases.iter().find(|bias| !self.checkpoint.tensors.contains_key(*bias));
        if let Some(missing) = missing.filter(|_| family.needs_biases()) {
            let problem = format!("has no tensor {missing}, which every {} has", family.name());
            return Err(self.checkpoint.error(problem));
        }
        let norm = |part: &str| self.norm(&name(part), hidden);
        let norm_where = |wanted: bool, part: &str, len: usize| match wanted {
            true => self.norm(&name(part), len).map(Some),
            false => Ok(None),
        };
        let (heads, results) = (family.norms_heads(), family.norms_results());
        let mlp_norm = if results { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
        Ok(Layer {
            kind: config.layers[number],
            attention_norm: norm("input_layernorm")?,
            q_proj: self.linear(&name("self_attn.q_proj"), queries, hidden)?,
            k_proj: self.linear(&name("self_attn.k_proj"), keys, hidden)?,
            v_proj: self.linear(&name("self_attn.v_proj"), keys, hidden)?,
            q_norm: norm_where(heads, "self_attn.q_norm", config.head_dim)?,
            k_norm: norm_where(heads, "self_attn.k_norm", config.head_dim)?,
            o_proj: self.linear(&name("self_attn.o_proj"), hidden, queries)?,
            attended_norm: norm_where(results, "post_attention_layernorm", hidden)?,
            mlp_norm: norm(mlp_norm)?,
            gate_proj: self.linear(&name("mlp.gate_proj"), inner, hidden)?,
            up_proj: self.linear(&name("mlp.up_proj"), inner, hidden)?,
            down_proj: self.linear(&name("mlp.down_proj"), hidden, inner)?,
            down_norm: norm_where(results, "post_feedforward_layernorm", hidden)?,
        })
    }

    /// A matrix, with its bias where there is one.
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let view = self.view(&weight, &[outputs, inputs])?;
        let bias = format!("{name}.bias");
        let bias = match self.checkpoint.tensors.contains_key(&bias) {
            true => Some(self.vector(&bias, outputs)?),
            false => None,
        };
        let packed = self.packed.and_then(|packed| packed.view(&weight));
        Linear::new(view, packed, bias).place(self.place)
    }

    pub fn norm(&self, name: &str, len: usize) -> Result<RmsNorm> {
        let config = &self.checkpoint.config;
        let mut weight = self.vector(&format!("{name}.weight"), len)?;
        weight.iter_mut().for_each(|weight| *weight += config.norm_offset);
        RmsNorm::new(weight, config.rms_norm_eps, self.place)
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let view = self.view(name, &[len])?;
        let mut values = vec![0f32; len];
        blocks::dequantize(Isa::current(), view.kind, view.bytes(), &mut values);
        Ok(values)
    }

    fn view(&self, name: &str, shape: &[usize]) -> Result<TensorView> {
        let view = self.checkpoint.tensors.get(name);
        let view = view.ok_or_else(|| self.checkpoint.error(format!("has no tensor {name}")))?;
        if view.shape != shape {
            let problem = format!("tensor {name} has the shape {:?}, not {shape:?}", view.shape);
            return Err(self.checkpoint.error(problem));
        }
        Ok(view.clone())
    }
}
