//! The decoder stack: embedding, layers of attention and gated MLP, final norm, head.

use super::{
    Checkpoint, Config, Family, PackedCache, PackedWeights, Profile, Stage, internal,
    ops::{self, Input, Linear, RmsNorm},
};
use crate::{
    Error, Kind, Result,
    attention::{self, KvCache, KvType, Shape, Tail},
    rope::RopePlan,
};
use candle_core::Tensor;
use ronbun_kernels::blocks;
use std::path::Path;

/// A model that can be run.
pub struct Decoder {
    pub config: Config,
    plan: RopePlan,
    embed_tokens: Linear,
    layers: Vec<Layer>,
    norm: RmsNorm,
    /// The embedding itself where the two are tied.
    lm_head: Linear,
    pub profile: Profile,
}

struct Layer {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    post_attention_layernorm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// Room for what a layer computes, (rows, width) each: used by one layer after the other.
struct Room {
    normed: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attended: Tensor,
    /// What attention or the MLP adds to the residual stream.
    hidden: Tensor,
    gate: Tensor,
    up: Tensor,
}

impl Room {
    /// All layers are of the same shape.
    fn new(layer: &Layer, rows: usize) -> Result<Room> {
        let empty = |linear: &Linear| ops::empty(rows, linear.outputs());
        Ok(Room {
            normed: empty(&layer.o_proj)?,
            q: empty(&layer.q_proj)?,
            k: empty(&layer.k_proj)?,
            v: empty(&layer.v_proj)?,
            attended: empty(&layer.q_proj)?,
            hidden: empty(&layer.o_proj)?,
            gate: empty(&layer.gate_proj)?,
            up: empty(&layer.up_proj)?,
        })
    }
}

/// Cosines and sines, each (rows, pairs).
type Table = (Vec<f32>, Vec<f32>);

/// New tokens of one sequence, and the cache that holds what came before them (after the prefix, if there is one).
pub struct Sequence<'a> {
    pub ids: &'a [u32],
    pub cache: &'a mut KvCache,
}

impl Decoder {
    /// Takes every tensor that the configuration calls for; one that is missing or of another shape is named. Computes in
    /// f32, from dequantised weights.
    pub fn new(checkpoint: &Checkpoint) -> Result<Decoder> {
        Decoder::with_packed(checkpoint, None)
    }

    /// As [`Decoder::new`], but where there is a cache quantised matrices are multiplied in integers, in the packed form that
    /// the cache keeps of `source`, the checkpoint's file. Also returns the bytes of the weights that are computed with.
    pub fn load(checkpoint: &Checkpoint, source: &Path, cache: Option<&PackedCache>) -> Result<(Decoder, u64)> {
        let packed = match cache {
            Some(cache) => PackedWeights::of(checkpoint, source, cache)?,
            None => None,
        };
        let bytes = packed.as_ref().map_or(checkpoint.weight_bytes(), PackedWeights::bytes);
        Ok((Decoder::with_packed(checkpoint, packed.as_ref())?, bytes))
    }

    fn with_packed(checkpoint: &Checkpoint, packed: Option<&PackedWeights>) -> Result<Decoder> {
        let config = checkpoint.config.clone();
        let tensors = Tensors { checkpoint, packed };
        let hidden = config.hidden_size;
        let embed_tokens = tensors.linear("model.embed_tokens", config.vocab_size, hidden)?;
        let tied = config.tied.unwrap_or(!checkpoint.tensors.contains_key("lm_head.weight"));
        let lm_head = match tied {
            true => embed_tokens.clone(),
            false => tensors.linear("lm_head", config.vocab_size, hidden)?,
        };
        let layers = (0..config.num_hidden_layers).map(|number| tensors.layer(number)).collect::<Result<_>>()?;
        let norm = tensors.norm("model.norm")?;
        let plan = config.rope.plan(config.context_length);
        Ok(Decoder { config, plan, embed_tokens, layers, norm, lm_head, profile: Profile::default() })
    }

    /// Fixes how positions become angles from here on: for sequences of at most `tokens` tokens, prompt and answers
    /// together; without it, for as many as the model was made for. Returns whether that changes anything: what a cache
    /// holds then was computed otherwise and is of no more use.
    pub fn plan(&mut self, tokens: usize) -> bool {
        let plan = self.config.rope.plan(tokens);
        let changed = (&plan.inv_freq, plan.attention_factor) != (&self.plan.inv_freq, self.plan.attention_factor);
        self.plan = plan;
        changed
    }

    /// Base and scaling of the plan, in words.
    pub fn rope(&self) -> String {
        self.plan.describe()
    }

