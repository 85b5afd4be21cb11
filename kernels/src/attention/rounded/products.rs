//! Products of a block's codes with bytes that lanes hold, four at a time.

use super::{STRIP, block::Scales};
use crate::{
    Isa,
    amx::{self, Tiles},
    simd::{BIAS_BITS, Simd},
};
use std::{cmp::Ordering, marker::PhantomData};

/// In which order a block keeps its codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::attention) enum Order {
    /// Four elements of each row of a strip, then the next four: for [`InVectors`].
    Strips,
    /// Tiles of [`STEP`] rows, those of the same rows behind each other: for [`InTiles`].
    Tiles,
}

impl Order {
    /// The one for what a machine has.
    pub(in crate::attention) fn of(isa: Isa, head_dim: usize) -> Order {
        let in_tiles = isa == Isa::Amx && isa.is_available() && head_dim.is_multiple_of(amx::LINE);
        if in_tiles { Order::Tiles } else { Order::Strips }
    }

    /// Whether several keys have one scale. Their products stay where they were prepared.
    pub(super) const fn shares_scales(self) -> bool {
        matches!(self, Order::Tiles)
    }

    /// Puts elements of rows, the first ones, at `column` of each, of rows of `width` elements.
    #[inline(always)]
    pub(super) fn put(self, codes: &mut [i8], width: usize, column: usize, elements: &[i8]) {
        match self {
            Order::Strips => put_by::<STRIP, 4>(codes, width, column, elements),
            Order::Tiles => put_by::<STEP, { amx::LINE }>(codes, width, column, elements),
        }
    }
}

/// As [`Order::put`], where TOGETHER elements of each of ROWS rows lie one row after the other, then the next ones.
#[inline(always)]
fn put_by<const ROWS: usize, const TOGETHER: usize>(codes: &mut [i8], width: usize, column: usize, elements: &[i8]) {
    let at = column / TOGETHER * TOGETHER * ROWS + column % TOGETHER;
    for (rows, elements) in codes.chunks_exact_mut(ROWS * width).zip(elements.chunks(ROWS)) {
        let places = rows[at..].iter_mut().step_by(TOGETHER);
        places.zip(elements).for_each(|(place, element)| *place = *element);
    }
}

/// Rows of codes (keys, or dimensions of values) and what they are multiplied with.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    /// (rows, width), in an [`Order`].
    pub(super) codes: &'a [i8],
    /// Bytes of a row.
    pub(super) width: usize,
    /// What the lanes hold: four bytes each, which go on after `step` bytes for the next four and after `vector` bytes for
    /// the next vector.
    pub(super) lanes: *const u8,
    pub(super) step: usize,
    pub(super) vector: usize,
}

/// Rows whose products are begun at a time.
pub(super) const STEP: usize = amx::ROWS;

/// A way to multiply.
pub(super) trait Products {
    /// The order of codes that it takes.
    const ORDER: Order;
    /// Before the first product of a thread, and after the last.
    unsafe fn begin();
    unsafe fn end();
    /// Begins with products of the [`STEP`] rows of this number, for V vectors, and stores those of the step before to `before`: (STEP, V, LANES). Bytes of lanes are `SIGNED` or not. All steps of the
    /// same factors are taken one after the other, from number 0 on; the one behind the last only stores, and there are no
    /// more.
    unsafe fn step<S: Simd, const V: usize, const SIGNED: bool>(
        factors: Factors,
        number: usize,
        before: Option<*mut i32>,
    );
    /// Products of the strip that begins with row `first`, as [`Products::scaled`] takes them; `dots` are those that were
    /// stored, from this row on. Where bytes of lanes should be signed those of [`InVectors`] are 128 larger, and `shifts`
    /// says from where to add instead.
    unsafe fn strip<S: Simd, const V: usize>(
        factors: Factors,
        first: usize,
        shifts: Option<&[i32]>,
        dots: *const i32,
    ) -> [[S::I; V]; STRIP];
    /// Products with a row, times the row's scale.
    unsafe fn scaled<S: Simd, const V: usize>(scales: Scales, row: usize, dots: [S::I; V]) -> [S::V; V];
}

/// By vectors of sums of four products, added up from [`BIAS_BITS`] on.
pub(super) struct InVectors;

impl Products for InVectors {
    const ORDER: Order = Order::Strips;

    #[inline(always)]
    unsafe fn begin() {}

    #[inline(always)]
    unsafe fn end() {}

    #[inline(always)]
    unsafe fn step<S: Simd, const V: usize, const SIGNED: bool>(_: Factors, _: usize, _: Option<*mut i32>) {}

