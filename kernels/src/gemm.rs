//! The register-tiled product that linear layers and attention are made of: `C (+)= A · B`, all f32, row-major.

use crate::simd::Simd;

/// A matrix operand: pointer to its first element, elements between rows.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) start: *const f32,
    pub(crate) stride: usize,
}

/// `C[rows × columns] (+)= A[rows × depth] · B[depth × columns]`; adds to C if `accumulate`.
///
/// # Safety
/// `columns` is a multiple of 16; A, B and C are valid for their whole sizes, and C overlaps neither.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd>(
    a: Rows,
    b: Rows,
    c: *mut f32,
    c_stride: usize,
    (rows, depth, columns): (usize, usize, usize),
    accumulate: bool,
) {
    debug_assert!(columns.is_multiple_of(16));
    unsafe {
        let mut column = 0;
        while column < columns {
            let b = Rows { start: b.start.add(column), ..b };
            let c = c.add(column);
            if columns - column >= 2 * S::LANES {
                column_strip::<S, 2>(a, b, c, c_stride, rows, depth, accumulate);
                column += 2 * S::LANES;
            } else {
                column_strip::<S, 1>(a, b, c, c_stride, rows, depth, accumulate);
                column += S::LANES;
            }
        }
    }
}

#[inline(always)]
unsafe fn column_strip<S: Simd, const VECTORS: usize>(
    a: Rows,
    b: Rows,
    c: *mut f32,
    c_stride: usize,
    rows: usize,
    depth: usize,
    accumulate: bool,
) {
    let mut row = 0;
    while row < rows {
        unsafe {
            let a = Rows { start: a.start.add(row * a.stride), ..a };
            let c = c.add(row * c_stride);
            row += match (rows - row).min(S::TILE_ROWS) {
                12.. => tile::<S, 12, VECTORS>(a, b, c, c_stride, depth, accumulate),
                6.. => tile::<S, 6, VECTORS>(a, b, c, c_stride, depth, accumulate),
                4.. => tile::<S, 4, VECTORS>(a, b, c, c_stride, depth, accumulate),
                2.. => tile::<S, 2, VECTORS>(a, b, c, c_stride, depth, accumulate),
                _ => tile::<S, 1, VECTORS>(a, b, c, c_stride, depth, accumulate),
            };
        }
    }
}

/// One tile held in registers over the whole depth; returns its rows.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    a: Rows,
    b: Rows,
    c: *mut f32,
    c_stride: usize,
    depth: usize,
    accumulate: bool,
) -> usize {
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        if accumulate {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(c.add(row * c_stride + v * S::LANES));
                }
            }
        }
        for i in 0..depth {
            let mut columns = [S::splat(0.0); VECTORS];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = S::load(b.start.add(i * b.stride + v * S::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = S::splat(*a.start.add(row * a.stride + i));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = S::fma(x, column, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                S::store(c.add(row * c_stride + v * S::LANES), sum);
            }
        }
    }
    ROWS
}
