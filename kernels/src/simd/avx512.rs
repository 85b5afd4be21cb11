//! AVX-512 with VNNI, and with VBMI.

use super::{DITHER, FOURS, MOST_WEIGHT, Simd, avx2::Avx2};
use crate::Isa;
use half::f16;
use std::arch::x86_64::*;

/// With TABLES, bytes are looked up in tables of [`PLACES`] (VBMI).
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const TABLES: bool>;

impl<const TABLES: bool> Simd for Avx512<TABLES> {
    const ISA: Isa = if TABLES { Isa::Amx } else { Isa::Avx512 };
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const PAIRS: bool = true;
    type V = __m512;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: Self::V) -> Self::V {
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn scale_by_power_of_two(x: Self::V, n: Self::V) -> Self::V {
        unsafe { _mm512_scalef_ps(x, n) }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::V {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        unsafe { Avx2::half(bits) }
    }
    #[inline(always)]
    unsafe fn nibbles(bytes: &[u8; 16]) -> [u8; 32] {
        unsafe { Avx2::nibbles(bytes) }
    }
    #[inline(always)]
    unsafe fn fifth_bits(bits: u32) -> [u8; 32] {
        unsafe { std::mem::transmute(_mm256_maskz_set1_epi8(bits, 16)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_pairs(out: *mut u32, a: Self::V, b: Self::V) {
        // a | (b & mask)
        const OR_OF_AND: i32 = 0xf8;
        unsafe {
            let half = _mm512_set1_epi32(0x8000);
            let [a, b] = [a, b].map(|v| _mm512_add_epi32(_mm512_castps_si512(v), half));
            let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let both = _mm512_ternarylogic_epi32::<OR_OF_AND>(_mm512_srli_epi32::<16>(a), b, mask);
            _mm512_storeu_si512(out.cast(), both);
        }
    }
    #[inline(always)]
    unsafe fn turn(v: Self::V) -> Self::V {
        // Each lane's neighbour, plus the lane or, in the upper one of two, minus it.
        unsafe {
            let other = _mm512_permute_ps::<0xb1>(v);
            let v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xaaaa, other, v);
            let other = _mm512_permute_ps::<0x4e>(v);
            let v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xcccc, other, v);
            let other = _mm512_shuffle_f32x4::<0xb1>(v, v);
            let v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xf0f0, other, v);
            let other = _mm512_shuffle_f32x4::<0x4e>(v, v);
            _mm512_mask_sub_ps(_mm512_add_ps(v, other), 0xff00, other, v)
        }
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        unsafe {
            let low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        }
    }
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    unsafe fn largest(v: Self::V) -> f32 {
        unsafe { _mm512_reduce_max_ps(v) }
    }
    type I = __m512i;
    type U = __m512i;

    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn load_i32(p: *const i32) -> Self::I {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i32(p: *mut i32, v: Self::I) {
        unsafe { _mm512_storeu_si512(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn load_codes(u: *const u8) -> Self::U {
        unsafe { _mm512_loadu_si512(u.cast()) }
    }
    #[inline(always)]
    unsafe fn load_nibbles(u: *const u8) -> (Self::U, Self::U) {
        unsafe {
            let (bytes, mask) = (Self::load_codes(u), _mm512_set1_epi8(15));
            (_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask))
        }
    }
    #[inline(always)]
    unsafe fn widen_codes(u: Self::U) -> [Self::V; 4] {
        unsafe {
            let byte = _mm512_set1_epi32(255);
            let second = _mm512_and_si512(_mm512_srli_epi32::<8>(u), byte);
            let third = _mm512_and_si512(_mm512_srli_epi32::<16>(u), byte);
            [_mm512_and_si512(u, byte), second, third, _mm512_srli_epi32::<24>(u)].map(|u| _mm512_cvtepi32_ps(u))
        }
    }
    #[inline(always)]
    unsafe fn raise<const UP: u32, const MASK: u8>(u: Self::U, plane: Self::U) -> Self::U {
        // u | (moved & mask)
        const OR_OF_AND: i32 = 0xf8;
        unsafe {
            let moved = _mm512_slli_epi16::<UP>(plane);
            _mm512_ternarylogic_epi32::<OR_OF_AND>(u, moved, _mm512_set1_epi8(MASK as i8))
        }
    }
    #[inline(always)]
    unsafe fn lower<const DOWN: u32>(plane: Self::U) -> Self::U {
        unsafe { _mm512_srli_epi16::<DOWN>(plane) }
    }
    #[inline(always)]
    unsafe fn dot4_codes(sum: Self::I, u: Self::U, a: i32) -> Self::I {
        unsafe { _mm512_dpbusd_epi32(sum, u, _mm512_set1_epi32(a)) }
    }
    #[inline(always)]
    unsafe fn to_f32(v: Self::I) -> Self::V {
        unsafe { _mm512_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn scaled(v: Self::I, scale: Self::V, less: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(_mm512_castsi512_ps(v), scale, less) }
    }
    #[inline(always)]
    unsafe fn store_rounded(out: *mut i8, step: usize, v: Self::V) -> i32 {
        unsafe {
            let codes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
            out.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(codes));
            out.add(step).cast::<i32>().write_unaligned(_mm_extract_epi32::<1>(codes));
            out.add(2 * step).cast::<i32>().write_unaligned(_mm_extract_epi32::<2>(codes));
            out.add(3 * step).cast::<i32>().write_unaligned(_mm_extract_epi32::<3>(codes));
            // Bytes that are added up are unsigned.
            let sums = _mm_sad_epu8(_mm_xor_si128(codes, _mm_set1_epi8(-128)), _mm_setzero_si128());
            _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128
        }
    }
    const OCTAVE: f32 = if TABLES { STEPS } else { 2048.0 };
    const TOP: f32 = if TABLES { (PLACES - 1) as f32 } else { 0.0 };
    // What is looked up is never above the largest.
    const SLACK: f32 = if TABLES { 0.0 } else { 1.0 / 256.0 };
    #[inline(always)]
    unsafe fn store_powers(out: *mut u8, x: [Self::V; 4], four: usize) {
        unsafe {
            let [a, b, c, d] = x;
            let (low, high) = (Self::words([a, b]), Self::words([c, d]));
            if TABLES {
                return _mm512_storeu_si512(out.cast(), looked_up(&WEIGHTS[four], low, high));
            }
            // In each quarter four lanes of a then of b; those of c and d. Exponents below -16 become -16.
            let dither = |half: usize| _mm512_broadcast_i32x4(_mm_load_si128(DITHERS[four][half].0.as_ptr().cast()));
            let low = weights(low, dither(0));
            let high = weights(high, dither(1));
            let bytes = _mm512_mask_blend_epi8(0xaaaa_aaaa_aaaa_aaaa, _mm512_srli_epi16::<8>(low), high);
            let order = _mm_set_epi8(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
            _mm512_storeu_si512(out.cast(), _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order)));
        }
    }
    const LOOKS_UP: bool = TABLES;
    #[inline(always)]
    unsafe fn words([a, b]: [Self::V; 2]) -> Self::I {
        // In each quarter four lanes of a, then of b.
        unsafe { _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)) }
    }
    #[inline(always)]
    unsafe fn exponents(v: Self::V) -> Self::V {
        unsafe { _mm512_getexp_ps(v) }
    }
    #[inline(always)]
    unsafe fn nearest(v: Self::V) -> Self::I {
        unsafe { _mm512_cvtps_epi32(v) }
    }
    #[inline(always)]
    unsafe fn shares([a, b]: [Self::I; 2], down: Self::I, share: Self::I) -> Self::I {
        unsafe {
            let words = _mm512_packs_epi32(_mm512_srav_epi32(a, down), _mm512_srav_epi32(b, down));
            _mm512_mulhrs_epi16(words, share)
        }
    }
    #[inline(always)]
    unsafe fn max_words(a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_max_epi16(a, b) }
    }
    #[inline(always)]
    unsafe fn largest_word(words: Self::I) -> Self::V {
        unsafe {
            let both = _mm512_max_epi16(words, _mm512_shuffle_epi32::<0x4e>(words));
            let halves_of_quarters = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), both);
            _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm512_castsi512_si256(halves_of_quarters)))
        }
    }
    #[inline(always)]
    unsafe fn store_looked_up(out: *mut u8, [low, high]: [Self::I; 2], less: Self::I, finer: Self::I, four: usize) {
        unsafe {
            let low = _mm512_srav_epi16(_mm512_subs_epi16(low, less), finer);
            let high = _mm512_srav_epi16(_mm512_subs_epi16(high, less), finer);
            _mm512_storeu_si512(out.cast(), looked_up(&WEIGHTS[four], low, high));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(out: *mut u8, four: [Self::V; 4]) {
        unsafe {
            let [a, b, c, d] = four.map(|v| _mm512_cvttps_epi32(v));
            let low = _mm512_or_si512(a, _mm512_slli_epi32::<8>(b));
            let high = _mm512_or_si512(_mm512_slli_epi32::<16>(c), _mm512_slli_epi32::<24>(d));
            _mm512_storeu_si512(out.cast(), _mm512_or_si512(low, high));
        }
    }
}

#[repr(align(16))]
struct Words([u16; 8]);

/// [`DITHER`] of the first two and of the last two of four keys, for four lanes of each.
static DITHERS: [[Words; 2]; FOURS] = {
    let mut words = [const { [const { Words([0; 8]) }; 2] }; FOURS];
    let mut at = 0;
    while at < 16 * FOURS {
        let (four, half, i) = (at / 16, at / 8 % 2, at % 8);
        words[four][half].0[i] = DITHER[four][2 * half + i / 4] as u16;
        at += 1;
    }
    words
};

/// Steps of an octave that [`WEIGHTS`] tells apart.
const STEPS: f32 = 12.0;

/// Bytes of a table: as many as one instruction looks up in.
const PLACES: usize = 128;

#[repr(align(64))]
struct Bytes([u8; PLACES]);

/// MOST_WEIGHT · 2^((place + 1 - PLACES) / STEPS), cut to whole numbers after one of the [`DITHER`]s of four was added; nothing at the
/// first place, where all that is less is found too.
static WEIGHTS: [Bytes; FOURS] = {
    const ROOT: f64 = 1.059_463_094_359_295_3; // 2^(1 / STEPS)
    let mut weights = [const { Bytes([0; PLACES]) }; FOURS];
    let mut four = 0;
    while four < FOURS {
        let (mut weight, mut place) = (MOST_WEIGHT as f64, PLACES - 1);
        while place > 0 {
            // Around a half, for the four of them.
            weights[four].0[place] = (weight + (DITHER[four][0] + 6) as f64 / 256.0) as u8;
            weight /= ROOT;
            place -= 1;
        }
        four += 1;
    }
    weights
};

/// What the table has at places in 16 bits, [`Simd::words`] of the first and the last two of four vectors; below 0 is as 0.
#[inline(always)]
unsafe fn looked_up(table: &Bytes, low: __m512i, high: __m512i) -> __m512i {
    unsafe {
        // In each quarter four lanes of each vector.
        let places = _mm512_packus_epi16(low, high);
        let order = _mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
        let places = _mm512_shuffle_epi8(places, _mm512_broadcast_i32x4(order));
        let part = |number: usize| _mm512_load_si512(table.0.as_ptr().add(64 * number).cast());
        _mm512_permutex2var_epi8(part(0), places, part(1))
    }
}

#[repr(align(64))]
struct Table([u16; 32]);

/// 2^(17 + n) for the five bits of n from -16 to -1, as nearly as 16 bits have it; what is 0 or more counts as -1.
static POWERS: Table = {
    let mut powers = [u16::MAX; 32];
    let mut n = 0;
    while n < 15 {
        powers[16 + n] = 2 << n;
        n += 1;
    }
    Table(powers)
};

/// 256 · MOST_WEIGHT · 2^(x / 2048) in 16 bits, plus `dither`.
///
/// x / 2048 = n + f with f from 0 to 1; 2ᶠ by the polynomial of degree 2 that is relatively nearest to it, within 0.0018.
#[inline(always)]
unsafe fn weights(x: __m512i, dither: __m512i) -> __m512i {
    const HALF: f32 = 128.0 * MOST_WEIGHT;
    let constant = |c: f32| unsafe { _mm512_set1_epi16((HALF * c) as i16) };
    unsafe {
        let f = _mm512_slli_epi16::<5>(x);
        let p = _mm512_add_epi16(_mm512_mulhi_epu16(f, constant(0.337_189_7)), constant(0.657_636_6));
        let p = _mm512_add_epi16(_mm512_mulhi_epu16(f, p), constant(1.001_724_6));
        let n = _mm512_srai_epi16::<11>(x);
        let power = _mm512_permutexvar_epi16(n, _mm512_load_si512(POWERS.0.as_ptr().cast()));
        _mm512_add_epi16(_mm512_mulhi_epu16(p, power), dither)
    }
}
