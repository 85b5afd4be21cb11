//! Draws a token from logits.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

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
        let likelier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        // Below this the probability relative to the likeliest is under min_p, or too small for f32 to add.
        let floor = min_p.max(1e-7);
        // Few tokens of a vocabulary are near enough that their exponential is worth computing.
        let least = top + 1.01 * temperature * floor.ln();
        let near = logits.iter().enumerate().filter(|(_, logit)| **logit >= least);
        let mut near: Vec<(u32, f32)> = near.map(|(id, logit)| (id as u32, *logit)).collect();
        if top_k > 0 && top_k < near.len() {
            near.select_nth_unstable_by(top_k - 1, likelier);
            near.truncate(top_k);
        }
        let relative = near.into_iter().map(|(id, logit)| (id, ((logit - top) / temperature).exp()));
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

/// The id of the largest logit; the lowest of equals. NaN is never the largest.
pub fn largest(logits: &[f32]) -> u32 {
    let mut best = 0;
    let mut top = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > top {
            (best, top) = (id, logit);
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