    #[inline(always)]
    unsafe fn strip<S: Simd, const V: usize>(
        factors: Factors,
        first: usize,
        shifts: Option<&[i32]>,
        _: *const i32,
    ) -> [[S::I; V]; STRIP] {
        let Factors { codes, width, lanes, step, vector } = factors;
        // SAFETY: the instruction set and the rows are the caller's.
        unsafe {
            let mut dots = [[S::splat_i32(BIAS_BITS); V]; STRIP];
            if let Some(shifts) = shifts {
                for (i, dots) in dots.iter_mut().enumerate() {
                    *dots = [S::splat_i32(*shifts.get_unchecked(first + i)); V];
                }
            }
            let strip = codes.as_ptr().add(first * width);
            for four in 0..width / 4 {
                for (i, dots) in dots.iter_mut().enumerate() {
                    let bytes = strip.add((four * STRIP + i) * 4).cast::<i32>().read_unaligned();
                    for (v, dot) in dots.iter_mut().enumerate() {
                        *dot = S::dot4(*dot, lanes.add(four * step + v * vector), bytes);
                    }
                }
            }
            dots
        }
    }

    #[inline(always)]
    unsafe fn scaled<S: Simd, const V: usize>(scales: Scales, row: usize, dots: [S::I; V]) -> [S::V; V] {
        // SAFETY: the instruction set and the row are the caller's.
        unsafe {
            let scale = S::splat(*scales.scale.get_unchecked(row));
            let less = S::splat(*scales.less.get_unchecked(row));
            let mut scaled = [scale; V];
            for (scaled, dot) in scaled.iter_mut().zip(dots) {
                *scaled = S::scaled(dot, scale, less);
            }
            scaled
        }
    }
}

/// By tiles of 16 rows, 64 of their bytes and 16 lanes; for vectors of 16 lanes and whole tiles. Sums begin with nothing: a
/// bias would save turning them into f32, but would have to be loaded.
pub(super) struct InTiles<T>(PhantomData<T>);

impl<T: Tiles> Products for InTiles<T> {
    const ORDER: Order = Order::Tiles;

    #[inline(always)]
    unsafe fn begin() {
        // SAFETY: the caller's.
        unsafe { T::begin() }
    }

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: the caller's.
        unsafe { T::end() }
    }

    #[inline(always)]
    unsafe fn step<S: Simd, const V: usize, const SIGNED: bool>(
        factors: Factors,
        number: usize,
        before: Option<*mut i32>,
    ) {
        let Factors { codes, width, .. } = factors;
        debug_assert!(S::LANES == amx::ROWS && codes.len().is_multiple_of(STEP * amx::LINE));
        let before = before.map(|before| before.cast());
        let (tiles, even) = (width / amx::LINE, number.is_multiple_of(2));
        // SAFETY: the tiles are the caller's; all is within the codes, the lanes and the dots.
        unsafe {
            match number.cmp(&(codes.len() / (STEP * width))) {
                Ordering::Less => match (tiles, even) {
                    (1, true) => Self::step_of_one::<V, SIGNED, 4, 0, 1, 2, 3>(factors, number, before),
                    (1, false) => Self::step_of_one::<V, SIGNED, 5, 2, 3, 0, 1>(factors, number, before),
                    (2, _) => Self::step_of_two::<V, SIGNED>(factors, number, before),
                    _ => Self::step_of_many::<V, SIGNED>(factors, number, before),
                },
                Ordering::Equal => match (tiles, even) {
                    (1, true) => Self::store::<V, 2, 3>(before),
                    _ => Self::store::<V, 0, 1>(before),
                },
                Ordering::Greater => (),
            }
        }
    }

    #[inline(always)]
    unsafe fn strip<S: Simd, const V: usize>(
        _: Factors,
        _: usize,
        _: Option<&[i32]>,
        dots: *const i32,
    ) -> [[S::I; V]; STRIP] {
        // SAFETY: the instruction set and the dots are the caller's.
        unsafe {
            let mut strip = [[S::splat_i32(0); V]; STRIP];
            for (i, strip) in strip.iter_mut().enumerate() {
                for (v, dot) in strip.iter_mut().enumerate() {
                    *dot = S::load_i32(dots.add((i * V + v) * S::LANES));
                }
            }
            strip
        }
    }

    #[inline(always)]
    unsafe fn scaled<S: Simd, const V: usize>(scales: Scales, row: usize, dots: [S::I; V]) -> [S::V; V] {
        // SAFETY: the instruction set and the row are the caller's.
        unsafe {
            let mut scaled = [S::splat(*scales.scale.get_unchecked(row)); V];
            for (scaled, dot) in scaled.iter_mut().zip(dots) {
                *scaled = S::mul(S::to_f32(dot), *scaled);
            }
            scaled
        }
    }
}

