//! A GGUF file: its metadata become a [`Config`], its tensors get Hugging Face's names.

use super::{Checkpoint, Config, Family, TensorView};
use crate::{
    Error, Kind, Result,
    rope::{self, GgufKeys, Rope},
};
use candle_core::quantized::{
    GgmlDType,
    gguf_file::{Content, Value},
};
use ronbun_kernels::{
    Isa,
    blocks::{self, BlockType},
    elementwise::Pairing,
    mapping::Mapping,
};
use std::{collections::HashMap, io::Cursor, path::Path, sync::Arc};

/// A GGUF file's keys and values.
#[derive(Debug)]
pub struct Metadata(HashMap<String, Value>);

impl Metadata {
    /// Of the file at `path`, whatever tensors it holds.
    pub fn of_file(path: &Path) -> Result<Metadata> {
        read(path).map(|(_, content)| Metadata(content.metadata))
    }

    pub fn string(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_string().ok()).map(String::as_str)
    }

    /// Any integer type.
    pub fn integer(&self, key: &str) -> Option<u64> {
        Some(match self.0.get(key)? {
            Value::U8(n) => (*n).into(),
            Value::U16(n) => (*n).into(),
            Value::U32(n) => (*n).into(),
            Value::U64(n) => *n,
            Value::I8(n) => u64::try_from(*n).ok()?,
            Value::I16(n) => u64::try_from(*n).ok()?,
            Value::I32(n) => u64::try_from(*n).ok()?,
            Value::I64(n) => u64::try_from(*n).ok()?,
            _ => return None,
        })
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        match self.0.get(key)? {
            Value::F32(x) => Some(f64::from(*x)),
            Value::F64(x) => Some(*x),
            _ => self.integer(key).map(|n| n as f64),
        }
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.0.get(key).and_then(|value| value.to_bool().ok())
    }

    /// A list of strings.
    pub fn strings(&self, key: &str) -> Option<Vec<String>> {
        let Value::Array(list) = self.0.get(key)? else { return None };
        list.iter().map(|value| value.to_string().ok().cloned()).collect()
    }

    /// A list of numbers of any type.
    pub fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        let Value::Array(list) = self.0.get(key)? else { return None };
        list.iter()
            .map(|value| match value {
                Value::F32(x) => Some(f64::from(*x)),
                Value::F64(x) => Some(*x),
                Value::I32(n) => Some(f64::from(*n)),
                Value::U32(n) => Some(f64::from(*n)),
                Value::I8(n) => Some(f64::from(*n)),
                Value::U8(n) => Some(f64::from(*n)),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let name = path.display().to_string();
    let fail = |problem: String| Error::new(Kind::Model, &name, problem);
    let (file, content) = read(path)?;
    let tensors = tensors(&content, &file).map_err(|problem| fail(problem).hint("fetch the file again"))?;
    let metadata = Metadata(content.metadata);
    let config = config(&metadata, &tensors).map_err(|problem| match problem.starts_with("rope") {
        true => rope::model_error(&name, problem),
        false => fail(problem),
    })?;
    Ok(Checkpoint { name, config, tensors, metadata: Some(metadata) })
}

/// The file, and its header parsed.
fn read(path: &Path) -> Result<(Arc<Mapping>, Content)> {
    let fail = |problem: String| Error::new(Kind::Model, path.display(), problem);
    let file = super::map(path)?;
    if !file.starts_with(b"GGUF") {
        let found = file[..file.len().min(4)].escape_ascii();
        return Err(fail(format!("is not a GGUF file (it begins with '{found}')")).hint(
            "--model takes a GGUF file, a folder with config.json and safetensors, a hub repository, or an id of `ronbun models list`",
        ));
    }
    if alignment_is_zero(&file) {
        return Err(fail("cannot be read as GGUF: its alignment is 0".into()).hint("fetch the file again"));
    }
    let content = Content::read(&mut Cursor::new(&file[..])).map_err(|error| {
        fail(format!("cannot be read as GGUF: {}", first_line(&error))).hint(
            "the file is cut short or damaged, or holds a tensor type that is not known (F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K are)",
        )
    })?;
    Ok((file, content))
}

/// Whether the header sets `general.alignment` to 0, by which candle would divide.
fn alignment_is_zero(file: &[u8]) -> bool {
    const KEY: &[u8] = b"general.alignment";
    let header = &file[..file.len().min(1 << 26)];
    let at = header.windows(KEY.len()).position(|window| window == KEY);
    // After the key comes the value's type (four bytes), then the value, little-endian.
    let value = at.and_then(|at| header.get(at + KEY.len() + 4..at + KEY.len() + 8));
    value == Some(&[0; 4])
}

/// candle's errors carry a backtrace after the first line.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

fn tensors(content: &Content, file: &Arc<Mapping>) -> Result<HashMap<String, TensorView>, String> {
    let mut tensors = HashMap::new();
    for (name, info) in &content.tensor_infos {
        let kind = block_type(info.ggml_dtype)
            .ok_or_else(|| format!("tensor {name} is of unknown type {:?}", info.ggml_dtype))?;
        let shape = info.shape.dims().to_vec();
        let count = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).ok_or("a tensor's shape overflows")?;
        if !shape.last().unwrap_or(&0).is_multiple_of(kind.elements()) {
            return Err(format!("tensor {name}: rows of {shape:?} are not whole blocks of {kind:?}"));
        }
        let start = content.tensor_data_offset.checked_add(info.offset).ok_or("a tensor's offset overflows")?;
        let bytes = kind.checked_size_of(count).ok_or("a tensor's size overflows")?;
        let end = start.checked_add(bytes as u64).ok_or("a tensor's offset overflows")?;
        if end > file.len() as u64 {
            return Err(format!("cut short: tensor {name} ends at byte {end}, the file at {}", file.len()));
        }
        let view = TensorView { file: file.clone(), range: start as usize..end as usize, kind, shape };
        tensors.insert(hugging_face_name(name), view);
    }
    Ok(tensors)
}

