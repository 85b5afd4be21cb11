//! Reference lists and citations of real papers, against lists counted by hand
//! (`tests/fixtures/references`). `-- --nocapture` prints the figures. The papers are looked for as
//! in `tests/document.rs`; what cannot be had is skipped, saying so.

mod common;

use common::{fixture, library, papers};
use ronbun::document::{Document, Part, ReadOptions};
use std::collections::HashSet;
use std::path::Path;

fn read(library: &Path, file: &Path) -> Document {
    Document::read(file, &ReadOptions { library: library.to_path_buf(), password: None, ..ReadOptions::default() })
        .expect("a good paper")
}

/// Papers of each way to cite: what looks like a citation in their text is linked to an entry.
#[test]
fn citations_lead_to_their_entries() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let pattern = |pattern: &str| regex::Regex::new(pattern).expect("a pattern");
    let label = r"(\d{1,3}|[A-Z][A-Za-z+]*\d\d[a-z]?)";
    let labels = pattern(&format!(r"\[{label}(\s?[,;–-]\s?{label})*\]"));
    let names = pattern(r"\p{Lu}[\p{L}’-]+( et al\.,?| (and|&) \p{Lu}[\p{L}’-]+,?) \(?(19|20)\d\d[a-z]?");
    let (mut all, mut linked) = (0, 0);
    for (file, form) in [
        ("1503.02531.pdf", &labels),
        ("1706.03762.pdf", &labels),
        ("1810.04805.pdf", &names),
        ("1910.13461.pdf", &names),
        ("2001.08361.pdf", &labels),
        ("2103.13630.pdf", &labels),
        ("2106.09685.pdf", &names),
        ("2205.14135.pdf", &labels),
        ("2211.05100.pdf", &names),
        ("2212.03551.pdf", &names),
        ("2301.00774.pdf", &names),
        ("ja_dbs157.pdf", &labels),
        ("mineru_demo1.pdf", &names),
        ("olmocr_load_v_error.pdf", &labels),
        ("olmocr_repeating_references_on_pg9_pg10.pdf", &names),
    ] {
        let document = read(&library, &papers.join(file));
        let (mut looking, mut found) = (0, 0);
        for (index, block) in document.blocks.iter().enumerate().filter(|(_, block)| block.part != Part::References) {
            let cited: Vec<_> = document.citations.iter().filter(|citation| citation.block == index).collect();
            for place in form.find_iter(&block.text) {
                looking += 1;
                let linked = cited.iter().any(|citation| {
                    let end = citation.start + citation.text.len();
                    citation.start < place.end() && place.start() < end
                });
                found += usize::from(linked);
            }
        }
        let mut cited: Vec<usize> =
            document.citations.iter().flat_map(|citation| citation.references.clone()).collect();
        cited.sort_unstable();
        cited.dedup();
        let (cited, entries) = (cited.len(), document.references.len());
        println!("{file}: {found} of {looking} citations linked, {cited} of {entries} entries cited");
        (all, linked) = (all + looking, linked + found);
    }
    println!("{linked} of {all} citations linked");
    assert!(100 * linked >= 98 * all, "{linked} of {all}");
}

/// What a title is compared by: accents, case, spaces and punctuation differ between what is printed and what is read.
fn compared(title: &str) -> String {
    title.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Against lists counted by hand: entries found, and their titles. `-- --nocapture` prints the figures.
#[test]
fn reference_lists_are_read_as_counted_by_hand() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let by_hand = std::fs::read_to_string(fixture("../references/by_hand.tsv")).expect("the lists counted by hand");
    let mut lists: Vec<(&str, usize, Vec<&str>)> = Vec::new();
    for row in by_hand.lines().skip(1) {
        let [file, entries, title] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("three columns: {row}") };
        if lists.last().is_none_or(|(last, ..)| *last != file) {
            lists.push((file, entries.parse().expect("a number"), Vec::new()));
        }
        lists.last_mut().expect("just pushed").2.push(title);
    }
    let (mut entries, mut wrong, mut titles, mut missed) = (0, 0, 0, Vec::new());
    for (file, counted, expected) in lists {
        let document = read(&library, &papers.join(file));
        let found: HashSet<String> =
            document.references.iter().filter_map(|reference| reference.title.as_deref()).map(compared).collect();
        let before = missed.len();
        missed.extend(expected.iter().filter(|title| !found.contains(&compared(title))).map(|title| (file, *title)));
        println!(
            "{file}: {} entries of {counted}, {} titles of {}, {} citations",
            document.references.len(),
            expected.len() + before - missed.len(),
            expected.len(),
            document.citations.len()
        );
        entries += counted;
        wrong += document.references.len().abs_diff(counted);
        titles += expected.len();
    }
    missed.iter().for_each(|(file, title)| println!("not as printed: {file}: {title}"));
    println!("{wrong} entries of {entries} too many or too few, {} titles of {titles} not as printed", missed.len());
    assert!(50 * wrong <= entries, "{wrong} entries of {entries}");
    assert!(20 * missed.len() <= titles, "{missed:#?}");
}
