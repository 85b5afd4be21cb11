//! The few vector operations that the kernels are written in, for each instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::Avx2, avx512::Avx512};

use crate::Isa;
use half::f16;

/// An f32 whose last bit stands for 1, in the middle of those that have its exponent: an integer that is added to its bits is
/// added to its value.
pub(crate) const BIAS: f32 = 12_582_912.0;
pub(crate) const BIAS_BITS: i32 = BIAS.to_bits() as i32;

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
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn abs(a: Self::V) -> Self::V;
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
    /// Stores for each lane the nearest bf16 of `a` and then that of `b`; halfway between two the larger one. What is no number
    /// may become one.
    #[inline(always)]
    unsafe fn store_bf16_pairs(out: *mut u32, a: Self::V, b: Self::V) {
        let mut lanes = [[0f32; MOST_LANES]; 2];
        // SAFETY: the instruction set is the caller's, the arrays are as long as the longest vectors, `out` as these.
        unsafe {
            Self::store(lanes[0].as_mut_ptr(), a);
            Self::store(lanes[1].as_mut_ptr(), b);
            for lane in 0..Self::LANES {
                let [a, b] = lanes.map(|lanes| lanes[lane].to_bits().wrapping_add(0x8000));
                out.add(lane).write(a >> 16 | b & 0xffff_0000);
            }
        }
    }
    /// The lanes times the matrix of Sylvester.
    unsafe fn turn(v: Self::V) -> Self::V;
    /// Lanes of both by turns: first those of the lower halves, then those of the upper ones.
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V);
    unsafe fn sum(v: Self::V) -> f32;
    unsafe fn largest(v: Self::V) -> f32;
    /// LANES sums of products of bytes.
    type I: Copy;
    unsafe fn splat_i32(x: i32) -> Self::I;
    unsafe fn load_i32(p: *const i32) -> Self::I;
    unsafe fn store_i32(p: *mut i32, v: Self::I);
    /// Four unsigned bytes for each lane.
    type U: Copy;
    unsafe fn load_codes(u: *const u8) -> Self::U;
    /// The low and the high halves of four bytes for each lane.
    unsafe fn load_nibbles(u: *const u8) -> (Self::U, Self::U);
    /// Of each lane the four bytes, by their number.
    unsafe fn widen_codes(u: Self::U) -> [Self::V; 4];
    /// Each byte of `u` with those bits of the byte of `plane`, moved up by UP, that MASK has.
    unsafe fn raise<const UP: u32, const MASK: u8>(u: Self::U, plane: Self::U) -> Self::U;
    /// Each byte moved down by DOWN bits; the uppermost DOWN bits are any.
    unsafe fn lower<const DOWN: u32>(plane: Self::U) -> Self::U;
    /// To each lane the products of its four unsigned bytes with the four signed bytes of `a`.
    unsafe fn dot4_codes(sum: Self::I, u: Self::U, a: i32) -> Self::I;
    #[inline(always)]
    unsafe fn dot4(sum: Self::I, u: *const u8, a: i32) -> Self::I {
        unsafe { Self::dot4_codes(sum, Self::load_codes(u), a) }
    }
    unsafe fn to_f32(v: Self::I) -> Self::V;
    /// `scale · n` of integers n that were added up from [`BIAS_BITS`] on and lie within ±2²²; `less` is `-scale ·` [`BIAS`],
    /// which has to be exact, and is for scales of 22 bits at most. One operation, where turning n into f32 is one of its own.
    unsafe fn scaled(v: Self::I, scale: Self::V, less: Self::V) -> Self::V;
    /// Rounds values from -128 to 127 to the nearest integers, even ones where two are as near, and stores them as bytes,
    /// four together and the next four `step` bytes on. Returns their sum.
    unsafe fn store_rounded(out: *mut i8, step: usize, v: Self::V) -> i32;
    /// What exponents are multiplied with for [`Simd::store_powers`], and what is added to them then.
    const OCTAVE: f32;
    const TOP: f32 = 0.0;
    /// Exponents are this much smaller than they should be, in all weights alike: rounding must not bring the largest above 0.
    const SLACK: f32 = 1.0 / 256.0;
    /// Stores [`MOST_WEIGHT`] · 2ˣ, x below 0, of four vectors as bytes, for each lane those of the four vectors. What is added
    /// before cutting to integers differs between the [`FOURS`] values of `four`, and mostly between the vectors.
    unsafe fn store_powers(out: *mut u8, x: [Self::V; 4], four: usize);
    /// Whether powers are looked up by places, [`Simd::OCTAVE`] of them to an octave. The methods on words are only there then.
    const LOOKS_UP: bool = false;
    /// The nearest integers of two vectors, in 16 bits, or the largest or smallest of these.
    unsafe fn words(_: [Self::V; 2]) -> Self::I {
        unreachable!("no words")
    }
    /// ⌊log₂ v⌋ of v above 0.
    unsafe fn exponents(_: Self::V) -> Self::V {
        unreachable!("no words")
    }
    /// The nearest integers.
    unsafe fn nearest(_: Self::V) -> Self::I {
        unreachable!("no words")
    }
    /// Two vectors of integers, each lane moved down by `down` bits, in 16 bits, or the largest or smallest of these, times the words
    /// of `share`, whose unit is 2⁻¹⁵: to the nearest.
    unsafe fn shares(_: [Self::I; 2], _down: Self::I, _share: Self::I) -> Self::I {
        unreachable!("no words")
    }
    /// Of each lane and vector the larger word.
    unsafe fn max_words(_: Self::I, _: Self::I) -> Self::I {
        unreachable!("no words")
    }
    /// Of each lane the larger word of the two vectors.
    unsafe fn largest_word(_: Self::I) -> Self::V {
        unreachable!("no words")
    }
    /// As [`Simd::store_powers`], by words of four vectors less `less`, which are places, at most [`Simd::TOP`], when moved down by
    /// what each word of `finer` says.
    unsafe fn store_looked_up(_: *mut u8, _: [Self::I; 2], _less: Self::I, _finer: Self::I, _four: usize) {
        unreachable!("no words")
    }
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

