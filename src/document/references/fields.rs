//! An entry's text → authors, title, year, venue.

use super::identifiers::{Year, identifiers, years};
use super::names::{self, Names};
use super::text::{is_cjk, sentence_ends, starts_source};
use crate::document::{Reference, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// What the entries of one list have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Style {
    pub names: Names,
    /// The year stands between authors and title.
    pub year_first: bool,
    /// Each entry ends with the pages that it is cited on.
    cited_on: bool,
}

/// An entry's fields, and what citations are matched with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields {
    pub reference: Reference,
    /// The letter of the year: `2018a`.
    pub letter: Option<char>,
}

impl Style {
    pub fn of(bodies: &[&str]) -> Style {
        let most = |count: usize| 2 * count > bodies.len();
        let names = names::style(bodies.iter().copied());
        let dated = bodies.iter().filter(|body| {
            let rest = identifiers(body).rest;
            dated_authors(&rest, &years(&rest)).is_some()
        });
        let cited = bodies.iter().filter(|body| CITED_ON.is_match(body)).count();
        Style { names, year_first: most(dated.count()), cited_on: 10 * cited > 7 * bodies.len() }
    }
}

static CITED_ON: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\.\s\d{1,3}(?:,\s\d{1,3})*$|\s\(?[Cc]ited (?:on|in) (?:p|page|pages|pp)[^)]*\)?\.?$"));

/// Reads the fields of an entry out of its text without its label.
pub fn parse(body: &str, style: Style) -> Fields {
    let body = match CITED_ON.find(body) {
        Some(found) if style.cited_on || found.as_str().contains("ited ") => body[..found.start() + 1].trim_end(),
        _ => body.trim_end(),
    };
    let found = identifiers(body);
    let rest = found.rest.as_str();
    let years = years(rest);
    let parts = parts(rest, &years, style);
    let authors = names::split(&rest[..parts.authors], style.names);
    let end = parts.title + title_end(&rest[parts.title..], &parts);
    let title = cleaned(&rest[parts.title..end]);
    let year = parts.year.or_else(|| years.last().cloned());
    let reference = Reference {
        authors,
        title,
        venue: venue(&rest[end..]),
        year: year.as_ref().map(|year| year.year),
        doi: found.doi,
        arxiv: found.arxiv,
        url: found.url,
        ..Reference::default()
    };
    Fields { reference, letter: year.and_then(|year| year.letter) }
}

/// Where an entry's parts stand, in bytes.
#[derive(Debug, Default)]
struct Parts {
    /// Where the authors end.
    authors: usize,
    /// Where the title starts.
    title: usize,
    /// Where quotes say that the title ends.
    quoted: Option<usize>,
    /// `authors: title, venue`, as in Japan.
    colon: bool,
    year: Option<Year>,
}

fn parts(rest: &str, years: &[Year], style: Style) -> Parts {
    if let Some((open, title, close)) = quoted(rest) {
        return Parts { authors: authors_before(rest, open, years), title, quoted: Some(close), ..Parts::default() };
    }
    if let Some((authors, title)) = colon(rest) {
        return Parts { authors, title, colon: true, ..Parts::default() };
    }
    if let Some((authors, title, year)) = dated_authors(rest, years).filter(|_| style.year_first) {
        return Parts { authors, title, year: Some(year), ..Parts::default() };
    }
    let authors = names::end(rest, style.names).unwrap_or(0);
    Parts { authors, title: authors, ..Parts::default() }
}

/// The authors before a quoted title end before the year, if one stands between them.
fn authors_before(rest: &str, open: usize, years: &[Year]) -> usize {
    let year = years.iter().find(|year| year.at.end <= open).map_or(open, |year| year.at.start);
    rest[..year].trim_end_matches(['(', ' ', '.', ',']).len().max(rest[..open.min(year)].trim_end().len().min(year))
}

