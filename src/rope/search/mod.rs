//! LongRoPE's search (arXiv:2402.13753, LongRoPE2 arXiv:2502.20082): which divisor each pair of elements should have,
//! so that a model reads texts beyond its context. Numbers only: how good a candidate is, who calls tells.
//!
//! The first candidates are the known ways to extend a context, exactly as they are, and mutations of them. From then
//! on the best ones are the parents of the next, by mutation and by crossing. Every draw comes from one seed and every
//! candidate is new, so a search that is begun again asks for the same candidates in the same order: whoever keeps what
//! was measured takes a search up where it was stopped.
//!
//! Three things differ from the papers, for searches far smaller than theirs. What cosine and sine are multiplied with
//! is one of three known factors, so that YaRN and its like stand among the candidates as they are. A mutation may also
//! move or scale factors as a whole: pair by pair a flat stretch never rises. And a crossing takes each pair from
//! either parent, or blends the two, where the published code stops at the first pair that differs.

mod breed;
mod space;

pub use space::{Candidate, Space};

use crate::{Result, random::Random};
use std::collections::HashSet;

/// How many candidates there are of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Candidates in all.
    pub evaluations: usize,
    /// Before the first round.
    pub population: usize,
    /// The best of all so far, which the next are bred from.
    pub parents: usize,
    /// In each round.
    pub mutations: usize,
    pub crossings: usize,
}

impl Sizes {
    /// LongRoPE's: a population of 64, and 40 rounds of 16 mutations and 16 crossings from 32 parents.
    pub const PUBLISHED: Sizes =
        Sizes { evaluations: 64 + 40 * 32, population: 64, parents: 32, mutations: 16, crossings: 16 };

    /// For at most so many candidates: a twelfth of them stands before the first round, so that there are many rounds,
    /// and the rest keeps the published proportions.
    pub fn within(evaluations: usize) -> Sizes {
        let evaluations = evaluations.clamp(1, Sizes::PUBLISHED.evaluations);
        let population = (evaluations / 12).clamp(8, Sizes::PUBLISHED.population).min(evaluations);
        let each = (population / 4).max(1);
        Sizes { evaluations, population, parents: (population / 2).max(1), mutations: each, crossings: each }
    }
}

/// A candidate and how bad it is.
pub type Ranked = (Candidate, f64);

/// All candidates that were looked at, the best first. `seeds` come first, as many as `sizes` has room for. `evaluate`
/// gives a candidate's loss and is told the best candidate's before it; a loss that is no number counts as the worst.
/// Errors are those of `evaluate`.
pub fn search(
    space: &Space,
    seeds: Vec<Candidate>,
    sizes: Sizes,
    seed: u64,
    evaluate: impl FnMut(&Candidate, f64) -> Result<f64>,
) -> Result<Vec<Ranked>> {
    let mut run = Run { seen: HashSet::new(), ranked: Vec::new(), sizes, evaluate };
    let mut random = Random::new(seed, "rope search");
    let seeds: Vec<Candidate> = seeds.into_iter().map(|seed| space.held(seed)).collect();
    run.consider(seeds.clone())?;
    while run.ranked.len() < sizes.population {
        let bred = run.fresh(|random| space.held(breed::mutate(space, random.pick(&seeds), random)), &mut random);
        if run.consider(bred.into_iter().collect())? == 0 {
            break;
        }
    }
    while run.ranked.len() < sizes.evaluations {
        let parents: Vec<Candidate> =
            run.ranked.iter().take(sizes.parents).map(|(candidate, _)| candidate.clone()).collect();
        let mut bred = Vec::new();
        for number in 0..sizes.mutations + sizes.crossings {
            let child = |random: &mut Random| {
                space.held(match number < sizes.mutations {
                    true => breed::mutate(space, random.pick(&parents), random),
                    false => breed::cross(space, random.pick(&parents), random.pick(&parents), random),
                })
            };
            bred.extend(run.fresh(child, &mut random));
        }
        if run.consider(bred)? == 0 {
            break;
        }
    }
    Ok(run.ranked)
}

/// Draws until one is new; so many at most, as a small space may have no more.
const TRIES: usize = 200;

struct Run<F> {
    seen: HashSet<String>,
    /// The best first.
    ranked: Vec<Ranked>,
    sizes: Sizes,
    evaluate: F,
}

impl<F: FnMut(&Candidate, f64) -> Result<f64>> Run<F> {
    fn fresh(&self, breed: impl Fn(&mut Random) -> Candidate, random: &mut Random) -> Option<Candidate> {
        (0..TRIES).map(|_| breed(random)).find(|candidate| !self.seen.contains(&candidate.to_string()))
    }