/// 2ˣ to three millionths for x up to 126. x is held to at least -100, so that what is made of the smallest stays a normal
/// number.
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

/// Lanes of the longest vectors.
pub(crate) const MOST_LANES: usize = 16;

/// Columns of LANES vectors, the vector at `from[i]` times `factor` being row i: the first `count` columns go to `to`,
/// `stride` elements apart.
#[inline(always)]
pub(crate) unsafe fn transpose<S: Simd>(
    from: &[*const f32; MOST_LANES],
    factor: S::V,
    to: *mut f32,
    (count, stride): (usize, usize),
) {
    unsafe {
        let mut rows = [factor; MOST_LANES];
        for (row, from) in rows.iter_mut().zip(from).take(S::LANES) {
            *row = S::mul(S::load(*from), factor);
        }
        // Each round makes the uppermost bit of a lane's number the lowest one of its row's, and the other way round.
        for _ in 0..S::LANES.ilog2() {
            let before = rows;
            for i in 0..S::LANES / 2 {
                (rows[2 * i], rows[2 * i + 1]) = S::interleave(before[i], before[i + S::LANES / 2]);
            }
        }
        for (i, row) in rows.into_iter().enumerate().take(count) {
            S::store(to.add(i * stride), row);
        }
    }
}

/// Rows, a lane each, times `factor`: their elements, `stride` apart, of all lanes together.
#[inline(always)]
pub(crate) unsafe fn side_by_side<S: Simd>(rows: &[&[f32]; MOST_LANES], factor: f32, out: &mut [f32], stride: usize) {
    let len = rows[0].len();
    let whole = len / S::LANES * S::LANES;
    for first in (0..whole).step_by(S::LANES) {
        let mut from = [rows[0].as_ptr(); MOST_LANES];
        for (from, row) in from.iter_mut().zip(rows).take(S::LANES) {
            *from = row[first..][..S::LANES].as_ptr();
        }
        let to = &mut out[first * stride..][..(S::LANES - 1) * stride + S::LANES];
        // SAFETY: the instruction set is the caller's; within the rows and `out`.
        unsafe { transpose::<S>(&from, S::splat(factor), to.as_mut_ptr(), (S::LANES, stride)) };
    }
    for i in whole..len {
        let places = out[i * stride..].iter_mut().take(S::LANES);
        places.zip(rows).for_each(|(place, row)| *place = row[i] * factor);
    }
}

