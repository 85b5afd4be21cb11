//! A sentence at the start of a text and the question for it at the end: what LongRoPE2 (arXiv:2502.20082, appendix C)
//! measures factors by.

use super::ruler::{seven_digits, word_key};
use crate::random::Random;

/// What stands before a text and behind it, and the answer that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    pub before: String,
    pub after: String,
    pub answer: String,
}

impl Needle {
    pub fn new(random: &mut Random) -> Needle {
        let (key, number) = (word_key(random), seven_digits(random));
        Needle {
            before: format!(
                "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you \
                 about the number afterwards.\nOne of the special magic numbers for {key} is: {number}."
            ),
            after: format!(
                " What is the special magic number for {key} mentioned in the provided text? The special magic number \
                 for {key} mentioned in the provided text is"
            ),
            answer: format!(" {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_told_once_before_the_text_and_asked_for_behind_it() {
        let needle = Needle::new(&mut Random::new(1, "needle"));
        let told = format!("is:{}.", needle.answer);
        assert!(needle.before.ends_with(&told) && !needle.after.contains(needle.answer.trim()), "{needle:?}");
        let key = needle.after.split(" for ").nth(1).expect("a key").split(' ').next().expect("a word");
        assert_eq!((needle.before.matches(key).count(), needle.after.matches(key).count()), (1, 2));
        assert_ne!(needle, Needle::new(&mut Random::new(2, "needle")));
    }
}