/// Steps store the sums of the one before while their own products are under way, and keep in tiles what lanes hold, as far as
/// there are tiles for it.
impl<T: Tiles> InTiles<T> {
    /// Rows of one tile: their sums go to the tiles C and D, those of the step before are in E and F.
    #[inline(always)]
    unsafe fn step_of_one<
        const V: usize,
        const SIGNED: bool,
        const A: usize,
        const C: usize,
        const D: usize,
        const E: usize,
        const F: usize,
    >(
        factors: Factors,
        number: usize,
        before: Option<*mut u8>,
    ) {
        // SAFETY: the caller's.
        unsafe {
            if number == 0 {
                Self::load_lanes::<6>(factors, 0, 0);
                if V == 2 {
                    Self::load_lanes::<7>(factors, 0, 1);
                }
            }
            Self::load_rows::<SIGNED, A>(factors, number, 0);
            Self::turn::<V, 0, E, C>(before);
            T::multiply_bytes::<C, A, 6, SIGNED>();
            if V == 2 {
                Self::turn::<V, 1, F, D>(before);
                T::multiply_bytes::<D, A, 7, SIGNED>();
            }
        }
    }

    /// Rows of two tiles.
    #[inline(always)]
    unsafe fn step_of_two<const V: usize, const SIGNED: bool>(
        factors: Factors,
        number: usize,
        before: Option<*mut u8>,
    ) {
        // SAFETY: the caller's.
        unsafe {
            if number == 0 {
                Self::load_lanes::<4>(factors, 0, 0);
                Self::load_lanes::<5>(factors, 1, 0);
                if V == 2 {
                    Self::load_lanes::<6>(factors, 0, 1);
                    Self::load_lanes::<7>(factors, 1, 1);
                }
            }
            Self::load_rows::<SIGNED, 2>(factors, number, 0);
            Self::turn::<V, 0, 0, 0>(before);
            T::multiply_bytes::<0, 2, 4, SIGNED>();
            if V == 2 {
                Self::turn::<V, 1, 1, 1>(before);
                T::multiply_bytes::<1, 2, 6, SIGNED>();
            }
            Self::load_rows::<SIGNED, 3>(factors, number, 1);
            T::multiply_bytes::<0, 3, 5, SIGNED>();
            if V == 2 {
                T::multiply_bytes::<1, 3, 7, SIGNED>();
            }
        }
    }

    /// Longer rows, whose lanes are loaded for each step.
    #[inline(always)]
    unsafe fn step_of_many<const V: usize, const SIGNED: bool>(
        factors: Factors,
        number: usize,
        before: Option<*mut u8>,
    ) {
        // SAFETY: the caller's.
        unsafe {
            Self::turn::<V, 0, 0, 0>(before);
            if V == 2 {
                Self::turn::<V, 1, 1, 1>(before);
            }
            for part in 0..factors.width / amx::LINE {
                Self::load_rows::<SIGNED, 2>(factors, number, part);
                Self::load_lanes::<4>(factors, part, 0);
                T::multiply_bytes::<0, 2, 4, SIGNED>();
                if V == 2 {
                    Self::load_lanes::<5>(factors, part, 1);
                    T::multiply_bytes::<1, 2, 5, SIGNED>();
                }
            }
        }
    }

    /// A tile of a step's rows. Those of keys, whose lanes are signed, are soon needed for other queries.
    #[inline(always)]
    unsafe fn load_rows<const SIGNED: bool, const A: usize>(factors: Factors, number: usize, part: usize) {
        let tile = number * (factors.width / amx::LINE) + part;
        // SAFETY: the caller's.
        unsafe {
            let from = factors.codes.as_ptr().add(tile * amx::TILE).cast();
            match SIGNED {
                true => T::load::<A>(from, amx::LINE),
                false => T::load_once::<A>(from, amx::LINE),
            }
        }
    }

    /// What lanes of a vector hold for a tile of rows.
    #[inline(always)]
    unsafe fn load_lanes<const B: usize>(factors: Factors, part: usize, vector: usize) {
        let at = part * amx::LINE / 4 * factors.step + vector * factors.vector;
        // SAFETY: the caller's.
        unsafe { T::load::<B>(factors.lanes.add(at), factors.step) };
    }

    /// Stores a vector's sums of the step before, which are in OLD, and begins new ones.
    #[inline(always)]
    unsafe fn turn<const V: usize, const VECTOR: usize, const OLD: usize, const NEW: usize>(before: Option<*mut u8>) {
        // SAFETY: the caller's.
        unsafe {
            Self::store_one::<V, VECTOR, OLD>(before);
            T::zero::<NEW>();
        }
    }

    /// Stores the sums of both vectors, or of one.
    #[inline(always)]
    unsafe fn store<const V: usize, const C: usize, const D: usize>(to: Option<*mut u8>) {
        // SAFETY: the caller's.
        unsafe {
            Self::store_one::<V, 0, C>(to);
            if V == 2 {
                Self::store_one::<V, 1, D>(to);
            }
        }
    }

    /// Stores a vector's sums among those of V.
    #[inline(always)]
    unsafe fn store_one<const V: usize, const VECTOR: usize, const C: usize>(to: Option<*mut u8>) {
        if let Some(to) = to {
            // SAFETY: the caller's.
            unsafe { T::store::<C>(to.add(VECTOR * amx::LINE), V * amx::LINE) };
        }
    }
}
