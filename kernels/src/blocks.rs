//! GGUF's tensor types: how many bytes a block of weights takes, and how it becomes f32.
//!
//! Layouts as the GGUF format defines them; little-endian. A row of a tensor is a whole number of blocks.

use crate::simd::{Simd, kernel};
use half::{bf16, f16, slice::HalfFloatSliceExt};

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

    /// Bytes of `count` elements, a multiple of [`Self::elements`].
    pub fn size_of(self, count: usize) -> usize {
        count / self.elements() * self.bytes()
    }
}

kernel! {
    /// Writes the elements of `bytes`, whole blocks of `kind`, to `out`. Panics where the lengths do not agree.
    pub fn dequantize = dequantize_body(kind: BlockType, bytes: &[u8], out: &mut [f32])
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
        BlockType::F16 => widen_f16(bytes, out),
        BlockType::BF16 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        BlockType::Q4_0 => each::<18, 32>(bytes, out, q4_0),
        BlockType::Q4_1 => each::<20, 32>(bytes, out, q4_1),
        BlockType::Q5_0 => each::<22, 32>(bytes, out, q5_0),
        BlockType::Q5_1 => each::<24, 32>(bytes, out, q5_1),
        BlockType::Q8_0 => each::<34, 32>(bytes, out, q8_0),
        BlockType::Q2K => each::<84, 256>(bytes, out, q2_k),
        BlockType::Q3K => each::<110, 256>(bytes, out, q3_k),
        BlockType::Q4K => each::<144, 256>(bytes, out, q4_k),
        BlockType::Q5K => each::<176, 256>(bytes, out, q5_k),
        BlockType::Q6K => each::<210, 256>(bytes, out, q6_k),
    }
}

#[inline(always)]
fn each<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    for (bytes, out) in bytes.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<ELEMENTS>().0) {
        block(bytes, out);
    }
}

fn widen_f16(bytes: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; 64];
    for (bytes, out) in bytes.chunks(128).zip(out.chunks_mut(64)) {
        let halves = &mut halves[..out.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(out);
    }
}

/// The f16 at `at`.
#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("block layouts are fixed")
}

#[inline(always)]
fn q4_0(bytes: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(bytes, 0);
    for (i, q) in array::<16>(bytes, 2).iter().enumerate() {
        out[i] = (i32::from(q & 15) - 8) as f32 * d;
        out[i + 16] = (i32::from(q >> 4) - 8) as f32 * d;
    }
}

#[inline(always)]
fn q4_1(bytes: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half(bytes, 0), half(bytes, 2));
    for (i, q) in array::<16>(bytes, 4).iter().enumerate() {
        out[i] = f32::from(q & 15) * d + m;
        out[i + 16] = f32::from(q >> 4) * d + m;
    }
}

#[inline(always)]
fn q5_0(bytes: &[u8; 22], out: &mut [f32; 32]) {
    let d = half(bytes, 0);
    let high = u32::from_le_bytes(*array(bytes, 2));
    for (i, q) in array::<16>(bytes, 6).iter().enumerate() {
        let (low_bit, high_bit) = ((high >> i) & 1, (high >> (i + 16)) & 1);
        out[i] = ((u32::from(q & 15) | (low_bit << 4)) as i32 - 16) as f32 * d;
        out[i + 16] = ((u32::from(q >> 4) | (high_bit << 4)) as i32 - 16) as f32 * d;
    }
}

#[inline(always)]
fn q5_1(bytes: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half(bytes, 0), half(bytes, 2));
    let high = u32::from_le_bytes(*array(bytes, 4));
    for (i, q) in array::<16>(bytes, 8).iter().enumerate() {
        let (low_bit, high_bit) = ((high >> i) & 1, (high >> (i + 16)) & 1);
        out[i] = (u32::from(q & 15) | (low_bit << 4)) as f32 * d + m;
        out[i + 16] = (u32::from(q >> 4) | (high_bit << 4)) as f32 * d + m;
    }
}

#[inline(always)]
fn q8_0(bytes: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(bytes, 0);
    for (out, &q) in out.iter_mut().zip(array::<32>(bytes, 2)) {
        *out = f32::from(q as i8) * d;
    }
}

