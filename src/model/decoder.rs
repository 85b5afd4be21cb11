//! The decoder stack: embedding, layers of attention (or a convolution) and gated MLP, final norm, head.

use super::{
    Checkpoint, Config, PackedCache, PackedWeights, Profile, Stage, internal,
    layer::{Attention, Convolution, Layer, Mixer, Tensors},
    ops::{self, Input, Linear, RmsNorm},
    room::Room,
};
use crate::{
    Error, Kind, Result,
    attention::{self, GpuBatch, KvCache, Shape, Tail},
    device::{self, Demand, Devices, Part, Place},
    interrupt,
    rope::{RopePlan, Scaling},
};
use candle_core::Tensor;
use rayon::prelude::*;
use std::path::Path;

/// A model that can be run.
pub struct Decoder {
    pub config: Config,
    /// What a GPU's memory is asked for.
    pub(super) demand: Demand,
    /// Where the layers compute, in their order.
    pub parts: Vec<Part>,
    /// Where the last of them does, and with it the final norm and the head.
    place: Place,
    /// Of each rotary embedding that the layers choose from.
    plans: Vec<RopePlan>,
    embed_tokens: Linear,
    pub(super) layers: Vec<Layer>,
    norm: RmsNorm,
    /// The embedding itself where the two are tied.
    lm_head: Linear,
    pub profile: Profile,
}

/// Cosines and sines, each (rows, pairs).
type Table = (Vec<f32>, Vec<f32>);

/// What a layer's attention works with.
struct Step<'a> {
    attention: &'a Attention,
    /// Of the rows' positions; on a GPU the same there. None where the layer does not turn.
    table: Option<&'a Table>,
    turn: Option<&'a device::Turn>,
    /// On a GPU only.
    batch: Option<&'a GpuBatch>,
    room: &'a Room,
}

/// New tokens of one sequence, and the cache that holds what came before them (after the prefix, if there is one).
pub struct Sequence<'a> {
    pub ids: &'a [u32],
    pub cache: &'a mut KvCache,
}

impl Decoder {
    /// Takes every tensor that the configuration calls for; one that is missing or of another shape is named. Computes in
    /// f32, from dequantised weights.
    pub fn new(checkpoint: &Checkpoint) -> Result<Decoder> {
        Decoder::at(vec![Part::cpu(0..checkpoint.config.num_hidden_layers)], checkpoint, None)
    }

    /// As [`Decoder::new`], but where there is a cache quantised matrices are multiplied in integers, in the packed form that
    /// the cache keeps of `source`, the checkpoint's file. Also returns the bytes of the weights that are computed with.
    pub fn load(checkpoint: &Checkpoint, source: &Path, cache: Option<&PackedCache>) -> Result<(Decoder, u64)> {
        Decoder::on(&Devices::default(), checkpoint, source, cache)
    }

    /// As [`Decoder::load`], with as many layers on GPUs as `devices` says; a GPU multiplies quantised matrices in integers
    /// by itself.
    pub fn on(
        devices: &Devices,
        checkpoint: &Checkpoint,
        source: &Path,
        cache: Option<&PackedCache>,
    ) -> Result<(Decoder, u64)> {
        let parts = devices.parts(&checkpoint.demand())?;
        let packs = parts.iter().any(|part| part.place.gpu().is_none());
        let packed = match cache.filter(|_| packs) {
            Some(cache) => PackedWeights::of(checkpoint, source, cache)?,
            None => None,
        };
        let bytes = packed.as_ref().map_or(checkpoint.weight_bytes(), PackedWeights::bytes);
        Ok((Decoder::at(parts, checkpoint, packed.as_ref())?, bytes))
    }

    /// With the layers in these parts, which are all of them in order.
    pub(super) fn at(parts: Vec<Part>, checkpoint: &Checkpoint, packed: Option<&PackedWeights>) -> Result<Decoder> {
        let config = checkpoint.config.clone();
        let on = |place| Tensors { checkpoint, packed, place };
        let place = parts.last().map(|part| part.place.clone()).unwrap_or_default();
        let hidden = config.hidden_size;
        // Rows of the embedding are looked up by the CPU, wherever the rest is computed.
        let embed_tokens = on(&Place::Cpu).linear("model.embed_tokens", config.vocab_size, hidden)?;
        let tied = config.tied.unwrap_or(!checkpoint.tensors.contains_key("lm_head.weight"));
        let lm_head = match tied {
            true => embed_tokens.clone().place(&place)?,
            false => on(&place).linear("lm_head", config.vocab_size, hidden)?,
        };
        let mut layers = Vec::new();
        for part in &parts {
            for number in part.layers.clone() {
                layers.push(on(&part.place).layer(number)?);
            }
        }
        let norm = on(&place).norm("model.norm", hidden)?;
        let plans = plans(&config, config.context_length);
        let (demand, profile) = (checkpoint.demand(), Profile::default());
        Ok(Decoder { config, demand, parts, place, plans, embed_tokens, layers, norm, lm_head, profile })
    }

