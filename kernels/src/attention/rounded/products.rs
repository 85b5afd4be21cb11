//! Products of a block's codes with bytes that lanes hold, four at a time.

use super::STRIP;
use crate::{
    Isa,
    amx::{self, Tiles},
    simd::{BIAS_BITS, Simd},
};
use std::marker::PhantomData;

/// In which order a block keeps its codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::attention) enum Order {
    /// Four elements of each row of a strip, then the next four: for [`InVectors`].
    Strips,
    /// Row by row: for [`InTiles`].
    Rows,
}

impl Order {
    /// The one for what a machine has.
    pub(in crate::attention) fn of(isa: Isa, head_dim: usize) -> Order {
        let in_tiles = isa == Isa::Amx && isa.is_available() && head_dim.is_multiple_of(amx::LINE);
        if in_tiles { Order::Rows } else { Order::Strips }
    }

    /// Whether several keys have one scale. Their products stay where they were prepared.
    pub(super) const fn shares_scales(self) -> bool {
        matches!(self, Order::Rows)
    }

    /// Puts elements of rows, the first ones, at `column` of each, of rows of `width` elements.
    #[inline(always)]
    pub(super) fn put(self, codes: &mut [i8], width: usize, column: usize, elements: &[i8]) {
        match self {
            Order::Strips => {
                for (strip, elements) in codes.chunks_exact_mut(STRIP * width).zip(elements.chunks(STRIP)) {
                    let places = strip[column / 4 * 4 * STRIP + column % 4..].iter_mut().step_by(4);
                    places.zip(elements).for_each(|(place, element)| *place = *element);
                }
            }
            Order::Rows => {
                let places = codes[column..].iter_mut().step_by(width);
                places.zip(elements).for_each(|(place, element)| *place = *element);
            }
        }
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

/// Rows whose products are prepared at a time.
pub(super) const CHUNK: usize = 2 * amx::ROWS;

/// A way to multiply.
pub(super) trait Products {
    /// The order of codes that it takes.
    const ORDER: Order;
    /// Whether it pays to ask for the next block's codes ahead.
    const PREFETCHES: bool;
    /// Before the first product of a thread, and after the last.
    unsafe fn begin();
    unsafe fn end();
    /// Prepares products of [`CHUNK`] rows from `first` on, for V vectors, added up as [`Products::strip`] says: `dots` has room for (CHUNK, V, LANES) of them. Bytes
    /// of lanes are `SIGNED` or not. All rows of the same factors are prepared one chunk after the other.
    unsafe fn prepare<S: Simd, const V: usize, const SIGNED: bool>(factors: Factors, first: usize, dots: *mut i32);
    /// Products of the strip that begins with row `first`, added up from [`BIAS_BITS`] on; `dots` are those that were
    /// prepared, from this row on. Where bytes of lanes should be signed those of [`InVectors`] are 128 larger, and `shifts`
    /// says from where to add instead.
    unsafe fn strip<S: Simd, const V: usize>(
        factors: Factors,
        first: usize,
        shifts: Option<&[i32]>,
        dots: *const i32,
    ) -> [[S::I; V]; STRIP];
}

/// By vectors of sums of four products.
pub(super) struct InVectors;

impl Products for InVectors {
    const ORDER: Order = Order::Strips;
    const PREFETCHES: bool = true;

    #[inline(always)]
    unsafe fn begin() {}

    #[inline(always)]
    unsafe fn end() {}

    #[inline(always)]
    unsafe fn prepare<S: Simd, const V: usize, const SIGNED: bool>(_: Factors, _: usize, _: *mut i32) {}

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
}

/// What products in tiles are added up from.
static FROM: Sums = Sums([BIAS_BITS; amx::TILE / 4]);

#[repr(align(64))]
struct Sums([i32; amx::TILE / 4]);

/// By tiles of 16 rows, 64 of their bytes and 16 lanes; for vectors of 16 lanes and whole tiles.
pub(super) struct InTiles<T>(PhantomData<T>);

impl<T: Tiles> Products for InTiles<T> {
    const ORDER: Order = Order::Rows;
    const PREFETCHES: bool = false;

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
    unsafe fn prepare<S: Simd, const V: usize, const SIGNED: bool>(factors: Factors, first: usize, dots: *mut i32) {
        let Factors { codes, width, lanes, step, vector } = factors;
        debug_assert!(
            S::LANES == amx::ROWS && width.is_multiple_of(amx::LINE) && (first + CHUNK) * width <= codes.len()
        );
        // SAFETY: the tiles are the caller's; all is within the codes, the lanes and the dots.
        unsafe {
            let from = FROM.0.as_ptr().cast();
            T::load::<0>(from, amx::LINE);
            T::load::<2>(from, amx::LINE);
            if V == 2 {
                T::load::<1>(from, amx::LINE);
                T::load::<3>(from, amx::LINE);
            }
            for depth in 0..width / amx::LINE {
                let a = codes.as_ptr().add(first * width + depth * amx::LINE).cast::<u8>();
                let b = lanes.add(depth * amx::LINE / 4 * step);
                T::load::<4>(a, width);
                // All that lanes hold of short rows is still there from the first rows on.
                if first == 0 || width > amx::LINE {
                    T::load::<6>(b, step);
                    if V == 2 {
                        T::load::<7>(b.add(vector), step);
                    }
                }
                T::load::<5>(a.add(amx::ROWS * width), width);
                T::multiply_bytes::<0, 4, 6, SIGNED>();
                T::multiply_bytes::<2, 5, 6, SIGNED>();
                if V == 2 {
                    T::multiply_bytes::<1, 4, 7, SIGNED>();
                    T::multiply_bytes::<3, 5, 7, SIGNED>();
                }
            }
            let stride = V * amx::LINE;
            let (out, below) = (dots.cast::<u8>(), dots.cast::<u8>().add(amx::ROWS * stride));
            T::store::<0>(out, stride);
            T::store::<2>(below, stride);
            if V == 2 {
                T::store::<1>(out.add(amx::LINE), stride);
                T::store::<3>(below.add(amx::LINE), stride);
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
}
