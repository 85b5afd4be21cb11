//! Rows of activations, turned and rounded.

use super::{ZERO, mix_thirds, order};
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

/// Inputs of `columns` that are turned together and share a scale; `None` where no number of them makes up a row.
pub(in crate::packed) fn span(columns: usize) -> Option<usize> {
    [128, MOST_INPUTS, 64].into_iter().find(|span| columns.is_multiple_of(*span))
}

/// Turns and rounds `x` (rows, columns), with `span` inputs to a scale as [`span`] gives it. There is a sum for each scale:
/// that of its codes, times -[`ZERO`], from [`BIAS_BITS`] on.
pub(in crate::packed) fn round(isa: Isa, x: &[f32], columns: usize, span: usize) -> Rounded {
    Rounded::new(x, columns, (span, span), |x, panel| round_panel(isa, x, columns, span, panel))
}

/// What an element stands for, turned back.
pub(in crate::packed) fn value(x: &Rounded, row: usize, column: usize) -> f32 {
    let (first, at, order) = (column / x.span * x.span, column % x.span, order(x.span));
    let turned_back = |i: usize| {
        let sign = if (i & at & (order - 1)).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        // As mix_thirds does.
        let third = match (x.span == order, i / order == at / order) {
            (true, _) => 1.0,
            (_, true) => 1.0 / 3.0,
            (_, false) => -2.0 / 3.0,
        };
        sign * third * x.value(row, first + i)
    };
    (0..x.span).map(turned_back).sum::<f32>() / order as f32
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
            // SAFETY: the instruction set is the caller's; LANES divides every order; the codes go on for the panel's rows.
            unsafe {
                let most = turn_row::<S>(x, turned).max(LEAST);
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

/// Turns a row's inputs that share a scale. Returns the largest.
#[inline(always)]
unsafe fn turn_row<S: Simd>(x: &[f32], out: &mut [f32]) -> f32 {
    let (span, order) = (x.len(), order(x.len()));
    let out = out.as_mut_ptr();
    // SAFETY: the instruction set is the caller's; `out` is as long as x.
    unsafe {
        for at in (0..span).step_by(S::LANES) {
            S::store(out.add(at), S::turn(S::load(x.as_ptr().add(at))));
        }
        let mut step = S::LANES;
        while step < order {
            for first in (0..span).step_by(2 * step) {
                for at in (first..first + step).step_by(S::LANES) {
                    let (a, b) = (S::load(out.add(at)), S::load(out.add(at + step)));
                    S::store(out.add(at), S::add(a, b));
                    S::store(out.add(at + step), S::sub(a, b));
                }
            }
            step *= 2;
        }
        if order < span {
            for at in (0..order).step_by(S::LANES) {
                let places = [out.add(at), out.add(at + order), out.add(at + 2 * order)];
                let [a, b, c] = mix_thirds::<S>([S::load(places[0]), S::load(places[1]), S::load(places[2])]);
                S::store(places[0], a);
                S::store(places[1], b);
                S::store(places[2], c);
            }
        }
        let mut most = S::splat(0.0);
        for at in (0..span).step_by(S::LANES) {
            most = S::max(most, S::abs(S::load(out.add(at))));
        }
        S::largest(most)
    }
}
