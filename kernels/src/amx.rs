//! AMX: products of matrices of 16 and of 8 bits in tiles of sixteen rows, which some Xeons have beside AVX-512.
//!
//! The standard library knows neither the instructions nor whether they may be used, so both are asked for here. What the
//! processor gives is held to [`Soft`] once before it is used; nothing else stands between a mistake here and wrong answers
//! on a machine that no test of ours has seen.

use crate::output::Output;
use half::bf16;
use std::cell::RefCell;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Bytes of a row.
pub(crate) const LINE: usize = 64;
/// What a product goes deep: elements of 16 bits in a row.
pub(crate) const DEPTH: usize = LINE / 2;
/// Bytes of a tile.
pub(crate) const TILE: usize = ROWS * LINE;

/// A thread's eight tiles, by their numbers. Only between [`Tiles::begin`] and [`Tiles::end`], and only where
/// [`is_available`].
pub(crate) trait Tiles {
    unsafe fn begin();
    unsafe fn end();
    unsafe fn zero<const T: usize>();
    /// Rows that lie `stride` bytes apart.
    unsafe fn load<const T: usize>(from: *const u8, stride: usize);
    /// As `load`, of what is not needed again before much else: it does not drive that out of the first-level cache.
    unsafe fn load_once<const T: usize>(from: *const u8, stride: usize) {
        // SAFETY: the caller's.
        unsafe { Self::load::<T>(from, stride) };
    }
    unsafe fn store<const T: usize>(to: *mut u8, stride: usize);
    /// C, 16 × 16 in f32, plus A, 16 × 32 in bf16, times B, 32 × 16 in bf16, whose rows 2i and 2i + 1 lie in row i of the
    /// tile, element by element in turns.
    unsafe fn multiply<const C: usize, const A: usize, const B: usize>();
    /// C, 16 × 16 in 32 bits, plus A, 16 × 64 signed bytes, times B, 64 × 16 bytes, signed or not, whose rows 4i to 4i + 3
    /// lie in row i of the tile, element by element in turns.
    unsafe fn multiply_bytes<const C: usize, const A: usize, const B: usize, const SIGNED: bool>();
}

/// Adds A · B to what is in `from`, where that is given: 32 × 32 in f32, in tiles 0 to 3, where it stays. A is two rows of
/// `steps` tiles that lie behind each other, B `steps` pairs of tiles side by side. What the product before left in these tiles
/// goes to `before`, a tile just before its place is needed, so that it is stored while others are multiplied; the last
/// product's is stored by [`store_sums`]. `ahead` is called with the number of each step.
///
/// # Safety
/// Between `begin` and `end`; all of A, B, `from` and `before` is there.
#[inline(always)]
pub(crate) unsafe fn multiply_blocks<T: Tiles>(
    [a, below]: [*const u8; 2],
    b: *const u8,
    steps: usize,
    from: Option<Output>,
    before: Option<Output>,
    ahead: impl Fn(usize),
) {
    // SAFETY: the caller's.
    unsafe {
        T::load_once::<4>(b, LINE);
        T::load::<6>(a, LINE);
        // B comes from further away: its tiles have the time of two products to come, those of A that of one.
        let multiply = |step: usize, is_first: bool| {
            let is_last = step + 1 == steps;
            T::load::<7>(below.add(step * TILE), LINE);
            if is_first {
                replace::<T, 0>(before, from);
            }
            T::multiply::<0, 6, 4>();
            T::load_once::<5>(b.add((2 * step + 1) * TILE), LINE);
            if is_first {
                replace::<T, 2>(before, from);
            }
            T::multiply::<2, 7, 4>();
            if !is_last {
                T::load_once::<4>(b.add((2 * step + 2) * TILE), LINE);
            }
            if is_first {
                replace::<T, 1>(before, from);
            }
            T::multiply::<1, 6, 5>();
            if !is_last {
                T::load::<6>(a.add((step + 1) * TILE), LINE);
            }
            if is_first {
                replace::<T, 3>(before, from);
            }
            T::multiply::<3, 7, 5>();
            ahead(step);
        };
        multiply(0, true);
        for step in 1..steps {
            multiply(step, false);
        }
    }
}

