//! config.json of transformers 4 and 5. What it leaves out is what transformers takes for it.

use super::{Activation, Config, LayerKind, MOST_LAYERS};
use crate::{
    model::Family,
    rope::{Rope, Subject},
};
use ronbun_kernels::elementwise::Pairing;
use serde_json::Value;

impl Config {
    /// Errors say which setting is wrong.
    pub fn from_json(json: &Value) -> Result<Config, String> {
        let name = json.get("model_type").and_then(Value::as_str).ok_or("config.json has no model_type")?;
        let family = Family::from_name(name)
            .ok_or_else(|| format!("unknown architecture '{name}' (this version runs {})", Family::KNOWN))?;
        // A model that also sees pictures keeps what is about text in a part of its own.
        let text = json.get("text_config").filter(|text| text.is_object());
        let settings = Settings { json: text.unwrap_or(json), family };
        let eos = settings.optional("eos_token_id").or_else(|| json.get("eos_token_id"));
        settings.config(ids(eos))
    }
}

struct Settings<'a> {
    json: &'a Value,
    family: Family,
}

impl<'a> Settings<'a> {
    fn config(&self, eos_token_ids: Vec<u32>) -> Result<Config, String> {
        let family = self.family;
        let gemma = family == Family::Gemma3;
        self.refuse_unknown()?;
        let heads = self.count_or("num_attention_heads", gemma.then_some(8))?;
        let hidden_size = self.count("hidden_size")?;
        let head_dim = match family {
            Family::Gemma3 => 256,
            Family::Qwen3 => 128,
            _ => hidden_size / heads.max(1),
        };
        let head_dim = self.count_or("head_dim", Some(head_dim))?;
        let num_hidden_layers = self.count("num_hidden_layers")?;
        let (eps, default_eps) = match family {
            Family::Lfm2 => ("norm_eps", 1e-5),
            Family::Phi3 => ("rms_norm_eps", 1e-5),
            _ => ("rms_norm_eps", 1e-6),
        };
        let own_word = self.optional("tie_embedding").filter(|_| family == Family::Lfm2);
        let tied = own_word.or_else(|| self.optional("tie_word_embeddings"));
        let scores = self.number("query_pre_attn_scalar")?.filter(|_| gemma);
        Config {
            family,
            vocab_size: self.count_or("vocab_size", gemma.then_some(262_208))?,
            hidden_size,
            intermediate_size: self.intermediate_size()?,
            num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: self.count_or("num_key_value_heads", Some(if gemma { 4 } else { heads }))?,
            head_dim,
            rms_norm_eps: self.number(eps)?.unwrap_or(default_eps),
            norm_offset: if gemma { 1.0 } else { 0.0 },
            activation: self.activation()?,
            attention_scale: scores.unwrap_or(if gemma { 256.0 } else { head_dim as f64 }).powf(-0.5),
            embedding_scale: if gemma { (hidden_size as f64).sqrt() } else { 1.0 },
            logit_softcap: self.number("final_logit_softcapping")?.filter(|_| gemma),
            context_length: self.count_or("max_position_embeddings", gemma.then_some(131_072))?,
            ropes: self.ropes(head_dim)?,
            layers: self.layers(num_hidden_layers)?,
            pairing: Pairing::HalfSplit,
            tied: Some(match tied {
                Some(tied) => *tied == true,
                None => family.tied_by_default(),
            }),
            eos_token_ids,
        }
        .check()
    }

    /// Settings that change what is computed, in ways that the decoder does not know.
    fn refuse_unknown(&self) -> Result<(), String> {
        let refused = [
            ("attn_logit_softcapping", "scores are not capped here"),
            ("use_bidirectional_attention", "only what stands before a token is seen here"),
        ];
        for (key, why) in refused {
            if let Some(value) = self.optional(key).filter(|value| **value != false) {
                return Err(format!("config.json: {key} is {value}; {why}"));
            }
        }
        Ok(())
    }

    /// LFM2 gives a size that is then adjusted, under a name of its own.
    fn intermediate_size(&self) -> Result<usize, String> {
        let lfm2 = self.family == Family::Lfm2;
        let own = lfm2 && self.optional("block_ff_dim").is_some();
        let size = self.count(if own { "block_ff_dim" } else { "intermediate_size" })?;
        if !lfm2 || self.optional("block_auto_adjust_ff_dim").is_some_and(|adjusted| *adjusted == false) {
            return Ok(size);
        }
        let factor = self.number("block_ffn_dim_multiplier")?.unwrap_or(1.0);
        let multiple = self.count_or("block_multiple_of", Some(256))?.max(1);
        let size = (factor * (size.saturating_mul(2) / 3) as f64) as usize;
        size.checked_next_multiple_of(multiple).ok_or_else(|| format!("intermediate size is {size}"))
    }

