//! Weights, turned and rounded for all rows of a chunk at once.

use super::{ZERO, mix_thirds, order};
use crate::{
    packed::{Form, TILE, VECTOR, activations::LEAST, product::load_pair},
    simd::{BIAS, Simd, turn_lanes},
};

/// Bytes of a tile's weights that share scales: a byte each, then the scales, then these times -[`BIAS`].
pub(super) const fn bytes_of(span: usize) -> usize {
    TILE * span + 2 * TILE * size_of::<f32>()
}

/// Turns, in `values`, and rounds groups of a tile that share scales, as they are packed in `form`: to `wide`, as
/// [`bytes_of`] says, a byte each in the order in which they are packed, around [`ZERO`]. Scales are times `unit`.
#[inline(always)]
pub(super) unsafe fn widen<S: Simd>(form: Form, unit: f32, groups: &[u8], values: &mut [f32], wide: &mut [u8]) {
    for (group, out) in groups.chunks_exact(form.group_bytes()).zip(values.chunks_exact_mut(form.group * TILE)) {
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
    let span = values.len() / TILE;
    let (codes, factors) = wide.split_at_mut(TILE * span);
    let factors = factors.as_mut_ptr().cast::<f32>();
    for at in (0..TILE).step_by(S::LANES) {
        // SAFETY: the instruction set is the caller's; all is within the values, the codes and the factors.
        unsafe {
            let most = match span / FIRST {
                4 => turn_rest::<S, 4>(values, at),
                8 => turn_rest::<S, 8>(values, at),
                _ => turn_rest::<S, 12>(values, at),
            };
            round::<S>(values, at, S::div(S::splat(127.0), most), codes);
            S::store(factors.add(at), S::mul(most, S::splat(unit / (127 * order(span)) as f32)));
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

/// Inputs that are turned as they are unpacked, in registers.
const FIRST: usize = 16;

/// Of values (inputs, TILE), of which each [`FIRST`] inputs are turned, all the N · FIRST: those of a vector from output `at`
/// on. Returns the largest of each lane.
#[inline(always)]
unsafe fn turn_rest<S: Simd, const N: usize>(values: &mut [f32], at: usize) -> S::V {
    assert!(values.len() == N * FIRST * TILE, "values of a span");
    // SAFETY: the instruction set is the caller's; all is within the values.
    unsafe {
        let mut most = S::splat(LEAST);
        for first in 0..FIRST {
            let place = values.as_mut_ptr().add(first * TILE + at);
            let mut all = [most; N];
            for (i, x) in all.iter_mut().enumerate() {
                *x = S::load(place.add(FIRST * i * TILE));
            }
            for (i, x) in turn_vectors::<S, N>(all).into_iter().enumerate() {
                most = S::max(most, S::abs(x));
                S::store(place.add(FIRST * i * TILE), x);
            }
        }
        most
    }
}

/// Values (inputs, TILE) times `inverse` as bytes around [`ZERO`]: those of a vector from output `at` on.
#[inline(always)]
unsafe fn round<S: Simd>(values: &[f32], at: usize, inverse: S::V, codes: &mut [u8]) {
    // SAFETY: the instruction set is the caller's; all is within the values and the codes.
    unsafe {
        // What is cut to an integer is rounded by the half.
        let middle = S::splat(f32::from(ZERO) + 0.5);
        for (four, codes) in values.chunks_exact(4 * TILE).zip(codes.chunks_exact_mut(VECTOR)) {
            let mut codes_of = [middle; 4];
            for (i, code) in codes_of.iter_mut().enumerate() {
                *code = S::fma(S::load(four.as_ptr().add(i * TILE + at)), inverse, middle);
            }
            S::store_bytes(codes.as_mut_ptr().add(4 * at), codes_of);
        }
    }
}

/// A packed group's elements, (inputs, TILE), each [`FIRST`] inputs turned.
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
            for first in 0..form.group / FIRST {
                let mut all = [scale; FIRST];
                for half in 0..2 {
                    let [low, high] = load_pair::<S, BITS>(codes.as_ptr(), 2 * first + half, 4 * at, &mut plane);
                    let (low, high) = (S::widen_codes(low), S::widen_codes(high));
                    for i in 0..4 {
                        all[8 * half + i] = S::fma(low[i], scale, offset);
                        all[8 * half + 4 + i] = S::fma(high[i], scale, offset);
                    }
                }
                for (i, x) in turn_vectors::<S, FIRST>(all).into_iter().enumerate() {
                    S::store(out.add((FIRST * first + i) * TILE + at), x);
                }
            }
        }
    }
}

/// Turns N vectors, lane by lane.
#[inline(always)]
unsafe fn turn_vectors<S: Simd, const N: usize>(x: [S::V; N]) -> [S::V; N] {
    let order = order(N);
    // SAFETY: the instruction set is the caller's.
    let mut x = unsafe { turn_lanes::<S, N>(x, order) };
    if order < N {
        for i in 0..order {
            let (a, b, c) = (i, i + order, i + 2 * order);
            // SAFETY: as above.
            [x[a], x[b], x[c]] = unsafe { mix_thirds::<S>([x[a], x[b], x[c]]) };
        }
    }
    x
}
