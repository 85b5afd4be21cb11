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
const TILE: usize = 16;
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

/// Rows of activations as signed bytes.
pub struct Activations {
    rows: usize,
    columns: usize,
    /// (rows, columns)
    codes: Vec<i8>,
    /// (rows, columns / 32)
    scales: Vec<f32>,
    /// Sums of 16 codes each: (rows, columns / 16).
    sums: Vec<i32>,
}

impl Activations {
    /// Rounds `x` (rows, columns); `columns` is a multiple of 32.
    pub fn new(isa: Isa, x: &[f32], columns: usize) -> Activations {
        assert!(columns.is_multiple_of(SPAN) && x.len().is_multiple_of(columns), "shape of x");
        let rows = x.len() / columns;
        let mut codes = vec![0i8; x.len()];
        let mut scales = vec![0f32; x.len() / SPAN];
        let mut sums = vec![0i32; x.len() / 16];
        let parts = x.par_chunks(columns).zip(codes.par_chunks_mut(columns));
        let parts = parts.zip(scales.par_chunks_mut(columns / SPAN).zip(sums.par_chunks_mut(columns / 16)));
        parts.for_each(|((x, codes), (scales, sums))| round_row(isa, x, codes, scales, sums));
        Activations { rows, columns, codes, scales, sums }
    }

    /// What the rounded rows stand for: (rows, columns).
    pub fn values(&self) -> Vec<f32> {
        let spans = self.codes.chunks_exact(SPAN).zip(&self.scales);
        spans.flat_map(|(codes, scale)| codes.iter().map(move |code| f32::from(*code) * scale)).collect()
    }
}

kernel! {
    fn round_row = round_body(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32])
}

#[inline(always)]
unsafe fn round_body<S: Simd>(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    for ((x, codes), (scale, sums)) in x
        .as_chunks::<SPAN>()
        .0
        .iter()
        .zip(codes.as_chunks_mut::<SPAN>().0)
        .zip(scales.iter_mut().zip(sums.as_chunks_mut::<2>().0))
    {
        let mut most = 0f32;
        for x in x {
            most = if x.abs() > most { x.abs() } else { most };
        }
        *scale = most / 127.0;
        let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
        let mut rounded = [0f32; SPAN];
        for at in (0..SPAN).step_by(S::LANES) {
            // SAFETY: LANES divides 32.
            unsafe {
                let v = S::mul(S::load(x.as_ptr().add(at)), S::splat(inverse));
                S::store(rounded.as_mut_ptr().add(at), S::round(v));
            }
        }
        for (code, rounded) in codes.iter_mut().zip(&rounded) {
            *code = *rounded as i8;
        }
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<16>().0) {
            *sum = codes.iter().map(|code| i32::from(*code)).sum();
        }
    }
}

/// `y[m × rows] = x[m × columns] · Wᵀ`, plus `bias` to each row of y where there is one. Panics on wrong lengths.
pub fn linear(isa: Isa, x: &Activations, weights: Packed, bias: Option<&[f32]>, y: &mut [f32]) {
    assert_eq!(x.columns, weights.columns, "width of x");
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
    // The codes of a tile, a byte each, where many rows of x share the work of unpacking them.
    let mut wide = vec![0u8; TILE * weights.columns];
    for tile in tiles {
        let packed = &weights.bytes[tile * bytes..(tile + 1) * bytes];
        let unit = f32::from_le_bytes(*packed.first_chunk().expect("a header"));
        let groups = &packed[HEADER..];
        if form.narrow {
            for (codes, wide) in groups.chunks_exact(form.group_bytes()).zip(wide.chunks_exact_mut(TILE * form.group)) {
                for (packed, wide) in
                    codes[..form.code_bytes()].as_chunks::<64>().0.iter().zip(wide.as_chunks_mut::<128>().0)
                {
                    for i in 0..64 {
                        wide[i] = packed[i] & 15;
                        wide[64 + i] = packed[i] >> 4;
                    }
                }
            }
        }
        let first = tile * TILE;
        let count = TILE.min(weights.rows - first);
        let mut row = 0;
        while row < x.rows {
            let mut sums = [[0f32; TILE]; MOST_ROWS];
            let unpacked = form.narrow.then_some(wide.as_slice());
            // SAFETY: lengths were checked by the caller; rows row.. are x's.
            let taken = unsafe {
                match x.rows - row {
                    8.. => tile_products::<S, 8>(x, row, form, groups, unpacked, &mut sums),
                    6.. => tile_products::<S, 6>(x, row, form, groups, unpacked, &mut sums),
                    4.. => tile_products::<S, 4>(x, row, form, groups, unpacked, &mut sums),
                    2.. => tile_products::<S, 2>(x, row, form, groups, unpacked, &mut sums),
                    _ => tile_products::<S, 1>(x, row, form, groups, unpacked, &mut sums),
                }
            };
            for (i, sums) in sums.iter().enumerate().take(taken) {
                for (j, sum) in sums.iter().enumerate().take(count) {
                    let bias = bias.map_or(0.0, |bias| bias[first + j]);
                    // SAFETY: row + i < x.rows and first + j < weights.rows; no other task writes these columns.
                    unsafe { *y.start.add((row + i) * y.stride + first + j) = sum * unit + bias };
                }
            }
            row += taken;
        }
    }
}

