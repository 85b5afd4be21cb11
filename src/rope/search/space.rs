//! What a search may choose from, and the ways that it starts with.

use crate::rope::{LongRope, Scaling, Yarn};
use std::fmt;

/// Factors are whole numbers of these.
const STEP: f64 = 0.01;

/// LongRoPE's choices of tokens at the start that are left where they are.
const START_TOKENS: [usize; 14] = [0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 64, 128, 256];

/// The divisors of one extension, the positions at its start that are not divided, and its attention factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// One a pair, ascending, in hundredths.
    pub(super) steps: Vec<u32>,
    pub(super) start_tokens: usize,
    pub(super) attention_factor: f64,
    /// LongRoPE2's kind: the pairs before this one follow from it by NTK.
    pub(super) critical: Option<usize>,
}

/// What candidates are made of: an extension of a model's context, or its readjustment.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    theta: f64,
    pairs: usize,
    original_context: f64,
    /// How far beyond the original context.
    factor: f64,
    /// The most that a pair is divided by, in hundredths.
    pub(super) most: u32,
    pub(super) start_tokens: Vec<usize>,
    pub(super) attention_factors: Vec<f64>,
    /// LongRoPE2's range of a critical pair's factor, in hundredths; none where nothing is extended.
    pub(super) critical_steps: Option<(u32, u32)>,
    /// The first of the pairs that are divided by the whole extension at least, if there are such.
    whole_from: Option<usize>,
}

impl Space {
    /// Of an extension from one context to another, both in tokens: factors up to 1.25 times the extension.
    pub fn beyond(theta: f64, pairs: usize, original_context: f64, target_context: f64) -> Space {
        let factor = target_context / original_context;
        let mut attention_factors =
            vec![LongRope::attention_factor(factor, original_context), Yarn::mscale(factor, 1.0), 1.0];
        attention_factors.dedup();
        Space {
            theta,
            pairs,
            original_context,
            factor,
            most: steps(1.25 * factor),
            start_tokens: START_TOKENS.into_iter().filter(|start| (*start as f64) < original_context / 4.0).collect(),
            attention_factors,
            critical_steps: Some((steps(factor), steps(2.0 * factor))),
            whole_from: None,
        }
    }

    /// For candidates that are judged by texts shorter than the target. Those tell nothing of pairs that do not turn once
    /// over the model's own context: angles that it has not seen come up beyond these texts. So such pairs are divided by
    /// the whole extension at least, as LongRoPE2 finds they must be.
    pub fn judged_by_less(self) -> Space {
        Space { whole_from: Some(self.pair_turning(1.0)), ..self }
    }

    /// The candidate with what must be divided by the whole extension.
    pub fn held(&self, mut candidate: Candidate) -> Candidate {
        if let Some(first) = self.whole_from {
            candidate.steps[first..].iter_mut().for_each(|step| *step = (*step).max(steps(self.factor)));
        }
        candidate
    }

    /// Of a readjustment for texts that fit the model's own context: small factors and nothing else.
    pub fn within(theta: f64, pairs: usize, original_context: f64) -> Space {
        Space {
            start_tokens: vec![0],
            attention_factors: vec![1.0],
            critical_steps: None,
            ..Space::beyond(theta, pairs, original_context, original_context)
        }
    }

    /// The known ways by their names: YaRN, NTK-aware and position interpolation as they are, and LongRoPE2's where the
    /// pair that turns once over the original context, the one that turns ten times, or the one between is divided by
    /// the whole extension or a tenth more. Without an extension all are one.
    pub fn seeds(&self) -> Vec<(String, Candidate)> {
        let mut seeds = self.known(self.factor, self.original_context, None);
        if let Some((least, _)) = self.critical_steps {
            let (ten, one) = (self.pair_turning(10.0), self.pair_turning(1.0));
            for (critical, whole) in [(one, 1.0), ((ten + one) / 2, 1.1), (ten, 1.1)] {
                let steps = vec![(f64::from(least) * whole) as u32; self.pairs];
                let candidate = self.by_ntk(steps, critical, 0, self.attention_factors[0]);
                seeds.push((format!("critical pair {critical}"), candidate));
            }
        }
        seeds
    }

