//! How much a block's keys weigh, where weights are looked up by places.
//!
//! A place is a twelfth of an octave ([`Simd::OCTAVE`]). Until a block's largest score is known, places are counted from the score
//! that all its keys have in common, and finer, so that it matters little where the largest lies between them. So products become
//! such words as they come, by integers alone, and only a few steps of products are ever kept.

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

/// Bits that products with keys of so many bytes are moved down by, to be words: a byte adds less than 2¹⁴ to a product.
fn down_of(width: usize) -> u32 {
    debug_assert!((64..=MOST_DIM).contains(&width), "bytes of a key");
    width.next_power_of_two().trailing_zeros() + 14 - 15
}

/// Bits by which words are finer than places, at most.
const FINEST: f32 = 5.0;

/// Whether weights of a block are looked up by places: where scores are as products are, and all lanes see all but its hidden
/// steps.
pub(super) fn are_there<S: Simd, P: Products>(queries: &Queries, block: &Seen) -> bool {
    S::LOOKS_UP && P::ORDER.shares_scales() && queries.softcap.is_none() && block.parts.is_none()
}

/// How products of a vector's queries with a block's keys become words, and words places: each lane by its own scale and the
/// block's alone, whatever its neighbours are.
#[derive(Clone, Copy)]
struct Fineness<S: Simd> {
    /// Bits that products are moved down by.
    down: S::V,
    /// Bits that words are moved down by.
    finer: S::V,
    /// 2 to that.
    words: S::V,
    /// What a product that was moved down is multiplied with, times the scale of its key, in 2⁻¹⁵.
    share: S::V,
}

impl<S: Simd> Fineness<S> {
    /// As fine as it can be while words of a product are fewer than the product that was moved down. Where scores are so large that
    /// there are fewer than places then, products are moved down less, and those past the words count as the last of these: more
    /// than 1,300 octaves from what all keys have in common, for keys of the largest scale in the block.
    #[inline(always)]
    unsafe fn new(queries: &Queries, vector: usize, block: &Seen) -> Fineness<S> {
        let most = down_of(block.head.keys.len() / BLOCK);
        // SAFETY: the instruction set and the vector are the caller's.
        unsafe {
            let scales = S::mul(S::load(queries.scales.as_ptr().add(vector * S::LANES)), S::splat(S::OCTAVE));
            // Places that a product which was moved down comes to, at most.
            let places = S::mul(scales, S::splat(block.head.largest_key_scale * (1 << most) as f32));
            let (spare, none) = (S::exponents(S::div(S::splat(0.99), places)), S::splat(0.0));
            let finer = S::min(S::max(spare, none), S::splat(FINEST));
            let down = S::max(S::add(S::splat(most as f32), S::min(spare, none)), none);
            let share = S::scale_by_power_of_two(S::mul(scales, S::splat(WORD)), S::add(finer, down));
            Fineness { down, finer, words: S::scale_by_power_of_two(S::splat(1.0), finer), share }
        }
    }

    /// 1 where words are places, else 0.
    #[inline(always)]
    unsafe fn are_places(&self) -> S::V {
        // SAFETY: the instruction set is the caller's.
        unsafe { S::max(S::sub(S::splat(1.0), self.finer), S::splat(0.0)) }
    }

    /// The word of the last place, with what makes moving down round to the nearest.
    #[inline(always)]
    unsafe fn top(&self) -> S::V {
        // SAFETY: as above.
        unsafe { S::fma(self.are_places(), S::splat(-0.5), S::mul(self.words, S::splat(S::TOP + 0.5))) }
    }

    /// What words, as they are weighed, are less than scores, on the average: cutting products made these less by the half of what
    /// one is; and of two places that are as near the upper one is taken, which makes them more by the half of a word.
    #[inline(always)]
    unsafe fn lost(&self, block: &Seen) -> S::V {
        // SAFETY: as above.
        unsafe {
            let cut = S::mul(self.share, S::splat(0.5 / WORD * block.head.mean_key_scale));
            S::fma(self.are_places(), S::splat(0.5), S::sub(cut, S::splat(0.5)))
        }
    }
}

/// One, where the unit is 2⁻¹⁵.
const WORD: f32 = 32768.0;

