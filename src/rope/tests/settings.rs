//! Settings of config.json and of GGUF files.

use super::super::{GgufKeys, Rope, Scaling, Yarn};
use super::{assert_all_near, assert_near, configured, of_config, plan};
use serde_json::{Value, json};

#[test]
fn dialects() {
    let yarn = json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048 });
    let four = json!({ "rope_theta": 5e5, "rope_scaling": yarn, "rope_parameters": null });
    let mut parameters = yarn.clone();
    parameters["rope_theta"] = json!(500_000);
    let five = json!({ "rope_parameters": parameters });
    let by_type = json!({ "rope_parameters": { "full_attention": parameters, "sliding_attention": null } });
    assert_eq!(of_config(64, four.clone()), of_config(64, five));
    assert_eq!(of_config(64, four), of_config(64, by_type));
    assert_eq!(of_config(64, json!({ "rope_scaling": {} })), Rope::new(64, 1e4, Scaling::None));

    // Three quarters of a head, and the whole of it with a part that stands still.
    let partial = of_config(64, json!({ "partial_rotary_factor": 0.75 })).expect("is possible");
    assert_eq!(partial.plan(0).inv_freq.len(), 24);
    assert_near(partial.plan(0).inv_freq[1], 1e4f64.powf(-2.0 / 48.0));
    let config =
        json!({ "rope_parameters": { "rope_type": "proportional", "partial_rotary_factor": 0.25, "factor": 2 } });
    let proportional = configured(8, config, 0);
    assert_all_near(&proportional.inv_freq, &[0.5, 0.0, 0.0, 0.0]);
}

#[test]
fn published_configurations_load() {
    let longrope = |kind: &str, extra: (&str, f64)| {
        let factors = vec![1.0; 48];
        let mut config = json!({ "max_position_embeddings": 131_072, "original_max_position_embeddings": 4096,
            "rope_scaling": { "type": kind, "short_factor": factors, "long_factor": factors } });
        config["rope_scaling"][extra.0] = json!(extra.1);
        config
    };
    assert_near(configured(96, longrope("su", ("factor", 32.0)), 9).attention_factor, 1.1902380714238083);
    let phi_moe = longrope("longrope", ("long_mscale", 1.243163121016122));
    assert_near(configured(96, phi_moe.clone(), 5000).attention_factor, 1.243163121016122);
    assert_near(configured(96, phi_moe, 5).attention_factor, 1.1902380714238083);
    let finetuned = json!({ "rope_scaling": { "factor": 16.0, "finetuned": true, "type": "yarn",
        "original_max_position_embeddings": 4096 }, "max_position_embeddings": 65536 });
    assert!(of_config(128, finetuned).is_ok());
    let dynamic = json!({ "max_position_embeddings": 2048, "rope_scaling": { "type": "dynamic", "factor": 2.0 } });
    assert_eq!(configured(64, dynamic, 2048).inv_freq, plan(64, 1e4, Scaling::None).inv_freq);
}

