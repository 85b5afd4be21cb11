//! GGUF's tensor types: how many bytes a block of weights takes, and how it becomes f32.
//!
//! Layouts as the GGUF format defines them; little-endian. A row of a tensor is a whole number of blocks.

use crate::simd::{Simd, kernel};
use half::{bf16, f16};

/// How the elements of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl BlockType {
    pub const ALL: [BlockType; 13] = [
        BlockType::F32,
        BlockType::F16,
        BlockType::BF16,
        BlockType::Q4_0,
        BlockType::Q4_1,
        BlockType::Q5_0,
        BlockType::Q5_1,
        BlockType::Q8_0,
        BlockType::Q2K,
        BlockType::Q3K,
        BlockType::Q4K,
        BlockType::Q5K,
        BlockType::Q6K,
    ];

    /// Elements in a block.
    pub fn elements(self) -> usize {
        match self {
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => 1,
            BlockType::Q4_0 | BlockType::Q4_1 | BlockType::Q5_0 | BlockType::Q5_1 | BlockType::Q8_0 => 32,
            BlockType::Q2K | BlockType::Q3K | BlockType::Q4K | BlockType::Q5K | BlockType::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            BlockType::F32 => 4,
            BlockType::F16 | BlockType::BF16 => 2,
            BlockType::Q4_0 => 18,
            BlockType::Q4_1 => 20,
            BlockType::Q5_0 => 22,
            BlockType::Q5_1 => 24,
            BlockType::Q8_0 => 34,
            BlockType::Q2K => 84,
            BlockType::Q3K => 110,
            BlockType::Q4K => 144,
            BlockType::Q5K => 176,
            BlockType::Q6K => 210,
        }
    }

    /// Bytes of `count` elements, a multiple of [`Self::elements`]. Panics where that is more than memory can address.
    pub fn size_of(self, count: usize) -> usize {
        self.checked_size_of(count).expect("a tensor's size in bytes")
    }

    /// As [`Self::size_of`]; `None` where that is more than memory can address.
    pub fn checked_size_of(self, count: usize) -> Option<usize> {
        (count / self.elements()).checked_mul(self.bytes())
    }
}

kernel! {
    /// Writes the elements of `bytes`, whole blocks of `kind`, to `out`. Panics where the lengths do not agree.
    pub fn dequantize = dequantize_body(kind: BlockType, bytes: &[u8], out: &mut [f32])
}

/// Calls a block's function for every block. A macro, because a function passed as an argument would be compiled on its
/// own, without the caller's instruction set.
macro_rules! each {
    ($isa:ty, $block:ident, $elements:literal, $bytes:ident, $out:ident) => {
        for (bytes, out) in $bytes.as_chunks().0.iter().zip($out.as_chunks_mut::<$elements>().0) {
            unsafe { $block::<$isa, [f32; $elements]>(bytes, out) }
        }
    };
}

#[inline(always)]
unsafe fn dequantize_body<S: Simd>(kind: BlockType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(bytes.len(), kind.size_of(out.len()), "{kind:?}: bytes of {} elements", out.len());
    match kind {
        BlockType::F32 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        BlockType::F16 => unsafe { widen::<S>(bytes, out) },
        BlockType::BF16 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        BlockType::Q4_0 => each!(S, q4_0, 32, bytes, out),
        BlockType::Q4_1 => each!(S, q4_1, 32, bytes, out),
        BlockType::Q5_0 => each!(S, q5_0, 32, bytes, out),
        BlockType::Q5_1 => each!(S, q5_1, 32, bytes, out),
        BlockType::Q8_0 => each!(S, q8_0, 32, bytes, out),
        BlockType::Q2K => each!(S, q2_k, 256, bytes, out),
        BlockType::Q3K => each!(S, q3_k, 256, bytes, out),
        BlockType::Q4K => each!(S, q4_k, 256, bytes, out),
        BlockType::Q5K => each!(S, q5_k, 256, bytes, out),
        BlockType::Q6K => each!(S, q6_k, 256, bytes, out),
    }
}

#[inline(always)]
unsafe fn widen<S: Simd>(bytes: &[u8], out: &mut [f32]) {
    let whole = out.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: at + LANES elements are within both; the loads take any alignment.
        unsafe { S::store(out.as_mut_ptr().add(at), S::load_f16(bytes.as_ptr().add(2 * at).cast())) };
    }
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0).skip(whole) {
        *out = f16::from_le_bytes(*bytes).to_f32();
    }
}

/// Where a block's groups of elements go: element i is `scale · q[i] + offset`.
pub(crate) trait Sink {
    /// Takes the elements from `at` on; as many as `q`, 16 or 32.
    unsafe fn put<S: Simd>(&mut self, at: usize, q: &[i8], scale: f32, offset: f32);
}

impl<const N: usize> Sink for [f32; N] {
    #[inline(always)]
    unsafe fn put<S: Simd>(&mut self, at: usize, q: &[i8], scale: f32, offset: f32) {
        let out = &mut self[at..at + q.len()];
        for at in (0..out.len()).step_by(S::LANES) {
            // SAFETY: LANES divides 16, of which q and out hold a multiple.
            unsafe {
                let x = S::fma(S::load_i8(q.as_ptr().add(at)), S::splat(scale), S::splat(offset));
                S::store(out.as_mut_ptr().add(at), x);
            }
        }
    }
}

