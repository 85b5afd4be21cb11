//! Rows of activations, turned and rounded.

use super::{TURN, ZERO};
use crate::{
    Isa,
    packed::{
        activations::LEAST,
        panels::{Panel, Rounded},
    },
    simd::{BIAS_BITS, Simd, kernel},
};

/// Most inputs that share a scale: with 256 a small model's answers are further from f32's than tests/engine.rs allows.
pub(super) const MOST_INPUTS: usize = 192;

/// Inputs that share a scale in rows of `columns`; `None` where no whole number of turns makes them up.
pub(in crate::packed) fn span(columns: usize) -> Option<usize> {
    [128, MOST_INPUTS, TURN].into_iter().find(|span| columns.is_multiple_of(*span))
}

/// Turns and rounds `x` (rows, columns), with `span` inputs to a scale as [`span`] gives it. There is a sum for each scale:
/// that of its codes, times -[`ZERO`], from [`BIAS_BITS`] on.
pub(in crate::packed) fn round(isa: Isa, x: &[f32], columns: usize, span: usize) -> Rounded {
    Rounded::new(x, columns, (span, span), |x, panel| round_panel(isa, x, columns, span, panel))
}

/// What an element stands for, turned back.
pub(in crate::packed) fn value(x: &Rounded, row: usize, column: usize) -> f32 {
    let (turn, at) = (column / TURN * TURN, column % TURN);
    let signed = |i: usize| {
        let element = x.value(row, turn + i);
        if (i & at).count_ones().is_multiple_of(2) { element } else { -element }
    };
    (0..TURN).map(signed).sum::<f32>() / TURN as f32
}

kernel! {
    fn round_panel = round_body(x: &[f32], columns: usize, span: usize, out: Panel)
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, span: usize, out: Panel) {
    let rows = out.codes.len() / columns;
    let mut turned = [0f32; MOST_INPUTS];
    let turned = &mut turned[..span];
    for (row, x) in x.chunks_exact(columns).enumerate() {
        for (number, x) in x.chunks_exact(span).enumerate() {
            // SAFETY: the instruction set is the caller's; LANES divides TURN; the codes go on for the panel's rows.
            unsafe {
                let mut most = LEAST;
                for (x, turned) in x.chunks_exact(TURN).zip(turned.chunks_exact_mut(TURN)) {
                    most = most.max(turn_row::<S>(x.as_ptr(), turned.as_mut_ptr()));
                }
                let (inverse, mut sum) = (S::splat(127.0 / most), 0);
                let codes = out.codes.as_mut_ptr().add(number * span * rows + 4 * row);
                for at in (0..span).step_by(S::LANES) {
                    let v = S::mul(S::load(turned.as_ptr().add(at)), inverse);
                    sum += S::store_rounded(codes.add(at * rows), 4 * rows, v);
                }
                out.scales[number * rows + row] = most / 127.0;
                out.sums[number * rows + row] = BIAS_BITS - i32::from(ZERO) * sum;
            }
        }
    }
}

/// H x of [`TURN`] elements that lie behind each other. Returns the largest.
#[inline(always)]
unsafe fn turn_row<S: Simd>(x: *const f32, out: *mut f32) -> f32 {
    unsafe {
        for at in (0..TURN).step_by(S::LANES) {
            S::store(out.add(at), S::turn(S::load(x.add(at))));
        }
        let mut step = S::LANES;
        while 2 * step < TURN {
            for first in (0..TURN).step_by(2 * step) {
                for at in (first..first + step).step_by(S::LANES) {
                    let (a, b) = (S::load(out.add(at)), S::load(out.add(at + step)));
                    S::store(out.add(at), S::add(a, b));
                    S::store(out.add(at + step), S::sub(a, b));
                }
            }
            step *= 2;
        }
        let mut most = S::splat(0.0);
        for at in (0..step).step_by(S::LANES) {
            let (a, b) = (S::load(out.add(at)), S::load(out.add(at + step)));
            S::store(out.add(at), S::add(a, b));
            S::store(out.add(at + step), S::sub(a, b));
            // The larger of both.
            most = S::max(most, S::add(S::abs(a), S::abs(b)));
        }
        S::largest(most)
    }
}
