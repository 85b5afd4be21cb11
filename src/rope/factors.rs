//! A file of searched factors (LongRoPE): one divisor for each pair of elements, and how they were found.
//!
//! JSON with the keys of [`Factors`]; an unknown or missing one is an error that names it.

use super::{LongRope, Scaling};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    /// The model that they were found for.
    pub model: String,
    /// Its base: factors mean nothing over another one.
    pub rope_theta: f64,
    /// The model's own context, in tokens; what fits it uses the short factors.
    pub original_context: usize,
    /// The longest text that the long factors are for, in tokens.
    pub target_context: usize,
    /// Texts of at most so many tokens were found to be read better by YaRN, which is taken for them unless these factors are
    /// asked for; absent: none beyond the model's own context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worth_beyond: Option<usize>,
    /// One a pair, ascending; absent: the model as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_factors: Option<Vec<f64>>,
    pub long_factors: Vec<f64>,
    /// So many tokens at the start are left where they are.
    #[serde(default)]
    pub start_tokens: usize,
    /// Of long texts; absent: sqrt(1 + ln(target / original) / ln(original)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
    /// What is known of its cost, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// How they were found: method, texts, evaluations, seed.
    pub found: Value,
}

impl Factors {
    /// From a file's text; what is wrong names the key.
    pub fn parse(text: &str) -> Result<Factors, String> {
        let factors: Factors = serde_json::from_str(text).map_err(|error| error.to_string())?;
        factors.check()?;
        Ok(factors)
    }

    pub fn read(path: &Path) -> Result<Factors, String> {
        Factors::parse(&std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?)
    }

    fn check(&self) -> Result<(), String> {
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            return Err(format!("rope_theta is {}, not above 1", self.rope_theta));
        }
        if self.original_context < 2 {
            return Err(format!("original_context is {}, which no model has", self.original_context));
        }
        if self.target_context <= self.original_context {
            let (target, original) = (self.target_context, self.original_context);
            return Err(format!("target_context {target} is not above original_context {original}"));
        }
        if let Some(tokens) = self.worth_beyond.filter(|tokens| *tokens >= self.target_context) {
            return Err(format!("worth_beyond {tokens} is not below target_context {}", self.target_context));
        }
        if self.start_tokens >= self.original_context {
            let (start, original) = (self.start_tokens, self.original_context);
            return Err(format!("start_tokens {start} is not below original_context {original}"));
        }
        check_list("long_factors", &self.long_factors)?;
        if let Some(short) = &self.short_factors {
            check_list("short_factors", short)?;
            if short.len() != self.long_factors.len() {
                let (short, long) = (short.len(), self.long_factors.len());
                return Err(format!("short_factors has {short} entries, long_factors {long}"));
            }
        }
        match self.attention_factor {
            Some(factor) if !(factor.is_finite() && factor > 0.0) => {
                Err(format!("attention_factor is {factor}, not positive"))
            }
            _ => Ok(()),
        }
    }

    /// Whether they are the better choice for a text of so many tokens, as far as is known.
    pub fn are_for(&self, tokens: usize) -> bool {
        tokens <= self.target_context && tokens > self.worth_beyond.unwrap_or(0)
    }

    /// As the scaling of a model with this base and so many pairs.
    pub fn scaling(&self, theta: f64, pairs: usize) -> Result<Scaling, String> {
        if self.long_factors.len() != pairs {
            let entries = self.long_factors.len();
            return Err(format!("long_factors has {entries} entries, but the model has {pairs} pairs of elements"));
        }
        if (self.rope_theta - theta).abs() > 1e-6 * theta {
            return Err(format!("rope_theta is {}, but the model's is {theta}", self.rope_theta));
        }
        let original = self.original_context as f64;
        let usual = || LongRope::attention_factor(self.target_context as f64 / original, original);
        Ok(Scaling::LongRope(LongRope {
            short: self.short_factors.clone().unwrap_or_else(|| vec![1.0; pairs]),
            long: self.long_factors.clone(),
            original_context: original,
            short_attention_factor: 1.0,
            long_attention_factor: self.attention_factor.unwrap_or_else(usual),
            start_tokens: self.start_tokens,
        }))
    }
}

fn check_list(key: &str, factors: &[f64]) -> Result<(), String> {
    if factors.is_empty() {
        return Err(format!("{key} is empty"));
    }
    if let Some(bad) = factors.iter().find(|factor| !(factor.is_finite() && **factor >= 1.0)) {
        return Err(format!("{key} holds {bad}, which is below 1"));
    }
    match factors.is_sorted() {
        true => Ok(()),
        false => Err(format!("{key} does not ascend")),
    }
}
