//! Which extension is chosen, and what is refused; files of factors.

use super::super::{Factors, Method, Policy, Published, Reach, Refusal, Rope, Scaling, Yarn};
use serde_json::{Value, json};

const NATIVE: usize = 8192;

fn rope() -> Rope {
    Rope::new(8, 1e4, Scaling::None).expect("is possible")
}

fn policy(context: &str, rope: &str) -> Policy {
    let (reach, method) = (context.parse().expect("a context"), rope.parse().expect("a rope"));
    Policy { reach, method, ..Policy::default() }
}

/// The method chosen, how far it reaches, and the factor of YaRN or NTK.
fn chosen(policy: &Policy, planned: usize) -> (String, usize, Option<f64>) {
    let chosen = policy.choose(Some(&rope()), NATIVE, planned).expect("fits");
    let factor = match chosen.scaling {
        Some(Scaling::Yarn(yarn)) => Some(yarn.factor),
        Some(Scaling::Ntk { factor } | Scaling::Linear { factor }) => Some(factor),
        _ => None,
    };
    assert_eq!(chosen.extension.cost.is_none(), chosen.extension.is_native());
    (chosen.extension.method, chosen.extension.context_length, factor)
}

fn refused(policy: &Policy, planned: usize) -> Refusal {
    policy.choose(Some(&rope()), NATIVE, planned).expect_err("cannot be")
}

fn factors() -> Value {
    json!({ "model": "m", "rope_theta": 1e4, "original_context": 8192, "target_context": 32768,
        "long_factors": [1, 1.5, 3, 4.5], "start_tokens": 4, "found": { "evaluations": 3 } })
}

#[test]
fn auto_takes_what_fits_in_its_order() {
    let mut auto = policy("auto", "auto");
    assert_eq!(chosen(&auto, NATIVE), ("native".into(), NATIVE, None));
    assert_eq!(chosen(&auto, NATIVE + 1), ("yarn".into(), 8704, Some(1.0625)));
    assert_eq!(chosen(&auto, 12_000), ("yarn".into(), 12_288, Some(1.5)));
    assert_eq!(chosen(&auto, 32_768).2, Some(4.0));
    assert!(matches!(refused(&auto, 32_769), Refusal::TooLong { context_length: 32_768, .. }));
    auto.searched = Some(Factors::parse(&factors().to_string()).expect("is possible"));
    assert_eq!(chosen(&auto, 12_000), ("searched".into(), 32_768, None));
    auto.searched = auto.searched.map(|factors| Factors { worth_beyond: Some(13_000), ..factors });
    assert_eq!(chosen(&auto, 12_000), ("yarn".into(), 12_288, Some(1.5)));
    assert_eq!(chosen(&auto, 13_001), ("searched".into(), 32_768, None));
    auto.published = Some(Published { factor: 2.0, original_context: NATIVE, source: "its card".into() });
    assert_eq!(chosen(&auto, 12_000), ("published".into(), 16_384, Some(2.0)));
    assert_eq!(chosen(&auto, 17_000).0, "searched", "the published one does not reach");
    assert_eq!(chosen(&auto, NATIVE).0, "native");
}

#[test]
fn what_was_asked_for_is_taken_or_refused() {
    assert_eq!(chosen(&policy("auto", "yarn:2"), 100), ("yarn".into(), 16_384, Some(2.0)));
    assert_eq!(chosen(&policy("auto", "yarn:8"), 60_000).2, Some(8.0));
    assert_eq!(chosen(&policy("auto", "ntk"), 9000), ("ntk".into(), 9216, Some(1.125)));
    assert_eq!(chosen(&policy("auto", "ntk"), 9).0, "native");
    assert_eq!(chosen(&policy("20000", "auto"), 100), ("yarn".into(), 20_000, Some(2.5)));
    assert_eq!(chosen(&policy("20000", "dynamic"), 100), ("dynamic".into(), 20_000, None));
    assert_eq!(chosen(&policy("4000", "auto"), 100), ("native".into(), 4000, None));
    for (context, rope, planned, limit) in [
        ("4000", "auto", 4001, 4000),
        ("native", "auto", 8193, 8192),
        ("auto", "native", 8193, 8192),
        ("auto", "linear:2", 16_385, 16_384),
    ] {
        let refusal = refused(&policy(context, rope), planned);
        assert!(matches!(refusal, Refusal::TooLong { context_length, .. } if context_length == limit), "{refusal:?}");
    }
    for (context, rope) in [("native", "yarn:2"), ("20000", "native"), ("20000", "yarn:2"), ("native", "ntk")] {
        assert!(matches!(refused(&policy(context, rope), 100), Refusal::Contradiction(_)), "{context} {rope}");
    }
}

