//! Rows of activations as signed bytes, turned or not, or in bf16.

use super::{
    Form, SPAN,
    panels::{Panel, Panels, Rounded},
    turned, wide,
};
use crate::{
    Isa,
    lines::Lines,
    simd::{BIAS_BITS, Simd, kernel},
};

/// Rounded rows, in the order in which their products take them.
pub struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Values,
}

pub(super) enum Values {
    /// [`SPAN`] inputs share a scale, and sums are of [`HALF`] codes each.
    Few(Rounded),
    /// A long prompt's, as [`wide::round`] gives them.
    Wide(Lines<u16>),
    /// The same, as [`turned::round`] gives them.
    Turned(Rounded),
}

/// Codes that are added up when rows are rounded: the smallest group.
const HALF: usize = 16;

impl Activations {
    /// Rounds `x` (rows, columns) to bytes; `columns` is a multiple of 32.
    pub fn new(isa: Isa, x: &[f32], columns: usize) -> Activations {
        let rows = rows_of(x, columns);
        let rounded = Rounded::new(x, columns, (SPAN, HALF), |x, panel| round_panel(isa, x, columns, panel));
        Activations { rows, columns, values: Values::Few(rounded) }
    }

    /// As [`Activations::new`], but for long prompts in what is faster for them: from 64 rows on in bf16 where the machine
    /// multiplies tiles of it, elsewhere from 256 rows on turned. For rows of one sequence alone, since what a row gives
    /// depends a little on how many come with it.
    pub fn of_prompt(isa: Isa, x: &[f32], columns: usize) -> Activations {
        let rows = rows_of(x, columns);
        let values = if isa == Isa::Amx && isa.is_available() {
            (rows >= wide::FROM_ROWS).then(|| Values::Wide(wide::round(isa, x, columns)))
        } else {
            let span = turned::span(columns).filter(|_| rows >= turned::FROM_ROWS);
            span.map(|span| Values::Turned(turned::round(isa, x, columns, span)))
        };
        match values {
            Some(values) => Activations { rows, columns, values },
            None => Activations::new(isa, x, columns),
        }
    }

    /// What the rounded rows stand for: (rows, columns).
    pub fn values(&self) -> Vec<f32> {
        let value = |row: usize, column: usize| match &self.values {
            Values::Few(rounded) => rounded.value(row, column),
            Values::Wide(wide) => wide::value(wide, self.columns, row, column),
            Values::Turned(turned) => turned::value(turned, row, column),
        };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }

    /// A long prompt's way was taken.
    #[cfg(test)]
    pub(super) fn is_long(&self) -> bool {
        !matches!(self.values, Values::Few(_))
    }
}

fn rows_of(x: &[f32], columns: usize) -> usize {
    assert!(columns > 0 && columns.is_multiple_of(SPAN) && x.len().is_multiple_of(columns), "shape of x");
    x.len() / columns
}

/// Sums of activations over the groups of a type of weights: for each panel (columns / group, rows of the panel).
pub(super) struct Sums {
    /// Of codes, times minus the code for zero, from [`BIAS_BITS`] on.
    pub(super) shifts: Lines<i32>,
    /// Of what the codes stand for; empty for weights without offsets.
    pub(super) values: Lines<f32>,
}

impl Sums {
    /// Of `x` for the groups of weights that are packed in `form`.
    pub(super) fn new(isa: Isa, x: &Rounded, form: Form) -> Sums {
        let len = x.codes.len() / form.group;
        let mut sums = Sums { shifts: Lines::any(len), values: Lines::any(if form.offset { len } else { 0 }) };
        let step = Panels::of(x.rows).step() * x.columns;
        let halves = x.sums.chunks(step / HALF);
        for (halves, shifts) in halves.clone().zip(sums.shifts.chunks_mut(step / form.group)) {
            shift(isa, halves, halves.len() * HALF / x.columns, form, shifts);
        }
        let scales = x.scales.chunks(step / SPAN);
        for ((halves, scales), values) in halves.zip(scales).zip(sums.values.chunks_mut(step / form.group)) {
            add_up(isa, halves, scales, halves.len() * HALF / x.columns, form, values);
        }
        sums
    }
}

