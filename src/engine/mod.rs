//! Prefill, batched decode and sampling over token ids.
//!
//! One paper is one prefix; every question is a branch over it. The prefix is computed once and kept; branches are
//! decoded together, and each ends on its own. A branch draws from the prefix, itself and its seed; its neighbours
//! change at most the last bits of a sum, through the shape of the products.

pub mod bench;
pub mod eval;
mod logits;
mod repetition;
mod sampler;

pub use logits::LogitsProcessor;
pub use sampler::{Sampler, SamplingParams};

pub use crate::attention::KvType;
use crate::{
    Result,
    attention::KvCache,
    interrupt,
    model::{Checkpoint, Decoder, GPU_CHUNK, PackedCache, Sequence},
    rope::Scaling,
};
use rayon::prelude::*;
use std::{path::PathBuf, time::Instant};

/// Tokens of a prompt that are computed at a time; a GPU takes more to be busy.
pub const PREFILL_CHUNK: usize = 1024;

/// Why a branch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
    Loop,
}

/// A continuation of the shared prefix.
#[derive(Debug, Clone)]
pub struct Branch {
    /// What comes after the prefix; at least one token.
    pub ids: Vec<u32>,
    pub max_tokens: usize,
    pub sampling: SamplingParams,
}

/// Tokens that are more than text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenRules<'a> {
    /// A branch that draws one of these has ended.
    pub stop: &'a [u32],
    /// Never drawn.
    pub banned: &'a [u32],
}

/// A finished branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Without the stop token, and without the circles of a loop.
    pub ids: Vec<u32>,
    /// Tokens that were really written, circles included.
    pub written: usize,
    pub finish: Finish,
}

/// What a branch took of the time of decoding, in seconds: of each step that it took part in, the same part as every other
/// branch of it. Those of all branches together are the time that went by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// Its own prompt, up to the first token.
    pub prefill: f64,
    pub decode: f64,
    /// Tokens of its prompt that were computed for it.
    pub tokens: usize,
}

pub struct Engine {
    pub decoder: Decoder,
    kv_type: KvType,
    /// The prefix that is held, and its keys and values.
    prefix: Vec<u32>,
    cache: KvCache,
    /// Ids from here on have no text (embeddings are often padded) and are never drawn.
    vocabulary: usize,
}

impl Engine {
    pub fn new(decoder: Decoder, kv_type: KvType) -> Engine {
        let cache = decoder.new_cache(kv_type);
        let vocabulary = decoder.config.vocab_size;
        Engine { decoder, kv_type, prefix: Vec::new(), cache, vocabulary }
    }

    /// Draws only ids below `size`.
    pub fn limit_vocabulary(mut self, size: usize) -> Engine {
        self.vocabulary = size.clamp(1, self.decoder.config.vocab_size);
        self
    }