    fn activation(&self) -> Result<Activation, String> {
        let given = ["hidden_activation", "hidden_act"].iter().find_map(|key| self.optional(key));
        match given.map(|name| name.as_str().unwrap_or_default()) {
            None if self.family == Family::Gemma3 => Ok(Activation::GeluTanh),
            None | Some("silu") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some(other) => {
                Err(format!("config.json: hidden_act is \"{other}\"; only silu and gelu_pytorch_tanh are known"))
            }
        }
    }

    /// One for all layers; in Gemma 3 another for those with a window.
    fn ropes(&self, head_dim: usize) -> Result<Vec<Rope>, String> {
        let of = |layer_type, theta_key, default_theta| {
            Rope::of_config(self.json, Subject { layer_type, theta_key, default_theta, head_dim })
        };
        let mut ropes = vec![of("full_attention", "rope_theta", self.family.default_theta())?];
        if self.family == Family::Gemma3 {
            ropes.push(of("sliding_attention", "rope_local_base_freq", 10_000.0)?);
        }
        Ok(ropes)
    }

    fn layers(&self, count: usize) -> Result<Vec<LayerKind>, String> {
        let family = self.family;
        if family == Family::Lfm2 {
            return self.attending_or_convolving(count);
        }
        let window = self.window()?;
        let rotated = self.list("no_rope_layers", count, |value| value.as_u64().map(|rotated| rotated != 0))?;
        let without_rope = self.count_or("no_rope_layer_interval", Some(4))?.max(1);
        let slides = self.list("layer_types", count, |value| match value.as_str()? {
            "full_attention" => Some(false),
            "sliding_attention" => Some(true),
            _ => None,
        })?;
        let pattern = self.count_or("sliding_window_pattern", Some(6))?.max(1);
        let first = self.count_or("max_window_layers", Some(28))?;
        let kind = |number: usize| {
            let every = |period: usize| (number + 1).is_multiple_of(period);
            let rotated = rotated.as_ref().map_or(!every(without_rope), |rotated| rotated[number]);
            let listed = slides.as_ref().map(|slides| slides[number]);
            let slides = match family {
                Family::Llama => false,
                Family::Mistral | Family::Phi3 => true,
                Family::Qwen2 | Family::Qwen3 => listed.unwrap_or(number >= first),
                Family::Gemma3 => listed.unwrap_or(!every(pattern)),
                Family::SmolLm3 => listed.unwrap_or(!rotated),
                Family::Lfm2 => false,
            };
            let rope = match family {
                Family::Gemma3 => Some(usize::from(slides)),
                Family::SmolLm3 => rotated.then_some(0),
                _ => Some(0),
            };
            LayerKind { window: window.filter(|_| slides), rope, convolution: None }
        };
        Ok((0..count.min(MOST_LAYERS)).map(kind).collect())
    }

    /// LFM2's layers, by a list of their kinds or of the numbers of those that attend; else all attend.
    fn attending_or_convolving(&self, count: usize) -> Result<Vec<LayerKind>, String> {
        let length = self.count_or("conv_L_cache", Some(3))?;
        let listed = self.list("layer_types", count, |value| match value.as_str()? {
            "full_attention" => Some(true),
            "conv" => Some(false),
            _ => None,
        })?;
        let numbers = self.optional("full_attn_idxs");
        let numbers =
            numbers.map(|list| list.as_array().ok_or(format!("config.json: full_attn_idxs is {list}, no list")));
        let numbers = numbers.transpose()?;
        let kind = |number: usize| {
            let numbered = || numbers.is_none_or(|numbers| numbers.iter().any(|value| *value == number));
            match listed.as_ref().map_or_else(numbered, |listed| listed[number]) {
                true => LayerKind { window: None, rope: Some(0), convolution: None },
                false => LayerKind { window: None, rope: None, convolution: Some(length) },
            }
        };
        Ok((0..count.min(MOST_LAYERS)).map(kind).collect())
    }

