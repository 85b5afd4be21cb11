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

/// `x = x + y`
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    pool::chunks_mut(x, ELEMENTS, |index, x| {
        x.iter_mut().zip(&y[index * ELEMENTS..]).for_each(|(x, y)| *x += y);
    });
}

/// `gate = silu(gate) · up`, where silu(x) = x / (1 + e⁻ˣ).
pub fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "lengths of gate and up");
    pool::chunks_mut(gate, ELEMENTS, |index, gate| {
        silu_mul_part(isa, gate, &up[index * ELEMENTS..][..gate.len()]);
    });
}

kernel! {
    fn silu_mul_part = silu_mul_body(gate: &mut [f32], up: &[f32])
}

#[inline(always)]
unsafe fn silu_mul_body<S: Simd>(gate: &mut [f32], up: &[f32]) {
    let whole = gate.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: at + LANES is within both slices.
        unsafe {
            let p = gate.as_mut_ptr().add(at);
            let x = S::load(p);
            let denominator = S::add(S::splat(1.0), simd::exp::<S>(S::mul(x, S::splat(-1.0))));
            S::store(p, S::div(S::mul(x, S::load(up.as_ptr().add(at))), denominator));
        }
    }
    for at in whole..gate.len() {
        gate[at] = gate[at] / (1.0 + (-gate[at]).exp()) * up[at];
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
