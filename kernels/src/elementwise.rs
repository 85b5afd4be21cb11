//! Norms, rotary embedding and gated activation: small work per element, spread over threads by rows.

use crate::{
    Isa, pool,
    simd::{self, Simd, kernel},
};

/// Rows of a task.
const ROWS: usize = 16;
/// Elements of a task, where rows do not matter.
const ELEMENTS: usize = 1 << 14;

/// `y = x / sqrt(mean(x²) + eps) · weight` for each row of `weight.len()` elements.
pub fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let width = weight.len();
    pool::chunks_mut(y, ROWS * width, |index, y| {
        let x = x[index * ROWS * width..].chunks_exact(width);
        x.zip(y.chunks_exact_mut(width)).for_each(|(x, y)| rms_norm_row(isa, x, weight, eps, y));
    });
}

/// As [`rms_norm`], in place.
pub fn rms_norm_in_place(isa: Isa, x: &mut [f32], weight: &[f32], eps: f64) {
    let width = weight.len();
    pool::chunks_mut(x, ROWS * width, |_, x| {
        let mut row = vec![0f32; width];
        for x in x.chunks_exact_mut(width) {
            row.copy_from_slice(x);
            rms_norm_row(isa, &row, weight, eps, x);
        }
    });
}

kernel! {
    fn rms_norm_row = rms_norm_body(x: &[f32], weight: &[f32], eps: f64, y: &mut [f32])
}

#[inline(always)]
unsafe fn rms_norm_body<S: Simd>(x: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
    // Sixteen sums, each of a sixteenth of the row.
    let mut sums = [0f32; 16];
    let (whole, rest) = x.as_chunks::<16>();
    // SAFETY: LANES divides 16.
    unsafe {
        let mut totals = [S::splat(0.0); 2];
        for x in whole {
            for (part, total) in totals.iter_mut().enumerate().take(16 / S::LANES) {
                let x = S::load(x.as_ptr().add(part * S::LANES));
                *total = S::fma(x, x, *total);
            }
        }
        for (part, total) in totals.iter().enumerate().take(16 / S::LANES) {
            S::store(sums.as_mut_ptr().add(part * S::LANES), *total);
        }
    }
    let squares: f64 = sums.iter().map(|sum| f64::from(*sum)).chain(rest.iter().map(|x| f64::from(x * x))).sum();
    let factor = (1.0 / (squares / x.len() as f64 + eps).sqrt()) as f32;
    for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * factor * w;
    }
}

/// `x = factor · x`
pub fn scale(x: &mut [f32], factor: f32) {
    pool::chunks_mut(x, ELEMENTS, |_, x| x.iter_mut().for_each(|x| *x *= factor));
}

/// `x = x + y`
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    pool::chunks_mut(x, ELEMENTS, |index, x| {
        x.iter_mut().zip(&y[index * ELEMENTS..]).for_each(|(x, y)| *x += y);
    });
}

/// What the gate of an MLP goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x / (1 + e⁻ˣ)
    Silu,
    /// GELU by its approximation x/2 · (1 + tanh y) = x / (1 + e⁻²ʸ) with y = √(2/π) · (x + 0.044715 x³).
    GeluTanh,
}

/// `gate = activation(gate) · up`
pub fn gate(isa: Isa, activation: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "lengths of gate and up");
    pool::chunks_mut(gate, ELEMENTS, |index, gate| {
        gate_part(isa, activation, gate, &up[index * ELEMENTS..][..gate.len()]);
    });
}

kernel! {
    fn gate_part = gate_body(activation: Activation, gate: &mut [f32], up: &[f32])
}

#[inline(always)]
unsafe fn gate_body<S: Simd>(activation: Activation, gate: &mut [f32], up: &[f32]) {
    let whole = gate.len() / S::LANES * S::LANES;
    for (gate, up) in gate.chunks_exact_mut(S::LANES).zip(up.chunks_exact(S::LANES)) {
        // SAFETY: the instruction set is the caller's; both are a vector long.
        unsafe { S::store(gate.as_mut_ptr(), gated::<S>(activation, S::load(gate.as_ptr()), S::load(up.as_ptr()))) };
    }
    for (gate, up) in gate[whole..].iter_mut().zip(&up[whole..]) {
        let z = match activation {
            Activation::Silu => *gate,
            Activation::GeluTanh => 2.0 * GELU * (*gate + 0.044_715 * *gate * *gate * *gate),
        };
        *gate = *gate / (1.0 + (-z).exp()) * up;
    }
}

/// √(2/π)
const GELU: f32 = 0.797_884_6;

/// `activation(gate) · up`, lane by lane.
#[inline(always)]
pub(crate) unsafe fn gated<S: Simd>(activation: Activation, gate: S::V, up: S::V) -> S::V {
    // SAFETY: the instruction set is the caller's.
    unsafe {
        let z = match activation {
            Activation::Silu => gate,
            Activation::GeluTanh => {
                let factor = S::fma(S::mul(gate, gate), S::splat(2.0 * GELU * 0.044_715), S::splat(2.0 * GELU));
                S::mul(gate, factor)
            }
        };
        let denominator = S::add(S::splat(1.0), simd::exp::<S>(S::mul(z, S::splat(-1.0))));
        S::div(S::mul(gate, up), denominator)
    }
}

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// (i, i + d/2): checkpoints of Hugging Face, and most GGUF architectures.
    HalfSplit,
    /// (2i, 2i + 1): GGUF of the `llama` architecture.
    Interleaved,
}

/// Rotates the first `2 · cos_row.len()` elements of every head of `x` (rows, heads, head_dim) in place.
/// `cos` and `sin` are (rows, rotary_dim / 2).
pub fn rotate(isa: Isa, x: &mut [f32], cos: &[f32], sin: &[f32], rows: usize, head_dim: usize, pairing: Pairing) {
    assert_eq!(cos.len(), sin.len(), "lengths of cos and sin");
    let half = cos.len() / rows.max(1);
    if half == 0 {
        return;
    }
    assert!(2 * half <= head_dim, "rotary dimension within the head");
    let width = x.len() / rows;
    pool::chunks_mut(x, ROWS * width, |index, x| {
        let angles = cos[index * ROWS * half..].chunks_exact(half).zip(sin[index * ROWS * half..].chunks_exact(half));
        let rows = x.chunks_exact_mut(width).zip(angles);
        rows.for_each(|(x, (cos, sin))| rotate_row(isa, x, cos, sin, head_dim, pairing));
    });
}

kernel! {
    fn rotate_row = rotate_body(x: &mut [f32], cos: &[f32], sin: &[f32], head_dim: usize, pairing: Pairing)
}

#[inline(always)]
unsafe fn rotate_body<S: Simd>(x: &mut [f32], cos: &[f32], sin: &[f32], head_dim: usize, pairing: Pairing) {
    let half = cos.len();
    for head in x.chunks_exact_mut(head_dim) {
        match pairing {
            Pairing::HalfSplit => {
                let (first, second) = head.split_at_mut(half);
                for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
            Pairing::Interleaved => {
                let pairs = head[..2 * half].as_chunks_mut::<2>().0;
                for (([a, b], cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}
