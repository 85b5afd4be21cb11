//! Rows of activations, turned and rounded.

use super::{TURN, ZERO};
use crate::{
    Isa,
    lines::Lines,
    packed::activations::{LEAST, Panels, value_of},
    pool::Parts,
    simd::{BIAS_BITS, Simd, kernel},
};

/// Most inputs that share a scale: with 256 a small model's answers are further from f32's than tests/engine.rs allows.
pub(super) const MOST_INPUTS: usize = 192;

/// Inputs that share a scale in rows of `columns`; `None` where no whole number of turns makes them up.
pub(in crate::packed) fn span(columns: usize) -> Option<usize> {
    [128, MOST_INPUTS, TURN].into_iter().find(|span| columns.is_multiple_of(*span))
}

/// Rows that were turned and rounded, in panels as [`Panels`] cuts them.
pub(in crate::packed) struct Turned {
    /// Inputs that share a scale.
    pub(super) span: usize,
    /// For each panel (columns / 4, rows of the panel, 4).
    pub(super) codes: Lines<i8>,
    /// For each panel (columns / span, rows of the panel).
    pub(super) scales: Lines<f32>,
    /// Sums of the codes that share a scale, times -[`ZERO`], from [`BIAS_BITS`] on: as the scales.
    pub(super) shifts: Lines<i32>,
}

impl Turned {
    /// Of `x` (rows, columns), with `span` inputs to a scale as [`span`] gives it.
    pub(in crate::packed) fn new(isa: Isa, x: &[f32], columns: usize, span: usize) -> Turned {
        let rows = x.len() / columns;
        let panels = Panels::of(rows);
        let of_all = panels.padded() * columns;
        let (mut codes, mut scales, mut shifts) =
            (Lines::any(of_all), Lines::any(of_all / span), Lines::any(of_all / span));
        let (all_codes, all_scales, all_shifts) =
            (Parts::new(&mut codes), Parts::new(&mut scales), Parts::new(&mut shifts));
        panels.for_each(|first, height| {
            let part = |per: usize| first * columns / per..(first + height) * columns / per;
            // SAFETY: panels are disjoint.
            let out = unsafe {
                Panel {
                    codes: all_codes.part(part(1)),
                    scales: all_scales.part(part(span)),
                    shifts: all_shifts.part(part(span)),
                }
            };
            round_panel(isa, &x[first * columns..rows.min(first + height) * columns], columns, span, out);
        });
        Turned { span, codes, scales, shifts }
    }

    /// What an element of a row of `columns` stands for, turned back; the row is one of the panel of these rows.
    pub(in crate::packed) fn value(&self, columns: usize, panel: (usize, usize), row: usize, column: usize) -> f32 {
        let (turn, at) = (column / TURN * TURN, column % TURN);
        let signed = |i: usize| {
            let element = value_of(&self.codes, &self.scales, (columns, self.span), panel, row, turn + i);
            if (i & at).count_ones().is_multiple_of(2) { element } else { -element }
        };
        (0..TURN).map(signed).sum::<f32>() / TURN as f32
    }
}

/// A panel's share of what [`Turned`] holds.
struct Panel<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    shifts: &'a mut [i32],
}

kernel! {
    fn round_panel = round_body(x: &[f32], columns: usize, span: usize, out: Panel)
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, span: usize, out: Panel) {
    let rows = out.codes.len() / columns;
    if x.len() < out.codes.len() {
        // Rows that only fill up a panel.
        out.codes.fill(0);
        out.scales.fill(0.0);
        out.shifts.fill(BIAS_BITS);
    }
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
                out.shifts[number * rows + row] = BIAS_BITS - i32::from(ZERO) * sum;
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
