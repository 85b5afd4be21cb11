//! Which scale loses least when numbers become bytes.
//!
//! The largest of some numbers need not become 127: a slightly larger or smaller code moves all of them, and of several
//! ways to round them one is the best. Of eight, for 64 numbers that are normally distributed, it leaves a tenth less square
//! error than 127 does.

use crate::simd::{BIAS, MOST_LANES, Simd};

/// Codes that the largest number becomes, one by one, before it is cut to 127. Square errors are in units of what a code
/// stands for, so they compare by code⁻².
const TRIES: [f32; 8] = [127.4, 126.9, 126.4, 125.9, 125.4, 124.9, 124.4, 123.9];

/// What each column of rows that are `stride` numbers long, and whose largest number is that in `most`, is best multiplied with
/// to become bytes goes into `best`; 0 for columns of zeros. There are whole vectors of columns.
#[inline(always)]
pub(super) unsafe fn best_inverses<S: Simd>(rows: &[f32], stride: usize, most: &[f32], best: &mut [f32]) {
    let columns = most.len();
    assert!(columns.is_multiple_of(S::LANES) && columns <= stride && columns == best.len(), "whole vectors");
    for at in (0..columns).step_by(S::LANES) {
        // SAFETY: the instruction set is the caller's; vectors are within the columns.
        unsafe {
            let most = S::max(S::load(most.as_ptr().add(at)), S::splat(f32::MIN_POSITIVE));
            S::store(best.as_mut_ptr().add(at), best_of_lanes::<S>(&rows[at..], stride, most));
        }
    }
    best.iter_mut().zip(most).filter(|(_, most)| **most == 0.0).for_each(|(best, _)| *best = 0.0);
}

/// As [`best_inverses`], of the first LANES columns, whose largest numbers are `most`.
#[inline(always)]
pub(super) unsafe fn best_of_lanes<S: Simd>(rows: &[f32], stride: usize, most: S::V) -> S::V {
    // SAFETY: the instruction set is the caller's; each chunk begins with a whole vector.
    unsafe {
        let of_one = S::div(S::splat(1.0), most);
        let mut tried = [of_one; TRIES.len()];
        for (inverse, code) in tried.iter_mut().zip(TRIES) {
            *inverse = S::mul(*inverse, S::splat(code));
        }
        let mut errors = [S::splat(0.0); TRIES.len()];
        for row in rows.chunks(stride) {
            debug_assert!(row.len() >= S::LANES, "a whole vector");
            let x = S::load(row.as_ptr());
            for (errors, inverse) in errors.iter_mut().zip(tried) {
                // Rounded by what is added, the largest to 127 at most; its negative.
                let rounded = S::sub(S::splat(BIAS), S::fma(x, inverse, S::splat(BIAS)));
                let off = S::fma(x, inverse, rounded);
                *errors = S::fma(off, off, *errors);
            }
        }
        let (mut least, mut best) = ([f32::INFINITY; MOST_LANES], [0f32; MOST_LANES]);
        S::store(best.as_mut_ptr(), tried[0]);
        for ((errors, inverse), code) in errors.into_iter().zip(tried).zip(TRIES) {
            let (mut inverses, mut all) = ([0f32; MOST_LANES], [0f32; MOST_LANES]);
            S::store(inverses.as_mut_ptr(), inverse);
            S::store(all.as_mut_ptr(), S::mul(errors, S::splat(1.0 / (code * code))));
            // Without a branch, so that all lanes are compared at once.
            for lane in 0..S::LANES {
                let is_less = all[lane] < least[lane];
                least[lane] = if is_less { all[lane] } else { least[lane] };
                best[lane] = if is_less { inverses[lane] } else { best[lane] };
            }
        }
        S::load(best.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, simd::kernel};

    kernel! {
        fn best = best_body(x: &[f32], most: f32) -> f32
    }

    /// Of numbers that stand in all columns.
    #[inline(always)]
    unsafe fn best_body<S: Simd>(x: &[f32], most: f32) -> f32 {
        let columns: Vec<f32> = x.iter().flat_map(|&x| [x; 16]).collect();
        let mut best = [1.0; 16];
        // SAFETY: the instruction set is the caller's.
        unsafe { best_inverses::<S>(&columns, 16, &[most; 16], &mut best) };
        assert_eq!(best, [best[0]; 16]);
        best[0]
    }

    fn error(x: &[f32], inverse: f32) -> f64 {
        let error = |x: &f32| {
            let (exact, inverse) = (f64::from(*x) * f64::from(inverse), f64::from(inverse));
            ((exact - exact.round_ties_even().clamp(-128.0, 127.0)) / inverse).powi(2)
        };
        x.iter().map(error).sum()
    }

    #[test]
    fn the_scale_that_is_chosen_is_the_best_of_those_tried() {
        let (mut chosen, mut plain) = (0.0, 0.0);
        for number in 0..50u32 {
            let value = |i: u32| ((number * 64 + i).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let x: Vec<f32> = (0..64).map(value).collect();
            let most = x.iter().fold(0f32, |most, x| most.max(x.abs()));
            let least = TRIES.iter().map(|code| error(&x, code / most)).fold(f64::INFINITY, f64::min);
            for inverse in Isa::available().into_iter().map(|isa| best(isa, &x, most)) {
                assert!(error(&x, inverse) <= 1.0001 * least, "{number}: {} > {least}", error(&x, inverse));
            }
            chosen += least;
            plain += error(&x, 127.0 / most);
        }
        assert!(chosen < 0.95 * plain, "{chosen} of {plain}");
        for isa in Isa::available() {
            assert_eq!(best(isa, &[0.0; 3], 0.0), 0.0);
        }
    }
}
