//! How new candidates come from others: by mutation, as LongRoPE and LongRoPE2 do it and as a whole, and by crossing.

use super::space::{Candidate, Space, ascending};
use crate::random::Random;

/// The share of what is drawn anew in a mutation, in percent.
const MUTATED: usize = 30;

/// A candidate that differs from its parent in about a third of what it is made of.
pub fn mutate(space: &Space, parent: &Candidate, random: &mut Random) -> Candidate {
    let start_tokens = or_new(parent.start_tokens, &space.start_tokens, random);
    let attention_factor = or_new(parent.attention_factor, &space.attention_factors, random);
    match (parent.critical, space.critical_steps) {
        (Some(critical), Some(range)) => {
            let (first, last) = space.critical_pairs();
            let critical = match mutated(random) {
                true => (critical + random.below(3)).saturating_sub(1).clamp(first, last),
                false => critical,
            };
            let steps = between_neighbours(&parent.steps, critical, range, random);
            space.by_ntk(steps, critical, start_tokens, attention_factor)
        }
        _ => {
            let range = (100, space.most);
            let steps = match random.below(3) {
                0 => between_neighbours(&parent.steps, 0, range, random),
                1 => scaled_from(&parent.steps, range, random),
                _ => moved(&parent.steps, random),
            };
            Candidate { steps, start_tokens, attention_factor, critical: None }
        }
    }
}

/// A candidate between two parents or a little beyond one of them, or one that has each of its parts from either.
pub fn cross(space: &Space, one: &Candidate, other: &Candidate, random: &mut Random) -> Candidate {
    let weight = random.below(151) as f64 / 100.0 - 0.25;
    let between = |pair: usize| {
        let (a, b) = (f64::from(one.steps[pair]), f64::from(other.steps[pair]));
        (a + weight * (b - a)).round().max(100.0) as u32
    };
    let blended = random.below(2) == 0;
    let mut either = || if random.below(2) == 0 { one } else { other };
    let mut step = |pair| if blended { between(pair) } else { either().steps[pair] };
    let steps = (0..one.steps.len()).map(|pair| step(pair).min(space.most)).collect();
    let (start_tokens, attention_factor) = (either().start_tokens, either().attention_factor);
    Candidate { steps: ascending(steps), start_tokens, attention_factor, critical: None }
}

fn mutated(random: &mut Random) -> bool {
    random.below(100) < MUTATED
}

fn or_new<T: Copy>(old: T, choices: &[T], random: &mut Random) -> T {
    if mutated(random) { *random.pick(choices) } else { old }
}

/// Some factors from pair `first` on drawn anew between the neighbours', the one before already mutated; the first and
/// the last go as far as the range does. Those before `first` stay.
fn between_neighbours(steps: &[u32], first: usize, (least, most): (u32, u32), random: &mut Random) -> Vec<u32> {
    let mut steps = steps.to_vec();
    for pair in first..steps.len() {
        if mutated(random) {
            let low = if pair == first { least } else { steps[pair - 1].max(least) };
            let high = steps.get(pair + 1).copied().unwrap_or(most).max(low);
            steps[pair] = low + random.below((high - low + 1) as usize) as u32;
        }
    }
    ascending(steps)
}

/// All factors from some pair on, times one number: what lies flat climbs or sinks as a whole.
fn scaled_from(steps: &[u32], (least, most): (u32, u32), random: &mut Random) -> Vec<u32> {
    let first = random.below(steps.len());
    let times = 0.8 + random.below(46) as f64 / 100.0;
    let scaled = |(pair, step): (usize, &u32)| match pair >= first {
        true => ((f64::from(*step) * times).round() as u32).clamp(least, most),
        false => *step,
    };
    ascending(steps.iter().enumerate().map(scaled).collect())
}

/// The whole slope, up to three pairs to either side.
fn moved(steps: &[u32], random: &mut Random) -> Vec<u32> {
    let by = random.below(3) + 1;
    let to_the_right = random.below(2) == 0;
    let last = steps.len() - 1;
    let from = |pair: usize| if to_the_right { pair.saturating_sub(by) } else { (pair + by).min(last) };
    (0..=last).map(|pair| steps[from(pair)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_possible(space: &Space, candidate: &Candidate) {
        let factors = candidate.factors();
        let most = if candidate.critical.is_some() { 2.0 * 4.0 } else { 1.25 * 4.0 };
        assert!(factors.is_sorted() && factors[0] >= 1.0 && factors[factors.len() - 1] <= most, "{candidate}");
        assert!(space.start_tokens.contains(&candidate.start_tokens), "{candidate}");
        assert!(space.attention_factors.contains(&candidate.attention_factor), "{candidate}");
        if let Some(critical) = candidate.critical {
            assert!(factors[critical..].iter().all(|factor| *factor >= 4.0), "{candidate}");
            let expected = factors[critical].powf(0.5 * (critical / 2 * 2) as f64 / critical as f64);
            assert!((factors[critical / 2] - expected).abs() < 0.006, "{candidate}");
        }
    }

    #[test]
    fn what_is_bred_keeps_to_the_space() {
        let space = Space::beyond(1e4, 32, 4096.0, 16_384.0);
        let mut random = Random::new(3, "breed");
        let mut pool: Vec<Candidate> = space.seeds().into_iter().map(|(_, seed)| seed).collect();
        let (mut free, mut critical) = (0, 0);
        for round in 0..10_000 {
            let child = match round % 3 {
                0 => cross(&space, random.pick(&pool), random.pick(&pool), &mut random),
                _ => mutate(&space, random.pick(&pool), &mut random),
            };
            is_possible(&space, &child);
            *(if child.critical.is_some() { &mut critical } else { &mut free }) += 1;
            let place = random.below(pool.len() + 1).max(6);
            if place < pool.len() || pool.len() > 60 {
                pool.truncate(60);
            }
            pool.push(child);
        }
        assert!(free > 1000 && critical > 50, "{free} and {critical}");
    }

    #[test]
    fn a_readjustment_stays_near_the_models_own() {
        let space = Space::within(1e4, 8, 1024.0);
        let mut random = Random::new(3, "breed");
        let mut candidate = space.seeds().remove(0).1;
        for _ in 0..500 {
            candidate = mutate(&space, &candidate, &mut random);
            assert!(candidate.factors().iter().all(|factor| (1.0..=1.25).contains(factor)), "{candidate}");
            assert_eq!((candidate.start_tokens, candidate.attention_factor), (0, 1.0));
        }
        assert!(candidate.factors()[7] > 1.0, "{candidate}");
    }
}