    /// How far back the layers see that have a window.
    fn window(&self) -> Result<Option<usize>, String> {
        let wanted = match self.family {
            Family::Llama | Family::Lfm2 => false,
            Family::Mistral | Family::Phi3 | Family::Gemma3 => true,
            Family::Qwen2 | Family::Qwen3 | Family::SmolLm3 => {
                self.optional("use_sliding_window").is_some_and(|wanted| *wanted == true)
            }
        };
        match self.json.get("sliding_window") {
            _ if !wanted => Ok(None),
            Some(Value::Null) => Ok(None),
            None if matches!(self.family, Family::Phi3 | Family::SmolLm3) => Ok(None),
            None => Ok(Some(4096)),
            Some(_) => self.count("sliding_window").map(Some),
        }
    }

    fn optional(&self, key: &str) -> Option<&'a Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn count(&self, key: &str) -> Result<usize, String> {
        let value = self.json.get(key).ok_or_else(|| format!("config.json has no {key}"))?;
        value.as_u64().map(|n| n as usize).ok_or_else(|| format!("config.json: {key} is {value}, not a number"))
    }

    fn count_or(&self, key: &str, default: Option<usize>) -> Result<usize, String> {
        match (self.optional(key), default) {
            (None, Some(default)) => Ok(default),
            _ => self.count(key),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.optional(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| format!("config.json: {key} is {value}, not a number"))
    }

    /// One entry for each layer.
    fn list<T>(&self, key: &str, layers: usize, of: impl Fn(&Value) -> Option<T>) -> Result<Option<Vec<T>>, String> {
        let Some(value) = self.optional(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| format!("config.json: {key} is no list"))?;
        if list.len() < layers {
            return Err(format!("config.json: {key} has {} entries for {layers} layers", list.len()));
        }
        let entry = |value| of(value).ok_or_else(|| format!("config.json: {key} holds {value}, which is not known"));
        list[..layers].iter().map(entry).collect::<Result<_, _>>().map(Some)
    }
}

