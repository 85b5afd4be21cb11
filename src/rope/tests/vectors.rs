//! Numbers, and what holds between them.

use super::super::{LongRope, RopePlan, Scaling, Yarn, scaling};
use super::{assert_all_near, assert_near, configured, plan};
use ronbun_kernels::{
    Isa,
    elementwise::{Pairing, rotate},
};
use serde_json::json;

#[test]
fn eight_elements() {
    assert_all_near(&plan(8, 1e4, Scaling::None).inv_freq, &[1.0, 0.1, 0.01, 0.001]);
    assert_all_near(&plan(8, 1e4, Scaling::Linear { factor: 4.0 }).inv_freq, &[0.25, 0.025, 0.0025, 0.00025]);
    assert_near(scaling::ntk_theta(1e4, 8, 4.0), 63496.04207872797);
    assert_all_near(
        &plan(8, 1e4, Scaling::Ntk { factor: 4.0 }).inv_freq,
        &[1.0, 0.06299605249, 0.00396850263, 0.00025],
    );

    let yarn = Yarn::new(4.0, 2048.0);
    let (low, high) = yarn.ends(1e4, 8);
    assert_near(low, 1.0080001056);
    assert_near(high, 2.5131500839);
    assert_eq!(yarn.ramp(1e4, 8), [0.0, 0.0, 0.5, 1.0]);
    let rounded = plan(8, 1e4, Scaling::Yarn(yarn.clone()));
    assert_all_near(&rounded.inv_freq, &[1.0, 0.1, 0.00625, 0.00025]);
    assert_near(rounded.attention_factor, 1.138629436111989);
    let exact = Yarn { truncate: false, ..yarn };
    assert_near(exact.ramp(1e4, 8)[2], 0.659070464);
    assert_near(plan(8, 1e4, Scaling::Yarn(exact)).inv_freq[2], 0.005056971521);

    let longrope = json!({ "max_position_embeddings": 8192, "original_max_position_embeddings": 2048,
        "rope_scaling": { "type": "su", "short_factor": [1, 1, 1, 1], "long_factor": [1, 1.5, 3, 4.5] } });
    let long = configured(8, longrope.clone(), 2049);
    assert_all_near(&long.inv_freq, &[1.0, 0.0666666667, 0.00333333333, 0.000222222222]);
    assert_near(long.attention_factor, 1.087114613009218);
    let short = configured(8, longrope, 2048);
    assert_all_near(&short.inv_freq, &[1.0, 0.1, 0.01, 0.001]);
    assert_near(short.attention_factor, 1.087114613009218);

    let llama3 = Scaling::Llama3 { factor: 4.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 64.0 };
    assert_all_near(&plan(8, 1e4, llama3).inv_freq, &[1.0, 0.02546479089, 0.0025, 0.00025]);
    let divisors = Scaling::Divisors(vec![1.0, 3.926990817, 4.0, 4.0]);
    assert_all_near(&plan(8, 1e4, divisors).inv_freq, &[1.0, 0.02546479089, 0.0025, 0.00025]);
}

#[test]
fn llama_2() {
    let plain = plan(128, 1e4, Scaling::None);
    let yarn = Yarn::new(8.0, 4096.0);
    let (low, high) = yarn.ends(1e4, 128);
    assert_near(low, 20.94448162);
    assert_near(high, 45.02688127);
    let scaled = plan(128, 1e4, Scaling::Yarn(yarn));
    for (i, default, yarn) in [
        (0, 1.0, 1.0),
        (20, 0.0562341325, 0.0562341325),
        (24, 0.0316227766, 0.0273658644),
        (32, 0.01, 0.00596153846),
        (40, 0.00316227766, 0.00103382154),
        (45, 0.00153992653, 0.000244315266),
        (46, 0.00133352143, 0.000166690179),
        (63, 0.000115478198, 0.0000144347748),
    ] {
        assert_near(plain.inv_freq[i], default);
        assert_near(scaled.inv_freq[i], yarn);
    }
    assert_near(scaled.attention_factor, 1.2079441541679836);
    assert_near(scaling::ntk_theta(1e4, 128, 8.0), 82684.62264056221);
    let ntk = plan(128, 1e4, Scaling::Ntk { factor: 8.0 });
    assert_near(ntk.inv_freq[32], 0.00347766405);
    assert_near(ntk.inv_freq[63], 1.44347748e-5);
    for (factor, context, planned, theta) in
        [(1.0, 4096.0, 32768, 82684.6226), (2.0, 4096.0, 16384, 72195.8601), (4.0, 2048.0, 3000, 29074.5843)]
    {
        assert_near(scaling::dynamic_theta(1e4, 128, factor, context, planned), theta);
        assert_eq!(scaling::dynamic_theta(1e4, 128, factor, context, 100), 1e4);
    }
}

