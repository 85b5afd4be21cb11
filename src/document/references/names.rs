//! Where the names at the start of an entry end, and whose they are.

use super::text::is_cjk;
use crate::document::pattern;
use regex::Regex;
use std::sync::LazyLock;

/// How a list writes its authors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// `Ada Lovelace, A. M. Turing`
    #[default]
    GivenFirst,
    /// `Lovelace, A., Turing, A. M.`
    SurnameFirst,
    /// `Lovelace A, Turing AM`
    Compact,
}

/// How most of the entries write their authors.
pub fn style<'a>(bodies: impl Iterator<Item = &'a str> + Clone) -> Names {
    static COMPACT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^\p{Lu}[\p{L}'’\-]+(?: [\p{L}'’\-]+){0,2},? \p{Lu}{1,4}(?:,|\.|:|\s\(|\s\d{4}|\sand\s)")
    });
    let all = bodies.clone().count();
    let share = |regex: &Regex| 2 * bodies.clone().filter(|body| regex.is_match(body)).count() > all;
    if share(&SURNAME_FIRST) {
        Names::SurnameFirst
    } else if share(&COMPACT) {
        Names::Compact
    } else {
        Names::GivenFirst
    }
}

static SURNAME_FIRST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:\p{Ll}+ ){0,2}\p{Lu}[\p{L}'’\-]+(?: \p{L}[\p{L}'’\-]+){0,2}, ?\p{Lu}\p{Ll}?\."));

/// Where the authors end and the title begins, by the full stop between them; none if the entry starts with its title.
pub fn end(text: &str, style: Names) -> Option<usize> {
    let style = if SURNAME_FIRST.is_match(text) { Names::SurnameFirst } else { style };
    text.match_indices(". ").take(200).find_map(|(at, _)| {
        let (names, rest) = (&text[..at], text[at + 1..].trim_start());
        let over = names.ends_with("et al") && !rest.starts_with(['(', ',']);
        let whole = over || (!continues(rest) && is_whole(names, style));
        (whole && (over || are_names(names))).then_some(at + 1)
    })
}

/// Whether the list of names goes on: with another name, or with another initial of the same.
fn continues(rest: &str) -> bool {
    static NEXT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(?:and\s|&|,|;|et al|Jr\b|\p{Lu}\.[\s,\-;:&]|\p{Lu}\p{Ll}?\.-\p{Lu})"));
    NEXT.is_match(rest)
}

/// Whether the last name is complete: an initial alone is none where given names come first.
fn is_whole(names: &str, style: Names) -> bool {
    let last = names.rsplit(|c: char| c.is_whitespace() || c == '-').next().unwrap_or_default();
    let shortened = ["Md", "St", "Dr", "Mr", "Ch", "Yu", "Th"].contains(&last) && style == Names::GivenFirst;
    let initial = last.split('.').all(|part| part.chars().count() <= 1);
    match style {
        Names::GivenFirst => !initial && (!shortened || last == "Yu"),
        Names::SurnameFirst | Names::Compact => !last.is_empty(),
    }
}

/// Whether the text can be a list of names: hardly any words in small letters but those that stand in names.
pub fn are_names(text: &str) -> bool {
    const PARTICLES: [&str; 29] = [
        "van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "du", "la", "le", "ten", "ter", "al",
        "el", "bin", "ibn", "and", "et", "y", "e", "i", "zu", "af", "others", "eds", "team",
    ];
    let small = |word: &&str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.starts_with(char::is_lowercase)
            && !word.contains(['\'', '’'])
            && !PARTICLES.contains(&word.trim_end_matches('.'))
    };
    let words = text.split_whitespace().count();
    let small = text.split_whitespace().filter(small).count();
    words > 0 && small <= 2 && 4 * small <= words.max(4) && text.chars().any(char::is_alphabetic)
}

/// The authors one by one, each as it is printed.
pub fn split(text: &str, style: Names) -> Vec<String> {
    static SURNAMES: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"([^,;&]{2,60}?), ?((?:\p{Lu}\p{Ll}{0,2}\.[\s\-]{0,2})+)"));
    static BETWEEN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"[,;，、；]\s*(?:(?:and|und)\s|&)?|\s(?:and|und)\s|\s?&\s?"));
    let text = text.trim().trim_end_matches([',', ':', '：', ';']);
    if !text.chars().any(is_cjk) && (style == Names::SurnameFirst || SURNAME_FIRST.is_match(text)) {
        let names: Vec<String> = SURNAMES
            .captures_iter(text)
            .map(|found| format!("{}, {}", cleaned(&found[1]), found[2].trim()))
            .filter(|name| !name.starts_with(", "))
            .collect();
        if !names.is_empty() {
            return names;
        }
    }
    let names = BETWEEN.split(text).map(cleaned);
    names.filter(|name| !name.is_empty() && !["al", "others", "eds", "editors"].contains(&name.as_str())).collect()
}

/// A name without the words and stops around it.
fn cleaned(name: &str) -> String {
    let mut name = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '(' | ')'));
    for word in ["and ", "et al.", "et al"] {
        name = name.strip_prefix(word).or_else(|| name.strip_suffix(word)).unwrap_or(name).trim();
    }
    let initial =
        name.trim_end_matches('.').rsplit([' ', '.', '-']).next().is_some_and(|last| last.chars().count() < 2);
    if initial { name.to_string() } else { name.trim_end_matches('.').to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authors(text: &str, style: Names) -> &str {
        end(text, style).map_or("", |end| &text[..end])
    }

    #[test]
    fn names_end_at_the_full_stop_that_ends_no_initial() {
        for (text, style, expected) in [
            ("Quoc V. Le and S. R. Bow. Deep nets. In", Names::GivenFirst, "Quoc V. Le and S. R. Bow."),
            ("M. Ahn, A. Brohan, et al. Do as I can. 2", Names::GivenFirst, "M. Ahn, A. Brohan, et al."),
            ("Davies, M. E. and Evci, U. A study. J", Names::SurnameFirst, "Davies, M. E. and Evci, U."),
            ("Moulia B, Lenne C. Posture. J", Names::Compact, "Moulia B, Lenne C."),
            ("EleutherAI. A harness, 2022.", Names::SurnameFirst, "EleutherAI."),
            ("Models are learners of many tasks. 2019.", Names::GivenFirst, ""),
        ] {
            assert_eq!(authors(text, style), expected);
        }
    }

    #[test]
    fn authors_one_by_one() {
        for (text, expected) in [
            ("Ada Lovelace, Alan M. Turing, and Kurt Gödel.", vec!["Ada Lovelace", "Alan M. Turing", "Kurt Gödel"]),
            ("Lovelace, A., Turing, A.M. & Gödel, K.", vec!["Lovelace, A.", "Turing, A.M.", "Gödel, K."]),
            ("Moulia B, Lenne C, et al.", vec!["Moulia B", "Lenne C"]),
            ("田麥節治，是津耕司：", vec!["田麥節治", "是津耕司"]),
        ] {
            assert_eq!(split(text, Names::GivenFirst), expected);
        }
    }

    #[test]
    fn a_lists_style_is_that_of_most() {
        let style = |bodies: &[&str]| style(bodies.iter().copied());
        assert_eq!(style(&["Davies, M. E. Title.", "Evci, U. Title."]), Names::SurnameFirst);
        assert_eq!(style(&["Silk WK. Growth.", "Nick P. Probing."]), Names::Compact);
        assert_eq!(style(&["Ada Lovelace. Notes.", "A. Turing. Numbers."]), Names::GivenFirst);
    }
}
