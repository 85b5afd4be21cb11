//! Keys and values of one sequence in one layer, in blocks of [`BLOCK`] tokens.

use super::{
    BLOCK, SINKS,
    rounded::{MOST_DIM, Order, Rounded, sinks_of},
};
use crate::{
    Isa, pool,
    simd::{MOST_LANES, Simd, kernel, side_by_side},
};
use half::f16;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    /// Full blocks as signed bytes, each around its own mean. The first 16 keys, which every query looks at most, and the
    /// block that is being filled are in f32. So are all blocks of heads of more than 256 elements.
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

    /// Puts a token's keys and values where they are in a block.
    fn put(&mut self, layout: Layout, slot: usize, k: &[f32], v: &[f32]) {
        match self {
            // Keys past f16's range would become infinite; they are kept at its end instead.
            Values::F16(block) => layout.put(block, slot, k, v, |x| f16::from_f32(x.clamp(-65504.0, 65504.0))),
            Values::F32(block) => layout.put(block, slot, k, v, |x| x),
        }
    }

    /// All of them, where they are kept in f32.
    fn in_f32(&self) -> &[f32] {
        match self {
            Values::F16(_) => unreachable!("what is rounded is never kept in f16"),
            Values::F32(values) => values,
        }
    }

    /// Elements from `at` on, `len` of them, a multiple of 16: where they lie, or widened in `room`.
    #[inline(always)]
    pub(super) unsafe fn widened<'a, S: Simd>(&'a self, at: usize, len: usize, room: &'a mut Vec<f32>) -> &'a [f32] {
        debug_assert!(len.is_multiple_of(16));
        match self {
            Values::F16(values) => {
                let values = &values[at..at + len];
                room.resize(len, 0.0);
                for i in (0..len).step_by(S::LANES) {
                    // SAFETY: LANES divides 16, and both are as long.
                    unsafe { S::store(room.as_mut_ptr().add(i), S::load_f16(values.as_ptr().add(i))) };
                }
                room
            }
            Values::F32(values) => &values[at..at + len],
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Block {
    /// For each key head its keys (head_dim, BLOCK), then for each its values (BLOCK, padded head_dim).
    Exact(Values),
    Rounded(Rounded),
    /// The first one where blocks are rounded: its first keys in f32, as [`sinks_of`] gives them, and rounded, of which the
    /// others are looked at.
    First(Vec<f32>, Rounded),
}

/// Keys and values of one sequence in one layer.
#[derive(Debug, Clone)]
pub struct KvBlocks {
    kind: KvType,
    pub(super) layout: Layout,
    pub(super) len: usize,
    pub(super) blocks: Vec<Block>,
    /// Of all blocks that are rounded: that of the instruction set which the first was rounded with.
    pub(super) order: Order,
}

/// Where things are in a block that is not rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
}

/// Rows of values are padded to this many elements.
const PAD: usize = 16;

impl Layout {
    pub(super) fn value_dim(self) -> usize {
        self.head_dim.next_multiple_of(PAD)
    }

    pub(super) fn keys_at(self, kv_head: usize) -> usize {
        kv_head * self.head_dim * BLOCK
    }

    pub(super) fn values_at(self, kv_head: usize) -> usize {
        self.kv_heads * self.head_dim * BLOCK + kv_head * BLOCK * self.value_dim()
    }

    fn block_len(self) -> usize {
        self.kv_heads * BLOCK * (self.head_dim + self.value_dim())
    }

    /// Elements of a token's keys or values.
    fn row(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Puts a token's keys and values, as they are kept, where they are in a block.
    fn put<T>(self, block: &mut [T], slot: usize, k: &[f32], v: &[f32], kept: impl Fn(f32) -> T) {
        let heads = k.chunks_exact(self.head_dim).zip(v.chunks_exact(self.head_dim));
        for (head, (k, v)) in heads.enumerate() {
            let keys = block[self.keys_at(head) + slot..].iter_mut().step_by(BLOCK);
            keys.zip(k).for_each(|(place, x)| *place = kept(*x));
            let values = &mut block[self.values_at(head) + slot * self.value_dim()..];
            values.iter_mut().zip(v).for_each(|(place, x)| *place = kept(*x));
        }
    }

    /// Each head's keys and values of a block in f32.
    fn heads(self, block: &[f32]) -> impl Iterator<Item = (&[f32], &[f32])> {
        (0..self.kv_heads).map(move |head| {
            let keys = &block[self.keys_at(head)..][..self.head_dim * BLOCK];
            (keys, &block[self.values_at(head)..][..BLOCK * self.value_dim()])
        })
    }
}

kernel! {
    fn round_block = round_block_body(layout: Layout, first: usize, order: Order, block: &[f32]) -> Rounded
}

#[inline(always)]
unsafe fn round_block_body<S: Simd>(layout: Layout, first: usize, order: Order, block: &[f32]) -> Rounded {
    // SAFETY: the instruction set is the caller's.
    unsafe { Rounded::new::<S>(layout.head_dim, first, order, layout.heads(block)) }
}

kernel! {
    /// As [`Layout::put`], of all of a block's tokens.
    fn fill_block = fill_block_body(layout: Layout, keys: &[f32], values: &[f32], block: &mut [f32])
}

#[inline(always)]
unsafe fn fill_block_body<S: Simd>(layout: Layout, keys: &[f32], values: &[f32], block: &mut [f32]) {
    let (row, head_dim) = (layout.row(), layout.head_dim);
    assert!(keys.len() == BLOCK * row && block.len() == layout.block_len(), "a block's tokens");
    for head in 0..layout.kv_heads {
        let to = &mut block[layout.keys_at(head)..][..head_dim * BLOCK];
        for first in (0..BLOCK).step_by(S::LANES) {
            let mut tokens = [&keys[..0]; MOST_LANES];
            for (i, token) in tokens.iter_mut().enumerate().take(S::LANES) {
                *token = &keys[(first + i) * row + head * head_dim..][..head_dim];
            }
            // SAFETY: the instruction set is the caller's.
            unsafe { side_by_side::<S>(&tokens, 1.0, &mut to[first..], BLOCK) };
        }
        let to = block[layout.values_at(head)..].chunks_exact_mut(layout.value_dim());
        for (to, values) in to.zip(values.chunks_exact(row)) {
            to[..head_dim].copy_from_slice(&values[head * head_dim..][..head_dim]);
        }
    }
}

impl KvBlocks {
    pub fn new(kind: KvType, kv_heads: usize, head_dim: usize) -> Self {
        let layout = Layout { kv_heads, head_dim };
        KvBlocks { kind, layout, len: 0, blocks: Vec::new(), order: Order::Strips }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether full blocks are kept as bytes.
    fn rounds(&self) -> bool {
        self.kind == KvType::I8 && self.layout.head_dim <= MOST_DIM
    }

    /// Bytes that `tokens` tokens take.
    pub fn bytes_for(kind: KvType, kv_heads: usize, head_dim: usize, tokens: usize) -> usize {
        let blocks = tokens.div_ceil(BLOCK);
        let elements = Layout { kv_heads, head_dim }.block_len();
        match kind {
            KvType::F16 => blocks * elements * 2,
            // The last and the first keys are kept in f32, all blocks but the last rounded.
            KvType::I8 if head_dim <= MOST_DIM => {
                let in_f32 = if blocks > 1 { elements + elements / BLOCK * SINKS } else { blocks * elements };
                in_f32 * 4 + blocks.saturating_sub(1) * kv_heads * Rounded::head_bytes(head_dim)
            }
            KvType::I8 | KvType::F32 => blocks * elements * 4,
        }
    }

    /// Adds tokens: `keys` and `values` are (tokens, kv_heads, head_dim), keys already rotated.
    pub fn append(&mut self, isa: Isa, keys: &[f32], values: &[f32]) {
        let row = self.layout.row();
        assert_eq!(keys.len(), values.len(), "as many keys as values");
        assert!(keys.len().is_multiple_of(row), "whole tokens");
        if self.len < BLOCK {
            self.order = Order::of(isa, self.layout.head_dim);
        }
        self.append_in_order(isa, keys, values);
    }

    /// As [`KvBlocks::append`], of whole tokens; codes are kept in the order that is set.
    pub(super) fn append_in_order(&mut self, isa: Isa, keys: &[f32], values: &[f32]) {
        let row = self.layout.row();
        // Token by token up to the end of a block that is rounded, then such blocks whole, side by side, then what is left.
        let tokens = keys.len() / row;
        let single = match self.rounds() {
            true => (self.len.next_multiple_of(BLOCK).max(BLOCK) - self.len).min(tokens),
            false => tokens,
        };
        let whole = (tokens - single) / BLOCK * BLOCK;
        self.append_tokens(isa, &keys[..single * row], &values[..single * row]);
        let blocks = single * row..(single + whole) * row;
        self.append_blocks(isa, &keys[blocks.clone()], &values[blocks]);
        self.append_tokens(isa, &keys[(single + whole) * row..], &values[(single + whole) * row..]);
    }

    fn append_tokens(&mut self, isa: Isa, keys: &[f32], values: &[f32]) {
        let row = self.layout.row();
        for (k, v) in keys.chunks_exact(row).zip(values.chunks_exact(row)) {
            let (slot, number) = (self.len % BLOCK, self.len / BLOCK);
            if number == self.blocks.len() {
                self.blocks.push(Block::Exact(Values::zeros(self.kind, self.layout.block_len())));
            }
            let Block::Exact(block) = &mut self.blocks[number] else { unreachable!("only full blocks are rounded") };
            block.put(self.layout, slot, k, v);
            self.len += 1;
            if self.rounds() && self.len.is_multiple_of(BLOCK) {
                self.round_last(isa);
            }
        }
    }

    /// Whole blocks, of which none is the first.
    fn append_blocks(&mut self, isa: Isa, keys: &[f32], values: &[f32]) {
        let (layout, order) = (self.layout, self.order);
        let size = BLOCK * layout.row();
        let count = keys.len() / size;
        let mut blocks: Vec<Option<Rounded>> = (0..count).map(|_| None).collect();
        pool::chunks_mut(&mut blocks, 1, |number, place| {
            let part = number * size..(number + 1) * size;
            let mut block = vec![0f32; layout.block_len()];
            fill_block(isa, layout, &keys[part.clone()], &values[part], &mut block);
            place[0] = Some(round_block(isa, layout, 0, order, &block));
        });
        self.len += count * BLOCK;
        self.blocks.extend(blocks.into_iter().flatten().map(Block::Rounded));
    }

    fn round_last(&mut self, isa: Isa) {
        let Some(Block::Exact(exact)) = self.blocks.pop() else { unreachable!("a block that was filled is exact") };
        let first = if self.blocks.is_empty() { SINKS } else { 0 };
        let exact = exact.in_f32();
        let rounded = round_block(isa, self.layout, first, self.order, exact);
        let sinks = (first > 0).then(|| sinks_of(self.layout.heads(exact)));
        self.blocks.push(match sinks {
            Some(sinks) => Block::First(sinks, rounded),
            None => Block::Rounded(rounded),
        });
    }

    /// Keeps the first `len` tokens, or fewer: a block of bytes is kept whole or not at all, since what stood at its beginning
    /// was read with what followed in it. Returns how many are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            let cut = matches!(self.blocks.get(len / BLOCK), Some(Block::Rounded(_) | Block::First(..)));
            self.len = if cut { len / BLOCK * BLOCK } else { len };
            self.blocks.truncate(self.len.div_ceil(BLOCK));
        }
        self.len
    }
}