#[test]
fn qwen2_5_with_yarn() {
    let config = json!({ "rope_theta": 1e6, "max_position_embeddings": 32768,
        "rope_scaling": { "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768 } });
    let (scaled, plain) = (configured(128, config, 0), plan(128, 1e6, Scaling::None));
    let divisor = |i: usize| plain.inv_freq[i] / scaled.inv_freq[i];
    assert_eq!(divisor(23), 1.0);
    assert_near(divisor(24), 1.04615385);
    assert_near(divisor(32), 1.65853659);
    (40..64).for_each(|i| assert_near(divisor(i), 4.0));
    assert_near(scaled.attention_factor, 1.138629436111989);
}

#[test]
fn llama_3() {
    let config = |factor: f64| {
        json!({ "rope_theta": 5e5, "max_position_embeddings": 131_072, "rope_scaling": { "rope_type": "llama3",
            "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192 } })
    };
    let check = |dim: usize, factor: f64, ramp: &[(usize, f64)]| {
        let (scaled, plain) = (configured(dim, config(factor), 0), plan(dim, 5e5, Scaling::None));
        let (first, last) = (ramp[0].0, ramp[ramp.len() - 1].0);
        for i in 0..dim / 2 {
            let listed = ramp.iter().find(|(at, _)| *at == i).map(|(_, divisor)| *divisor);
            let expected = listed.unwrap_or(if i < first { 1.0 } else { factor });
            assert!(i < first || i > last || listed.is_some());
            assert_near(plain.inv_freq[i] / scaled.inv_freq[i], expected);
        }
        scaled
    };
    let listed = [(29, 1.207484), (30, 1.553415), (31, 2.026313), (32, 2.69453), (33, 3.684253), (34, 5.257327)];
    assert_near(check(128, 8.0, &listed).inv_freq[32], 0.000524846161);
    check(64, 32.0, &[(15, 1.651329), (16, 3.292262), (17, 9.666729)]);
}

#[test]
fn ends_that_are_not_rounded() {
    let yarn = Yarn { truncate: false, ..Yarn::new(32.0, 4096.0) };
    let (low, high) = yarn.ends(150_000.0, 64);
    assert_near(low, 8.0927791155);
    assert_near(high, 17.3980245016);
    let plan = plan(64, 150_000.0, Scaling::Yarn(yarn));
    assert_near(plan.attention_factor, 1.3465735903);
    assert_near(plan.inv_freq[10], 0.0193350011);
    assert_near(plan.inv_freq[12], 0.0067949595);
}

#[test]
fn attention_factors() {
    for (factor, original, expected) in [
        (8.0, 4096.0, 1.118033988749895),
        (16.0, 4096.0, 1.1547005383792517),
        (32.0, 4096.0, 1.1902380714238083),
        (4.0, 8192.0, 1.0741723110591492),
    ] {
        assert_near(LongRope::attention_factor(factor, original), expected);
    }
    for (factor, expected) in [(2.0, 1.069314718), (8.0, 1.207944154), (16.0, 1.277258872), (1.0, 1.0)] {
        assert_near(Yarn::mscale(factor, 1.0), expected);
    }
    // DeepSeek's two weights, and none where they agree.
    let config = |one: f64, all: f64| {
        json!({ "rope_scaling": { "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
            "mscale": one, "mscale_all_dim": all } })
    };
    assert_near(configured(64, config(1.0, 1.0), 0).attention_factor, 1.0);
    assert_near(configured(64, config(0.707, 1.0), 0).attention_factor, 1.2608038 / 1.3688879);
    assert_near(configured(64, config(1.0, 0.0), 0).attention_factor, 1.3688879454);
}

#[test]
fn rotation() {
    let plan = plan(8, 1e4, Scaling::None);
    let x: Vec<f32> = (1..=8).map(|i| i as f32).collect();
    let rotated = |pairing| turned(&plan, &x, 3, pairing).into_iter().map(f64::from).collect::<Vec<_>>();
    assert_all_near(
        &rotated(Pairing::HalfSplit),
        &[-1.695592537, 0.137551738, 2.7886816, 3.975982036, -4.808842475, 6.323059348, 7.086836737, 8.011963982],
    );
    assert_all_near(
        &rotated(Pairing::Interleaved),
        &[-1.272232513, -1.838864985, 1.683928641, 4.707906576, 4.817777168, 6.147277704, 6.975968536, 8.020963969],
    );
    let (cos, _) = plan.table(std::iter::once(1000));
    let cos: Vec<f64> = cos.into_iter().map(f64::from).collect();
    assert_all_near(&cos, &[0.562379076, 0.862318872, -0.839071529, 0.540302306]);
}

#[test]
fn properties() {
    let plain = plan(64, 1e4, Scaling::None);
    assert_eq!(plan(64, 1e4, Scaling::Divisors(vec![1.0; 32])).inv_freq, plain.inv_freq);
    assert_eq!(plan(64, 1e4, Scaling::Yarn(Yarn::new(1.0, 2048.0))).inv_freq.len(), 32);
    let linear = plan(64, 1e4, Scaling::Linear { factor: 4.0 });
    assert_eq!(linear.table(std::iter::once(400)), plain.table(std::iter::once(100)));
    for scaling in [
        Scaling::Ntk { factor: 8.0 },
        Scaling::Yarn(Yarn::new(8.0, 2048.0)),
        Scaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 2048.0 },
    ] {
        let scaled = plan(64, 1e4, scaling);
        let divisors: Vec<f64> = plain.inv_freq.iter().zip(&scaled.inv_freq).map(|(a, b)| a / b).collect();
        assert!(divisors.is_sorted_by(|a, b| *a <= b + 1e-12), "{divisors:?}");
        assert!(divisors[0] > 0.999_999 && divisors[31] < 8.000_001);
    }
}

/// A head's elements turned to some position.
fn turned(plan: &RopePlan, x: &[f32], position: usize, pairing: Pairing) -> Vec<f32> {
    let (cos, sin) = plan.table(std::iter::once(position));
    let (mut x, head_dim) = (x.to_vec(), x.len());
    rotate(Isa::current(), &mut x, &cos, &sin, 1, head_dim, pairing);
    x
}

#[test]
fn scores_depend_on_distances_and_lengths_on_the_factor_only() {
    let x = |seed: u32| -> Vec<f32> { (0..64).map(|i| ((i * 7 + seed) % 13) as f32 / 6.0 - 1.0).collect() };
    let (q, k) = (x(3), x(8));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    for scaling in [Scaling::None, Scaling::Ntk { factor: 4.0 }, Scaling::Yarn(Yarn::new(4.0, 2048.0))] {
        let plan = plan(64, 1e4, scaling);
        let score = |n: usize, k_at: usize| {
            dot(&turned(&plan, &q, n, Pairing::HalfSplit), &turned(&plan, &k, k_at, Pairing::HalfSplit))
        };
        assert!((score(9000, 8900) - score(117, 17)).abs() < 1e-4);
        let long = turned(&plan, &q, 5000, Pairing::HalfSplit);
        assert_near(dot(&long, &long).sqrt(), plan.attention_factor * dot(&q, &q).sqrt());
        // Rows permuted as a converter does, pairs interleaved: the same elements in the other order.
        let permuted: Vec<f32> = (0..64).map(|i| q[i / 2 + i % 2 * 32]).collect();
        let interleaved = turned(&plan, &permuted, 77, Pairing::Interleaved);
        let half_split = turned(&plan, &q, 77, Pairing::HalfSplit);
        assert!((0..64).all(|i| interleaved[i] == half_split[i / 2 + i % 2 * 32]));
    }
}

#[test]
fn neighbouring_positions_differ_far_out() {
    let plan = plan(64, 1e6, Scaling::None);
    for position in [4096, 70_000] {
        let (cos, sin) = plan.table([position - 1, position].into_iter());
        assert!((0..32).all(|i| cos[i] != cos[32 + i] || sin[i] != sin[32 + i]));
        assert!((f64::from(cos[32]) - (position as f64).cos()).abs() < 1e-7);
    }
}
