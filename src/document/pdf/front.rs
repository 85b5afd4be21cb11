//! What stands before the text: title, authors, their affiliations.

use super::letters::{is_cjk, is_superscript};
use super::marks::is_abstract;
use super::paragraphs::Draft;
use crate::document::BlockKind;
use std::collections::{HashMap, HashSet};

/// From so many characters on, a paragraph of several lines is prose and no address.
const PROSE: usize = 200;

/// From so many names on, a paragraph of nothing else is the authors', however long and wherever it stands.
const MANY: usize = 4;

/// Marks the title's paragraphs and those of the authors, and returns where the body begins.
pub fn mark(drafts: &mut [Draft], title: Option<&str>) -> usize {
    let behind_title = title.and_then(|title| mark_title(drafts, title));
    let from = behind_title.unwrap_or(0);
    let body = start_of_body(drafts, from);
    for (index, draft) in drafts[..body].iter_mut().enumerate() {
        let short = draft.text.chars().count() < PROSE || draft.text.contains('@');
        let plain = matches!(draft.kind, BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Heading { .. });
        let behind = index >= from && (short || is_list_of_names(draft));
        if plain && behind_title.is_some() && (behind || draft.page() == 0 && is_list_of_names(draft)) {
            draft.kind = BlockKind::Authors;
        } else if draft.is_heading() {
            draft.kind = BlockKind::Paragraph;
        }
    }
    body
}

/// The title's paragraphs on the first page; returns the index behind the last.
fn mark_title(drafts: &mut [Draft], title: &str) -> Option<usize> {
    let key = |text: &str| text.chars().filter(|c| c.is_alphanumeric() && !is_superscript(*c)).collect::<String>();
    let title = key(title);
    let first = drafts.iter().position(|draft| {
        let start = key(&draft.text);
        draft.page() == 0 && start.chars().count() >= 2 && title.starts_with(&start)
    })?;
    let mut rest = title.as_str();
    let mut end = first;
    for draft in &mut drafts[first..] {
        let part = key(&draft.text);
        let Some(behind) = rest.strip_prefix(part.as_str()).filter(|_| !part.is_empty()) else { break };
        rest = behind;
        draft.kind = BlockKind::Title;
        end += 1;
    }
    Some(end)
}

/// Where the text begins behind the title: at the abstract, else at the first section, else at the first prose.
fn start_of_body(drafts: &[Draft], from: usize) -> usize {
    let early = |draft: &Draft| draft.page() <= 1;
    let count = drafts.iter().take_while(|draft| early(draft)).count();
    let find = |wanted: &dyn Fn(&Draft) -> bool| drafts[..count].iter().skip(from).position(wanted);
    if from == 0 && find(&|draft| is_abstract(&draft.text)).is_none() {
        return 0;
    }
    let abstract_ = find(&|draft| is_abstract(&draft.text));
    let section = || find(&|draft| draft.is_heading() && draft.text.starts_with(['1', 'I']));
    let prose = || find(&|draft| draft.text.chars().count() >= PROSE && draft.kind == BlockKind::Paragraph);
    if let Some(index) = abstract_.or_else(section).or_else(prose) {
        return from + index;
    }
    // A first page with little on it names the paper and its authors.
    let on_first = drafts.iter().take_while(|draft| draft.page() == 0).count();
    let alone = drafts.len() > on_first && from > 0;
    if alone { on_first.max(from) } else { from }
}

/// The names among the authors' paragraphs, of the first's size or in its row: of each the lines up to the first that
/// names something else. What comes twice is a place, and what an address is of an organisation.
pub fn authors(drafts: &[Draft]) -> Vec<String> {
    let blocks = || drafts.iter().filter(|draft| draft.kind == BlockKind::Authors);
    let Some(first) = blocks().find(|draft| !names(draft).is_empty()) else { return Vec::new() };
    let size = first.style.size;
    let alike = |draft: &&Draft| (draft.style.size - size).abs() < 0.05 * size || stands_beside(first, draft);
    let found: Vec<String> = blocks().filter(alike).flat_map(names).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    found.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let hosts: HashSet<String> = blocks().flat_map(|draft| hosts(&draft.text)).collect();
    let is_host = |name: &String| {
        let squeezed: String = name.to_lowercase().split_whitespace().collect();
        hosts.contains(&squeezed)
    };
    let people: Vec<String> = found.iter().filter(|name| counts[name.as_str()] == 1).cloned().collect();
    if people.iter().all(is_host) { people } else { people.into_iter().filter(|name| !is_host(name)).collect() }
}

/// The names that a paragraph begins with.
fn names(draft: &Draft) -> Vec<String> {
    whole_names(&draft.pieces).iter().take_while(|piece| is_names(piece)).flat_map(|piece| split_names(piece)).collect()
}

