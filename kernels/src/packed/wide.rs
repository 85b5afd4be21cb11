//! Long prompts where the machine multiplies tiles of bf16 (AMX): activations in bf16, and weights unpacked to it a stretch at
//! a time for all rows. No group has to be scaled on its own.

use super::{Form, Packed, SPAN, TILE, VECTOR, product::widen_codes};
use crate::{
    Isa,
    amx::{self, DEPTH, ROWS, Tiles},
    lines::Lines,
    output::Output,
    pool::{self, Parts},
    simd::{Simd, kernel},
};

/// From this many rows on weights are unpacked to bf16 for them; fewer are multiplied as bytes.
pub const FROM_ROWS: usize = 64;
/// Rows, and outputs, that are multiplied at a time.
const BLOCK: usize = 2 * ROWS;
/// Inputs that are gone through at a time: the weights of a block of outputs for so many stay in the first-level cache.
const STRETCH: usize = 448;

/// Rows of activations in bf16: tiles (rows / 16, columns / 32, 16, 32), filled up with zeros to whole blocks of rows.
pub(super) fn round(isa: Isa, x: &[f32], columns: usize) -> Lines<u16> {
    let rows = x.len() / columns;
    let mut wide = Lines::any(rows.next_multiple_of(BLOCK) * columns);
    let tiles = wide.len() / (ROWS * columns);
    let parts = Parts::new(&mut wide);
    pool::run(tiles, |tile| {
        let x = &x[(tile * ROWS).min(rows) * columns..((tile + 1) * ROWS).min(rows) * columns];
        // SAFETY: rows of tiles are disjoint.
        let wide = unsafe { parts.part(tile * ROWS * columns..(tile + 1) * ROWS * columns) };
        round_rows(isa, x, columns, wide);
    });
    wide
}

kernel! {
    fn round_rows = round_body(x: &[f32], columns: usize, out: &mut [u16])
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, out: &mut [u16]) {
    if x.len() < out.len() {
        out.fill(0);
    }
    for (row, x) in x.chunks_exact(columns).enumerate() {
        for (x, tile) in x.as_chunks::<DEPTH>().0.iter().zip(out.as_chunks_mut::<{ ROWS * DEPTH }>().0) {
            for (x, out) in x.iter().zip(&mut tile[row * DEPTH..]) {
                *out = rounded(*x) as u16;
            }
        }
    }
}

/// The bits of the nearest bf16, of two as near the even one; what is no number stays none.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { (bits >> 16) | 0x40 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}

/// The element of a row.
pub(super) fn value(wide: &[u16], columns: usize, row: usize, column: usize) -> f32 {
    let tile = row / ROWS * (columns / DEPTH) + column / DEPTH;
    let bits = wide[(tile * ROWS + row % ROWS) * DEPTH + column % DEPTH];
    f32::from_bits(u32::from(bits) << 16)
}

/// `y[rows × weights.rows] = x · Wᵀ`, plus `bias`, with x as [`round`] gives it.
pub(super) fn linear<T: Tiles>(isa: Isa, x: (&[u16], usize), weights: Packed, bias: Option<&[f32]>, y: Output) {
    let form = Form::of(weights.kind).expect("a quantised type");
    pool::run(weights.rows.div_ceil(BLOCK), |block| {
        let columns = block * BLOCK..weights.rows.min((block + 1) * BLOCK);
        let bias = bias.map(|bias| &bias[columns.clone()]);
        products::<T>(isa, x, form, weights, columns, bias, y);
    });
}

/// All rows of x with a block of outputs.
fn products<T: Tiles>(
    isa: Isa,
    (x, rows): (&[u16], usize),
    form: Form,
    weights: Packed,
    outputs: std::ops::Range<usize>,
    bias: Option<&[f32]>,
    y: Output,
) {
    let columns = weights.columns;
    let padded = rows.next_multiple_of(BLOCK);
    let mut sums = Lines::<f32>::any(padded * BLOCK);
    // Pairs of tiles side by side, of which the second is zeros where there are no such outputs.
    let mut unpacked = Lines::<u32>::zeros(STRETCH.min(columns) * BLOCK / 2);
    let tiles = outputs.start / TILE..outputs.end.div_ceil(TILE);
    for start in (0..columns).step_by(STRETCH) {
        let depth = STRETCH.min(columns - start);
        for (side, tile) in tiles.clone().enumerate() {
            let groups = form.groups_of(weights, tile, start / form.group..(start + depth) / form.group);
            unpack(isa, form, form.unit_of(weights, tile), groups, side, &mut unpacked);
        }
        let steps = depth / DEPTH;
        // SAFETY: x is rows of tiles of `columns`, the weights are `steps` pairs of tiles, the sums as many rows as x; this
        // thread has no other tiles.
        unsafe {
            T::begin();
            for row in (0..padded).step_by(BLOCK) {
                let a = |row: usize| x.as_ptr().add(row * columns + start * ROWS).cast::<u8>();
                let sums = sums.as_mut_ptr().add(row * BLOCK);
                amx::multiply_blocks::<T>(
                    [a(row), a(row + ROWS)],
                    unpacked.as_ptr().cast(),
                    steps,
                    sums,
                    BLOCK,
                    start > 0,
                );
            }
            T::end();
        }
    }
    // SAFETY: the rows and the columns are those of y; no other task writes these columns.
    unsafe { y.put(0..rows, outputs, &sums, BLOCK, bias) };
}

