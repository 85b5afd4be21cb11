//! Tests of long contexts: what they share.

mod journal;
pub mod longppl;
pub mod nll;
pub mod qa;
pub mod samples;

use super::args::{Extended, Positions, Results};
use super::context::Context;
use super::watch::extended;
use super::{engine, eval, output};
use crate::engine::{Engine, eval::nll};
use crate::eval::score::{Estimate, Verdict};
use crate::generator::local::{KV_TYPE, ModelSource, TextSide};
use crate::model::{Checkpoint, Config, Decoder, plans_extended};
use crate::progress::Unit;
use crate::rope::{Chosen, Extension, Method, Policy, Reach, RopePlan};
use crate::{Result, report};
pub use journal::{Journal, checksum};
use serde::Serialize;
use std::path::PathBuf;

/// A model's path, and how it is extended as its card and the options say.
pub fn found(context: &Context, model: &str, positions: &Positions) -> Result<(PathBuf, Policy)> {
    let path = eval::locate(context, model)?;
    let known = if path.is_file() { Some(context.hub()?.model(model)?) } else { None };
    Ok((path, engine::policy(positions, known.as_ref())?))
}

/// As `summarize` chooses, but where the model's own positions are asked for they go on as far as the text does.
pub fn choose(policy: &Policy, model: &str, config: &Config, tokens: usize) -> Result<Chosen> {
    if policy.method == Method::Native && policy.reach == Reach::Auto {
        return Ok(Chosen { extension: Extension::native(config.context_length), scaling: None });
    }
    let chosen = policy.choose(config.extendable(), config.context_length, tokens);
    chosen.map_err(|refusal| refusal.error(model, tokens))
}

/// A model that is measured, loaded as it answers.
pub struct Subject<'a> {
    pub context: &'a Context,
    pub name: String,
    pub path: PathBuf,
    /// What its matrices lie in: the path, or what was quantised of it.
    weights: PathBuf,
    pub checkpoint: Checkpoint,
    pub policies: Vec<(Method, Policy)>,
}

impl<'a> Subject<'a> {
    pub fn open(context: &'a Context, asked: &Extended, results: &Results) -> Result<Subject<'a>> {
        engine::limit_threads(results.threads)?;
        let mut policies = Vec::new();
        let mut path = PathBuf::new();
        for method in &asked.rope {
            let positions = Positions { context: None, rope: Some(method.clone()) };
            let (found, policy) = found(context, &asked.model, &positions)?;
            path = found;
            policies.push((method.clone(), policy));
        }
        let cache = engine::packed_cache(&context.hub()?);
        let (checkpoint, weights) = Checkpoint::open_as(&path, asked.weights.quantize, &cache)?;
        Ok(Subject { weights, context, name: asked.model.clone(), path, checkpoint, policies })
    }

    pub fn decoder(&self) -> Result<Decoder> {
        let packed = engine::packed_cache(&self.context.hub()?);
        Ok(Decoder::load(&self.checkpoint, &self.weights, Some(&packed))?.0)
    }

    /// The decoder, loaded once it is needed.
    pub fn loaded<'d>(&self, decoder: &'d mut Option<Decoder>) -> Result<&'d mut Decoder> {
        match decoder {
            Some(decoder) => Ok(decoder),
            None => Ok(decoder.insert(self.decoder()?)),
        }
    }

    /// As [`Subject::loaded`], with the tokens of `text`.
    fn engine<'e>(&self, engine: &'e mut Option<Engine>, text: &TextSide) -> Result<&'e mut Engine> {
        match engine {
            Some(engine) => Ok(engine),
            None => Ok(engine.insert(Engine::new(self.decoder()?, KV_TYPE).limit_vocabulary(text.tokenizer.len()))),
        }
    }

    /// Losses of all ids but the first, under a bar.
    fn losses(&self, decoder: &Decoder, label: &str, ids: &[u32]) -> Result<Vec<f64>> {
        let bar = self.context.progress.bar(label, ids.len() as u64, Unit::Tokens);
        nll(decoder, KV_TYPE, ids, 0..ids.len(), |done| bar.set(done as u64))
    }

    /// What the model's files say of text.
    pub fn text_side(&self) -> Result<TextSide> {
        TextSide::of(&ModelSource { path: self.path.clone(), ..ModelSource::default() }, &self.checkpoint)
    }

    /// How sequences of `tokens` tokens are read under each policy. Ways that turn all positions alike have one name
    /// between them, that of the first, so that what is kept under it is computed once.
    fn ways(&self, tokens: usize) -> Result<Vec<Way<'_>>> {
        let mut ways: Vec<Way> = Vec::new();
        for (method, policy) in &self.policies {
            let chosen = self.choose(policy, tokens)?;
            let turned = plans_extended(&self.checkpoint.config, tokens, chosen.scaling.as_ref())?;
            let alike = |way: &&Way| way.turned.iter().zip(&turned).all(|(one, other)| one.same_angles(other));
            let own = || format!("{method} ({})", chosen.extension.description);
            let name = ways.iter().find(alike).map_or_else(own, |way| way.name.clone());
            ways.push(Way { method, chosen, name, turned });
        }
        Ok(ways)
    }

    /// How sequences of `tokens` tokens are read under a policy, told where that is news.
    fn choose(&self, policy: &Policy, tokens: usize) -> Result<Chosen> {
        let chosen = choose(policy, &self.name, &self.checkpoint.config, tokens)?;
        if !chosen.extension.is_native() {
            self.context.progress.line(extended(tokens, &chosen.extension));
        }
        Ok(chosen)
    }
}

/// A way to extend the context, for sequences of one length.
struct Way<'a> {
    method: &'a Method,
    chosen: Chosen,
    /// What its samples are kept under.
    name: String,
    /// The angles of layers of each kind.
    turned: Vec<RopePlan>,
}

/// What one way gives less what the first one does, and what that says.
#[derive(Serialize)]
struct Difference {
    #[serde(flatten)]
    estimate: Estimate,
    verdict: Verdict,
}

impl Difference {
    /// Lower is better.
    fn of_losses(estimate: Estimate) -> Difference {
        Difference { estimate, verdict: Verdict::of(estimate) }
    }

    /// Higher is better.
    fn of_scores(estimate: Estimate) -> Difference {
        let Estimate { value, low, high } = estimate;
        Difference { estimate, verdict: Verdict::of(Estimate { value: -value, low: -high, high: -low }) }
    }

    fn cells(&self) -> [String; 3] {
        let Estimate { value, low, high } = self.estimate;
        [format!("{value:+.4}"), format!("{low:+.4} to {high:+.4}"), self.verdict.word().into()]
    }
}

/// The result as asked for: to a file, drawn, and as a table or JSON on stdout.
pub fn finish<T: Serialize>(results: &Results, what: &str, result: &T, table: &str, svg: &str) -> Result<()> {
    let json = output::json(what, result)?;
    if let Some(file) = &results.out {
        report::write(file, json.as_bytes())?;
    }
    if let Some(file) = &results.plot {
        report::write(file, svg.as_bytes())?;
    }
    output::finish(if results.json { &json } else { table })
}