    /// Fixes how positions become angles from here on: for sequences of at most `tokens` tokens, prompt and answers
    /// together; without it, for as many as the model was made for. Returns whether that changes anything: what a cache
    /// holds then was computed otherwise and is of no more use.
    pub fn plan(&mut self, tokens: usize) -> bool {
        self.set_plans(plans(&self.config, tokens))
    }

    /// As [`Decoder::plan`], with positions scaled in another way than the model's own.
    pub fn plan_extended(&mut self, tokens: usize, scaling: Option<&Scaling>) -> Result<bool> {
        Ok(self.set_plans(plans_extended(&self.config, tokens, scaling)?))
    }

    fn set_plans(&mut self, plans: Vec<RopePlan>) -> bool {
        let changed = !plans.iter().zip(&self.plans).all(|(new, old)| new.same_angles(old));
        self.plans = plans;
        changed
    }

    /// Bases and scalings of the plan, in words.
    pub fn rope(&self) -> String {
        let mut words: Vec<String> = self.plans.iter().map(RopePlan::describe).collect();
        if let [_, windowed] = words.as_mut_slice() {
            windowed.push_str(" in layers with a window");
        }
        let layers = &self.config.layers;
        let plain = layers.iter().filter(|layer| layer.rope.is_none() && layer.convolution.is_none()).count();
        for (what, count) in [("none in", plain), ("convolutions in", layers.len() - self.config.attending())] {
            if count > 0 {
                words.push(format!("{what} {count} of {} layers", layers.len()));
            }
        }
        words.join("; ")
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

    /// Without `output` the last layer only takes what it remembers, and the result says nothing.
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
        let tables: Vec<Table> = self.plans.iter().map(|plan| plan.table(positions.clone())).collect();
        let mut tails: Vec<Tail> =
            sequences.iter_mut().map(|s| Tail { rows: s.ids.len(), cache: &mut *s.cache }).collect();

        let x = self.profile.time(Stage::Embedding, || self.embed_tokens.rows(&ids))?; // (rows, hidden)
        if self.config.embedding_scale != 1.0 {
            let scale = self.config.embedding_scale as f32;
            self.profile.time(Stage::Elementwise, || ops::scale(&x, scale))?;
        }
        self.parts.iter().try_fold(x, |x, part| {
            let x = part.place.take(x)?;
            self.run_part(part, &x, &tables, prefix, &mut tails, output)?;
            Ok(x)
        })
    }

    /// Adds to `x` (rows, hidden) what a part's layers make of it.
    fn run_part(
        &self,
        part: &Part,
        x: &Tensor,
        tables: &[Table],
        prefix: Option<&KvCache>,
        tails: &mut [Tail],
        output: bool,
    ) -> Result<()> {
        let rows = x.dim(0).map_err(internal)?;
        let numbers = self.config.numbers(part.layers.clone());
        let batch = GpuBatch::new(&part.place, self.config.num_attention_heads, numbers, prefix, tails)?;
        let turns = tables.iter().map(|table| self.turn(part, table, rows)).collect::<Result<Vec<_>>>()?;
        let room = Room::new(&part.place, &self.config, rows)?;
        // Branches are computed alike whichever others there are.
        let prompt = prefix.is_none() && tails.len() == 1;
        for number in part.layers.clone() {
            interrupt::check()?;
            let layer = &self.layers[number];
            let wanted = output || number + 1 < self.layers.len();
            self.norm(&layer.mixer_norm, x, &room.normed)?;
            let normed = Input::of(&room.normed, prompt);
            let mixed = match &layer.mixer {
                Mixer::Attention(attention) => {
                    let table = attention.rope.map(|rope| &tables[rope]);
                    let turn = attention.rope.and_then(|rope| turns[rope].as_ref());
                    let step = Step { attention, table, turn, batch: batch.as_ref(), room: &room };
                    self.append(&step, &normed, tails, wanted)?;
                    if wanted {
                        self.attend(&step, prefix, tails)?;
                    }
                    &room.attended
                }
                Mixer::Convolution(convolution) => {
                    self.convolve(convolution, &normed, batch.as_ref(), &room, prefix, tails)?;
                    &room.normed
                }
            };
            if !wanted {
                break;
            }
            self.add(&part.place, &layer.out_proj, &layer.mixed_norm, &Input::of(mixed, prompt), x, &room.hidden)?;
            self.norm(&layer.mlp_norm, x, &room.normed)?;
            let gated = self.gate(&part.place, layer, &Input::of(&room.normed, prompt), &room)?;
            self.add(&part.place, &layer.down_proj, &layer.down_norm, &gated, x, &room.hidden)?;
        }
        Ok(())
    }

