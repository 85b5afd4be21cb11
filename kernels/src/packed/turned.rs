//! Long prompts in bytes: activations and weights are turned by Hadamard matrices before they are rounded, after which one
//! scale for 128 inputs serves nearly as well as one for 32 does otherwise, and products need little scaling.
//!
//! With a matrix of Sylvester H, whose square is [`TURN`], `x · w = (H x) · (H w) / TURN`. Each element of `H x` is a sum over
//! all of x with signs, so that an outlier's cost is shared and no longer its neighbours' (QuaRot, arXiv:2404.00456, turns whole
//! models). Weights stay in memory as they are packed: they are turned for all rows of a chunk at once, a stretch at a time.

use super::{
    Form, Packed, TILE, VECTOR,
    activations::{LEAST, Panels},
    product::load_pair,
};
use crate::{
    Isa,
    lines::Lines,
    output::Output,
    pool::{self, Parts},
    simd::{BIAS, BIAS_BITS, Simd, kernel},
};
use std::ops::Range;

/// From this many rows on weights are turned for them.
pub(super) const FROM_ROWS: usize = 256;
/// Inputs that are turned together.
const TURN: usize = 64;
/// Most inputs that share a scale: 256 were a little faster, but too far from f32 in a small model.
const MOST_INPUTS: usize = 192;
/// The byte that stands for zero in weights.
const ZERO: u8 = 128;
/// Tiles that one task works on: with AVX-512 at once, so that few bytes of x are loaded for many products.
const TILES: usize = 4;
/// Outputs that one task works on.
const WIDTH: usize = TILES * TILE;
/// Inputs that are gone through at a time, a multiple of all that share a scale: a task's weights for so many stay in the
/// second-level cache, and sums of all rows.
const STRETCH: usize = 2304;
/// Panels that one task rounds.
const TASK_PANELS: usize = 4;

/// Rows that were turned and rounded, in panels as [`Panels`] cuts them.
pub(super) struct Turned {
    /// Inputs that share a scale.
    span: usize,
    columns: usize,
    /// For each panel (columns / 4, rows of the panel, 4).
    codes: Lines<i8>,
    /// For each panel (columns / span, rows of the panel).
    scales: Lines<f32>,
    /// Sums of the codes that share a scale, times -[`ZERO`], from [`BIAS_BITS`] on: as the scales.
    shifts: Lines<i32>,
}

/// Inputs that share a scale in rows of `columns`; `None` where no whole number of turns makes them up.
pub(super) fn span(columns: usize) -> Option<usize> {
    [128, MOST_INPUTS, TURN].into_iter().find(|span| columns.is_multiple_of(*span))
}

impl Turned {
    /// Of `x` (rows, columns), with `span` inputs to a scale as [`span`] gives it.
    pub(super) fn new(isa: Isa, x: &[f32], columns: usize, span: usize) -> Turned {
        let rows = x.len() / columns;
        let panels = Panels::of(rows);
        let of_all = panels.padded() * columns;
        let (mut codes, mut scales, mut shifts) =
            (Lines::any(of_all), Lines::any(of_all / span), Lines::any(of_all / span));
        let (all_codes, all_scales, all_shifts) =
            (Parts::new(&mut codes), Parts::new(&mut scales), Parts::new(&mut shifts));
        pool::run(panels.len().div_ceil(TASK_PANELS), |task| {
            let numbers = task * TASK_PANELS..panels.len().min((task + 1) * TASK_PANELS);
            for (first, height) in panels.iter(numbers) {
                let part = |per: usize| first * columns / per..(first + height) * columns / per;
                // SAFETY: panels are disjoint.
                let out = unsafe {
                    Panel {
                        codes: all_codes.part(part(1)),
                        scales: all_scales.part(part(span)),
                        shifts: all_shifts.part(part(span)),
                    }
                };
                round_panel(isa, &x[first * columns..rows.min(first + height) * columns], columns, span, out);
            }
        });
        Turned { span, columns, codes, scales, shifts }
    }

    /// What an element of a row stands for, turned back, where `first` is the first row of its panel of `height` rows.
    pub(super) fn value(&self, (first, height): (usize, usize), row: usize, column: usize) -> f32 {
        let element = |column: usize| {
            let code = self.codes[first * self.columns + (column / 4 * height + row - first) * 4 + column % 4];
            f32::from(code) * self.scales[first * self.columns / self.span + column / self.span * height + row - first]
        };
        let (turn, at) = (column / TURN * TURN, column % TURN);
        let signed =
            |i: usize| if (i & at).count_ones().is_multiple_of(2) { element(turn + i) } else { -element(turn + i) };
        (0..TURN).map(signed).sum::<f32>() / TURN as f32
    }
}

