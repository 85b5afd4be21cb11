//! Rows of activations as signed bytes.

use super::{Form, SPAN};
use crate::{
    Isa,
    blocks::BlockType,
    simd::{Simd, kernel},
};
use rayon::prelude::*;

/// Rounded rows, in the order in which their products with weights of one type take them: panels of
/// [`PANEL`] rows, the last of 1, 2, 4 or 8, filled up with zeros.
pub struct Activations {
    pub(super) kind: BlockType,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// For each panel (columns / 4, rows of the panel, 4).
    pub(super) codes: Vec<i8>,
    /// For each panel (columns / 32, rows of the panel).
    pub(super) scales: Vec<f32>,
    /// Of each group of the weights the sum of codes times minus the code for zero: (columns / group, rows of the panel).
    pub(super) shifts: Vec<i32>,
    /// Of each group the sum of what the codes stand for; laid out as `shifts`.
    pub(super) sums: Vec<f32>,
}

/// Rows whose products with a tile are collected at a time, at most.
pub(super) const PANEL: usize = 8;

/// Rows of the panel that begins with row `first` of `rows`.
pub(super) fn panel_rows(rows: usize, first: usize) -> usize {
    (rows - first).next_power_of_two().min(PANEL)
}

impl Activations {
    /// Rounds `x` (rows, columns) for products with weights of type `kind`, which is quantised; `columns` is a multiple of
    /// 32.
    pub fn new(isa: Isa, x: &[f32], columns: usize, kind: BlockType) -> Activations {
        let form = Form::of(kind).expect("a quantised type");
        assert!(columns > 0 && columns.is_multiple_of(SPAN) && x.len().is_multiple_of(columns), "shape of x");
        let rows = x.len() / columns;
        let padded = rows / PANEL * PANEL + if rows.is_multiple_of(PANEL) { 0 } else { panel_rows(rows % PANEL, 0) };
        let mut codes = vec![0i8; padded * columns];
        let mut scales = vec![0f32; padded * columns / SPAN];
        let mut shifts = vec![0i32; padded * columns / form.group];
        let mut sums = vec![0f32; padded * columns / form.group];
        let panels = x.par_chunks(PANEL * columns).zip(codes.par_chunks_mut(PANEL * columns));
        let panels = panels.zip(scales.par_chunks_mut(PANEL * columns / SPAN));
        let panels = panels.zip(shifts.par_chunks_mut(PANEL * columns / form.group));
        let panels = panels.zip(sums.par_chunks_mut(PANEL * columns / form.group));
        panels.for_each(|((((x, codes), scales), shifts), sums)| {
            round_panel(isa, x, columns, form, Panel { codes, scales, shifts, sums });
        });
        Activations { kind, rows, columns, codes, scales, shifts, sums }
    }

    /// What the rounded rows stand for: (rows, columns).
    pub fn values(&self) -> Vec<f32> {
        let value = |row: usize, column: usize| {
            let (first, rows) = (row / PANEL * PANEL, panel_rows(self.rows, row / PANEL * PANEL));
            let code = self.codes[first * self.columns + (column / 4 * rows + row - first) * 4 + column % 4];
            f32::from(code) * self.scales[first * self.columns / SPAN + column / SPAN * rows + row - first]
        };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }
}

/// A panel's share of what [`Activations`] holds.
struct Panel<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    shifts: &'a mut [i32],
    sums: &'a mut [f32],
}

kernel! {
    fn round_panel = round_body(x: &[f32], columns: usize, form: Form, out: Panel)
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, form: Form, out: Panel) {
    let rows = out.codes.len() / columns;
    for (row, x) in x.chunks_exact(columns).enumerate() {
        for (span, x) in x.as_chunks::<SPAN>().0.iter().enumerate() {
            // SAFETY: the instruction set is the caller's.
            let (scale, codes, sums) = unsafe { round_span::<S>(x) };
            out.scales[span * rows + row] = scale;
            for (four, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
                let at = ((span * SPAN / 4 + four) * rows + row) * 4;
                out.codes[at..at + 4].copy_from_slice(codes);
            }
            for (group, sums) in sums.chunks_exact(form.group / 16).enumerate() {
                let sum = sums.iter().sum::<f32>();
                let at = (span * SPAN / form.group + group) * rows + row;
                out.shifts[at] = -i32::from(form.zero) * sum as i32;
                out.sums[at] = scale * sum;
            }
        }
    }
}

/// Scale, codes, and sums of sixteen codes each.
#[inline(always)]
unsafe fn round_span<S: Simd>(x: &[f32; SPAN]) -> (f32, [i8; SPAN], [f32; 2]) {
    // SAFETY: LANES divides 16.
    unsafe {
        let mut most = S::splat(0.0);
        for at in (0..SPAN).step_by(S::LANES) {
            let v = S::load(x.as_ptr().add(at));
            most = S::max(most, S::max(v, S::mul(v, S::splat(-1.0))));
        }
        let most = S::largest(most);
        let inverse = S::splat(if most > 0.0 { 127.0 / most } else { 0.0 });
        let mut codes = [0i8; SPAN];
        let mut sums = [0f32; 2];
        for (half, sum) in sums.iter_mut().enumerate() {
            let mut total = S::splat(0.0);
            for at in (16 * half..16 * (half + 1)).step_by(S::LANES) {
                let v = S::round(S::mul(S::load(x.as_ptr().add(at)), inverse));
                S::store_i8(codes.as_mut_ptr().add(at), v);
                total = S::add(total, v);
            }
            *sum = S::sum(total);
        }
        (most / 127.0, codes, sums)
    }
}
