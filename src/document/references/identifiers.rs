//! DOI, arXiv id, URL and year of an entry.

use crate::document::{pattern, urls};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identifiers {
    pub doi: Option<String>,
    pub arxiv: Option<String>,
    pub url: Option<String>,
    /// The entry's text with identifiers and URLs blanked out, of the same length in bytes.
    pub rest: String,
}

/// Finds the identifiers in an entry's text.
pub fn identifiers(text: &str) -> Identifiers {
    static DOI: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\b10\.\d{4,9}/[^\s"<>“”]*"#));
    let doi = DOI.find(text).map(|found| urls::widened(text, found.range()));
    let arxiv = arxiv(text).map(|range| text[range].to_string());
    let urls = urls::find(text);
    let mut rest = text.to_string();
    // A list that gives the id and its URL says it twice.
    let again = arxiv.as_deref().into_iter().flat_map(|id| text.match_indices(id));
    let again = again.map(|(at, id)| at..at + id.len());
    for range in urls.iter().map(|(range, _)| range.clone()).chain(doi.clone()).chain(again) {
        blank(&mut rest, range);
    }
    let doi = doi.map(|range| urls::trimmed(&urls::without_spaces(&text[range])).to_string());
    Identifiers { doi, arxiv, url: urls.into_iter().next().map(|(_, url)| url), rest }
}

/// Where the arXiv id stands, with its version if it is given.
fn arxiv(text: &str) -> Option<Range<usize>> {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"(?i)(?:arxiv(?:\.org)?|corr|abs)(?:\s?preprint)?[\s:,/.]*(?:abs/|pdf/|\d{4},\s|arxiv[:.\s]*)*",
            r"(\d{4}\.\d{4,5}(?:v\d{1,2})?|[a-z][a-z\-]{1,8}(?:\.[a-z]{2})?/\d{7}(?:v\d{1,2})?)"
        ))
    });
    static BARE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?:^|[\s,(\[])((?:0[7-9]|[12]\d)(?:0[1-9]|1[0-2])\.\d{4,5}(?:v\d{1,2})?)(?:[\s,.)\]]|$)")
    });
    let found = NAMED.captures(text).or_else(|| BARE.captures(text))?;
    found.get(1).map(|id| id.range())
}

fn blank(text: &mut String, range: Range<usize>) {
    let spaces = " ".repeat(range.len());
    text.replace_range(range, &spaces);
}

/// A year with the letter that tells works of one year apart, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Year {
    pub year: u16,
    pub letter: Option<char>,
    pub at: Range<usize>,
}

/// All numbers that may be years, in order; none inside identifiers, page ranges or longer numbers.
pub fn years(rest: &str) -> Vec<Year> {
    static YEAR: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?:^|[^\d\p{Latin}.:/–—\-])((?:1[5-9]|20)\d\d)([a-z])?(?:[^\d\p{Latin}:–—/\-]|$)"));
    let mut years = Vec::new();
    let mut from = 0;
    while let Some(found) = YEAR.captures_at(rest, from) {
        let Some(digits) = found.get(1) else { break };
        let end = found.get(2).map_or(digits.end(), |letter| letter.end());
        let letter = found.get(2).and_then(|letter| letter.as_str().chars().next());
        years.push(Year { year: digits.as_str().parse().unwrap_or(0), letter, at: digits.start()..end });
        from = end;
    }
    years
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_all_kinds() {
        let found = identifiers("Title. Plant J. 2016. https://doi.org/10.1111/ tpj.13255 PMID: 27354251");
        assert_eq!(found.doi.as_deref(), Some("10.1111/tpj.13255"));
        assert_eq!(found.url.as_deref(), Some("https://doi.org/10.1111/tpj.13255"));
        assert_eq!(identifiers("ACM. doi:10.1145/3293883.3295710.").doi.as_deref(), Some("10.1145/3293883.3295710"));
        let url = identifiers("Common crawl. URL http://commoncrawl.org.").url;
        assert_eq!(url.as_deref(), Some("http://commoncrawl.org"));
    }

    #[test]
    fn arxiv_ids() {
        for (text, id) in [
            ("arXiv preprint arXiv:1705.03122v2, 2017.", "1705.03122v2"),
            ("CoRR, abs/1409.0473, 2014.", "1409.0473"),
            ("Adam, 2014, 1412.6980.", "1412.6980"),
            ("arXiv:cs.CL/0108005, 2001", "cs.CL/0108005"),
            ("arXiv, 2018, 1812.11118.", "1812.11118"),
        ] {
            assert_eq!(identifiers(text).arxiv.as_deref(), Some(id), "{text}");
        }
        assert_eq!(identifiers("Neuron, 52(3):409–423, 2006.").arxiv, None);
    }

    #[test]
    fn years_are_told_from_pages() {
        let years = |text: &str| years(text).into_iter().map(|year| (year.year, year.letter)).collect::<Vec<_>>();
        assert_eq!(years("pages 1914–1925, 2018a."), [(2018, Some('a'))]);
        assert_eq!(years("ISSN 1558-2256, Jul 1992."), [(1992, None)]);
        assert_eq!(years("(2001) J 15(1):1929–1958"), [(2001, None)]);
        assert_eq!(years("発行2010年"), [(2010, None)]);
        assert_eq!(years("12018 and 3.2018"), []);
    }
}
