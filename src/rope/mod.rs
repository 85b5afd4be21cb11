//! RoPE frequencies and tables, in f64, once for all models.
//!
//! Positions above 2,048 are not exact in f16 and angles at 70,000 lose hundredths in f32, so everything up to the final
//! cosine and sine is computed in f64.

use crate::{Error, Kind, Result};
use serde_json::Value;

/// How positions become angles: `angle(n, i) = n · inv_freq[i]`; cosine and sine are both scaled by `attention_factor`.
#[derive(Debug, Clone, PartialEq)]
pub struct RopePlan {
    pub theta: f64,
    /// One per pair of elements.
    pub inv_freq: Vec<f64>,
    pub attention_factor: f64,
    /// The scaling in words, for the report.
    pub scaling: String,
}

/// A checkpoint's own RoPE scaling.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    None,
    /// Position interpolation: every frequency divided by the factor.
    Linear {
        factor: f64,
    },
    /// Llama 3: long wavelengths divided by the factor, short ones kept, a smooth step between.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_context: f64,
    },
    /// Every frequency has its own divisor (`rope_freqs.weight` of a GGUF file).
    Divisors(Vec<f64>),
}

impl RopePlan {
    /// For `dim` rotary elements and base `theta`: inv_freq[i] = theta^(-2i/dim), scaled.
    /// Source: RoFormer (arXiv:2104.09864); the scalings as Hugging Face transformers computes them.
    pub fn new(dim: usize, theta: f64, scaling: &Scaling) -> Result<RopePlan, String> {
        if dim == 0 || !dim.is_multiple_of(2) || dim > 4096 {
            return Err(format!("rope: dimension {dim} is not an even number up to 4096"));
        }
        if !(theta.is_finite() && theta > 1.0) {
            return Err(format!("rope: theta {theta} is not above 1"));
        }
        let mut inv_freq: Vec<f64> = (0..dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dim as f64)).collect();
        let words = match scaling {
            Scaling::None => "none".to_string(),
            Scaling::Linear { factor } => {
                require_at_least_one("factor", *factor)?;
                inv_freq.iter_mut().for_each(|f| *f /= factor);
                format!("linear, factor {factor}")
            }
            Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                require_at_least_one("factor", *factor)?;
                if high_freq_factor <= low_freq_factor || *original_context <= 0.0 {
                    return Err(
                        "llama3 needs high_freq_factor > low_freq_factor and a positive original context".into()
                    );
                }
                for f in &mut inv_freq {
                    *f = llama3_frequency(*f, *factor, *low_freq_factor, *high_freq_factor, *original_context);
                }
                format!("llama3, factor {factor} over {original_context}")
            }
            Scaling::Divisors(divisors) => {
                if divisors.len() != inv_freq.len() {
                    return Err(format!("rope: {} divisors, but {} frequencies", divisors.len(), inv_freq.len()));
                }
                if let Some(bad) = divisors.iter().find(|d| !(d.is_finite() && **d > 0.0)) {
                    return Err(format!("rope: divisor {bad} is not positive"));
                }
                inv_freq.iter_mut().zip(divisors).for_each(|(f, d)| *f /= d);
                "the file's own divisors (rope_freqs)".to_string()
            }
        };
        Ok(RopePlan { theta, inv_freq, attention_factor: 1.0, scaling: words })
    }

    /// The scaling that a config.json asks for under `rope_scaling` (transformers 4) or `rope_parameters` (5).
    /// A type that is not known is an error that quotes it.
    pub fn scaling_of_config(config: &Value) -> Result<Scaling, String> {
        let settings =
            ["rope_scaling", "rope_parameters"].iter().filter_map(|key| config.get(key)).find(|v| !v.is_null());
        let Some(settings) = settings else { return Ok(Scaling::None) };
        let kind =
            settings.get("rope_type").or_else(|| settings.get("type")).and_then(Value::as_str).unwrap_or("default");
        let number = |key: &str| {
            settings.get(key).and_then(Value::as_f64).ok_or_else(|| format!("rope: scaling '{kind}' without {key}"))
        };
        match kind {
            "default" | "none" => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor: number("factor")? }),
            "llama3" => Ok(Scaling::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            }),
            other => Err(format!("rope: unknown rope type '{other}' (known: default, linear, llama3)")),
        }
    }

    /// Cosines and sines of some positions: each (positions, pairs).
    pub fn table(&self, positions: impl Iterator<Item = usize>) -> (Vec<f32>, Vec<f32>) {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            for frequency in &self.inv_freq {
                let (s, c) = (position as f64 * frequency).sin_cos();
                cos.push((c * self.attention_factor) as f32);
                sin.push((s * self.attention_factor) as f32);
            }
        }
        (cos, sin)
    }

    /// Base and scaling in words.
    pub fn describe(&self) -> String {
        format!("theta {}, scaling {}", self.theta, self.scaling)
    }
}