    /// Bytes that the prefix's keys and values take.
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes_of(self.cache.len())
    }

    /// Bytes that keys and values of so many tokens take.
    pub fn cache_bytes_of(&self, tokens: usize) -> u64 {
        self.decoder.cache_bytes(self.kv_type, tokens)
    }

    /// Fixes the positions' angles for sequences of at most `tokens` tokens, prompt and answers together. A prefix that
    /// was computed with others is forgotten.
    pub fn plan(&mut self, tokens: usize) {
        if self.decoder.plan(tokens) {
            self.forget();
        }
    }

    /// As [`Engine::plan`], with positions scaled in another way than the model's own.
    pub fn plan_extended(&mut self, tokens: usize, scaling: Option<&Scaling>) -> Result<()> {
        if self.decoder.plan_extended(tokens, scaling)? {
            self.forget();
        }
        Ok(())
    }

    /// Has the CPU compute layers that have no room on a GPU beside caches of so many tokens each: see
    /// [`Decoder::leave_room`]. A prefix that was computed is forgotten then.
    pub fn leave_room(
        &mut self,
        caches: &[usize],
        open: impl FnOnce() -> Result<(Checkpoint, PathBuf)>,
        cache: Option<&PackedCache>,
    ) -> Result<bool> {
        let moved = self.decoder.leave_room(self.kv_type, caches, open, cache)?;
        if moved {
            self.forget();
        }
        Ok(moved)
    }

    fn forget(&mut self) {
        self.prefix.clear();
        self.cache = self.decoder.new_cache(self.kv_type);
    }

    /// Tokens of `ids` that need not be computed again.
    pub fn held(&self, ids: &[u32]) -> usize {
        common_prefix(&self.prefix, ids)
    }

    fn chunk(&self) -> usize {
        if self.decoder.uses_gpu() { GPU_CHUNK } else { PREFILL_CHUNK }
    }

    /// Makes `ids` the shared prefix, computing what is not held yet. `progress` is told tokens done and to do.
    pub fn prefill(&mut self, ids: &[u32], mut progress: impl FnMut(usize, usize)) -> Result<()> {
        let held = self.cache.truncate(self.held(ids));
        self.prefix.truncate(held);
        if held == 0 {
            // A longer text before it may have left room that nobody counts.
            self.forget();
        }
        self.cache.make_room(ids.len())?;
        let total = ids.len() - held;
        for chunk in ids[held..].chunks(self.chunk()) {
            interrupt::check()?;
            self.decoder.extend(chunk, &mut self.cache)?;
            self.prefix.extend_from_slice(chunk);
            progress(self.prefix.len() - held, total);
        }
        Ok(())
    }

    /// Continues the prefix by every branch, all together, until each ends. `on_token` hears of every token drawn, by
    /// branch, but of no stop token.
    pub fn decode(
        &self,
        branches: &[Branch],
        rules: TokenRules,
        on_token: impl FnMut(usize, u32),
    ) -> Result<Vec<Completion>> {
        let mut done: Vec<Option<Completion>> = branches.iter().map(|_| None).collect();
        self.decode_each(branches, rules, on_token, |index, completion, _| {
            done[index] = Some(completion);
            Ok(())
        })?;
        Ok(done.into_iter().flatten().collect())
    }

    /// As [`Engine::decode`]; `on_end` is given each branch's completion as it ends, while others go on. Its error ends
    /// them all.
    pub fn decode_each(
        &self,
        branches: &[Branch],
        rules: TokenRules,
        mut on_token: impl FnMut(usize, u32),
        mut on_end: impl FnMut(usize, Completion, Share) -> Result<()>,
    ) -> Result<()> {
        let mut states: Vec<State> =
            branches.iter().map(|branch| State::new(branch, &self.decoder, self.kv_type)).collect();
        let mut active: Vec<usize> = (0..branches.len()).collect();
        let width = self.decoder.vocabulary();
        // (active branches, width)
        let mut logits = Vec::new();
        let (mut began, mut in_prefill) = (Instant::now(), true);
        self.prefill_branches(branches, &mut states, &mut logits)?;
        while !active.is_empty() {
            interrupt::check()?;
            let mut next = Vec::with_capacity(active.len());
            let step = |((index, state), logits): ((usize, &mut State), &mut [f32])| {
                let logits = &mut logits[..self.vocabulary.min(width)];
                (index, state.step(logits, rules, &[&self.prefix, &branches[index].ids]))
            };
            let going: Vec<_> = of_active(&active, &mut states).collect();
            let drawn: Vec<_> = going.into_par_iter().zip(logits.par_chunks_mut(width)).map(step).collect();
            let ended = Instant::now();
            let part = (ended - std::mem::replace(&mut began, ended)).as_secs_f64() / active.len() as f64;
            for (index, (drawn, finish)) in drawn {
                let share = &mut states[index].share;
                *(if in_prefill { &mut share.prefill } else { &mut share.decode }) += part;
                if let Some(id) = drawn {
                    on_token(index, id);
                }
                match finish {
                    Some(_) => on_end(index, states[index].finish(), states[index].share)?,
                    None => next.push(index),
                }
            }
            (active, in_prefill) = (next, false);
            logits.clear();
            self.step(&active, &mut states, &mut logits)?;
        }
        Ok(())
    }

    /// The branches' own prompts; appends the logits after each. Trials put the same questions: those that are alike are read
    /// once where what was read can be copied.
    fn prefill_branches(&self, branches: &[Branch], states: &mut [State], logits: &mut Vec<f32>) -> Result<()> {
        let copies = states.first().is_some_and(|state| state.cache.copy().is_some());
        let alike = |index: usize| branches[..index].iter().position(|branch| branch.ids == branches[index].ids);
        let read_as = |index: usize| if copies { alike(index).unwrap_or(index) } else { index };
        let read_as: Vec<usize> = (0..branches.len()).map(read_as).collect();
        let read: Vec<usize> = (0..branches.len()).filter(|&index| read_as[index] == index).collect();
        let mut computed = Vec::new();
        self.prefill_all(branches, of_active(&read, states), &mut computed)?;
        let width = self.decoder.vocabulary();
        for (index, first) in read_as.into_iter().enumerate() {
            let row = read.partition_point(|&other| other < first);
            logits.extend_from_slice(&computed[row * width..(row + 1) * width]);
            if index == first {
                states[index].share.tokens = branches[index].ids.len();
            } else if let Some(cache) = states[first].cache.copy() {
                states[index].cache = cache;
            }
        }
        Ok(())
    }

    /// The prompts of some branches, in batches of about [`PREFILL_CHUNK`] rows; appends the logits after each.
    fn prefill_all<'a>(
        &self,
        branches: &[Branch],
        states: impl Iterator<Item = (usize, &'a mut State)>,
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        let mut waiting: Vec<Sequence> = Vec::new();
        for (index, state) in states {
            let branch = &branches[index];
            // A branch that is long itself goes ahead alone, up to its last chunk.
            let mut rest = branch.ids.as_slice();
            while rest.len() > PREFILL_CHUNK {
                interrupt::check()?;
                let (chunk, behind) = rest.split_at(PREFILL_CHUNK);
                self.decoder.forward(Some(&self.cache), &mut [Sequence { ids: chunk, cache: &mut state.cache }])?;
                rest = behind;
            }
            let rows: usize = waiting.iter().map(|sequence| sequence.ids.len()).sum();
            if rows + rest.len() > PREFILL_CHUNK {
                self.last_logits(&mut waiting, logits)?;
                waiting.clear();
            }
            waiting.push(Sequence { ids: rest, cache: &mut state.cache });
        }
        self.last_logits(&mut waiting, logits)
    }

    /// Runs some branches behind the prefix; appends the logits after the last token of each.
    fn last_logits(&self, sequences: &mut [Sequence], logits: &mut Vec<f32>) -> Result<()> {
        interrupt::check()?;
        if sequences.is_empty() {
            return Ok(());
        }
        let hidden = self.decoder.forward(Some(&self.cache), sequences)?;
        let ends = sequences.iter().scan(0, |end, sequence| {
            *end += sequence.ids.len();
            Some(*end - 1)
        });
        self.decoder.append_logits(&hidden, &ends.collect::<Vec<_>>(), logits)
    }

    /// One more token of every active branch; appends the logits after each.
    fn step(&self, active: &[usize], states: &mut [State], logits: &mut Vec<f32>) -> Result<()> {
        let ids: Vec<[u32; 1]> = active.iter().map(|&index| [states[index].last()]).collect();
        let states = of_active(active, states).zip(&ids);
        let mut sequences: Vec<Sequence> =
            states.map(|((_, state), ids)| Sequence { ids, cache: &mut state.cache }).collect();
        self.last_logits(&mut sequences, logits)
    }
}