/// A panel's share of what [`Turned`] holds.
struct Panel<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    shifts: &'a mut [i32],
}

kernel! {
    fn round_panel = round_body(x: &[f32], columns: usize, span: usize, out: Panel)
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, span: usize, out: Panel) {
    let rows = out.codes.len() / columns;
    if x.len() < out.codes.len() {
        // Rows that only fill up a panel.
        out.codes.fill(0);
        out.scales.fill(0.0);
        out.shifts.fill(BIAS_BITS);
    }
    let mut turned = [0f32; MOST_INPUTS];
    let turned = &mut turned[..span];
    for (row, x) in x.chunks_exact(columns).enumerate() {
        for (number, x) in x.chunks_exact(span).enumerate() {
            // SAFETY: the instruction set is the caller's; LANES divides TURN; the codes go on for the panel's rows.
            unsafe {
                let mut most = LEAST;
                for (x, turned) in x.chunks_exact(TURN).zip(turned.chunks_exact_mut(TURN)) {
                    most = most.max(turn_row::<S>(x.as_ptr(), turned.as_mut_ptr()));
                }
                let (inverse, mut sum) = (S::splat(127.0 / most), 0);
                let codes = out.codes.as_mut_ptr().add(number * span * rows + 4 * row);
                for at in (0..span).step_by(S::LANES) {
                    let v = S::mul(S::load(turned.as_ptr().add(at)), inverse);
                    sum += S::store_rounded(codes.add(at * rows), 4 * rows, v);
                }
                out.scales[number * rows + row] = most / 127.0;
                out.shifts[number * rows + row] = BIAS_BITS - i32::from(ZERO) * sum;
            }
        }
    }
}

/// H x of [`TURN`] elements that lie behind each other. Returns the largest.
#[inline(always)]
unsafe fn turn_row<S: Simd>(x: *const f32, out: *mut f32) -> f32 {
    unsafe {
        for at in (0..TURN).step_by(S::LANES) {
            S::store(out.add(at), S::turn(S::load(x.add(at))));
        }
        let mut step = S::LANES;
        while 2 * step < TURN {
            for first in (0..TURN).step_by(2 * step) {
                for at in (first..first + step).step_by(S::LANES) {
                    let (a, b) = (S::load(out.add(at)), S::load(out.add(at + step)));
                    S::store(out.add(at), S::add(a, b));
                    S::store(out.add(at + step), S::sub(a, b));
                }
            }
            step *= 2;
        }
        let mut most = S::splat(0.0);
        for at in (0..step).step_by(S::LANES) {
            let (a, b) = (S::load(out.add(at)), S::load(out.add(at + step)));
            S::store(out.add(at), S::add(a, b));
            S::store(out.add(at + step), S::sub(a, b));
            // The larger of both.
            most = S::max(most, S::add(S::abs(a), S::abs(b)));
        }
        S::largest(most)
    }
}

/// `y[rows × weights.rows] = x · Wᵀ`, plus `bias`.
pub(super) fn linear(isa: Isa, x: (&Turned, usize), weights: Packed, bias: Option<&[f32]>, y: Output) {
    let form = Form::of(weights.kind).expect("a quantised type");
    let blocks = weights.rows.div_ceil(WIDTH);
    let panels = Panels::of(x.1).len();
    // Weights are turned once but for the last ones, whose rows are shared where threads would have to wait for each other.
    let parts = pool::threads();
    let whole = blocks - blocks % parts;
    pool::run(whole + blocks % parts * parts, |task| {
        let (block, panels) = match task.checked_sub(whole) {
            None => (task, 0..panels),
            Some(rest) => (whole + rest / parts, rest % parts * panels / parts..(rest % parts + 1) * panels / parts),
        };
        let outputs = block * WIDTH..weights.rows.min((block + 1) * WIDTH);
        products(isa, x, panels, form, weights, outputs, bias, y);
    });
}

kernel! {
    fn products = products_body(
        x: (&Turned, usize),
        panels: Range<usize>,
        form: Form,
        weights: Packed,
        outputs: Range<usize>,
        bias: Option<&[f32]>,
        y: Output,
    )
}