/// Whether nearly all that stands there is names, of so many people that it is no heading.
fn is_list_of_names(draft: &Draft) -> bool {
    let pieces = whole_names(&draft.pieces);
    let named = pieces.iter().filter(|piece| is_names(piece)).count();
    let count = pieces.iter().filter(|piece| is_names(piece)).flat_map(|piece| split_names(piece)).count();
    count >= MANY && 10 * named >= 9 * pieces.len()
}

/// Pieces of lines, with a name that is parted by the end of a line put together: `…, Benjamin`, `Lee, Jacob Carlson`.
fn whole_names(pieces: &[String]) -> Vec<String> {
    let edge = |part: Option<&str>| part.unwrap_or_default().trim().trim_start_matches("and ").to_string();
    let goes_on = |above: &str, below: &str| {
        let (end, start) = (edge(above.rsplit(parts_names).next()), edge(below.split(parts_names).next()));
        let is_part = |part: &str| !part.is_empty() && !part.contains(' ');
        let listed = above.contains(parts_names) && (below.contains(parts_names) || is_part(&start));
        listed
            && !start.is_empty()
            && !end.is_empty()
            && (is_part(&end) || is_part(&start))
            && is_name(&format!("{end} {start}"))
    };
    let mut whole: Vec<String> = Vec::new();
    for piece in pieces {
        match whole.last_mut() {
            Some(above) if goes_on(above, piece) => {
                above.push(' ');
                above.push_str(piece);
            }
            _ => whole.push(piece.clone()),
        }
    }
    whole
}

fn parts_names(c: char) -> bool {
    matches!(c, ',' | '·' | ';' | '@') || c.is_numeric() || is_superscript(c)
}

fn stands_beside(a: &Draft, b: &Draft) -> bool {
    let row = |draft: &Draft| draft.places.first().map(|(page, rect)| (*page, rect.top, rect.bottom));
    let (Some((page, top, bottom)), Some((other, above, below))) = (row(a), row(b)) else { return false };
    page == other && bottom.min(below) - top.max(above) > 0.5 * (bottom - top).min(below - above)
}

/// The names that addresses are of: `huggingface` of `…@huggingface.co`.
fn hosts(text: &str) -> Vec<String> {
    let address =
        |word: &str| word.split_once('@').or_else(|| word.split_once("://")).map(|(_, host)| host.to_string());
    let parts = |host: String| host.split(['.', '/']).map(str::to_lowercase).collect::<Vec<_>>();
    text.split_whitespace().filter_map(address).flat_map(parts).collect()
}

/// Whether all that a piece of a line names may be people.
fn is_names(piece: &str) -> bool {
    let mut names = split_names(piece).peekable();
    !piece.contains('@') && !piece.contains("://") && names.peek().is_some() && names.all(|name| is_name(&name))
}

/// Names stand between commas, marks and digits; single letters and what is raised are marks.
fn split_names(piece: &str) -> impl Iterator<Item = String> {
    let latin = piece.contains(|c: char| c.is_ascii_alphabetic());
    let of_name = |c: char| {
        let mark = is_superscript(c) || latin && matches!(c as u32, 0x370..=0x3FF);
        c.is_alphabetic() && !mark || c.is_whitespace() || ".-\u{2010}'’".contains(c)
    };
    let plain: String = piece.chars().map(|c| if of_name(c) { c } else { ',' }).collect();
    let parts: Vec<String> = plain
        .replace(" and ", ",")
        .split(',')
        .map(|part| part.trim().trim_start_matches("and ").trim_end_matches(" and").trim().to_string())
        .filter(|part| part.chars().filter(|c| c.is_alphabetic()).count() > 1 && part != "and")
        .collect();
    parts.into_iter()
}

fn is_name(name: &str) -> bool {
    const PARTICLES: [&str; 16] =
        ["de", "da", "di", "del", "della", "der", "den", "van", "von", "la", "le", "bin", "el", "al", "dos", "ten"];
    const PLACES: [&str; 24] = [
        "universit",
        "institut",
        "department",
        "school",
        "college",
        "laborator",
        "research",
        "corporation",
        "academy",
        "faculty",
        "hospital",
        "division",
        "company",
        "大学",
        "研究",
        "学部",
        "株式会社",
        "facebook",
        "google",
        "microsoft",
        "openai",
        "deepmind",
        "street",
        "mountain",
    ];
    const WORDS: [&str; 18] = [
        "ai", "inc", "ltd", "team", "group", "labs", "lab", "center", "centre", "version", "license", "january",
        "february", "revised", "received", "accepted", "december", "november",
    ];
    let lower = name.to_lowercase();
    let mut words = lower.split_whitespace();
    let place = PLACES.iter().any(|place| words.clone().any(|word| word.starts_with(place)))
        || PLACES.iter().any(|place| !place.is_ascii() && lower.contains(place));
    if place || words.any(|word| WORDS.contains(&word.trim_end_matches('.'))) {
        return false;
    }
    let words: Vec<&str> = name.split_whitespace().collect();
    if name.chars().all(|c| is_cjk(c) || c.is_whitespace()) {
        return (2..=12).contains(&name.chars().count());
    }
    let proper = |word: &&&str| word.starts_with(char::is_uppercase);
    let is_part = |word: &&str| {
        PARTICLES.contains(word)
            || word.starts_with(char::is_uppercase) && !word.chars().any(|c| c.is_numeric() || c == '@')
    };
    (2..=5).contains(&words.len())
        && words.iter().all(is_part)
        && words.iter().filter(proper).count() >= 2
        && words.iter().any(|word| word.chars().filter(|c| c.is_lowercase()).count() >= 1 || word.chars().count() > 2)
}

