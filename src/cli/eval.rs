//! `ronbun eval`: token ids in, logits or token ids out, so that the engine can be compared with others without a
//! tokenizer between them.

use super::args::{Eval, EvalInput};
use super::context::Context;
use super::output;
use crate::engine::eval::{self, GreedyStep};
use crate::generator::local;
use crate::hub::Weights;
use crate::{Error, Kind, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

pub fn run(context: &Context, command: Eval) -> Result<()> {
    match command {
        Eval::Logits(input) => {
            let logits = eval::logits(&locate(context, &input.model)?, &input.ids, input.chunk)?;
            print(&input, "logits", json!(logits))
        }
        Eval::Greedy { input, tokens } => {
            let steps = eval::greedy(&locate(context, &input.model)?, &input.ids, tokens, input.chunk)?;
            let step = |step: &GreedyStep| {
                let top = step.top.iter().map(|(id, logit)| json!({ "id": id, "logit": logit }));
                json!({ "id": step.id, "top": top.collect::<Value>() })
            };
            print(&input, "steps", steps.iter().map(step).collect())
        }
        Eval::Tokens { model, text } => {
            let tokenizer = local::tokenizer(&locate(context, &model)?)?;
            let read = fs::read_to_string(&text);
            let read = read.map_err(|error| Error::new(Kind::Input, text.display(), error))?;
            output::finish(&format!("{}\n", json!({ "model": model, "ids": tokenizer.encode(&read)? })))
        }
    }
}

/// A path as it is; any other name through the hub.
fn locate(context: &Context, model: &str) -> Result<PathBuf> {
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
