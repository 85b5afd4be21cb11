//! `y = x · Wᵀ` from weights as they lie in the file, dequantised a panel at a time.
//!
//! Two shapes of the same product. Long prompts (many rows): a panel of output columns is dequantised and transposed once
//! and multiplied with all rows, so that the work is that of a dense product. Decoding (few rows): each weight row is
//! dequantised into the first-level cache and its dot products with all rows of x are taken there.

use crate::{
    Isa,
    blocks::{self, BlockType},
    gemm::{self, Rows},
    output::Output,
    pool,
    simd::{Simd, kernel},
};

/// A weight matrix of `rows` outputs by `columns` inputs, row-major.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub kind: BlockType,
    pub bytes: &'a [u8],
    pub rows: usize,
    pub columns: usize,
}

impl Weights<'_> {
    fn row_bytes(&self) -> usize {
        self.kind.size_of(self.columns)
    }

    fn check(&self) {
        assert!(self.columns.is_multiple_of(self.kind.elements()), "{:?}: {} columns", self.kind, self.columns);
        let bytes = self.rows.checked_mul(self.row_bytes());
        assert_eq!(Some(self.bytes.len()), bytes, "{:?}: bytes of the weights", self.kind);
    }
}

/// From this many rows of x on, the panel shape is the faster one.
const PANEL_FROM_ROWS: usize = 24;
/// Output columns of a panel.
const PANEL: usize = 64;
/// Input columns dequantised at a time; a multiple of every block's size.
const DEPTH: usize = 1024;
/// Output columns transposed at a time; divides [`PANEL`].
const STRIP: usize = 16;
/// Elements between the rows of a strip: not a power of two, so that they do not all fall into the same cache set.
const STRIDE: usize = DEPTH + 16;

/// `y[m × rows] = x[m × columns] · Wᵀ`, plus `bias` to each row of y where there is one. Panics on wrong lengths.
pub fn linear(isa: Isa, x: &[f32], weights: Weights, bias: Option<&[f32]>, y: &mut [f32]) {
    weights.check();
    let m = x.len() / weights.columns;
    assert_eq!(x.len(), m * weights.columns, "length of x");
    assert_eq!(Some(y.len()), m.checked_mul(weights.rows), "length of y");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weights.rows, "length of the bias");
    }
    let target = Output { start: y.as_mut_ptr(), stride: weights.rows };
    if m >= PANEL_FROM_ROWS {
        let panels = weights.rows.div_ceil(PANEL);
        pool::run(panels, |panel| {
            let first = panel * PANEL;
            let columns = PANEL.min(weights.rows - first);
            panel_product(isa, x, m, weights, bias, first, columns, target);
        });
    } else if m > 0 {
        let step = weights.rows.div_ceil(8 * pool::threads()).max(8);
        pool::run(weights.rows.div_ceil(step), |part| {
            let first = part * step;
            let rows = step.min(weights.rows - first);
            row_products(isa, x, m, weights, bias, first, rows, target);
        });
    }
}