/// A block's codes as they lie in the file, and its groups of 16 or 32 elements.
pub(crate) struct Codes {
    pub(crate) q: [i8; 256],
    /// Scale and offset of each group, in order.
    pub(crate) groups: [(f32, f32); 16],
    taken: usize,
}

impl Sink for Codes {
    #[inline(always)]
    unsafe fn put<S: Simd>(&mut self, at: usize, q: &[i8], scale: f32, offset: f32) {
        self.q[at..at + q.len()].copy_from_slice(q);
        self.groups[self.taken] = (scale, offset);
        self.taken += 1;
    }
}

kernel! {
    /// The codes of one block of a quantised kind. Panics on other kinds, and where `bytes` is not a block.
    pub(crate) fn codes = codes_body(kind: BlockType, bytes: &[u8]) -> Codes
}

#[inline(always)]
unsafe fn codes_body<S: Simd>(kind: BlockType, bytes: &[u8]) -> Codes {
    let mut codes = Codes { q: [0; 256], groups: [(0.0, 0.0); 16], taken: 0 };
    let out = &mut codes;
    unsafe {
        match kind {
            BlockType::Q4_0 => q4_0::<S, _>(array(bytes, 0), out),
            BlockType::Q4_1 => q4_1::<S, _>(array(bytes, 0), out),
            BlockType::Q5_0 => q5_0::<S, _>(array(bytes, 0), out),
            BlockType::Q5_1 => q5_1::<S, _>(array(bytes, 0), out),
            BlockType::Q8_0 => q8_0::<S, _>(array(bytes, 0), out),
            BlockType::Q2K => q2_k::<S, _>(array(bytes, 0), out),
            BlockType::Q3K => q3_k::<S, _>(array(bytes, 0), out),
            BlockType::Q4K => q4_k::<S, _>(array(bytes, 0), out),
            BlockType::Q5K => q5_k::<S, _>(array(bytes, 0), out),
            BlockType::Q6K => q6_k::<S, _>(array(bytes, 0), out),
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => panic!("{kind:?} is not quantised"),
        }
    }
    codes
}

/// The f16 at `at`.
#[inline(always)]
unsafe fn half<S: Simd>(bytes: &[u8], at: usize) -> f32 {
    unsafe { S::half(u16::from_le_bytes([bytes[at], bytes[at + 1]])) }
}

#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("block layouts are fixed")
}

#[inline(always)]
fn signed<const N: usize>(q: [u8; N]) -> [i8; N] {
    q.map(|q| q as i8)
}

#[inline(always)]
unsafe fn q4_0<S: Simd, O: Sink>(bytes: &[u8; 18], out: &mut O) {
    unsafe {
        let d = half::<S>(bytes, 0);
        out.put::<S>(0, &signed(S::nibbles(array(bytes, 2))), d, -8.0 * d);
    }
}

#[inline(always)]
unsafe fn q4_1<S: Simd, O: Sink>(bytes: &[u8; 20], out: &mut O) {
    unsafe { out.put::<S>(0, &signed(S::nibbles(array(bytes, 4))), half::<S>(bytes, 0), half::<S>(bytes, 2)) }
}

#[inline(always)]
unsafe fn five_bits<S: Simd>(bytes: &[u8; 16], high: &[u8; 4]) -> [i8; 32] {
    let (low, high) = unsafe { (S::nibbles(bytes), S::fifth_bits(u32::from_le_bytes(*high))) };
    let mut q = [0; 32];
    for i in 0..32 {
        q[i] = (low[i] | high[i]) as i8;
    }
    q
}

#[inline(always)]
unsafe fn q5_0<S: Simd, O: Sink>(bytes: &[u8; 22], out: &mut O) {
    unsafe {
        let d = half::<S>(bytes, 0);
        out.put::<S>(0, &five_bits::<S>(array(bytes, 6), array(bytes, 2)), d, -16.0 * d);
    }
}

#[inline(always)]
unsafe fn q5_1<S: Simd, O: Sink>(bytes: &[u8; 24], out: &mut O) {
    unsafe {
        let q = five_bits::<S>(array(bytes, 8), array(bytes, 4));
        out.put::<S>(0, &q, half::<S>(bytes, 0), half::<S>(bytes, 2));
    }
}

#[inline(always)]
unsafe fn q8_0<S: Simd, O: Sink>(bytes: &[u8; 34], out: &mut O) {
    unsafe { out.put::<S>(0, &signed(*array::<32>(bytes, 2)), half::<S>(bytes, 0), 0.0) }
}

/// Pairs of bits: 4 × 32 from each 32 bytes.
#[inline(always)]
fn bit_pairs(bytes: &[u8; 64]) -> [u8; 256] {
    let mut q = [0; 256];
    for pass in 0..2 {
        for i in 0..32 {
            let byte = bytes[32 * pass + i];
            q[128 * pass + i] = byte & 3;
            q[128 * pass + 32 + i] = (byte >> 2) & 3;
            q[128 * pass + 64 + i] = (byte >> 4) & 3;
            q[128 * pass + 96 + i] = byte >> 6;
        }
    }
    q
}

