//! Quantised linears in integers: weights packed once into the shape that the multiplying instructions want, activations
//! as signed bytes.
//!
//! A weight of a quantised type is `scale · u + offset` with an unsigned code u and a scale and an offset for each group of
//! 16 or 32 inputs; an activation becomes `s · a` with a signed byte a and a scale s for each 32. Then a group's part of a
//! dot product is `scale · s · Σ u·a + offset · s · Σ a`, of which `Σ u·a` is one instruction for 64 products. Weights lie
//! around zero: the sum starts at `-zero · Σ a`, so that types with a fixed code for zero need no offsets, and those of the
//! others are small beside the scales.
//!
//! Packed, 16 rows (outputs) are a tile, and a tile is its groups one after the other, so that decoding reads memory in
//! order and a long prompt's product keeps a tile in the first-level cache.

use crate::{
    Isa,
    blocks::{self, BlockType},
    simd::{Simd, kernel},
};
use half::f16;
use rayon::prelude::*;

/// Rows of a tile.
pub const TILE: usize = 16;
/// Activations that share a scale.
const SPAN: usize = 32;
/// Bytes before a tile's groups: the factor of its scales.
const HEADER: usize = 64;

/// How the groups of a type are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Form {
    /// Inputs of a group: 16 or 32.
    group: usize,
    /// Codes of four bits, two in a byte.
    narrow: bool,
    /// The code that stands for zero, or is nearest to where zero mostly lies.
    zero: u8,
    /// Each group has an offset, besides that of the code for zero.
    offset: bool,
    /// Added to the codes as the file has them.
    shift: u8,
}

impl Form {
    fn of(kind: BlockType) -> Option<Form> {
        let (group, narrow, zero, offset, shift) = match kind {
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => return None,
            BlockType::Q4_0 => (32, true, 8, false, 0),
            BlockType::Q4_1 | BlockType::Q4K => (32, true, 8, true, 0),
            BlockType::Q5_0 => (32, false, 16, false, 0),
            BlockType::Q5_1 | BlockType::Q5K => (32, false, 16, true, 0),
            BlockType::Q8_0 => (32, false, 128, false, 128),
            BlockType::Q2K => (16, true, 2, true, 0),
            BlockType::Q3K => (16, true, 4, false, 0),
            BlockType::Q6K => (16, false, 32, false, 32),
        };
        Some(Form { group, narrow, zero, offset, shift })
    }

    /// Bytes of a group's codes in a tile.
    fn code_bytes(self) -> usize {
        TILE * self.group / if self.narrow { 2 } else { 1 }
    }

    /// Bytes of a group in a tile: codes, scales, offsets.
    fn group_bytes(self) -> usize {
        self.code_bytes() + 2 * TILE * if self.offset { 2 } else { 1 }
    }

    fn tile_bytes(self, columns: usize) -> usize {
        HEADER + columns / self.group * self.group_bytes()
    }
}

/// Bytes of a packed matrix; `None` for types that are not quantised, and for widths that are not whole blocks of 32.
pub fn size(kind: BlockType, rows: usize, columns: usize) -> Option<usize> {
    let form = Form::of(kind)?;
    (columns.is_multiple_of(kind.elements()) && columns > 0)
        .then(|| form.tile_bytes(columns).checked_mul(rows.div_ceil(TILE)))?
}

/// Packs `bytes`, a matrix of `rows` × `columns` as it lies in a GGUF file, into `out`. Panics on wrong lengths and where
/// [`size`] gives none.
pub fn pack(kind: BlockType, bytes: &[u8], rows: usize, columns: usize, out: &mut [u8]) {
    let form = Form::of(kind).expect("a quantised type");
    assert_eq!(Some(out.len()), size(kind, rows, columns), "bytes of the packed matrix");
    assert_eq!(bytes.len(), rows * kind.size_of(columns), "bytes of the matrix");
    let isa = Isa::current();
    out.par_chunks_exact_mut(form.tile_bytes(columns)).enumerate().for_each(|(tile, out)| {
        pack_tile(isa, kind, form, bytes, tile * TILE..rows.min((tile + 1) * TILE), columns, out);
    });
}

