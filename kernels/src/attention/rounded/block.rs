//! Blocks of keys and values in bytes.

use super::{ALIKE, STRIP, products::Order, scale::best_inverses};
use crate::{
    attention::BLOCK,
    lines::Kept,
    simd::{BIAS, BIAS_BITS, Simd, turn_lanes},
};

/// A block of all key heads.
#[derive(Debug, Clone)]
pub(in crate::attention) struct Rounded {
    /// For each key head: keys (BLOCK, padded head_dim), then values (padded head_dim, BLOCK), both in `order`.
    codes: Kept,
    order: Order,
    /// For each key head: of each key -128 times the sum of its codes (queries are shifted by 128 to be unsigned), from
    /// [`BIAS_BITS`] on.
    shifts: Vec<i32>,
    /// For each key head: [`Scales`] of keys (2, BLOCK), the keys' mean (head_dim), scales of values (2, padded head_dim).
    factors: Vec<f32>,
}

/// One key head of a block.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) keys: &'a [i8],
    pub(super) values: &'a [i8],
    pub(super) shifts: &'a [i32],
    pub(super) key_scales: Scales<'a>,
    /// Of the key scales.
    pub(super) largest_key_scale: f32,
    pub(super) mean_key_scale: f32,
    pub(super) mean: &'a [f32],
    pub(super) value_scales: Scales<'a>,
}

impl Head<'_> {
    /// Dimensions of a value, those of the last strip included.
    pub(super) fn value_dim(&self) -> usize {
        self.value_scales.scale.len()
    }
}

/// Of some keys, or dimensions of values, what a code of one stands for, and that times -[`BIAS`], as [`Simd::scaled`] takes
/// them.
#[derive(Clone, Copy)]
pub(super) struct Scales<'a> {
    pub(super) scale: &'a [f32],
    pub(super) less: &'a [f32],
}

impl Scales<'_> {
    fn new(factors: &[f32]) -> Scales<'_> {
        let (scale, less) = factors.split_at(factors.len() / 2);
        Scales { scale, less }
    }

    /// Those of codes that were numbers times `inverses`.
    fn push(factors: &mut Vec<f32>, inverses: &[f32]) {
        factors.extend(inverses.iter().map(|&inverse| unit(inverse)));
        factors.extend(inverses.iter().map(|&inverse| -unit(inverse) * BIAS));
    }
}

/// Bytes of a key: its last four go to the lanes together with the others.
pub(super) const fn key_dim(head_dim: usize) -> usize {
    head_dim.next_multiple_of(4)
}

/// Dimensions of a value, those of the last strip included.
pub(super) const fn value_dim(head_dim: usize) -> usize {
    head_dim.next_multiple_of(STRIP)
}

/// Factors of one key head.
const fn factors(head_dim: usize) -> usize {
    2 * BLOCK + head_dim + 2 * value_dim(head_dim)
}

impl Rounded {
    /// Bytes of one key head's block.
    pub(in crate::attention) fn head_bytes(head_dim: usize) -> usize {
        BLOCK * (key_dim(head_dim) + value_dim(head_dim)) + 4 * (BLOCK + factors(head_dim))
    }