#[test]
fn what_is_unknown_contradictory_or_missing_is_quoted() {
    let llama3 = json!({ "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4 });
    let longrope = json!({ "type": "longrope", "short_factor": [1, 1], "long_factor": [1, 1, 1, 1] });
    for (config, problem) in [
        (json!({ "rope_scaling": { "rope_type": "spiral" } }), "unknown rope type 'spiral'"),
        (json!({ "rope_scaling": { "rope_type": "linear" } }), "'linear' without factor"),
        (json!({ "rope_scaling": { "rope_type": "linear", "factor": 0.5 } }), "factor 0.5 is below 1"),
        (json!({ "rope_scaling": { "rope_type": "linear", "factor": "2" } }), "factor is \"2\", not a number"),
        (json!({ "rope_scaling": { "rope_type": "yarn" } }), "'yarn' without factor"),
        (json!({ "rope_scaling": llama3 }), "'llama3' without original_max_position_embeddings"),
        (json!({ "rope_scaling": { "rope_type": "linear", "factor": 2, "beta_fast": 32 } }), "'beta_fast'"),
        (json!({ "rope_scaling": { "rope_type": "linear", "type": "yarn", "factor": 2 } }), "type is 'yarn'"),
        (
            json!({ "rope_scaling": longrope, "original_max_position_embeddings": 64, "max_position_embeddings": 128 }),
            "short_factor has 2 entries, but there are 4",
        ),
        (json!({ "rope_scaling": { "type": "dynamic", "factor": 2 } }), "without max_position_embeddings"),
        (json!({ "rope_theta": 1e4, "rope_parameters": { "rope_theta": 5e5 } }), "rope_theta is 500000.0 in one place"),
        (
            json!({ "rope_scaling": { "type": "linear", "factor": 2 }, "rope_parameters": { "rope_type": "default" } }),
            "rope_type is 'default', but type is 'linear'",
        ),
        (json!({ "rope_scaling": "linear" }), "rope_scaling is \"linear\", not an object"),
        (json!({ "rope_parameters": { "full_attention": {}, "factor": 2 } }), "'factor' beside settings by type"),
        (json!({ "partial_rotary_factor": 1.5 }), "partial_rotary_factor 1.5"),
        (json!({ "rope_theta": 0.5 }), "theta 0.5"),
    ] {
        let error = of_config(8, config.clone()).unwrap_err();
        assert!(error.starts_with("rope: ") && error.contains(problem), "{config}: {error}");
    }
}

/// Keys of a made-up file, and its tensors.
struct Keys(Value);

impl GgufKeys for Keys {
    fn number(&self, key: &str) -> Option<f64> {
        self.0[key].as_f64()
    }

    fn string(&self, key: &str) -> Option<String> {
        self.0[key].as_str().map(str::to_string)
    }

    fn tensor(&self, name: &str) -> Option<Vec<f64>> {
        Some(self.0[name].as_array()?.iter().filter_map(Value::as_f64).collect())
    }
}

fn of_gguf(keys: Value) -> Result<Rope, String> {
    Rope::of_gguf(&Keys(keys), 8, 8192)
}

#[test]
fn settings_of_gguf_files() {
    let none = of_gguf(json!({ "rope.freq_base": 1e6, "rope.dimension_count": 6 })).expect("is possible");
    assert_eq!(none, Rope::new(6, 1e6, Scaling::None).expect("is possible"));
    let linear = Rope::new(8, 1e4, Scaling::Linear { factor: 4.0 });
    assert_eq!(of_gguf(json!({ "rope.scaling.factor": 4.0, "rope.scaling.type": "linear" })), linear);
    assert_eq!(of_gguf(json!({ "rope.scale_linear": 4.0 })), linear);
    let yarn = json!({ "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 2048 });
    assert_eq!(of_gguf(yarn.clone()), Rope::new(8, 1e4, Scaling::Yarn(Yarn::new(4.0, 2048.0))));
    let mut weighted = yarn;
    weighted["rope.scaling.yarn_log_multiplier"] = json!(1.0);
    assert_near(of_gguf(weighted).expect("is possible").plan(0).attention_factor, 1.0);
    let longrope = json!({ "rope_factors_short.weight": [1, 1, 1, 1], "rope_factors_long.weight": [1, 1.5, 3, 4.5],
        "rope.scaling.original_context_length": 2048, "rope.scaling.attn_factor": 1.25 });
    let long = of_gguf(longrope).expect("is possible").plan(2049);
    assert_all_near(&long.inv_freq, &[1.0, 0.0666666667, 0.00333333333, 0.000222222222]);
    assert_eq!(long.attention_factor, 1.25);

    let divisors = json!([1, 1, 1, 1]);
    for (keys, problem) in [
        (json!({ "rope.scaling.type": "spiral" }), "unknown rope type 'spiral'"),
        (json!({ "rope.scaling.type": "linear" }), "'linear' without rope.scaling.factor"),
        (
            json!({ "rope.scaling.type": "yarn", "rope.scaling.factor": 2 }),
            "without rope.scaling.original_context_length",
        ),
        (json!({ "rope.scaling.type": "longrope" }), "without rope_factors_short"),
        (json!({ "rope.scaling.factor": 0.5 }), "factor 0.5 is below 1"),
        (json!({ "rope.scaling.factor": 2, "rope_freqs.weight": divisors }), "beside rope_freqs.weight"),
        (json!({ "rope.scaling.type": "none", "rope.scaling.factor": 2 }), "'none' beside rope.scaling.factor 2"),
        (json!({ "rope_freqs.weight": [1] }), "rope_freqs.weight has 1 entries"),
        (json!({ "rope.dimension_count": 16 }), "above the head size 8"),
    ] {
        let error = of_gguf(keys.clone()).unwrap_err();
        assert!(error.contains(problem), "{keys}: {error}");
    }
}
