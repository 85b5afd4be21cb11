//! One test body for every instruction set, held to the naive f64 reference.

#[path = "common/by_candle.rs"]
mod by_candle;
mod common;

use common::{Random, assert_close};
use ronbun_kernels::{
    Isa,
    attention::{self, BLOCK, KvBlocks, KvType, Shape, Visible},
    blocks::{self, BlockType},
    elementwise::{self, Activation, Pairing},
    linear::{self, Weights},
    packed::{self, Activations, Packed},
    reference,
};

/// Random weights quantised by candle: their bytes, and what candle makes of them.
fn quantised(kind: BlockType, rows: usize, columns: usize, random: &mut Random) -> (Vec<u8>, Vec<f32>) {
    by_candle::quantised(kind, &random.vec(rows * columns), columns)
}

#[test]
fn every_block_type_dequantises_as_candle_does() {
    let mut random = Random(1);
    for kind in BlockType::ALL {
        let (bytes, expected) = quantised(kind, 3, 768, &mut random);
        assert_eq!(bytes.len(), kind.size_of(3 * 768), "{kind:?}");
        for isa in Isa::available() {
            let mut got = vec![0f32; expected.len()];
            blocks::dequantize(isa, kind, &bytes, &mut got);
            for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let error = (got - expected).abs();
                assert!(error <= 1e-6 * expected.abs().max(0.01), "{kind:?} on {isa}: {i} is {got}, not {expected}");
            }
        }
    }
}

#[test]
fn linear_of_every_type_and_shape() {
    let mut random = Random(2);
    for kind in BlockType::ALL {
        for (m, n, k) in [
            (1, 5, 256),
            (2, 1, 512),
            (7, 33, 256),
            (23, 64, 256),
            (24, 65, 256),
            (61, 130, 1280),
            (12, 17, 2560),
            (3, 16, 4352),
        ] {
            let (bytes, values) = quantised(kind, n, k, &mut random);
            let (x, bias) = (random.vec(m * k), random.vec(n));
            for bias in [None, Some(&bias[..])] {
                let expected = reference::linear(&x, &values, k, bias);
                for isa in Isa::available() {
                    let weights = Weights { kind, bytes: &bytes, rows: n, columns: k };
                    let mut y = vec![f32::NAN; m * n];
                    linear::linear(isa, &x, weights, bias, &mut y);
                    assert_close(&y, &expected, 2e-6, &format!("{kind:?} ({m}, {n}, {k}) on {isa}"));
                }
            }
        }
    }
}

#[test]
fn rows_of_a_matrix() {
    let (bytes, values) = quantised(BlockType::Q5_0, 9, 64, &mut Random(3));
    let weights = Weights { kind: BlockType::Q5_0, bytes: &bytes, rows: 9, columns: 64 };
    let mut got = vec![0f32; 3 * 64];
    linear::rows(Isa::current(), weights, &[8, 0, 8], &mut got);
    assert_eq!(got, [&values[512..], &values[..64], &values[512..]].concat());
}

/// As `isa` keeps them, which is how it looks at them.
fn cache(isa: Isa, kind: KvType, shape: Shape, keys: &[f32], values: &[f32]) -> KvBlocks {
    let mut cache = KvBlocks::new(kind, shape.kv_heads, shape.head_dim);
    // In uneven pieces, as a chunked prefill and then a decode append them.
    let row = shape.kv_heads * shape.head_dim;
    let mut at = 0;
    for piece in [50, 1, 1, 77, 300].into_iter().cycle() {
        let end = (at + piece * row).min(keys.len());
        cache.append(isa, &keys[at..end], &values[at..end]);
        at = end;
        if at == keys.len() {
            break;
        }
    }
    cache
}

