//! The scalings: from a base to frequencies. With d rotary elements the plain frequencies are θᵢ = theta^(-2i/d), 0 ≤ i
//! < d/2 (RoFormer, arXiv:2104.09864); the scalings are those of Hugging Face transformers' modeling_rope_utils.py.

use std::f64::consts::PI;

/// How a checkpoint stretches its positions.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    None,
    /// Position interpolation (arXiv:2306.15595): every frequency divided by the factor.
    Linear {
        factor: f64,
    },
    /// NTK-aware: a larger base, so that the last frequency is divided by the factor and the first by 1.
    Ntk {
        factor: f64,
    },
    /// NTK-aware by the sequence's length, beyond `context` tokens only.
    DynamicNtk {
        factor: f64,
        context: f64,
    },
    Yarn(Yarn),
    /// Llama 3: long wavelengths divided by the factor, short ones kept, a smooth step between.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_context: f64,
    },
    LongRope(LongRope),
    /// The first `rotated` frequencies as if the whole head were rotated, the others 0; all divided by the factor.
    Proportional {
        factor: f64,
        rotated: usize,
    },
    /// Every frequency has its own divisor (`rope_freqs.weight` of a GGUF file).
    Divisors(Vec<f64>),
}

/// YaRN (arXiv:2309.00071) as it is shipped: the ramp is linear in the number of the pair, not in its rotations.
#[derive(Debug, Clone, PartialEq)]
pub struct Yarn {
    pub factor: f64,
    /// Tokens that the model was first trained with.
    pub original_context: f64,
    /// Pairs that turn more often than this over `original_context` are kept.
    pub beta_fast: f64,
    /// Pairs that turn less often than this are divided by the factor.
    pub beta_slow: f64,
    /// Whether the ramp's ends are rounded to whole pairs.
    pub truncate: bool,
    pub attention_factor: f64,
}

/// LongRoPE (arXiv:2402.13753): a divisor for each frequency, in one set for short sequences and one for long ones.
#[derive(Debug, Clone, PartialEq)]
pub struct LongRope {
    pub short: Vec<f64>,
    pub long: Vec<f64>,
    /// Sequences above this many tokens use the long set, from their first token on.
    pub original_context: f64,
    pub short_attention_factor: f64,
    pub long_attention_factor: f64,
    /// With the long set, so many tokens at the start are left where they are.
    pub start_tokens: usize,
}

impl Yarn {
    /// The usual betas, rounded ends, and the attention factor of the paper.
    pub fn new(factor: f64, original_context: f64) -> Yarn {
        let attention_factor = Yarn::mscale(factor, 1.0);
        Yarn { factor, original_context, beta_fast: 32.0, beta_slow: 1.0, truncate: true, attention_factor }
    }

    /// 0.1 · weight · ln(factor) + 1, and 1 for factors up to 1.
    pub fn mscale(factor: f64, weight: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
    }

    /// The ramp's first and last pair, before they are rounded: where a pair turns beta times over the original
    /// context.
    pub fn ends(&self, theta: f64, dim: usize) -> (f64, f64) {
        let pair = |turns: f64| dim as f64 * (self.original_context / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
        (pair(self.beta_fast), pair(self.beta_slow))
    }

    /// How much of the division by the factor each pair gets: 0 before the ramp, 1 behind it.
    pub fn ramp(&self, theta: f64, dim: usize) -> Vec<f64> {
        let (mut low, mut high) = self.ends(theta, dim);
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        (0..dim / 2).map(|i| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0)).collect()
    }
}

impl LongRope {
    /// sqrt(1 + ln(factor) / ln(original)), and 1 for factors up to 1.
    pub fn attention_factor(factor: f64, original_context: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original_context.ln()).sqrt() }
    }

    /// The set that a sequence of `planned` tokens uses, and its attention factor.
    fn set(&self, planned: usize) -> (&[f64], f64) {
        match planned as f64 > self.original_context {
            true => (&self.long, self.long_attention_factor),
            false => (&self.short, self.short_attention_factor),
        }
    }
}