#[inline(always)]
unsafe fn products_body<S: Simd>(
    (x, rows): (&Turned, usize),
    panels: Range<usize>,
    form: Form,
    weights: Packed,
    outputs: Range<usize>,
    bias: Option<&[f32]>,
    y: Output,
) {
    let cut = Panels::of(rows);
    let held = cut.rows_of(panels.clone());
    let tiles = outputs.start / TILE..outputs.end.div_ceil(TILE);
    let spans = STRETCH.min(x.columns) / x.span;
    let mut wide = Lines::<u8>::any(TILES * spans * bytes_of(x.span));
    let mut values = Lines::<f32>::any(x.span * TILE);
    let mut begin = [0.0; WIDTH];
    if let Some(bias) = bias {
        begin[..outputs.len()].copy_from_slice(&bias[outputs.clone()]);
    }
    // Sums of whole panels and tiles go straight to where they belong.
    let direct = held.end <= rows && outputs.len() == WIDTH;
    let mut sums = Lines::<f32>::any(if direct { 0 } else { held.len() * WIDTH });
    let target = match direct {
        // SAFETY: the rows and columns are those of y.
        true => Output { start: unsafe { y.start.add(held.start * y.stride + outputs.start) }, ..y },
        false => Output { start: sums.as_mut_ptr(), stride: WIDTH },
    };
    for start in (0..x.columns).step_by(STRETCH) {
        let (first, end) = (start / x.span, (start + STRETCH).min(x.columns) / x.span);
        let mut parts = [wide.as_ptr(); TILES];
        for ((tile, part), room) in tiles.clone().zip(&mut parts).zip(wide.chunks_exact_mut(spans * bytes_of(x.span))) {
            let groups = first * x.span / form.group..end * x.span / form.group;
            let groups = form.groups_of(weights, tile, groups).chunks_exact(form.group_bytes() * x.span / form.group);
            for (groups, wide) in groups.zip(room.chunks_exact_mut(bytes_of(x.span))) {
                let (codes, factors) = wide.split_at_mut(TILE * x.span);
                // SAFETY: the instruction set is the caller's; the room is that of codes and factors.
                unsafe {
                    widen::<S>(
                        form,
                        form.unit_of(weights, tile),
                        groups,
                        &mut values,
                        codes,
                        factors.as_mut_ptr().cast(),
                    )
                };
            }
            *part = room.as_ptr();
        }
        let begin = (start == 0).then_some(&begin);
        let mut out = target;
        for (row, height) in cut.iter(panels.clone()) {
            // SAFETY: the instruction set is the caller's; the spans are x's and those that were widened, the rows a panel's.
            unsafe {
                let of = |per: usize| (row * x.columns + first * x.span * height) / per;
                let input = Input {
                    codes: x.codes.as_ptr().add(of(1)),
                    scales: x.scales.as_ptr().add(of(x.span)),
                    shifts: x.shifts.as_ptr().add(of(x.span)),
                    span: x.span,
                    spans: end - first,
                };
                match height {
                    6 => of_tiles::<S, 6>(input, parts, tiles.len(), begin, out),
                    4 => of_tiles::<S, 4>(input, parts, tiles.len(), begin, out),
                    2 => of_tiles::<S, 2>(input, parts, tiles.len(), begin, out),
                    _ => of_tiles::<S, 1>(input, parts, tiles.len(), begin, out),
                }
                out.start = out.start.add(height * out.stride);
            }
        }
    }
    if direct {
        return;
    }
    for (row, sums) in held.zip(sums.as_chunks::<WIDTH>().0).take_while(|(row, _)| *row < rows) {
        // SAFETY: the row and the columns are y's; no other task writes these columns of it.
        let y = unsafe { std::slice::from_raw_parts_mut(y.start.add(row * y.stride + outputs.start), outputs.len()) };
        y.copy_from_slice(&sums[..y.len()]);
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

/// Bytes of a tile's weights that share scales: a byte each, then the scales, then these times -[`BIAS`].
const fn bytes_of(span: usize) -> usize {
    TILE * span + 2 * TILE * size_of::<f32>()
}

/// Adds products of a panel with all tiles, of the first `tiles` at least, to `out` or to what sums `begin` with.
#[inline(always)]
unsafe fn of_tiles<S: Simd, const ROWS: usize>(
    x: Input,
    parts: [*const u8; TILES],
    tiles: usize,
    begin: Option<&[f32; WIDTH]>,
    out: Output,
) {
    let begin = begin.map_or(std::ptr::null(), |begin| begin.as_ptr());
    unsafe {
        if S::PAIRS {
            panel::<S, ROWS, TILES>(x, parts, begin, out);
        } else {
            for (number, part) in parts.into_iter().enumerate().take(tiles) {
                let out = Output { start: out.start.add(number * TILE), ..out };
                panel::<S, ROWS, 1>(x, [part], if begin.is_null() { begin } else { begin.add(number * TILE) }, out);
            }
        }
    }
}

/// Inputs whose products are written out in a loop's body.
const STEP: usize = 16;
/// Vectors of a tile's width on the narrowest instruction set.
const VECTORS: usize = 2;

/// Adds products of a panel of ROWS rows with T tiles to `out` or, where it is not null, to each row as `begin` has it.
#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const T: usize>(
    x: Input,
    mut tiles: [*const u8; T],
    mut begin: *const f32,
    out: Output,
) {
    let vectors = TILE / S::LANES;
    let Input { codes: mut a, mut scales, mut shifts, span, spans } = x;
    unsafe {
        for _ in 0..spans {
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
                    for (i, dots) in dots.iter().enumerate() {
                        let at = t * TILE + v * S::LANES;
                        let out = out.start.add(i * out.stride + at);
                        let before = S::load(if begin.is_null() { out } else { begin.add(at) });
                        let product = S::scaled(dots[t][v], scale, less);
                        S::store(out, S::fma(product, S::splat(*scales.add(i)), before));
                    }
                }
                tiles[t] = tiles[t].add(2 * TILE * size_of::<f32>());
            }
            begin = std::ptr::null();
            scales = scales.add(ROWS);
            shifts = shifts.add(ROWS);
        }
    }
}