    pub fn new_cache(&self, kind: KvType) -> KvCache {
        let Config { num_hidden_layers, num_key_value_heads, head_dim, .. } = self.config;
        KvCache::new(kind, num_hidden_layers, num_key_value_heads, head_dim)
    }

    /// Bytes of a cache for `tokens` tokens.
    pub fn cache_bytes(&self, kind: KvType, tokens: usize) -> u64 {
        let Config { num_hidden_layers, num_key_value_heads, head_dim, .. } = self.config;
        KvCache::bytes_for(kind, num_hidden_layers, num_key_value_heads, head_dim, tokens)
    }

    /// Appends `ids` to a cache, nothing more: what the last layer would make of them is not computed.
    pub fn extend(&self, ids: &[u32], cache: &mut KvCache) -> Result<()> {
        self.run(None, &mut [Sequence { ids, cache }], false).map(|_| ())
    }

    /// Runs the new tokens of all sequences, which all stand behind `prefix`, and appends them to their caches.
    /// Returns the last hidden states (all new tokens, hidden), the sequences' rows one after the other.
    pub fn forward(&self, prefix: Option<&KvCache>, sequences: &mut [Sequence]) -> Result<Tensor> {
        self.run(prefix, sequences, true)
    }

    /// Without `output` the last layer only takes keys and values, and the result says nothing.
    fn run(&self, prefix: Option<&KvCache>, sequences: &mut [Sequence], output: bool) -> Result<Tensor> {
        let ids: Vec<u32> = sequences.iter().flat_map(|sequence| sequence.ids).copied().collect();
        if let Some(bad) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            let problem = format!("token id {bad} is past the vocabulary of {}", self.config.vocab_size);
            return Err(Error::new(Kind::Usage, "token ids", problem));
        }
        let behind = prefix.map_or(0, KvCache::len);
        let positions = sequences.iter().flat_map(|sequence| {
            let first = behind + sequence.cache.len();
            first..first + sequence.ids.len()
        });
        let table = self.plan.table(positions);
        let mut tails: Vec<Tail> =
            sequences.iter_mut().map(|s| Tail { rows: s.ids.len(), cache: &mut *s.cache }).collect();

        let profile = &self.profile;
        let x = profile.time(Stage::Embedding, || self.embed_tokens.rows(&ids))?; // (rows, hidden)
        let Some(first) = self.layers.first() else { return Ok(x) };
        let room = Room::new(first, ids.len())?;
        for (number, layer) in self.layers.iter().enumerate() {
            profile.time(Stage::Elementwise, || layer.input_layernorm.forward(&x, &room.normed))?;
            let normed = Input::new(&room.normed);
            self.append(number, layer, &normed, &table, &mut tails, &room)?;
            if !output && number + 1 == self.layers.len() {
                break;
            }
            self.attend(number, layer, &normed, &table, prefix, &tails, &room)?;
            self.linear(&layer.o_proj, &Input::new(&room.attended), &room.hidden)?;
            profile.time(Stage::Elementwise, || ops::add(&x, &room.hidden))?;
            profile.time(Stage::Elementwise, || layer.post_attention_layernorm.forward(&x, &room.normed))?;
            let normed = Input::new(&room.normed);
            self.linear(&layer.gate_proj, &normed, &room.gate)?;
            self.linear(&layer.up_proj, &normed, &room.up)?;
            profile.time(Stage::Elementwise, || ops::silu_mul(&room.gate, &room.up))?;
            self.linear(&layer.down_proj, &Input::new(&room.gate), &room.hidden)?;
            profile.time(Stage::Elementwise, || ops::add(&x, &room.hidden))?;
        }
        Ok(x)
    }

    fn linear(&self, linear: &Linear, x: &Input, y: &Tensor) -> Result<()> {
        self.profile.time(Stage::Linears, || linear.forward(x, y))
    }

    /// Fills `room.attended` with what the rows' queries find.
    #[allow(clippy::too_many_arguments)]
    fn attend(
        &self,
        number: usize,
        layer: &Layer,
        x: &Input,
        table: &Table,
        prefix: Option<&KvCache>,
        tails: &[Tail],
        room: &Room,
    ) -> Result<()> {
        let Config { num_attention_heads, num_key_value_heads, head_dim, .. } = self.config;
        self.rotated(&layer.q_proj, x, table, &room.q)?;
        let shape = Shape::new(num_attention_heads, num_key_value_heads, head_dim);
        self.profile.time(Stage::Attention, || {
            ops::with_slice(&room.q, |q| {
                ops::fill(&room.attended, |out| attention::attend(shape, number, q, prefix, tails, out))
            })?
        })
    }

    /// Puts the rows' keys, rotated, and values into their caches.
    fn append(
        &self,
        number: usize,
        layer: &Layer,
        x: &Input,
        table: &Table,
        tails: &mut [Tail],
        room: &Room,
    ) -> Result<()> {
        self.rotated(&layer.k_proj, x, table, &room.k)?;
        self.linear(&layer.v_proj, x, &room.v)?;
        self.profile.time(Stage::Cache, || {
            ops::with_slice(&room.k, |k| ops::with_slice(&room.v, |v| attention::append(number, k, v, tails)))?
        })
    }

    /// Queries or keys with their positions' rotation: `y` (rows, heads · head_dim).
    fn rotated(&self, projection: &Linear, x: &Input, (cos, sin): &Table, y: &Tensor) -> Result<()> {
        self.linear(projection, x, y)?;
        let Config { head_dim, pairing, .. } = self.config;
        self.profile.time(Stage::Cache, || ops::rotate(y, cos, sin, head_dim, pairing))
    }

    /// Logits of some rows of [`Self::forward`]'s result: for each its (vocabulary).
    pub fn logits(&self, hidden: &Tensor, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let index = Tensor::new(rows.as_slice(), hidden.device()).map_err(internal)?;
        let chosen = hidden.index_select(&index, 0).map_err(internal)?;
        let logits = ops::empty(rows.len(), self.lm_head.outputs())?;
        let head = || {
            let normed = ops::empty(rows.len(), self.config.hidden_size)?;
            self.norm.forward(&chosen, &normed)?;
            self.lm_head.forward(&Input::new(&normed), &logits)
        };
        self.profile.time(Stage::Head, head)?;
        let logits: Vec<Vec<f32>> = logits.to_vec2().map_err(internal)?;
        if logits.iter().any(|row| row.iter().any(|logit| logit.is_nan())) {
            let problem = "computes what is no number; its weights may be damaged";
            return Err(Error::new(Kind::Model, "the model", problem).hint("`ronbun models verify` checks its files"));
        }
        Ok(logits)
    }
}