#[cfg(test)]
mod tests {
    use super::super::paragraphs::tests::draft;
    use super::*;

    #[test]
    fn title_and_authors_stand_before_the_abstract() {
        let mut drafts: Vec<Draft> = [
            "Journal of Tests 4",
            "A Title",
            "in Two Lines",
            "Ada Lovelace¹, Alan Turing²",
            "¹University of London",
            "Abstract",
        ]
        .map(draft)
        .into();
        assert_eq!(mark(&mut drafts, Some("A Title in Two Lines")), 5);
        let kinds: Vec<&BlockKind> = drafts[..5].iter().map(|draft| &draft.kind).collect();
        use BlockKind::{Authors, Paragraph, Title};
        assert_eq!(kinds, [&Paragraph, &Title, &Title, &Authors, &Authors]);
        assert_eq!(authors(&drafts[..5]), ["Ada Lovelace", "Alan Turing"]);
    }

    #[test]
    fn without_title_and_abstract_all_is_body() {
        assert_eq!(mark(&mut [draft("some text"), draft("1 Introduction")], None), 0);
    }

    #[test]
    fn names_are_told_from_places() {
        for name in
            ["Ashish Vaswani∗", "Patrick N.J. Laneᵃ,ᶜ,* and Lu Zhang", "加藤龍¹,ᵃ)", "Wen-tau Yih†", "Tim Dettmersλ"]
        {
            assert!(is_names(name), "{name}");
        }
        for other in [
            "Google Research",
            "ada@example.org",
            "University of Toronto",
            "June 24, 2022",
            "京都大学",
            "Revised February 2023",
        ] {
            assert!(!is_names(other), "{other}");
        }
    }

    fn authors_of(blocks: &[&[&str]]) -> Vec<String> {
        let block = |pieces: &&[&str]| {
            let mut block = draft(&pieces.join(" "));
            block.pieces = pieces.iter().map(|piece| piece.to_string()).collect();
            block.kind = BlockKind::Authors;
            block
        };
        authors(&blocks.iter().map(block).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_goes_on_in_the_next_line_of_a_list_and_not_in_the_place_below_it() {
        let list = ["Ada Lovelace¹, Alan Mathison", "Turing², Grace Hopper¹"];
        assert_eq!(authors_of(&[&list]), ["Ada Lovelace", "Alan Mathison Turing", "Grace Hopper"]);
        assert_eq!(authors_of(&[&["Ada Lovelace", "London"]]), ["Ada Lovelace"]);
    }

    #[test]
    fn an_organisation_that_an_address_names_is_no_person() {
        let blocks: [&[&str]; 2] = [&["Ada Lovelace"], &["Counting House", "{ada,alan}@countinghouse.org"]];
        assert_eq!(authors_of(&blocks), ["Ada Lovelace"]);
    }

    #[test]
    fn a_long_list_of_names_is_the_authors_and_prose_is_not() {
        let names = ["Ada Lovelace, Alan Turing, Grace Hopper", "Kurt Gödel, Emmy Noether"];
        let mut list = draft(&names.join(", ").repeat(4));
        list.pieces = names.map(String::from).into();
        let mut drafts = vec![draft("A Title of It"), list, draft(&"We did. ".repeat(40)), draft("Abstract")];
        assert_eq!(mark(&mut drafts, Some("A Title of It")), 3);
        assert_eq!((&drafts[1].kind, &drafts[2].kind), (&BlockKind::Authors, &BlockKind::Paragraph));
    }

    #[test]
    fn what_comes_twice_is_a_place() {
        let mut names = draft("Ada Lovelace Alan Turing");
        names.pieces = ["Ada Lovelace", "Alan Turing", "Mountain Bay", "Mountain Bay"].map(String::from).into();
        names.kind = BlockKind::Authors;
        assert_eq!(authors(&[names]), ["Ada Lovelace", "Alan Turing"]);
    }
}