/// A title in quotes behind the authors: where the quotes open, where the title starts, where it ends.
fn quoted(rest: &str) -> Option<(usize, usize, usize)> {
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"“([^”]+)”|"([^"]+)"|„([^“”]+)[“”]|``(.+?)''|「([^」]+)」|『([^』]+)』|‘([^‘]+?[,.?!]?)’(?:[\s,.;]|$)"#,
        )
    });
    // Lengths are not counted by the pattern, which would be hundreds of times as large.
    let (whole, title) = QUOTED.captures_iter(rest).find_map(|found| {
        let (whole, title) = (found.get(0)?, found.iter().skip(1).flatten().next()?);
        let shortest = if whole.as_str().starts_with(['「', '『']) { 3 } else { 8 };
        (shortest..=400).contains(&title.as_str().chars().count()).then_some((whole, title))
    })?;
    let before = rest[..whole.start()].trim_end();
    let behind = rest[title.end()..].trim_start_matches(['”', '“', '"', '\'', '」', '』', '’']).trim_start();
    let apart = before.is_empty()
        || before.ends_with(['.', ',', ':', ')', '，', '、', '：', '．', '）'])
        || before.ends_with(is_cjk);
    let over = !behind.starts_with([':', '-', '–'])
        && (title.as_str().ends_with([',', '.', '，', '?', '!', '．'])
            || !behind.starts_with(char::is_lowercase)
            || behind.starts_with("in "));
    (apart && over).then(|| (whole.start(), title.start(), title.end()))
}

/// `Lovelace, A. and Turing, A.: Title`, `著者：題名`: where the authors end and the title starts.
fn colon(rest: &str) -> Option<(usize, usize)> {
    static COLON: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:\p{Lu}\.|al\.|\(eds?\.\)) ?: "));
    let japanese = rest.chars().take(30).filter(|c| is_cjk(*c)).count() >= 2;
    if japanese {
        let (at, mark) = rest.char_indices().find(|(_, c)| matches!(c, '：' | ':'))?;
        let names = &rest[..at];
        let plain = names.chars().count() <= 120 && !names.contains(['。', '．', '」']) && !names.ends_with("http");
        return plain.then_some((at, at + mark.len_utf8()));
    }
    let found = COLON.find(rest)?;
    let authors = found.start() + found.as_str().trim_end_matches([':', ' ']).len();
    names::are_names(&rest[..authors]).then_some((authors, found.end()))
}

/// `authors. year. title` or `authors (year) title`: where the authors end, where the title starts, the year.
fn dated_authors(rest: &str, years: &[Year]) -> Option<(usize, usize, Year)> {
    years.iter().take(2).find_map(|year| {
        let before = rest[..year.at.start].trim_end();
        let behind = &rest[year.at.end..];
        let inside = before.ends_with(['(', '[']);
        let close = if inside { behind.find([')', ']']).filter(|at| *at <= 20)? + 1 } else { 0 };
        let apart = inside || before.ends_with(['.', ',', ')']) && behind.starts_with(['.', ',', ':', ';']);
        let authors = before.trim_end_matches(['(', '[', ' ']).len();
        let title = rest[year.at.end + close..].trim_start_matches(['.', ',', ':', ';', ')', ' ', '．', '，']);
        let words = title.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= 2);
        let named = authors > 1 && names::are_names(&rest[..authors]);
        let telling = words.count() >= 2 || title.chars().filter(|c| is_cjk(*c)).count() >= 4;
        (apart && named && telling).then(|| (authors, rest.len() - title.len(), year.clone()))
    })
}

/// Where the title that starts `tail` ends.
fn title_end(tail: &str, parts: &Parts) -> usize {
    static MARKS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"[,.;]?\s(?:in|In):\s|[,;，]\s?(?:\p{Lu}\p{Ll}{2,8}\.?\s(?:\d{1,2},?\s)?)?(?:19|20)\d\d[a-z]?\s?(?:[.,;)，．]|$)",
            r"|[,.]\s(?:pp?\.|pages?|[Vv]ol(?:\.|ume)|chapter)\s|[,.]?\s(?:arXiv(?:\spreprint|:)|CoRR\b)|\s[(（](?:19|20)\d\d[)）]",
            r"|\s?\[(?:Online|online|[A-Z](?:/OL)?)\]|\s?[(（](?:オンライン|online|Online)[)）]|[,.]\s(?:In\s|URL\b|Available\s|https?:)"
        ))
    });
    if let Some(close) = parts.quoted {
        return close - parts.title;
    }
    let mark = MARKS.find_iter(tail).map(|found| found.start()).find(|at| *at >= 3);
    let sentence = sentence_ends(tail).find(|end| *end >= 4 && ends_title(tail, *end));
    let comma = parts.colon.then(|| before_venue(&tail[..sentence.unwrap_or(tail.len())])).flatten();
    [mark, sentence, comma].into_iter().flatten().min().unwrap_or(tail.len())
}

