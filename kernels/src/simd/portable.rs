//! What every machine has.

use super::Simd;
use crate::Isa;
use half::f16;

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
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        lanewise!(i => a[i] - b[i])
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
    unsafe fn abs(a: Self::V) -> Self::V {
        a.map(f32::abs)
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
    unsafe fn turn(v: Self::V) -> Self::V {
        let by = |v: Self::V, step: usize| -> Self::V {
            lanewise!(i => if i & step == 0 { v[i] + v[i + step] } else { v[i - step] - v[i] })
        };
        by(by(by(v, 1), 2), 4)
    }
    #[inline(always)]
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        let half =
            |from: usize| -> Self::V { lanewise!(i => if i % 2 == 0 { a[from + i / 2] } else { b[from + i / 2] }) };
        (half(0), half(4))
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
    unsafe fn load_i32(p: *const i32) -> Self::I {
        unsafe { p.cast::<[i32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_i32(p: *mut i32, v: Self::I) {
        unsafe { p.cast::<[i32; 8]>().write_unaligned(v) }
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
    unsafe fn widen_codes(u: Self::U) -> [Self::V; 4] {
        std::array::from_fn(|number| u.map(|four| f32::from(four[number])))
    }
    #[inline(always)]
    unsafe fn raise<const UP: u32, const MASK: u8>(mut u: Self::U, plane: Self::U) -> Self::U {
        let bytes = u.as_flattened_mut().iter_mut().zip(plane.as_flattened());
        bytes.for_each(|(u, plane)| *u |= (plane << UP) & MASK);
        u
    }
    #[inline(always)]
    unsafe fn lower<const DOWN: u32>(plane: Self::U) -> Self::U {
        plane.map(|four| four.map(|byte| byte >> DOWN))
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
    unsafe fn scaled(v: Self::I, scale: Self::V, _: Self::V) -> Self::V {
        // Without fused operations the product would be rounded before the bias is taken away.
        lanewise!(i => scale[i] * (v[i] - super::BIAS_BITS) as f32)
    }
    #[inline(always)]
    unsafe fn store_rounded(out: *mut i8, step: usize, v: Self::V) -> i32 {
        let codes = v.map(|x| x.round_ties_even() as i8);
        for (i, four) in codes.as_chunks::<4>().0.iter().enumerate() {
            unsafe { out.add(i * step).cast::<[i8; 4]>().write_unaligned(*four) };
        }
        codes.iter().map(|code| i32::from(*code)).sum()
    }
    const OCTAVE: f32 = 1.0;
    #[inline(always)]
    unsafe fn store_powers(out: *mut u8, x: [Self::V; 4], four: usize) {
        unsafe { super::store_powers::<Self>(out, x, four) }
    }
    #[inline(always)]
    unsafe fn store_bytes(out: *mut u8, four: [Self::V; 4]) {
        for i in 0..8 {
            let bytes = four.map(|v| v[i] as u8);
            unsafe { out.add(4 * i).cast::<[u8; 4]>().write_unaligned(bytes) };
        }
    }
}