/// Turns vectors lane by lane, each `order` of them, a power of two, by the matrix of Sylvester.
#[inline(always)]
pub(crate) unsafe fn turn_lanes<S: Simd, const N: usize>(mut x: [S::V; N], order: usize) -> [S::V; N] {
    let mut step = 1;
    while step < order {
        for i in 0..N {
            if i & step == 0 {
                // SAFETY: the instruction set is the caller's.
                (x[i], x[i + step]) = unsafe { (S::add(x[i], x[i + step]), S::sub(x[i], x[i + step])) };
            }
        }
        step *= 2;
    }
    x
}

/// The largest weight, as bytes have it: one less than they could, since an exponent may be a little above 0.
pub(crate) const MOST_WEIGHT: f32 = 254.0;
/// How often four weights each are cut in ways of their own.
pub(crate) const FOURS: usize = 16;

/// What is added to weights before they are cut to integers, in 256ths: every 64th of one once, neighbours far apart, so that
/// many small weights neither all vanish nor all count.
pub(crate) const DITHER: [[u8; 4]; FOURS] = {
    let mut dither = [[0; 4]; FOURS];
    let mut key = 0;
    while key < 4 * FOURS {
        dither[key / 4][key % 4] = (key * 27 % (4 * FOURS)) as u8 * 4 + 2;
        key += 1;
    }
    dither
};

/// [`Simd::store_powers`] by powers in f32, for an octave of 1.
#[inline(always)]
unsafe fn store_powers<S: Simd>(out: *mut u8, x: [S::V; 4], four: usize) {
    unsafe {
        let mut bytes = x;
        for (byte, dither) in bytes.iter_mut().zip(DITHER[four]) {
            *byte = S::fma(exp2::<S>(*byte), S::splat(MOST_WEIGHT), S::splat(f32::from(dither) / 256.0));
        }
        S::store_bytes(out, bytes);
    }
}

/// Asks for the cache lines of `bytes` bytes from `start` on, which need not be there.
#[inline(always)]
pub(crate) fn prefetch<T>(start: *const T, bytes: usize) {
    ask_for::<FIRST_LEVEL, T>(start, bytes);
}

/// As [`prefetch`], for the second-level cache.
#[inline(always)]
pub(crate) fn prefetch_far<T>(start: *const T, bytes: usize) {
    ask_for::<SECOND_LEVEL, T>(start, bytes);
}

/// As [`prefetch`], of what is going to be written to.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(start: *const T, bytes: usize) {
    ask_for::<TO_WRITE, T>(start, bytes);
}

// How the processor is asked: _MM_HINT_T0, _MM_HINT_T1 and _MM_HINT_ET0 of its intrinsics.
const FIRST_LEVEL: i32 = 3;
const SECOND_LEVEL: i32 = 2;
const TO_WRITE: i32 = 7;