kernel! {
    fn panel_product = panel_body(x: &[f32], m: usize, weights: Weights, bias: Option<&[f32]>, first: usize, columns: usize, y: Output)
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn panel_body<S: Simd>(
    x: &[f32],
    m: usize,
    weights: Weights,
    bias: Option<&[f32]>,
    first: usize,
    columns: usize,
    y: Output,
) {
    let depth = weights.columns;
    // The panel, transposed: (depth, PANEL). Columns past the last hold numbers that nobody reads.
    let mut panel = vec![0f32; DEPTH.min(depth) * PANEL];
    let mut strip = vec![0f32; STRIP * STRIDE];
    let mut sums = vec![0f32; m * PANEL];
    for start in (0..depth).step_by(DEPTH) {
        let length = DEPTH.min(depth - start);
        for column in (0..columns).step_by(STRIP) {
            let count = STRIP.min(columns - column);
            for (j, row) in strip.chunks_exact_mut(STRIDE).take(count).enumerate() {
                dequantize_part(S::ISA, weights, first + column + j, start, &mut row[..length]);
            }
            for (i, out) in panel.chunks_exact_mut(PANEL).take(length).enumerate() {
                let out: &mut [f32; STRIP] = out[column..].first_chunk_mut().expect("STRIP divides PANEL");
                for (j, out) in out.iter_mut().enumerate() {
                    *out = strip[j * STRIDE + i];
                }
            }
        }
        // SAFETY: x holds m rows of `depth`, the panel `length` rows of PANEL, sums m rows of PANEL.
        unsafe {
            let a = Rows { start: x.as_ptr().add(start), stride: depth };
            let b = Rows { start: panel.as_ptr(), stride: PANEL };
            gemm::multiply::<S>(a, b, sums.as_mut_ptr(), PANEL, (m, length, PANEL), start > 0);
        }
    }
    for (i, sums) in sums.as_chunks::<PANEL>().0.iter().enumerate() {
        for (j, sum) in sums[..columns].iter().enumerate() {
            let bias = bias.map_or(0.0, |bias| bias[first + j]);
            // SAFETY: i < m and first + j < weights.rows; no other task writes these columns.
            unsafe { *y.start.add(i * y.stride + first + j) = sum + bias };
        }
    }
}

kernel! {
    fn row_products = rows_body(x: &[f32], m: usize, weights: Weights, bias: Option<&[f32]>, first: usize, rows: usize, y: Output)
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn rows_body<S: Simd>(
    x: &[f32],
    m: usize,
    weights: Weights,
    bias: Option<&[f32]>,
    first: usize,
    rows: usize,
    y: Output,
) {
    let depth = weights.columns;
    // (WEIGHT_ROWS, depth): what is dequantised once serves all rows of x.
    let mut block = vec![0f32; WEIGHT_ROWS * depth];
    for row in (first..first + rows).step_by(WEIGHT_ROWS) {
        let count = WEIGHT_ROWS.min(first + rows - row);
        for (i, out) in block.chunks_exact_mut(depth).take(count).enumerate() {
            dequantize_part(S::ISA, weights, row + i, 0, out);
        }
        let mut i = 0;
        while i < m {
            // SAFETY: x holds m rows of `depth` elements, the block WEIGHT_ROWS; rows past `count` hold old numbers, whose
            // products are not used.
            let (dots, taken) = unsafe {
                let x = &x[i * depth..];
                match m - i {
                    4.. => (dots::<S, 4>(x, &block, depth), 4),
                    2.. => (widen(dots::<S, 2>(x, &block, depth)), 2),
                    _ => (widen(dots::<S, 1>(x, &block, depth)), 1),
                }
            };
            for (k, dots) in dots.iter().enumerate().take(taken) {
                for (j, dot) in dots.iter().enumerate().take(count) {
                    let bias = bias.map_or(0.0, |bias| bias[row + j]);
                    // SAFETY: i + k < m and row + j < weights.rows; no other task writes these columns.
                    unsafe { *y.start.add((i + k) * y.stride + row + j) = dot + bias };
                }
            }
            i += taken;
        }
    }
}

/// Weight rows dequantised together in the few-rows shape.
const WEIGHT_ROWS: usize = 4;

#[inline(always)]
fn widen<const N: usize>(dots: [[f32; WEIGHT_ROWS]; N]) -> [[f32; WEIGHT_ROWS]; 4] {
    let mut wide = [[0.0; WEIGHT_ROWS]; 4];
    wide[..N].copy_from_slice(&dots);
    wide
}

/// The dot products of the first N rows of `x` with the rows of `block`, each `depth` long.
#[inline(always)]
unsafe fn dots<S: Simd, const N: usize>(x: &[f32], block: &[f32], depth: usize) -> [[f32; WEIGHT_ROWS]; N] {
    debug_assert!(x.len() >= N * depth && block.len() >= WEIGHT_ROWS * depth);
    let mut dots = [[0f32; WEIGHT_ROWS]; N];
    unsafe {
        let mut sums = [[S::splat(0.0); WEIGHT_ROWS]; N];
        let whole = depth / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            let mut w = [S::splat(0.0); WEIGHT_ROWS];
            for (j, w) in w.iter_mut().enumerate() {
                *w = S::load(block.as_ptr().add(j * depth + at));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let v = S::load(x.as_ptr().add(i * depth + at));
                for (sum, &w) in sums.iter_mut().zip(&w) {
                    *sum = S::fma(v, w, *sum);
                }
            }
        }
        for (i, (dots, sums)) in dots.iter_mut().zip(&sums).enumerate() {
            for (j, (dot, &sum)) in dots.iter_mut().zip(sums).enumerate() {
                *dot = S::sum(sum);
                for at in whole..depth {
                    *dot += x[i * depth + at] * block[j * depth + at];
                }
            }
        }
    }
    dots
}

/// Elements `start..start + out.len()` of weight row `row`.
#[inline(always)]
fn dequantize_part(isa: Isa, weights: Weights, row: usize, start: usize, out: &mut [f32]) {
    let at = row * weights.row_bytes() + weights.kind.size_of(start);
    blocks::dequantize(isa, weights.kind, &weights.bytes[at..at + weights.kind.size_of(out.len())], out);
}

/// Rows of the matrix by number, as f32: `out[ids.len() × columns]`. Panics on an id past the last row.
pub fn rows(isa: Isa, weights: Weights, ids: &[u32], out: &mut [f32]) {
    weights.check();
    assert_eq!(out.len(), ids.len() * weights.columns, "length of the output");
    for (&id, out) in ids.iter().zip(out.chunks_exact_mut(weights.columns)) {
        assert!((id as usize) < weights.rows, "row {id} of {}", weights.rows);
        dequantize_part(isa, weights, id as usize, 0, out);
    }
}
