//! Long prompts in bytes: activations and weights are turned by Hadamard matrices before they are rounded, after which one
//! scale for 128 inputs serves nearly as well as one for 32 does otherwise, and products need little scaling.
//!
//! With a matrix of Sylvester H of order n, whose square is n, `x · w = (H x) · (H w) / n`. Each element of `H x` is a sum over
//! all of x with signs, so that an outlier's cost is shared and no longer its neighbours' (QuaRot, arXiv:2404.00456, turns
//! whole models). All inputs that share a scale are turned together: then all of them are about as large. Weights stay in
//! memory as they are packed: they are turned for all rows of a chunk at once, a stretch at a time.

mod rows;
mod weights;

pub(super) use rows::{round, span, value};

use super::{
    Form, Packed, TILE, VECTOR,
    panels::{Panels, Rounded},
};
use crate::{
    Isa,
    lines::Lines,
    output::Output,
    pool,
    simd::{self, Simd, kernel},
};
use std::ops::Range;
use weights::{bytes_of, widen};

/// From this many rows on weights are turned for them.
pub(super) const FROM_ROWS: usize = 256;
/// The byte that stands for zero in weights.
const ZERO: u8 = 128;
/// Tiles that one task works on: with AVX-512 at once, so that few bytes of x are loaded for many products.
const TILES: usize = 4;
/// Outputs that one task works on.
const WIDTH: usize = TILES * TILE;
/// Inputs that are gone through at a time, a multiple of all that share a scale: a task's weights for so many stay in the
/// second-level cache, and sums of all rows.
const STRETCH: usize = 2304;

/// `y[x.rows × weights.rows] = x · Wᵀ`, plus `bias`, with x as [`round`] gives it.
pub(super) fn linear(isa: Isa, x: &Rounded, weights: Packed, bias: Option<&[f32]>, y: Output) {
    let form = Form::of(weights.kind).expect("a quantised type");
    let blocks = weights.rows.div_ceil(WIDTH);
    let panels = Panels::of(x.rows).len();
    // Weights are turned once but for the last ones, whose rows are shared where threads would have to wait for each other.
    let whole = blocks - blocks % pool::threads();
    let cuts = cuts(blocks - whole, panels, pool::threads());
    pool::run(whole + (blocks - whole) * cuts, |task| {
        let (block, panels) = match task.checked_sub(whole) {
            None => (task, 0..panels),
            Some(rest) => (whole + rest / cuts, rest % cuts * panels / cuts..(rest % cuts + 1) * panels / cuts),
        };
        let outputs = block * WIDTH..weights.rows.min((block + 1) * WIDTH);
        products(isa, Share { x, panels, form, weights, outputs, bias, y });
    });
}

/// About as many panels' products take as long as turning a block's weights.
const TURNING: usize = 10;

/// Into how many parts the rows are cut of each of `blocks` blocks, fewer than `threads`, so that all are done soonest: each
/// part turns the weights again.
fn cuts(blocks: usize, panels: usize, threads: usize) -> usize {
    let time = |cuts: &usize| (blocks * cuts).div_ceil(threads) * (panels.div_ceil(*cuts) + TURNING);
    (1..=threads.min(panels)).min_by_key(time).unwrap_or(1)
}

/// What one task multiplies.
struct Share<'a> {
    x: &'a Rounded,
    panels: Range<usize>,
    form: Form,
    weights: Packed<'a>,
    /// [`WIDTH`] of them, or the last ones.
    outputs: Range<usize>,
    bias: Option<&'a [f32]>,
    y: Output,
}

/// Order of the matrix of Sylvester by which `span` inputs are turned: all of them, or each third where they are three times
/// a power of two.
const fn order(span: usize) -> usize {
    1 << span.trailing_zeros()
}

/// Mixes the thirds of inputs after each was turned, by a reflection, which is its own inverse.
#[inline(always)]
unsafe fn mix_thirds<S: Simd>([a, b, c]: [S::V; 3]) -> [S::V; 3] {
    // SAFETY: the instruction set is the caller's.
    unsafe {
        let part = S::mul(S::add(S::add(a, b), c), S::splat(2.0 / 3.0));
        [S::sub(a, part), S::sub(b, part), S::sub(c, part)]
    }
}