#[inline(always)]
unsafe fn q2_k<S: Simd, O: Sink>(bytes: &[u8; 84], out: &mut O) {
    let q = signed(bit_pairs(array(bytes, 16)));
    unsafe {
        let (d, dmin) = (half::<S>(bytes, 80), half::<S>(bytes, 82));
        for (group, packed) in array::<16>(bytes, 0).iter().enumerate() {
            let part = 16 * group..16 * (group + 1);
            out.put::<S>(part.start, &q[part], d * f32::from(packed & 15), -dmin * f32::from(packed >> 4));
        }
    }
}

#[inline(always)]
unsafe fn q3_k<S: Simd, O: Sink>(bytes: &[u8; 110], out: &mut O) {
    let (high, packed) = (array::<32>(bytes, 0), array::<12>(bytes, 96));
    let mut q = bit_pairs(array(bytes, 32));
    // Bit k of byte i is the third bit of element 32·k + i.
    for (k, q) in q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for i in 0..32 {
            q[i] |= ((high[i] >> k) & 1) << 2;
        }
    }
    let q = signed(q);
    unsafe {
        let d = half::<S>(bytes, 108);
        for group in 0..16 {
            let low = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
            let factor = low | (((packed[8 + group % 4] >> (2 * (group / 4))) & 3) << 4);
            let factor = d * (i32::from(factor) - 32) as f32;
            let part = 16 * group..16 * (group + 1);
            out.put::<S>(part.start, &q[part], factor, -4.0 * factor);
        }
    }
}

/// Scale and minimum, 6 bits each, of group `i` of 8 (Q4_K, Q5_K).
#[inline(always)]
fn scale_and_min(packed: &[u8; 12], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        ((packed[i + 4] & 15) | ((packed[i - 4] >> 6) << 4), (packed[i + 4] >> 4) | ((packed[i] >> 6) << 4))
    };
    (f32::from(scale), f32::from(min))
}

/// Scales the eight groups of 32 of a Q4_K or Q5_K block.
#[inline(always)]
unsafe fn scale_groups<S: Simd, O: Sink>(q: &[i8; 256], header: &[u8], out: &mut O) {
    unsafe {
        let (d, dmin) = (half::<S>(header, 0), half::<S>(header, 2));
        for group in 0..8 {
            let (factor, min) = scale_and_min(array(header, 4), group);
            let part = 32 * group..32 * (group + 1);
            out.put::<S>(part.start, &q[part], d * factor, -dmin * min);
        }
    }
}

/// Nibbles of four times 32 bytes: the low ones of each 32, then the high ones.
#[inline(always)]
fn wide_nibbles(bytes: &[u8; 128]) -> [u8; 256] {
    let mut q = [0; 256];
    for (bytes, q) in bytes.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<64>().0) {
        for i in 0..32 {
            q[i] = bytes[i] & 15;
            q[i + 32] = bytes[i] >> 4;
        }
    }
    q
}

#[inline(always)]
unsafe fn q4_k<S: Simd, O: Sink>(bytes: &[u8; 144], out: &mut O) {
    unsafe { scale_groups::<S, O>(&signed(wide_nibbles(array(bytes, 16))), bytes, out) }
}

#[inline(always)]
unsafe fn q5_k<S: Simd, O: Sink>(bytes: &[u8; 176], out: &mut O) {
    let high = array::<32>(bytes, 16);
    let mut q = wide_nibbles(array(bytes, 48));
    // Bit k of byte i is the fifth bit of element 32·k + i.
    for (k, q) in q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for i in 0..32 {
            q[i] |= ((high[i] >> k) & 1) << 4;
        }
    }
    unsafe { scale_groups::<S, O>(&signed(q), bytes, out) }
}

#[inline(always)]
unsafe fn q6_k<S: Simd, O: Sink>(bytes: &[u8; 210], out: &mut O) {
    let scales = array::<16>(bytes, 192);
    let mut q = [0i8; 256];
    for (pass, q) in q.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        let (low, high) = (array::<64>(bytes, 64 * pass), array::<32>(bytes, 128 + 32 * pass));
        for i in 0..32 {
            let h = high[i];
            q[i] = ((low[i] & 15) | ((h & 3) << 4)) as i8 - 32;
            q[i + 32] = ((low[i + 32] & 15) | ((h & 12) << 2)) as i8 - 32;
            q[i + 64] = ((low[i] >> 4) | (h & 48)) as i8 - 32;
            q[i + 96] = ((low[i + 32] >> 4) | ((h & 192) >> 2)) as i8 - 32;
        }
    }
    unsafe {
        let d = half::<S>(bytes, 208);
        for (group, &factor) in scales.iter().enumerate() {
            let part = 16 * group..16 * (group + 1);
            out.put::<S>(part.start, &q[part], d * f32::from(factor as i8), 0.0);
        }
    }
}
