//! Long prompts where the machine multiplies tiles of bf16 (AMX): activations in bf16, and weights unpacked to it a stretch at
//! a time for all rows. No group has to be scaled on its own.

use super::{Form, Packed, TILE, product::load_pair};
use crate::{
    Isa,
    amx::{self, DEPTH, ROWS, Tiles},
    lines::Lines,
    output::Output,
    pool::{self, Parts},
    simd::{Simd, kernel},
};
use std::ops::Range;

/// From this many rows on weights are unpacked to bf16 for them; fewer are multiplied as bytes.
pub const FROM_ROWS: usize = 64;
/// Rows, and outputs, that are multiplied at a time.
const BLOCK: usize = 2 * ROWS;
/// Pairs of tiles of outputs that one task multiplies, at most: what it reads of x is used for all of them.
const PAIRS: usize = 8;
/// Inputs whose weights are unpacked at a time, at most: few enough for a task's to stay in the second-level cache.
const SPAN: usize = 1536;
/// Inputs whose products are added up at a time, at most: few enough for a block of x to stay in the first-level cache, enough
/// to make up for loading and storing sums.
const STRETCH: usize = 384;

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
    let (pairs, blocks) = (weights.rows.div_ceil(BLOCK), x.1.div_ceil(BLOCK));
    let (by_outputs, by_rows) = cuts(pairs, blocks, pool::threads());
    pool::run(by_outputs * by_rows, |task| {
        let pairs = part(task / by_rows, pairs, by_outputs);
        let blocks = part(task % by_rows, blocks, by_rows);
        products::<T>(isa, Share { x, blocks, form, weights, pairs, bias, y });
    });
}

/// Into how many parts outputs, in pairs of tiles, and rows, in blocks, are cut: parts that are as large as each other and as
/// many as threads have turns, of no more than [`PAIRS`]. Rows are only cut where there are more threads than outputs: each
/// part unpacks the weights again.
fn cuts(pairs: usize, blocks: usize, threads: usize) -> (usize, usize) {
    let turns = pairs.div_ceil(PAIRS * threads);
    ((turns * threads).min(pairs), (threads / pairs.max(1)).clamp(1, blocks.max(1)))
}

/// One of so many parts that are about as large as each other.
fn part(number: usize, of: usize, parts: usize) -> Range<usize> {
    number * of / parts..(number + 1) * of / parts
}

/// Inputs, whole tiles of them, in parts of no more than `most`.
fn stretches(inputs: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (parts, tiles) = (inputs.len().div_ceil(most), inputs.len() / DEPTH);
    (0..parts).map(move |number| {
        let tiles = part(number, tiles, parts);
        inputs.start + tiles.start * DEPTH..inputs.start + tiles.end * DEPTH
    })
}

/// What one task multiplies.
struct Share<'a> {
    /// As [`round`] gives it, and how many rows it has.
    x: (&'a [u16], usize),
    /// Of rows.
    blocks: Range<usize>,
    form: Form,
    weights: Packed<'a>,
    /// Of tiles of outputs.
    pairs: Range<usize>,
    bias: Option<&'a [f32]>,
    y: Output,
}

fn products<T: Tiles>(isa: Isa, share: Share) {
    let Share { x: (x, all_rows), form, weights, y, .. } = share;
    let columns = weights.columns;
    let rows = share.blocks.start * BLOCK..share.blocks.end * BLOCK;
    let outputs = share.pairs.start * BLOCK..weights.rows.min(share.pairs.end * BLOCK);
    let width = share.pairs.len() * BLOCK;
    // What sums begin with, the same for all rows.
    let begin = share.bias.map(|bias| {
        let mut begin = [0.0; PAIRS * BLOCK];
        begin[..outputs.len()].copy_from_slice(&bias[outputs.clone()]);
        begin
    });
    let bias = begin.as_ref().map(|begin| Output { start: begin.as_ptr().cast_mut(), stride: 0 });
    // Whole blocks are added up where they belong; others aside, with rows and outputs that are none.
    let direct =
        if outputs.len() == width { rows.end.min(all_rows / BLOCK * BLOCK).max(rows.start) } else { rows.start };
    let mut aside = Lines::<f32>::any((rows.end - direct) * width);
    let aside_at = Output { start: aside.as_mut_ptr(), stride: width };
    // For each pair its tiles side by side, of which the second is zeros where there are no such outputs.
    let of_pair = SPAN.min(columns) * BLOCK / 2;
    let mut unpacked = Lines::<u32>::zeros(share.pairs.len() * of_pair);
    for span in stretches(0..columns, SPAN) {
        for tile in outputs.start / TILE..outputs.end.div_ceil(TILE) {
            let groups = form.groups_of(weights, tile, span.start / form.group..span.end / form.group);
            let pair = &mut unpacked[(tile / 2 - share.pairs.start) * of_pair..][..span.len() * BLOCK / 2];
            unpack(isa, form, form.unit_of(weights, tile), groups, tile % 2, pair);
        }
        // SAFETY: x is rows of tiles of `columns`; each pair has as many tiles as these inputs; whole blocks are within y, of
        // which no other task has these rows and outputs, others within what is aside. This thread has no other tiles.
        unsafe {
            T::begin();
            for row in rows.clone().step_by(BLOCK) {
                let target = if row < direct { y.at(row, outputs.start) } else { aside_at.at(row - direct, 0) };
                for inputs in stretches(span.clone(), STRETCH) {
                    let a = |row: usize| x.as_ptr().add(row * columns + inputs.start * ROWS).cast::<u8>();
                    for pair in 0..share.pairs.len() {
                        let out = target.at(0, pair * BLOCK);
                        let from =
                            if inputs.start == 0 { bias.map(|bias| bias.at(0, pair * BLOCK)) } else { Some(out) };
                        let b = unpacked[pair * of_pair + (inputs.start - span.start) * BLOCK / 2..].as_ptr().cast();
                        amx::multiply_blocks::<T>([a(row), a(row + ROWS)], b, inputs.len() / DEPTH, from, out);
                    }
                }
            }
            T::end();
        }
    }
    // SAFETY: the rows and the outputs are those of y; no other task writes these.
    unsafe { y.put(direct..rows.end.min(all_rows), outputs, &aside, width, None) };
}