/// Stores what [`multiply_blocks`] left in tiles.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn store_sums<T: Tiles>(to: Output) {
    // SAFETY: the caller's.
    unsafe {
        store_quarter::<T, 0>(to);
        store_quarter::<T, 1>(to);
        store_quarter::<T, 2>(to);
        store_quarter::<T, 3>(to);
    }
}

/// A quarter of sums goes where it belongs, another one, or zeros, comes to its tile.
#[inline(always)]
unsafe fn replace<T: Tiles, const C: usize>(before: Option<Output>, from: Option<Output>) {
    // SAFETY: the caller's.
    unsafe {
        if let Some(to) = before {
            store_quarter::<T, C>(to);
        }
        match from {
            Some(from) => T::load::<C>(quarter(from, C), from.stride * size_of::<f32>()),
            None => T::zero::<C>(),
        }
    }
}

#[inline(always)]
unsafe fn store_quarter<T: Tiles, const C: usize>(to: Output) {
    // SAFETY: the caller's.
    unsafe { T::store::<C>(quarter(to, C), to.stride * size_of::<f32>()) };
}

/// Where the quarter of sums begins that is kept in tile `number`.
#[inline(always)]
fn quarter(of: Output, number: usize) -> *mut u8 {
    of.at(number / 2 * ROWS, number % 2 * ROWS).start.cast()
}

/// Whether this machine has AMX, lets this process use it, and computes as [`Soft`] does.
pub fn is_available() -> bool {
    state() == State::Works
}

