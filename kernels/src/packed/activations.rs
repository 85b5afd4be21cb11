//! Rows of activations as signed bytes, turned or not, or in bf16.

use super::{Form, SPAN, turned, turned::Turned, wide};
use crate::{
    Isa,
    lines::Lines,
    pool::{self, Parts},
    simd::{BIAS_BITS, Simd, kernel},
};

use std::ops::Range;

/// Rounded rows, in the order in which their products take them: as bytes in panels of [`PANEL`] rows, the last of 1, 2, 4 or
/// 8, filled up with zeros; or as suits long prompts.
#[derive(Default)]
pub struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// For each panel (columns / 4, rows of the panel, 4).
    pub(super) codes: Lines<i8>,
    /// For each panel (columns / 32, rows of the panel).
    pub(super) scales: Lines<f32>,
    /// Sums of sixteen codes each: for each panel (columns / 16, rows of the panel).
    sums: Lines<i32>,
    /// The others are empty then.
    pub(super) long: Option<Long>,
}

/// Rows of a long prompt.
pub(super) enum Long {
    /// As [`wide::round`] gives them.
    Wide(Lines<u16>),
    Turned(Turned),
}

/// Sums of activations over the groups of a type of weights: for each panel (columns / group, rows of the panel).
pub(super) struct Sums {
    /// Of codes, times minus the code for zero, from [`BIAS_BITS`] on.
    pub(super) shifts: Lines<i32>,
    /// Of what the codes stand for; empty for weights without offsets.
    pub(super) values: Lines<f32>,
}

/// Rows of the largest panel.
pub(super) const PANEL: usize = 8;
/// Panels that one task works on.
const TASK_PANELS: usize = 4;
/// Codes that are added up when rows are rounded: the smallest group.
const HALF: usize = 16;

/// How rows are cut into panels: eight rows or fewer are one, of 1, 2, 4 or 8 rows; more are sixes, which leave registers
/// for the products with two tiles at a time, and a last one of 1, 2, 4 or 6.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    rows: usize,
    step: usize,
}

impl Panels {
    pub(super) fn of(rows: usize) -> Panels {
        Panels { rows, step: if rows <= PANEL { PANEL } else { 6 } }
    }

    /// First row of each of the panels with these numbers, and how many it has.
    pub(super) fn iter(self, panels: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        panels.map(move |panel| (panel * self.step, self.height(self.rows - panel * self.step)))
    }

    fn height(self, left: usize) -> usize {
        if left >= self.step { self.step } else { left.next_power_of_two().min(self.step) }
    }

    /// Runs `task` for each panel, side by side, with its first row and how many it has.
    pub(super) fn for_each(self, task: impl Fn(usize, usize) + Sync) {
        pool::run(self.len().div_ceil(TASK_PANELS), |number| {
            let numbers = number * TASK_PANELS..self.len().min((number + 1) * TASK_PANELS);
            self.iter(numbers).for_each(|(first, height)| task(first, height));
        });
    }

    /// Of the panels with these numbers the rows, those that fill up the last one included.
    pub(super) fn rows_of(self, panels: Range<usize>) -> Range<usize> {
        panels.start * self.step..self.padded().min(panels.end * self.step)
    }

    pub(super) fn len(self) -> usize {
        self.rows.div_ceil(self.step)
    }

    /// Rows of all panels together.
    pub(super) fn padded(self) -> usize {
        let whole = self.rows / self.step * self.step;
        whole + if whole < self.rows { self.height(self.rows - whole) } else { 0 }
    }
}

