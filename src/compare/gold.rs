//! Answers held to right ones: the overlap of their words (token F1, as SQuAD scores it: Rajpurkar et al. 2016) and of their
//! order (ROUGE-L: Lin 2004, with precision and recall weighed alike). Both are blind to what words mean.

use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// Words in lower case without punctuation and English articles; each ideograph, kana and hangul syllable is one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.nfkc().flat_map(char::to_lowercase) {
        if is_east_asian(c) || !c.is_alphanumeric() {
            words.push(std::mem::take(&mut word));
        }
        match c {
            c if is_east_asian(c) => words.push(c.to_string()),
            c if c.is_alphanumeric() => word.push(c),
            _ => {}
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty() && !["a", "an", "the"].contains(&word.as_str()));
    words
}

fn is_east_asian(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ac00}'..='\u{d7a3}')
}

/// The harmonic mean of precision and recall; 0 where nothing is shared.
fn f(shared: usize, answer: usize, gold: usize) -> f64 {
    if shared == 0 { 0.0 } else { 2.0 * shared as f64 / (answer + gold) as f64 }
}

/// 0 to 1; of several right answers the nearest counts.
pub fn token_f1(answer: &str, gold: &[&str]) -> f64 {
    best(answer, gold, |answer, gold| {
        let mut left: HashMap<&str, usize> = HashMap::new();
        gold.iter().for_each(|word| *left.entry(word).or_default() += 1);
        let shared = answer.iter().filter(|word| match left.get_mut(word.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        });
        shared.count()
    })
}

/// 0 to 1; of several right answers the nearest counts.
pub fn rouge_l(answer: &str, gold: &[&str]) -> f64 {
    best(answer, gold, longest_common_subsequence)
}

fn best(answer: &str, gold: &[&str], shared: impl Fn(&[String], &[String]) -> usize) -> f64 {
    let answer = words(answer);
    let scores = gold.iter().map(|gold| {
        let gold = words(gold);
        f(shared(&answer, &gold), answer.len(), gold.len())
    });
    scores.fold(0.0, f64::max)
}

fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    // Row by row; `row[j]` is the length for what is read of `a` and the first j words of `b`.
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let longest = if word == other { diagonal + 1 } else { row[at].max(row[at + 1]) };
            diagonal = std::mem::replace(&mut row[at + 1], longest);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn f1_counts_words_as_often_as_both_have_them() {
        // cat sat on mat | cat on mat mat: three shared of four and four.
        near(token_f1("The cat sat on the mat.", &["A cat on a mat, mat!"]), 2.0 * 3.0 / 8.0);
        near(token_f1("BLEU of 28.4", &["bleu OF 28.4"]), 1.0);
        near(token_f1("no", &["yes", "no"]), 1.0);
        near(token_f1("", &["yes"]), 0.0);
        // 精度が上 | 精度: two of four and two.
        near(token_f1("精度が上", &["精度"]), 2.0 * 2.0 / 6.0);
    }

    #[test]
    fn rouge_l_counts_what_comes_in_the_same_order() {
        // police killed gunman | police kill gunman: police … gunman.
        near(rouge_l("police killed the gunman", &["police kill the gunman"]), 2.0 * 2.0 / 6.0);
        // gunman killed police: one word in order.
        near(rouge_l("the gunman kill police", &["police kill the gunman"]), 2.0 * 1.0 / 6.0);
        near(rouge_l("x", &["y"]), 0.0);
    }
}
