//! A checkpoint's tensors as the decoder's matrices and norms, their shapes checked.

use super::{
    Checkpoint, PackedWeights, TensorView,
    joined::Joined,
    ops::{Linear, RmsNorm},
};
use crate::{Result, attention::Kernel, device::Place};
use ronbun_kernels::{Isa, blocks};

/// What mixes tokens, and a gated MLP, each after a norm. What a family has not is `None`.
pub struct Layer {
    pub mixer_norm: RmsNorm,
    pub mixer: Mixer,
    pub out_proj: Linear,
    /// Of what the mixer gives, before it is added.
    pub mixed_norm: Option<RmsNorm>,
    pub mlp_norm: RmsNorm,
    pub gate_up_proj: Joined,
    pub down_proj: Linear,
    /// Of what the MLP gives, before it is added.
    pub down_norm: Option<RmsNorm>,
}

pub enum Mixer {
    Attention(Box<Attention>),
    Convolution(Convolution),
}

pub struct Attention {
    /// Among the layers that attend.
    pub number: usize,
    /// As in [`super::LayerKind`].
    pub window: Option<usize>,
    pub rope: Option<usize>,
    pub qkv_proj: Joined,
    /// Of each head's queries and keys, before they are rotated.
    pub q_norm: Option<RmsNorm>,
    pub k_norm: Option<RmsNorm>,
}

pub struct Convolution {
    /// Among the layers that convolve.
    pub number: usize,
    /// Two gates and the inputs, side by side.
    pub in_proj: Linear,
    pub kernel: Kernel,
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
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("model.layers.{number}.{part}");
        let norm = |part: &str| self.norm(&name(part), hidden);
        let results = config.family.norms_results();
        let result_norm = |part: &str| if results { norm(part).map(Some) } else { Ok(None) };
        let mlp_norm = if results { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
        let (mixer, out_proj) = self.mixer(number)?;
        Ok(Layer {
            mixer_norm: norm("input_layernorm")?,
            mixer,
            out_proj,
            mixed_norm: result_norm("post_attention_layernorm")?,
            mlp_norm: norm(mlp_norm)?,
            gate_up_proj: self.joined(["mlp.gate_proj", "mlp.up_proj"].map(name), [inner; 2], hidden)?,
            down_proj: self.linear(&name("mlp.down_proj"), hidden, inner)?,
            down_norm: result_norm("post_feedforward_layernorm")?,
        })
    }

    /// What mixes a layer's tokens, and the projection of what it gives.
    fn mixer(&self, layer: usize) -> Result<(Mixer, Linear)> {
        let config = &self.checkpoint.config;
        let [attending, convolving] = config.numbers(layer..layer + 1);
        match config.layers[layer].convolution {
            None => {
                let (attention, out) = self.attention(layer, attending.start)?;
                Ok((Mixer::Attention(Box::new(attention)), out))
            }
            Some(length) => {
                let (convolution, out) = self.convolution(layer, convolving.start, length)?;
                Ok((Mixer::Convolution(convolution), out))
            }
        }
    }

    fn attention(&self, layer: usize, number: usize) -> Result<(Attention, Linear)> {
        let config = &self.checkpoint.config;
        let (hidden, family) = (config.hidden_size, config.family);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let projections = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(name);
        let biases = projections.each_ref().map(|projection| format!("{projection}.bias"));
        let missing = biases.iter().find(|bias| !self.checkpoint.tensors.contains_key(*bias));
        if let Some(missing) = missing.filter(|_| family.needs_biases()) {
            let problem = format!("has no tensor {missing}, which every {} has", family.name());
            return Err(self.checkpoint.error(problem));
        }
        let head_norm = |part: &str| match family.norms_heads() {
            true => self.norm(&name(part), config.head_dim).map(Some),
            false => Ok(None),
        };
        let attention = Attention {
            number,
            window: config.layers[layer].window,
            rope: config.layers[layer].rope,
            qkv_proj: self.joined(projections, [queries, keys, keys], hidden)?,
            q_norm: head_norm("self_attn.q_norm")?,
            k_norm: head_norm("self_attn.k_norm")?,
        };
        Ok((attention, self.linear(&name("self_attn.o_proj"), hidden, queries)?))
    }

    fn convolution(&self, layer: usize, number: usize, length: usize) -> Result<(Convolution, Linear)> {
        let channels = self.checkpoint.config.hidden_size;
        let name = |part: &str| format!("model.layers.{layer}.conv.{part}");
        // A GGUF file leaves the 1 out.
        let shape = [channels, 1, length];
        let shape = if self.checkpoint.metadata.is_some() { &[channels, length][..] } else { &shape };
        let by_channel = self.values(&name("conv.weight"), shape)?;
        let at = |n: usize| by_channel[n % channels * length + n / channels];
        let weights = (0..channels * length).map(at).collect();
        let kernel = Kernel::new(channels, weights, self.bias(&name("conv"), channels)?, self.place)?;
        let in_proj = self.linear(&name("in_proj"), 3 * channels, channels)?;
        Ok((Convolution { number, in_proj, kernel }, self.linear(&name("out_proj"), channels, channels)?))
    }

    /// A matrix, with its bias where there is one.
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        self.in_file(name, outputs, inputs)?.place(self.place)
    }

    /// Matrices of the same inputs.
    fn joined<const N: usize>(&self, names: [String; N], outputs: [usize; N], inputs: usize) -> Result<Joined> {
        let each = names.iter().zip(outputs).map(|(name, outputs)| self.in_file(name, outputs, inputs));
        Joined::new(each.collect::<Result<Vec<_>>>()?, self.place)
    }

    /// As [`Tensors::linear`], not yet where it is computed with.
    fn in_file(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let view = self.view(&weight, &[outputs, inputs])?;
        let packed = self.packed.and_then(|packed| packed.view(&weight));
        Ok(Linear::new(view, packed, self.bias(name, outputs)?))
    }

    fn bias(&self, name: &str, outputs: usize) -> Result<Option<Vec<f32>>> {
        let name = format!("{name}.bias");
        match self.checkpoint.tensors.contains_key(&name) {
            true => self.values(&name, &[outputs]).map(Some),
            false => Ok(None),
        }
    }

    pub fn norm(&self, name: &str, len: usize) -> Result<RmsNorm> {
        let config = &self.checkpoint.config;
        let mut weight = self.values(&format!("{name}.weight"), &[len])?;
        weight.iter_mut().for_each(|weight| *weight += config.norm_offset);
        RmsNorm::new(weight, config.rms_norm_eps, self.place)
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let view = self.view(name, shape)?;
        let mut values = vec![0f32; shape.iter().product()];
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