kernel! {
    /// Unpacks a tile's groups to the tiles on one `side` of pairs, each 32 bits two inputs of an output.
    fn unpack = unpack_body(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32])
}

#[inline(always)]
unsafe fn unpack_body<S: Simd>(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32]) {
    // SAFETY: the instruction set is the caller's.
    unsafe {
        match form.bits {
            4 => unpack_codes::<S, 4>(form, unit, groups, side, out),
            5 => unpack_codes::<S, 5>(form, unit, groups, side, out),
            6 => unpack_codes::<S, 6>(form, unit, groups, side, out),
            _ => unpack_codes::<S, 8>(form, unit, groups, side, out),
        }
    }
}

#[inline(always)]
unsafe fn unpack_codes<S: Simd, const BITS: u8>(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32]) {
    let lines = form.group / 2;
    let groups = groups.chunks_exact(form.group_bytes());
    assert_eq!(out.len(), groups.len() * lines * 2 * TILE, "room for pairs of tiles");
    for (number, group) in groups.enumerate() {
        let (codes, halves) = group.split_at(form.code_bytes());
        let line = number * lines;
        let out = out[((line / ROWS * 2 + side) * ROWS + line % ROWS) * TILE..].as_mut_ptr();
        for at in (0..TILE).step_by(S::LANES) {
            // SAFETY: the instruction set is the caller's; codes, scales and offsets are the group's, and it has so many
            // lines of its tile.
            unsafe {
                let factor = |number: usize| S::load_f16(halves.as_ptr().add(2 * (number + at)).cast());
                let scale = S::mul(factor(0), S::splat(unit));
                let own = if form.offset { S::mul(factor(TILE), S::splat(unit)) } else { S::splat(0.0) };
                let offset = S::fma(scale, S::splat(-f32::from(form.zero)), own);
                let plane = if form.has_plane() { form.low_bytes() + 4 * at } else { 0 };
                let mut plane = S::load_codes(codes.as_ptr().add(plane));
                for pair in 0..form.group / 8 {
                    let two = load_pair::<S, BITS>(codes.as_ptr(), pair, 4 * at, &mut plane);
                    for (half, codes) in two.into_iter().enumerate() {
                        let [a, b, c, d] = S::widen_codes(codes).map(|code| S::fma(code, scale, offset));
                        let out = out.add((4 * pair + 2 * half) * TILE + at);
                        S::store_bf16_pairs(out, a, b);
                        S::store_bf16_pairs(out.add(TILE), c, d);
                    }
                }
            }
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
        // Rows and outputs that are no whole blocks; inputs of several stretches and spans; more outputs than a task's.
        let shapes = [(65, 33, 512), (70, 16, 1280), (97, 64, 1792), (64, 544, 256)];
        for (number, kind) in QUANTISED.into_iter().enumerate() {
            let (rows, outputs, columns) = shapes[number % shapes.len()];
            let noise = |seed: usize, len: usize| -> Vec<f32> {
                (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.5 - 1.0).collect()
            };
            let (matrix, x, bias) = (noise(1, outputs * columns), noise(2, rows * columns), noise(3, outputs));
            // Whichever the shape: without a bias in the second half of the types.
            let bias = (number < QUANTISED.len() / 2).then_some(bias.as_slice());
            let (bytes, values) = by_candle::quantised(kind, &matrix, columns);
            let mut packed = vec![0xaa; packed::size(kind, outputs, columns).expect("a quantised type")];
            packed::pack(kind, &bytes, outputs, columns, &mut packed);
            for isa in Isa::available() {
                let wide = round(isa, &x, columns);
                let x: Vec<f32> =
                    (0..rows * columns).map(|i| value(&wide, columns, i / columns, i % columns)).collect();
                let expected = reference::linear(&x, &values, columns, bias);
                let mut y = vec![f32::NAN; rows * outputs];
                let target = Output { start: y.as_mut_ptr(), stride: outputs };
                let weights = Packed { kind, bytes: &packed, rows: outputs, columns };
                linear::<Soft>(isa, (&wide, rows), weights, bias, target);
                // What the machine has of tiles, by way of what callers call.
                let mut on_machine = y.clone();
                if Isa::Amx.is_available() {
                    let x = Activations::of_prompt(Isa::Amx, &x, columns);
                    assert!(x.is_long());
                    packed::linear(Isa::Amx, &x, weights, bias, &mut on_machine);
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
    fn parts_are_as_many_as_threads_have_turns() {
        assert_eq!((cuts(18, 32, 2), cuts(6, 32, 2), cuts(1, 32, 1)), ((4, 1), (2, 1), (1, 1)));
        // Fewer outputs than threads: rows are cut, as far as there are any.
        assert_eq!((cuts(4, 32, 16), cuts(1, 3, 16), cuts(280, 32, 16)), ((4, 4), (1, 3), (48, 1)));
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