/// Why AMX that is there is not used.
pub fn refusal() -> Option<&'static str> {
    match state() {
        State::Works | State::Absent => None,
        State::Refused => Some("the system does not let this process use it"),
        State::Differs => Some("its products are not what they should be"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
enum State {
    Absent,
    Refused,
    Differs,
    Works,
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn state() -> State {
    State::Absent
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use Soft as Machine;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use hardware::Machine;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use hardware::state;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod hardware {
    use super::{ROWS, State, Tiles, sample};
    use std::{
        arch::{asm, x86_64::__cpuid_count},
        sync::OnceLock,
    };

    pub(super) fn state() -> State {
        static STATE: OnceLock<State> = OnceLock::new();
        *STATE.get_or_init(|| {
            if !is_there() {
                State::Absent
            } else if !is_allowed() {
                State::Refused
            // SAFETY: both were just found.
            } else if unsafe { sample::<Machine>() } != unsafe { sample::<super::Soft>() } {
                State::Differs
            } else {
                State::Works
            }
        })
    }

    /// CPUID: tiles and products of bf16 and of bytes, with the processor's states under the system's care (Intel's
    /// manual, volume 1, 18.2), and VBMI, which kernels for AMX take for granted.
    fn is_there() -> bool {
        let (leaves, seven) = (__cpuid_count(0, 0).eax, __cpuid_count(7, 0).edx);
        let saved = __cpuid_count(1, 0).ecx & 1 << 27 != 0;
        const NEEDED: u32 = 1 << 22 | 1 << 24 | 1 << 25;
        let tiles = leaves >= 7 && saved && seven & NEEDED == NEEDED && kept_states() >> 17 & 3 == 3;
        tiles && is_x86_feature_detected!("avx512vbmi")
    }

    /// The states that the system keeps for each thread: XCR0.
    fn kept_states() -> u32 {
        let states: u32;
        // SAFETY: only called where CPUID says that the register is there, and changes nothing.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") states, out("edx") _, options(nomem, nostack, preserves_flags));
        }
        states
    }

    /// Asks Linux, for all threads: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
    fn is_allowed() -> bool {
        let mut result = 158_i64;
        // SAFETY: the call takes two numbers and no memory.
        unsafe {
            asm!("syscall", inout("rax") result, in("rdi") 0x1023, in("rsi") 18_u64, out("rcx") _, out("r11") _, options(nostack));
        }
        result == 0
    }

    /// The processor's own.
    pub(crate) struct Machine;

    /// What the tiles are: the first palette, and of each tile the bytes of its rows and how many they are.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    static ALL: Configuration = {
        let mut all = Configuration { palette: 1, start: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        let mut tile = 0;
        while tile < 8 {
            (all.row_bytes[tile], all.rows[tile]) = (super::LINE as u16, ROWS as u8);
            tile += 1;
        }
        all
    };

    // The compiler knows nothing of tiles, and uses none by itself.
    impl Tiles for Machine {
        #[inline(always)]
        unsafe fn begin() {
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const ALL, options(nostack, readonly, preserves_flags)) };
        }

        #[inline(always)]
        unsafe fn end() {
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }

        #[inline(always)]
        unsafe fn zero<const T: usize>() {
            unsafe { asm!("tilezero tmm{tile}", tile = const T, options(nostack, nomem, preserves_flags)) };
        }

        #[inline(always)]
        unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
            unsafe {
                asm!("tileloadd tmm{tile}, [{from} + {stride}]", tile = const T, from = in(reg) from,
                    stride = in(reg) stride, options(nostack, readonly, preserves_flags));
            }
        }

        #[inline(always)]
        unsafe fn load_once<const T: usize>(from: *const u8, stride: usize) {
            unsafe {
                asm!("tileloaddt1 tmm{tile}, [{from} + {stride}]", tile = const T, from = in(reg) from,
                    stride = in(reg) stride, options(nostack, readonly, preserves_flags));
            }
        }

        #[inline(always)]
        unsafe fn store<const T: usize>(to: *mut u8, stride: usize) {
            unsafe {
                asm!("tilestored [{to} + {stride}], tmm{tile}", tile = const T, to = in(reg) to,
                    stride = in(reg) stride, options(nostack, preserves_flags));
            }
        }

        #[inline(always)]
        unsafe fn multiply<const C: usize, const A: usize, const B: usize>() {
            unsafe {
                asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                    options(nostack, nomem, preserves_flags));
            }
        }

        #[inline(always)]
        unsafe fn multiply_bytes<const C: usize, const A: usize, const B: usize, const SIGNED: bool>() {
            unsafe {
                if SIGNED {
                    asm!("tdpbssd tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                        options(nostack, nomem, preserves_flags));
                } else {
                    asm!("tdpbsud tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                        options(nostack, nomem, preserves_flags));
                }
            }
        }
    }
}

/// What a product of small integers gives, each sum of which every order of adding gives exactly.
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
unsafe fn sample<T: Tiles>() -> Vec<f32> {
    const STEPS: usize = 3;
    let numbers = |len: usize, by: usize| -> Vec<bf16> {
        (0..len).map(|i| bf16::from_f32((i * by % 23) as f32 - 11.0)).collect()
    };
    let (a, b) = (numbers(2 * STEPS * ROWS * DEPTH, 7), numbers(2 * STEPS * ROWS * DEPTH, 5));
    let mut c = vec![1.0; 32 * 40];
    let mut of_bytes = [0i32; 2 * TILE / 4];
    let (first, b) = (a.as_ptr().cast::<u8>(), b.as_ptr().cast::<u8>());
    let (mut half, sums) = ([0.5; 32], Output { start: c.as_mut_ptr(), stride: 40 });
    // SAFETY: A is two rows of three tiles, B three pairs, C 32 rows of 40 of which 32 are used; the caller has tiles.
    unsafe {
        let a = [first, first.add(STEPS * TILE)];
        T::begin();
        multiply_blocks::<T>(a, b, STEPS, Some(Output { start: half.as_mut_ptr(), stride: 0 }), None, |_| ());
        multiply_blocks::<T>(a, b, 1, Some(sums), Some(sums), |_| ());
        store_sums::<T>(sums);
        // The same bytes as numbers of eight bits, and their sums as whole numbers.
        for tile in 0..2 {
            T::zero::<0>();
            T::load::<1>(first.add(tile * TILE), LINE);
            T::load::<2>(b.add(tile * TILE), LINE);
            if tile == 0 {
                T::multiply_bytes::<0, 1, 2, true>();
            } else {
                T::multiply_bytes::<0, 1, 2, false>();
            }
            T::store::<0>(of_bytes.as_mut_ptr().add(tile * TILE / 4).cast(), LINE);
        }
        T::end();
    }
    c.extend(of_bytes.map(|sum| sum as f32));
    c
}

/// The same in plain code, as Intel's manual describes the instructions (volume 2: TDPBF16PS, TDPBSSD, TDPBSUD, TILELOADD,
/// TILESTORED), but for sums of bf16, which are added in another order, and numbers below the smallest normal one.
pub(crate) struct Soft;

thread_local! {
    /// None outside of `begin` and `end`.
    static SOFT: RefCell<Option<[[u8; TILE]; 8]>> = const { RefCell::new(None) };
}

impl Soft {
    fn with<R>(each: impl FnOnce(&mut [[u8; TILE]; 8]) -> R) -> R {
        SOFT.with_borrow_mut(|tiles| each(tiles.as_mut().expect("tiles that were begun")))
    }
}

impl Tiles for Soft {
    unsafe fn begin() {
        // Tiles are zero from the start, which nothing may rely on.
        SOFT.with_borrow_mut(|tiles| assert!(tiles.replace([[0xff; TILE]; 8]).is_none(), "tiles that were not ended"));
    }

    unsafe fn end() {
        SOFT.with_borrow_mut(|tiles| assert!(tiles.take().is_some(), "tiles that were not begun"));
    }

    unsafe fn zero<const T: usize>() {
        Soft::with(|tiles| tiles[T] = [0; TILE]);
    }

    unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
        Soft::with(|tiles| {
            for (row, line) in tiles[T].chunks_exact_mut(LINE).enumerate() {
                // SAFETY: the caller's.
                line.copy_from_slice(unsafe { std::slice::from_raw_parts(from.add(row * stride), LINE) });
            }
        });
    }

    unsafe fn store<const T: usize>(to: *mut u8, stride: usize) {
        Soft::with(|tiles| {
            for (row, line) in tiles[T].chunks_exact(LINE).enumerate() {
                // SAFETY: the caller's.
                unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), to.add(row * stride), LINE) };
            }
        });
    }

    unsafe fn multiply<const C: usize, const A: usize, const B: usize>() {
        let half = |tile: &[u8; TILE], row: usize, at: usize| {
            let at = row * LINE + 2 * at;
            bf16::from_le_bytes([tile[at], tile[at + 1]]).to_f32()
        };
        Soft::with(|tiles| {
            let (a, b) = (tiles[A], tiles[B]);
            let places = (0..ROWS).flat_map(|row| (0..ROWS).map(move |column| (row, column)));
            for ((row, column), sum) in places.zip(tiles[C].as_chunks_mut::<4>().0) {
                let products = (0..DEPTH).map(|k| half(&a, row, k) * half(&b, k / 2, 2 * column + k % 2));
                *sum = (f32::from_le_bytes(*sum) + products.sum::<f32>()).to_le_bytes();
            }
        });
    }

    unsafe fn multiply_bytes<const C: usize, const A: usize, const B: usize, const SIGNED: bool>() {
        let signed = |byte: u8| i32::from(byte as i8);
        let other = |byte: u8| if SIGNED { signed(byte) } else { i32::from(byte) };
        Soft::with(|tiles| {
            let (a, b) = (tiles[A], tiles[B]);
            let places = (0..ROWS).flat_map(|row| (0..ROWS).map(move |column| (row, column)));
            for ((row, column), sum) in places.zip(tiles[C].as_chunks_mut::<4>().0) {
                let product = |k: usize| signed(a[row * LINE + k]) * other(b[k / 4 * LINE + 4 * column + k % 4]);
                *sum = (i32::from_le_bytes(*sum) + (0..LINE).map(product).sum::<i32>()).to_le_bytes();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_tiles_is_that_of_their_matrices() {
        const STEPS: usize = 3;
        // SAFETY: plain code.
        let got = unsafe { sample::<Soft>() };
        let number = |i: usize, by: usize| (i * by % 23) as f32 - 11.0;
        // A: two rows of tiles; B: pairs of tiles side by side, two of its rows in each of theirs.
        let a = |row: usize, k: usize| {
            number(((row / ROWS * STEPS + k / DEPTH) * ROWS + row % ROWS) * DEPTH + k % DEPTH, 7)
        };
        let b = |k: usize, column: usize| {
            let tile = k / DEPTH * 2 + column / ROWS;
            number((tile * ROWS + k % DEPTH / 2) * DEPTH + column % ROWS * 2 + k % 2, 5)
        };
        for row in 0..32 {
            for column in 0..32 {
                let sum = |depth: usize| (0..depth).map(|k| a(row, k) * b(k, column)).sum::<f32>();
                assert_eq!(got[row * 40 + column], 0.5 + sum(STEPS * DEPTH) + sum(DEPTH), "{row}, {column}");
            }
            assert_eq!(got[row * 40 + 32..row * 40 + 40], [1.0; 8], "what is beside is left alone");
        }
    }
}
