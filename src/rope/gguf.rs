//! The settings as a GGUF file has them: keys below `{architecture}.rope.`, and tensors of divisors.

use super::{LongRope, Rope, Scaling, Yarn};

/// Where a GGUF file's settings are looked up; keys without the architecture's name.
pub trait GgufKeys {
    fn number(&self, key: &str) -> Option<f64>;
    fn string(&self, key: &str) -> Option<String>;
    /// A tensor's elements.
    fn tensor(&self, name: &str) -> Option<Vec<f64>>;
}

impl Rope {
    /// Of the layers that the file's own settings are about. `context` is the model's longest.
    pub fn of_gguf(keys: &dyn GgufKeys, head_dim: usize, context: usize) -> Result<Rope, String> {
        let rotary = keys.number("rope.dimension_count").map_or(head_dim, |dimension| dimension as usize);
        if rotary > head_dim {
            return Err(format!("rope: dimension {rotary} is above the head size {head_dim}"));
        }
        let theta = keys.number("rope.freq_base").unwrap_or(10_000.0);
        Rope::new(rotary, theta, scaling(keys, context)?)
    }
}

fn scaling(keys: &dyn GgufKeys, context: usize) -> Result<Scaling, String> {
    let kind = keys.string("rope.scaling.type");
    let divisors = keys.tensor("rope_freqs.weight");
    let sets = (keys.tensor("rope_factors_short.weight"), keys.tensor("rope_factors_long.weight"));
    let factor = keys.number("rope.scaling.factor").or_else(|| keys.number("rope.scale_linear"));
    let factor = factor.filter(|factor| *factor != 0.0);
    let kind = match (kind.as_deref(), &sets) {
        (Some(kind), _) => kind,
        (None, (None, None)) if factor.is_none_or(|factor| factor == 1.0) => "none",
        // Without a type a factor means linear scaling, as in llama.cpp.
        (None, (None, None)) => "linear",
        (None, _) => "longrope",
    };
    if divisors.is_some() && kind != "none" {
        return Err(format!("rope: type '{kind}' beside rope_freqs.weight"));
    }
    if kind != "longrope" && (sets.0.is_some() || sets.1.is_some()) {
        return Err(format!("rope: type '{kind}' beside rope_factors_short and rope_factors_long"));
    }
    if let Some(factor) = factor.filter(|factor| kind == "none" && *factor != 1.0) {
        return Err(format!("rope: type 'none' beside rope.scaling.factor {factor}"));
    }
    let required = |key: &str| keys.number(key).ok_or_else(|| format!("rope: type '{kind}' without {key}"));
    let factor = factor.ok_or_else(|| format!("rope: type '{kind}' without rope.scaling.factor"));
    Ok(match kind {
        "none" => divisors.map_or(Scaling::None, Scaling::Divisors),
        "linear" => Scaling::Linear { factor: factor? },
        "yarn" => Scaling::Yarn(yarn(keys, factor?, required("rope.scaling.original_context_length")?)?),
        "longrope" => {
            let (Some(short), Some(long)) = sets else {
                return Err("rope: type 'longrope' without rope_factors_short and rope_factors_long".into());
            };
            let original_context = required("rope.scaling.original_context_length")?;
            let attention_factor = keys
                .number("rope.scaling.attn_factor")
                .unwrap_or_else(|| LongRope::attention_factor(context as f64 / original_context, original_context));
            let (short_attention_factor, long_attention_factor) = (attention_factor, attention_factor);
            Scaling::LongRope(LongRope {
                short,
                long,
                original_context,
                short_attention_factor,
                long_attention_factor,
                start_tokens: 0,
            })
        }
        other => return Err(format!("rope: unknown rope type '{other}' (known: none, linear, yarn, longrope)")),
    })
}

/// The attention factor is that of llama.cpp: 0.1 ln(factor) + 1, divided by the same with the file's multiplier where
/// it has one (DeepSeek), times the file's own factor.
fn yarn(keys: &dyn GgufKeys, factor: f64, original_context: f64) -> Result<Yarn, String> {
    for key in ["rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor"] {
        // -1 stands for a setting that is not made.
        if let Some(value) = keys.number(key).filter(|value| *value != 1.0 && *value != -1.0) {
            return Err(format!("rope: {key} is {value}; only 1 is known"));
        }
    }
    let all = keys.number("rope.scaling.yarn_log_multiplier").filter(|value| *value != 0.0);
    let attention_factor = Yarn::mscale(factor, 1.0) / all.map_or(1.0, |all| Yarn::mscale(factor, all));
    let usual = Yarn::new(factor, original_context);
    Ok(Yarn {
        beta_fast: keys.number("rope.scaling.yarn_beta_fast").unwrap_or(usual.beta_fast),
        beta_slow: keys.number("rope.scaling.yarn_beta_slow").unwrap_or(usual.beta_slow),
        attention_factor: attention_factor * keys.number("rope.scaling.attn_factor").unwrap_or(1.0),
        ..usual
    })
}