fn pack_tile(
    isa: Isa,
    kind: BlockType,
    form: Form,
    bytes: &[u8],
    rows: std::ops::Range<usize>,
    columns: usize,
    out: &mut [u8],
) {
    let row_bytes = kind.size_of(columns);
    let groups = columns / form.group;
    // (group, row) scales and offsets; (group, step, row, 4) codes.
    let mut factors = vec![(0f32, 0f32); groups * TILE];
    let mut codes = vec![form.zero; TILE * columns];
    for (lane, row) in rows.enumerate() {
        let blocks = bytes[row * row_bytes..(row + 1) * row_bytes].chunks_exact(kind.bytes());
        for (index, block) in blocks.enumerate() {
            let decoded = blocks::codes(isa, kind, block);
            let first = index * kind.elements();
            for (i, &q) in decoded.q[..kind.elements()].iter().enumerate() {
                let column = first + i;
                codes[column / 4 * (4 * TILE) + 4 * lane + column % 4] = (q as u8).wrapping_add(form.shift);
            }
            for i in 0..kind.elements() / form.group {
                let (scale, offset) = decoded.groups[i];
                let zero = f32::from(form.zero) - f32::from(form.shift);
                factors[(first / form.group + i) * TILE + lane] = (scale, offset + zero * scale);
            }
        }
    }
    // Halves hold the factors best where the largest is near their top.
    let largest = factors.iter().map(|(scale, offset)| scale.abs().max(offset.abs())).fold(0.0, f32::max);
    let unit = if largest > 0.0 { (largest.log2().ceil() - 15.0).exp2() } else { 1.0 };
    out[..4].copy_from_slice(&unit.to_le_bytes());
    let code_groups = codes.chunks_exact(TILE * form.group).zip(factors.chunks_exact(TILE));
    for (out, (codes, factors)) in out[HEADER..].chunks_exact_mut(form.group_bytes()).zip(code_groups) {
        let (packed, halves) = out.split_at_mut(form.code_bytes());
        if form.narrow {
            for (pair, packed) in codes.chunks_exact(128).zip(packed.chunks_exact_mut(64)) {
                for (i, packed) in packed.iter_mut().enumerate() {
                    *packed = pair[i] | (pair[64 + i] << 4);
                }
            }
        } else {
            packed.copy_from_slice(codes);
        }
        let scales = factors.iter().map(|factors| factors.0);
        let offsets = factors.iter().map(|factors| factors.1).filter(|_| form.offset);
        for (out, factor) in halves.chunks_exact_mut(2).zip(scales.chain(offsets)) {
            out.copy_from_slice(&f16::from_f32(factor / unit).to_le_bytes());
        }
    }
}

/// A packed matrix.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    pub kind: BlockType,
    pub bytes: &'a [u8],
    pub rows: usize,
    pub columns: usize,
}

/// Rows of activations as signed bytes, in the order in which their products with weights of one type take them: panels of
/// [`PANEL`] rows, the last of 1, 2, 4 or 8, filled up with zeros.
pub struct Activations {
    kind: BlockType,
    rows: usize,
    columns: usize,
    /// For each panel (columns / 4, rows of the panel, 4).
    codes: Vec<i8>,
    /// For each panel (columns / 32, rows of the panel).
    scales: Vec<f32>,
    /// Of each group of the weights the sum of codes times minus the code for zero: (columns / group, rows of the panel).
    shifts: Vec<i32>,
    /// Of each group the sum of what the codes stand for; laid out as `shifts`.
    sums: Vec<f32>,
}

/// Rows whose products with a tile are collected at a time, at most.
const PANEL: usize = 8;

/// Rows of the panel that begins with row `first` of `rows`.
fn panel_rows(rows: usize, first: usize) -> usize {
    (rows - first).next_power_of_two().min(PANEL)
}

impl Activations {
    /// Rounds `x` (rows, columns) for products with weights of type `kind`, which is quantised; `columns` is a multiple of
    /// 32.
    pub fn new(isa: Isa, x: &[f32], columns: usize, kind: BlockType) -> Activations {
        let form = Form::of(kind).expect("a quantised type");
        assert!(columns > 0 && columns.is_multiple_of(SPAN) && x.len().is_multiple_of(columns), "shape of x");
        let rows = x.len() / columns;
        let padded = rows / PANEL * PANEL + if rows.is_multiple_of(PANEL) { 0 } else { panel_rows(rows % PANEL, 0) };
        let mut codes = vec![0i8; padded * columns];
        let mut scales = vec![0f32; padded * columns / SPAN];
        let mut shifts = vec![0i32; padded * columns / form.group];
        let mut sums = vec![0f32; padded * columns / form.group];
        let panels = x.par_chunks(PANEL * columns).zip(codes.par_chunks_mut(PANEL * columns));
        let panels = panels.zip(scales.par_chunks_mut(PANEL * columns / SPAN));
        let panels = panels.zip(shifts.par_chunks_mut(PANEL * columns / form.group));
        let panels = panels.zip(sums.par_chunks_mut(PANEL * columns / form.group));
        panels.for_each(|((((x, codes), scales), shifts), sums)| {
            round_panel(isa, x, columns, form, Panel { codes, scales, shifts, sums });
        });
        Activations { kind, rows, columns, codes, scales, shifts, sums }
    }

