//! Draws a token from logits.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::cmp::Ordering;

/// How tokens are drawn; [`crate::generator::Sampling`] explains the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    pub temperature: f32,
    pub top_k: usize,
    pub top_p: f32,
    pub min_p: f32,
    pub repetition_penalty: f32,
    pub dry_multiplier: f32,
    pub seed: u64,
}

impl SamplingParams {
    /// Always the likeliest token, logits untouched.
    pub fn greedy() -> Self {
        SamplingParams {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            dry_multiplier: 0.0,
            seed: 0,
        }
    }
}

/// The same seed gives the same tokens on every machine that computes the same logits.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplingParams,
    random: ChaCha8Rng,
}

impl Sampler {
    pub fn new(params: &SamplingParams) -> Self {
        Sampler { params: params.clone(), random: ChaCha8Rng::seed_from_u64(params.seed) }
    }

    /// Temperature, then top-k, min-p and top-p, then a draw; at temperature 0 the likeliest (the lowest id of equals).
    pub fn draw(&mut self, logits: &[f32]) -> u32 {
        if self.params.temperature <= 0.0 {
            return largest(logits);
        }
        let candidates = self.candidates(logits);
        let total: f32 = candidates.iter().map(|(_, p)| p).sum();
        // 24 bits make an f32 in [0, 1) exactly.
        let mut left = (self.random.next_u32() >> 8) as f32 / (1 << 24) as f32 * total;
        for &(id, p) in &candidates {
            left -= p;
            if left < 0.0 {
                return id;
            }
        }
        candidates.last().map_or_else(|| largest(logits), |&(id, _)| id)
    }

    /// Ids and unnormalised probabilities of the tokens that may be drawn, likeliest first.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let SamplingParams { temperature, top_k, top_p, min_p, .. } = self.params;
        let top = logits[largest(logits) as usize];
        // Below this the probability relative to the likeliest is under min_p, or too small for f32 to add.
        let floor = min_p.max(1e-7);
        // Few tokens of a vocabulary are near enough that their exponential is worth computing.
        let least = top + 1.01 * temperature * floor.ln();
        let relative =
            likeliest(logits, least, top_k).into_iter().map(|(id, logit)| (id, ((logit - top) / temperature).exp()));
        let mut candidates: Vec<(u32, f32)> = relative.filter(|(_, p)| *p >= floor).collect();
        candidates.sort_unstable_by(likelier);
        if top_p < 1.0 {
            let total: f32 = candidates.iter().map(|(_, p)| p).sum();
            let mut sum = 0.0;
            let enough = candidates.iter().position(|(_, p)| {
                sum += p;
                sum >= top_p * total
            });
            candidates.truncate(enough.map_or(candidates.len(), |last| last + 1));
        }
        candidates
    }
}

fn likelier(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Logits that are looked at together: nearly always none of them counts, which is found out for many at a time.
const TOGETHER: usize = 64;

/// Those of the `top_k` likeliest tokens (0: of all) that have at least the logit `least`, in any order.
fn likeliest(logits: &[f32], mut least: f32, top_k: usize) -> Vec<(u32, f32)> {
    let mut found = Vec::new();
    for (number, part) in logits.chunks(TOGETHER).enumerate() {
        if part.iter().filter(|logit| **logit >= least).count() == 0 {
            continue;
        }
        let ids = (number * TOGETHER) as u32..;
        found.extend(ids.zip(part.iter().copied()).filter(|(_, logit)| *logit >= least));
        if top_k > 0 && found.len() > 4 * top_k + TOGETHER {
            let (_, last, _) = found.select_nth_unstable_by(top_k - 1, likelier);
            least = last.1;
            found.truncate(top_k);
        }
    }
    if top_k > 0 && top_k < found.len() {
        found.select_nth_unstable_by(top_k - 1, likelier);
        found.truncate(top_k);
    }
    found
}

/// The id of the largest logit; the lowest of equals. NaN is never the largest.
pub fn largest(logits: &[f32]) -> u32 {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (number, part) in logits.chunks(TOGETHER).enumerate() {
        if part.iter().filter(|logit| **logit > top).count() == 0 {
            continue;
        }
        for (id, &logit) in (number * TOGETHER..).zip(part) {
            if logit > top {
                (best, top) = (id, logit);
            }
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> SamplingParams {
        SamplingParams { temperature: 1.0, seed: 7, ..SamplingParams::greedy() }
    }

    fn ids(params: SamplingParams, logits: &[f32]) -> Vec<u32> {
        Sampler::new(&params).candidates(logits).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals() {
        assert_eq!(Sampler::new(&SamplingParams::greedy()).draw(&[0.0, 2.0, 2.0, f32::NAN]), 1);
    }

    #[test]
    fn filters() {
        let logits = [0.0, 3.0, 1.0, 2.0];
        assert_eq!(ids(params(), &logits), [1, 3, 2, 0]);
        assert_eq!(ids(SamplingParams { top_k: 2, ..params() }, &logits), [1, 3]);
        assert_eq!(ids(SamplingParams { min_p: 0.2, ..params() }, &logits), [1, 3]);
        // Probabilities 0.644, 0.237, 0.087, 0.032.
        assert_eq!(ids(SamplingParams { top_p: 0.6, ..params() }, &logits), [1]);
        assert_eq!(ids(SamplingParams { top_p: 0.9, ..params() }, &logits), [1, 3, 2]);
    }

    #[test]
    fn the_likeliest_of_many_are_found_wherever_they_stand() {
        let logits: Vec<f32> = (0..5000u32).map(|id| (id.wrapping_mul(2_654_435_761) >> 20) as f32).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        sorted.sort_by(likelier);
        assert_eq!(largest(&logits), sorted[0].0);
        for top_k in [1, 7, 40, 4999] {
            let mut found = likeliest(&logits, f32::NEG_INFINITY, top_k);
            found.sort_by(likelier);
            assert_eq!(found, sorted[..top_k]);
        }
        assert!(likeliest(&logits, 4000.0, 0).iter().all(|(_, logit)| *logit >= 4000.0));
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let logits = [0.0, 1.0];
        let mut sampler = Sampler::new(&params());
        let drawn: Vec<u32> = (0..4000).map(|_| sampler.draw(&logits)).collect();
        let share = drawn.iter().sum::<u32>() as f32 / 4000.0;
        assert!((share - 0.731).abs() < 0.03, "{share}");
        let mut again = Sampler::new(&params());
        assert!(drawn.iter().all(|&id| again.draw(&logits) == id));
        let mut other = Sampler::new(&SamplingParams { seed: 8, ..params() });
        assert!(drawn.iter().any(|&id| other.draw(&logits) != id));
    }
}