kernel! {
    fn shift = shift_body(halves: &[i32], rows: usize, form: Form, out: &mut [i32])
}

/// Sums of halves, times minus the code for zero, from [`BIAS_BITS`] on.
#[inline(always)]
unsafe fn shift_body<S: Simd>(halves: &[i32], rows: usize, form: Form, out: &mut [i32]) {
    let zero = -i32::from(form.zero);
    if form.group == HALF {
        out.iter_mut().zip(halves).for_each(|(out, sum)| *out = BIAS_BITS + zero * sum);
        return;
    }
    for (out, halves) in out.chunks_exact_mut(rows).zip(halves.chunks_exact(2 * rows)) {
        let (low, high) = halves.split_at(rows);
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            *out = BIAS_BITS + zero * (low + high);
        }
    }
}

kernel! {
    fn add_up = add_up_body(halves: &[i32], scales: &[f32], rows: usize, form: Form, out: &mut [f32])
}

/// Sums of halves, times their scales.
#[inline(always)]
unsafe fn add_up_body<S: Simd>(halves: &[i32], scales: &[f32], rows: usize, form: Form, out: &mut [f32]) {
    let spans = out.chunks_exact_mut(rows * SPAN / form.group).zip(halves.chunks_exact(2 * rows));
    for ((out, halves), scales) in spans.zip(scales.chunks_exact(rows)) {
        let (low, high) = halves.split_at(rows);
        if form.group == SPAN {
            for (((out, low), high), scale) in out.iter_mut().zip(low).zip(high).zip(scales) {
                *out = scale * (low + high) as f32;
            }
        } else {
            let scales = scales.iter().chain(scales);
            out.iter_mut().zip(halves).zip(scales).for_each(|((out, sum), scale)| *out = scale * *sum as f32);
        }
    }
}

kernel! {
    fn round_panel = round_body(x: &[f32], columns: usize, out: Panel)
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, out: Panel) {
    // SAFETY: the instruction set is the caller's.
    unsafe {
        match out.codes.len() / columns {
            8 => round_rows::<S, 8>(x, columns, out),
            6 => round_rows::<S, 6>(x, columns, out),
            4 => round_rows::<S, 4>(x, columns, out),
            2 => round_rows::<S, 2>(x, columns, out),
            _ => round_rows::<S, 1>(x, columns, out),
        }
    }
}

/// Below the largest of every span that is not all zeros.
pub(super) const LEAST: f32 = 1e-30;

/// Rounds the rows of a panel of ROWS, of which the last may be missing.
#[inline(always)]
unsafe fn round_rows<S: Simd, const ROWS: usize>(x: &[f32], columns: usize, out: Panel) {
    for (row, x) in x.chunks_exact(columns).enumerate() {
        let codes = out.codes.as_chunks_mut::<4>().0.as_chunks_mut::<ROWS>().0.as_chunks_mut::<{ SPAN / 4 }>().0;
        let scales = out.scales.as_chunks_mut::<ROWS>().0;
        let sums = out.sums.as_chunks_mut::<ROWS>().0.as_chunks_mut::<{ SPAN / HALF }>().0;
        for (((x, codes), scales), sums) in x.as_chunks::<SPAN>().0.iter().zip(codes).zip(scales).zip(sums) {
            // SAFETY: LANES divides 16; `codes` are SPAN / 4 times four bytes of ROWS rows.
            unsafe {
                let mut most = S::splat(LEAST);
                for at in (0..SPAN).step_by(S::LANES) {
                    let v = S::load(x.as_ptr().add(at));
                    most = S::max(most, S::max(v, S::mul(v, S::splat(-1.0))));
                }
                let most = S::largest(most);
                scales[row] = most / 127.0;
                let inverse = S::splat(127.0 / most);
                let out = codes.as_mut_ptr().cast::<i8>().add(4 * row);
                for (half, sums) in sums.iter_mut().enumerate() {
                    sums[row] = 0;
                    for at in (half * HALF..(half + 1) * HALF).step_by(S::LANES) {
                        let v = S::mul(S::load(x.as_ptr().add(at)), inverse);
                        sums[row] += S::store_rounded(out.add(at * ROWS), 4 * ROWS, v);
                    }
                }
            }
        }
    }
}
