//! Small things about text that several parts of the reference reader need.

use crate::document::pattern;
pub use crate::document::pdf::is_cjk;
use regex::Regex;
use std::sync::LazyLock;

/// One line of several, as a reader would join them.
pub fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let last = out.chars().next_back();
        let first = line.chars().next().unwrap_or(' ');
        match last {
            Some('-') if first.is_lowercase() => drop(out.pop()),
            Some(last) if last != '-' && !(is_cjk(last) && is_cjk(first)) => out.push(' '),
            _ => {}
        }
        out.push_str(line);
    }
    out
}

/// Where sentences end in `text`: behind a full stop, a question or an exclamation mark, with white space behind it.
/// Initials and usual abbreviations end none.
pub fn sentence_ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.char_indices().filter(|(_, c)| matches!(c, '.' | '?' | '!' | '．' | '。')).filter_map(move |(at, c)| {
        let end = at + c.len_utf8();
        let rest = &text[end..];
        let wide = matches!(c, '．' | '。');
        let space = rest.is_empty() || rest.starts_with(char::is_whitespace) || wide;
        let next = rest.trim_start().chars().next();
        let goes_on = next.is_some_and(char::is_lowercase) && !starts_source(rest.trim_start());
        (space && !goes_on && !(c == '.' && is_abbreviation(&text[..at]))).then_some(end)
    })
}

/// Whether a title is over here, because what follows says where it appeared.
pub fn starts_source(rest: &str) -> bool {
    static SOURCE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(?:In:?\s|in:\s|(?i:arxiv|biorxiv|medrxiv|corr\b|proc(?:\.|eedings)|journal\s|advances in|transactions|https?:|doi)|[a-z\-]+\.(?:com|org|net|edu)\b)",
        )
    });
    SOURCE.is_match(rest)
}

/// Whether the full stop behind `before` only shortens a word.
fn is_abbreviation(before: &str) -> bool {
    const KNOWN: [&str; 27] = [
        "vs", "cf", "eg", "al", "etc", "no", "vol", "pp", "ed", "eds", "proc", "conf", "int", "intl", "trans", "symp",
        "dept", "univ", "st", "dr", "mr", "approx", "sp", "spp", "var", "subsp", "fig",
    ];
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || KNOWN.contains(&word.to_lowercase().as_str()) || word.contains('.') && word.len() <= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_one() {
        assert_eq!(joined("Pre-\ndicting clicks:\nestimating"), "Predicting clicks: estimating");
        assert_eq!(joined("サービス情報検\n索と Web\nサービス"), "サービス情報検索と Web サービス");
    }

    #[test]
    fn initials_and_abbreviations_end_no_sentence() {
        let ends = |text: &str| sentence_ends(text).map(|end| text[..end].to_string()).collect::<Vec<_>>();
        assert_eq!(
            ends("Eucalyptus sieberi (L. Johnson) forests. J. Bot."),
            ["Eucalyptus sieberi (L. Johnson) forests.", "Eucalyptus sieberi (L. Johnson) forests. J. Bot."]
        );
        assert_eq!(ends("Pinus patula Schlect. et Cham. on streamflow").len(), 0);
        assert_eq!(ends("Is it so? Yes"), ["Is it so?"]);
    }
}
