//! How a text beyond the model's own context is read: which extension is taken, decided before prefill from the length
//! of the longest sequence, its prompt and its answers.

use super::{Factors, Rope, Scaling, Yarn};
use crate::{Error, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// Nobody asked for it by name: YaRN that the model was not made for goes so far and no farther.
pub const MOST_UNASKED: f64 = 4.0;

/// Factors are multiples of 1/16, so that papers of about one length are read alike.
const STEPS: f64 = 16.0;

/// `--context`: how long a sequence may get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// The model's own context, or an extension where that is too short.
    #[default]
    Auto,
    /// The model's own context and no more.
    Native,
    /// So many tokens; where these are more than the model's own, positions are those of so many for every text.
    Tokens(usize),
}

/// `--rope`: by what.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Method {
    #[default]
    Auto,
    Native,
    Linear(f64),
    /// By the smallest factor that fits where none is given.
    Ntk(Option<f64>),
    Dynamic,
    Yarn(Option<f64>),
    LongRope(PathBuf),
}

/// An extension that the model's publisher names.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub factor: f64,
    pub original_context: usize,
    /// Where it is published.
    pub source: String,
}

/// What was asked for, and what is known of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    pub reach: Reach,
    pub method: Method,
    pub published: Option<Published>,
    /// Those that the model's card names, or the file that the user did.
    pub searched: Option<Factors>,
}

/// How positions are extended, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Extension {
    /// `native`, `published`, `searched`, `yarn`, `ntk`, `dynamic`, `linear` or `longrope`.
    pub method: String,
    /// The longest sequence that it is for, in tokens.
    pub context_length: usize,
    /// It in words, with its factor.
    pub description: String,
    /// What is known of what it costs; absent where positions are the model's own.
    pub cost: Option<String>,
}

/// An extension and the scaling that it puts in place of the model's own, if any.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub extension: Extension,
    pub scaling: Option<Scaling>,
}

/// Why none was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The sequence is longer than what was allowed, which is so many tokens, for a reason in words.
    TooLong { context_length: usize, why: String },
    /// What was asked for cannot be.
    Contradiction(String),
}

impl Policy {
    /// What contradicts itself whatever the model.
    pub fn check(&self) -> Result<(), String> {
        match (self.reach, &self.method) {
            (_, Method::Auto | Method::Native) => Ok(()),
            (Reach::Native, method) => Err(format!("--context native leaves nothing for --rope {method} to extend")),
            _ => Ok(()),
        }
    }

    /// For a longest sequence of `planned` tokens. `rope` is that of the layers that see the whole text (none where every
    /// layer has a window), `native` the model's own context.
    pub fn choose(&self, rope: Option<&Rope>, native: usize, planned: usize) -> Result<Chosen, Refusal> {
        self.check().map_err(Refusal::Contradiction)?;
        let needed = match self.reach {
            Reach::Tokens(most) if planned > most => {
                return Err(too_long(most, "--context allows no more".into()));
            }
            Reach::Tokens(most) => most,
            _ => planned,
        };
        let own = Chosen { extension: Extension::native(native), scaling: None };
        match &self.method {
            Method::Native if needed > native && self.reach != Reach::Auto && self.reach != Reach::Native => {
                let problem =
                    format!("--context {needed} is more than the model's own {native}, and --rope native keeps to it");
                Err(Refusal::Contradiction(problem))
            }
            Method::Native if needed > native => Err(too_long(native, "--rope native keeps to it".into())),
            Method::Auto if needed <= native => Ok(limited(own, self.reach)),
            Method::Auto if self.reach == Reach::Native => Err(too_long(native, "--context native keeps to it".into())),
            Method::Auto => self.unasked(rope, native, needed).map(|chosen| limited(chosen, self.reach)),
            Method::Native => Ok(limited(own, self.reach)),
            Method::Ntk(None) | Method::Yarn(None) | Method::Dynamic if needed <= native => {
                Ok(limited(own, self.reach))
            }
            method => {
                let chosen = self.asked(method, rope, native, needed)?;
                let reach = chosen.extension.context_length;
                if needed <= reach {
                    return Ok(limited(chosen, self.reach));
                }
                match self.reach {
                    Reach::Tokens(_) => Err(Refusal::Contradiction(format!(
                        "--rope {method} reaches {reach} tokens, fewer than --context {needed}"
                    ))),
                    _ => Err(too_long(reach, format!("--rope {method} reaches no farther"))),
                }
            }
        }
    }

