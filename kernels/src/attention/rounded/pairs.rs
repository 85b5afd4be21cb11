//! In which order queries look at blocks.

use super::{
    Head,
    products::{Products, STEP},
    queries::Queries,
    state::State,
    step::{Scratch, Seen, TOGETHER, add_values, commons, weigh_keys},
};
use crate::{attention::BLOCK, simd::Simd};
use std::ops::Range;

/// Adds what pairs of vectors see in some blocks, [`TOGETHER`] at most: a block's keys for all pairs, while the first-level cache
/// holds them, and then each pair's values of all blocks, while it holds what they are added to.
#[inline(always)]
pub(super) unsafe fn look_at<S: Simd, P: Products>(
    queries: &Queries,
    pairs: &[Pair],
    seen: &[Range<usize>],
    blocks: &[(usize, Head)],
    scratch: &mut Scratch,
    state: &mut State,
) {
    let means = std::array::from_fn(|i| blocks[i.min(blocks.len() - 1)].1.mean);
    // SAFETY: the caller's.
    unsafe {
        for &Pair { vector, wide, .. } in pairs {
            let common = &mut scratch.common[vector * TOGETHER * S::LANES..];
            match wide {
                true => commons::<S, 2>(queries, vector, &means, common),
                false => commons::<S, 1>(queries, vector, &means, common),
            }
        }
        for (number, &(first_key, head)) in blocks.iter().enumerate() {
            for pair in pairs.iter().filter(|pair| pair.sees(first_key)) {
                let (hidden, parts) = pair.parts::<S>(first_key, seen);
                let block = Seen { head, number, first_key, hidden, parts };
                match pair.wide {
                    true => weigh_keys::<S, P, 2>(queries, pair.vector, &block, scratch, state),
                    false => weigh_keys::<S, P, 1>(queries, pair.vector, &block, scratch, state),
                }
            }
        }
        for pair in pairs {
            for (number, &(_, head)) in blocks.iter().enumerate().filter(|(_, (first_key, _))| pair.sees(*first_key)) {
                match pair.wide {
                    true => add_values::<S, P, 2>(head, number, pair.vector, scratch, state),
                    false => add_values::<S, P, 1>(head, number, pair.vector, scratch, state),
                }
            }
        }
    }
}

/// One or two vectors of queries, which are looked at together.
pub(super) struct Pair {
    vector: usize,
    /// Whether there are two.
    wide: bool,
    /// Keys that some lane sees, and those that all do.
    some: Range<usize>,
    every: Range<usize>,
}

impl Pair {
    /// Those of all vectors; of each lane the keys that it sees.
    pub(super) fn all<S: Simd>(seen: &[Range<usize>]) -> Vec<Pair> {
        let most = if S::PAIRS { 2 } else { 1 };
        let pair = |(number, seen): (usize, &[Range<usize>])| {
            let (mut some, mut every) = (seen[0].clone(), seen[0].clone());
            for seen in &seen[1..] {
                some = some.start.min(seen.start)..some.end.max(seen.end);
                every = every.start.max(seen.start)..every.end.min(seen.end);
            }
            Pair { vector: number * most, wide: seen.len() == 2 * S::LANES, some, every }
        };
        seen.chunks(most * S::LANES).enumerate().map(pair).collect()
    }

    /// Whether it sees something of the block whose keys begin at `first_key`.
    fn sees(&self, first_key: usize) -> bool {
        self.some.start < first_key + BLOCK && first_key < self.some.end
    }

    /// Steps of a block, at its beginning, that none of its lanes sees while all see the rest; where that is not so, the keys
    /// that each sees.
    fn parts<'a, S: Simd>(&self, first_key: usize, seen: &'a [Range<usize>]) -> (usize, Option<&'a [Range<usize>]>) {
        let before = self.every.start.saturating_sub(first_key);
        let rest = self.some.start.saturating_sub(first_key) == before && first_key + BLOCK <= self.every.end;
        if rest && before.is_multiple_of(STEP) {
            return (before / STEP, None);
        }
        let lanes = if self.wide { 2 } else { 1 } * S::LANES;
        (0, Some(&seen[self.vector * S::LANES..][..lanes]))
    }
}
