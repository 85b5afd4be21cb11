//! AVX2 with FMA and F16C.

use super::Simd;
use crate::Isa;
use half::f16;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    const ISA: Isa = Isa::Avx2;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const PAIRS: bool = false;
    type V = __m256;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: Self::V) -> Self::V {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn scale_by_power_of_two(x: Self::V, n: Self::V) -> Self::V {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::V {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits)))) }
    }
    #[inline(always)]
    unsafe fn nibbles(bytes: &[u8; 16]) -> [u8; 32] {
        unsafe {
            let packed = _mm_loadu_si128(bytes.as_ptr().cast());
            let low = _mm_and_si128(packed, _mm_set1_epi8(15));
            let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), _mm_set1_epi8(15));
            std::mem::transmute(_mm256_set_m128i(high, low))
        }
    }
    #[inline(always)]
    unsafe fn turn(v: Self::V) -> Self::V {
        // Each lane's neighbour, plus the lane or, in the upper one of two, minus it.
        unsafe {
            let other = _mm256_permute_ps::<0xb1>(v);
            let v = _mm256_blend_ps::<0xaa>(_mm256_add_ps(v, other), _mm256_sub_ps(other, v));
            let other = _mm256_permute_ps::<0x4e>(v);
            let v = _mm256_blend_ps::<0xcc>(_mm256_add_ps(v, other), _mm256_sub_ps(other, v));
            let other = _mm256_permute2f128_ps::<1>(v, v);
            _mm256_blend_ps::<0xf0>(_mm256_add_ps(v, other), _mm256_sub_ps(other, v))
        }
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }
    }
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }
    #[inline(always)]
    unsafe fn largest(v: Self::V) -> f32 {
        unsafe {
            let half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        }
    }
    type I = __m256i;
    type U = __m256i;

    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn load_i32(p: *const i32) -> Self::I {
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i32(p: *mut i32, v: Self::I) {
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn load_codes(u: *const u8) -> Self::U {
        unsafe { _mm256_loadu_si256(u.cast()) }
    }
    #[inline(always)]
    unsafe fn load_nibbles(u: *const u8) -> (Self::U, Self::U) {
        unsafe {
            let (bytes, mask) = (Self::load_codes(u), _mm256_set1_epi8(15));
            (_mm256_and_si256(bytes, mask), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask))
        }
    }
    #[inline(always)]
    unsafe fn widen_codes(u: Self::U) -> [Self::V; 4] {
        unsafe {
            let byte = _mm256_set1_epi32(255);
            let second = _mm256_and_si256(_mm256_srli_epi32::<8>(u), byte);
            let third = _mm256_and_si256(_mm256_srli_epi32::<16>(u), byte);
            [_mm256_and_si256(u, byte), second, third, _mm256_srli_epi32::<24>(u)].map(|u| _mm256_cvtepi32_ps(u))
        }
    }
    #[inline(always)]
    unsafe fn raise<const UP: u32, const MASK: u8>(u: Self::U, plane: Self::U) -> Self::U {
        unsafe {
            let moved = _mm256_sll_epi16(plane, _mm_cvtsi32_si128(UP as i32));
            _mm256_or_si256(u, _mm256_and_si256(moved, _mm256_set1_epi8(MASK as i8)))
        }
    }
    #[inline(always)]
    unsafe fn lower<const DOWN: u32>(plane: Self::U) -> Self::U {
        unsafe { _mm256_srl_epi16(plane, _mm_cvtsi32_si128(DOWN as i32)) }
    }
    #[inline(always)]
    unsafe fn dot4_codes(sum: Self::I, u: Self::U, a: i32) -> Self::I {
        // Bytes of even and of odd places as 16 bits, so that no sum of two products saturates.
        unsafe {
            let a = _mm256_set1_epi32(a);
            let even = _mm256_madd_epi16(
                _mm256_and_si256(u, _mm256_set1_epi16(255)),
                _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(a)),
            );
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(u), _mm256_srai_epi16::<8>(a));
            _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
        }
    }
    #[inline(always)]
    unsafe fn to_f32(v: Self::I) -> Self::V {
        unsafe { _mm256_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn scaled(v: Self::I, scale: Self::V, less: Self::V) -> Self::V {
        unsafe { _mm256_fmadd_ps(_mm256_castsi256_ps(v), scale, less) }
    }
    #[inline(always)]
    unsafe fn store_rounded(out: *mut i8, step: usize, v: Self::V) -> i32 {
        unsafe {
            let v = _mm256_cvtps_epi32(v);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            let codes = _mm_packs_epi16(words, words);
            out.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(codes));
            out.add(step).cast::<i32>().write_unaligned(_mm_extract_epi32::<1>(codes));
            // Bytes that are added up are unsigned.
            let sums = _mm_sad_epu8(_mm_xor_si128(codes, _mm_set1_epi8(-128)), _mm_setzero_si128());
            _mm_cvtsi128_si32(sums) - 8 * 128
        }
    }
    const OCTAVE: f32 = 1.0;
    #[inline(always)]
    unsafe fn store_powers(out: *mut u8, x: [Self::V; 4], four: usize) {
        unsafe { super::store_powers::<Self>(out, x, four) }
    }
    #[inline(always)]
    unsafe fn store_bytes(out: *mut u8, four: [Self::V; 4]) {
        unsafe {
            let [a, b, c, d] = four.map(|v| _mm256_cvttps_epi32(v));
            let low = _mm256_or_si256(a, _mm256_slli_epi32::<8>(b));
            let high = _mm256_or_si256(_mm256_slli_epi32::<16>(c), _mm256_slli_epi32::<24>(d));
            _mm256_storeu_si256(out.cast(), _mm256_or_si256(low, high));
        }
    }
}
