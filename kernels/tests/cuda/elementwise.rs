//! Norms, gated activations, sums.

use crate::{FLOATS, Memory, Random, assert_close, bits, rounding, wide};
use ronbun_kernels::cuda::{
    arguments::{Bias, Elementwise, RmsNorm},
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
                    width: width as i32,
                    eps: 1e-5,
                };
                memory.run(&launch::rms_norm(float, from_f32, &norm), &norm, 1);
                let expected: Vec<f64> = x.chunks_exact(width).flat_map(|x| normed(x, &weight, 1e-5)).collect();
                assert_close(&wide(float, &memory.get(norm.y)), &expected, rounding(float), "a norm");
            }
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
            let mut random = Random(8);
            let (x, y) = (random.exact(float, 1001), random.exact(float, 1001));
            let x: Vec<f32> = x.iter().map(|x| x * 8.0).collect();
            let mut memory = Memory::default();
            let (xs, ys) = (memory.put(&bits(float, &x)), memory.put(&bits(float, &y)));
            let gate = Elementwise { x: xs, y: ys, count: 1001 };
            memory.run(&launch::elementwise(float, name, &gate), &gate, 2);
            let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| activation(f64::from(*x)) * f64::from(*y)).collect();
            assert_close(&wide(float, &memory.get(gate.x)), &expected, rounding(float), name);
        }
    }
}

#[test]
fn sums_with_the_residual_stream() {
    for float in FLOATS {
        let mut random = Random(9);
        let (x, y) = (random.vec(300), random.exact(float, 300));
        let mut memory = Memory::default();
        let add = Elementwise { x: memory.put(&x), y: memory.put(&bits(float, &y)), count: 300 };
        memory.run(&launch::elementwise(float, "add", &add), &add, 0);
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
