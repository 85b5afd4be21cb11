//! What counts as right, and how sure a figure is.

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
    fn answers_are_held_to_their_references() {
        let references = ["ABCDE".to_string(), "FGHIJ".to_string()];
        assert_eq!(holds(" abcde, XXXXX", &references), 0.5);
        assert_eq!(holds("FGHIJ and ABCDE", &references), 1.0);
        assert_eq!((first_number(" 12345. So", "12345"), first_number("no 1234", "12345")), (1.0, 0.0));
        assert_eq!((first_number("123456", "12345"), first_number("", "1")), (0.0, 0.0));
    }
}
