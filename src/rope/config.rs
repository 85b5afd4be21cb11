//! The settings as config.json has them: `rope_scaling` beside `rope_theta` (transformers 4), `rope_parameters` (5),
//! and either of them for each type of layer. What is unknown, or said twice and differently, is an error.

use super::{LongRope, Rope, Scaling, Yarn};
use serde_json::{Map, Value};

/// The types, for messages.
pub const KNOWN: &str = "default, linear, dynamic, yarn, llama3, longrope (su) and proportional";

/// Keys that may stand beside any type.
const COMMON: [&str; 6] =
    ["rope_type", "type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings", "finetuned"];
const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

/// Whose settings are read from a config.json.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `full_attention` or `sliding_attention`, where settings are kept by type of layer.
    pub layer_type: &'a str,
    /// The top level's key of this type of layer's base.
    pub theta_key: &'a str,
    /// The base where config.json has none.
    pub default_theta: f64,
    pub head_dim: usize,
}

impl Rope {
    pub fn of_config(config: &Value, subject: Subject) -> Result<Rope, String> {
        let settings = Settings::of(config, subject)?;
        let theta = settings.number("rope_theta")?.unwrap_or(subject.default_theta);
        let share = settings.number("partial_rotary_factor")?.unwrap_or(1.0);
        if !(share > 0.0 && share <= 1.0) {
            return Err(format!("rope: partial_rotary_factor {share} is not between 0 and 1"));
        }
        // As transformers rounds it.
        let rotated = (subject.head_dim as f64 * share) as usize;
        match settings.kind.as_str() {
            "proportional" => {
                let factor = settings.number("factor")?.unwrap_or(1.0);
                let rotated = (share * subject.head_dim as f64 / 2.0) as usize;
                Rope::new(subject.head_dim, theta, Scaling::Proportional { factor, rotated })
            }
            _ => Rope::new(rotated, theta, settings.scaling()?),
        }
    }
}

/// The settings of one type of layer, whatever the dialect.
struct Settings {
    kind: String,
    values: Map<String, Value>,
    max_position_embeddings: Option<f64>,
}

impl Settings {
    fn of(config: &Value, subject: Subject) -> Result<Settings, String> {
        let mut values = Map::new();
        for key in ["rope_parameters", "rope_scaling"] {
            if let Some(found) = for_layers(config, key, subject.layer_type)? {
                merge(&mut values, found)?;
            }
        }
        let mut top = Map::new();
        let full = subject.layer_type == LAYER_TYPES[0];
        let beside: &[&str] = if full { &["partial_rotary_factor", "original_max_position_embeddings"] } else { &[] };
        for &key in beside {
            top.insert(key.to_string(), config.get(key).cloned().unwrap_or_default());
        }
        top.insert("rope_theta".into(), config.get(subject.theta_key).cloned().unwrap_or_default());
        merge(&mut values, &top)?;
        let kind = kind(&values)?;
        let settings = Settings {
            kind,
            values,
            max_position_embeddings: config.get("max_position_embeddings").and_then(Value::as_f64),
        };
        settings.check_keys()?;
        Ok(settings)
    }

    /// Every key must mean something beside the type.
    fn check_keys(&self) -> Result<(), String> {
        let own: &[&str] = match self.kind.as_str() {
            "default" => &[],
            "linear" | "dynamic" | "proportional" => &["factor"],
            "yarn" => &["factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"],
            "llama3" => &["factor", "low_freq_factor", "high_freq_factor"],
            "longrope" => &["factor", "attention_factor", "short_factor", "long_factor", "short_mscale", "long_mscale"],
            other => return Err(format!("rope: unknown rope type '{other}'")),
        };
        match self.values.keys().find(|key| !COMMON.contains(&key.as_str()) && !own.contains(&key.as_str())) {
            Some(key) => Err(format!("rope: '{key}' is set beside type '{}', which has no such setting", self.kind)),
            None => Ok(()),
        }
    }

    fn scaling(&self) -> Result<Scaling, String> {
        Ok(match self.kind.as_str() {
            "linear" => Scaling::Linear { factor: self.required("factor")? },
            "dynamic" => Scaling::DynamicNtk { factor: self.required("factor")?, context: self.dynamic_context()? },
            "yarn" => Scaling::Yarn(self.yarn()?),
            "llama3" => Scaling::Llama3 {
                factor: self.required("factor")?,
                low_freq_factor: self.required("low_freq_factor")?,
                high_freq_factor: self.required("high_freq_factor")?,
                original_context: self.required("original_max_position_embeddings")?,
            },
            "longrope" => Scaling::LongRope(self.longrope()?),
            _ => Scaling::None,
        })
    }

    /// The length that dynamic scaling starts at.
    fn dynamic_context(&self) -> Result<f64, String> {
        let longest = self.longest()?;
        match self.number("original_max_position_embeddings")? {
            Some(original) if original != longest => Err(format!(
                "rope: type 'dynamic' starts at max_position_embeddings {longest}, but \
                 original_max_position_embeddings is {original}"
            )),
            _ => Ok(longest),
        }
    }