/// Rows of x that are multiplied with a tile at a time, at most.
const MOST_ROWS: usize = 8;
/// Vectors of a tile's width on the narrowest instruction set.
const VECTORS: usize = 2;

/// Adds the products of ROWS rows of x with a tile to `sums`; returns ROWS.
#[inline(always)]
unsafe fn tile_products<S: Simd, const ROWS: usize>(
    x: &Activations,
    row: usize,
    form: Form,
    groups: &[u8],
    unpacked: Option<&[u8]>,
    sums: &mut [[f32; TILE]; MOST_ROWS],
) -> usize {
    let columns = x.columns;
    let vectors = TILE / S::LANES;
    unsafe {
        let mut totals = [[S::splat(0.0); VECTORS]; ROWS];
        for (index, packed) in groups.chunks_exact(form.group_bytes()).enumerate() {
            let first = index * form.group;
            let codes = match unpacked {
                Some(wide) => wide.as_ptr().add(TILE * first),
                None => packed.as_ptr(),
            };
            let a = x.codes.as_ptr().add(row * columns + first);
            let mut dots = [[S::splat_i32(0); VECTORS]; ROWS];
            let mut counts = [0i32; ROWS];
            for (i, (dots, count)) in dots.iter_mut().zip(&mut counts).enumerate() {
                let at = ((row + i) * columns + first) / 16;
                *count = *x.sums.get_unchecked(at);
                if form.group == 32 {
                    *count += *x.sums.get_unchecked(at + 1);
                }
                *dots = [S::splat_i32(-i32::from(form.zero) * *count); VECTORS];
            }
            for step in 0..form.group / 4 {
                for v in 0..vectors {
                    let u = codes.add(step * 4 * TILE + v * 4 * S::LANES);
                    for (i, dots) in dots.iter_mut().enumerate() {
                        let four = a.add(i * columns + 4 * step).cast::<i32>().read_unaligned();
                        dots[v] = S::dot4(dots[v], u, four);
                    }
                }
            }
            let halves = packed.as_ptr().add(form.code_bytes());
            for v in 0..vectors {
                let scale = S::load_f16(halves.add(2 * v * S::LANES).cast());
                for (i, (totals, dots)) in totals.iter_mut().zip(&dots).enumerate() {
                    let s = *x.scales.get_unchecked(((row + i) * columns + first) / SPAN);
                    totals[v] = S::fma(S::to_f32(dots[v]), S::mul(scale, S::splat(s)), totals[v]);
                }
                if form.offset {
                    let offset = S::load_f16(halves.add(2 * TILE + 2 * v * S::LANES).cast());
                    for (i, (totals, count)) in totals.iter_mut().zip(&counts).enumerate() {
                        let s = *x.scales.get_unchecked(((row + i) * columns + first) / SPAN);
                        totals[v] = S::fma(offset, S::splat(s * *count as f32), totals[v]);
                    }
                }
            }
        }
        for (sums, totals) in sums.iter_mut().zip(&totals) {
            for (v, &total) in totals.iter().enumerate().take(vectors) {
                S::store(sums.as_mut_ptr().add(v * S::LANES), total);
            }
        }
    }
    ROWS
}