#[inline(always)]
fn ask_for<const HINT: i32, T>(start: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes).step_by(64) {
        // SAFETY: a prefetch of any address does nothing but fill a cache.
        unsafe { std::arch::x86_64::_mm_prefetch::<HINT>(start.cast::<i8>().wrapping_add(at)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, bytes);
}

/// Defines `fn $name(isa, args…)`, which runs `$body::<S>(args…)` compiled for the instruction set `isa`. [`Isa::Amx`] shares
/// what is compiled for AVX-512, but where `amx` stands before the function: that has a version with VBMI then.
macro_rules! kernel {
    (amx $(#[$doc:meta])* $vis:vis fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            $crate::simd::kernel! {
                fn others = $body($($arg: $ty),*) $(-> $ret)?
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn amx($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Avx512<true>>($($arg),*) }
            }
            match isa {
                // SAFETY: the machine was just found to have it.
                #[cfg(target_arch = "x86_64")]
                $crate::Isa::Amx if isa.is_available() => unsafe { amx($($arg),*) },
                _ => others(isa, $($arg),*),
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Avx512<false>>($($arg),*) }
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
                $crate::Isa::Amx | $crate::Isa::Avx512 if isa.is_available() => unsafe { avx512($($arg),*) },
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

#[cfg(test)]
mod tests {
    use super::*;

    kernel! {
        fn powers = powers_body(x: &mut [f32; 16])
    }

    #[inline(always)]
    unsafe fn powers_body<S: Simd>(x: &mut [f32; 16]) {
        for at in (0..16).step_by(S::LANES) {
            // SAFETY: LANES divides 16.
            unsafe { S::store(x.as_mut_ptr().add(at), exp2::<S>(S::load(x.as_ptr().add(at)))) };
        }
    }

    kernel! { amx
        /// Of exponents below 0, as attention gives them; the weights of a vector's lanes lie four together.
        fn weights = weights_body(x: f32, four: usize) -> Vec<u8>
    }

    #[inline(always)]
    unsafe fn weights_body<S: Simd>(x: f32, four: usize) -> Vec<u8> {
        let mut weights = vec![0; 4 * S::LANES];
        // SAFETY: the instruction set is the caller's; room for four vectors of bytes.
        unsafe {
            // The second to the fourth are one, two and three octaves less.
            let mut exponents = [S::splat(0.0); 4];
            for (octave, exponent) in exponents.iter_mut().enumerate() {
                *exponent = S::splat((x - octave as f32 - S::SLACK) * S::OCTAVE + S::TOP);
            }
            S::store_powers(weights.as_mut_ptr(), exponents, four);
        }
        weights
    }

    #[test]
    fn weights_are_powers_of_two_in_bytes() {
        for isa in Isa::available() {
            for step in 0..200 {
                let (x, mut sums) = (step as f32 * -0.04, [0.0; 4]);
                for four in 0..FOURS {
                    for lane in weights(isa, x, four).as_chunks::<4>().0 {
                        for (octave, (weight, sum)) in lane.iter().zip(&mut sums).enumerate() {
                            let exact = f64::from(MOST_WEIGHT) * f64::from(x - octave as f32).exp2();
                            let off = (f64::from(*weight) - exact).abs();
                            assert!(
                                off < 1.0 + 0.03 * exact,
                                "2^{} is {weight}/{MOST_WEIGHT} on {isa}",
                                x - octave as f32
                            );
                            *sum += f64::from(*weight) - exact;
                        }
                    }
                }
                // What is added before they are cut makes up for the cutting; what tables do not tell from nothing is less than
                // a fifth of one.
                let count = (FOURS * weights(isa, x, 0).len() / 4) as f64;
                for (octave, sum) in sums.into_iter().enumerate() {
                    let exact = f64::from(MOST_WEIGHT) * f64::from(x - octave as f32).exp2();
                    assert!((sum / count).abs() < 0.2 + 0.03 * exact, "{} at 2^{}", sum / count, x - octave as f32);
                }
            }
        }
    }

    #[test]
    fn powers_of_two_are_near_those_in_f64() {
        for isa in Isa::available() {
            for step in 0..200 {
                let x: [f32; 16] = std::array::from_fn(|i| -100.0 + (step * 16 + i) as f32 * 0.07);
                let mut got = x;
                powers(isa, &mut got);
                for (x, got) in x.iter().zip(got) {
                    let error = f64::from(got) / f64::from(*x).exp2() - 1.0;
                    assert!(error.abs() < 3.5e-6, "2^{x} is {got} on {isa}");
                }
            }
            let mut least = [f32::NEG_INFINITY, -1e30].repeat(8).try_into().expect("sixteen");
            powers(isa, &mut least);
            assert!(least.iter().all(|power| *power > 0.0 && *power < 1e-30), "{least:?} on {isa}");
        }
    }
}
