//! A folder of safetensors with its config.json, as Hugging Face lays it out.

use super::{Checkpoint, Config, Family, TensorView, config, fused};
use crate::{Error, Kind, Result, rope};
use ::safetensors::{Dtype, SafeTensors};
use ronbun_kernels::blocks::BlockType;
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

pub(super) fn open(folder: &Path) -> Result<Checkpoint> {
    let name = folder.display().to_string();
    let json = read_json(&folder.join("config.json"))?;
    let mut config = Config::from_json(&json).map_err(|problem| match problem.starts_with("rope") {
        true => rope::model_error(&name, problem),
        false => Error::new(Kind::Model, &name, problem),
    })?;
    let generation = folder.join("generation_config.json");
    if generation.exists() {
        config.eos_token_ids.extend(config::ids(read_json(&generation)?.get("eos_token_id")));
        config.eos_token_ids.sort_unstable();
        config.eos_token_ids.dedup();
    }
    let mut tensors = HashMap::new();
    for file in weight_files(folder)? {
        read_tensors(&file, &mut tensors)?;
    }
    match config.family {
        Family::Gemma3 => tensors = text_part(tensors),
        Family::Lfm2 => tensors = tensors.into_iter().map(|(name, view)| (renamed(&name), view)).collect(),
        _ => (),
    }
    let damaged = |problem| Error::new(Kind::Model, &name, problem).hint("the file is no model of its family");
    fused::split(&config, &mut tensors).map_err(damaged)?;
    Ok(Checkpoint { name, config, tensors, metadata: None })
}

/// A model that also sees pictures has the text's tensors below a name of their own; the others are left out.
fn text_part(tensors: HashMap<String, TensorView>) -> HashMap<String, TensorView> {
    let text = |name: &str| {
        let below_model = name.strip_prefix("model.language_model.").map(|rest| format!("model.{rest}"));
        below_model.or_else(|| name.strip_prefix("language_model.").map(str::to_string))
    };
    if !tensors.keys().any(|name| text(name).is_some()) {
        return tensors;
    }
    let head = |name: &str| (name == "lm_head.weight").then(|| name.to_string());
    tensors.into_iter().filter_map(|(name, view)| Some((text(&name).or_else(|| head(&name))?, view))).collect()
}

/// What LFM2 calls otherwise than the other families do.
const LFM2_NAMES: [(&str, &str); 9] = [
    ("model.embedding_norm.", "model.norm."),
    (".operator_norm.", ".input_layernorm."),
    (".ffn_norm.", ".post_attention_layernorm."),
    (".self_attn.q_layernorm.", ".self_attn.q_norm."),
    (".self_attn.k_layernorm.", ".self_attn.k_norm."),
    (".self_attn.out_proj.", ".self_attn.o_proj."),
    (".feed_forward.w1.", ".mlp.gate_proj."),
    (".feed_forward.w2.", ".mlp.down_proj."),
    (".feed_forward.w3.", ".mlp.up_proj."),
];

fn renamed(name: &str) -> String {
    let found = LFM2_NAMES.iter().find(|(theirs, _)| name.contains(theirs));
    found.map_or_else(|| name.to_string(), |(theirs, ours)| name.replacen(theirs, ours, 1))
}

/// model.safetensors, or what model.safetensors.index.json names.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec![folder.join("model.safetensors")]);
    }
    let json = read_json(&index)?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| Error::new(Kind::Model, index.display(), "has no weight_map"))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    if let Some(bad) = names.iter().find(|name| Path::new(name).file_name().is_none_or(|file| file != **name)) {
        return Err(Error::new(Kind::Model, index.display(), format!("names a file outside its folder: {bad}")));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).map_err(|error| Error::new(Kind::Model, path.display(), error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(Kind::Model, path.display(), format!("is not JSON: {error}")))
}

fn read_tensors(path: &Path, tensors: &mut HashMap<String, TensorView>) -> Result<()> {
    let fail = |problem: String| {
        Error::new(Kind::Model, path.display(), problem).hint("the file is damaged or cut short; fetch it again")
    };
    let file = super::map(path)?;
    let parsed =
        SafeTensors::deserialize(&file).map_err(|error| fail(format!("is no valid safetensors file: {error}")))?;
    let base = file.as_ptr() as usize;
    for (name, view) in parsed.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => BlockType::F32,
            Dtype::F16 => BlockType::F16,
            Dtype::BF16 => BlockType::BF16,
            // A buffer that no decoder takes may be of any type.
            _ if !name.ends_with(".weight") && !name.ends_with(".bias") => continue,
            other => return Err(fail(format!("tensor {name} is of type {other:?}; known are F32, F16 and BF16"))),
        };
        let start = view.data().as_ptr() as usize - base;
        let range = start..start + view.data().len();
        tensors.insert(name.to_string(), TensorView { file: file.clone(), range, kind, shape: view.shape().to_vec() });
    }
    Ok(())
}
