//! RoPE frequencies and tables, in f64, once for all models.
//!
//! [`Rope`] is what a checkpoint says of its positions, [`RopePlan`] what one sequence uses: fixed before its first
//! token, from its prompt and its planned answers together, and never changed while its keys are held.
//!
//! Positions above 2,048 are not exact in f16 and angles at 70,000 lose hundredths in f32, so everything up to the
//! final cosine and sine is computed in f64.

mod config;
mod extension;
mod factors;
mod gguf;
mod scaling;
pub mod search;
#[cfg(test)]
mod tests;

pub use config::Subject;
pub use extension::{Chosen, Extension, Method, Policy, Published, Reach, Refusal, extendable};
pub use factors::Factors;
pub use gguf::GgufKeys;
pub use scaling::{LongRope, Scaling, Yarn};

use crate::{Error, Kind};

/// A checkpoint's own rotary embedding, for all layers of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Elements of a head that are rotated; the rest pass as they are.
    pub rotary_dim: usize,
    pub theta: f64,
    pub scaling: Scaling,
}

/// How the positions of one sequence become angles: `angle(n, i) = n · inv_freq[i]`; cosine and sine are both scaled by
/// `attention_factor`.
#[derive(Debug, Clone, PartialEq)]
pub struct RopePlan {
    pub theta: f64,
    /// One per pair of elements.
    pub inv_freq: Vec<f64>,
    pub attention_factor: f64,
    /// So many positions at the start turn by the model's own frequencies, which are `plain_freq`.
    pub start_tokens: usize,
    pub plain_freq: Vec<f64>,
    /// The scaling in words, for the report.
    pub scaling: String,
}

impl Rope {
    /// Settings that no model has are refused here, so that a plan can always be made.
    pub fn new(rotary_dim: usize, theta: f64, scaling: Scaling) -> Result<Rope, String> {
        if rotary_dim == 0 || !rotary_dim.is_multiple_of(2) || rotary_dim > 4096 {
            return Err(format!("rope: dimension {rotary_dim} is not an even number up to 4096"));
        }
        if !(theta.is_finite() && theta > 1.0) {
            return Err(format!("rope: theta {theta} is not above 1"));
        }
        scaling.check(rotary_dim / 2)?;
        Ok(Rope { rotary_dim, theta, scaling })
    }

    /// For a sequence of at most `planned` tokens, its prompt and its answers.
    pub fn plan(&self, planned: usize) -> RopePlan {
        let inv_freq = self.scaling.frequencies(self.theta, self.rotary_dim, planned);
        let attention_factor = self.scaling.attention_factor(planned);
        RopePlan {
            theta: self.theta,
            inv_freq,
            attention_factor,
            start_tokens: self.scaling.start_tokens(planned),
            plain_freq: Scaling::None.frequencies(self.theta, self.rotary_dim, planned),
            scaling: self.scaling.describe(planned),
        }
    }
}

impl RopePlan {
    /// Cosines and sines of some positions: each (positions, pairs).
    pub fn table(&self, positions: impl Iterator<Item = usize>) -> (Vec<f32>, Vec<f32>) {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            let frequencies = if position < self.start_tokens { &self.plain_freq } else { &self.inv_freq };
            for frequency in frequencies {
                let (s, c) = (position as f64 * frequency).sin_cos();
                cos.push((c * self.attention_factor) as f32);
                sin.push((s * self.attention_factor) as f32);
            }
        }
        (cos, sin)
    }

    /// Whether both turn every position alike.
    pub fn same_angles(&self, other: &RopePlan) -> bool {
        let angles = |plan: &RopePlan| (plan.attention_factor, plan.start_tokens);
        angles(self) == angles(other) && self.inv_freq == other.inv_freq && self.plain_freq == other.plain_freq
    }

    /// Base and scaling in words.
    pub fn describe(&self) -> String {
        format!("theta {}, scaling {}", self.theta, self.scaling)
    }
}

/// An error of a model file about its RoPE settings.
pub fn model_error(subject: impl std::fmt::Display, problem: String) -> Error {
    Error::new(Kind::Model, subject, problem).hint(format!(
        "a model's own RoPE settings are honoured exactly or not at all; the types {} are known",
        config::KNOWN
    ))
}