impl Scaling {
    /// Frequencies of `dim` rotary elements for a sequence of `planned` tokens: (dim / 2).
    pub fn frequencies(&self, theta: f64, dim: usize, planned: usize) -> Vec<f64> {
        let plain =
            |theta: f64| -> Vec<f64> { (0..dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dim as f64)).collect() };
        let mut frequencies = plain(theta);
        match self {
            Scaling::None => (),
            Scaling::Linear { factor } => frequencies.iter_mut().for_each(|f| *f /= factor),
            Scaling::Ntk { factor } => frequencies = plain(ntk_theta(theta, dim, *factor)),
            Scaling::DynamicNtk { factor, context } => {
                frequencies = plain(dynamic_theta(theta, dim, *factor, *context, planned));
            }
            Scaling::Yarn(yarn) => {
                for (f, ramp) in frequencies.iter_mut().zip(yarn.ramp(theta, dim)) {
                    *f = *f / yarn.factor * ramp + *f * (1.0 - ramp);
                }
            }
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                for f in &mut frequencies {
                    *f = llama3_frequency(*f, *factor, *low_freq_factor, *high_freq_factor, *original_context);
                }
            }
            Scaling::LongRope(longrope) => divide(&mut frequencies, longrope.set(planned).0),
            Scaling::Proportional { factor, rotated } => {
                frequencies.iter_mut().for_each(|f| *f /= factor);
                frequencies[*rotated..].fill(0.0);
            }
            Scaling::Divisors(divisors) => divide(&mut frequencies, divisors),
        }
        frequencies
    }

    /// What cosine and sine are multiplied with in a sequence of `planned` tokens.
    pub fn attention_factor(&self, planned: usize) -> f64 {
        match self {
            Scaling::Yarn(yarn) => yarn.attention_factor,
            Scaling::LongRope(longrope) => longrope.set(planned).1,
            _ => 1.0,
        }
    }

    /// How many positions at the start are not scaled in a sequence of `planned` tokens.
    pub fn start_tokens(&self, planned: usize) -> usize {
        match self {
            Scaling::LongRope(longrope) if planned as f64 > longrope.original_context => longrope.start_tokens,
            _ => 0,
        }
    }

    pub fn describe(&self, planned: usize) -> String {
        match self {
            Scaling::None => "none".into(),
            Scaling::Linear { factor } => format!("linear, factor {factor}"),
            Scaling::Ntk { factor } => format!("NTK-aware, factor {factor}"),
            Scaling::DynamicNtk { factor, context } if planned as f64 > *context => {
                format!("dynamic NTK, factor {factor} over {context}, for {planned} tokens")
            }
            Scaling::DynamicNtk { factor, context } => format!("dynamic NTK, factor {factor}, none up to {context}"),
            Scaling::Yarn(yarn) => format!("YaRN, factor {} over {}", yarn.factor, yarn.original_context),
            Scaling::Llama3 { factor, original_context, .. } => {
                format!("llama3, factor {factor} over {original_context}")
            }
            Scaling::LongRope(longrope) => {
                let set = if planned as f64 > longrope.original_context { "long" } else { "short" };
                format!("LongRoPE over {}, {set} factors", longrope.original_context)
            }
            Scaling::Proportional { factor, rotated } => format!("proportional, {rotated} pairs, factor {factor}"),
            Scaling::Divisors(_) => "the file's own divisors (rope_freqs)".into(),
        }
    }

    /// Refuses settings that cannot be computed with, for `pairs` pairs of elements.
    pub(super) fn check(&self, pairs: usize) -> Result<(), String> {
        let at_least_one = |factor: f64| match factor.is_finite() && factor >= 1.0 {
            true => Ok(()),
            false => Err(format!("rope: factor {factor} is below 1")),
        };
        let positive = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(format!("rope: {name} {value} is not positive")),
        };
        match self {
            Scaling::None => Ok(()),
            Scaling::Linear { factor } => at_least_one(*factor),
            Scaling::Ntk { factor } | Scaling::DynamicNtk { factor, .. } if pairs < 2 => {
                Err(format!("rope: NTK scaling by {factor} needs at least two pairs of elements"))
            }
            Scaling::Ntk { factor } => at_least_one(*factor),
            Scaling::DynamicNtk { factor, context } => {
                at_least_one(*factor)?;
                positive("max_position_embeddings", *context)
            }
            Scaling::Yarn(yarn) => {
                at_least_one(yarn.factor)?;
                positive("original context", yarn.original_context)?;
                positive("attention_factor", yarn.attention_factor)?;
                positive("beta_slow", yarn.beta_slow)?;
                match yarn.beta_fast.is_finite() && yarn.beta_fast >= yarn.beta_slow {
                    true => Ok(()),
                    false => Err(format!("rope: beta_fast {} is below beta_slow {}", yarn.beta_fast, yarn.beta_slow)),
                }
            }
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                at_least_one(*factor)?;
                positive("low_freq_factor", *low_freq_factor)?;
                positive("original context", *original_context)?;
                match high_freq_factor.is_finite() && high_freq_factor > low_freq_factor {
                    true => Ok(()),
                    false => Err(format!(
                        "rope: high_freq_factor {high_freq_factor} is not above low_freq_factor {low_freq_factor}"
                    )),
                }
            }
            Scaling::LongRope(longrope) => {
                check_divisors("short_factor", &longrope.short, pairs)?;
                check_divisors("long_factor", &longrope.long, pairs)?;
                if !(longrope.original_context.is_finite() && longrope.original_context > 1.0) {
                    return Err(format!("rope: original context {} is not above 1", longrope.original_context));
                }
                positive("attention factor", longrope.short_attention_factor)?;
                positive("attention factor", longrope.long_attention_factor)
            }
            Scaling::Proportional { factor, rotated } => match *rotated <= pairs {
                true => at_least_one(*factor),
                false => Err(format!("rope: {rotated} pairs to rotate, but {pairs} in the head")),
            },
            Scaling::Divisors(divisors) => check_divisors("rope_freqs.weight", divisors, pairs),
        }
    }
}