    /// Evaluates those that are new, as far as there is room; returns how many.
    fn consider(&mut self, candidates: Vec<Candidate>) -> Result<usize> {
        let before = self.ranked.len();
        for candidate in candidates {
            if self.ranked.len() >= self.sizes.evaluations || !self.seen.insert(candidate.to_string()) {
                continue;
            }
            let best = self.ranked.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
            let loss = (self.evaluate)(&candidate, best)?;
            self.ranked.push((candidate, if loss.is_nan() { f64::INFINITY } else { loss }));
        }
        // Equals stay in the order in which they were looked at.
        self.ranked.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        Ok(self.ranked.len() - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Kind};

    fn space() -> Space {
        Space::beyond(1e4, 32, 4096.0, 16_384.0)
    }

    fn seeds() -> Vec<Candidate> {
        space().seeds().into_iter().map(|(_, seed)| seed).collect()
    }

    /// How far from factors that climb from 1 to 5 in the middle, with none at the start; 3 at the best.
    fn loss(candidate: &Candidate) -> f64 {
        let factors = candidate.factors();
        let wanted = |pair: usize| 1.0 + 4.0 / (1.0 + (-(pair as f64 - 9.0) / 1.5).exp());
        let off = factors.iter().enumerate().map(|(pair, factor)| (factor / wanted(pair)).ln().powi(2));
        3.0 + off.sum::<f64>() + 0.01 * candidate.start_tokens() as f64
    }

    #[test]
    fn the_best_is_found_within_a_small_budget() {
        let space = space();
        let first = seeds().iter().map(loss).fold(f64::INFINITY, f64::min) - 3.0;
        for seed in 1..4 {
            let best = |sizes: Sizes| {
                let found = search(&space, seeds(), sizes, seed, |candidate, _| Ok(loss(candidate)));
                let found = found.expect("works");
                assert_eq!(found.len(), sizes.evaluations);
                assert!(found.is_sorted_by_key(|(_, loss)| *loss));
                assert_eq!(loss(&found[0].0), found[0].1);
                found[0].1 - 3.0
            };
            let (small, published) = (best(Sizes::within(192)), best(Sizes::PUBLISHED));
            assert!(small < 0.7 * first && published < 0.1 * first, "{first}, then {small} and {published}");
        }
    }

    #[test]
    fn a_search_is_the_same_by_its_seed_and_every_candidate_is_new() {
        let asked = |seed| {
            let mut asked = Vec::new();
            let found = search(&space(), seeds(), Sizes::within(80), seed, |candidate, best| {
                let least = asked.iter().map(|(_, loss): &(String, f64)| *loss).fold(f64::INFINITY, f64::min);
                assert!(best == least || asked.len() > 8, "{best}");
                asked.push((candidate.to_string(), loss(candidate)));
                Ok(loss(candidate))
            });
            found.expect("works");
            asked
        };
        let once = asked(7);
        assert_eq!(once, asked(7));
        assert_ne!(once, asked(8));
        let names: HashSet<_> = once.iter().map(|(name, _)| name).collect();
        assert_eq!((names.len(), once.len()), (80, 80));
    }

    #[test]
    fn a_search_by_short_texts_divides_the_slow_pairs_by_all() {
        // Over 4096 tokens pair 23 and those behind it do not turn once.
        search(&space().judged_by_less(), seeds(), Sizes::within(80), 7, |candidate, _| {
            assert!(candidate.factors()[23..].iter().all(|factor| *factor >= 4.0), "{candidate}");
            Ok(loss(candidate))
        })
        .expect("works");
    }

    #[test]
    fn what_is_no_number_is_the_worst_and_errors_end_the_search() {
        let mut number = 0;
        let ranked = search(&space(), seeds(), Sizes::within(9), 1, |_, _| {
            number += 1;
            Ok(if number == 3 { f64::NAN } else { 10.0 - f64::from(number) })
        });
        let ranked = ranked.expect("works");
        assert_eq!((ranked[0].1, ranked[8].1, ranked.len()), (1.0, f64::INFINITY, 9));
        let mut number = 0;
        let stopped = search(&space(), seeds(), Sizes::within(80), 1, |_, _| {
            number += 1;
            if number == 5 { Err(Error::new(Kind::Interrupted, "a", "b")) } else { Ok(1.0) }
        });
        assert_eq!((stopped.expect_err("stops").kind, number), (Kind::Interrupted, 5));
    }

    #[test]
    fn sizes_keep_within_what_was_published() {
        assert_eq!(Sizes::within(1344), Sizes::PUBLISHED);
        assert_eq!(Sizes::within(1 << 40), Sizes::PUBLISHED);
        assert_eq!(Sizes::within(240).population, 20);
        for evaluations in 1..200 {
            let sizes = Sizes::within(evaluations);
            assert!(sizes.population <= evaluations && sizes.parents >= 1 && sizes.mutations >= 1, "{sizes:?}");
        }
    }
}
