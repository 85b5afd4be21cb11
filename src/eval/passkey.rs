//! A number hidden in sentences that say nothing, as LongRoPE (arXiv:2402.13753) and others before it test.
//!
//! The number always has five digits, so that all are as hard; the filling is cut between sentences.

use super::Sample;
use crate::random::Random;

const TASK: &str = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I \
                    will quiz you about the important information there.";
pub(super) const NOISE: [&str; 5] =
    ["The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again."];

/// A sample with so many sentences of filling, the number behind `depth` of them (0 to 1).
pub fn passkey(random: &mut Random, sentences: usize, depth: f64) -> Sample {
    let key = 10_000 + random.below(90_000);
    let before = (sentences as f64 * depth).round() as usize;
    let filling = |from: usize, to: usize| (from..to).map(|i| NOISE[i % NOISE.len()]).collect::<Vec<_>>().join(" ");
    let parts = [
        TASK.to_string(),
        filling(0, before),
        format!("The pass key is {key}. Remember it. {key} is the pass key."),
        filling(before, sentences),
        "What is the pass key?".to_string(),
    ];
    Sample {
        question: parts.join("\n"),
        prefix: " The pass key is".into(),
        references: vec![key.to_string()],
        max_tokens: 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_at_its_depth_once_told() {
        for (depth, before) in [(0.0, 0), (0.5, 50), (1.0, 100)] {
            let sample = passkey(&mut Random::new(7, "passkey"), 100, depth);
            let (key, told) = (&sample.references[0], sample.question.matches("The pass key is ").count());
            assert_eq!((key.len(), told, sample.question.matches(key.as_str()).count()), (5, 1, 2));
            let start = sample.question.split("The pass key is").next().expect("a start");
            let noise: usize = NOISE.iter().map(|noise| start.matches(noise).count()).sum();
            assert_eq!(noise, before, "{depth}");
        }
        let draw = |purpose: &str| passkey(&mut Random::new(7, purpose), 5, 0.0).references;
        assert_ne!(draw("a"), draw("b"));
    }
}