/// Turns, in `turned`, and rounds groups of a tile that share scales, as they are packed in `form`: to `codes`, a byte each in the order in
/// which they are packed, around [`ZERO`]; and to `factors` (2, TILE) the scales, times `unit`, and their products with
/// -[`BIAS`].
#[inline(always)]
unsafe fn widen<S: Simd>(
    form: Form,
    unit: f32,
    groups: &[u8],
    turned: &mut [f32],
    codes: &mut [u8],
    factors: *mut f32,
) {
    for (group, out) in groups.chunks_exact(form.group_bytes()).zip(turned.chunks_exact_mut(form.group * TILE)) {
        // SAFETY: the instruction set is the caller's, the group one of the form, the room that of its elements.
        unsafe {
            match form.bits {
                4 => turn_group::<S, 4>(form, group, out.as_mut_ptr()),
                5 => turn_group::<S, 5>(form, group, out.as_mut_ptr()),
                6 => turn_group::<S, 6>(form, group, out.as_mut_ptr()),
                _ => turn_group::<S, 8>(form, group, out.as_mut_ptr()),
            }
        }
    }
    for at in (0..TILE).step_by(S::LANES) {
        // SAFETY: the instruction set is the caller's; all is within the room, the codes and the factors.
        unsafe {
            let mut most = S::splat(LEAST);
            for turn in turned.chunks_exact_mut(TURN * TILE) {
                for first in 0..8 {
                    let place = turn.as_mut_ptr().add(first * TILE + at);
                    let mut eight = [most; 8];
                    for (i, x) in eight.iter_mut().enumerate() {
                        *x = S::load(place.add(8 * i * TILE));
                    }
                    for (i, x) in turn_eight::<S>(eight).into_iter().enumerate() {
                        most = S::max(most, S::abs(x));
                        S::store(place.add(8 * i * TILE), x);
                    }
                }
            }
            let (inverse, middle) = (S::div(S::splat(127.0), most), S::splat(f32::from(ZERO) + 0.5));
            for (number, four) in turned.chunks_exact(4 * TILE).enumerate() {
                let mut codes_of = [middle; 4];
                for (i, code) in codes_of.iter_mut().enumerate() {
                    *code = S::fma(S::load(four.as_ptr().add(i * TILE + at)), inverse, middle);
                }
                S::store_bytes(codes.as_mut_ptr().add(number * VECTOR + 4 * at), codes_of);
            }
            S::store(factors.add(at), S::mul(most, S::splat(unit / (127 * TURN) as f32)));
        }
    }
    for output in 0..TILE {
        // SAFETY: within the factors.
        unsafe {
            // Without the last bits the second factor is exact.
            let scale = f32::from_bits((*factors.add(output)).to_bits() & !3);
            *factors.add(output) = scale;
            *factors.add(TILE + output) = -scale * BIAS;
        }
    }
}