    /// The shortest text that positions are planned for, in tokens.
    pub fn least(&self) -> usize {
        if let Reach::Tokens(tokens) = self.reach { tokens } else { 0 }
    }

    /// What the publisher says, then what was searched, then YaRN.
    fn unasked(&self, rope: Option<&Rope>, native: usize, needed: usize) -> Result<Chosen, Refusal> {
        let (rope, original) = extendable(rope, native).map_err(|why| too_long(native, why))?;
        if let Some(published) = &self.published {
            let reach = (published.original_context as f64 * published.factor) as usize;
            if reach >= needed {
                let yarn = Yarn::new(published.factor, published.original_context as f64);
                let cost = format!("published by the model's maker ({}); not measured here", published.source);
                return Ok(Chosen::new("published", reach, Scaling::Yarn(yarn), cost));
            }
        }
        if let Some(factors) = self.searched.as_ref().filter(|factors| factors.are_for(needed)) {
            return searched("searched", factors, rope).map_err(Refusal::Contradiction);
        }
        let factor = smallest(needed, original);
        let most = (original * MOST_UNASKED) as usize;
        match factor <= MOST_UNASKED {
            true => Ok(yarn(factor, original)),
            false => Err(too_long(
                most,
                format!(
                    "its own {native}, or {most} by YaRN with factor {MOST_UNASKED}; --rope yarn:{factor} would go on, \
                     far beyond what the model was made for"
                ),
            )),
        }
    }

    fn asked(&self, method: &Method, rope: Option<&Rope>, native: usize, needed: usize) -> Result<Chosen, Refusal> {
        let (rope, original) = extendable(rope, native)
            .map_err(|why| Refusal::Contradiction(format!("--rope {method} cannot be: {why}")))?;
        let reach = |factor: f64| (original * factor) as usize;
        let cost = |name: &str| format!("the model was not trained with {name}; {MEASURE}");
        Ok(match method {
            Method::Linear(factor) => Chosen::new(
                "linear",
                reach(*factor),
                Scaling::Linear { factor: *factor },
                cost("position interpolation"),
            ),
            Method::Ntk(factor) => {
                let factor = factor.unwrap_or_else(|| smallest(needed, original));
                Chosen::new("ntk", reach(factor), Scaling::Ntk { factor }, cost("NTK-aware scaling"))
            }
            Method::Dynamic => {
                let scaling = Scaling::DynamicNtk { factor: 1.0, context: original };
                Chosen::new("dynamic", needed, scaling, cost("dynamic NTK scaling"))
            }
            Method::Yarn(factor) => yarn(factor.unwrap_or_else(|| smallest(needed, original)), original),
            Method::LongRope(file) => {
                let factors = self.searched.as_ref();
                let factors =
                    factors.ok_or_else(|| Refusal::Contradiction(format!("{} was not read", file.display())))?;
                let named = |problem| Refusal::Contradiction(format!("{}: {problem}", file.display()));
                searched("longrope", factors, rope).map_err(named)?
            }
            Method::Auto | Method::Native => Chosen { extension: Extension::native(native), scaling: None },
        })
    }
}

/// How anybody can learn what an extension costs.
const MEASURE: &str = "`ronbun eval nll` and `ronbun eval passkey` measure what it costs";

fn yarn(factor: f64, original: f64) -> Chosen {
    let cost = format!("the model was not trained with YaRN, details far from the end may be missed; {MEASURE}");
    Chosen::new("yarn", (original * factor) as usize, Scaling::Yarn(Yarn::new(factor, original)), cost)
}

fn searched(method: &str, factors: &Factors, rope: &Rope) -> Result<Chosen, String> {
    let scaling = factors.scaling(rope.theta, rope.rotary_dim / 2)?;
    let unknown = || format!("searched for {}; {MEASURE}", factors.model);
    Ok(Chosen::new(method, factors.target_context, scaling, factors.cost.clone().unwrap_or_else(unknown)))
}

/// The smallest multiple of 1/16 by which `original` reaches `needed` tokens.
fn smallest(needed: usize, original: f64) -> f64 {
    (needed as f64 / original * STEPS).ceil().max(STEPS) / STEPS
}

