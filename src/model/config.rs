//! A decoder's shape, read from config.json or from a GGUF file's metadata.

use crate::rope::{Rope, Subject};
use ronbun_kernels::elementwise::Pairing;
use serde_json::Value;

/// Architectures that the decoder stack runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
}

impl Family {
    /// By the name that checkpoints use (`model_type`, `general.architecture`).
    pub fn from_name(name: &str) -> Option<Family> {
        match name {
            "llama" => Some(Family::Llama),
            "qwen2" => Some(Family::Qwen2),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
        }
    }

    /// The families' names, for messages.
    pub const KNOWN: &str = "llama, qwen2";
}

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub family: Family,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub rms_norm_eps: f64,
    /// The most tokens that the model was made for.
    pub context_length: usize,
    pub rope: Rope,
    pub pairing: Pairing,
    /// Whether the head is the embedding; unknown of a GGUF file, where the tensors tell.
    pub tied: Option<bool>,
    /// Token ids that end an answer.
    pub eos_token_ids: Vec<u32>,
}

impl Config {
    /// From a config.json of transformers 4 or 5. Errors say which setting is wrong.
    pub fn from_json(json: &Value) -> Result<Config, String> {
        let count = |key: &str| {
            let value = json.get(key).ok_or_else(|| format!("config.json has no {key}"))?;
            value.as_u64().map(|n| n as usize).ok_or_else(|| format!("config.json: {key} is {value}, not a number"))
        };
        let optional = |key: &str| json.get(key).filter(|v| !v.is_null());
        let name = optional("model_type").and_then(Value::as_str).ok_or("config.json has no model_type")?;
        let family = Family::from_name(name)
            .ok_or_else(|| format!("unknown architecture '{name}' (this version runs {})", Family::KNOWN))?;
        if let Some(act) = optional("hidden_act").filter(|act| *act != "silu") {
            return Err(format!("config.json: hidden_act is {act}; only silu is known"));
        }
        if optional("use_sliding_window").is_some_and(|v| *v == true) {
            return Err("config.json: use_sliding_window is on, which this version cannot do".into());
        }
        let heads = count("num_attention_heads")?;
        let hidden_size = count("hidden_size")?;
        let head_dim = match optional("head_dim") {
            Some(_) => count("head_dim")?,
            None => hidden_size / heads.max(1),
        };
        let subject =
            Subject { layer_type: "full_attention", theta_key: "rope_theta", default_theta: 10_000.0, head_dim };
        let config = Config {
            family,
            vocab_size: count("vocab_size")?,
            hidden_size,
            intermediate_size: count("intermediate_size")?,
            num_hidden_layers: count("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: optional("num_key_value_heads").map_or(Ok(heads), |_| count("num_key_value_heads"))?,
            head_dim,
            rms_norm_eps: optional("rms_norm_eps").and_then(Value::as_f64).unwrap_or(1e-6),
            context_length: count("max_position_embeddings")?,
            rope: Rope::of_config(json, subject)?,
            pairing: Pairing::HalfSplit,
            tied: Some(optional("tie_word_embeddings").is_some_and(|tied| *tied == true)),
            eos_token_ids: ids(optional("eos_token_id")),
        };
        config.check()
    }

    /// Shapes that no decoder has are refused here, so that later code can rely on them.
    pub fn check(self) -> Result<Config, String> {
        let sizes = [
            ("vocabulary", self.vocab_size),
            ("hidden size", self.hidden_size),
            ("intermediate size", self.intermediate_size),
            ("number of layers", self.num_hidden_layers),
            ("number of heads", self.num_attention_heads),
            ("number of key-value heads", self.num_key_value_heads),
            ("head size", self.head_dim),
            ("context length", self.context_length),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| *size == 0 || *size > 1 << 24) {
            return Err(format!("{name} is {size}"));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(format!(
                "{} heads do not share {} key-value heads evenly",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(format!("rms_norm_eps is {}", self.rms_norm_eps));
        }
        Ok(self)
    }
}

/// `eos_token_id` is a number or a list of them.
pub(super) fn ids(value: Option<&Value>) -> Vec<u32> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).map(|id| id as u32).collect(),
        Some(value) => value.as_u64().map(|id| id as u32).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Value {
        json!({
            "model_type": "llama", "vocab_size": 32, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "eos_token_id": [1, 2]
        })
    }

    #[test]
    fn reads_what_is_there() {
        let config = Config::from_json(&config()).unwrap();
        assert_eq!((config.head_dim, config.eos_token_ids.as_slice()), (16, &[1, 2][..]));
    }

    #[test]
    fn refuses_what_it_cannot_run() {
        for (key, value, problem) in [
            ("model_type", json!("mamba"), "unknown architecture 'mamba'"),
            ("vocab_size", Value::Null, "vocab_size is null"),
            ("num_key_value_heads", json!(3), "do not share"),
            ("rope_scaling", json!({"rope_type": "spiral"}), "unknown rope type 'spiral'"),
            ("hidden_act", json!("gelu"), "hidden_act"),
            ("num_hidden_layers", json!(0), "number of layers is 0"),
            ("rms_norm_eps", json!(-1.0), "rms_norm_eps"),
        ] {
            let mut json = config();
            json[key] = value;
            let error = Config::from_json(&json).unwrap_err();
            assert!(error.contains(problem), "{key}: {error}");
        }
    }
}
