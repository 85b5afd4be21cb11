//! What becomes of sums.

use super::{BLOCK, rounded};
use crate::{
    Isa,
    amx::{DEPTH, ROWS},
    elementwise::{self, Activation},
    output::Output,
    packed::TILE,
    pool::Parts,
    simd::{Simd, kernel},
};
use std::ops::Range;

/// What becomes of the sums of blocks of rows and pairs of tiles, (row, output) each.
pub(super) trait Results: Sync {
    /// What they begin with, if not with zeros: as many for each row.
    fn begin(&self, pair: usize) -> Option<Output>;
    /// Where they belong, if all of them do.
    fn place(&self, block: usize, pair: usize) -> Option<Output>;
    /// Is given those that have no place.
    ///
    /// # Safety
    /// Nobody else is given these, and what has a place has been given it.
    unsafe fn take(&self, block: usize, pair: usize, sums: &[f32]);
}

/// They are elements of a matrix.
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    /// Filled up to whole pairs.
    bias: Option<Vec<f32>>,
    y: Output,
}

impl Matrix {
    pub(super) fn new(rows: usize, columns: usize, bias: Option<&[f32]>, y: Output) -> Matrix {
        let filled_up = |bias: &[f32]| {
            let mut bias = bias.to_vec();
            bias.resize(columns.next_multiple_of(BLOCK), 0.0);
            bias
        };
        Matrix { rows, columns, bias: bias.map(filled_up), y }
    }

    /// What there is of a block and a pair.
    fn part(&self, block: usize, pair: usize) -> (Range<usize>, Range<usize>) {
        let part = |number: usize, of: usize| number * BLOCK..of.min((number + 1) * BLOCK);
        (part(block, self.rows), part(pair, self.columns))
    }
}

impl Results for Matrix {
    fn begin(&self, pair: usize) -> Option<Output> {
        let bias = self.bias.as_ref()?;
        Some(Output { start: bias[pair * BLOCK..].as_ptr().cast_mut(), stride: 0 })
    }

    fn place(&self, block: usize, pair: usize) -> Option<Output> {
        let (rows, columns) = self.part(block, pair);
        (rows.len() == BLOCK && columns.len() == BLOCK).then(|| self.y.at(rows.start, columns.start))
    }

    unsafe fn take(&self, block: usize, pair: usize, sums: &[f32]) {
        let (rows, columns) = self.part(block, pair);
        // SAFETY: both are the matrix's, and the caller's alone.
        unsafe { self.y.put(rows, columns, sums, BLOCK, None) };
    }
}

/// They are gates and what these are for, a tile of each beside the other, and make up activations of `width` for the next
/// linear.
pub(super) struct Gated {
    pub(super) isa: Isa,
    pub(super) activation: Activation,
    pub(super) width: usize,
    /// Of rows of tiles.
    pub(super) parts: Parts<u16>,
}

impl Results for Gated {
    fn begin(&self, _: usize) -> Option<Output> {
        None
    }

    fn place(&self, _: usize, _: usize) -> Option<Output> {
        None
    }

    unsafe fn take(&self, block: usize, pair: usize, sums: &[f32]) {
        let mut gated = [[0; TILE]; BLOCK];
        gate_block(self.isa, self.activation, sums, &mut gated);
        for (row, gated) in gated.iter().enumerate() {
            let row = block * BLOCK + row;
            let tile = row / ROWS * (self.width / DEPTH) + pair * TILE / DEPTH;
            let start = (tile * ROWS + row % ROWS) * DEPTH + pair * TILE % DEPTH;
            // SAFETY: within these rows of tiles; nobody else has these outputs of them.
            unsafe { self.parts.part(start..start + TILE) }.copy_from_slice(gated);
        }
    }
}

kernel! {
    /// Gates, rounded: those of a row are followed by what they are for.
    fn gate_block = gate_body(activation: Activation, sums: &[f32], out: &mut [[u16; TILE]; BLOCK])
}

#[inline(always)]
unsafe fn gate_body<S: Simd>(activation: Activation, sums: &[f32], out: &mut [[u16; TILE]; BLOCK]) {
    let mut gated = [[0.0; TILE]; BLOCK];
    for (sums, gated) in sums.as_chunks::<BLOCK>().0.iter().zip(&mut gated) {
        for at in (0..TILE).step_by(S::LANES) {
            // SAFETY: the instruction set is the caller's; LANES divides a tile's outputs.
            unsafe {
                let (gate, up) = (S::load(sums.as_ptr().add(at)), S::load(sums.as_ptr().add(TILE + at)));
                S::store(gated.as_mut_ptr().add(at), elementwise::gated::<S>(activation, gate, up));
            }
        }
    }
    for (out, x) in out.as_flattened_mut().iter_mut().zip(gated.as_flattened()) {
        *out = rounded(*x) as u16;
    }
}
