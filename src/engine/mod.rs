//! Prefill, batched decode and sampling over token ids.
//!
//! One paper is one prefix; every question is a branch over it. The prefix is computed once and kept; branches are
//! decoded together, and each ends on its own. A branch's tokens depend on the prefix, on itself and on its seed, never on
//! its neighbours.

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
    model::{Decoder, Sequence},
};

/// Tokens of a prompt that are computed at a time.
pub const PREFILL_CHUNK: usize = 512;

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

/// A finished branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Without the stop token, and without the circles of a loop.
    pub ids: Vec<u32>,
    /// Tokens that were really written, circles included.
    pub written: usize,
    pub finish: Finish,
}

pub struct Engine {
    pub decoder: Decoder,
    kv_type: KvType,
    /// The prefix that is held, and its keys and values.
    prefix: Vec<u32>,
    cache: KvCache,
}

impl Engine {
    pub fn new(decoder: Decoder, kv_type: KvType) -> Engine {
        let cache = decoder.new_cache(kv_type);
        Engine { decoder, kv_type, prefix: Vec::new(), cache }
    }

    /// Tokens of `ids` that need not be computed again.
    pub fn held(&self, ids: &[u32]) -> usize {
        common_prefix(&self.prefix, ids)
    }

    /// Makes `ids` the shared prefix, computing what is not held yet. `progress` is told tokens done and to do.
    pub fn prefill(&mut self, ids: &[u32], mut progress: impl FnMut(usize, usize)) -> Result<()> {
        let held = self.held(ids);
        self.cache.truncate(held);
        self.prefix.truncate(held);
        let total = ids.len() - held;
        for chunk in ids[held..].chunks(PREFILL_CHUNK) {
            interrupt::check()?;
            self.decoder.forward(None, &mut [Sequence { ids: chunk, cache: &mut self.cache }])?;
            self.prefix.extend_from_slice(chunk);
            progress(self.prefix.len() - held, total);
        }
        Ok(())
    }

    /// Continues the prefix by every branch, all together, until each ends. `on_token` hears of every token kept, by
    /// branch; it is not told of stop tokens.
    pub fn decode(
        &self,
        branches: &[Branch],
        stop: &[u32],
        mut on_token: impl FnMut(usize, u32),
        mut on_end: impl FnMut(usize, Finish),
    ) -> Result<Vec<Completion>> {
        let mut states: Vec<State> =
            branches.iter().map(|branch| State::new(branch, &self.decoder, self.kv_type)).collect();
        let mut active: Vec<usize> = (0..branches.len()).collect();
        let mut logits = self.prefill_branches(branches, &mut states)?;
        while !active.is_empty() {
            interrupt::check()?;
            let mut next = Vec::with_capacity(active.len());
            for (&index, logits) in active.iter().zip(&mut logits) {
                match states[index].step(logits, stop) {
                    Some(finish) => on_end(index, finish),
                    None => {
                        on_token(index, states[index].last());
                        next.push(index);
                    }
                }
            }
            active = next;
            logits = self.step(&active, &mut states)?;
        }
        Ok(states.into_iter().map(State::finish).collect())
    }

    /// The branches' own prompts, in batches of about [`PREFILL_CHUNK`] rows; the logits after each.
    fn prefill_branches(&self, branches: &[Branch], states: &mut [State]) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::with_capacity(branches.len());
        let mut rest: Vec<(&Branch, &mut State)> = branches.iter().zip(states).collect();
        while !rest.is_empty() {
            interrupt::check()?;
            let mut rows = 0;
            let take =
                rest.iter().take_while(|(branch, _)| (rows == 0 || rows < PREFILL_CHUNK, rows += branch.ids.len()).0);
            let take = take.count();
            let mut batch: Vec<_> = rest.drain(..take).collect();
            let mut sequences: Vec<Sequence> = batch
                .iter_mut()
                .map(|(branch, state)| Sequence { ids: &branch.ids, cache: &mut state.cache })
                .collect();
            let hidden = self.decoder.forward(Some(&self.cache), &mut sequences)?;
            let mut end = 0;
            let last: Vec<usize> = batch.iter().map(|(branch, _)| (end += branch.ids.len(), end - 1).1).collect();
            logits.extend(self.decoder.logits(&hidden, &last)?);
        }
        Ok(logits)
    }

    /// One more token of every active branch; the logits after each.
    fn step(&self, active: &[usize], states: &mut [State]) -> Result<Vec<Vec<f32>>> {
        if active.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<[u32; 1]> = active.iter().map(|&index| [states[index].last()]).collect();
        let caches = states.iter_mut().enumerate().filter(|(index, _)| active.binary_search(index).is_ok());
        let mut sequences: Vec<Sequence> =
            caches.zip(&ids).map(|((_, state), ids)| Sequence { ids, cache: &mut state.cache }).collect();
        let hidden = self.decoder.forward(Some(&self.cache), &mut sequences)?;
        self.decoder.logits(&hidden, &(0..active.len()).collect::<Vec<_>>())
    }
}

/// A branch while it is decoded.
struct State {
    cache: KvCache,
    ids: Vec<u32>,
    max_tokens: usize,
    processor: LogitsProcessor,
    sampler: Sampler,
    ended: Option<(Finish, usize)>,
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
        }
    }

    fn last(&self) -> u32 {
        self.ids[self.ids.len() - 1]
    }

    /// Draws the next token; the reason if the branch ends with it.
    fn step(&mut self, logits: &mut [f32], stop: &[u32]) -> Option<Finish> {
        let mut keep = self.ids.len();
        let finish = if self.ids.len() == self.max_tokens {
            Some(Finish::Length)
        } else {
            self.processor.process(logits, &self.ids);
            let id = self.sampler.draw(logits);
            if stop.contains(&id) {
                Some(Finish::Stop)
            } else {
                self.ids.push(id);
                let circle = repetition::circle_start(&self.ids);
                keep = circle.unwrap_or(self.ids.len());
                circle.map(|_| Finish::Loop)
            }
        };
        self.ended = finish.map(|finish| (finish, keep));
        finish
    }

    fn finish(self) -> Completion {
        let (finish, keep) = self.ended.unwrap_or((Finish::Length, self.ids.len()));
        let written = self.ids.len();
        Completion { ids: self.ids[..keep].to_vec(), written, finish }
    }
}

/// Tokens that two sequences share at their beginnings.
pub fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