/// The comma that ends a title in `authors: title, venue`.
fn before_venue(tail: &str) -> Option<usize> {
    static VENUE: LazyLock<Regex> = LazyLock::new(|| pattern(r"，|、第|, ?(?:\p{Lu}|\d|\p{Han}|\p{Katakana})"));
    VENUE.find_iter(tail).map(|found| found.start()).find(|at| *at >= 3)
}

/// Whether the title ends where this sentence of it does.
fn ends_title(tail: &str, end: usize) -> bool {
    static PART: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:\d{1,2}|[IVX]{1,4})[.:] \p{Lu}"));
    static OF_SERIES: LazyLock<Regex> = LazyLock::new(|| pattern(r"[.:?] (?:\d{1,2}|[IVX]{1,4})\.$"));
    static VENUE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[^.,]{3,80}[.,]\s*(?:\d|[Vv]ol|pp|\(|$)"));
    let (title, rest) = (&tail[..end], tail[end..].trim_start());
    if PART.is_match(rest) || OF_SERIES.is_match(title) {
        return false;
    }
    if title.ends_with(['?', '!']) && !rest.is_empty() {
        return starts_source(rest) || (VENUE.is_match(rest) && rest.starts_with(char::is_uppercase));
    }
    true
}

fn cleaned(title: &str) -> Option<String> {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let stops = |c: char| c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '，' | '．');
    let inside = title.trim_matches(stops).trim_matches(['"', '“', '”']).trim_matches(stops);
    let title = if inside.contains(['"', '“', '”']) { title.trim_matches(stops) } else { inside };
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    let source = title.starts_with("In ") && title.contains("Proc") || title.starts_with("arXiv");
    (letters >= 2 && title.chars().count() >= 3 && !source).then(|| title.to_string())
}

/// Where it appeared: behind the title, without editors, volume, pages, publisher and year.
fn venue(behind: &str) -> Option<String> {
    static EDITORS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:[Ee]ditors?,|\([Ee]ds?\.?\),?)\s"));
    static END: LazyLock<Regex> = LazyLock::new(|| {
        pattern(concat!(
            r"[,;:，]?\s?(?:pages?|pp?\.|[Vv]ol(?:\.|ume)|[Nn]o\.|number|chapter|URL|doi|abs/|PMID|Available)(?:\W|$)",
            r"|[,;，(（]\s?(?:[A-Z][a-z]{2,8}\.?\s)?\d|\s\d+\s?[(:,]|\.\s\p{Lu}|\.\s\d|[.,．]?\s*$|\sarXiv:|\spreprint"
        ))
    });
    let text = behind.trim_start_matches(|c: char| !c.is_alphanumeric());
    let text = ["In: ", "In ", "in: ", "in "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
    let editors = EDITORS.find(text).filter(|found| found.start() <= 300);
    let text = editors.map_or(text, |found| &text[found.end()..]);
    let end = END.find_iter(text).map(|found| found.start()).find(|at| *at >= 2).unwrap_or(text.len());
    let venue = text[..end].trim_matches(|c: char| c.is_whitespace() || ",;:.，．".contains(c));
    let letters = venue.chars().filter(|c| c.is_alphabetic()).count();
    let numbers = ["URL", "volume", "pages", "number"].iter().any(|word| venue.starts_with(word));
    (letters >= 2 && !numbers).then(|| venue.split_whitespace().collect::<Vec<_>>().join(" "))
}
