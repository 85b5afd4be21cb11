//! Long prompts where the machine multiplies tiles of bf16 (AMX): activations in bf16, and weights unpacked to it a stretch at
//! a time for all rows. No group has to be scaled on its own.

mod results;
mod unpack;

use super::{Form, Packed, TILE};
use crate::{
    Isa,
    amx::{self, DEPTH, ROWS, Tiles},
    elementwise::Activation,
    lines::Lines,
    output::Output,
    pool::{self, Parts},
    simd::{Simd, kernel, prefetch_far, prefetch_to_write},
};
use results::{Gated, Matrix, Results};
use std::ops::Range;
use unpack::unpack;

/// From this many rows on weights are unpacked to bf16 for them; fewer are multiplied as bytes.
pub const FROM_ROWS: usize = 64;
/// Rows, and outputs, that are multiplied at a time.
const BLOCK: usize = 2 * ROWS;
/// Sums of a block of rows and a pair of tiles of weights.
const SUMS: usize = BLOCK * BLOCK;
/// Inputs whose weights are unpacked at a time, at most.
const SPAN: usize = 1536;
/// Bytes of weights that a task unpacks at a time, at most: few enough to stay in the second-level cache. What it reads of x is
/// used for all of them.
const UNPACKED: usize = 800 << 10;
/// Pairs of tiles that one task multiplies, at most, however short their rows are.
const PAIRS: usize = 24;
/// Inputs whose products are added up at a time, at most: few enough for a block of x and the sums of a pair to be in the
/// first-level cache together, while weights pass through it.
const STRETCH: usize = 576;

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
    let even = Side::of(weights);
    let pairs = Pairs { sides: [even, Side { first: 1, ..even }], step: 2 };
    products::<T>(isa, x, pairs, weights.rows.div_ceil(BLOCK), &Matrix::new(x.1, weights.rows, bias, y));
}

/// `activation(x · Gᵀ) · (x · Uᵀ)`, with x as [`round`] gives it, and as that gives what it rounds. G and U are of one shape,
/// with a multiple of [`DEPTH`] rows.
pub(super) fn gated<T: Tiles>(
    isa: Isa,
    x: (&[u16], usize),
    [gate, up]: [Packed; 2],
    activation: Activation,
) -> Lines<u16> {
    let width = gate.rows;
    let mut wide = Lines::any(x.1.next_multiple_of(BLOCK) * width);
    // A tile of G beside the same one of U.
    let pairs = Pairs { sides: [Side::of(gate), Side::of(up)], step: 1 };
    let results = Gated { isa, activation, width, parts: Parts::new(&mut wide) };
    products::<T>(isa, x, pairs, width / TILE, &results);
    wide
}

/// Weights of which two tiles, side by side, are multiplied at a time.
#[derive(Clone, Copy)]
struct Pairs<'a> {
    sides: [Side<'a>; 2],
    /// Tiles of a side's matrix from one pair to the next.
    step: usize,
}

#[derive(Clone, Copy)]
struct Side<'a> {
    weights: Packed<'a>,
    form: Form,
    /// The tile of the first pair.
    first: usize,
}

impl Side<'_> {
    fn of(weights: Packed) -> Side {
        Side { weights, form: Form::of(weights.kind).expect("a quantised type"), first: 0 }
    }
}

impl Pairs<'_> {
    /// Unpacks weights of some inputs: each pair's tiles side by side, zeros where a matrix ends before.
    fn unpack(&self, isa: Isa, pairs: Range<usize>, inputs: Range<usize>, out: &mut [u32]) {
        for (pair, out) in pairs.zip(out.chunks_exact_mut(inputs.len() * BLOCK / 2)) {
            for (number, Side { weights, form, first }) in self.sides.into_iter().enumerate() {
                let tile = pair * self.step + first;
                if tile < weights.rows.div_ceil(TILE) {
                    let groups = inputs.start / form.group..inputs.end / form.group;
                    let groups = form.groups_of(weights, tile, groups);
                    unpack(isa, form, form.unit_of(weights, tile), groups, number, out);
                } else {
                    let tiles = out.chunks_exact_mut(ROWS * TILE).skip(number).step_by(2);
                    tiles.for_each(|tile| tile.fill(0));
                }
            }
        }
    }
}

