//! Norms, gated activations, sums.

use crate::{FLOATS, Memory, Random, assert_close, bits, rounding, wide};
use ronbun_kernels::cuda::{
    Float,
    arguments::{Add, Bias, Gate, RmsNorm},
    launch,
};

#[test]
fn norms_of_f32_and_of_16_bit_rows() {
    for float in FLOATS {
        for (rows, width) in [(1, 1), (3, 64), (2, 1000)] {
            for from_f32 in [true, false] {
                let mut random = Random(7);
                let x = random.exact(float, rows * width);
                let weight = random.vec(width);
                let mut memory = Memory::default();
                let norm = RmsNorm {
                    x: if from_f32 { memory.put(&x) } else { memory.put(&bits(float, &x)) },
                    weight: memory.put(&weight),
                    y: memory.put(&vec![0xffff_u16; x.len()]),
                    rows: rows as i64,
                    parts: 1,
                    width: width as i32,
                    stride: width as i32,
                    eps: 1e-5,
                };
                memory.run(&launch::rms_norm(float, from_f32, &norm), &norm, 1);
                let expected: Vec<f64> = x.chunks_exact(width).flat_map(|x| normed(x, &weight, 1e-5)).collect();
                assert_close(&wide(float, &memory.get(norm.y)), &expected, rounding(float), "a norm");
            }
        }
    }
}

/// Heads of queries that lie beside others' numbers, normed where they are.
#[test]
fn norms_of_parts_of_rows_in_place() {
    for float in FLOATS {
        let (rows, parts, width, first, stride) = (3, 5, 24, 7, 140);
        let mut random = Random(17);
        let (given, weight) = (random.exact(float, rows * stride), random.vec(width));
        let mut memory = Memory::default();
        let all = memory.put(&bits(float, &given));
        let x = all + 2 * first as u64;
        let norm = RmsNorm {
            x,
            weight: memory.put(&weight),
            y: x,
            rows: rows as i64,
            parts: parts as i32,
            width: width as i32,
            stride: stride as i32,
            eps: 1e-5,
        };
        memory.run(&launch::rms_norm(float, false, &norm), &norm, 3);
        let got = wide(float, &memory.get(all));
        let own = first..first + parts * width;
        for (got, given) in got.chunks_exact(stride).zip(given.chunks_exact(stride)) {
            let expected: Vec<f64> =
                given[own.clone()].chunks_exact(width).flat_map(|x| normed(x, &weight, 1e-5)).collect();
            assert_close(&got[own.clone()], &expected, rounding(float), "norms of heads");
            assert_eq!((&got[..own.start], &got[own.end..]), (&given[..own.start], &given[own.end..]));
        }
    }
}

fn normed(x: &[f32], weight: &[f32], eps: f64) -> Vec<f64> {
    let mean: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, weight)| f64::from(*x) / (mean + eps).sqrt() * f64::from(*weight)).collect()
}

#[test]
fn gated_activations() {
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    let activations: [(&str, &dyn Fn(f64) -> f64); 2] = [("silu", &silu), ("gelu", &gelu)];
    for float in FLOATS {
        for (name, activation) in activations {
            for (rows, width) in [(1, 1001), (3, 128), (5, 7)] {
                gates(float, name, activation, rows, width);
            }
        }
    }
}

/// Gate and what it gates side by side.
fn gates(float: Float, name: &str, activation: &dyn Fn(f64) -> f64, rows: usize, width: usize) {
    let mut random = Random(8);
    let both: Vec<f32> = random.exact(float, rows * 2 * width).iter().map(|x| x * 8.0).collect();
    let mut memory = Memory::default();
    let x = memory.put(&bits(float, &both));
    let (y, rows, columns, stride) = (x + 2 * width as u64, rows as i32, width as i32, 2 * width as i32);
    let gate = Gate { x, y, rows, width: columns, stride, unused: 0 };
    memory.run(&launch::gate(float, name, &gate), &gate, 2);
    let mut expected: Vec<f64> = both.iter().map(|x| f64::from(*x)).collect();
    for row in expected.chunks_exact_mut(2 * width) {
        let (gate, up) = row.split_at_mut(width);
        gate.iter_mut().zip(up).for_each(|(gate, up)| *gate = activation(*gate) * *up);
    }
    assert_close(&wide(float, &memory.get(x)), &expected, rounding(float), name);
}

#[test]
fn sums_with_the_residual_stream() {
    for float in FLOATS {
        let mut random = Random(9);
        let (x, y) = (random.vec(300), random.exact(float, 300));
        let mut memory = Memory::default();
        let add = Add { x: memory.put(&x), y: memory.put(&bits(float, &y)), count: 300 };
        memory.run(&launch::add(float, &add), &add, 0);
        let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| f64::from(x + y)).collect();
        assert_close(&memory.get(add.x), &expected, 0.0, "a sum");
    }
}

#[test]
fn biases_of_rows() {
    for float in FLOATS {
        let mut random = Random(10);
        let (y, bias) = (random.exact(float, 3 * 70), random.vec(70));
        let mut memory = Memory::default();
        let add = Bias { y: memory.put(&bits(float, &y)), bias: memory.put(&bias), count: 210, width: 70 };
        memory.run(&launch::bias(float, &add), &add, 4);
        let expected: Vec<f64> = y.iter().zip(bias.iter().cycle()).map(|(y, bias)| f64::from(y + bias)).collect();
        assert_close(&wide(float, &memory.get(add.y)), &expected, rounding(float), "a bias");
    }
}