    /// For a second step: factors that reach `reached` tokens already, extended from there by the known ways.
    pub fn seeds_from(&self, factors: &[f64], reached: f64) -> Vec<(String, Candidate)> {
        let seeds = self.known(self.original_context * self.factor / reached, reached, Some(factors));
        seeds.into_iter().map(|(name, seed)| (format!("first step, then {name}"), seed)).collect()
    }

    /// YaRN, NTK and position interpolation by `factor` over `context`, on top of other factors where there are some.
    fn known(&self, factor: f64, context: f64, below: Option<&[f64]>) -> Vec<(String, Candidate)> {
        let yarn = Scaling::Yarn(Yarn::new(factor, context));
        let ways = [
            ("YaRN", yarn, Yarn::mscale(factor, 1.0)),
            ("NTK-aware", Scaling::Ntk { factor }, 1.0),
            ("linear", Scaling::Linear { factor }, 1.0),
        ];
        let plain = Scaling::None.frequencies(self.theta, 2 * self.pairs, 0);
        let candidate = |(name, scaling, own): (&str, Scaling, f64)| {
            let turned = scaling.frequencies(self.theta, 2 * self.pairs, 0);
            let below = |pair: usize| below.and_then(|below| below.get(pair)).copied().unwrap_or(1.0);
            let divisors = plain.iter().zip(turned).enumerate();
            let divisors = divisors.map(|(pair, (plain, turned))| steps(plain / turned * below(pair))).collect();
            // Two steps together have the factor of the whole extension.
            let attention_factor = if factor == self.factor { own } else { self.attention_factors[0] };
            let candidate = Candidate { steps: ascending(divisors), start_tokens: 0, attention_factor, critical: None };
            (name.to_string(), candidate)
        };
        ways.into_iter().map(candidate).collect()
    }

    /// The first pair that turns less often than so many times over the original context.
    fn pair_turning(&self, turns: f64) -> usize {
        let wavelength = self.original_context / (turns * std::f64::consts::TAU);
        let pair = (self.pairs as f64 * wavelength.ln() / self.theta.ln()).ceil();
        (pair.max(1.0) as usize).min(self.pairs - 1)
    }

    /// The pairs that a critical one is taken from.
    pub(super) fn critical_pairs(&self) -> (usize, usize) {
        (self.pair_turning(10.0), self.pair_turning(1.0))
    }

    /// LongRoPE2's: pairs from `critical` on are divided by the extension at least; those before it by S^(i /
    /// critical), where S is what the critical one is divided by.
    pub(super) fn by_ntk(
        &self,
        mut of: Vec<u32>,
        critical: usize,
        start_tokens: usize,
        attention_factor: f64,
    ) -> Candidate {
        let (least, most) = self.critical_steps.unwrap_or((100, self.most));
        of[critical..].iter_mut().for_each(|step| *step = (*step).clamp(least, most));
        let whole = f64::from(of[critical]) * STEP;
        for (pair, step) in of[..critical].iter_mut().enumerate() {
            *step = steps(whole.powf(pair as f64 / critical as f64));
        }
        Candidate { steps: ascending(of), start_tokens, attention_factor, critical: Some(critical) }
    }
}

impl Candidate {
    /// One divisor a pair, at least 1 and ascending.
    pub fn factors(&self) -> Vec<f64> {
        // Divided, not multiplied: 103 / 100 is the number that 1.03 means.
        self.steps.iter().map(|step| f64::from(*step) / 100.0).collect()
    }

    pub fn start_tokens(&self) -> usize {
        self.start_tokens
    }

    pub fn attention_factor(&self) -> f64 {
        self.attention_factor
    }
}

/// All that counts when the candidate is read with; two that are written alike are one.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for factor in self.factors() {
            write!(f, "{factor} ")?;
        }
        write!(f, "from token {}, attention {}", self.start_tokens, self.attention_factor)
    }
}