/// Two bf16 of an output, and the outputs of a tile.
type Line = [u32; TILE];

kernel! {
    fn unpack = unpack_body(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32])
}

/// A tile's groups as the tiles on one `side` of pairs.
#[inline(always)]
unsafe fn unpack_body<S: Simd>(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32]) {
    let mut bytes = [0u8; TILE * SPAN];
    let bytes = &mut bytes[..TILE * form.group];
    let mut lines = out.as_chunks_mut::<TILE>().0.chunks_exact_mut(2 * ROWS).flat_map(|pair| {
        let (left, right) = pair.split_at_mut(ROWS);
        if side == 0 { left } else { right }
    });
    for group in groups.chunks_exact(form.group_bytes()) {
        let (codes, halves) = group.split_at(form.code_bytes());
        widen_codes(form, codes, bytes);
        // SAFETY: the instruction set is the caller's.
        let scales = unsafe { Scales::of::<S>(form, unit, halves) };
        for codes in bytes.as_chunks::<VECTOR>().0 {
            for two in [0, 2] {
                scales.line(codes, two, lines.next().expect("a line for two inputs"));
            }
        }
    }
}

/// What a group's codes stand for: `scale · code + offset`, for each output of a tile.
struct Scales {
    scale: [f32; TILE],
    offset: [f32; TILE],
}

impl Scales {
    #[inline(always)]
    unsafe fn of<S: Simd>(form: Form, unit: f32, halves: &[u8]) -> Scales {
        let half = |number: usize| u16::from_le_bytes([halves[2 * number], halves[2 * number + 1]]);
        // SAFETY: the instruction set is the caller's.
        let factor = |number: usize| unit * unsafe { S::half(half(number)) };
        let scale: [f32; TILE] = std::array::from_fn(factor);
        let offset = |output: usize| {
            let own = if form.offset { factor(TILE + output) } else { 0.0 };
            own - f32::from(form.zero) * scale[output]
        };
        Scales { scale, offset: std::array::from_fn(offset) }
    }

    /// The inputs `two` and `two + 1` of four, of all outputs.
    #[inline(always)]
    fn line(&self, codes: &[u8; VECTOR], two: usize, out: &mut Line) {
        for (output, out) in out.iter_mut().enumerate() {
            let bits = |input: usize| {
                let code = f32::from(codes[4 * output + input]);
                rounded(self.scale[output].mul_add(code, self.offset[output]))
            };
            *out = bits(two) | bits(two + 1) << 16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        amx::Soft,
        packed::{self, Activations, QUANTISED, by_candle},
        reference,
    };

    #[test]
    fn linears_of_every_type_over_tiles_are_those_of_their_matrices() {
        for (kind, (rows, outputs, columns)) in
            QUANTISED.into_iter().zip([(65, 33, 512), (70, 16, 1280)].into_iter().cycle())
        {
            let noise = |seed: usize, len: usize| -> Vec<f32> {
                (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.5 - 1.0).collect()
            };
            let (matrix, x, bias) = (noise(1, outputs * columns), noise(2, rows * columns), noise(3, outputs));
            let (bytes, values) = by_candle::quantised(kind, &matrix, columns);
            let mut packed = vec![0xaa; packed::size(kind, outputs, columns).expect("a quantised type")];
            packed::pack(kind, &bytes, outputs, columns, &mut packed);
            for isa in Isa::available() {
                let wide = round(isa, &x, columns);
                let x: Vec<f32> =
                    (0..rows * columns).map(|i| value(&wide, columns, i / columns, i % columns)).collect();
                let expected = reference::linear(&x, &values, columns, Some(&bias));
                let mut y = vec![f32::NAN; rows * outputs];
                let target = Output { start: y.as_mut_ptr(), stride: outputs };
                let weights = Packed { kind, bytes: &packed, rows: outputs, columns };
                linear::<Soft>(isa, (&wide, rows), weights, Some(&bias), target);
                // What the machine has of tiles, by way of what callers call.
                let mut on_machine = y.clone();
                if Isa::Amx.is_available() {
                    let x = Activations::of_prompt(Isa::Amx, &x, columns);
                    assert!(x.is_long());
                    packed::linear(Isa::Amx, &x, weights, Some(&bias), &mut on_machine);
                }
                let largest = expected.iter().fold(0.0, |most: f64, y| most.max(y.abs()));
                for (got, expected) in y.iter().chain(&on_machine).zip(expected.iter().cycle()) {
                    let error = (f64::from(*got) - expected).abs() / largest;
                    assert!(error < 2e-3, "{kind:?} on {isa}: {got}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn activations_are_rounded_to_the_nearest() {
        let x: Vec<f32> = (0..64).map(|i| ((i as f32) - 31.0) * 1.003f32.powi(i)).chain([f32::NAN; 32]).collect();
        for isa in Isa::available() {
            let wide = round(isa, &x, 32);
            for (i, x) in x.iter().enumerate() {
                let expected = half::bf16::from_f32(*x).to_f32();
                let got = value(&wide, 32, i / 32, i % 32);
                assert!(got == expected || got.is_nan() && x.is_nan(), "{x} became {got} on {isa}");
            }
            assert!((3..BLOCK).all(|row| value(&wide, 32, row, 5) == 0.0), "rows that are none are zeros");
        }
    }
}
