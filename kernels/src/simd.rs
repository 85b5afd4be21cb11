//! The few vector operations that the kernels are written in, for each instruction set.

use crate::Isa;
use half::f16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A vector of f32. All methods are `unsafe` because they need the instruction set they are named for; they are only
/// reached through [`kernel!`], whose entry points check that the machine has it and fall back to portable code.
pub(crate) trait Simd: Copy {
    const ISA: Isa;
    const LANES: usize;
    /// Rows of the register tile of [`crate::gemm`].
    const TILE_ROWS: usize;
    /// Whether there are registers for the products of two vectors at a time.
    const PAIRS: bool;
    type V: Copy;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Rounds to the nearest integer.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `x · 2ⁿ` for integral `n` from -126 to 127.
    unsafe fn scale_by_power_of_two(x: Self::V, n: Self::V) -> Self::V;
    /// LANES signed bytes.
    unsafe fn load_i8(p: *const i8) -> Self::V;
    /// LANES halves.
    unsafe fn load_f16(p: *const f16) -> Self::V;
    unsafe fn half(bits: u16) -> f32;
    /// Low nibbles, then high ones.
    #[inline(always)]
    unsafe fn nibbles(bytes: &[u8; 16]) -> [u8; 32] {
        let mut q = [0; 32];
        for i in 0..16 {
            q[i] = bytes[i] & 15;
            q[i + 16] = bytes[i] >> 4;
        }
        q
    }
    /// Each bit as a byte of 0 or 16.
    #[inline(always)]
    unsafe fn fifth_bits(bits: u32) -> [u8; 32] {
        let mut spread = [0; 32];
        for (out, byte) in spread.as_chunks_mut::<8>().0.iter_mut().zip(bits.to_le_bytes()) {
            // The byte in every lane, of which lane i keeps bit i; adding 127 carries any bit into the lane's top.
            let lanes = (u64::from(byte) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
            *out = (((lanes + 0x7f7f_7f7f_7f7f_7f7f) >> 3) & 0x1010_1010_1010_1010).to_le_bytes();
        }
        spread
    }
    unsafe fn sum(v: Self::V) -> f32;
    unsafe fn largest(v: Self::V) -> f32;
    /// LANES sums of products of bytes.
    type I: Copy;
    unsafe fn splat_i32(x: i32) -> Self::I;
    /// Four unsigned bytes for each lane.
    type U: Copy;
    unsafe fn load_codes(u: *const u8) -> Self::U;
    /// The low and the high halves of four bytes for each lane.
    unsafe fn load_nibbles(u: *const u8) -> (Self::U, Self::U);
    /// To each lane the products of its four unsigned bytes with the four signed bytes of `a`.
    unsafe fn dot4_codes(sum: Self::I, u: Self::U, a: i32) -> Self::I;
    #[inline(always)]
    unsafe fn dot4(sum: Self::I, u: *const u8, a: i32) -> Self::I {
        unsafe { Self::dot4_codes(sum, Self::load_codes(u), a) }
    }
    unsafe fn to_f32(v: Self::I) -> Self::V;
    /// Integral values from -128 to 127 as bytes.
    unsafe fn store_i8(out: *mut i8, v: Self::V);
    /// Cuts values from 0 to 255 to integers, and stores for each lane those of the four vectors: LANES times four bytes.
    unsafe fn store_bytes(out: *mut u8, four: [Self::V; 4]);
}

/// eˣ to about 2 units in the last place, x held between -87 and 88 (so that e^-∞ is about 1e-38, and nothing overflows).
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its Taylor polynomial of degree 7.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let x = S::min(S::max(x, S::splat(-87.0)), S::splat(88.0));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts, so that n·ln 2 is subtracted exactly.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = S::fma(p, r, S::splat(c));
        }
        S::scale_by_power_of_two(p, n)
    }
}

/// 2ˣ to three millionths, x held to at least -100, so that what is made of the smallest stays a normal number; nothing for x
/// above 127.
///
/// x = n + f with |f| ≤ 1/2; 2ᶠ by the polynomial of degree 4 that is nearest to it there.
#[inline(always)]
pub(crate) unsafe fn exp2<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let x = S::max(x, S::splat(-100.0));
        let n = S::round(x);
        let f = S::add(x, S::mul(n, S::splat(-1.0)));
        let mut p = S::splat(0.009_570_1);
        for c in [0.055_917_86, 0.240_247_45, 0.693_121_8, 0.999_999_2] {
            p = S::fma(p, f, S::splat(c));
        }
        S::scale_by_power_of_two(p, n)
    }
}