    fn yarn(&self) -> Result<Yarn, String> {
        let original = self.number("original_max_position_embeddings")?;
        // transformers takes either from the longest context where the other is given.
        let (factor, original) = match (self.number("factor")?, original) {
            (Some(factor), Some(original)) => (factor, original),
            (Some(factor), None) => (factor, self.longest()?),
            (None, Some(original)) => (self.longest()? / original, original),
            (None, None) => return Err("rope: type 'yarn' without factor".into()),
        };
        let given = |key: &str| self.number(key).map(|value| value.filter(|value| *value != 0.0));
        let attention_factor = match (self.number("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
            (Some(attention_factor), ..) => attention_factor,
            (None, Some(one), Some(all)) => Yarn::mscale(factor, one) / Yarn::mscale(factor, all),
            _ => Yarn::mscale(factor, 1.0),
        };
        let truncate = match self.values.get("truncate") {
            None => true,
            Some(Value::Bool(truncate)) => *truncate,
            Some(other) => return Err(format!("rope: truncate is {other}, not true or false")),
        };
        Ok(Yarn {
            factor,
            original_context: original,
            beta_fast: given("beta_fast")?.unwrap_or(32.0),
            beta_slow: given("beta_slow")?.unwrap_or(1.0),
            truncate,
            attention_factor,
        })
    }

    fn longrope(&self) -> Result<LongRope, String> {
        let original_context = self.required("original_max_position_embeddings")?;
        let factor = match self.number("factor")? {
            Some(factor) if factor < 1.0 => return Err(format!("rope: factor {factor} is below 1")),
            Some(factor) => factor,
            None => self.longest()? / original_context,
        };
        let shared = self.number("attention_factor")?;
        let shared = shared.unwrap_or_else(|| LongRope::attention_factor(factor, original_context));
        Ok(LongRope {
            short: self.list("short_factor")?,
            long: self.list("long_factor")?,
            original_context,
            short_attention_factor: self.number("short_mscale")?.unwrap_or(shared),
            long_attention_factor: self.number("long_mscale")?.unwrap_or(shared),
            start_tokens: 0,
        })
    }

    fn longest(&self) -> Result<f64, String> {
        let missing = || format!("rope: type '{}' without max_position_embeddings", self.kind);
        self.max_position_embeddings.ok_or_else(missing)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| format!("rope: {key} is {value}, not a number"))
    }

    fn required(&self, key: &str) -> Result<f64, String> {
        self.number(key)?.ok_or_else(|| format!("rope: type '{}' without {key}", self.kind))
    }

    fn list(&self, key: &str) -> Result<Vec<f64>, String> {
        let value = self.values.get(key).ok_or_else(|| format!("rope: type '{}' without {key}", self.kind))?;
        let numbers = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.ok_or_else(|| format!("rope: {key} is not a list of numbers"))
    }
}

/// What `config[key]` says of a type of layer; settings that are not kept by type are those of full attention.
fn for_layers<'a>(config: &'a Value, key: &str, layer_type: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    let object = |value: &'a Value| match value {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        other => Err(format!("rope: {key} is {other}, not an object")),
    };
    let Some(whole) = config.get(key).map_or(Ok(None), object)? else { return Ok(None) };
    if whole.keys().any(|key| LAYER_TYPES.contains(&key.as_str())) {
        if let Some(stray) = whole.keys().find(|key| !LAYER_TYPES.contains(&key.as_str())) {
            return Err(format!("rope: {key} holds '{stray}' beside settings by type of layer"));
        }
        return whole.get(layer_type).map_or(Ok(None), object);
    }
    Ok((layer_type == LAYER_TYPES[0]).then_some(whole))
}

/// Adds settings to others; two that differ are an error. What is null is not set.
fn merge(values: &mut Map<String, Value>, more: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in more.iter().filter(|(_, value)| !value.is_null()) {
        match values.get(key) {
            Some(other) if !same(value, other) => {
                return Err(format!("rope: {key} is {other} in one place and {value} in another"));
            }
            _ => values.insert(key.clone(), value.clone()),
        };
    }
    Ok(())
}

/// 8 and 8.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}

fn kind(values: &Map<String, Value>) -> Result<String, String> {
    let name = |key: &str| match values.get(key) {
        None => Ok(None),
        Some(Value::String(name)) if name == "su" => Ok(Some("longrope")),
        Some(Value::String(name)) => Ok(Some(name.as_str())),
        Some(other) => Err(format!("rope: {key} is {other}, not a name")),
    };
    match (name("rope_type")?, name("type")?) {
        (Some(one), Some(other)) if one != other => Err(format!("rope: rope_type is '{one}', but type is '{other}'")),
        (Some(kind), _) | (None, Some(kind)) => Ok(kind.to_string()),
        (None, None) => Ok("default".into()),
    }
}
