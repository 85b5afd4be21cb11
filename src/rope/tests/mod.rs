//! The scalings against vectors computed elsewhere in f64, and against each other; the settings in every dialect;
//! how a context is extended.

mod extension;
mod settings;
mod vectors;

use super::{Rope, RopePlan, Scaling, config::Subject};
use serde_json::Value;

fn plan(dim: usize, theta: f64, scaling: Scaling) -> RopePlan {
    Rope::new(dim, theta, scaling).expect("is possible").plan(0)
}

fn assert_near(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-6 * expected.abs(), "{got} is not {expected}");
}

fn assert_all_near(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).for_each(|(&got, &expected)| assert_near(got, expected));
}

/// The plan of a config.json with heads of `head_dim`, for `planned` tokens.
fn configured(head_dim: usize, config: Value, planned: usize) -> RopePlan {
    of_config(head_dim, config).expect("is possible").plan(planned)
}

fn of_config(head_dim: usize, config: Value) -> Result<Rope, String> {
    let (layer_type, theta_key, default_theta) = ("full_attention", "rope_theta", 10_000.0);
    Rope::of_config(&config, Subject { layer_type, theta_key, default_theta, head_dim })
}
