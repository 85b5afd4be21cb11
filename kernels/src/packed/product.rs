//! Products of rounded rows with tiles.

use super::{
    Activations, Form, HEADER, Packed, SPAN, TILE,
    activations::{PANEL, panel_rows},
    size,
};
use crate::{
    Isa,
    output::Output,
    simd::{Simd, kernel},
};
use rayon::prelude::*;

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
