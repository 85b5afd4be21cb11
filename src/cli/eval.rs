//! `ronbun eval`: token ids in, logits or token ids out, so that the engine can be compared with others without a
//! tokenizer between them.

use super::args::{self, Computing, Eval, EvalInput, Kv, Positions};
use super::context::Context;
use super::watch::extended;
use super::{engine, evals, output};
use crate::engine::KvType;
use crate::engine::eval::{self, Divergence, GreedyStep};
use crate::generator::local;
use crate::hub::Weights;
use crate::model::{Checkpoint, Decoder};
use crate::progress::Unit;
use crate::rope::{Chosen, Method};
use crate::{Error, Kind, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

pub fn run(context: &Context, command: Eval) -> Result<()> {
    match command {
        Eval::Logits(input) => {
            let input = with_ids(input)?;
            let logits = eval::logits(open(context, &input, 0)?, &input.ids, input.chunk)?;
            print(&input, "logits", json!(logits))
        }
        Eval::Greedy { input, tokens } => {
            let input = with_ids(input)?;
            let steps = eval::greedy(open(context, &input, tokens)?, &input.ids, tokens, input.chunk)?;
            let step = |step: &GreedyStep| {
                let top = step.top.iter().map(|(id, logit)| json!({ "id": id, "logit": logit }));
                json!({ "id": step.id, "top": top.collect::<Value>() })
            };
            print(&input, "steps", steps.iter().map(step).collect())
        }
        Eval::Divergence(args) => {
            let rows = divergence(context, &args)?;
            match args.json {
                true => output::finish(&format!("{}\n", json!({ "model": args.model, "rows": rows }))),
                false => output::finish(&in_words(&rows)),
            }
        }
        Eval::Nll(args) => evals::nll::run(context, args),
        Eval::LongPpl(args) => evals::longppl::run(context, args),
        Eval::Passkey(args) => evals::samples::passkey(context, args),
        Eval::Ruler(args) => evals::samples::ruler(context, args),
        Eval::Qa(args) => evals::qa::run(context, args),
        Eval::Tokens { model, text } => {
            let ids = ids(&locate(context, &model)?, &text)?;
            output::finish(&format!("{}\n", json!({ "model": model, "ids": ids })))
        }
    }
}

/// With the ids of the file, where one is named.
fn with_ids(input: EvalInput) -> Result<EvalInput> {
    let Some(file) = &input.ids_file else { return Ok(input) };
    let wrong = |problem: String| Error::new(Kind::Input, file.display(), problem);
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let words = text.split(|between: char| between == ',' || between.is_whitespace()).filter(|word| !word.is_empty());
    let id = |word: &str| word.parse::<u32>().map_err(|_| wrong(format!("'{word}' is no token id")));
    let ids = words.map(id).collect::<Result<Vec<u32>>>()?;
    match ids.is_empty() {
        true => Err(wrong("holds no token ids".into())),
        false => Ok(EvalInput { ids, ..input }),
    }
}

/// The input's model, its positions as asked for sequences of the ids and `more` tokens.
fn open(context: &Context, input: &EvalInput, more: usize) -> Result<Decoder> {
    engine::limit_threads(input.threads)?;
    let cache = engine::packed_cache(&context.hub()?);
    let path = locate(context, &input.model)?;
    let (mut checkpoint, weights) = Checkpoint::open_as(&path, input.weights.quantize, &cache)?;
    asked_positions(context, &input.positions, &mut checkpoint, input.ids.len() + more)?;
    let computing =
        Computing { device: Some(input.device), gpu_layers: Some(input.gpu_layers), gpu_kv: Some(input.gpu_kv) };
    Ok(Decoder::on(&engine::devices(computing)?, &checkpoint, &weights, None)?.0)
}

/// Extends a model's positions where an option asks for it; otherwise they are the model's own, however long the text.
fn asked_positions(context: &Context, positions: &Positions, checkpoint: &mut Checkpoint, tokens: usize) -> Result<()> {
    let Positions { context: reach, rope } = positions;
    if reach.is_none() && matches!(rope, None | Some(Method::Native)) {
        return Ok(());
    }
    let policy = engine::policy(positions, None)?;
    let config = &mut checkpoint.config;
    let chosen = policy.choose(config.extendable(), config.context_length, tokens);
    let Chosen { extension, scaling } = chosen.map_err(|refusal| refusal.error(&checkpoint.name, tokens))?;
    let Some(scaling) = scaling else { return Ok(()) };
    context.progress.line(extended(tokens, &extension));
    config.extend(&scaling).map_err(|problem| Error::new(Kind::Usage, "--rope", problem))
}

/// The model as it answers, quantised where that is asked for, against its own weights in f32.
fn divergence(context: &Context, args: &args::Divergence) -> Result<Vec<Divergence>> {
    engine::limit_threads(args.threads)?;
    let path = locate(context, &args.model)?;
    let mut ids = ids(&path, &args.text)?;
    ids.truncate(args.tokens);
    let cache = engine::packed_cache(&context.hub()?);
    let (mut answering, weights) = Checkpoint::open_as(&path, args.weights.quantize, &cache)?;
    asked_positions(context, &args.positions, &mut answering, ids.len())?;
    let (mut fast, _) = Decoder::load(&answering, &weights, Some(&cache))?;
    let own = Checkpoint { config: answering.config, ..Checkpoint::open(&path)? };
    let bar = context.progress.bar("reading twice", ids.len() as u64, Unit::Tokens);
    let mut exact = Decoder::new(&own)?;
    exact.plan(ids.len());
    fast.plan(ids.len());
    let kv = match args.kv {
        Kv::I8 => KvType::I8,
        Kv::F16 => KvType::F16,
        Kv::F32 => KvType::F32,
    };
    eval::divergence(&exact, (&fast, kv), &ids, (args.stride, args.bucket), |done| bar.set(done as u64))
}

fn in_words(rows: &[Divergence]) -> String {
    let header = ["positions", "looked at", "KL divergence", "NLL in f32", "NLL", "ratio", "same likeliest"];
    let row = |row: &Divergence| {
        vec![
            format!("{}-{}", row.from, row.to - 1),
            row.positions.to_string(),
            format!("{:.6}", row.divergence),
            format!("{:.4}", row.exact_nll),
            format!("{:.4}", row.nll),
            format!("{:.5}", row.nll / row.exact_nll),
            format!("{:.1} %", 100.0 * row.agreement),
        ]
    };
    let rows: Vec<_> = std::iter::once(header.map(str::to_string).to_vec()).chain(rows.iter().map(row)).collect();
    output::table(&rows)
}

/// The token ids of a text file, read as a prompt.
pub fn ids(model: &Path, text: &Path) -> Result<Vec<u32>> {
    let read = fs::read_to_string(text).map_err(|error| Error::new(Kind::Input, text.display(), error))?;
    if read.trim().is_empty() {
        return Err(Error::new(Kind::Input, text.display(), "holds no text").hint("give a text of some pages"));
    }
    local::tokenizer(model)?.encode_prompt(&read)
}

/// A path as it is; any other name through the hub.
pub fn locate(context: &Context, model: &str) -> Result<PathBuf> {
    let path = Path::new(model);
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    Ok(match context.hub()?.model(model)?.weights {
        Weights::Gguf(file) => file,
        Weights::Safetensors { config, .. } => config.parent().unwrap_or(Path::new(".")).to_path_buf(),
    })
}

fn print(input: &EvalInput, what: &str, result: serde_json::Value) -> Result<()> {
    let answer = json!({ "model": input.model, "ids": input.ids, "chunk": input.chunk, what: result });
    output::finish(&format!("{answer}\n"))
}