fn require_at_least_one(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value >= 1.0 { Ok(()) } else { Err(format!("rope: {name} {value} is below 1")) }
}

/// methods: wavelength w = 2π/f; w > L/low → f/factor; w < L/high → f; between them a linear mix in L/w.
fn llama3_frequency(f: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * std::f64::consts::PI / f;
    if wavelength > original / low {
        f / factor
    } else if wavelength < original / high {
        f
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * f / factor + smooth * f
    }
}

/// An error of a model file about its RoPE settings.
pub fn model_error(subject: impl std::fmt::Display, problem: String) -> Error {
    Error::new(Kind::Model, subject, problem)
        .hint("this version honours the RoPE types default, linear and llama3; take a checkpoint that uses one of them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn assert_relative(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1e-12) * 100.0, "{got} is not {expected}");
        }
    }

    #[test]
    fn plain_and_linear_vectors() {
        let plan = RopePlan::new(8, 1e4, &Scaling::None).unwrap();
        assert_relative(&plan.inv_freq, &[1.0, 0.1, 0.01, 0.001]);
        let plan = RopePlan::new(8, 1e4, &Scaling::Linear { factor: 4.0 }).unwrap();
        assert_relative(&plan.inv_freq, &[0.25, 0.025, 0.0025, 0.00025]);
    }

    #[test]
    fn llama3_vectors() {
        let scaling =
            Scaling::Llama3 { factor: 4.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 64.0 };
        let plan = RopePlan::new(8, 1e4, &scaling).unwrap();
        assert_relative(&plan.inv_freq, &[1.0, 0.02546479089, 0.0025, 0.00025]);
        let scaling =
            Scaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };
        let plan = RopePlan::new(128, 5e5, &scaling).unwrap();
        assert!((plan.inv_freq[32] - 0.000524846161).abs() < 1e-12);
    }

    #[test]
    fn divisors_equal_llama3() {
        let divisors = Scaling::Divisors(vec![1.0, 3.926990817, 4.0, 4.0]);
        let plan = RopePlan::new(8, 1e4, &divisors).unwrap();
        assert_relative(&plan.inv_freq, &[1.0, 0.02546479089, 0.0025, 0.00025]);
        assert!(RopePlan::new(8, 1e4, &Scaling::Divisors(vec![1.0])).unwrap_err().contains("1 divisors"));
    }

    #[test]
    fn neighbouring_positions_differ_far_out() {
        let plan = RopePlan::new(64, 1e6, &Scaling::None).unwrap();
        let (cos, sin) = plan.table([69_999, 70_000].into_iter());
        assert!((0..32).all(|i| cos[i] != cos[32 + i] || sin[i] != sin[32 + i]));
        assert!((f64::from(cos[32]) - 70_000f64.cos()).abs() < 1e-7);
    }

    #[test]
    fn configurations() {
        let scaling = |config: Value| RopePlan::scaling_of_config(&config);
        assert_eq!(scaling(json!({})), Ok(Scaling::None));
        assert_eq!(scaling(json!({"rope_scaling": null})), Ok(Scaling::None));
        assert_eq!(scaling(json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}})), Ok(Scaling::None));
        assert_eq!(
            scaling(json!({"rope_scaling": {"type": "linear", "factor": 2}})),
            Ok(Scaling::Linear { factor: 2.0 })
        );
        assert!(scaling(json!({"rope_scaling": {"rope_type": "spiral"}})).unwrap_err().contains("'spiral'"));
        assert!(scaling(json!({"rope_scaling": {"rope_type": "linear"}})).unwrap_err().contains("without factor"));
        assert!(RopePlan::new(8, 1e4, &Scaling::Linear { factor: 0.5 }).is_err());
    }
}