    /// The gated inputs of an MLP's last linear, (rows, intermediate).
    fn gate<'a>(&self, place: &Place, layer: &Layer, x: &Input, room: &'a Room) -> Result<Input<'a>> {
        let (activation, [gate, up]) = (self.config.activation, &room.gate_up.each);
        let in_one_go = || layer.gate_up_proj.gated(&layer.down_proj, activation, x);
        if let Some(gated) = self.profile.time(Stage::Linears, in_one_go)? {
            return Ok(Input::already(gated, gate));
        }
        self.profile.time(Stage::Linears, || layer.gate_up_proj.forward(0, x, &room.gate_up))?;
        self.profile.time(Stage::Elementwise, || ops::gate(place, activation, gate, up))?;
        Ok(x.then(gate))
    }

    fn linear(&self, linear: &Linear, x: &Input, y: &Tensor) -> Result<()> {
        self.profile.time(Stage::Linears, || linear.forward(x, y))
    }

    fn norm(&self, norm: &RmsNorm, x: &Tensor, y: &Tensor) -> Result<()> {
        self.profile.time(Stage::Elementwise, || norm.forward(x, y))
    }

    /// Norms in place, where there is a norm.
    fn apply(&self, norm: &Option<RmsNorm>, x: &Tensor) -> Result<()> {
        let Some(norm) = norm else { return Ok(()) };
        self.profile.time(Stage::Elementwise, || norm.apply(x))
    }

    /// Adds to `sum` what a linear gives, normed where there is a norm for it; `room` is for what is added.
    fn add(
        &self,
        place: &Place,
        linear: &Linear,
        norm: &Option<RmsNorm>,
        x: &Input,
        sum: &Tensor,
        room: &Tensor,
    ) -> Result<()> {
        if norm.is_none() && self.profile.time(Stage::Linears, || linear.add(x, sum))? {
            return Ok(());
        }
        self.linear(linear, x, room)?;
        self.apply(norm, room)?;
        self.profile.time(Stage::Elementwise, || ops::add(place, sum, room))
    }

    /// Fills the room for it with what the rows' queries find, which were turned with their keys.
    fn attend(&self, step: &Step, prefix: Option<&KvCache>, tails: &[Tail]) -> Result<()> {
        let Config { num_attention_heads, num_key_value_heads, head_dim, .. } = self.config;
        let Step { attention, room, .. } = *step;
        let number = attention.number;
        let shape = Shape {
            scale: self.config.attention_scale as f32,
            window: attention.window,
            ..Shape::new(num_attention_heads, num_key_value_heads, head_dim)
        };
        if let Some(batch) = step.batch {
            return self.profile.time(Stage::Attention, || batch.attend(shape, number, &room.attended));
        }
        let [q, ..] = &room.qkv.each;
        self.profile.time(Stage::Attention, || {
            ops::with_slice(q, |q| {
                ops::fill(&room.attended, |out| attention::attend(shape, number, q, prefix, tails, out))
            })?
        })
    }

    /// Puts the rows' keys, rotated, and values into their caches, and has their queries rotated where they are wanted.
    fn append(&self, step: &Step, x: &Input, tails: &mut [Tail], queries: bool) -> Result<()> {
        let Step { attention, room, .. } = *step;
        let (number, [q, k, v]) = (attention.number, &room.qkv.each);
        let from = if queries { 0 } else { 1 };
        self.profile.time(Stage::Linears, || attention.qkv_proj.forward(from, x, &room.qkv))?;
        for (norm, x) in [(&attention.q_norm, q), (&attention.k_norm, k)].into_iter().skip(from) {
            self.apply(norm, x)?;
        }
        if let Some(batch) = step.batch {
            return self.profile.time(Stage::Cache, || batch.append(number, [q, k, v], step.turn, tails));
        }
        for x in &[q, k][from..] {
            self.rotate(x, step.table)?;
        }
        self.profile.time(Stage::Cache, || {
            ops::with_slice(k, |k| ops::with_slice(v, |v| attention::append(number, k, v, tails)))?
        })
    }

    /// Fills the room that `x` was in with what a gated convolution makes of it; the tails' caches remember its inputs.
    fn convolve(
        &self,
        convolution: &Convolution,
        x: &Input,
        batch: Option<&GpuBatch>,
        room: &Room,
        prefix: Option<&KvCache>,
        tails: &mut [Tail],
    ) -> Result<()> {
        let Convolution { number, in_proj, kernel } = convolution;
        let (bcx, out) = (room.bcx(), &room.normed);
        self.linear(in_proj, x, bcx)?;
        self.profile.time(Stage::Elementwise, || match batch {
            Some(batch) => batch.convolve(*number, kernel, bcx, tails, out),
            None => ops::with_slice(bcx, |bcx| {
                ops::fill(out, |out| attention::convolve(*number, kernel, bcx, prefix, tails, out))
            })?,
        })
    }

    /// Turns queries or keys (rows, heads · head_dim) by their positions; not at all without a table.
    fn rotate(&self, x: &Tensor, table: Option<&Table>) -> Result<()> {
        let Config { head_dim, pairing, .. } = self.config;
        let Some((cos, sin)) = table else { return Ok(()) };
        self.profile.time(Stage::Cache, || ops::rotate(x, cos, sin, head_dim, pairing))
    }

    /// A table on the GPU, where that computes the part.
    fn turn(&self, part: &Part, (cos, sin): &Table, rows: usize) -> Result<Option<device::Turn>> {
        let Some(gpu) = part.place.gpu() else { return Ok(None) };
        device::Turn::new(gpu, cos, sin, rows, self.config.pairing).map(Some).map_err(device::failed)
    }

    /// Logits of some rows of [`Self::forward`]'s result: for each its (vocabulary).
    pub fn logits(&self, hidden: &Tensor, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::new();
        self.append_logits(hidden, rows, &mut logits)?;
        Ok(logits.chunks_exact(self.vocabulary()).map(<[f32]>::to_vec).collect())
    }

    /// Width of a row of logits.
    pub fn vocabulary(&self) -> usize {
        self.lm_head.outputs()
    }

    /// Appends the logits of some rows of [`Self::forward`]'s result to `logits`: (rows, vocabulary).
    pub fn append_logits(&self, hidden: &Tensor, rows: &[usize], logits: &mut Vec<f32>) -> Result<()> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let index = Tensor::new(rows.as_slice(), hidden.device()).map_err(internal)?;
        let chosen = hidden.index_select(&index, 0).map_err(internal)?;
        let before = logits.len();
        logits.resize(before + rows.len() * self.vocabulary(), 0.0);
        let logits = &mut logits[before..];
        self.profile.time(Stage::Head, || {
            let normed = self.place.empty(rows.len(), self.config.hidden_size)?;
            self.norm.forward(&chosen, &normed)?;
            self.lm_head.forward_into(&Input::new(&normed), logits)
        })?;
        let numbers = logits.par_chunks_mut(self.vocabulary()).all(|logits| {
            if let Some(cap) = self.config.logit_softcap {
                logits.iter_mut().for_each(|logit| *logit = (cap * (f64::from(*logit) / cap).tanh()) as f32);
            }
            // Counted, since many are compared at a time then.
            logits.iter().filter(|logit| logit.is_nan()).count() == 0
        });
        if !numbers {
            let problem = "computes what is no number; its weights may be damaged";
            return Err(Error::new(Kind::Model, "the model", problem).hint("`ronbun models verify` checks its files"));
        }
        Ok(())
    }
}

/// A model's plans for sequences of at most `tokens` tokens, with positions scaled in another way than its own where one is
/// given.
pub fn plans_extended(config: &Config, tokens: usize, scaling: Option<&Scaling>) -> Result<Vec<RopePlan>> {
    let mut config = config.clone();
    if let Some(scaling) = scaling {
        config.extend(scaling).map_err(|problem| Error::new(Kind::Usage, "--rope", problem))?;
    }
    Ok(plans(&config, tokens))
}

fn plans(config: &Config, tokens: usize) -> Vec<RopePlan> {
    config.ropes.iter().map(|rope| rope.plan(tokens)).collect()
}
