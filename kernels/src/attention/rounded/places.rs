//! How much a block's keys weigh, where weights are looked up by places.
//!
//! A place is a twelfth of an octave ([`Simd::OCTAVE`]). Until a block's largest score is known, places are counted from the score
//! that all its keys have in common, and finer, so that it matters little where the largest lies between them. So products become
//! such words as they come, by integers alone: while tiles are multiplied, half of what vectors do in f32 has to wait. Only a few
//! steps of products are ever kept.

use super::{
    ALIKE, MOST_DIM, STRIP,
    products::{Factors, Products, STEP},
    queries::Queries,
    state::State,
    step::{LAG, RING, Scratch, Seen, keys_of, lanes_of},
};
use crate::{
    attention::BLOCK,
    simd::{FOURS, Simd},
};

/// Bits that products of keys of so many bytes are moved down by, to be words.
fn down_of(width: usize) -> u32 {
    debug_assert!((64..=MOST_DIM).contains(&width), "bytes of a key");
    // Below 2¹⁴ for each byte.
    (width.next_power_of_two().trailing_zeros() + 14).saturating_sub(15)
}

/// How products with a block's keys become words, and words places.
#[derive(Clone, Copy)]
pub(super) struct Fineness {
    /// Bits that products are moved down by.
    down: u32,
    /// Bits that words are moved down by.
    finer: u32,
}

/// Bits by which words are finer than places, at most.
const FINEST: u32 = 5;

impl Fineness {
    /// For V vectors from `vector` on and a block, where all see all of this but its hidden steps. `None` where scores are so large
    /// that the words of some product would be more than the product that was moved down.
    pub(super) fn new<S: Simd, P: Products, const V: usize>(
        queries: &Queries,
        vector: usize,
        block: &Seen,
    ) -> Option<Fineness> {
        if !S::LOOKS_UP || !P::ORDER.shares_scales() || queries.softcap.is_some() || block.parts.is_some() {
            return None;
        }
        let down = down_of(block.head.keys.len() / BLOCK);
        let query = queries.largest_scales[vector..vector + V].iter().copied().fold(0.0, f32::max);
        let places = S::OCTAVE * query * block.head.largest_key_scale * (1u32 << down) as f32;
        (0..=FINEST).rev().find(|finer| places * ((1u32 << finer) as f32) < 0.99).map(|finer| Fineness { down, finer })
    }

    /// Words of an octave.
    fn octave<S: Simd>(self) -> f32 {
        S::OCTAVE * (1u32 << self.finer) as f32
    }

    /// The word of the last place, with what makes moving down round to the nearest.
    fn top<S: Simd>(self) -> f32 {
        S::TOP * (1u32 << self.finer) as f32 + ((1u32 << self.finer) / 2) as f32
    }

    /// What words, as they are weighed, are more than scores, on the average: the half of a word, since of places that are as near
    /// the upper one is taken.
    fn above(self) -> f32 {
        if self.finer > 0 { 0.5 } else { 0.0 }
    }
}

/// As [`super::step::weigh_keys`], with words as fine as this.
#[inline(always)]
pub(super) unsafe fn weigh_keys<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    fineness: Fineness,
    scratch: &mut Scratch,
    state: &mut State,
) {
    let (at, in_scratch) = (vector * S::LANES, lanes_of::<S, V>(vector, block.number));
    // SAFETY: the instruction set and the vectors are the caller's.
    unsafe {
        let most = place_keys::<S, P, V>(queries, vector, block, fineness, scratch);
        let octave = fineness.octave::<S>();
        // Cutting products made scores less by the half of what one of these is.
        let cut = 0.5 * octave * (1u32 << fineness.down) as f32 * block.head.mean_key_scale;
        let mut less = most;
        for v in 0..V {
            let largest = S::largest_word(most[v]);
            let common = S::load(scratch.common.as_ptr().add(in_scratch + v * S::LANES));
            let scale = S::load(queries.scales.as_ptr().add(at + v * S::LANES));
            let exact = S::fma(scale, S::splat(cut), S::sub(largest, S::splat(fineness.above())));
            let highest = S::fma(exact, S::splat(1.0 / octave), common);
            let (unit, keep) = state.turn_to::<S>(at + v * S::LANES, highest);
            S::store(scratch.keep.as_mut_ptr().add(in_scratch + v * S::LANES), keep);
            // The largest comes to the last place of the table, or as far below as it is below the unit.
            let past = S::sub(largest, S::splat(fineness.top::<S>()));
            less[v] = S::words([S::fma(S::sub(unit, highest), S::splat(octave), past); 2]);
        }
        let weights = &mut scratch.weights[in_scratch * BLOCK..];
        let sums = look_up::<S, V>(less, fineness, block.hidden, &scratch.words, weights);
        for (v, weights) in sums.into_iter().enumerate() {
            state.add_weights::<S>(at + v * S::LANES, weights);
        }
    }
}