    /// Of full blocks in f32, for each key head: keys (head_dim, BLOCK) and values (BLOCK, padded head_dim). All those before
    /// `first` count as zeros, which nobody may see.
    #[inline(always)]
    pub(in crate::attention) unsafe fn new<'a, S: Simd>(
        head_dim: usize,
        first: usize,
        order: Order,
        heads: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    ) -> Rounded {
        let mut codes = Vec::new();
        let mut rounded = Rounded { codes: Kept::new(&[]), order, shifts: Vec::new(), factors: Vec::new() };
        for (keys, values) in heads {
            // SAFETY: the instruction set is the caller's.
            unsafe { rounded.push::<S>(head_dim, first, keys, values, &mut codes) };
        }
        Rounded { codes: Kept::new(&codes), ..rounded }
    }

    #[inline(always)]
    unsafe fn push<S: Simd>(&mut self, head_dim: usize, first: usize, keys: &[f32], values: &[f32], all: &mut Vec<i8>) {
        let mean: Vec<f32> = keys.chunks_exact(BLOCK).map(|keys| mean(&keys[first..])).collect();
        let mut spread: Vec<f32> = keys.to_vec();
        for (keys, mean) in spread.chunks_exact_mut(BLOCK).zip(&mean) {
            let (before, keys) = keys.split_at_mut(first);
            before.fill(0.0);
            keys.iter_mut().for_each(|key| *key -= mean);
        }
        // SAFETY: the instruction set is the caller's; rows are blocks wide.
        unsafe { spread_out::<S>(&mut spread, BLOCK) };
        let mut most = [0f32; BLOCK];
        for keys in spread.chunks_exact(BLOCK) {
            most.iter_mut().zip(keys).for_each(|(most, key)| *most = most.max(key.abs()));
        }
        let width = key_dim(head_dim);
        let start = all.len();
        all.resize(start + BLOCK * (width + value_dim(head_dim)), 0);
        let (codes, value_codes) = all[start..].split_at_mut(BLOCK * width);
        let mut inverses = [0f32; BLOCK];
        if self.order.shares_scales() {
            for (inverses, most) in inverses.chunks_exact_mut(ALIKE).zip(most.chunks_exact(ALIKE)) {
                let most = most.iter().copied().fold(0.0, f32::max);
                inverses.fill(if most > 0.0 { 127.0 / most } else { 0.0 });
            }
        } else {
            // SAFETY: the instruction set is the caller's.
            unsafe { best_inverses::<S>(&spread, BLOCK, &most, &mut inverses) };
        }
        let mut sums = [0i32; BLOCK];
        for (i, keys) in spread.chunks_exact(BLOCK).enumerate() {
            let mut rounded = [0i8; BLOCK];
            let numbers = keys.iter().zip(&inverses).zip(&mut sums);
            for (code, ((key, inverse), sum)) in rounded.iter_mut().zip(numbers) {
                *code = to_byte(key * inverse);
                *sum += i32::from(*code);
            }
            self.order.put(codes, width, i, &rounded);
        }
        self.shifts.extend(sums.map(|sum| BIAS_BITS - 128 * sum));
        Scales::push(&mut self.factors, &inverses);
        self.factors.extend(mean);
        let stride = values.len() / BLOCK;
        // What rows are filled up with is zeros.
        let mut most = vec![0f32; stride];
        for values in values.chunks_exact(stride).skip(first) {
            most.iter_mut().zip(values).for_each(|(most, value)| *most = most.max(value.abs()));
        }
        let mut inverses = vec![0f32; stride];
        // SAFETY: as above.
        unsafe { best_inverses::<S>(&values[first * stride..], stride, &most, &mut inverses) };
        let mut rounded = vec![0i8; head_dim];
        for (key, values) in values.chunks_exact(stride).enumerate().skip(first) {
            for (code, (value, inverse)) in rounded.iter_mut().zip(values.iter().zip(&inverses)) {
                *code = to_byte(value * inverse);
            }
            self.order.put(value_codes, BLOCK, key, &rounded);
        }
        Scales::push(&mut self.factors, &inverses[..value_dim(head_dim)]);
    }

    pub(super) fn head(&self, number: usize, head_dim: usize) -> Head<'_> {
        let width = key_dim(head_dim);
        let padded = value_dim(head_dim);
        let (keys, values) = self.codes[number * BLOCK * (width + padded)..].split_at(BLOCK * width);
        let (key_scales, rest) = self.factors[number * factors(head_dim)..].split_at(2 * BLOCK);
        let (of_keys, value_scales) = rest.split_at(head_dim);
        Head {
            keys,
            values: &values[..padded * BLOCK],
            shifts: &self.shifts[number * BLOCK..(number + 1) * BLOCK],
            key_scales: Scales::new(key_scales),
            mean_key_scale: mean(&key_scales[..BLOCK]),
            largest_key_scale: key_scales[..BLOCK].iter().copied().fold(0.0, f32::max),
            mean: of_keys,
            value_scales: Scales::new(&value_scales[..2 * padded]),
        }
    }
}

/// By sixteen sums, so that none waits for itself.
#[inline(always)]
fn mean(x: &[f32]) -> f32 {
    let (whole, rest) = x.as_chunks::<16>();
    let mut sums = [0f32; 16];
    whole.iter().for_each(|x| sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x));
    (sums.iter().sum::<f32>() + rest.iter().sum::<f32>()) / x.len() as f32
}

#[inline(always)]
fn to_byte(x: f32) -> i8 {
    // Within a byte, or no number. Rounded by what is added; the lowest bits are the whole number's.
    (x + BIAS).to_bits() as i8
}

/// What a code of one stands for, without the last bits: then it is exact times [`BIAS`] too.
#[inline(always)]
fn unit(inverse: f32) -> f32 {
    if inverse > 0.0 { f32::from_bits((1.0 / inverse).to_bits() & !3) } else { 0.0 }
}

/// Turns the columns of `x` (head_dim, width) by a Hadamard matrix, or by several smaller ones where `head_dim` is no power
/// of two: products of columns stay as they are, but what was large in one element is spread over all of them, so that
/// rounding loses less (arXiv:2407.08608 §3.3, arXiv:2404.00456).
#[inline(always)]
pub(super) unsafe fn spread_out<S: Simd>(x: &mut [f32], width: usize) {
    let levels = (x.len() / width).trailing_zeros();
    let norm = 1.0 / ((1 << levels) as f32).sqrt();
    for x in x.chunks_exact_mut(width << levels) {
        let mut done = 0;
        while done < levels {
            let (step, factor) = (width << done, if done + 3 < levels { 1.0 } else { norm });
            // SAFETY: the instruction set is the caller's; rows are whole vectors.
            unsafe {
                match levels - done {
                    1 => turn_rows::<S, 2>(x, step, factor),
                    2 => turn_rows::<S, 4>(x, step, factor),
                    _ => turn_rows::<S, 8>(x, step, factor),
                }
            }
            done += 3;
        }
    }
}

/// Turns rows that lie `step` apart, N of them, by the matrix of Sylvester, times `factor`.
#[inline(always)]
unsafe fn turn_rows<S: Simd, const N: usize>(x: &mut [f32], step: usize, factor: f32) {
    debug_assert!(step.is_multiple_of(S::LANES), "rows of whole vectors");
    for x in x.chunks_exact_mut(N * step) {
        for at in (0..step).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let mut rows = [S::splat(0.0); N];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = S::load(x.as_ptr().add(at + i * step));
                }
                for (i, row) in turn_lanes::<S, N>(rows, N).into_iter().enumerate() {
                    S::store(x.as_mut_ptr().add(at + i * step), S::mul(row, S::splat(factor)));
                }
            }
        }
    }
}
