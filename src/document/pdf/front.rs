//! What stands before the text: title, authors, their affiliations.

use super::marks::is_abstract;
use super::paragraphs::Draft;
use super::words::{is_cjk, is_superscript};
use crate::document::BlockKind;

/// From so many characters on, a paragraph of several lines is prose and no address.
const PROSE: usize = 200;

/// Marks the title's paragraphs and those of the authors, and returns where the body begins.
pub fn mark(drafts: &mut [Draft], title: Option<&str>) -> usize {
    let behind_title = title.and_then(|title| mark_title(drafts, title));
    let from = behind_title.unwrap_or(0);
    let body = start_of_body(drafts, from);
    for (index, draft) in drafts[..body].iter_mut().enumerate() {
        let short = draft.text.chars().count() < PROSE || draft.text.contains('@');
        let plain = matches!(draft.kind, BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Heading { .. });
        if plain && behind_title.is_some() && index >= from && short {
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
    let abstract_ = find(&|draft| is_abstract(&draft.text));
    let section = || find(&|draft| draft.is_heading() && draft.text.starts_with(|c: char| matches!(c, '1' | 'I')));
    let prose = || find(&|draft| draft.text.chars().count() >= PROSE && draft.kind == BlockKind::Paragraph);
    if let Some(index) = abstract_.or_else(section).or_else(prose) {
        return from + index;
    }
    // A first page with little on it names the paper and its authors.
    let on_first = drafts.iter().take_while(|draft| draft.page() == 0).count();
    let alone = drafts.len() > on_first && from > 0;
    if alone { on_first.max(from) } else { from }
}

/// The names among the authors' paragraphs: lines set as the first of them, without addresses and affiliations.
pub fn authors(drafts: &[Draft]) -> Vec<String> {
    let blocks = || drafts.iter().filter(|draft| draft.kind == BlockKind::Authors);
    let mut names: Vec<String> = Vec::new();
    let Some(style) = blocks().find(|draft| draft.pieces.iter().any(|piece| is_names(piece))).map(|draft| draft.style)
    else {
        return names;
    };
    for draft in blocks().filter(|draft| draft.style.is_like(&style)) {
        for name in draft.pieces.iter().filter(|piece| is_names(piece)).flat_map(|piece| split_names(piece)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Whether all that a piece of a line names may be people.
fn is_names(piece: &str) -> bool {
    let mut names = split_names(piece).peekable();
    names.peek().is_some() && names.all(|name| is_name(&name))
}

fn split_names(piece: &str) -> impl Iterator<Item = String> {
    let marked = |c: char| is_superscript(c) || c.is_numeric() || "∗*⋆†‡§¶‖#☯♠♣♥♦✉\u{FFFD}".contains(c);
    let plain: String = piece.chars().map(|c| if marked(c) { ',' } else { c }).collect();
    let plain = plain.replace(" and ", ",").replace(" & ", ",").replace("and ,", ",");
    let parts: Vec<String> = plain
        .split([',', ';', '·', '，', '、', '•', '|'])
        .map(|part| part.trim().trim_start_matches("and ").trim_end_matches(" and").trim().to_string())
        .filter(|part| !part.is_empty() && part != "and")
        .collect();
    parts.into_iter()
}

fn is_name(name: &str) -> bool {
    const PARTICLES: [&str; 16] =
        ["de", "da", "di", "del", "della", "der", "den", "van", "von", "la", "le", "bin", "el", "al", "dos", "ten"];
    const PLACES: [&str; 34] = [
        "universit",
        "institut",
        "department",
        "school",
        "college",
        "laborator",
        "research",
        "center",
        "centre",
        "google",
        "microsoft",
        "inc",
        "ltd",
        "corporation",
        "academy",
        "faculty",
        "group",
        "team",
        "university",
        "hospital",
        "division",
        "company",
        "@",
        "http",
        "大学",
        "研究",
        "学部",
        "株式会社",
        "facebook",
        "openai",
        "deepmind",
        "street",
        "license",
        "version",
    ];
    let lower = name.to_lowercase();
    if PLACES.iter().any(|place| {
        lower.split_whitespace().any(|word| word.starts_with(place)) || !place.is_ascii() && lower.contains(place)
    }) {
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
