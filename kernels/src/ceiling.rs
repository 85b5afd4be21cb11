//! What this machine can do at most, measured on the spot: the rates that kernels are compared with.

use crate::{
    Isa,
    amx::{self, Tiles},
    pool,
    simd::{Simd, kernel},
};
use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Machines are shared, and what they do in one moment is not what they do in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The best moment of some time: what the machine can do.
    Best,
    /// A short time on the whole: what it does now.
    Now,
}

impl Look {
    fn time(self) -> Duration {
        Duration::from_millis(if self == Look::Best { 400 } else { 25 })
    }
}

/// Sums that are kept at a time: enough to hide an instruction's latency.
const SUMS: usize = 16;
const ROUNDS: usize = 20_000;
/// Bytes that each thread reads; more than caches hold together.
const READ: usize = 256 << 20;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Fused multiply-add of f32.
    F32,
    /// Sums of products of bytes: the instruction that [`crate::packed`] is made of.
    Bytes,
    /// Products of tiles of bf16: what linears over long prompts do.
    Bf16Tiles,
    /// The same of bytes: what attention does.
    ByteTiles,
}

/// Operations a second, all threads together; `None` where `isa` has no such unit.
pub fn rate(unit: Unit, isa: Isa, look: Look) -> Option<f64> {
    let in_tiles = isa == Isa::Amx && isa.is_available();
    match unit {
        Unit::F32 => Some(of_spins(look, || spin_f32(isa, ROUNDS), 2 * lanes(isa) * SUMS)),
        Unit::Bytes => Some(of_spins(look, || spin_int8(isa, ROUNDS), 2 * 4 * lanes(isa) * SUMS)),
        Unit::Bf16Tiles => in_tiles.then(|| {
            of_spins(look, || spin_tiles::<amx::Machine, false>(ROUNDS), 2 * 4 * amx::ROWS * amx::ROWS * amx::DEPTH)
        }),
        Unit::ByteTiles => in_tiles.then(|| {
            of_spins(look, || spin_tiles::<amx::Machine, true>(ROUNDS), 2 * 4 * amx::ROWS * amx::ROWS * amx::LINE)
        }),
    }
}

/// The first number of four sums of products of ones with ones, so many of each, in bytes or in bf16.
fn spin_tiles<T: Tiles, const BYTES: bool>(rounds: usize) -> f32 {
    let ones = black_box([if BYTES { 0x0101_u16 } else { 0x3f80 }; amx::TILE / 2]);
    let mut sums = [0f32; amx::TILE / 4];
    let from = ones.as_ptr().cast();
    // SAFETY: both are whole tiles; this thread has no other tiles.
    unsafe {
        T::begin();
        T::zero::<0>();
        T::zero::<1>();
        T::zero::<2>();
        T::zero::<3>();
        T::load::<4>(from, amx::LINE);
        T::load::<5>(from, amx::LINE);
        T::load::<6>(from, amx::LINE);
        T::load::<7>(from, amx::LINE);
        for _ in 0..rounds {
            if BYTES {
                T::multiply_bytes::<0, 4, 6, true>();
                T::multiply_bytes::<1, 4, 7, true>();
                T::multiply_bytes::<2, 5, 6, true>();
                T::multiply_bytes::<3, 5, 7, true>();
            } else {
                T::multiply::<0, 4, 6>();
                T::multiply::<1, 4, 7>();
                T::multiply::<2, 5, 6>();
                T::multiply::<3, 5, 7>();
            }
        }
        T::store::<3>(sums.as_mut_ptr().cast(), amx::LINE);
        T::end();
    }
    if BYTES { sums[0].to_bits() as f32 } else { sums[0] }
}

/// Bytes a second read from memory, all threads together.
pub fn bandwidth() -> f64 {
    let buffers = vec![vec![1u64; READ / 8]; pool::threads()];
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < Look::Best.time() {
        let start = Instant::now();
        pool::run(buffers.len(), |thread| {
            black_box(buffers[thread].iter().fold(0u64, |sum, x| sum.wrapping_add(*x)));
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    (buffers.len() * READ) as f64 / best
}

fn lanes(isa: Isa) -> usize {
    if matches!(isa, Isa::Amx | Isa::Avx512) { 16 } else { 8 }
}

/// The sum over threads of each one's rate, when all run: `operations` for each of the [`ROUNDS`] of a `spin`.
fn of_spins<R>(look: Look, spin: impl Fn() -> R + Sync, operations: usize) -> f64 {
    let operations = (operations * ROUNDS) as f64;
    let rates = Mutex::new(0.0);
    pool::run(pool::threads(), |_| {
        let start = Instant::now();
        let (mut least, mut spins) = (f64::INFINITY, 0.0);
        while start.elapsed() < look.time() {
            let start = Instant::now();
            black_box(spin());
            least = least.min(start.elapsed().as_secs_f64());
            spins += 1.0;
        }
        let of_a_spin = if look == Look::Best { least } else { start.elapsed().as_secs_f64() / spins };
        *rates.lock().unwrap_or_else(PoisonError::into_inner) += operations / of_a_spin;
    });
    rates.into_inner().unwrap_or_else(PoisonError::into_inner)
}

kernel! {
    fn spin_int8 = int8_body(rounds: usize) -> f32
}

#[inline(always)]
unsafe fn int8_body<S: Simd>(rounds: usize) -> f32 {
    let bytes = black_box([1u8; 64]);
    let mut out = [0f32; 16];
    // SAFETY: 64 bytes and 16 floats are as long as any vector.
    unsafe {
        let mut sums = [S::splat_i32(0); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = S::dot4(*sum, bytes.as_ptr(), 0x0101_0101);
            }
        }
        for sum in sums {
            S::store(out.as_mut_ptr(), S::add(S::load(out.as_ptr()), S::to_f32(sum)));
        }
    }
    out[0]
}

kernel! {
    fn spin_f32 = f32_body(rounds: usize) -> f32
}

#[inline(always)]
unsafe fn f32_body<S: Simd>(rounds: usize) -> f32 {
    let factor = black_box(0.5f32);
    let mut out = [0f32; 16];
    // SAFETY: 16 floats are as long as any vector.
    unsafe {
        let factor = S::splat(factor);
        let mut sums = [factor; SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = S::fma(*sum, factor, factor);
            }
        }
        for sum in sums {
            S::store(out.as_mut_ptr(), S::add(S::load(out.as_ptr()), sum));
        }
    }
    out[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_is_computed() {
        for isa in Isa::available() {
            // Four products of one by one for each round, in every sum.
            assert_eq!(spin_int8(isa, 5), (4 * 5 * SUMS) as f32, "{isa}");
            // x → x/2 + 1/2 from 1/2: after two rounds 7/8.
            assert_eq!(spin_f32(isa, 2), 0.875 * SUMS as f32, "{isa}");
        }
        assert_eq!(spin_tiles::<amx::Soft, false>(3), (3 * amx::DEPTH) as f32);
        assert_eq!(spin_tiles::<amx::Soft, true>(3), (3 * amx::LINE) as f32);
    }
}
