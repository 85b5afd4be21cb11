//! Weights, turned and rounded for all rows of a chunk at once.

use super::{TURN, ZERO};
use crate::{
    packed::{Form, TILE, VECTOR, activations::LEAST, product::load_pair},
    simd::{BIAS, Simd},
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
    let (codes, factors) = wide.split_at_mut(TILE * (values.len() / TILE));
    let factors = factors.as_mut_ptr().cast::<f32>();
    for at in (0..TILE).step_by(S::LANES) {
        // SAFETY: the instruction set is the caller's; all is within the values, the codes and the factors.
        unsafe {
            let most = turn_rest::<S>(values, at);
            round::<S>(values, at, S::div(S::splat(127.0), most), codes);
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

/// Of values (inputs, TILE), each eight inputs of which are turned, all [`TURN`]: those of a vector from output `at` on.
/// Returns the largest of each lane.
#[inline(always)]
unsafe fn turn_rest<S: Simd>(values: &mut [f32], at: usize) -> S::V {
    // SAFETY: the instruction set is the caller's; all is within the values.
    unsafe {
        let mut most = S::splat(LEAST);
        for turn in values.chunks_exact_mut(TURN * TILE) {
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
