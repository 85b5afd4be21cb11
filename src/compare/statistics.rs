//! How sure a figure is: intervals by resampling papers, differences of models on the same papers, and what of them is more
//! than chance.
//!
//! A model's figure is the mean over papers of the mean over trials, so that each paper counts alike. Its interval is the
//! percentile bootstrap over papers (Efron and Tibshirani 1993, chapter 13). Whether two models differ is tested by
//! permutation: with [`ENOUGH_PAPERS`] papers the signs of the papers' differences are flipped, which speaks about other
//! papers too; with fewer, trials are exchanged between the two models within each paper, which speaks about these papers
//! only. Several comparisons are held to one level by Holm's method (1979).

use crate::eval::score::bootstrap;
use crate::random::Random;
use serde::Serialize;

/// Below this, flipping signs cannot reach the level: 2 / 2⁵ is above it.
pub const ENOUGH_PAPERS: usize = 6;
/// A difference is stated where chance would give one as large less often than this, all pairs of a figure together.
pub const LEVEL: f64 = 0.05;
const DRAWS: usize = 10_000;

/// A mean and what it may be, to 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub value: f64,
    /// Of one paper nothing is known but itself.
    pub interval: Option<(f64, f64)>,
    pub papers: usize,
}

/// What a difference speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Papers like these.
    Papers,
    /// These papers, whatever the draw of a trial.
    Trials,
}

/// How much more one model has of a figure than another, on the papers that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub estimate: Estimate,
    pub scope: Scope,
    /// Of one so large by chance; none where there are too few papers and trials to tell.
    pub p: Option<f64>,
}

pub fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// With n - 1 below the line; 0 of a single value.
pub fn deviation(values: &[f64]) -> f64 {
    let mean = average(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len().max(2) - 1) as f64).sqrt()
}

/// The mean of the papers' means, with its interval.
pub fn estimate(papers: &[f64]) -> Estimate {
    let interval = (papers.len() > 1).then(|| {
        let each: Vec<Vec<f64>> = papers.iter().map(|mean| vec![*mean]).collect();
        let drawn = bootstrap(&each);
        (drawn.low, drawn.high)
    });
    Estimate { value: average(papers), interval, papers: papers.len() }
}

/// Model a against model b: for each paper that both have, the trials of each.
pub fn difference(papers: &[(Vec<f64>, Vec<f64>)]) -> Difference {
    let differences: Vec<f64> = papers.iter().map(|(a, b)| average(a) - average(b)).collect();
    let estimate = estimate(&differences);
    match papers.len() >= ENOUGH_PAPERS {
        true => Difference { estimate, scope: Scope::Papers, p: Some(flipped(&differences)) },
        false => Difference { estimate, scope: Scope::Trials, p: exchanged(papers) },
    }
}

/// What is preferred to what: for each paper a number for each trial, above 0 where the one is. By chance each could as well
/// have been the other way round.
pub fn preference(papers: &[Vec<f64>]) -> Difference {
    let means: Vec<f64> = papers.iter().map(|trials| average(trials)).collect();
    let estimate = estimate(&means);
    match papers.len() >= ENOUGH_PAPERS {
        true => Difference { estimate, scope: Scope::Papers, p: Some(flipped(&means)) },
        // Each trial weighs as much as it does in its paper's mean.
        false => {
            let weighed = papers.iter().flat_map(|trials| trials.iter().map(|trial| trial / trials.len() as f64));
            Difference { estimate, scope: Scope::Trials, p: Some(flipped(&weighed.collect::<Vec<_>>())) }
        }
    }
}

/// How often random signs give a mean as far from 0.
fn flipped(differences: &[f64]) -> f64 {
    let seen = differences.iter().sum::<f64>().abs();
    let mut random = Random::new(42, "signs");
    beyond(seen, || differences.iter().map(|d| if random.below(2) == 0 { *d } else { -d }).sum::<f64>().abs())
}

/// How often trials dealt anew between the models give a mean as far from 0; none where no paper has two trials of a model.
fn exchanged(papers: &[(Vec<f64>, Vec<f64>)]) -> Option<f64> {
    if papers.iter().all(|(a, b)| a.len().max(b.len()) < 2) {
        return None;
    }
    let of = |a: &[f64], b: &[f64]| average(a) - average(b);
    let seen = papers.iter().map(|(a, b)| of(a, b)).sum::<f64>().abs();
    let mut random = Random::new(42, "trials");
    let deal = || {
        let dealt = papers.iter().map(|(a, b)| {
            let mut all = [a.as_slice(), b.as_slice()].concat();
            random.shuffle(&mut all);
            of(&all[..a.len()], &all[a.len()..])
        });
        dealt.sum::<f64>().abs()
    };
    Some(beyond(seen, deal))
}

/// The share of draws that reach `seen`, which itself counts as one (Davison and Hinkley 1997, 4.2).
fn beyond(seen: f64, mut draw: impl FnMut() -> f64) -> f64 {
    // What differs by rounding is the same.
    let reached = (0..DRAWS).filter(|_| draw() >= seen * (1.0 - 1e-12)).count();
    (reached + 1) as f64 / (DRAWS + 1) as f64
}