/// What can be extended: the whole text's rotary embedding as it was trained, and the context of that in tokens.
pub fn extendable(rope: Option<&Rope>, native: usize) -> Result<(&Rope, f64), String> {
    let Some(rope) = rope else { return Err("no layer turns heads by positions in the whole text".into()) };
    match &rope.scaling {
        Scaling::None => Ok((rope, native as f64)),
        Scaling::Yarn(yarn) => Ok((rope, yarn.original_context)),
        other => Err(format!("its positions are scaled already ({})", other.describe(native))),
    }
}

impl Refusal {
    /// As an error about a model and a sequence of `planned` tokens.
    pub fn error(&self, model: &str, planned: usize) -> Error {
        match self {
            Refusal::TooLong { context_length, why } => {
                let problem = format!("{planned} tokens do not fit the model's context of {context_length}");
                Error::new(Kind::Context, model, problem).hint(format!(
                    "nothing is cut silently: {why}; --context \
                    and --rope tell how far a context is extended"
                ))
            }
            Refusal::Contradiction(problem) => Error::new(Kind::Usage, model, problem)
                .hint("leave one of --context and --rope out, or see `ronbun help summarize`"),
        }
    }
}

fn too_long(context_length: usize, why: String) -> Refusal {
    Refusal::TooLong { context_length, why }
}

/// Nothing reaches beyond what `--context` allows.
fn limited(mut chosen: Chosen, reach: Reach) -> Chosen {
    if let Reach::Tokens(most) = reach {
        chosen.extension.context_length = chosen.extension.context_length.min(most);
    }
    chosen
}

impl Chosen {
    fn new(method: &str, context_length: usize, scaling: Scaling, cost: String) -> Chosen {
        let description = scaling.describe(context_length);
        let extension = Extension { method: method.into(), context_length, description, cost: Some(cost) };
        Chosen { extension, scaling: Some(scaling) }
    }
}

impl Extension {
    /// The model's own positions.
    pub fn native(context_length: usize) -> Extension {
        let description = "the model's own positions".into();
        Extension { method: "native".into(), context_length, description, cost: None }
    }

    pub fn is_native(&self) -> bool {
        self.method == "native"
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Reach, String> {
        match text {
            "auto" => Ok(Reach::Auto),
            "native" => Ok(Reach::Native),
            number => match number.parse() {
                Ok(tokens) if (1..=1 << 24).contains(&tokens) => Ok(Reach::Tokens(tokens)),
                Ok(tokens) => Err(format!("{tokens} tokens are not between 1 and {}", 1 << 24)),
                Err(_) => Err("is not auto, native or a number of tokens".into()),
            },
        }
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Method, String> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        let factor = |value: &str| match value.parse::<f64>() {
            Ok(factor) if factor.is_finite() && (1.0..=1024.0).contains(&factor) => Ok(factor),
            Ok(factor) => Err(format!("factor {factor} is not between 1 and 1024")),
            Err(_) => Err(format!("factor '{value}' is not a number")),
        };
        match (name, value) {
            ("auto", None) => Ok(Method::Auto),
            ("native", None) => Ok(Method::Native),
            ("dynamic", None) => Ok(Method::Dynamic),
            ("linear", Some(value)) => factor(value).map(Method::Linear),
            ("ntk", value) => value.map(factor).transpose().map(Method::Ntk),
            ("yarn", value) => value.map(factor).transpose().map(Method::Yarn),
            ("longrope", Some(file)) if !file.is_empty() => Ok(Method::LongRope(file.into())),
            _ => Err("is not auto, native, linear:F, ntk[:F], dynamic, yarn[:F] or longrope:FILE".into()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Method::Auto => write!(f, "auto"),
            Method::Native => write!(f, "native"),
            Method::Dynamic => write!(f, "dynamic"),
            Method::Linear(factor) => write!(f, "linear:{factor}"),
            Method::Ntk(None) => write!(f, "ntk"),
            Method::Ntk(Some(factor)) => write!(f, "ntk:{factor}"),
            Method::Yarn(None) => write!(f, "yarn"),
            Method::Yarn(Some(factor)) => write!(f, "yarn:{factor}"),
            Method::LongRope(file) => write!(f, "longrope:{}", file.display()),
        }
    }
}