/// As [`super::step::weigh_keys`], where places [`are_there`].
#[inline(always)]
pub(super) unsafe fn weigh_keys<S: Simd, P: Products, const V: usize>(
    queries: &Queries,
    vector: usize,
    block: &Seen,
    scratch: &mut Scratch,
    state: &mut State,
) {
    let (at, in_scratch) = (vector * S::LANES, lanes_of::<S, V>(vector, block.number));
    // SAFETY: the instruction set and the vectors are the caller's.
    unsafe {
        let mut fineness = [Fineness::<S>::new(queries, vector, block); V];
        for (v, fineness) in fineness.iter_mut().enumerate().skip(1) {
            *fineness = Fineness::new(queries, vector + v, block);
        }
        let most = place_keys::<S, P, V>(keys_of::<S>(queries, vector, block), block, fineness, scratch);
        let (mut less, mut finer) = (most, most);
        for (v, fineness) in fineness.into_iter().enumerate() {
            let largest = S::largest_word(most[v]);
            let common = S::load(scratch.common.as_ptr().add(in_scratch + v * S::LANES));
            let octaves = S::div(S::splat(1.0 / S::OCTAVE), fineness.words);
            let highest = S::fma(S::add(largest, fineness.lost(block)), octaves, common);
            let (unit, keep) = state.turn_to::<S>(at + v * S::LANES, highest);
            S::store(scratch.keep.as_mut_ptr().add(in_scratch + v * S::LANES), keep);
            // The largest comes to the last place of the table, or as far below as it is below the unit.
            let below = S::mul(S::sub(unit, highest), S::mul(fineness.words, S::splat(S::OCTAVE)));
            less[v] = S::words([S::add(below, S::sub(largest, fineness.top())); 2]);
            finer[v] = S::words([fineness.finer; 2]);
        }
        let weights = &mut scratch.weights[in_scratch * BLOCK..];
        let sums = look_up::<S, V>(less, finer, block.hidden, &scratch.words, weights);
        for (v, weights) in sums.into_iter().enumerate() {
            state.add_weights::<S>(at + v * S::LANES, weights);
        }
    }
}

/// Puts words of a block's keys into `scratch`, but for its hidden steps. The largest of each lane.
#[inline(always)]
unsafe fn place_keys<S: Simd, P: Products, const V: usize>(
    keys: Factors,
    block: &Seen,
    fineness: [Fineness<S>; V],
    scratch: &mut Scratch,
) -> [S::I; V] {
    const { assert!(STEP == ALIKE, "keys of a step share a scale") };
    // SAFETY: the instruction set and the vectors are the caller's; steps are within the block, and so are its words.
    unsafe {
        let (mut down, mut scales) = ([S::splat_i32(0); V], [S::splat(0.0); V]);
        for (v, fineness) in fineness.into_iter().enumerate() {
            (down[v], scales[v]) = (S::nearest(fineness.down), fineness.share);
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
                    *share = S::words([S::min(S::mul(of_query, scale), S::splat(WORD - 1.0)); 2]);
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
    (down, shares): ([S::I; V], [S::I; V]),
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
                    let words = S::shares([two[0][v], two[1][v]], down[v], shares[v]);
                    *most = S::max_words(*most, words);
                    S::store_i32(to.add(((strip * STRIP / 2 + i) * V + v) * S::LANES), words);
                }
            }
        }
        most
    }
}

/// Words less `less`, moved down by `finer` → weights; their sums. Those of the first `hidden` steps weigh nothing.
#[inline(always)]
unsafe fn look_up<S: Simd, const V: usize>(
    less: [S::I; V],
    finer: [S::I; V],
    hidden: usize,
    words: &[i32],
    weights: &mut [u8],
) -> [S::I; V] {
    weights[..hidden * STEP * V * S::LANES].fill(0);
    // SAFETY: the instruction set is the caller's; words and weights are a block's.
    unsafe {
        let mut sums = [S::splat_i32(0); V];
        for four in hidden * STEP / 4..BLOCK / 4 {
            for (v, sum) in sums.iter_mut().enumerate() {
                let two = |half: usize| S::load_i32(words.as_ptr().add(((2 * four + half) * V + v) * S::LANES));
                let out = weights.as_mut_ptr().add((four * V + v) * 4 * S::LANES);
                S::store_looked_up(out, [two(0), two(1)], less[v], finer[v], four % FOURS);
                *sum = S::dot4(*sum, out, 0x0101_0101);
            }
        }
        sums
    }
}