    /// What the rounded rows stand for: (rows, columns).
    pub fn values(&self) -> Vec<f32> {
        let value = |row: usize, column: usize| {
            let (first, rows) = (row / PANEL * PANEL, panel_rows(self.rows, row / PANEL * PANEL));
            let code = self.codes[first * self.columns + (column / 4 * rows + row - first) * 4 + column % 4];
            f32::from(code) * self.scales[first * self.columns / SPAN + column / SPAN * rows + row - first]
        };
        (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| value(row, column))).collect()
    }
}

/// A panel's share of what [`Activations`] holds.
struct Panel<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    shifts: &'a mut [i32],
    sums: &'a mut [f32],
}

kernel! {
    fn round_panel = round_body(x: &[f32], columns: usize, form: Form, out: Panel)
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], columns: usize, form: Form, out: Panel) {
    let rows = out.codes.len() / columns;
    for (row, x) in x.chunks_exact(columns).enumerate() {
        for (span, x) in x.as_chunks::<SPAN>().0.iter().enumerate() {
            // SAFETY: the instruction set is the caller's.
            let (scale, codes, sums) = unsafe { round_span::<S>(x) };
            out.scales[span * rows + row] = scale;
            for (four, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
                let at = ((span * SPAN / 4 + four) * rows + row) * 4;
                out.codes[at..at + 4].copy_from_slice(codes);
            }
            for (group, sums) in sums.chunks_exact(form.group / 16).enumerate() {
                let sum = sums.iter().sum::<f32>();
                let at = (span * SPAN / form.group + group) * rows + row;
                out.shifts[at] = -i32::from(form.zero) * sum as i32;
                out.sums[at] = scale * sum;
            }
        }
    }
}

/// Scale, codes, and sums of sixteen codes each.
#[inline(always)]
unsafe fn round_span<S: Simd>(x: &[f32; SPAN]) -> (f32, [i8; SPAN], [f32; 2]) {
    // SAFETY: LANES divides 16.
    unsafe {
        let mut most = S::splat(0.0);
        for at in (0..SPAN).step_by(S::LANES) {
            let v = S::load(x.as_ptr().add(at));
            most = S::max(most, S::max(v, S::mul(v, S::splat(-1.0))));
        }
        let most = S::largest(most);
        let inverse = S::splat(if most > 0.0 { 127.0 / most } else { 0.0 });
        let mut codes = [0i8; SPAN];
        let mut sums = [0f32; 2];
        for (half, sum) in sums.iter_mut().enumerate() {
            let mut total = S::splat(0.0);
            for at in (16 * half..16 * (half + 1)).step_by(S::LANES) {
                let v = S::round(S::mul(S::load(x.as_ptr().add(at)), inverse));
                S::store_i8(codes.as_mut_ptr().add(at), v);
                total = S::add(total, v);
            }
            *sum = S::sum(total);
        }
        (most / 127.0, codes, sums)
    }
}

/// `y[m × rows] = x[m × columns] · Wᵀ`, plus `bias` to each row of y where there is one. Panics on wrong lengths, and on
/// activations that were rounded for weights of another type.
pub fn linear(isa: Isa, x: &Activations, weights: Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    assert_eq!((x.kind, x.columns), (weights.kind, weights.columns), "type and width of x");
    assert_eq!(Some(weights.bytes.len()), size(weights.kind, weights.rows, weights.columns), "bytes of the weights");
    assert_eq!(Some(y.len()), x.rows.checked_mul(weights.rows), "length of y");
    assert!(bias.is_none_or(|bias| bias.len() == weights.rows), "length of the bias");
    let form = Form::of(weights.kind).expect("a quantised type");
    let target = Output { start: y.as_mut_ptr(), stride: weights.rows };
    let tiles = weights.rows.div_ceil(TILE);
    // Enough tasks to even out the threads, few enough to be cheap.
    let step = tiles.div_ceil(8 * rayon::current_num_threads()).max(1);
    (0..tiles.div_ceil(step)).into_par_iter().for_each(|task| {
        let tiles = task * step..tiles.min((task + 1) * step);
        products(isa, x, form, weights, bias, tiles, target);
    });
}

