//! Citations by names and years: `(Vaswani et al., 2017; Peters et al., 2018a,b)`, `Vaswani et al. (2017)`, `田中ら (2010)`.

use super::citations::Found;
use super::fields::Fields;
use super::text::is_cjk;
use crate::document::pattern;
use regex::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// More entries than a list has of one name and one year.
const MOST_ALIKE: usize = 100;

/// The entries by their years and a word of their first author, to be looked up with names.
pub struct Index {
    entries: Vec<Named>,
    by_word: HashMap<(u16, String), Vec<usize>>,
}

struct Named {
    entry: usize,
    letter: Option<char>,
    /// In small letters.
    first: String,
    all: String,
}

impl Index {
    pub fn of(list: &[Fields]) -> Index {
        let mut index = Index { entries: Vec::new(), by_word: HashMap::new() };
        for (entry, fields) in list.iter().enumerate() {
            let reference = &fields.reference;
            let Some(year) = reference.year else { continue };
            // An entry without authors is named by how it begins.
            let fallback = || reference.text.chars().take(60).collect::<String>();
            let first = reference.authors.first().cloned().unwrap_or_else(fallback);
            // The names as they stand: one that is written unlike the others may not have been told apart.
            let title = reference.title.as_deref().and_then(|title| reference.text.find(title));
            let all = title.map_or_else(|| reference.authors.join(" "), |at| reference.text[..at].to_string());
            let named = Named { entry, letter: fields.letter, first: folded(&first), all: folded(&all) };
            index.add(year, named);
        }
        index
    }

    fn add(&mut self, year: u16, named: Named) {
        let mut words: Vec<&str> = named.first.split(' ').map(word).collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            let alike = self.by_word.entry((year, word.to_string())).or_default();
            if alike.len() < MOST_ALIKE {
                alike.push(self.entries.len());
            }
        }
        self.entries.push(named);
    }

    /// The citations in `text`: names with one or more years.
    pub fn find<'a>(&self, text: &'a str) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        for captures in CITATION.captures_iter(text) {
            let (Some(whole), Some(years)) = (captures.get(0), captures.name("years")) else { continue };
            let names = captures.name("names").or_else(|| captures.name("japanese"));
            let Some(names) = names else { continue };
            let Some((skipped, references)) = self.look_up(names.as_str(), years.as_str()) else { continue };
            let start = names.start() + skipped;
            let open = text[start..whole.end()].matches(['(', '（', '[']).count();
            let close = text[whole.end()..].chars().next().filter(|c| open > 0 && matches!(c, ')' | '）' | ']'));
            let end = whole.end() + close.map_or(0, char::len_utf8);
            found.push((start, &text[start..end], references));
        }
        found
    }

    /// The entries of `names` and `years`, and how many bytes before the names belong to the sentence: `In Vaswani (2017)`.
    fn look_up(&self, names: &str, years: &str) -> Option<(usize, Vec<usize>)> {
        let years = spelled_out(years);
        let starts: Vec<usize> = match names.starts_with(is_cjk) {
            true => names.char_indices().map(|(at, _)| at).take(12).collect(),
            false => std::iter::once(0).chain(names.match_indices(' ').map(|(at, _)| at + 1)).take(6).collect(),
        };
        starts.into_iter().find_map(|start| {
            let parts = people(&names[start..]);
            let mut entries: Vec<usize> = years.iter().flat_map(|year| self.entries(&parts, *year)).collect();
            entries.dedup();
            (!entries.is_empty()).then_some((start, entries))
        })
    }

    /// The entry of these people and this year; several only where the paper itself does not tell them apart.
    fn entries(&self, people: &[String], (year, letter): (u16, Option<char>)) -> Vec<usize> {
        let Some((first, others)) = people.split_first() else { return Vec::new() };
        let same = |named: &&Named| {
            holds(&named.first, first)
                && others.iter().all(|other| holds(&named.all, other))
                && (letter.is_none() || named.letter.is_none() || letter == named.letter)
        };
        let word = word(first.split(' ').next().unwrap_or_default());
        let alike = self.by_word.get(&(year, word.to_string())).into_iter().flatten();
        let found: Vec<&Named> = alike.map(|at| &self.entries[*at]).filter(same).collect();
        let exact: Vec<usize> = found.iter().filter(|named| named.letter == letter).map(|named| named.entry).collect();
        if exact.is_empty() { found.iter().map(|named| named.entry).collect() } else { exact }
    }
}

/// What a word of a name is looked up by: in Japan, where names are written together, its first character.
fn word(word: &str) -> &str {
    match word.chars().next() {
        Some(first) if is_cjk(first) => &word[..first.len_utf8()],
        _ => word,
    }
}

/// Names, and the years behind them.
static CITATION: LazyLock<Regex> = LazyLock::new(|| {
    let particle = r"(?:(?:[Vv]an|[Vv]on|[Dd]e|der|den|del|della|di|da|dos|du|[Ll]a|[Ll]e|ten|ter|al|el|bin|ibn)\s)";
    let word = r"\p{Lu}[\p{L}\p{M}'’\-.]*";
    let name = format!(r"{particle}*{word}(?:[\s\-]{particle}*{word}){{0,4}}");
    let and = r"(?:,?\s(?:and|&)\s)";
    let more = r"(?:,?\s(?:et\.?\sal\.?|and\sothers|and\scolleagues))";
    let latin = format!(r"(?P<names>{name}(?:,\s{name}){{0,6}}(?:{and}{name})?{more}?)(?:['’]s?)?");
    let japanese = r"(?P<japanese>[\p{Han}\p{Katakana}ー・、,，]{1,30})(?:ら|他|ほか|氏)?(?:の研究)?";
    let year = r"(?:1[89]|20)\d\d[a-z]?";
    let years = format!(r"(?P<years>{year}(?:\s?[,;]\s?{year}|,?\s(?:and|&)\s{year}|\s?,\s?[a-z]\b)*)");
    let source = format!(r"(?:{latin}|{japanese}),?\s?[(（\[]?{years}");
    pattern(&source)
});

