//! The local engine as a generator: chat template, token ids, one prefilled prefix, branches decoded together.

mod gathering;
mod text;

pub use text::{TextSide, tokenizer};

use super::{
    Event, FileFact, FinishReason, Generator, ModelFacts, Plan, Prompt, Question, Reply, Sampling, Trial, Usage,
};
use crate::{
    Error, Kind, Result,
    chat::{ChatTemplate, Letters, Message, Tokenizer},
    device::{self, Devices},
    engine::{self, Branch, Engine, Finish, KvType, SamplingParams, TokenRules},
    model::{Checkpoint, Decoder, PackedCache, Quantization},
    rope::{Chosen, Extension, Policy, Refusal},
};
use gathering::{Gathering, Prefix};
use std::{cell::RefCell, collections::HashMap, path::PathBuf, time::Instant};

/// A model on this machine, as somebody found it.
#[derive(Clone, Default)]
pub struct ModelSource {
    pub id: String,
    /// A GGUF file, or a folder with config.json and safetensors.
    pub path: PathBuf,
    /// A tokenizer.json that counts more than the GGUF file's own vocabulary.
    pub tokenizer: Option<PathBuf>,
    /// A chat template that counts more than the model's own.
    pub chat_template: Option<String>,
    pub files: Vec<FileFact>,
    /// Where quantised weights are kept packed for the integer kernels; without it they are dequantised as they are used.
    pub packed: Option<PackedCache>,
    /// What matrices of f32, f16 or bf16 are quantised to; kept in `packed`, without which they stay as they are.
    pub quantize: Option<Quantization>,
    /// How a text beyond the model's own context is read.
    pub extension: Policy,
    /// What there is to compute on beside the CPU.
    pub devices: Devices,
}

pub struct LocalGenerator {
    facts: ModelFacts,
    engine: Engine,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    stop: Vec<u32>,
    weight_bytes: u64,
    extension: Policy,
    /// Tokens that positions are planned for.
    planned: usize,
    /// What the model was opened from.
    files: Files,
}

struct Files {
    path: PathBuf,
    quantize: Option<Quantization>,
    packed: Option<PackedCache>,
    /// Whether the paper may choose how many layers GPUs compute.
    layers_may_move: bool,
}

impl Files {
    /// With the file that the weights are in.
    fn open(&self) -> Result<(Checkpoint, PathBuf)> {
        match &self.packed {
            Some(cache) => Checkpoint::open_as(&self.path, self.quantize, cache),
            None => Ok((Checkpoint::open(&self.path)?, self.path.clone())),
        }
    }
}

/// Keys and values are kept as bytes. What that costs is printed by `ronbun eval divergence`, with `--kv f32` without it.
pub const KV_TYPE: KvType = KvType::I8;

impl LocalGenerator {
    /// Opens and checks the model; nothing is computed yet.
    pub fn load(source: ModelSource) -> Result<Self> {
        let files = Files {
            path: source.path.clone(),
            quantize: source.quantize,
            packed: source.packed.clone(),
            layers_may_move: source.devices.layers_may_move(),
        };
        let (checkpoint, weights) = files.open()?;
        let TextSide { tokenizer, template, stop } = TextSide::of(&source, &checkpoint)?;
        let template = template?;
        let (decoder, weight_bytes) = Decoder::on(&source.devices, &checkpoint, &weights, files.packed.as_ref())?;
        let facts = ModelFacts {
            id: source.id,
            files: source.files,
            architecture: decoder.config.family.name().to_string(),
            quantization: checkpoint.quantization(),
            parameters: checkpoint.parameters(),
            context_length: decoder.config.context_length,
            rope: decoder.rope(),
            extension: None,
            device: device::describe(&decoder.parts),
            threads: ronbun_kernels::pool::threads(),
        };
        let engine = Engine::new(decoder, KV_TYPE).limit_vocabulary(tokenizer.len());
        let extension = source.extension;
        Ok(LocalGenerator { facts, engine, tokenizer, template, stop, weight_bytes, extension, planned: 0, files })
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A tokenizer that knows more tokens than the model has is not the model's.
    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let size = self.engine.decoder.config.vocab_size;
        let Some(&bad) = ids.iter().find(|id| **id as usize >= size) else { return Ok(()) };
        let text = self.tokenizer.token(bad).unwrap_or_default();
        let problem = format!("its tokenizer gives '{text}' the id {bad}, but the model has {size} tokens");
        Err(Error::new(Kind::Model, &self.facts.id, problem).hint("give the model its own tokenizer.json"))
    }

    /// Tokens in letters that neither the answers' language nor anything in the conversations has.
    fn foreign_tokens(&self, prompt: &Prompt, questions: &[Question]) -> Vec<u32> {
        let asked: String = questions.iter().map(|question| question.text.as_str()).collect();
        let letters =
            Letters::of(&prompt.language, &[&prompt.system, &prompt.paper, &asked].map(String::as_str).concat());
        letters.map(|letters| self.tokenizer.foreign_to(&letters)).unwrap_or_default()
    }