/// A packed group's elements, (inputs, TILE), each eight inputs turned.
#[inline(always)]
unsafe fn turn_group<S: Simd, const BITS: u8>(form: Form, group: &[u8], out: *mut f32) {
    let (codes, halves) = group.split_at(form.code_bytes());
    for at in (0..TILE).step_by(S::LANES) {
        // SAFETY: the instruction set is the caller's; codes, scales and offsets are the group's, `out` as long as they say.
        unsafe {
            let scale = S::load_f16(halves.as_ptr().add(2 * at).cast());
            let own =
                if form.offset { S::load_f16(halves.as_ptr().add(2 * (TILE + at)).cast()) } else { S::splat(0.0) };
            let offset = S::fma(scale, S::splat(-f32::from(form.zero)), own);
            let plane = if form.has_plane() { form.low_bytes() + 4 * at } else { 0 };
            let mut plane = S::load_codes(codes.as_ptr().add(plane));
            for pair in 0..form.group / 8 {
                let [low, high] = load_pair::<S, BITS>(codes.as_ptr(), pair, 4 * at, &mut plane);
                let mut eight = [scale; 8];
                for (x, code) in eight.iter_mut().zip(S::widen_codes(low).into_iter().chain(S::widen_codes(high))) {
                    *x = S::fma(code, scale, offset);
                }
                for (i, x) in turn_eight::<S>(eight).into_iter().enumerate() {
                    S::store(out.add((8 * pair + i) * TILE + at), x);
                }
            }
        }
    }
}

/// H x of eight vectors: lane by lane of eight elements.
#[inline(always)]
unsafe fn turn_eight<S: Simd>(mut x: [S::V; 8]) -> [S::V; 8] {
    for step in [1, 2, 4] {
        for i in 0..8 {
            if i & step == 0 {
                // SAFETY: the instruction set is the caller's.
                (x[i], x[i + step]) = unsafe { (S::add(x[i], x[i + step]), S::sub(x[i], x[i + step])) };
            }
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packed::{self, Activations, QUANTISED, by_candle},
        reference,
    };

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| (((i * 7919 + seed) * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
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
        let narrow = [(258, 20, 576), (259, 70, 64), (256, 16, 320)];
        for (number, kind) in QUANTISED.into_iter().enumerate() {
            let mut of_kind = vec![shapes[number % 4]];
            if kind.elements() == 32 {
                of_kind.push(narrow[number % 3]);
            }
            for (m, n, k) in of_kind {
                let (matrix, x, bias) = (noise(1, n * k), rows(m, k), noise(3, n));
                let (bytes, values) = by_candle::quantised(kind, &matrix, k);
                let mut packed = vec![0xaa; packed::size(kind, n, k).expect("a quantised type")];
                packed::pack(kind, &bytes, n, k, &mut packed);
                let weights = Packed { kind, bytes: &packed, rows: n, columns: k };
                for isa in Isa::available() {
                    let turned = Activations::of_prompt(isa, &x, k);
                    assert!(turned.long.is_some());
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
        let (m, k) = (257, 320);
        let x = rows(m, k);
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Amx) {
            let values = Activations::of_prompt(isa, &x, k).values();
            for (x, value) in x.chunks_exact(TURN).zip(values.chunks_exact(TURN)) {
                let size = (x.iter().map(|x| x * x).sum::<f32>() / TURN as f32).sqrt();
                assert!(x.iter().zip(value).all(|(x, value)| (x - value).abs() < 0.1 * size), "on {isa}");
            }
        }
    }

    #[test]
    fn a_sum_stays_within_what_is_scaled_exactly() {
        for columns in [64, 128, 192, 256, 576, 960] {
            let span = span(columns).expect("whole turns");
            assert!(span * 127 * 127 < 1 << 22 && STRETCH.is_multiple_of(span) && span <= MOST_INPUTS, "{columns}");
        }
        assert_eq!((span(32), span(96)), (None, None));
    }
}
