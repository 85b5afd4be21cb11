//! Answers that say the same again in slightly other words, sentence after sentence.

use std::collections::{BTreeSet, HashSet};

/// Letters that a sentence must have to be compared; forms such as "Metric: BLEU" may come again.
const TELLING_LETTERS: usize = 16;
/// Two sentences say the same if they share this much of their letters' trigrams.
const ALIKE: f64 = 0.6;
/// An answer goes in circles if it has this many such sentences,
const SENTENCES: usize = 2;
/// and they are at least this share of those compared.
const SHARE: f64 = 0.25;

/// `text` without the sentences that repeat an earlier one, if there are so many that the answer goes in circles.
pub(super) fn without(text: &str) -> Option<String> {
    let mut seen: Vec<Sentence> = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    let mut repeated = 0;
    for line in text.lines() {
        let mut left = String::new();
        let mut taken = false;
        for sentence in sentences(line) {
            match Sentence::of(sentence) {
                Some(this) if seen.iter().any(|earlier| this.repeats(earlier)) => {
                    (repeated, taken) = (repeated + 1, true)
                }
                this => {
                    seen.extend(this);
                    left.push_str(sentence);
                }
            }
        }
        if !taken || left.chars().any(char::is_alphabetic) {
            kept.push(left.trim_end().to_string());
        }
    }
    let circles = repeated >= SENTENCES && repeated as f64 >= SHARE * (repeated + seen.len()) as f64;
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    circles.then(|| without_bare_headings(&kept))
}

/// The sentences of a line, each with the white space behind it.
pub(crate) fn sentences(line: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut characters = line.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        // A numbered item's "2. " is no sentence.
        let ends = match c {
            '。' | '！' | '？' => true,
            '.' | '!' | '?' => next == Some(' ') && line[start..at].chars().filter(|c| c.is_alphabetic()).count() > 2,
            _ => false,
        };
        if ends {
            let rest = &line[at + c.len_utf8()..];
            let end = line.len() - rest.trim_start().len();
            sentences.push(&line[start..end]);
            start = end;
            while characters.next_if(|(at, _)| *at < end).is_some() {}
        }
    }
    sentences.push(&line[start..]);
    sentences
}

/// Joins lines, less the headings and the items ending in a colon under which nothing was left.
fn without_bare_headings(lines: &[&str]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut below: Option<&str> = None;
    for &line in lines.iter().rev() {
        if line.trim().is_empty() {
            kept.extend(kept.last().is_some_and(|next| !next.is_empty()).then_some(""));
        } else if !is_head(line) || below.is_some_and(|below| !is_head(below)) {
            kept.push(line);
            below = Some(line);
        }
    }
    kept.reverse();
    kept.join("\n").trim().to_string()
}

/// A line that only announces others: a heading, "Steps:", "2. **Training**".
fn is_head(line: &str) -> bool {
    let line = line.trim();
    let numbered = line.starts_with(|c: char| c.is_ascii_digit()) && line.ends_with("**");
    line.starts_with('#') || line.trim_end_matches('*').ends_with([':', '：']) || numbered
}

/// What a sentence says: its letters' trigrams, and its numbers, by which results differ.
struct Sentence {
    trigrams: HashSet<[char; 3]>,
    numbers: BTreeSet<String>,
}

impl Sentence {
    /// `None` for one too short to tell.
    fn of(sentence: &str) -> Option<Sentence> {
        let item = sentence.trim_start().trim_start_matches(|c: char| c.is_ascii_digit() || ".)-*# ".contains(c));
        let letters: Vec<char> = item.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
        let numbers = item.split(|c: char| !c.is_numeric() && c != '.').filter(|part| part.contains(char::is_numeric));
        let trigrams = letters.windows(3).map(|window| [window[0], window[1], window[2]]).collect();
        let numbers = numbers.map(|number| number.trim_matches('.').to_string()).collect();
        (letters.len() >= TELLING_LETTERS).then_some(Sentence { trigrams, numbers })
    }

    fn repeats(&self, earlier: &Sentence) -> bool {
        let shared = self.trigrams.intersection(&earlier.trigrams).count() as f64;
        let all = (self.trigrams.len() + earlier.trigrams.len()) as f64 - shared;
        self.numbers == earlier.numbers && shared >= ALIKE * all
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn sentences_that_come_again_are_left_out() {
        let circles = "手順は次のとおりです。\n\
            1. **準備**\n   - テンプレートファイルを用いて、論文のソースを作成します。\n\
            2. **投稿**\n   - テンプレート文件を用いて、論文のソースを作成します。\n\
            3. **修正**\n   - テンプレートファイルを用いて、论文のソースを作成します。\n\
            4. **紹介**\n   - テンプレートファイルを用いて、著者紹介のソースを作成します。\n\
            \n5. **査読**\n   - 最後に査読を待ちます。結果は電子メールで届きます。";
        let once = without(circles).unwrap();
        assert_eq!(
            once,
            "手順は次のとおりです。\n1. **準備**\n   - テンプレートファイルを用いて、論文のソースを作成します。\n\n\
             5. **査読**\n   - 最後に査読を待ちます。結果は電子メールで届きます。"
        );
    }

    #[test]
    fn a_paragraph_that_turns_round_is_cut_to_what_it_says_once() {
        let circles = "The paper proposes BERT, e.g. for tagging. The authors argue that current techniques restrict the power \
            of pre-trained representations. The authors argue that current techniques restrict the power of the \
            pre-trained representations and fine-tuning. The authors suggest that current techniques restrict the power \
            of the pre-trained representations.";
        let once = "The paper proposes BERT, e.g. for tagging. The authors argue that current techniques restrict the power \
            of pre-trained representations.";
        assert_eq!(without(circles).as_deref(), Some(once));
    }

    #[test]
    fn results_and_lists_that_only_look_alike_stay() {
        for text in [
            "- The base model reaches 27.3 BLEU on English to German.\n\
             - The big model reaches 28.4 BLEU on English to German.\n\
             - The small model reaches 25.1 BLEU on English to German.\n\
             - The tiny model reaches 21.7 BLEU on English to German.",
            "- Metric: BLEU\n- Metric: BLEU\n- Metric: BLEU\n- Metric: BLEU",
            "- Recurrent networks compute one position after another, which cannot be done in parallel.\n\
             - Convolutional networks need many layers to connect distant positions.\n\
             - Memory networks attend recurrently and were only tried on simple questions.",
        ] {
            assert_eq!(without(text), None, "{text}");
        }
    }
}