/// Where results go: every task writes columns of its own.
#[derive(Clone, Copy)]
struct Output {
    start: *mut f32,
    stride: usize,
}

// SAFETY: tasks write disjoint columns of the same matrix.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// Inputs that are gone through at a time: a tile's share of them stays in the first-level cache, that of 512 activations in
/// the second.
const DEPTH: usize = 2048;

kernel! {
    fn products = products_body(x: &Activations, form: Form, weights: Packed, bias: Option<&[f32]>, tiles: std::ops::Range<usize>, y: Output)
}

#[inline(always)]
unsafe fn products_body<S: Simd>(
    x: &Activations,
    form: Form,
    weights: Packed,
    bias: Option<&[f32]>,
    tiles: std::ops::Range<usize>,
    y: Output,
) {
    let bytes = form.tile_bytes(weights.columns);
    let panels = x.rows.div_ceil(PANEL);
    // The codes of a tile, a byte each, where several panels share the work of unpacking them.
    let unpack = form.narrow && panels > 1;
    let mut wide = vec![0u8; if unpack { TILE * DEPTH.min(weights.columns) } else { 0 }];
    for start in (0..weights.columns).step_by(DEPTH) {
        let groups = start / form.group..(start + DEPTH).min(weights.columns) / form.group;
        for tile in tiles.clone() {
            let packed = &weights.bytes[tile * bytes..(tile + 1) * bytes];
            let unit = f32::from_le_bytes(*packed.first_chunk().expect("a header"));
            let packed = &packed[HEADER..][groups.start * form.group_bytes()..groups.end * form.group_bytes()];
            if unpack {
                widen(form, packed, &mut wide);
            }
            let part = Part {
                form,
                packed,
                unit,
                codes: if unpack { wide.as_ptr() } else { packed.as_ptr() },
                unpacked: unpack,
            };
            let columns = tile * TILE..weights.rows.min((tile + 1) * TILE);
            let bias = bias.filter(|_| start == 0).map(|bias| &bias[columns.clone()]);
            for panel in 0..panels {
                let first = panel * PANEL;
                let rows = panel_rows(x.rows, first);
                let mut sums = [[0f32; TILE]; PANEL];
                // SAFETY: the groups are the tile's and the panel's; the caller checked all lengths.
                unsafe {
                    match rows {
                        8 => part.with::<S, 8>(x, first, groups.start, &mut sums),
                        4 => part.with::<S, 4>(x, first, groups.start, &mut sums),
                        2 => part.with::<S, 2>(x, first, groups.start, &mut sums),
                        _ => part.with::<S, 1>(x, first, groups.start, &mut sums),
                    }
                }
                for (i, sums) in sums.iter().enumerate().take(x.rows - first) {
                    // SAFETY: row first + i is x's and the columns are the weights'; no other task writes these columns.
                    let y = unsafe {
                        std::slice::from_raw_parts_mut(
                            y.start.add((first + i) * y.stride + columns.start),
                            columns.len(),
                        )
                    };
                    store(y, sums, start == 0, bias);
                }
            }
        }
    }
}

/// A tile's results for one row: the first ones replace what y holds, others are added to it.
#[inline(always)]
fn store(y: &mut [f32], sums: &[f32; TILE], first: bool, bias: Option<&[f32]>) {
    match (y.as_chunks_mut::<TILE>().0, first) {
        ([y], true) => *y = *sums,
        ([y], false) => y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum),
        (_, true) => y.iter_mut().zip(sums).for_each(|(y, sum)| *y = *sum),
        (_, false) => y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum),
    }
    if let Some(bias) = bias {
        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
    }
}

/// Codes of four bits as bytes.
#[inline(always)]
fn widen(form: Form, packed: &[u8], wide: &mut [u8]) {
    for (codes, wide) in packed.chunks_exact(form.group_bytes()).zip(wide.chunks_exact_mut(TILE * form.group)) {
        for (packed, wide) in codes[..form.code_bytes()].as_chunks::<64>().0.iter().zip(wide.as_chunks_mut::<128>().0) {
            for i in 0..64 {
                wide[i] = packed[i] & 15;
                wide[64 + i] = packed[i] >> 4;
            }
        }
    }
}

/// Some groups of a tile.
#[derive(Clone, Copy)]
struct Part<'a> {
    form: Form,
    packed: &'a [u8],
    /// Of the scales and offsets.
    unit: f32,
    /// Those of `packed`, or one byte each.
    codes: *const u8,
    unpacked: bool,
}