/// Exact, without asking what the machine can do: shifts the bits into place and lets a multiplication by 2¹¹² put the
/// exponent right, subnormals included. Infinities and NaN become finite, which no weight or cached value is.
#[inline(always)]
fn half_to_f32(bits: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (u32::from(bits & 0x8000) << 16))
}

/// Eight lanes of plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

macro_rules! lanewise {
    ($i:ident => $e:expr) => {{
        let mut out = [0f32; 8];
        let mut $i = 0;
        while $i < 8 {
            out[$i] = $e;
            $i += 1;
        }
        out
    }};
}

impl Simd for Portable {
    const ISA: Isa = Isa::Portable;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 2;
    const PAIRS: bool = false;
    type V = [f32; 8];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        lanewise!(i => a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        lanewise!(i => a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        lanewise!(i => a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        lanewise!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        lanewise!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanewise!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        lanewise!(i => (a[i] + 0.5).floor())
    }
    #[inline(always)]
    unsafe fn scale_by_power_of_two(x: Self::V, n: Self::V) -> Self::V {
        lanewise!(i => x[i] * f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::V {
        let bytes = unsafe { p.cast::<[i8; 8]>().read_unaligned() };
        lanewise!(i => f32::from(bytes[i]))
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        let halves = unsafe { p.cast::<[u16; 8]>().read_unaligned() };
        lanewise!(i => half_to_f32(halves[i]))
    }
    #[inline(always)]
    unsafe fn half(bits: u16) -> f32 {
        half_to_f32(bits)
    }
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    unsafe fn largest(v: Self::V) -> f32 {
        v.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
    }
    type I = [i32; 8];
    type U = [[u8; 4]; 8];

    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load_codes(u: *const u8) -> Self::U {
        unsafe { u.cast::<[[u8; 4]; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_nibbles(u: *const u8) -> (Self::U, Self::U) {
        let bytes = unsafe { Self::load_codes(u) };
        (bytes.map(|four| four.map(|byte| byte & 15)), bytes.map(|four| four.map(|byte| byte >> 4)))
    }
    #[inline(always)]
    unsafe fn dot4_codes(mut sum: Self::I, u: Self::U, a: i32) -> Self::I {
        let a = a.to_le_bytes();
        for (sum, u) in sum.iter_mut().zip(u) {
            *sum += (0..4).map(|i| i32::from(u[i]) * i32::from(a[i] as i8)).sum::<i32>();
        }
        sum
    }
    #[inline(always)]
    unsafe fn to_f32(v: Self::I) -> Self::V {
        v.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn store_i8(out: *mut i8, v: Self::V) {
        unsafe { out.cast::<[i8; 8]>().write_unaligned(v.map(|x| x as i8)) }
    }
    #[inline(always)]
    unsafe fn store_bytes(out: *mut u8, four: [Self::V; 4]) {
        for i in 0..8 {
            let bytes = four.map(|v| v[i] as u8);
            unsafe { out.add(4 * i).cast::<[u8; 4]>().write_unaligned(bytes) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
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
    unsafe fn store_i8(out: *mut i8, v: Self::V) {
        unsafe {
            let v = _mm256_cvtps_epi32(v);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            _mm_storel_epi64(out.cast(), _mm_packs_epi16(words, words));
        }
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

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Simd for Avx512 {
    const ISA: Isa = Isa::Avx512;
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
    unsafe fn dot4_codes(sum: Self::I, u: Self::U, a: i32) -> Self::I {
        unsafe { _mm512_dpbusd_epi32(sum, u, _mm512_set1_epi32(a)) }
    }
    #[inline(always)]
    unsafe fn to_f32(v: Self::I) -> Self::V {
        unsafe { _mm512_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn store_i8(out: *mut i8, v: Self::V) {
        unsafe { _mm_storeu_si128(out.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))) }
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

/// Defines `fn $name(isa, args…)`, which runs `$body::<S>(args…)` compiled for the instruction set `isa`.
macro_rules! kernel {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Avx2>($($arg),*) }
            }
            match isa {
                // SAFETY: the machine was just found to have it.
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx512 if isa.is_available() => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Avx2 if isa.is_available() => unsafe { avx2($($arg),*) },
                // SAFETY: needs nothing.
                _ => unsafe { $body::<$crate::simd::Portable>($($arg),*) },
            }
        }
    };
}
pub(crate) use kernel;
