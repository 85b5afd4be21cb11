//! Web addresses in running text, where a line's end may have broken them.

use super::pattern;
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// Every address with its scheme: where it stands in `text`, and without the spaces and stops around it.
pub fn find(text: &str) -> Vec<(Range<usize>, String)> {
    static URL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?:https?|ftp):\s?//\s?[!#-;=?-Z_a-z~\[\]@]+"));
    let found = URL.find_iter(text).filter_map(|found| {
        let range = widened(text, found.range());
        let url = without_spaces(&text[range.clone()]);
        let url = trimmed(&url);
        let host = url.split("://").nth(1)?.split('/').next()?;
        let whole = host.len() > 3 && host.trim_start_matches("www.").contains('.');
        whole.then(|| (range, url.to_string()))
    });
    found.collect()
}

/// An address or an identifier with what a line's end cut off it.
pub fn widened(text: &str, mut range: Range<usize>) -> Range<usize> {
    for _ in 0..3 {
        let rest = &text[range.end..];
        let Some(next) = rest.strip_prefix(' ').and_then(|rest| rest.split(' ').next()) else { break };
        let path = next.chars().all(|c| c.is_ascii_alphanumeric() || "-._/#?=&%~".contains(c));
        let small = next.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        // A word of the sentence would be without these.
        let telling = next.trim_end_matches('.').contains(|c: char| c.is_ascii_digit() || "-._/".contains(c));
        let inside = match text[..range.end].chars().next_back() {
            Some('_' | '=' | '&') => true,
            Some('/') => telling,
            // A sentence's end looks like this too, and a year or a page may come next.
            Some('-' | '.') => telling && next.len() > 4,
            _ => false,
        };
        if !(inside && small && path) {
            break;
        }
        range.end += 1 + next.len();
    }
    range
}

pub fn without_spaces(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Punctuation of the sentence around it is no part of a URL; closing brackets are, if they were opened in it.
pub fn trimmed(mut url: &str) -> &str {
    while let Some(last) = url.chars().next_back() {
        let opened = |open: char| url.matches(open).count() >= url.matches(last).count();
        let strip = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | '*' | '-' | '”' | '>' => true,
            ')' => !opened('('),
            ']' => !opened('['),
            _ => false,
        };
        if !strip {
            break;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_on_behind_a_lines_end() {
        let urls = |text: &str| find(text).into_iter().map(|(_, url)| url).collect::<Vec<_>>();
        for (text, expected) in [
            ("at https://github.com/ tensorflow/tensor2tensor.", "https://github.com/tensorflow/tensor2tensor"),
            ("see https://github.com/ and others", "https://github.com/"),
            ("https://a.org/b?id= 12. Then", "https://a.org/b?id=12"),
            ("https://a.org/b. In 2017 we", "https://a.org/b"),
            ("https:// doi.org/10.1111/ tpj.13255 PMID", "https://doi.org/10.1111/tpj.13255"),
        ] {
            assert_eq!(urls(text), [expected], "{text}");
        }
        assert!(urls("http://localhost, https:// alone, http://www").is_empty());
    }
}
