//! What counts as right, and how sure a figure is.

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// A figure with the ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A share of `all` that are `right`, with Wilson's interval.
pub fn wilson(right: f64, all: usize) -> Estimate {
    let n = all.max(1) as f64;
    let p = right / n;
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Estimate { value: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// A mean with the normal interval of its standard error.
pub fn mean(values: &[f64]) -> Estimate {
    let n = values.len().max(1) as f64;
    let value = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half = Z * (variance / n).sqrt();
    Estimate { value, low: value - half, high: value + half }
}

/// Student's t for a two-sided 95 % interval, by degrees of freedom from 1 on.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean of a few draws with Student's interval; one draw says nothing of how sure it is.
pub fn mean_of_few(values: &[f64]) -> Option<Estimate> {
    let freedom = values.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
    let Estimate { value, high, .. } = mean(values);
    // Beyond the table by the first terms of the expansion in 1 / freedom.
    let beyond = || Z + (Z.powi(3) + Z) / (4.0 * freedom as f64);
    let half = (high - value) / Z * T.get(freedom - 1).copied().unwrap_or_else(beyond);
    Some(Estimate { value, low: value - half, high: value + half })
}

/// A mean over all values, with the interval of means over groups that are drawn again, each as often as chance has it:
/// what stands in one group is no independent draw. A single group's values are drawn themselves.
pub fn bootstrap(groups: &[Vec<f64>]) -> Estimate {
    let groups: Vec<Vec<f64>> = match groups {
        [one] => one.iter().map(|value| vec![*value]).collect(),
        several => several.iter().filter(|group| !group.is_empty()).cloned().collect(),
    };
    let mean_of = |drawn: &mut dyn Iterator<Item = &Vec<f64>>| {
        let (sum, count) = drawn.flatten().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
        sum / count.max(1) as f64
    };
    let value = mean_of(&mut groups.iter());
    if groups.is_empty() {
        return Estimate { value, low: value, high: value };
    }
    let mut random = Random::new(0, "bootstrap");
    let mut means: Vec<f64> =
        (0..DRAWS).map(|_| mean_of(&mut (0..groups.len()).map(|_| random.pick(&groups)))).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((DRAWS - 1) as f64 * share).round() as usize];
    Estimate { value, low: at(0.025), high: at(0.975) }
}

/// Of the bootstrap.
const DRAWS: usize = 4000;

/// What a difference of losses says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Better,
    Worse,
    /// The interval holds zero.
    Tie,
}

impl Verdict {
    /// Of what was taken from, minus what it is held against.
    pub fn of(difference: Estimate) -> Verdict {
        match difference {
            Estimate { high, .. } if high < 0.0 => Verdict::Better,
            Estimate { low, .. } if low > 0.0 => Verdict::Worse,
            _ => Verdict::Tie,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Tie => "a tie",
        }
    }
}

/// The share of the references that an answer holds, capitals aside.
pub fn holds(answer: &str, references: &[String]) -> f64 {
    let answer = answer.to_lowercase();
    let found = references.iter().filter(|reference| answer.contains(&reference.to_lowercase())).count();
    found as f64 / references.len().max(1) as f64
}

/// 1 where the first number of an answer is the one asked for.
pub fn first_number(answer: &str, reference: &str) -> f64 {
    let digits = answer.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    f64::from(u8::from(!reference.is_empty() && digits[..end] == *reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_books() {
        let all = wilson(10.0, 10);
        assert!((all.low - 0.722_467).abs() < 1e-5 && (all.high - 1.0).abs() < 1e-12, "{all:?}");
        let half = wilson(5.0, 10);
        assert!((half.low - 0.236_593).abs() < 1e-5 && (half.high - 0.763_407).abs() < 1e-5, "{half:?}");
        let two = mean(&[1.0, 3.0]);
        assert!((two.value - 2.0).abs() < 1e-12 && (two.high - 2.0 - Z).abs() < 1e-9, "{two:?}");
        assert_eq!(mean(&[4.0]).high, 4.0);
    }

    #[test]
    fn few_draws_are_less_sure() {
        // 1, 2, 3: deviation 1, standard error 1 / sqrt(3), t for two degrees 4.303.
        let three = mean_of_few(&[1.0, 2.0, 3.0]).expect("three");
        assert!((three.high - 2.0 - 4.303 / 3f64.sqrt()).abs() < 1e-9, "{three:?}");
        assert_eq!((mean_of_few(&[1.0]), mean_of_few(&[])), (None, None));
        let many: Vec<f64> = (0..61).map(f64::from).collect();
        let (t, normal) = (mean_of_few(&many).expect("many"), mean(&many));
        // t for 60 degrees is 2.000.
        assert!(((t.high - t.value) / (normal.high - normal.value) * Z - 2.000).abs() < 2e-3, "{t:?}");
    }

    #[test]
    fn groups_are_drawn_as_a_whole() {
        let found = bootstrap(&[vec![0.0; 50], vec![1.0; 50]]);
        assert_eq!((found.value, found.low, found.high), (0.5, 0.0, 1.0));
        // 100 tosses of a coin: the normal interval is 0.5 ± 0.098.
        let alone: Vec<Vec<f64>> = (0..100).map(|n| vec![f64::from(n % 2)]).collect();
        let found = bootstrap(&alone);
        assert!((found.low - 0.402).abs() < 0.02 && (found.high - 0.598).abs() < 0.02, "{found:?}");
        assert_eq!(bootstrap(&[alone.concat()]), found);
        assert_eq!(bootstrap(&[]), Estimate { value: 0.0, low: 0.0, high: 0.0 });
        // Groups count by their size.
        assert_eq!(bootstrap(&[vec![1.0], vec![0.0, 0.0, 0.0], vec![]]).value, 0.25);
    }

    #[test]
    fn a_difference_that_may_be_zero_is_a_tie() {
        let verdict = |low, high| Verdict::of(Estimate { value: (low + high) / 2.0, low, high });
        assert_eq!(
            [(-2.0, -1.0), (1.0, 2.0), (-0.1, 2.0), (0.0, 0.0)].map(|(low, high)| verdict(low, high)),
            [Verdict::Better, Verdict::Worse, Verdict::Tie, Verdict::Tie]
        );
    }

    #[test]
    fn answers_are_held_to_their_references() {
        let references = ["ABCDE".to_string(), "FGHIJ".to_string()];
        assert_eq!(holds(" abcde, XXXXX", &references), 0.5);
        assert_eq!(holds("FGHIJ and ABCDE", &references), 1.0);
        assert_eq!((first_number(" 12345. So", "12345"), first_number("no 1234", "12345")), (1.0, 0.0));
        assert_eq!((first_number("123456", "12345"), first_number("", "1")), (0.0, 0.0));
    }
}
