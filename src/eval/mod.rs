//! Tests of long contexts as text: what is asked, what counts as right, and how sure a figure is. Knows no tensors and
//! no tokenizer; who asks brings a way to count tokens.

pub mod longppl;
mod needle;
pub mod overlap;
mod passkey;
pub mod questions;
mod ruler;
pub mod score;

pub use needle::Needle;
pub use passkey::passkey;
pub use ruler::Task;

use crate::Result;
use serde::{Deserialize, Serialize};

/// A question with a known answer somewhere in a long text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The text and the question.
    pub question: String,
    /// How the answer begins; the model goes on from here.
    pub prefix: String,
    /// What the answer must hold; each counts alike.
    pub references: Vec<String>,
    pub max_tokens: usize,
}

/// The sample with the most filling that keeps within `most` tokens of prompt; `make` takes the amount of filling, and
/// gives samples that grow with it. None where not even an empty one fits.
pub fn largest(
    most: usize,
    make: impl Fn(usize) -> Sample,
    count: impl Fn(&Sample) -> Result<usize>,
) -> Result<Option<Sample>> {
    let fits = |amount: usize| Ok::<_, crate::Error>(count(&make(amount))? <= most);
    if !fits(0)? {
        return Ok(None);
    }
    // A guess from a small sample, then the border between what fits and what does not.
    let (few, empty) = (count(&make(64))?, count(&make(0))?);
    let each = (few.saturating_sub(empty) as f64 / 64.0).max(0.05);
    let mut low = 0;
    let mut high = ((most - empty) as f64 / each * 1.05) as usize + 2;
    while fits(high)? {
        (low, high) = (high, high * 2);
    }
    // Near enough is within one part in two hundred.
    while high - low > 1 + high / 200 {
        let middle = low + (high - low) * 9 / 10;
        if fits(middle)? { low = middle } else { high = middle }
    }
    Ok(Some(make(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(amount: usize) -> Sample {
        let question = "w ".repeat(10 + 3 * amount);
        Sample { question, prefix: String::new(), references: Vec::new(), max_tokens: 1 }
    }

    #[test]
    fn the_largest_that_fits_is_found() {
        let count = |sample: &Sample| Ok(sample.question.len() / 2);
        for most in [10, 12, 13, 500, 10_000] {
            let found = largest(most, words, count).unwrap().expect("fits");
            let tokens = found.question.len() / 2;
            assert!(tokens <= most && tokens + 3 + most / 150 > most, "{tokens} of {most}");
        }
        assert_eq!(largest(9, words, count).unwrap(), None);
    }
}