/// The states of the active branches, whose numbers ascend.
fn of_active<'a>(active: &'a [usize], states: &'a mut [State]) -> impl Iterator<Item = (usize, &'a mut State)> {
    states.iter_mut().enumerate().filter(|(index, _)| active.binary_search(index).is_ok())
}

/// A branch while it is decoded.
struct State {
    cache: KvCache,
    ids: Vec<u32>,
    max_tokens: usize,
    processor: LogitsProcessor,
    sampler: Sampler,
    ended: Option<(Finish, usize)>,
    share: Share,
}

impl State {
    fn new(branch: &Branch, decoder: &Decoder, kv_type: KvType) -> State {
        State {
            cache: decoder.new_cache(kv_type),
            ids: Vec::new(),
            max_tokens: branch.max_tokens,
            processor: LogitsProcessor::new(&branch.sampling),
            sampler: Sampler::new(&branch.sampling),
            ended: None,
            share: Share::default(),
        }
    }

    fn last(&self) -> u32 {
        self.ids[self.ids.len() - 1]
    }

    /// Draws the next token: the id unless it is a stop token, and the reason if the branch ends with it.
    fn step(&mut self, logits: &mut [f32], rules: TokenRules, prompt: &[&[u32]]) -> (Option<u32>, Option<Finish>) {
        for &id in rules.banned {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        self.processor.process(logits, &self.ids, prompt);
        let id = self.sampler.draw(logits);
        if rules.stop.contains(&id) {
            self.ended = Some((Finish::Stop, self.ids.len()));
            return (None, Some(Finish::Stop));
        }
        self.ids.push(id);
        self.ended = match repetition::circle_start(&self.ids) {
            Some(start) => Some((Finish::Loop, start)),
            None if self.ids.len() >= self.max_tokens => Some((Finish::Length, self.ids.len())),
            None => None,
        };
        (Some(id), self.ended.map(|(finish, _)| finish))
    }

    fn finish(&self) -> Completion {
        let (finish, keep) = self.ended.unwrap_or((Finish::Length, self.ids.len()));
        let written = self.ids.len();
        Completion { ids: self.ids[..keep].to_vec(), written, finish }
    }
}

/// Tokens that two sequences share at their beginnings.
pub fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