impl Activations {
    /// Rounds `x` (rows, columns) to bytes; `columns` is a multiple of 32.
    pub fn new(isa: Isa, x: &[f32], columns: usize) -> Activations {
        assert!(columns > 0 && columns.is_multiple_of(SPAN) && x.len().is_multiple_of(columns), "shape of x");
        let rows = x.len() / columns;
        let panels = Panels::of(rows);
        let padded = panels.padded();
        let mut codes = Lines::any(padded * columns);
        let mut scales = Lines::any(padded * columns / SPAN);
        let mut sums = Lines::any(padded * columns / HALF);
        let (all_codes, all_scales, all_sums) =
            (Parts::new(&mut codes), Parts::new(&mut scales), Parts::new(&mut sums));
        panels.for_each(|first, height| {
            let part = |per: usize| first * columns / per..(first + height) * columns / per;
            // SAFETY: panels are disjoint.
            let out = unsafe {
                Panel {
                    codes: all_codes.part(part(1)),
                    scales: all_scales.part(part(SPAN)),
                    sums: all_sums.part(part(HALF)),
                }
            };
            round_panel(isa, &x[first * columns..rows.min(first + height) * columns], columns, out);
        });
        Activations { rows, columns, codes, scales, sums, long: None }
    }

    /// As [`Activations::new`], but for long prompts in what is faster for them: from 64 rows on in bf16 where the machine
    /// multiplies tiles of it, elsewhere from 256 rows on turned. For rows of one sequence alone, since what a row gives
    /// depends a little on how many come with it.
    pub fn of_prompt(isa: Isa, x: &[f32], columns: usize) -> Activations {
        assert!(columns > 0 && columns.is_multiple_of(SPAN) && x.len().is_multiple_of(columns), "shape of x");
        let rows = x.len() / columns;
        let long = if isa == Isa::Amx && isa.is_available() {
            (rows >= wide::FROM_ROWS).then(|| Long::Wide(wide::round(isa, x, columns)))
        } else {
            let span = turned::span(columns).filter(|_| rows >= turned::FROM_ROWS);
            span.map(|span| Long::Turned(Turned::new(isa, x, columns, span)))
        };
        match long {
            Some(_) => Activations { rows, columns, long, ..Activations::default() },
            None => Activations::new(isa, x, columns),
        }
    }

    /// Sums for the groups of weights that are packed in `form`.
    pub(super) fn sums(&self, isa: Isa, form: Form) -> Sums {
        let len = self.codes.len() / form.group;
        let mut sums = Sums { shifts: Lines::any(len), values: Lines::any(if form.offset { len } else { 0 }) };
        let step = Panels::of(self.rows).step * self.columns;
        let halves = self.sums.chunks(step / HALF);
        for (halves, shifts) in halves.clone().zip(sums.shifts.chunks_mut(step / form.group)) {
            shift(isa, halves, halves.len() * HALF / self.columns, form, shifts);
        }
        let scales = self.scales.chunks(step / SPAN);
        for ((halves, scales), values) in halves.zip(scales).zip(sums.values.chunks_mut(step / form.group)) {
            add_up(isa, halves, scales, halves.len() * HALF / self.columns, form, values);
        }
        sums
    }

    /// What the rounded rows stand for: (rows, columns).
    pub fn values(&self) -> Vec<f32> {
        let panels = Panels::of(self.rows);
        let value = |row: usize, column: usize| {
            if let Some(Long::Wide(wide)) = &self.long {
                return wide::value(wide, self.columns, row, column);
            }
            let panel = panels.iter(0..panels.len()).find(|(first, rows)| row < first + rows).expect("a row of x");
            match &self.long {
                Some(Long::Turned(turned)) => turned.value(self.columns, panel, row, column),
                _ => value_of(&self.codes, &self.scales, (self.columns, SPAN), panel, row, column),
            }
        };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }
}

/// What an element of a row stands for in rows of `columns`, of which each `span` share a scale; codes and scales are as
/// [`Activations`] has them, `first` is the first of the `height` rows of the row's panel.
pub(super) fn value_of(
    codes: &[i8],
    scales: &[f32],
    (columns, span): (usize, usize),
    (first, height): (usize, usize),
    row: usize,
    column: usize,
) -> f32 {
    let code = codes[first * columns + (column / 4 * height + row - first) * 4 + column % 4];
    f32::from(code) * scales[first * columns / span + column / span * height + row - first]
}

/// A panel's share of what [`Activations`] holds.
struct Panel<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
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
    if x.len() < out.codes.len() {
        // Rows that only fill up a panel.
        out.codes.fill(0);
        out.scales.fill(0.0);
        out.sums.fill(0);
    }
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