/// Takes tensors out of a checkpoint, checking their shapes.
struct Tensors<'a> {
    checkpoint: &'a Checkpoint,
    packed: Option<&'a PackedWeights>,
}

impl Tensors<'_> {
    fn view(&self, name: &str, shape: &[usize]) -> Result<super::TensorView> {
        let view = self.checkpoint.tensors.get(name);
        let view = view.ok_or_else(|| self.checkpoint.error(format!("has no tensor {name}")))?;
        if view.shape != shape {
            let problem = format!("tensor {name} has the shape {:?}, not {shape:?}", view.shape);
            return Err(self.checkpoint.error(problem));
        }
        Ok(view.clone())
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let view = self.view(name, &[len])?;
        let mut values = vec![0f32; len];
        blocks::dequantize(ronbun_kernels::Isa::current(), view.kind, view.bytes(), &mut values);
        Ok(values)
    }

    /// A matrix, with its bias where there is one.
    fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let view = self.view(&weight, &[outputs, inputs])?;
        let bias = format!("{name}.bias");
        let bias = match self.checkpoint.tensors.contains_key(&bias) {
            true => Some(self.vector(&bias, outputs)?),
            false => None,
        };
        let packed = self.packed.and_then(|packed| packed.view(&weight));
        Ok(Linear::new(view, packed, bias))
    }

    fn norm(&self, name: &str) -> Result<RmsNorm> {
        let config = &self.checkpoint.config;
        let weight = self.vector(&format!("{name}.weight"), config.hidden_size)?;
        Ok(RmsNorm { weight, eps: config.rms_norm_eps })
    }

    fn layer(&self, number: usize) -> Result<Layer> {
        let config = &self.checkpoint.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let name = |part: &str| format!("model.layers.{number}.{part}");
        let biases = ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"].map(name);
        let missing = biases.iter().find(|bias| !self.checkpoint.tensors.contains_key(*bias));
        if let (Family::Qwen2, Some(missing)) = (config.family, missing) {
            return Err(self.checkpoint.error(format!("has no tensor {missing}, which every qwen2 has")));
        }
        Ok(Layer {
            input_layernorm: self.norm(&name("input_layernorm"))?,
            q_proj: self.linear(&name("self_attn.q_proj"), queries, hidden)?,
            k_proj: self.linear(&name("self_attn.k_proj"), keys, hidden)?,
            v_proj: self.linear(&name("self_attn.v_proj"), keys, hidden)?,
            o_proj: self.linear(&name("self_attn.o_proj"), hidden, queries)?,
            post_attention_layernorm: self.norm(&name("post_attention_layernorm"))?,
            gate_proj: self.linear(&name("mlp.gate_proj"), inner, hidden)?,
            up_proj: self.linear(&name("mlp.up_proj"), inner, hidden)?,
            down_proj: self.linear(&name("mlp.down_proj"), hidden, inner)?,
        })
    }
}
