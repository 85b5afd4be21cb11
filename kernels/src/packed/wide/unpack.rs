//! Weights, unpacked to bf16.

use crate::{
    amx::ROWS,
    packed::{Form, TILE, product::load_pair},
    simd::{Simd, kernel},
};

kernel! {
    /// Unpacks a tile's groups to the tiles on one `side` of pairs, each 32 bits two inputs of an output.
    pub(super) fn unpack = unpack_body(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32])
}

#[inline(always)]
unsafe fn unpack_body<S: Simd>(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32]) {
    // SAFETY: the instruction set is the caller's.
    unsafe {
        match form.bits {
            4 => unpack_codes::<S, 4>(form, unit, groups, side, out),
            5 => unpack_codes::<S, 5>(form, unit, groups, side, out),
            6 => unpack_codes::<S, 6>(form, unit, groups, side, out),
            _ => unpack_codes::<S, 8>(form, unit, groups, side, out),
        }
    }
}

#[inline(always)]
unsafe fn unpack_codes<S: Simd, const BITS: u8>(form: Form, unit: f32, groups: &[u8], side: usize, out: &mut [u32]) {
    let lines = form.group / 2;
    let groups = groups.chunks_exact(form.group_bytes());
    assert_eq!(out.len(), groups.len() * lines * 2 * TILE, "room for pairs of tiles");
    for (number, group) in groups.enumerate() {
        let (codes, halves) = group.split_at(form.code_bytes());
        let line = number * lines;
        let out = out[((line / ROWS * 2 + side) * ROWS + line % ROWS) * TILE..].as_mut_ptr();
        for at in (0..TILE).step_by(S::LANES) {
            // SAFETY: the instruction set is the caller's; codes, scales and offsets are the group's, and it has so many
            // lines of its tile.
            unsafe {
                let factor = |number: usize| S::load_f16(halves.as_ptr().add(2 * (number + at)).cast());
                let scale = S::mul(factor(0), S::splat(unit));
                let own = if form.offset { S::mul(factor(TILE), S::splat(unit)) } else { S::splat(0.0) };
                let offset = S::fma(scale, S::splat(-f32::from(form.zero)), own);
                let plane = if form.has_plane() { form.low_bytes() + 4 * at } else { 0 };
                let mut plane = S::load_codes(codes.as_ptr().add(plane));
                for pair in 0..form.group / 8 {
                    let two = load_pair::<S, BITS>(codes.as_ptr(), pair, 4 * at, &mut plane);
                    for (half, codes) in two.into_iter().enumerate() {
                        let [a, b, c, d] = S::widen_codes(codes).map(|code| S::fma(code, scale, offset));
                        let out = out.add((4 * pair + 2 * half) * TILE + at);
                        S::store_bf16_pairs(out, a, b);
                        S::store_bf16_pairs(out.add(TILE), c, d);
                    }
                }
            }
        }
    }
}
