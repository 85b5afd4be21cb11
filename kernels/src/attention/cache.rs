//! Keys and values of one sequence in one layer, in blocks of [`BLOCK`] tokens.

use super::{BLOCK, rounded::Rounded};
use crate::simd::Simd;
use half::f16;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    /// Full blocks as signed bytes, each around its own mean; the first block, which every query looks at most, and the one
    /// that is being filled in f32.
    I8,
    F16,
    F32,
}

/// Elements as they are kept where they are not rounded to bytes.
#[derive(Debug, Clone)]
pub(super) enum Values {
    F16(Vec<f16>),
    F32(Vec<f32>),
}

impl Values {
    fn zeros(kind: KvType, len: usize) -> Values {
        match kind {
            KvType::F16 => Values::F16(vec![f16::ZERO; len]),
            KvType::F32 | KvType::I8 => Values::F32(vec![0.0; len]),
        }
    }

    fn set(&mut self, at: usize, x: f32) {
        match self {
            // Keys past f16's range would become infinite; they are kept at its end instead.
            Values::F16(values) => values[at] = f16::from_f32(x.clamp(-65504.0, 65504.0)),
            Values::F32(values) => values[at] = x,
        }
    }

    /// Elements from `at` on, as many as `out` has, a multiple of 16.
    #[inline(always)]
    pub(super) unsafe fn widen<S: Simd>(&self, at: usize, out: &mut [f32]) {
        debug_assert!(out.len().is_multiple_of(16));
        match self {
            Values::F16(values) => {
                let values = &values[at..at + out.len()];
                for i in (0..out.len()).step_by(S::LANES) {
                    // SAFETY: LANES divides 16, and both slices are as long.
                    unsafe { S::store(out.as_mut_ptr().add(i), S::load_f16(values.as_ptr().add(i))) };
                }
            }
            Values::F32(values) => out.copy_from_slice(&values[at..at + out.len()]),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Block {
    /// For each key head its keys (head_dim, BLOCK), then for each its values (BLOCK, padded head_dim).
    Exact(Values),
    Rounded(Rounded),
}

/// Keys and values of one sequence in one layer.
#[derive(Debug, Clone)]
pub struct KvBlocks {
    kind: KvType,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) len: usize,
    pub(super) blocks: Vec<Block>,
}

/// Rows of values are padded to this many elements.
const PAD: usize = 16;

impl KvBlocks {
    pub fn new(kind: KvType, kv_heads: usize, head_dim: usize) -> Self {
        KvBlocks { kind, kv_heads, head_dim, len: 0, blocks: Vec::new() }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn value_dim(&self) -> usize {
        self.head_dim.next_multiple_of(PAD)
    }

    pub(super) fn keys_at(&self, kv_head: usize) -> usize {
        kv_head * self.head_dim * BLOCK
    }

    pub(super) fn values_at(&self, kv_head: usize) -> usize {
        self.kv_heads * self.head_dim * BLOCK + kv_head * BLOCK * self.value_dim()
    }

    fn block_len(&self) -> usize {
        self.kv_heads * BLOCK * (self.head_dim + self.value_dim())
    }

    /// Bytes that `tokens` tokens take.
    pub fn bytes_for(kind: KvType, kv_heads: usize, head_dim: usize, tokens: usize) -> usize {
        let blocks = tokens.div_ceil(BLOCK);
        let elements = KvBlocks::new(kind, kv_heads, head_dim).block_len();
        match kind {
            KvType::F32 => blocks * elements * 4,
            KvType::F16 => blocks * elements * 2,
            // The first and the last are exact.
            KvType::I8 => {
                blocks.min(2) * elements * 4 + blocks.saturating_sub(2) * kv_heads * Rounded::head_bytes(head_dim)
            }
        }
    }

    /// Adds tokens: `keys` and `values` are (tokens, kv_heads, head_dim), keys already rotated.
    pub fn append(&mut self, keys: &[f32], values: &[f32]) {
        let row = self.kv_heads * self.head_dim;
        assert_eq!(keys.len(), values.len(), "as many keys as values");
        assert!(keys.len().is_multiple_of(row), "whole tokens");
        for (k, v) in keys.chunks_exact(row).zip(values.chunks_exact(row)) {
            self.append_token(k, v);
            if self.kind == KvType::I8 && self.len.is_multiple_of(BLOCK) && self.len > BLOCK {
                self.round_last();
            }
        }
    }

    fn append_token(&mut self, k: &[f32], v: &[f32]) {
        let (head_dim, value_dim) = (self.head_dim, self.value_dim());
        let (slot, number) = (self.len % BLOCK, self.len / BLOCK);
        if number == self.blocks.len() {
            self.blocks.push(Block::Exact(Values::zeros(self.kind, self.block_len())));
        }
        let places: Vec<_> = (0..self.kv_heads).map(|head| (self.keys_at(head), self.values_at(head))).collect();
        let Block::Exact(block) = &mut self.blocks[number] else { unreachable!("only full blocks are rounded") };
        for (head, (keys_at, values_at)) in places.into_iter().enumerate() {
            for i in 0..head_dim {
                block.set(keys_at + i * BLOCK + slot, k[head * head_dim + i]);
                block.set(values_at + slot * value_dim + i, v[head * head_dim + i]);
            }
        }
        self.len += 1;
    }

    fn round_last(&mut self) {
        let Some(Block::Exact(Values::F32(exact))) = self.blocks.last() else { return };
        let heads = (0..self.kv_heads).map(|head| {
            (
                &exact[self.keys_at(head)..][..self.head_dim * BLOCK],
                &exact[self.values_at(head)..][..BLOCK * self.value_dim()],
            )
        });
        let rounded = Rounded::new(self.head_dim, heads);
        self.blocks.pop();
        self.blocks.push(Block::Rounded(rounded));
    }

    /// Keeps the first `len` tokens, or fewer: a block of bytes is kept whole or not at all. Returns how many are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            let cut = matches!(self.blocks.get(len / BLOCK), Some(Block::Rounded(_)));
            self.len = if cut { len / BLOCK * BLOCK } else { len };
            self.blocks.truncate(self.len.div_ceil(BLOCK));
        }
        self.len
    }
}