fn block_type(kind: GgmlDType) -> Option<BlockType> {
    Some(match kind {
        GgmlDType::F32 => BlockType::F32,
        GgmlDType::F16 => BlockType::F16,
        GgmlDType::BF16 => BlockType::BF16,
        GgmlDType::Q4_0 => BlockType::Q4_0,
        GgmlDType::Q4_1 => BlockType::Q4_1,
        GgmlDType::Q5_0 => BlockType::Q5_0,
        GgmlDType::Q5_1 => BlockType::Q5_1,
        GgmlDType::Q8_0 => BlockType::Q8_0,
        GgmlDType::Q2K => BlockType::Q2K,
        GgmlDType::Q3K => BlockType::Q3K,
        GgmlDType::Q4K => BlockType::Q4K,
        GgmlDType::Q5K => BlockType::Q5K,
        GgmlDType::Q6K => BlockType::Q6K,
        _ => return None,
    })
}

/// `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; names that have no counterpart stay.
fn hugging_face_name(name: &str) -> String {
    let parts = [
        ("attn_norm", "input_layernorm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    let whole = [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ];
    if let Some((_, renamed)) = whole.iter().find(|(from, _)| *from == name) {
        return renamed.to_string();
    }
    let layer = name.strip_prefix("blk.").and_then(|rest| {
        let (number, rest) = rest.split_once('.')?;
        let (part, suffix) = rest.split_once('.')?;
        let (_, renamed) = parts.iter().find(|(from, _)| *from == part)?;
        Some(format!("model.layers.{number}.{renamed}.{suffix}"))
    });
    layer.unwrap_or_else(|| name.to_string())
}

/// What a file says below its architecture's name, and its tensors.
struct Keys<'a> {
    arch: &'a str,
    metadata: &'a Metadata,
    tensors: &'a HashMap<String, TensorView>,
}

impl GgufKeys for Keys<'_> {
    fn number(&self, key: &str) -> Option<f64> {
        self.metadata.number(&format!("{}.{key}", self.arch))
    }

    fn string(&self, key: &str) -> Option<String> {
        self.metadata.string(&format!("{}.{key}", self.arch)).map(str::to_string)
    }

    fn tensor(&self, name: &str) -> Option<Vec<f64>> {
        let tensor = self.tensors.get(name)?;
        let mut values = vec![0f32; tensor.shape.iter().product()];
        blocks::dequantize(Isa::current(), tensor.kind, tensor.bytes(), &mut values);
        Some(values.into_iter().map(f64::from).collect())
    }
}

fn config(metadata: &Metadata, tensors: &HashMap<String, TensorView>) -> Result<Config, String> {
    let arch = metadata.string("general.architecture").ok_or("has no general.architecture")?;
    let family = Family::from_name(arch)
        .ok_or_else(|| format!("unknown architecture '{arch}' (this version runs {})", Family::KNOWN))?;
    let key = |name: &str| format!("{arch}.{name}");
    let count = |name: &str| metadata.integer(&key(name)).map(|n| n as usize);
    let required = |name: &str| count(name).ok_or_else(|| format!("has no {}", key(name)));
    if metadata.integer("split.count").unwrap_or(1) > 1 {
        return Err("is one part of a split model; join the parts first (llama.cpp's gguf-split --merge)".into());
    }
    if count("expert_count").unwrap_or(0) > 0 {
        return Err(format!("is a mixture of experts ({}), which this version cannot run", key("expert_count")));
    }
    let heads = required("attention.head_count")?;
    let hidden_size = required("embedding_length")?;
    let head_dim = count("attention.key_length").unwrap_or(hidden_size / heads.max(1));
    let context_length = required("context_length")?;
    let vocab_size = tensors.get("model.embed_tokens.weight").and_then(|t| t.shape.first().copied());
    let config = Config {
        family,
        vocab_size: vocab_size.ok_or("has no token_embd.weight")?,
        hidden_size,
        intermediate_size: required("feed_forward_length")?,
        num_hidden_layers: required("block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: count("attention.head_count_kv").unwrap_or(heads),
        head_dim,
        rms_norm_eps: metadata
            .number(&key("attention.layer_norm_rms_epsilon"))
            .ok_or_else(|| format!("has no {}", key("attention.layer_norm_rms_epsilon")))?,
        context_length,
        rope: Rope::of_gguf(&Keys { arch, metadata, tensors }, head_dim, context_length)?,
        tied: None,
        // The converter permutes the rows of llama's Q and K.
        pairing: if family == Family::Llama { Pairing::Interleaved } else { Pairing::HalfSplit },
        eos_token_ids: ["eos", "eot", "eom"]
            .iter()
            .filter_map(|name| metadata.integer(&format!("tokenizer.ggml.{name}_token_id")))
            .map(|id| id as u32)
            .collect(),
    };
    config.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_get_the_names_of_hugging_face() {
        assert_eq!(hugging_face_name("token_embd.weight"), "model.embed_tokens.weight");
        assert_eq!(hugging_face_name("blk.12.attn_output.weight"), "model.layers.12.self_attn.o_proj.weight");
        assert_eq!(hugging_face_name("blk.0.attn_k.bias"), "model.layers.0.self_attn.k_proj.bias");
        assert_eq!(hugging_face_name("rope_freqs.weight"), "rope_freqs.weight");
        assert_eq!(hugging_face_name("blk.0.unheard_of.weight"), "blk.0.unheard_of.weight");
    }
}