fn divide(frequencies: &mut [f64], divisors: &[f64]) {
    frequencies.iter_mut().zip(divisors).for_each(|(f, d)| *f /= d);
}

fn check_divisors(name: &str, divisors: &[f64], pairs: usize) -> Result<(), String> {
    if divisors.len() != pairs {
        return Err(format!("rope: {name} has {} entries, but there are {pairs} frequencies", divisors.len()));
    }
    match divisors.iter().find(|divisor| !(divisor.is_finite() && **divisor > 0.0)) {
        Some(bad) => Err(format!("rope: {name} holds {bad}, which is not positive")),
        None => Ok(()),
    }
}

/// theta · factor^(d / (d - 2))
pub fn ntk_theta(theta: f64, dim: usize, factor: f64) -> f64 {
    theta * factor.powf(dim as f64 / (dim as f64 - 2.0))
}

/// theta · (factor · n/context - (factor - 1))^(d / (d - 2)) with n the sequence's length, at least the context.
pub fn dynamic_theta(theta: f64, dim: usize, factor: f64, context: f64, planned: usize) -> f64 {
    let length = (planned as f64).max(context);
    ntk_theta(theta, dim, factor * length / context - (factor - 1.0))
}

/// Wavelength w = 2π/f; w > L/low → f/factor; w < L/high → f; between them a linear mix in L/w.
fn llama3_frequency(f: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / f;
    if wavelength > original / low {
        f / factor
    } else if wavelength < original / high {
        f
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * f / factor + smooth * f
    }
}