/// Puts words of a block's keys into `scratch`, but for its hidden steps. The largest of each lane.
#[inline(always)]
unsafe fn place_keys<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    fineness: Fineness,
    scratch: &mut Scratch,
) -> [S::I; V] {
    const { assert!(STEP == ALIKE, "keys of a step share a scale") };
    // SAFETY: the instruction set and the vectors are the caller's; steps are within the block, and so are its words.
    unsafe {
        let keys = keys_of::<S>(queries, vector, block);
        let down = S::splat_i32(fineness.down as i32);
        // What a product that was moved down is multiplied with, in 2⁻¹⁵.
        let mut scales = [S::splat(fineness.octave::<S>() * (1u32 << (fineness.down + 15)) as f32); V];
        for (v, scale) in scales.iter_mut().enumerate() {
            *scale = S::mul(*scale, S::load(queries.scales.as_ptr().add((vector + v) * S::LANES)));
        }
        let mut most = [S::splat_i32(LEAST); V];
        let dots = scratch.scores.as_mut_ptr().cast::<i32>();
        let of_step = |number: usize| dots.add(number % RING * STEP * V * S::LANES);
        for number in 0..BLOCK / STEP + LAG {
            P::step::<S, V, true>(keys, number, number.checked_sub(1).map(of_step));
            if let Some(number) = number.checked_sub(LAG)
                && number >= block.hidden
            {
                let scale = S::splat(*block.head.key_scales.scale.get_unchecked(number * STEP));
                let mut shares = most;
                for (share, of_query) in shares.iter_mut().zip(scales) {
                    *share = S::words([S::mul(of_query, scale); 2]);
                }
                let to = scratch.words.as_mut_ptr().add(number * STEP / 2 * V * S::LANES);
                most = place_step::<S, P, V>(keys, number, of_step(number), (down, shares), to, most);
            }
        }
        most
    }
}

/// Two words below all others.
const LEAST: i32 = i32::from_ne_bytes([0, 0x80, 0, 0x80]);

/// As [`place_keys`], of the [`STEP`] keys with this number, whose products are in `dots`.
#[inline(always)]
unsafe fn place_step<S: Simd, P: Products, const V: usize>(
    keys: Factors,
    number: usize,
    dots: *const i32,
    (down, shares): (S::I, [S::I; V]),
    to: *mut i32,
    mut most: [S::I; V],
) -> [S::I; V] {
    // SAFETY: the caller's.
    unsafe {
        for strip in 0..STEP / STRIP {
            let first = number * STEP + strip * STRIP;
            let dots = P::strip::<S, V>(keys, first, None, dots.add(strip * STRIP * V * S::LANES));
            for (i, two) in dots.as_chunks::<2>().0.iter().enumerate() {
                for (v, most) in most.iter_mut().enumerate() {
                    let words = S::shares([two[0][v], two[1][v]], down, shares[v]);
                    *most = S::max_words(*most, words);
                    S::store_i32(to.add(((strip * STRIP / 2 + i) * V + v) * S::LANES), words);
                }
            }
        }
        most
    }
}

/// Words less `less` → weights; their sums. Those of the first `hidden` steps weigh nothing.
#[inline(always)]
unsafe fn look_up<S: Simd, const V: usize>(
    less: [S::I; V],
    fineness: Fineness,
    hidden: usize,
    words: &[i32],
    weights: &mut [u8],
) -> [S::I; V] {
    weights[..hidden * STEP * V * S::LANES].fill(0);
    // SAFETY: the instruction set is the caller's; words and weights are a block's.
    unsafe {
        let finer = S::splat_i32((fineness.finer << 16 | fineness.finer) as i32);
        let mut sums = [S::splat_i32(0); V];
        for four in hidden * STEP / 4..BLOCK / 4 {
            for (v, sum) in sums.iter_mut().enumerate() {
                let two = |half: usize| S::load_i32(words.as_ptr().add(((2 * four + half) * V + v) * S::LANES));
                let out = weights.as_mut_ptr().add((four * V + v) * 4 * S::LANES);
                S::store_looked_up(out, [two(0), two(1)], less[v], finer, four % FOURS);
                *sum = S::dot4(*sum, out, 0x0101_0101);
            }
        }
        sums
    }
}