fn products(isa: Isa, share: Share) {
    let Rounded { rows: all_rows, columns, span, .. } = *share.x;
    let outputs = share.outputs.clone();
    let rows = Panels::of(all_rows).rows_of(share.panels.clone());
    // What sums begin with, the same for all rows.
    let mut begin = [0.0; WIDTH];
    if let Some(bias) = share.bias {
        begin[..outputs.len()].copy_from_slice(&bias[outputs.clone()]);
    }
    // The last sums of whole panels and tiles go straight to where they belong.
    let direct = rows.end <= all_rows && outputs.len() == WIDTH;
    let mut sums = Lines::<f32>::any(if direct && columns <= STRETCH { 0 } else { rows.len() * WIDTH });
    let gathered = Output { start: sums.as_mut_ptr(), stride: WIDTH };
    let mut wide = Lines::<u8>::any(TILES * STRETCH.min(columns) / span * bytes_of(span));
    let mut values = Lines::<f32>::any(span * TILE);
    for start in (0..columns).step_by(STRETCH) {
        let inputs = start..columns.min(start + STRETCH);
        let from = if start == 0 { Output { start: begin.as_mut_ptr(), stride: 0 } } else { gathered };
        let out = if direct && inputs.end == columns { share.y.at(rows.start, outputs.start) } else { gathered };
        let tiles = widen_tiles(isa, &share, inputs.clone(), &mut values, &mut wide);
        all_panels(isa, &share, inputs, tiles, from, out);
    }
    if !direct {
        // SAFETY: the rows and outputs are those of y; no other task writes these.
        unsafe { share.y.put(rows.start..rows.end.min(all_rows), outputs, &sums, WIDTH, None) };
    }
}

kernel! {
    /// Turns the weights of all outputs for some inputs. Returns where each tile's begin.
    fn widen_tiles = widen_tiles_body(
        share: &Share,
        inputs: Range<usize>,
        values: &mut [f32],
        wide: &mut [u8],
    ) -> [*const u8; TILES]
}

#[inline(always)]
unsafe fn widen_tiles_body<S: Simd>(
    share: &Share,
    inputs: Range<usize>,
    values: &mut [f32],
    wide: &mut [u8],
) -> [*const u8; TILES] {
    let (form, weights, span) = (share.form, share.weights, share.x.span);
    let tiles = share.outputs.start / TILE..share.outputs.end.div_ceil(TILE);
    let groups = inputs.start / form.group..inputs.end / form.group;
    let mut starts = [wide.as_ptr(); TILES];
    for ((tile, start), wide) in tiles.zip(&mut starts).zip(wide.chunks_exact_mut(inputs.len() / span * bytes_of(span)))
    {
        let groups = form.groups_of(weights, tile, groups.clone()).chunks_exact(span / form.group * form.group_bytes());
        for (groups, wide) in groups.zip(wide.chunks_exact_mut(bytes_of(span))) {
            // SAFETY: the instruction set is the caller's.
            unsafe { widen::<S>(form, form.unit_of(weights, tile), groups, values, wide) };
        }
        *start = wide.as_ptr();
    }
    starts
}

kernel! {
    /// Adds products of all panels with some inputs' weights of all tiles to what is in `from`, into `out`: matrices that
    /// begin with these outputs of the share's first row.
    fn all_panels = all_panels_body(
        share: &Share,
        inputs: Range<usize>,
        tiles: [*const u8; TILES],
        from: Output,
        out: Output,
    )
}

#[inline(always)]
unsafe fn all_panels_body<S: Simd>(
    share: &Share,
    inputs: Range<usize>,
    tiles: [*const u8; TILES],
    mut from: Output,
    mut out: Output,
) {
    let x = share.x;
    let count = share.outputs.len().div_ceil(TILE);
    for (first, height) in Panels::of(x.rows).iter(share.panels.clone()) {
        // SAFETY: the caller's.
        unsafe {
            let at = |per: usize| (first * x.columns + inputs.start * height) / per;
            let input = Input {
                codes: x.codes.as_ptr().add(at(1)),
                scales: x.scales.as_ptr().add(at(x.span)),
                shifts: x.sums.as_ptr().add(at(x.span)),
                span: x.span,
                spans: inputs.len() / x.span,
            };
            match height {
                6 => of_tiles::<S, 6>(input, tiles, count, from, out),
                4 => of_tiles::<S, 4>(input, tiles, count, from, out),
                2 => of_tiles::<S, 2>(input, tiles, count, from, out),
                _ => of_tiles::<S, 1>(input, tiles, count, from, out),
            }
            (from, out) = (from.at(height, 0), out.at(height, 0));
        }
    }
}

