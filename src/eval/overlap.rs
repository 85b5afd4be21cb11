//! How much of a gold answer an answer has: token F1 as QASPER's evaluator counts it, and ROUGE-L.

use std::collections::HashMap;

/// Token F1, the best over the references. Capitals, ASCII punctuation and the words a, an and the do not count; a
/// token counts as often as both have it. As `token_f1_score` of QASPER's evaluator (arXiv:2105.03011), which took it
/// from SQuAD's.
pub fn token_f1(answer: &str, references: &[String]) -> f64 {
    best(references, |reference| {
        let (answer, reference) = (plain_tokens(answer), plain_tokens(reference));
        let mut left: HashMap<&str, usize> = HashMap::new();
        reference.iter().for_each(|token| *left.entry(token).or_default() += 1);
        let same = answer.iter().filter(|token| match left.get_mut(token.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        });
        f_measure(same.count(), answer.len(), reference.len())
    })
}

/// ROUGE-L's F-measure, the best over the references: the longest common subsequence of runs of a-z and 0-9, as the
/// package rouge_score counts it without stemming. Other letters separate, so that it says nothing of other scripts.
pub fn rouge_l(answer: &str, references: &[String]) -> f64 {
    best(references, |reference| {
        let (answer, reference) = (ascii_words(answer), ascii_words(reference));
        f_measure(common_subsequence(&answer, &reference), answer.len(), reference.len())
    })
}

fn best(references: &[String], score: impl Fn(&str) -> f64) -> f64 {
    references.iter().map(|reference| score(reference)).fold(0.0, f64::max)
}

fn f_measure(same: usize, answer: usize, reference: usize) -> f64 {
    if same == 0 { 0.0 } else { 2.0 * same as f64 / (answer + reference) as f64 }
}

fn plain_tokens(text: &str) -> Vec<String> {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // An article is one between whatever is no letter, digit or underscore, as \b has it: not only between spaces.
    let mut tokens = Vec::new();
    for token in text.split_whitespace() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut kept = String::new();
        let mut rest = token;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(end);
            kept.push_str(if ["a", "an", "the"].contains(&part) { " " } else { part });
            rest = behind;
        }
        tokens.extend(kept.split_whitespace().map(str::to_string));
    }
    tokens
}

fn ascii_words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_string).collect()
}

/// The length of the longest common subsequence.
fn common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of QASPER's own function.
    #[test]
    fn token_f1_is_qaspers() {
        for (answer, reference, expected) in [
            ("The relu, selu and tanh.", "relu, selu, tanh", 0.857_142_857_142_857_1),
            ("a-b the the cat cat", "ab cat cat dog", 0.857_142_857_142_857_1),
            ("Yes", "No", 0.0),
            ("", "x", 0.0),
            ("the", "a", 0.0),
            ("Über naïve’s “test”, the_end", "über naïves test the end", 0.25),
            ("BERT base; BERT large", "BERT", 0.4),
        ] {
            let got = token_f1(answer, &[reference.to_string()]);
            assert!((got - expected).abs() < 1e-12, "{answer}: {got}");
        }
        assert_eq!(plain_tokens("“the” cat’s an–other"), ["“", "”", "cat’s", "–other"]);
        assert_eq!(token_f1("no", &["Yes".into(), "No.".into()]), 1.0);
        assert_eq!(token_f1("no", &[]), 0.0);
    }

    /// Values of rouge_score 0.1.2.
    #[test]
    fn rouge_l_is_that_of_the_package() {
        for (answer, reference, expected) in [
            ("The relu, selu and tanh.", "relu, selu, tanh", 0.75),
            ("police kill the gunman", "police killed the gunman", 0.75),
            ("the gunman kill police", "police killed the gunman", 0.5),
            ("a b c d e f", "a c b d x f g", 0.615_384_615_384_615_4),
            ("", "x", 0.0),
            ("naïve BERT-base", "naive BERT base", 0.571_428_571_428_571_5),
        ] {
            let got = rouge_l(answer, &[reference.to_string()]);
            assert!((got - expected).abs() < 1e-12, "{answer}: {got}");
        }
    }
}
