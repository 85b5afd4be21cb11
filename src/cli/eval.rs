//! `ronbun eval`: token ids in, logits or token ids out, so that the engine can be compared with others without a
//! tokenizer between them.

use super::args::{Eval, EvalInput};
use super::context::Context;
use super::{engine, output};
use crate::Result;
use crate::hub::Weights;
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(context: &Context, command: Eval) -> Result<()> {
    match command {
        Eval::Logits(input) => {
            let logits = engine::logits(&locate(context, &input.model)?, &input.ids, input.chunk)?;
            print(&input, "logits", json!(logits))
        }
        Eval::Greedy { input, tokens } => {
            let steps = engine::greedy(&locate(context, &input.model)?, &input.ids, tokens, input.chunk)?;
            print(&input, "steps", json!(steps))
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