/// Which of several tests hold together at [`LEVEL`]: the smallest of m against level / m, the next against level / (m - 1),
/// until one fails.
pub fn holm(p: &[Option<f64>]) -> Vec<bool> {
    let mut order: Vec<(usize, f64)> = p.iter().enumerate().filter_map(|(at, p)| Some((at, (*p)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut held = vec![false; p.len()];
    let tests = order.len();
    for (rank, (at, p)) in order.into_iter().enumerate() {
        if p > LEVEL / (tests - rank) as f64 {
            break;
        }
        held[at] = true;
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(a: &[f64], b: &[f64]) -> Vec<(Vec<f64>, Vec<f64>)> {
        a.iter().zip(b).map(|(a, b)| (vec![*a], vec![*b])).collect()
    }

    #[test]
    fn means_and_deviations() {
        assert_eq!((average(&[1.0, 2.0, 6.0]), average(&[])), (3.0, 0.0));
        // Squares 4, 1 and 9 over 2.
        assert!((deviation(&[1.0, 2.0, 6.0]) - 7.0f64.sqrt()).abs() < 1e-12);
        assert_eq!(deviation(&[5.0]), 0.0);
    }

    #[test]
    fn an_interval_is_as_wide_as_the_papers_differ() {
        let papers: Vec<f64> = (0..100).map(|n| f64::from(n % 10)).collect();
        let Estimate { value, interval: Some((low, high)), papers: count } = estimate(&papers) else { panic!() };
        assert_eq!((value, count), (4.5, 100));
        // Deviation 2.87 over √100, times 1.96: 0.563 each way.
        assert!((low - 3.937).abs() < 0.03 && (high - 5.063).abs() < 0.03, "{low} {high}");
        assert_eq!(estimate(&[3.0]).interval, None);
        assert_eq!(estimate(&[2.0, 2.0]).interval, Some((2.0, 2.0)));
    }

    #[test]
    fn a_difference_in_every_one_of_many_papers_is_no_chance() {
        let a: Vec<f64> = (0..12).map(|n| f64::from(n) + 1.0).collect();
        let b: Vec<f64> = (0..12).map(f64::from).collect();
        let found = difference(&pairs(&a, &b));
        assert_eq!((found.scope, found.estimate.value), (Scope::Papers, 1.0));
        // 2 of 2¹² arrangements are as far out: 0.0005.
        assert!(found.p.unwrap() < 0.002, "{found:?}");
        // Six papers, 2 of 64: 0.031.
        let six = difference(&pairs(&a[..6], &b[..6])).p.unwrap();
        assert!((six - 0.031).abs() < 0.006, "{six}");
        let mixed = difference(&pairs(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]));
        assert!(mixed.p.unwrap() > 0.9);
    }

    #[test]
    fn few_papers_speak_through_their_trials_or_not_at_all() {
        assert_eq!(difference(&pairs(&[5.0, 6.0, 7.0], &[1.0, 2.0, 3.0])).p, None, "one trial each");
        let trials = |low: f64| vec![low, low + 0.1, low + 0.2];
        let papers: Vec<_> = (0..3).map(|n| (trials(f64::from(n) + 5.0), trials(f64::from(n)))).collect();
        let found = difference(&papers);
        // Each of three papers is dealt so, or the other way round, 2 times in 20³.
        assert!(found.scope == Scope::Trials && found.p.unwrap() < 0.003, "{found:?}");
        let same: Vec<_> = (0..3).map(|n| (trials(f64::from(n)), trials(f64::from(n)))).collect();
        assert!(difference(&same).p.unwrap() > 0.9);
    }

    #[test]
    fn a_preference_is_held_against_signs_that_chance_could_have_turned() {
        let of_papers = |wins: usize, losses: usize| {
            let papers: Vec<Vec<f64>> = [vec![vec![1.0]; wins], vec![vec![-1.0]; losses]].concat();
            preference(&papers)
        };
        let clear = of_papers(12, 0);
        assert_eq!((clear.scope, clear.estimate.interval), (Scope::Papers, Some((1.0, 1.0))));
        assert!(clear.p.unwrap() < 0.002);
        assert!(of_papers(6, 5).p.unwrap() > 0.9);
        // Two papers of five trials each, all won: 2 of 2¹⁰ arrangements.
        let trials = preference(&[vec![1.0; 5], vec![1.0; 5]]);
        assert!(trials.scope == Scope::Trials && (trials.p.unwrap() - 0.002).abs() < 0.002, "{trials:?}");
        assert_eq!(preference(&[vec![1.0]]).p, Some(1.0), "the other way round it would be as far from 0");
    }

    #[test]
    fn many_tests_are_held_to_one_level() {
        assert_eq!(holm(&[Some(0.01), Some(0.06), None, Some(0.02)]), [true, false, false, true]);
        // 0.02 is below 0.05 / 2 only if 0.01 is below 0.05 / 3, and 0.03 below 0.05.
        assert_eq!(holm(&[Some(0.01), Some(0.03), Some(0.024)]), [true, true, true]);
        assert_eq!(holm(&[Some(0.02), Some(0.04), Some(0.03)]), [false, false, false]);
        assert_eq!(holm(&[]), Vec::<bool>::new());
    }
}