/// A panel's rows over some spans.
#[derive(Clone, Copy)]
struct Input {
    codes: *const i8,
    scales: *const f32,
    shifts: *const i32,
    span: usize,
    spans: usize,
}

/// As [`panel`], of all tiles, or of the first `count` at least.
#[inline(always)]
unsafe fn of_tiles<S: Simd, const ROWS: usize>(
    x: Input,
    tiles: [*const u8; TILES],
    count: usize,
    from: Output,
    out: Output,
) {
    unsafe {
        if S::PAIRS {
            panel::<S, ROWS, TILES>(x, tiles, from, out);
        } else {
            for (number, tile) in tiles.into_iter().enumerate().take(count) {
                panel::<S, ROWS, 1>(x, [tile], from.at(0, number * TILE), out.at(0, number * TILE));
            }
        }
    }
}

/// Inputs whose products are written out in a loop's body.
const STEP: usize = 16;
/// Vectors of a tile's width on the narrowest instruction set.
const VECTORS: usize = 2;

/// Adds products of a panel of ROWS rows with T tiles to what is in `from`, into `out`.
#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const T: usize>(
    x: Input,
    mut tiles: [*const u8; T],
    from: Output,
    out: Output,
) {
    let vectors = TILE / S::LANES;
    let Input { codes: mut a, mut scales, mut shifts, span, spans } = x;
    unsafe {
        let mut sums = [[[S::splat(0.0); VECTORS]; T]; ROWS];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (t, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate().take(vectors) {
                    *sum = S::load(from.at(i, t * TILE + v * S::LANES).start);
                }
            }
        }
        for number in 0..spans {
            if number < ROWS {
                // What the next panel begins with, or where its sums go, lest its products wait for it.
                let next = out.at(ROWS + number, 0).start;
                simd::prefetch(next, T * TILE * size_of::<f32>());
            }
            let mut dots = [[[S::splat_i32(0); VECTORS]; T]; ROWS];
            for (i, dots) in dots.iter_mut().enumerate() {
                *dots = [[S::splat_i32(*shifts.add(i)); VECTORS]; T];
            }
            for _ in 0..span / STEP {
                for four in 0..STEP / 4 {
                    let mut u = [[S::load_codes(tiles[0]); VECTORS]; T];
                    for (u, tile) in u.iter_mut().zip(&tiles) {
                        for (v, u) in u.iter_mut().enumerate().take(vectors) {
                            *u = S::load_codes(tile.add(four * VECTOR + v * 4 * S::LANES));
                        }
                    }
                    for (i, dots) in dots.iter_mut().enumerate() {
                        let a = a.add((four * ROWS + i) * 4).cast::<i32>().read_unaligned();
                        for (dots, u) in dots.iter_mut().zip(&u) {
                            for (dot, u) in dots.iter_mut().zip(u).take(vectors) {
                                *dot = S::dot4_codes(*dot, *u, a);
                            }
                        }
                    }
                }
                a = a.add(STEP * ROWS);
                for tile in &mut tiles {
                    *tile = tile.add(STEP * TILE);
                }
            }
            for t in 0..T {
                for v in 0..vectors {
                    let factors = tiles[t].cast::<f32>().add(v * S::LANES);
                    let (scale, less) = (S::load(factors), S::load(factors.add(TILE)));
                    for (i, (sums, dots)) in sums.iter_mut().zip(&dots).enumerate() {
                        let product = S::scaled(dots[t][v], scale, less);
                        sums[t][v] = S::fma(product, S::splat(*scales.add(i)), sums[t][v]);
                    }
                }
                tiles[t] = tiles[t].add(2 * TILE * size_of::<f32>());
            }
            scales = scales.add(ROWS);
            shifts = shifts.add(ROWS);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (t, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate().take(vectors) {
                    S::store(out.at(i, t * TILE + v * S::LANES).start, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packed::{self, Activations, QUANTISED, by_candle},
        reference,
    };

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        let of = |i: usize| {
            let mixed = (i as u32 + ((seed as u32) << 24)).wrapping_mul(0x9e37_79b9);
            let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
            (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(of).collect()
    }

    /// Of some outliers as activations have them.
    fn rows(rows: usize, columns: usize) -> Vec<f32> {
        let mut x = noise(2, rows * columns);
        x.iter_mut().step_by(37).for_each(|x| *x *= 8.0);
        x
    }

    #[test]
    fn linears_of_every_type_are_those_of_their_matrices() {
        let shapes = [(257, 64, 256), (256, 33, 2560), (261, 130, 512), (300, 1, 768)];
        let narrow = [(258, 20, 576), (259, 70, 64), (256, 16, 320), (257, 33, 2688), (256, 64, 640)];
        for (number, kind) in QUANTISED.into_iter().enumerate() {
            let mut of_kind = vec![shapes[number % 4]];
            if kind.elements() == 32 {
                of_kind.push(narrow[number % narrow.len()]);
            }
            for (m, n, k) in of_kind {
                let (matrix, x, bias) = (noise(1, n * k), rows(m, k), noise(3, n));
                let (bytes, values) = by_candle::quantised(kind, &matrix, k);
                let mut packed = vec![0xaa; packed::size(kind, n, k).expect("a quantised type")];
                packed::pack(kind, &bytes, n, k, &mut packed);
                let weights = Packed { kind, bytes: &packed, rows: n, columns: k };
                for isa in Isa::available() {
                    let turned = Activations::of_prompt(isa, &x, k);
                    assert!(turned.is_long());
                    for bias in [Some(&*bias), None] {
                        let expected = reference::linear(&x, &values, k, bias);
                        let mut y = vec![f32::NAN; m * n];
                        packed::linear(isa, &turned, weights, bias, &mut y);
                        let size = (expected.iter().map(|y| y * y).sum::<f64>() / expected.len() as f64).sqrt();
                        let errors = y.iter().zip(&expected).map(|(got, expected)| (f64::from(*got) - expected) / size);
                        let (largest, squares) = errors.fold((0f64, 0.0), |(most, squares), error| {
                            (most.max(error.abs()), squares + error * error)
                        });
                        let mean = (squares / y.len() as f64).sqrt();
                        let what = format!("{kind:?} ({m}, {n}, {k}) on {isa}: {mean}, {largest} at most");
                        assert!(mean < 0.012 && largest < 0.08, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn turned_back_rows_are_what_they_were() {
        let m = 257;
        for (k, span) in [(320, 64), (576, 192), (640, 128)] {
            assert_eq!(rows::span(k), Some(span));
            let x = rows(m, k);
            for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Amx) {
                let values = Activations::of_prompt(isa, &x, k).values();
                for (x, value) in x.chunks_exact(span).zip(values.chunks_exact(span)) {
                    let size = (x.iter().map(|x| x * x).sum::<f32>() / span as f32).sqrt();
                    let near = x.iter().zip(value).all(|(x, value)| (x - value).abs() < 0.1 * size);
                    assert!(near, "{k} inputs on {isa}");
                }
            }
        }
    }

    #[test]
    fn the_last_blocks_are_cut_as_far_as_it_saves_time() {
        // Of 1,024 rows: halves for two threads, quarters for four times as many threads as blocks.
        assert_eq!((cuts(1, 171, 2), cuts(4, 171, 16)), (2, 4));
        // One more round of a third each would be longer than one round of whole rows.
        assert_eq!(cuts(15, 171, 16), 1);
        assert_eq!((cuts(0, 171, 16), cuts(1, 3, 16), cuts(1, 1, 2)), (1, 3, 1));
    }

    #[test]
    fn a_sum_stays_within_what_is_scaled_exactly() {
        for columns in [64, 128, 192, 256, 576, 960, 8960] {
            let span = span(columns).expect("whole turns");
            assert!(
                span * 127 * 127 < 1 << 22 && STRETCH.is_multiple_of(span) && span <= rows::MOST_INPUTS,
                "{columns}"
            );
        }
        assert_eq!((span(32), span(96)), (None, None));
    }
}
