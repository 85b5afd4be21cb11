//! Which of a sequence's tokens are kept how, where keys and values are to be kept as bytes: those of its first block, which
//! every query looks at most, and of what came last in 16 bits, all between as bytes.

use super::{
    arguments::{Job, Round},
    plan::BLOCK,
};

/// Where keys and values of one kind lie on the device, and the factors of blocks of bytes. Codes are (kv_heads, capacity,
/// head_dim); what is in 16 bits is (kv_heads, head_dim / line, capacity, line) with lines of [`line_of`] elements, the chunks
/// of 8 elements of which are turned: `tiles::exact_at`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub keys: u64,
    pub values: u64,
    pub factors: u64,
    pub capacity: usize,
}

/// Elements of a head that lie behind each other in 16 bits (`tiles::line_of`).
pub const fn line_of(head_dim: usize) -> usize {
    const LINE: usize = 64;
    if head_dim.is_multiple_of(LINE) { LINE } else { head_dim }
}

/// Tokens of a prompt that a GPU computes at a time, at most.
pub const CHUNK: usize = 4096;

/// Tokens of a sequence in a layer's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    pub length: usize,
    /// Those behind the first block that are kept as bytes, in whole blocks.
    pub rounded: usize,
}

/// Tokens that lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub rounded: bool,
    /// The first among all tokens.
    pub first: usize,
    /// Where that lies in the memory of its kind.
    pub slot: usize,
    pub length: usize,
}

impl Stretch {
    /// Without what looks at it, in the memory of its kind.
    pub fn job(self, memory: Memory, head_dim: usize) -> Job {
        let row = if self.rounded { head_dim } else { 2 * line_of(head_dim) };
        let before = (self.slot * row) as u64;
        Job {
            keys: memory.keys + before,
            values: memory.values + before,
            factors: memory.factors,
            length: self.length as i32,
            capacity: memory.capacity as i32,
            base: self.first as i32,
            ..Job::default()
        }
    }
}

impl Extent {
    /// Tokens in 16 bits.
    pub fn exact(self) -> usize {
        self.length - self.rounded
    }

    /// Stretches in order; new tokens come behind the last, which may be empty.
    pub fn stretches(self) -> Vec<Stretch> {
        let Extent { length, rounded } = self;
        if rounded == 0 {
            return vec![Stretch { rounded: false, first: 0, slot: 0, length }];
        }
        let (behind, last) = (BLOCK + rounded, length - BLOCK - rounded);
        vec![
            Stretch { rounded: false, first: 0, slot: 0, length: BLOCK },
            Stretch { rounded: true, first: BLOCK, slot: 0, length: rounded },
            Stretch { rounded: false, first: behind, slot: BLOCK, length: last },
        ]
    }

    /// Whole blocks behind the first that are in 16 bits: the first of them lies at slot [`BLOCK`].
    pub fn to_round(self) -> usize {
        self.exact().saturating_sub(BLOCK) / BLOCK
    }

    /// What rounds them.
    pub fn round(self, exact: Memory, rounded: Memory, (kv_heads, head_dim): (usize, usize)) -> Round {
        Round {
            exact_keys: exact.keys,
            exact_values: exact.values,
            keys: rounded.keys,
            values: rounded.values,
            factors: rounded.factors,
            exact_first: BLOCK as i32,
            first: self.rounded as i32,
            exact_capacity: exact.capacity as i32,
            capacity: rounded.capacity as i32,
            kv_heads: kv_heads as i32,
            head_dim: head_dim as i32,
        }
    }

    /// After so many of them were rounded, and what lay behind was moved to their place.
    pub fn with_rounded(self, blocks: usize) -> Extent {
        Extent { rounded: self.rounded + blocks * BLOCK, ..self }
    }

    /// The first `length` tokens, or some fewer where that would cut a block of bytes.
    pub fn cut(self, length: usize) -> Extent {
        let length = length.min(self.length);
        let rounded = self.rounded.min(length.saturating_sub(BLOCK) / BLOCK * BLOCK);
        let whole = rounded == self.rounded || length <= BLOCK;
        Extent { length: if whole { length } else { BLOCK + rounded }, rounded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_lies_in_one_place() {
        for length in [0, 1, 63, 64, 65, 128, 200, 1000] {
            for blocks in 0..=(Extent { length, rounded: 0 }).to_round() {
                let extent = Extent { length, rounded: 0 }.with_rounded(blocks);
                let stretches = extent.stretches();
                let mut next = 0;
                for stretch in &stretches {
                    assert_eq!(stretch.first, next);
                    next += stretch.length;
                }
                let exact = stretches.iter().filter(|stretch| !stretch.rounded);
                let slots: Vec<usize> = exact.flat_map(|stretch| stretch.slot..stretch.slot + stretch.length).collect();
                assert!(next == length && slots.into_iter().eq(0..extent.exact()), "{extent:?}");
                assert_eq!(extent.to_round(), (Extent { length, rounded: 0 }).to_round() - blocks);
            }
        }
    }

    #[test]
    fn blocks_of_bytes_are_not_cut() {
        let extent = Extent { length: 300, rounded: 192 };
        let cut = |length| {
            let Extent { length, rounded } = extent.cut(length);
            (length, rounded)
        };
        assert_eq!([400, 300, 280, 256].map(cut), [(300, 192), (300, 192), (280, 192), (256, 192)]);
        assert_eq!([255, 192, 130, 64, 10, 0].map(cut), [(192, 128), (192, 128), (128, 64), (64, 0), (10, 0), (0, 0)]);
        assert_eq!(Extent { length: 300, rounded: 0 }.cut(255), Extent { length: 255, rounded: 0 });
    }
}