    /// How sequences of at most `tokens` tokens are read.
    fn choose(&self, tokens: usize) -> Result<Chosen, Refusal> {
        let config = &self.engine.decoder.config;
        self.extension.choose(config.extendable(), config.context_length, tokens)
    }

    /// Fixes how positions become angles. A plan that the prefix was computed with is kept where it reaches far enough:
    /// a question that is put again is read as it was before.
    fn fix_positions(&mut self, prefix: &[u32], tokens: usize) -> Result<()> {
        if self.planned >= tokens && !prefix.is_empty() && self.engine.held(prefix) == prefix.len() {
            return Ok(());
        }
        let chosen = self.choose(tokens).map_err(|refusal| refusal.error(&self.facts.id, tokens))?;
        // A context that was asked for is planned for as a whole, so that texts of any length are read alike.
        self.planned = if chosen.scaling.is_some() { tokens.max(self.extension.least()) } else { tokens };
        self.engine.plan_extended(self.planned, chosen.scaling.as_ref())?;
        self.facts.rope = self.engine.decoder.rope();
        self.facts.extension = Some(chosen.extension);
        Ok(())
    }

    /// Has the CPU compute layers that have no room on a GPU beside these caches.
    fn leave_room(&mut self, caches: &[usize]) -> Result<bool> {
        let moved = self.engine.leave_room(caches, || self.files.open(), self.files.packed.as_ref())?;
        if moved {
            self.facts.device = device::describe(&self.engine.decoder.parts);
        }
        Ok(moved)
    }

    fn refused(&self, refusal: Refusal, prompt_tokens: usize, longest: usize) -> Error {
        let error = refusal.error(&self.facts.id, longest);
        let Refusal::TooLong { context_length, .. } = refusal else { return error };
        let answer = longest - prompt_tokens;
        let problem = format!(
            "the paper does not fit: {prompt_tokens} tokens of prompt and up to {answer} of answer make {longest}, \
             the model's context is {context_length}"
        );
        Error { problem, ..error }
    }

    fn reply(&self, completion: &engine::Completion) -> Result<Reply> {
        let text = self.tokenizer.decode(&completion.ids, false)?;
        Ok(Reply {
            // An answer that was cut may end within a character.
            text: text.trim_end_matches('\u{fffd}').to_string(),
            tokens: completion.written,
            finish_reason: finish_reason(completion.finish),
        })
    }

    /// Token ids of each question's conversation, and what all begin with.
    fn conversations(&self, prompt: &Prompt, questions: &[Question]) -> Result<(Vec<Vec<u32>>, usize)> {
        let system = self.tokenizer.defuse(&prompt.system);
        let paper = self.tokenizer.defuse(&prompt.paper);
        let conversation = |question: &str| {
            let user = format!("{paper}{}", self.tokenizer.defuse(question));
            let text = self.template.render(&[Message::new("system", system.clone()), Message::new("user", user)])?;
            let ids = self.tokenizer.encode_prompt(&text)?;
            self.check_ids(&ids)?;
            Ok(ids)
        };
        // Trials put the same questions: each is read once.
        let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
        for text in questions.iter().map(|question| question.text.as_str()).chain(PROBES) {
            if !known.contains_key(text) {
                known.insert(text, conversation(text)?);
            }
        }
        let shared = shared_prefix(known.values());
        Ok((questions.iter().map(|question| known[question.text.as_str()].clone()).collect(), shared))
    }
}

/// Questions that have nothing in common. They end the shared prefix with the paper, whatever is asked: keys of the
/// prefix are kept with less precision than a branch's own, so an answer would else depend on what is asked beside it.
const PROBES: [&str; 2] = ["a", "#"];

impl Generator for LocalGenerator {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn plan(&self, prompt: &Prompt, questions: &[Question]) -> Result<Plan> {
        let (conversations, shared) = self.conversations(prompt, questions)?;
        let (caches, longest) = caches(&conversations, questions, shared);
        let extension = self.choose(longest).map_err(|refusal| {
            let prompt_tokens = conversations.iter().map(Vec::len).max().unwrap_or(0);
            self.refused(refusal, prompt_tokens, longest)
        })?;
        let Extension { context_length, .. } = extension.extension;
        let decoder = &self.engine.decoder;
        let (gpu_bytes, moves_layers) = decoder.gpu_bytes(KV_TYPE, &caches, self.files.layers_may_move)?;
        Ok(Plan {
            shared_tokens: shared,
            longest_tokens: longest,
            context_length,
            weight_bytes: self.weight_bytes,
            cache_bytes: caches.iter().map(|tokens| decoder.cache_bytes(KV_TYPE, *tokens)).sum(),
            gpu_bytes,
            moves_layers,
            extension: Some(extension.extension),
        })
    }