/// In hundredths, at least 1.
fn steps(factor: f64) -> u32 {
    ((factor / STEP).round() as u32).max(100)
}

/// No factor below the one before it.
pub(super) fn ascending(mut steps: Vec<u32>) -> Vec<u32> {
    for pair in 1..steps.len() {
        steps[pair] = steps[pair].max(steps[pair - 1]);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(seeds: &[(String, Candidate)]) -> Vec<Vec<f64>> {
        seeds.iter().map(|(_, seed)| seed.factors()).collect()
    }

    #[test]
    fn seeds_are_the_known_ways() {
        // YaRN's ramp over these is [0, 0, 0.5, 1]; NTK's are 4^(i / 3).
        let space = Space::beyond(1e4, 4, 2048.0, 8192.0);
        let seeds = space.seeds();
        assert_eq!(
            factors(&seeds[..3]),
            [[1.0, 1.0, 1.6, 4.0], [1.0, 1.59, 2.52, 4.0], [4.0, 4.0, 4.0, 4.0]].map(Vec::from)
        );
        let attention: Vec<f64> = seeds.iter().map(|(_, seed)| seed.attention_factor()).collect();
        assert!((attention[0] - 1.138_629_436).abs() < 1e-9 && attention[1..3] == [1.0, 1.0], "{attention:?}");
        assert!((attention[3] - 1.087_114_613).abs() < 1e-9, "{attention:?}");
        // Pair 3 turns less than once over 2048 tokens (2π · 1000 > 2048), pair 2 less than ten times.
        assert_eq!(space.critical_pairs(), (2, 3));
        assert_eq!(
            factors(&seeds[3..]),
            [[1.0, 1.59, 2.52, 4.0], [1.0, 2.1, 4.4, 4.4], [1.0, 2.1, 4.4, 4.4]].map(Vec::from)
        );
        let own = Space::within(1e4, 4, 2048.0).seeds();
        assert!(own.iter().all(|(_, seed)| seed.factors() == [1.0; 4] && seed.attention_factor() == 1.0), "{own:?}");
    }

    #[test]
    fn a_second_step_goes_on_from_the_first() {
        let space = Space::beyond(1e4, 4, 2048.0, 16_384.0);
        let seeds = space.seeds_from(&[1.0, 1.5, 3.0, 4.5], 8192.0);
        let seeds = factors(&seeds);
        assert_eq!(seeds[2], [2.0, 3.0, 6.0, 9.0]);
        assert_eq!(seeds[1], [1.0, 1.89, 4.76, 9.0]);
        // YaRN's ramp over 8192 tokens is [0, 0, 1/3, 2/3]: pair i is divided by 1 / (1 - ramp / 2).
        assert_eq!(seeds[0], [1.0, 1.5, 3.6, 6.75]);
    }

    #[test]
    fn pairs_that_short_texts_do_not_judge_are_divided_by_all() {
        let space = Space::beyond(1e4, 4, 2048.0, 8192.0);
        let held =
            |space: &Space| space.seeds().into_iter().map(|(_, seed)| space.held(seed).factors()).collect::<Vec<_>>();
        assert_eq!(held(&space)[1], [1.0, 1.59, 2.52, 4.0]);
        let space = Space { whole_from: Some(2), ..space.judged_by_less() };
        assert_eq!(held(&space)[..2], [[1.0, 1.0, 4.0, 4.0], [1.0, 1.59, 4.0, 4.0]].map(Vec::from));
        assert_eq!(Space::beyond(1e5, 32, 8192.0, 32_768.0).judged_by_less().whole_from, Some(20));
    }

    #[test]
    fn critical_pairs_are_longropes_second() {
        // Phi 3 mini: d = 96, base 10,000, 2048 tokens; Llama 3 8B: d = 128, base 500,000, 8192 tokens.
        assert_eq!(Space::beyond(1e4, 48, 2048.0, 131_072.0).critical_pairs(), (19, 31));
        assert_eq!(Space::beyond(5e5, 64, 8192.0, 131_072.0).critical_pairs(), (24, 35));
    }
}