/// Multiplies x, as [`round`] gives it and of so many rows, with so many pairs.
fn products<T: Tiles>(isa: Isa, x: (&[u16], usize), of: Pairs, pairs: usize, results: &impl Results) {
    let blocks = x.1.div_ceil(BLOCK);
    let (by_pairs, by_rows) = cuts(pairs, most_pairs(of.sides[0].weights.columns), blocks, pool::threads());
    pool::run(by_pairs * by_rows, |task| {
        let pairs = part(task / by_rows, pairs, by_pairs);
        let blocks = part(task % by_rows, blocks, by_rows);
        share::<T>(isa, x.0, blocks, of, pairs, results);
    });
}

/// Pairs of tiles of rows of so many inputs that one task multiplies, at most.
fn most_pairs(columns: usize) -> usize {
    let bytes = longest_span(columns) * BLOCK * size_of::<u16>();
    (UNPACKED / bytes.max(1)).clamp(1, PAIRS)
}

/// Inputs whose weights are unpacked at a time, at most, of rows of so many.
fn longest_span(columns: usize) -> usize {
    stretches(0..columns, SPAN).map(|span| span.len()).max().unwrap_or(0)
}

/// Into how many parts pairs of tiles and blocks of rows are cut: parts that are as large as each other and as many as threads
/// have turns, of no more than `most`. Rows are only cut where there are more threads than pairs: each part unpacks the
/// weights again.
fn cuts(pairs: usize, most: usize, blocks: usize, threads: usize) -> (usize, usize) {
    let turns = pairs.div_ceil(most * threads);
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

/// Multiplies some blocks of rows with some pairs, which nobody else does.
fn share<T: Tiles>(isa: Isa, x: &[u16], blocks: Range<usize>, of: Pairs, pairs: Range<usize>, results: &impl Results) {
    let (columns, count) = (of.sides[0].weights.columns, pairs.len());
    let mut unpacked = Lines::<u32>::any(count * longest_span(columns) * BLOCK / 2);
    // Of one block after the other, or of all where they wait for more inputs.
    let kept = if columns > SPAN { blocks.len() } else { 1 };
    let mut sums = Lines::<f32>::any(kept * count * SUMS);
    let room = Output { start: sums.as_mut_ptr(), stride: BLOCK };
    let x = |block: usize, input: usize| {
        let row = |row: usize| x.as_ptr().wrapping_add(row * columns + input * ROWS).cast::<u8>();
        [row(block * BLOCK), row(block * BLOCK + ROWS)]
    };
    // Bytes of each of the two rows of tiles of the next stretch that are asked for with a step: with the last pair at the latest
    // all of them.
    let ahead = (amx::TILE / count).next_multiple_of(amx::LINE);
    for span in stretches(0..columns, SPAN) {
        of.unpack(isa, pairs.clone(), span.clone(), &mut unpacked);
        // SAFETY: x is rows of tiles of all inputs, weights pairs of tiles of the span's; sums have room of their own, or are
        // the only ones with their place. This thread has no other tiles.
        unsafe {
            T::begin();
            let mut before = None;
            for block in blocks.clone() {
                let own = |pair: usize| room.at((block % kept * count + pair) * BLOCK, 0);
                let place = |pair: usize| results.place(block, pairs.start + pair);
                for inputs in stretches(span.clone(), STRETCH) {
                    let steps = inputs.len() / DEPTH;
                    let next = if inputs.end < span.end { x(block, inputs.end) } else { x(block + 1, span.start) };
                    for pair in 0..count {
                        let b = unpacked[(pair * span.len() + inputs.start - span.start) * BLOCK / 2..].as_ptr().cast();
                        let first = inputs.start == 0;
                        let from = if first { results.begin(pairs.start + pair) } else { Some(own(pair)) };
                        let place = place(pair).filter(|_| inputs.end == columns);
                        amx::multiply_blocks::<T>(x(block, inputs.start), b, steps, from, before, |step| {
                            let at = (pair * steps + step) * ahead;
                            if at < steps * amx::TILE {
                                next.iter().for_each(|next| prefetch_far(next.wrapping_add(at), ahead));
                            }
                            place.iter().for_each(|place| ask_for(*place, step));
                        });
                        before = Some(place.unwrap_or(own(pair)));
                    }
                }
                for pair in (0..count).filter(|pair| span.end == columns && place(*pair).is_none()) {
                    if let Some(sums) = before.take() {
                        amx::store_sums::<T>(sums);
                    }
                    let sums = std::slice::from_raw_parts(own(pair).start, SUMS);
                    results.take(block, pairs.start + pair, sums);
                }
            }
            if let Some(sums) = before {
                amx::store_sums::<T>(sums);
            }
            T::end();
        }
    }
}

/// Asks for some rows of where sums go.
#[inline(always)]
fn ask_for(place: Output, step: usize) {
    const ROWS_AT_A_TIME: usize = 4;
    for row in ROWS_AT_A_TIME * step..(ROWS_AT_A_TIME * (step + 1)).min(BLOCK) {
        prefetch_to_write(place.at(row, 0).start, BLOCK * size_of::<f32>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        amx::Soft,
        blocks::BlockType,
        elementwise,
        packed::{self, Activations, QUANTISED, by_candle},
        reference,
    };

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// A matrix of noise, packed, and what its elements are then.
    fn packed_noise(kind: BlockType, outputs: usize, columns: usize, seed: usize) -> (Vec<u8>, Vec<f32>) {
        let (bytes, values) = by_candle::quantised(kind, &noise(seed, outputs * columns), columns);
        let mut packed = vec![0xaa; packed::size(kind, outputs, columns).expect("a quantised type")];
        packed::pack(kind, &bytes, outputs, columns, &mut packed);
        (packed, values)
    }

    #[test]
    fn linears_of_every_type_over_tiles_are_those_of_their_matrices() {
        // Rows and outputs that are no whole blocks; inputs of several stretches and spans; more outputs than a task's.
        let shapes = [(65, 33, 512), (70, 16, 1280), (97, 64, 1792), (64, 544, 256)];
        for (number, kind) in QUANTISED.into_iter().enumerate() {
            let (rows, outputs, columns) = shapes[number % shapes.len()];
            let (x, bias) = (noise(2, rows * columns), noise(3, outputs));
            // Whichever the shape: without a bias in the second half of the types.
            let bias = (number < QUANTISED.len() / 2).then_some(bias.as_slice());
            let (packed, values) = packed_noise(kind, outputs, columns, 1);
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
    fn gates_are_those_of_two_linears_rounded() {
        // Rows that are no whole block, more pairs than a task's, inputs of several spans.
        let shapes = [(70, 160, 512, Activation::Silu), (33, 32, 1792, Activation::GeluTanh)];
        for (rows, outputs, columns, activation) in shapes {
            let kinds = [BlockType::Q4K, BlockType::Q6K];
            let packed = kinds.map(|kind| packed_noise(kind, outputs, columns, kind as usize).0);
            let of = |i: usize| Packed { kind: kinds[i], bytes: &packed[i], rows: outputs, columns };
            for isa in Isa::available() {
                let x = round(isa, &noise(3, rows * columns), columns);
                let mut both = [0, 1].map(|_| vec![f32::NAN; rows * outputs]);
                for (i, y) in both.iter_mut().enumerate() {
                    let y = Output { start: y.as_mut_ptr(), stride: outputs };
                    linear::<Soft>(isa, (&x, rows), of(i), None, y);
                }
                let [mut gate, up] = both;
                elementwise::gate(isa, activation, &mut gate, &up);
                let got = gated::<Soft>(isa, (&x, rows), [of(0), of(1)], activation);
                assert!(*got == *round(isa, &gate, outputs), "{activation:?} on {isa}");
                assert!(gate.iter().any(|x| x.abs() > 0.1), "what is no zero");
            }
        }
    }

    #[test]
    fn parts_are_as_many_as_threads_have_turns() {
        assert_eq!([64, 576, 1536, 8960].map(most_pairs), [24, 22, 8, 8]);
        assert_eq!((cuts(18, 8, 32, 2), cuts(6, 8, 32, 2), cuts(1, 8, 32, 1)), ((4, 1), (2, 1), (1, 1)));
        // Fewer outputs than threads: rows are cut, as far as there are any.
        assert_eq!((cuts(4, 8, 32, 16), cuts(1, 8, 3, 16), cuts(280, 8, 32, 16)), ((4, 4), (1, 3), (48, 1)));
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
