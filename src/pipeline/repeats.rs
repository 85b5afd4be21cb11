//! Answers that say the same again in slightly other words, line after line.

use std::collections::{BTreeSet, HashSet};

/// Letters that a line must have to be compared; forms such as "Metric: BLEU" may come again.
const TELLING_LETTERS: usize = 16;
/// Two lines say the same if they share this much of their letters' trigrams.
const ALIKE: f64 = 0.6;
/// An answer goes in circles if it has this many such lines,
const LINES: usize = 3;
/// and they are at least this share of those compared.
const SHARE: f64 = 0.25;

/// `text` without the lines that repeat an earlier one, if there are so many that the answer goes in circles.
pub(super) fn without(text: &str) -> Option<String> {
    let mut seen: Vec<Line> = Vec::new();
    let mut kept: Vec<&str> = Vec::new();
    let mut repeated = 0;
    for line in text.lines() {
        match Line::of(line) {
            Some(this) if seen.iter().any(|earlier| this.repeats(earlier)) => repeated += 1,
            this => {
                seen.extend(this);
                kept.push(line);
            }
        }
    }
    let circles = repeated >= LINES && repeated as f64 >= SHARE * (repeated + seen.len()) as f64;
    circles.then(|| without_bare_headings(&kept))
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

/// What a line says: its letters' trigrams, and its numbers, by which lines of results differ.
struct Line {
    trigrams: HashSet<[char; 3]>,
    numbers: BTreeSet<String>,
}

impl Line {
    /// `None` for a line too short to tell.
    fn of(line: &str) -> Option<Line> {
        let item = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit() || ".)-*# ".contains(c));
        let letters: Vec<char> = item.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
        let numbers = item.split(|c: char| !c.is_numeric() && c != '.').filter(|part| part.contains(char::is_numeric));
        let trigrams = letters.windows(3).map(|window| [window[0], window[1], window[2]]).collect();
        let numbers = numbers.map(|number| number.trim_matches('.').to_string()).collect();
        (letters.len() >= TELLING_LETTERS).then_some(Line { trigrams, numbers })
    }

    fn repeats(&self, earlier: &Line) -> bool {
        let shared = self.trigrams.intersection(&earlier.trigrams).count() as f64;
        let all = (self.trigrams.len() + earlier.trigrams.len()) as f64 - shared;
        self.numbers == earlier.numbers && shared >= ALIKE * all
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn lines_that_come_again_are_left_out() {
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