#[test]
fn attention_of_every_shape() {
    let mut random = Random(4);
    let shapes = [(1, 1, 16), (4, 2, 24), (6, 2, 64), (9, 3, 64), (16, 1, 128), (2, 2, 80), (8, 1, 256), (2, 1, 272)];
    for (heads, kv_heads, head_dim) in shapes {
        let shape = Shape::new(heads, kv_heads, head_dim);
        for (rows, tokens) in [(1, 1), (1, 63), (3, 64), (5, 65), (40, 40), (33, 300), (1, 1100)] {
            let q: Vec<f32> = random.vec(rows * heads * head_dim).iter().map(|x| 4.0 * x).collect();
            let keys = random.vec(tokens * kv_heads * head_dim);
            let values = random.vec(tokens * kv_heads * head_dim);
            for visible in [Visible::All, Visible::Causal { first: tokens - rows.min(tokens) }] {
                let (expected, expected_lse) = reference::attention(shape, &q, &keys, &values, visible);
                for (kind, tolerance) in [(KvType::F32, 3e-6), (KvType::F16, 3e-3), (KvType::I8, 4e-2)] {
                    for isa in Isa::available() {
                        let cache = cache(isa, kind, shape, &keys, &values);
                        let what = format!("{shape:?} {rows} rows, {tokens} tokens, {visible:?}, {kind:?}, {isa}");
                        let got = attention::attend(isa, shape, &q, &cache, visible);
                        assert_close(&got.out, &expected, tolerance, &what);
                        assert_close(&got.lse, &expected_lse, tolerance, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn windows_and_soft_caps() {
    let mut random = Random(15);
    for (heads, kv_heads, head_dim) in [(6, 2, 64), (2, 1, 24)] {
        for (rows, tokens, window) in
            [(1, 1, 1), (40, 40, 7), (70, 300, 64), (33, 1100, 500), (3, 200, 1000), (5, 65, 1)]
        {
            let q: Vec<f32> = random.vec(rows * heads * head_dim).iter().map(|x| 4.0 * x).collect();
            let keys = random.vec(tokens * kv_heads * head_dim);
            let values = random.vec(tokens * kv_heads * head_dim);
            // Branches behind a prefix are at positions of their own; the last sees nothing of it.
            let at: Vec<usize> =
                (0..rows).map(|row| tokens + row * 37 % 90 + if row == 4 { window } else { 0 }).collect();
            let shape = Shape { window: Some(window), ..Shape::new(heads, kv_heads, head_dim) };
            let capped = Shape { softcap: Some(1.5), ..shape };
            for visible in [Visible::Causal { first: tokens - rows }, Visible::Behind { at: &at }] {
                for (shape, kind, tolerance) in [
                    (shape, KvType::F32, 3e-6),
                    (shape, KvType::I8, 3e-2),
                    (capped, KvType::F32, 3e-6),
                    (capped, KvType::I8, 3e-2),
                ] {
                    let (expected, expected_lse) = reference::attention(shape, &q, &keys, &values, visible);
                    for isa in Isa::available() {
                        let cache = cache(isa, kind, shape, &keys, &values);
                        let what = format!("{shape:?} {rows} rows, {tokens} tokens, {visible:?}, {kind:?}, {isa}");
                        let got = attention::attend(isa, shape, &q, &cache, visible);
                        assert_close(&got.out, &expected, tolerance, &what);
                        assert_close(&got.lse, &expected_lse, tolerance, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_whose_scores_are_far_apart() {
    let mut random = Random(16);
    let (shape, tokens) = (Shape::new(2, 1, 64), 9 * BLOCK);
    let direction = random.vec(64);
    let size: f32 = direction.iter().map(|x| x * x).sum();
    // The largest score of each block in nats, about: further apart than f32 has exponents, in either direction.
    for levels in [
        [0.0, 50.0, 20.0, -300.0, 49.0, 48.5, -70.0, -20.0, 50.5],
        [300.0, -400.0, 300.5, 0.0, 270.0, 1.0, 299.0, 9.0, -9.0],
    ] {
        let q: Vec<f32> = [1.0, -1.0].iter().flat_map(|sign| direction.iter().map(move |x| sign * x * 8.0)).collect();
        let mut keys = random.vec(tokens * 64);
        for (token, key) in keys.chunks_exact_mut(64).enumerate() {
            key.iter_mut().zip(&direction).for_each(|(key, x)| *key = 0.02 * *key + x * levels[token / BLOCK] / size);
        }
        let values = random.vec(tokens * 64);
        let (expected, expected_lse) = reference::attention(shape, &q, &keys, &values, Visible::All);
        for isa in Isa::available() {
            let cache = cache(isa, KvType::I8, shape, &keys, &values);
            let got = attention::attend(isa, shape, &q, &cache, Visible::All);
            assert_close(&got.out, &expected, 3e-2, &format!("{levels:?} on {isa}"));
            assert_close(&got.lse, &expected_lse, 1e-3, &format!("{levels:?} on {isa}"));
        }
    }
}

#[test]
fn heads_that_are_not_rounded_take_as_much_room_as_f32() {
    let bytes = |kind, head_dim| KvBlocks::bytes_for(kind, 2, head_dim, 1000);
    assert_eq!(bytes(KvType::I8, 257), bytes(KvType::F32, 257));
    assert!(bytes(KvType::I8, 256) < bytes(KvType::F16, 256));
}

#[test]
fn attention_at_long_distances() {
    let mut random = Random(5);
    let shape = Shape::new(2, 1, 64);
    let tokens = 70_001;
    let (q, keys, values) = (random.vec(3 * 128), random.vec(tokens * 64), random.vec(tokens * 64));
    let visible = Visible::Causal { first: tokens - 3 };
    let (expected, _) = reference::attention(shape, &q, &keys, &values, visible);
    for isa in Isa::available() {
        let cache = cache(isa, KvType::F32, shape, &keys, &values);
        assert_close(&attention::attend(isa, shape, &q, &cache, visible).out, &expected, 2e-5, &isa.to_string());
    }
}

#[test]
fn disjoint_keys_merge_to_the_whole() {
    // The test vector of methods.md §6.2.
    let shape = Shape::new(1, 1, 2);
    let (keys, values) = ([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let of = |range: std::ops::Range<usize>| {
        let mut cache = KvBlocks::new(KvType::F32, 1, 2);
        cache.append(Isa::current(), &keys[range.clone()], &values[range]);
        attention::attend(Isa::current(), shape, &[1.0, 0.5], &cache, Visible::All)
    };
    let (mut prefix, suffix, whole) = (of(0..4), of(4..8), of(0..8));
    assert_close(&prefix.out, &[1.825042, 2.825042], 1e-6, "prefix");
    assert_close(&suffix.out, &[5.514367, 6.514367], 1e-6, "suffix");
    assert_close(&prefix.lse, &[1.239021558], 1e-6, "prefix");
    prefix.merge(&suffix);
    assert_close(&prefix.out, &[3.779281, 4.779281], 1e-6, "merged");
    assert_close(&prefix.lse, &[1.993408475], 1e-6, "merged");
    assert_close(&whole.out, &[3.779281, 4.779281], 1e-6, "whole");
    let empty = of(0..0);
    assert_eq!(empty.lse, [f32::NEG_INFINITY]);
    let before = prefix.clone();
    prefix.merge(&empty);
    assert_eq!(prefix, before, "nothing merged in changes nothing");
    let mut from_nothing = empty;
    from_nothing.merge(&whole);
    assert_close(&from_nothing.out, &[3.779281, 4.779281], 1e-6, "merged into nothing");
}

#[test]
fn a_truncated_cache_is_the_shorter_cache() {
    let mut random = Random(6);
    let shape = Shape { scale: 0.2, ..Shape::new(4, 2, 32) };
    let (keys, values, q) = (random.vec(200 * 64), random.vec(200 * 64), random.vec(128));
    for len in [1, 64, 100, 128, 199] {
        let mut long = cache(Isa::current(), KvType::F16, shape, &keys, &values);
        long.truncate(len);
        let short = cache(Isa::current(), KvType::F16, shape, &keys[..len * 64], &values[..len * 64]);
        let attend = |cache: &KvBlocks| attention::attend(Isa::current(), shape, &q, cache, Visible::All);
        assert_eq!(attend(&long), attend(&short), "{len} tokens");
        // What is appended after a truncation replaces what was there.
        long.append(Isa::current(), &keys[len * 64..], &values[len * 64..]);
        assert_eq!(
            attend(&long),
            attend(&cache(Isa::current(), KvType::F16, shape, &keys, &values)),
            "{len} tokens and the rest"
        );
    }
}

#[test]
fn rms_norm_and_gated_activation() {
    let mut random = Random(7);
    let (x, weight) = (random.vec(5 * 100), random.vec(100));
    let mut sum = x.clone();
    elementwise::add(&mut sum, &x);
    assert!(sum.iter().zip(&x).all(|(sum, x)| *sum == 2.0 * x));
    let expected: Vec<f64> = x
        .chunks(100)
        .flat_map(|x| {
            let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 100.0;
            x.iter().zip(&weight).map(move |(&x, &w)| f64::from(x) / (mean + 1e-5).sqrt() * f64::from(w))
        })
        .collect();
    for isa in Isa::available() {
        let mut y = vec![0f32; 500];
        elementwise::rms_norm(isa, &x, &weight, 1e-5, &mut y);
        assert_close(&y, &expected, 1e-6, &format!("rms_norm on {isa}"));
    }

    let mut gate: Vec<f32> = random.vec(4097 + 5).iter().map(|x| 40.0 * x).collect();
    gate[..6].copy_from_slice(&[0.0, -200.0, 200.0, 1e-6, -88.5, 88.5]);
    let up = random.vec(gate.len());
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    let activations: [(Activation, &dyn Fn(f64) -> f64); 2] =
        [(Activation::Silu, &silu), (Activation::GeluTanh, &gelu)];
    for (activation, exact) in activations {
        let expected: Vec<f64> = gate.iter().zip(&up).map(|(&g, &u)| exact(f64::from(g)) * f64::from(u)).collect();
        for isa in Isa::available() {
            let mut got = gate.clone();
            elementwise::gate(isa, activation, &mut got, &up);
            assert_close(&got, &expected, 1e-6, &format!("{activation:?} on {isa}"));
        }
    }
    let mut half = up.clone();
    elementwise::scale(&mut half, 0.5);
    assert!(half.iter().zip(&up).all(|(half, up)| *half == 0.5 * up));
}

#[test]
fn rotation_in_both_pairings() {
    // The test vector of methods.md §1.7, T6: d = 8, base 10,000, position 3.
    let angles: Vec<f64> = (0..4).map(|i| 3.0 * 10_000f64.powf(-f64::from(i) / 4.0)).collect();
    let cos: Vec<f32> = angles.iter().map(|a| a.cos() as f32).collect();
    let sin: Vec<f32> = angles.iter().map(|a| a.sin() as f32).collect();
    let x: Vec<f32> = (1..=8).map(|x| x as f32).collect();
    let expected = [
        (
            Pairing::HalfSplit,
            [-1.695592537, 0.137551738, 2.7886816, 3.975982036, -4.808842475, 6.323059348, 7.086836737, 8.011963982],
        ),
        (
            Pairing::Interleaved,
            [-1.272232513, -1.838864985, 1.683928641, 4.707906576, 4.817777168, 6.147277704, 6.975968536, 8.020963969],
        ),
    ];
    for (pairing, expected) in expected {
        let mut got = x.clone();
        elementwise::rotate(Isa::current(), &mut got, &cos, &sin, 1, 8, pairing);
        assert_close(&got, &expected, 1e-6, &format!("{pairing:?}"));
    }
    // Only the first elements of a wider head turn.
    let mut got = [x.clone(), vec![9.0, 10.0]].concat();
    elementwise::rotate(Isa::current(), &mut got, &cos, &sin, 1, 10, Pairing::HalfSplit);
    assert_close(&got[..8], &expected[0].1, 1e-6, "partial rotation");
    assert_eq!(got[8..], [9.0, 10.0]);
}

#[test]
fn packed_linears_of_every_type_and_shape() {
    let mut random = Random(11);
    for kind in BlockType::ALL {
        // With and without a bias, since results go straight to where they belong if nothing is added to them.
        let few = [(1, 5, 256), (2, 16, 512), (9, 33, 256), (24, 64, 256)];
        let many = [(61, 130, 1280), (13, 50, 5376), (37, 20, 5376), (3, 16, 10496), (200, 32, 256)];
        for (m, n, k) in few.into_iter().chain(many) {
            let (bytes, values) = quantised(kind, n, k, &mut random);
            let Some(size) = packed::size(kind, n, k) else {
                assert!(matches!(kind, BlockType::F32 | BlockType::F16 | BlockType::BF16));
                continue;
            };
            let mut packed = vec![0xAA; size];
            packed::pack(kind, &bytes, n, k, &mut packed);
            let (x, bias) = (random.vec(m * k), random.vec(n));
            for isa in Isa::available() {
                let x = Activations::new(isa, &x, k);
                for bias in [Some(&*bias), None] {
                    let expected = reference::linear(&x.values(), &values, k, bias);
                    let mut y = vec![f32::NAN; m * n];
                    packed::linear(isa, &x, Packed { kind, bytes: &packed, rows: n, columns: k }, bias, &mut y);
                    // Scales are rounded to halves.
                    assert_close(&y, &expected, 1e-3, &format!("{kind:?} ({m}, {n}, {k}) on {isa}"));
                }
            }
        }
    }
}

#[test]
fn activations_round_to_half_a_step() {
    let mut random = Random(12);
    let mut x = random.vec(5 * 96);
    x[96..128].fill(0.0);
    for isa in Isa::available() {
        let rounded = Activations::new(isa, &x, 96).values();
        for (x, rounded) in x.chunks_exact(32).zip(rounded.chunks_exact(32)) {
            let step = x.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
            assert!(x.iter().zip(rounded).all(|(x, rounded)| (x - rounded).abs() <= 0.501 * step), "on {isa}");
        }
    }
}

#[test]
fn rounded_keys_may_have_much_in_common() {
    let mut random = Random(13);
    let shape = Shape::new(14, 2, 64);
    let tokens = 300;
    let mut keys = random.vec(tokens * 128);
    for key in keys.chunks_exact_mut(64) {
        key[3] += 250.0;
        key[60] -= 400.0;
    }
    let mut q: Vec<f32> = random.vec(40 * 14 * 64).iter().map(|x| 4.0 * x).collect();
    for q in q.chunks_exact_mut(64) {
        q[3] -= 20.0;
        q[5] *= 1.37;
    }
    let values = random.vec(tokens * 128);
    let visible = Visible::Causal { first: tokens - 40 };
    let (expected, expected_lse) = reference::attention(shape, &q, &keys, &values, visible);
    for isa in Isa::available() {
        let got = attention::attend(isa, shape, &q, &cache(isa, KvType::I8, shape, &keys, &values), visible);
        assert_close(&got.out, &expected, 5e-2, &format!("outputs on {isa}"));
        assert_close(&got.lse, &expected_lse, 3e-2, &format!("log-sum-exp on {isa}"));
    }
}
