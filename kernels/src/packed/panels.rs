//! Rows of activations as signed bytes, in panels: the rows that are multiplied together.

use crate::{
    lines::Lines,
    pool::{self, Parts},
};
use std::ops::Range;

/// Rows of the largest panel.
pub(super) const PANEL: usize = 8;
/// Panels that one task works on.
const TASK_PANELS: usize = 4;

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

    /// Rows from one panel's first to the next one's.
    pub(super) fn step(self) -> usize {
        self.step
    }

    /// First row of each of the panels with these numbers, and how many it has.
    pub(super) fn iter(self, panels: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        panels.map(move |panel| self.with(panel * self.step))
    }

    /// First row of the panel that has this one, and how many it has.
    fn with(self, row: usize) -> (usize, usize) {
        let first = row / self.step * self.step;
        (first, self.height(self.rows - first))
    }

    fn height(self, left: usize) -> usize {
        if left >= self.step { self.step } else { left.next_power_of_two().min(self.step) }
    }

    /// Runs `task` for each panel, side by side, with its first row and how many it has.
    fn for_each(self, task: impl Fn(usize, usize) + Sync) {
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
    fn padded(self) -> usize {
        let whole = self.rows / self.step * self.step;
        whole + if whole < self.rows { self.height(self.rows - whole) } else { 0 }
    }
}

/// Rows that were rounded to bytes, the last panel filled up with rows of zeros.
pub(super) struct Rounded {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Inputs that share a scale.
    pub(super) span: usize,
    /// For each panel (columns / 4, rows of the panel, 4).
    pub(super) codes: Lines<i8>,
    /// For each panel (columns / span, rows of the panel).
    pub(super) scales: Lines<f32>,
    /// What the products need of sums of codes: for each panel (columns / the codes of a sum, rows of the panel).
    pub(super) sums: Lines<i32>,
}

/// A panel's share of what [`Rounded`] holds.
pub(super) struct Panel<'a> {
    pub(super) codes: &'a mut [i8],
    pub(super) scales: &'a mut [f32],
    pub(super) sums: &'a mut [i32],
}

impl Rounded {
    /// Of `x` (rows, columns), with `span` inputs to a scale and `summed` to a sum: `round` puts the rows of a panel there.
    pub(super) fn new(
        x: &[f32],
        columns: usize,
        (span, summed): (usize, usize),
        round: impl Fn(&[f32], Panel) + Sync,
    ) -> Rounded {
        let rows = x.len() / columns;
        let panels = Panels::of(rows);
        let of_all = panels.padded() * columns;
        let (mut codes, mut scales, mut sums) =
            (Lines::any(of_all), Lines::any(of_all / span), Lines::any(of_all / summed));
        let (all_codes, all_scales, all_sums) =
            (Parts::new(&mut codes), Parts::new(&mut scales), Parts::new(&mut sums));
        panels.for_each(|first, height| {
            let part = |per: usize| first * columns / per..(first + height) * columns / per;
            // SAFETY: panels are disjoint.
            let panel = unsafe {
                Panel {
                    codes: all_codes.part(part(1)),
                    scales: all_scales.part(part(span)),
                    sums: all_sums.part(part(summed)),
                }
            };
            if rows < first + height {
                panel.codes.fill(0);
                panel.scales.fill(0.0);
                panel.sums.fill(0);
            }
            round(&x[first * columns..rows.min(first + height) * columns], panel);
        });
        Rounded { rows, columns, span, codes, scales, sums }
    }

    /// What an element stands for.
    pub(super) fn value(&self, row: usize, column: usize) -> f32 {
        let (first, height) = Panels::of(self.rows).with(row);
        let code = first * self.columns + (column / 4 * height + row - first) * 4 + column % 4;
        let scale = first * self.columns / self.span + column / self.span * height + row - first;
        f32::from(self.codes[code]) * self.scales[scale]
    }
}