    fn answer(
        &mut self,
        prompt: &Prompt,
        questions: &[Question],
        sampling: &Sampling,
        watch: &mut dyn FnMut(Event),
    ) -> Result<(Vec<Reply>, Usage)> {
        let trial = Trial { questions: questions.to_vec(), sampling: sampling.clone() };
        let mut answered = (Vec::new(), Usage::default());
        self.answer_trials(prompt, &[trial], watch, &mut |_, replies, usage| {
            answered = (replies, usage);
            Ok(())
        })?;
        Ok(answered)
    }

    /// All branches over one prefix, each with the seed of its trial.
    fn answer_trials(
        &mut self,
        prompt: &Prompt,
        trials: &[Trial],
        watch: &mut dyn FnMut(Event),
        keep: &mut dyn FnMut(usize, Vec<Reply>, Usage) -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        let (questions, samplings): (Vec<Question>, Vec<&Sampling>) = trials
            .iter()
            .flat_map(|trial| trial.questions.iter().map(|question| (question.clone(), &trial.sampling)))
            .unzip();
        let (conversations, shared) = self.conversations(prompt, &questions)?;
        let Some(prefix) = conversations.first().map(|ids| &ids[..shared]) else { return Ok(()) };
        let (caches, longest) = caches(&conversations, &questions, shared);
        if self.files.layers_may_move && self.leave_room(&caches)? {
            watch(Event::Moved(&self.facts.device));
        }
        self.fix_positions(prefix, longest)?;
        let computed = shared - self.engine.held(prefix);
        self.engine.prefill(prefix, |done, total| watch(Event::Prefill { done, total }))?;
        let branches: Vec<Branch> = conversations
            .iter()
            .zip(questions.iter().zip(samplings))
            .map(|(ids, (question, sampling))| Branch {
                ids: ids[shared..].to_vec(),
                max_tokens: question.max_tokens,
                sampling: params(sampling, &question.id),
            })
            .collect();
        let prefix = Prefix { started, tokens: computed, seconds: started.elapsed().as_secs_f64() };
        let gathering = RefCell::new(Gathering::new(trials, prefix, &conversations));
        let watch = RefCell::new(watch);
        let mut streams: Vec<_> = questions.iter().map(|_| self.tokenizer.stream()).collect();
        let on_token = |index: usize, id| {
            gathering.borrow_mut().heard(index);
            if let Some(piece) = streams[index](id) {
                (watch.borrow_mut())(Event::Text { index, piece: &piece });
            }
        };
        let on_end = |index, completion: engine::Completion, share| {
            let reply = self.reply(&completion)?;
            (watch.borrow_mut())(Event::End { index, reason: reply.finish_reason });
            match gathering.borrow_mut().add(index, reply, share) {
                Some((trial, replies, usage)) => keep(trial, replies, usage),
                None => Ok(()),
            }
        };
        let banned = self.foreign_tokens(prompt, &questions);
        self.engine.decode_each(&branches, TokenRules { stop: &self.stop, banned: &banned }, on_token, on_end)
    }
}

/// Tokens of each cache that the conversations take with their answers, the shared one first; and of the longest conversation.
fn caches(conversations: &[Vec<u32>], questions: &[Question], shared: usize) -> (Vec<usize>, usize) {
    let with_answers =
        conversations.iter().zip(questions).map(|(ids, question)| ids.len().saturating_add(question.max_tokens));
    let longest = with_answers.clone().max().unwrap_or(0);
    let tails = with_answers.map(|tokens| tokens.saturating_sub(shared));
    (std::iter::once(shared).chain(tails).collect(), longest)
}

/// What all conversations begin with; each keeps at least one token of its own.
fn shared_prefix<'a>(mut conversations: impl Iterator<Item = &'a Vec<u32>>) -> usize {
    let Some(first) = conversations.next() else { return 0 };
    let (shared, shortest) = conversations.fold((first.len(), first.len()), |(shared, shortest), ids| {
        (shared.min(engine::common_prefix(first, ids)), shortest.min(ids.len()))
    });
    shared.min(shortest.saturating_sub(1))
}

/// Every question draws from a stream of its own, so that its answer does not depend on which others are asked.
fn params(sampling: &Sampling, question: &str) -> SamplingParams {
    // FNV-1a
    let hash = question.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    SamplingParams {
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        dry_multiplier: sampling.dry_multiplier,
        seed: sampling.seed ^ hash,
    }
}

fn finish_reason(finish: Finish) -> FinishReason {
    match finish {
        Finish::Stop => FinishReason::Stop,
        Finish::Length => FinishReason::Length,
        Finish::Loop => FinishReason::Loop,
    }
}