/// `eos_token_id` is a number or a list of them.
pub fn ids(value: Option<&Value>) -> Vec<u32> {
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

    fn config(family: &str) -> Value {
        json!({
            "model_type": family, "vocab_size": 32, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "eos_token_id": [1, 2]
        })
    }

    fn with(family: &str, changes: Value) -> Result<Config, String> {
        let mut json = config(family);
        changes.as_object().unwrap().iter().for_each(|(key, value)| json[key] = value.clone());
        Config::from_json(&json)
    }

    #[test]
    fn reads_what_is_there() {
        let config = Config::from_json(&config("llama")).unwrap();
        assert_eq!((config.head_dim, config.eos_token_ids.as_slice()), (16, &[1, 2][..]));
        assert_eq!((config.attention_scale, config.tied), (0.25, Some(false)));
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
            ("attn_logit_softcapping", json!(50.0), "attn_logit_softcapping is 50.0"),
            ("layer_types", json!(["full_attention"]), "layer_types has 1 entries for 2 layers"),
            ("layer_types", json!(["full_attention", "chunked_attention"]), "holds \"chunked_attention\""),
        ] {
            let error = with("qwen2", json!({ key: value })).unwrap_err();
            assert!(error.contains(problem), "{key}: {error}");
        }
        assert!(with("mistral", json!({ "sliding_window": 0 })).unwrap_err().contains("window of layer 0 is 0"));
    }

    fn windows(family: &str, changes: Value) -> Vec<Option<usize>> {
        with(family, changes).unwrap().layers.iter().map(|layer| layer.window).collect()
    }

    #[test]
    fn windows_of_layers() {
        assert_eq!(windows("llama", json!({ "sliding_window": 8 })), [None, None]);
        assert_eq!(windows("mistral", json!({})), [Some(4096), Some(4096)]);
        assert_eq!(windows("mistral", json!({ "sliding_window": null })), [None, None]);
        assert_eq!(windows("phi3", json!({})), [None, None]);
        assert_eq!(windows("phi3", json!({ "sliding_window": 8 })), [Some(8), Some(8)]);
        assert_eq!(windows("qwen2", json!({ "sliding_window": 8, "max_window_layers": 1 })), [None, None]);
        let used = json!({ "sliding_window": 8, "max_window_layers": 1, "use_sliding_window": true });
        assert_eq!(windows("qwen3", used), [None, Some(8)]);
        let listed = json!({ "sliding_window": 8, "use_sliding_window": true,
            "layer_types": ["sliding_attention", "full_attention"] });
        assert_eq!(windows("qwen3", listed), [Some(8), None]);
        assert_eq!(windows("gemma3_text", json!({ "sliding_window_pattern": 2 })), [Some(4096), None]);
    }

    #[test]
    fn ropes_of_layers() {
        let ropes = |config: Config| config.layers.iter().map(|layer| layer.rope).collect::<Vec<_>>();
        assert_eq!(ropes(with("smollm3", json!({ "no_rope_layer_interval": 2 })).unwrap()), [Some(0), None]);
        assert_eq!(ropes(with("smollm3", json!({ "no_rope_layers": [0, 1] })).unwrap()), [None, Some(0)]);
        let gemma = with(
            "gemma3_text",
            json!({ "sliding_window_pattern": 2, "rope_scaling":
            { "rope_type": "linear", "factor": 8.0 } }),
        )
        .unwrap();
        assert_eq!(gemma.ropes.iter().map(|rope| rope.theta).collect::<Vec<_>>(), [1e6, 1e4]);
        assert_eq!(gemma.ropes[1].scaling, crate::rope::Scaling::None);
        assert_eq!(ropes(gemma), [Some(1), Some(0)]);
    }

    #[test]
    fn layers_of_lfm2_attend_or_convolve() {
        let kinds = |changes: Value| {
            let layers = with("lfm2", changes).unwrap().layers;
            layers.iter().map(|layer| (layer.rope, layer.convolution)).collect::<Vec<_>>()
        };
        let (attends, convolves) = ((Some(0), None), (None, Some(3)));
        assert_eq!(kinds(json!({})), [attends, attends]);
        assert_eq!(kinds(json!({ "full_attn_idxs": [1] })), [convolves, attends]);
        let listed = json!({ "layer_types": ["full_attention", "conv"], "full_attn_idxs": [1], "conv_L_cache": 5 });
        assert_eq!(kinds(listed), [attends, (None, Some(5))]);
        for (changes, problem) in [
            (json!({ "full_attn_idxs": 1 }), "full_attn_idxs is 1, no list"),
            (json!({ "full_attn_idxs": [] }), "no layer attends"),
            (json!({ "full_attn_idxs": [1], "conv_L_cache": 0 }), "over 0 tokens"),
            (json!({ "layer_types": ["conv", "sliding_attention"] }), "holds \"sliding_attention\""),
            (json!({ "block_ff_dim": u64::MAX }), "intermediate size is"),
        ] {
            let error = with("lfm2", changes).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert!(with("llama", json!({ "layer_types": ["conv", "conv"] })).unwrap_err().contains("holds \"conv\""));
    }

    #[test]
    fn published_configurations_load() {
        // Gemma 3 4B, whose text part leaves most to the defaults.
        let gemma = json!({ "model_type": "gemma3", "eos_token_id": [1, 106], "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
            "rope_scaling": { "factor": 8.0, "rope_type": "linear" }, "sliding_window": 1024 } });
        let gemma = Config::from_json(&gemma).unwrap();
        assert_eq!((gemma.num_attention_heads, gemma.num_key_value_heads, gemma.head_dim), (8, 4, 256));
        assert_eq!((gemma.tied, gemma.eos_token_ids.as_slice()), (Some(true), &[1, 106][..]));
        assert_eq!((gemma.layers[4].window, gemma.layers[5].window), (Some(1024), None));
        let llama_3_1 = json!({ "max_position_embeddings": 131_072, "rope_theta": 500_000.0, "rope_scaling": {
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
            "rope_type": "llama3" } });
        assert!(with("llama", llama_3_1).is_ok());
        let phi_4_mini = json!({ "head_dim": 128, "partial_rotary_factor": 0.75, "sliding_window": 262_144,
            "max_position_embeddings": 131_072, "original_max_position_embeddings": 4096, "rope_scaling":
            { "long_factor": vec![1.0; 48], "short_factor": vec![1.0; 48], "type": "longrope" } });
        assert_eq!(with("phi3", phi_4_mini).unwrap().ropes[0].rotary_dim, 96);
        let lfm2_1_2b = json!({ "model_type": "lfm2", "block_auto_adjust_ff_dim": true, "block_ff_dim": 12288,
            "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256, "conv_L_cache": 3, "conv_bias": false,
            "full_attn_idxs": [2, 5, 8, 10, 12, 14], "hidden_size": 2048, "max_position_embeddings": 128_000,
            "norm_eps": 1e-5, "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
            "rope_theta": 1_000_000.0, "vocab_size": 65_536, "eos_token_id": 7 });
        let lfm2 = Config::from_json(&lfm2_1_2b).unwrap();
        assert_eq!((lfm2.intermediate_size, lfm2.attending(), lfm2.rms_norm_eps), (8192, 6, 1e-5));
        assert_eq!((lfm2.tied, lfm2.ropes[0].theta, lfm2.head_dim), (Some(true), 1e6, 64));
    }
}
