//! Regular expressions of the document layer, whose classes hold the scripts that papers are written in.

use regex::Regex;

/// The characters of `\w`, as they stand between brackets.
macro_rules! word {
    () => {
        concat!(
            r"0-9A-Z_a-zªµºÀ-ÖØ-öø-\u{2c1}\u{300}-\u{373}\u{386}\u{388}-\u{52f}\u{561}-\u{587}\u{591}-\u{5ea}",
            r"\u{620}-\u{669}\u{66e}-\u{6d3}\u{900}-\u{963}\u{966}-\u{96f}\u{e01}-\u{e3a}\u{e40}-\u{e4e}",
            r"\u{1e00}-\u{1fbc}々〆ぁ-ゖゝ-ゟァ-ヺー-ヿ\u{3400}-\u{4dbf}\u{4e00}-\u{9fff}가-힣\u{fb00}-\u{fb06}",
            r"０-９Ａ-Ｚａ-ｚｦ-ﾟ"
        )
    };
}

/// What stands in a pattern for all of Unicode → what it is compiled as: the scripts that papers are
/// written in. Expressions with the tables of all scripts take long to compile, and a short paper
/// would wait for that. Of the Latin letters past ÿ, whose cases alternate, each counts as either.
const CLASSES: [(&str, &str); 8] = [
    (r"\p{Lu}", r"[A-ZÀ-ÖØ-Þ\u{100}-\u{17f}\u{1e00}-\u{1eff}Ά-Ώ\u{391}-\u{3a9}\u{400}-\u{42f}]"),
    (r"\p{Ll}", r"[a-zß-öø-ÿ\u{100}-\u{17f}\u{1e00}-\u{1eff}ά-ώ\u{430}-\u{45f}]"),
    (
        r"\p{L}",
        concat!(
            r"[A-Za-zªµºÀ-ÖØ-öø-\u{2c1}\u{370}-\u{373}\u{386}\u{388}-\u{52f}\u{561}-\u{587}\u{5d0}-\u{5ea}",
            r"\u{620}-\u{64a}\u{66e}-\u{6d3}\u{904}-\u{939}\u{e01}-\u{e30}\u{1e00}-\u{1fbc}々〆ぁ-ゖゝ-ゟァ-ヺー-ヿ",
            r"\u{3400}-\u{4dbf}\u{4e00}-\u{9fff}가-힣\u{fb00}-\u{fb06}Ａ-Ｚａ-ｚｦ-ﾟ]"
        ),
    ),
    (r"\w", concat!("[", word!(), "]")),
    (r"\W", concat!("[^", word!(), "]")),
    (r"\p{M}", r"[\u{300}-\u{36f}]"),
    (r"\d", r"[0-9０-９]"),
    // Another end of a word would keep the faster ways of searching from any text that is not ASCII.
    (r"\b", r"(?-u:\b)"),
];

/// A constant of the document layer as a regular expression.
pub fn pattern(pattern: &str) -> Regex {
    Regex::new(&with_plain_classes(pattern)).expect("a constant that the tests of its module use")
}

fn with_plain_classes(pattern: &str) -> String {
    let mut plain = String::with_capacity(2 * pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let class = CLASSES.iter().find(|(class, _)| rest.starts_with(class));
        // An escaped character is two, also where it is a backslash itself.
        let escape = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
        let (taken, put) = class.map_or((escape, &rest[..escape]), |(class, put)| (class.len(), *put));
        plain.push_str(put);
        rest = &rest[taken..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_replaced_and_escaped_backslashes_are_not() {
        assert_eq!(with_plain_classes(r"\\d\d\.\\\d{2}"), r"\\d[0-9０-９]\.\\[0-9０-９]{2}");
        assert_eq!(with_plain_classes(r"^\\begin\b\s$"), r"^\\begin(?-u:\b)\s$");
        assert_eq!(with_plain_classes("ab\\"), "ab\\");
    }

    #[test]
    fn every_character_is_of_a_word_or_of_none() {
        let (word, none) = (pattern(r"^\w$"), pattern(r"^\W$"));
        for char in '\0'..=char::MAX {
            let text = char.to_string();
            assert_ne!(word.is_match(&text), none.is_match(&text), "{char:?}");
        }
    }
}