/// `2018a,b; 2019` → each year with its letter.
fn spelled_out(years: &str) -> Vec<(u16, Option<char>)> {
    let mut out: Vec<(u16, Option<char>)> = Vec::new();
    for part in years.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty() && *part != "and") {
        let letter = part.chars().next_back().filter(char::is_ascii_lowercase);
        match (part.get(..4).and_then(|year| year.parse().ok()), out.last()) {
            (Some(year), _) => out.push((year, letter)),
            (None, Some(&(year, _))) if part.len() == 1 => out.push((year, letter)),
            _ => {}
        }
    }
    out
}

/// The surnames of a citation.
fn people(names: &str) -> Vec<String> {
    static BETWEEN: LazyLock<Regex> = LazyLock::new(|| pattern(r",?\s(?:and|&)\s|[,，、・]\s?"));
    static MORE: LazyLock<Regex> = LazyLock::new(|| pattern(r",?\s(?:et\.?\sal\.?|and\sothers|and\scolleagues).*$"));
    let names = MORE.replace(names, "");
    let people = BETWEEN.split(&names).map(|name| folded(name.trim_end_matches("'s").trim_end_matches("’s")));
    people.filter(|name| !name.trim().is_empty()).collect()
}

/// Whether the words of `name` stand side by side in `text`.
fn holds(text: &str, name: &str) -> bool {
    if name.chars().any(is_cjk) {
        return text.split(' ').any(|author| author.starts_with(name));
    }
    !name.is_empty() && format!(" {text} ").contains(&format!(" {name} "))
}

/// In small letters, without accents' marks, points and hyphens, so that spellings compare.
fn folded(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let plain = name.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c));
    let mapped = plain.flat_map(char::to_lowercase).map(|c| if c.is_alphanumeric() { c } else { ' ' });
    mapped.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use crate::document::references::read;
    use crate::document::{Block, BlockKind, Part};

    const LIST: [&str; 7] = [
        "Ashish Vaswani, Noam Shazeer, and Niki Parmar. 2017. Attention is all you need. In NIPS.",
        "Matthew Peters, Mark Neumann, and Mohit Iyyer. 2018a. Deep contextualized word representations. In NAACL.",
        "Matthew Peters and Wen-tau Yih. 2018b. Dissecting contextual word embeddings. In EMNLP.",
        "Erik F Tjong Kim Sang and Fien De Meulder. 2003. Introduction to the conll-2003 shared task. In CoNLL.",
        "Wilson L Taylor. 1953. Cloze procedure: A new tool for measuring readability. Journalism Bulletin.",
        "田中太郎, 鈴木花子. 2010. 手順の対応関係に基づく情報の階層化. 情報処理学会論文誌.",
        "Luke Müller. 2017. On hostile input in document readers. Journal of Readers.",
    ];

    fn cite(text: &str) -> Vec<(String, Vec<usize>)> {
        let mut blocks = vec![Block::new(BlockKind::Paragraph, Part::Body, text, Vec::new())];
        blocks.extend(LIST.map(|entry| Block::new(BlockKind::Reference, Part::References, entry, Vec::new())));
        let (references, citations) = read(&blocks);
        assert_eq!(references.len(), LIST.len());
        citations.into_iter().map(|citation| (citation.text, citation.references)).collect()
    }

    fn expect(text: &str, expected: &[(&str, &[usize])]) {
        let expected: Vec<_> = expected.iter().map(|(text, entries)| (text.to_string(), entries.to_vec())).collect();
        assert_eq!(cite(text), expected);
    }

    #[test]
    fn in_parentheses_and_in_the_sentence() {
        expect(
            "(Vaswani et al., 2017; Tjong Kim Sang and De Meulder, 2003). In Taylor (1953), see Müller’s (2017)",
            &[
                ("Vaswani et al., 2017", &[0]),
                ("Tjong Kim Sang and De Meulder, 2003", &[3]),
                ("Taylor (1953)", &[4]),
                ("Müller’s (2017)", &[6]),
            ],
        );
    }

    #[test]
    fn letters_tell_works_of_one_year_apart() {
        expect(
            "(Peters et al., 2018a,b), Peters and Yih (2018b) and Peters et al. 2018",
            &[("Peters et al., 2018a,b", &[1, 2]), ("Peters and Yih (2018b)", &[2]), ("Peters et al. 2018", &[1, 2])],
        );
    }

    #[test]
    fn what_the_list_does_not_hold_is_no_citation() {
        expect("In 2017, WMT 2014 and (Smith et al., 2019) and Vaswani et al. (2016).", &[]);
    }

    #[test]
    fn entries_that_are_all_alike_are_bounded() {
        let block = |kind, part, text: &str| Block::new(kind, part, text, Vec::new());
        let mut blocks = vec![block(BlockKind::Paragraph, Part::Body, "(Lovelace et al., 1843)")];
        let entry = block(BlockKind::Reference, Part::References, "Ada Lovelace. Notes on engines. 1843.");
        blocks.extend(vec![entry; 3 * super::MOST_ALIKE]);
        assert_eq!(read(&blocks).1[0].references.len(), super::MOST_ALIKE);
    }

    #[test]
    fn japanese_names() {
        expect(
            "先行研究として田中ら(2010)がある（田中・鈴木, 2010）．",
            &[("田中ら(2010)", &[5]), ("田中・鈴木, 2010", &[5])],
        );
    }
}