#[test]
fn positions_that_are_scaled_already_are_left_alone() {
    let linear = Rope::new(8, 1e4, Scaling::Linear { factor: 2.0 }).expect("is possible");
    let auto = policy("auto", "auto");
    let refusal = auto.choose(Some(&linear), NATIVE, 9000).expect_err("is scaled");
    assert!(
        matches!(&refusal, Refusal::TooLong { context_length: NATIVE, why } if why.contains("linear")),
        "{refusal:?}"
    );
    assert!(matches!(policy("auto", "yarn:2").choose(Some(&linear), NATIVE, 9), Err(Refusal::Contradiction(_))));
    assert!(matches!(auto.choose(None, NATIVE, 9000), Err(Refusal::TooLong { .. })), "windows everywhere");
    // A model's own YaRN is stretched over what it was first trained with.
    let own = Rope::new(8, 1e4, Scaling::Yarn(Yarn::new(2.0, 4096.0))).expect("is possible");
    let more = auto.choose(Some(&own), NATIVE, 9000).expect("fits");
    assert_eq!(more.scaling, Some(Scaling::Yarn(Yarn::new(2.25, 4096.0))));
}

#[test]
fn options_are_read_as_they_are_written() {
    for text in ["auto", "native", "linear:2", "ntk", "ntk:1.5", "dynamic", "yarn", "yarn:4", "longrope:a:b.json"] {
        assert_eq!(text.parse::<Method>().expect(text).to_string(), text);
    }
    for bad in ["yarn:0.5", "yarn:x", "yarn:nan", "linear", "longrope", "longrope:", "native:2", "spiral", ""] {
        assert!(bad.parse::<Method>().is_err(), "{bad}");
    }
    assert_eq!("20000".parse(), Ok(Reach::Tokens(20_000)));
    for bad in ["0", "-1", "many", "99999999999"] {
        assert!(bad.parse::<Reach>().is_err(), "{bad}");
    }
}

#[test]
fn factors_are_read_and_what_is_wrong_names_the_key() {
    let good = Factors::parse(&factors().to_string()).expect("is possible");
    let scaling = good.scaling(1e4, 4).expect("is possible");
    let rope = Rope::new(8, 1e4, scaling).expect("is possible");
    let (short, long) = (rope.plan(NATIVE), rope.plan(NATIVE + 1));
    assert_eq!(short.inv_freq, Rope::new(8, 1e4, Scaling::None).expect("is possible").plan(1).inv_freq);
    assert_eq!((short.attention_factor, short.start_tokens, long.start_tokens), (1.0, 0, 4));
    super::assert_near(long.attention_factor, 1.0741723110591492);
    super::assert_near(long.inv_freq[1], 0.1 / 1.5);
    // Tokens at the start stay where they are, those behind them are moved.
    assert_eq!(long.table(3..4).0[1], ((0.3_f64).cos() * long.attention_factor) as f32);
    assert_eq!(long.table(4..5).0[1], ((0.4_f64 / 1.5).cos() * long.attention_factor) as f32);
    assert!(good.scaling(1e4, 5).unwrap_err().contains("long_factors has 4 entries"));
    assert!(good.scaling(1e5, 4).unwrap_err().contains("rope_theta"));
    for (key, value) in [
        ("long_factors", json!([1, 0.5, 3, 4])),
        ("long_factors", json!([1, 3, 2, 4])),
        ("long_factors", json!([])),
        ("short_factors", json!([1, 2])),
        ("target_context", json!(8192)),
        ("worth_beyond", json!(32_768)),
        ("original_context", json!(1)),
        ("start_tokens", json!(9000)),
        ("attention_factor", json!(0)),
        ("rope_theta", json!(0.5)),
        ("colour", json!(1)),
    ] {
        let mut bad = factors();
        bad[key] = value.clone();
        let problem = Factors::parse(&bad.to_string()).expect_err(key);
        assert!(problem.contains(key), "{key} {value}: {problem}");
    }
    for key in ["model", "long_factors", "found", "original_context"] {
        let mut bad = factors();
        bad.as_object_mut().expect("an object").remove(key);
        assert!(Factors::parse(&bad.to_string()).expect_err(key).contains(key), "{key}");
    }
}