/// Vectors of a tile's width on the narrowest instruction set.
const VECTORS: usize = 2;

impl Part<'_> {
    /// Puts the products of a panel, which begins with row `first` and has ROWS rows, with these groups, of which `group` is
    /// the first, into `sums`.
    #[inline(always)]
    unsafe fn with<S: Simd, const ROWS: usize>(
        self,
        x: &Activations,
        first: usize,
        group: usize,
        sums: &mut [[f32; TILE]; PANEL],
    ) {
        let Form { group: width, narrow, .. } = self.form;
        unsafe {
            match (width, narrow && !self.unpacked) {
                (32, false) => self.products::<S, ROWS, 32, false>(x, first, group, sums),
                (32, true) => self.products::<S, ROWS, 32, true>(x, first, group, sums),
                (_, false) => self.products::<S, ROWS, 16, false>(x, first, group, sums),
                (_, true) => self.products::<S, ROWS, 16, true>(x, first, group, sums),
            }
        }
    }

    #[inline(always)]
    unsafe fn products<S: Simd, const ROWS: usize, const GROUP: usize, const NARROW: bool>(
        self,
        x: &Activations,
        first: usize,
        group: usize,
        sums: &mut [[f32; TILE]; PANEL],
    ) {
        let vectors = TILE / S::LANES;
        let group_bytes = self.form.group_bytes();
        let code_bytes = self.form.code_bytes();
        let (codes_step, groups) =
            (if NARROW || !self.unpacked { group_bytes } else { TILE * GROUP }, self.packed.len() / group_bytes);
        unsafe {
            let mut a = x.codes.as_ptr().add(first * x.columns + group * GROUP * ROWS);
            let scales = x.scales.as_ptr().add(first * x.columns / SPAN);
            let mut shifts = x.shifts.as_ptr().add(first * x.columns / GROUP + group * ROWS);
            let mut a_sums = x.sums.as_ptr().add(first * x.columns / GROUP + group * ROWS);
            let mut codes = self.codes;
            let mut halves = self.packed.as_ptr().add(code_bytes);
            let mut totals = [[S::splat(0.0); VECTORS]; ROWS];
            for number in group..group + groups {
                let scales = scales.add(number * GROUP / SPAN * ROWS);
                let mut dots = [[S::splat_i32(0); VECTORS]; ROWS];
                for (i, dots) in dots.iter_mut().enumerate() {
                    *dots = [S::splat_i32(*shifts.add(i)); VECTORS];
                }
                for pair in 0..GROUP / 8 {
                    for v in 0..vectors {
                        let at = v * 4 * S::LANES;
                        let (low, high) = match NARROW {
                            true => S::load_nibbles(codes.add(pair * 4 * TILE + at)),
                            false => {
                                let u = codes.add(2 * pair * 4 * TILE + at);
                                (S::load_codes(u), S::load_codes(u.add(4 * TILE)))
                            }
                        };
                        for (half, u) in [low, high].into_iter().enumerate() {
                            for (i, dots) in dots.iter_mut().enumerate() {
                                let four = a.add(((2 * pair + half) * ROWS + i) * 4).cast::<i32>().read_unaligned();
                                dots[v] = S::dot4_codes(dots[v], u, four);
                            }
                        }
                    }
                }
                for v in 0..vectors {
                    let scale = S::load_f16(halves.add(2 * v * S::LANES).cast());
                    for (i, (totals, dots)) in totals.iter_mut().zip(&dots).enumerate() {
                        let factor = S::mul(scale, S::splat(*scales.add(i)));
                        totals[v] = S::fma(S::to_f32(dots[v]), factor, totals[v]);
                    }
                    if self.form.offset {
                        let offset = S::load_f16(halves.add(2 * TILE + 2 * v * S::LANES).cast());
                        for (i, totals) in totals.iter_mut().enumerate() {
                            totals[v] = S::fma(offset, S::splat(*a_sums.add(i)), totals[v]);
                        }
                    }
                }
                a = a.add(GROUP * ROWS);
                shifts = shifts.add(ROWS);
                a_sums = a_sums.add(ROWS);
                codes = codes.add(codes_step);
                halves = halves.add(group_bytes);
            }
            let unit = S::splat(self.unit);
            for (sums, totals) in sums.iter_mut().zip(&totals) {
                for (v, &total) in totals.iter().enumerate().take(vectors) {
                    S::store(sums.as_mut_ptr().add(v * S::LANES), S::mul(total, unit));
                }
            }
        }
    }
}
