//! Where the results of a product go.

use std::ops::Range;

/// A matrix of f32 that several tasks fill, each some columns of its own.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) start: *mut f32,
    /// Elements between rows.
    pub(crate) stride: usize,
}

// SAFETY: tasks write disjoint columns of the same matrix.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    /// What begins with this row and column, which may be past the matrix's end as long as nothing is read or written there.
    #[inline(always)]
    pub(crate) fn at(self, row: usize, column: usize) -> Output {
        Output { start: self.start.wrapping_add(row * self.stride + column), ..self }
    }

    /// Stores sums, of which each `width` begin with those of a row, plus `bias` where these columns have one.
    ///
    /// # Safety
    /// The rows and the columns are the matrix's, and nobody else has these columns of them.
    pub(crate) unsafe fn put(
        self,
        rows: Range<usize>,
        columns: Range<usize>,
        sums: &[f32],
        width: usize,
        bias: Option<&[f32]>,
    ) {
        for (row, sums) in rows.zip(sums.chunks_exact(width)) {
            // SAFETY: the caller's.
            let y = unsafe { std::slice::from_raw_parts_mut(self.at(row, columns.start).start, columns.len()) };
            match bias {
                Some(bias) => y.iter_mut().zip(sums).zip(bias).for_each(|((y, sum), bias)| *y = sum + bias),
                None => y.copy_from_slice(&sums[..y.len()]),
            }
        }
    }
}