#[inline(always)]
fn q2_k(bytes: &[u8; 84], out: &mut [f32; 256]) {
    let scales = array::<16>(bytes, 0);
    let quants = array::<64>(bytes, 16);
    let (d, dmin) = (half(bytes, 80), half(bytes, 82));
    for group in 0..16 {
        // Groups of 16: two of them share 32 bytes, four pairs of bits each.
        let (pass, shift, upper) = (group / 8, 2 * (group % 8 / 2), group % 2);
        let scale = d * f32::from(scales[group] & 15);
        let min = dmin * f32::from(scales[group] >> 4);
        let q = array::<16>(quants, 32 * pass + 16 * upper);
        for i in 0..16 {
            out[16 * group + i] = scale * f32::from((q[i] >> shift) & 3) - min;
        }
    }
}

#[inline(always)]
fn q3_k(bytes: &[u8; 110], out: &mut [f32; 256]) {
    let high = array::<32>(bytes, 0);
    let quants = array::<64>(bytes, 32);
    let packed = array::<12>(bytes, 96);
    let d = half(bytes, 108);
    for group in 0..16 {
        let low = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
        let scale = low | (((packed[8 + group % 4] >> (2 * (group / 4))) & 3) << 4);
        let scale = d * (i32::from(scale) - 32) as f32;
        let (pass, pair, upper) = (group / 8, group % 8 / 2, group % 2);
        let q = array::<16>(quants, 32 * pass + 16 * upper);
        let h = array::<16>(high, 16 * upper);
        for i in 0..16 {
            let bit = (h[i] >> (4 * pass + pair)) & 1;
            out[16 * group + i] = scale * (i32::from((q[i] >> (2 * pair)) & 3) - 4 * (1 - i32::from(bit))) as f32;
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

#[inline(always)]
fn q4_k(bytes: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half(bytes, 0), half(bytes, 2));
    let scales = array::<12>(bytes, 4);
    for pair in 0..4 {
        let q = array::<32>(bytes, 16 + 32 * pair);
        let (scale, min) = scale_and_min(scales, 2 * pair);
        let (low_scale, low_min) = (d * scale, dmin * min);
        let (scale, min) = scale_and_min(scales, 2 * pair + 1);
        let (high_scale, high_min) = (d * scale, dmin * min);
        let out: &mut [f32; 64] = out[64 * pair..].first_chunk_mut().expect("256 = 4 · 64");
        for i in 0..32 {
            out[i] = low_scale * f32::from(q[i] & 15) - low_min;
            out[i + 32] = high_scale * f32::from(q[i] >> 4) - high_min;
        }
    }
}

#[inline(always)]
fn q5_k(bytes: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half(bytes, 0), half(bytes, 2));
    let scales = array::<12>(bytes, 4);
    let high = array::<32>(bytes, 16);
    for pair in 0..4 {
        let q = array::<32>(bytes, 48 + 32 * pair);
        let (scale, min) = scale_and_min(scales, 2 * pair);
        let (low_scale, low_min) = (d * scale, dmin * min);
        let (scale, min) = scale_and_min(scales, 2 * pair + 1);
        let (high_scale, high_min) = (d * scale, dmin * min);
        let out: &mut [f32; 64] = out[64 * pair..].first_chunk_mut().expect("256 = 4 · 64");
        for i in 0..32 {
            let (low_bit, high_bit) = ((high[i] >> (2 * pair)) & 1, (high[i] >> (2 * pair + 1)) & 1);
            out[i] = low_scale * f32::from((q[i] & 15) | (low_bit << 4)) - low_min;
            out[i + 32] = high_scale * f32::from((q[i] >> 4) | (high_bit << 4)) - high_min;
        }
    }
}

#[inline(always)]
fn q6_k(bytes: &[u8; 210], out: &mut [f32; 256]) {
    let scales = array::<16>(bytes, 192);
    let d = half(bytes, 208);
    for pass in 0..2 {
        let low = array::<64>(bytes, 64 * pass);
        let high = array::<32>(bytes, 128 + 32 * pass);
        let out: &mut [f32; 128] = out[128 * pass..].first_chunk_mut().expect("256 = 2 · 128");
        for quarter in 0..4 {
            for half in 0..2 {
                let scale = d * f32::from(scales[8 * pass + 2 * quarter + half] as i8);
                let l = array::<16>(low, 32 * (quarter % 2) + 16 * half);
                let h = array::<16>(high, 16 * half);
                for i in 0..16 {
                    let nibble = (l[i] >> (4 * (quarter / 2))) & 15;
                    let q = nibble | (((h[i] >> (2 * quarter)) & 3) << 4);
                    out[32 * quarter + 16 * half + i] = scale * (i32::from(q) - 32) as f32;
                }
            }
        }
    }
}
