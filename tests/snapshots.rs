//! What is understood of our own sample paper and of the small PDFs of the fixtures, block by block, against files of
//! `tests/snapshots`. A rule that changes them on purpose is accepted with `RONBUN_ACCEPT=1 cargo test --test snapshots`,
//! and the change of the files is looked at as code is.

mod common;

use common::{fixture, library};
use ronbun::document::{Block, BlockKind, Document, ReadOptions, Reference};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// How much of a block's text is shown, in characters: enough to know the block by.
const SHOWN: usize = 60;

#[test]
fn papers_are_understood_as_before() {
    let Some(library) = library() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for file in [
        root.join("papers/ronbun-attention.pdf"),
        fixture("plain.pdf"),
        fixture("two_columns.pdf"),
        fixture("some_pages_empty.pdf"),
        fixture("image_only.pdf"),
    ] {
        let options = ReadOptions { library: library.clone(), keep_refused: true, ..ReadOptions::default() };
        let document = Document::read(&file, &options).expect("a paper");
        let kept = root.join("tests/snapshots").join(&document.file).with_extension("txt");
        wrong.extend(difference(&kept, &structure(&document)));
    }
    assert!(
        wrong.is_empty(),
        "\n{}\nif that is meant: RONBUN_ACCEPT=1 cargo test --test snapshots\n",
        wrong.join("\n")
    );
}

/// How `found` differs from what the file holds; none if it does not. Where it is to be accepted, the file is written.
fn difference(kept: &PathBuf, found: &str) -> Option<String> {
    if std::env::var_os("RONBUN_ACCEPT").is_some() {
        std::fs::write(kept, found).expect("writable");
    }
    let expected = std::fs::read_to_string(kept).unwrap_or_default().replace("\r\n", "\n");
    (expected != found).then(|| format!("{}\n{}", kept.display(), changes(&expected, found)))
}

/// The lines between what two texts have in common at their starts and at their ends.
fn changes(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let start = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let (before, after) = (&before[start..], &after[start..]);
    let end = before.iter().rev().zip(after.iter().rev()).take_while(|(one, other)| one == other).count();
    let lines = |mark: char, lines: &[&str]| -> String {
        lines[..lines.len() - end].iter().map(|line| format!("{mark} {line}\n")).collect()
    };
    format!("@ line {}\n{}{}", start + 1, lines('-', before), lines('+', after))
}

/// A document in lines: its pages, a line a block, its references and links.
fn structure(document: &Document) -> String {
    let mut out = String::new();
    let mut line = |line: String| writeln!(out, "{}", line.trim_end()).expect("a string takes everything");
    line(format!("title: {}", document.title.as_deref().unwrap_or("-")));
    line(format!("authors: {}", document.authors.join(", ")));
    for page in &document.pages {
        let reason = page.reason.iter().map(|reason| format!(" ({reason})")).collect::<String>();
        line(format!("page {}: {:?}{reason}", page.number, page.text_quality));
        page.dropped.iter().for_each(|dropped| line(format!("  dropped: {}", start(dropped))));
    }
    line("\nblocks".into());
    document.blocks.iter().for_each(|each| line(block(each)));
    line("\nreferences".into());
    for (index, entry) in document.references.iter().enumerate() {
        let cited = document.citations.iter().filter(|citation| citation.references.contains(&index)).count();
        line(format!("{}; cited {cited} times", reference(entry)));
    }
    line("\nlinks".into());
    document.links.iter().for_each(|link| line(format!("{} {:?} {}", link.page, link.kind, link.url)));
    document.warnings.iter().for_each(|warning| line(format!("\nwarning: {warning}")));
    out
}

/// Page, part, kind, level and number, how long it is, and how it begins.
fn block(block: &Block) -> String {
    let kind = match &block.kind {
        BlockKind::Heading { level, number } => format!("Heading {level} [{}]", number.as_deref().unwrap_or("")),
        BlockKind::Table { rows } => format!("Table {} × {}", rows.len(), rows.iter().map(Vec::len).max().unwrap_or(0)),
        kind => format!("{kind:?}"),
    };
    format!("{} {:?} {kind} {} | {}", block.page(), block.part, block.text.chars().count(), start(&block.text))
}

/// What is known of an entry, by names where it is known at all.
fn reference(entry: &Reference) -> String {
    let label = entry.label.as_deref().unwrap_or("-");
    let known = [
        ("", entry.title.clone()),
        ("", entry.year.map(|year| year.to_string())),
        ("in ", entry.venue.clone()),
        ("doi:", entry.doi.clone()),
        ("arXiv:", entry.arxiv.clone()),
        ("", entry.url.clone()),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some(format!("; {name}{}", value?))).collect::<String>();
    format!("[{label}] {}{known}", entry.authors.join(", "))
}

/// The first words of a text, on one line.
fn start(text: &str) -> String {
    text.replace('\n', " / ").chars().take(SHOWN).collect()
}

#[test]
fn changes_are_shown_without_what_is_the_same() {
    assert_eq!(changes("a\nb\nc\nd\n", "a\nx\nd\n"), "@ line 2\n- b\n- c\n+ x\n");
    assert_eq!(changes("", "a\n"), "@ line 1\n+ a\n");
    assert_eq!(changes("a\na\n", "a\n"), "@ line 2\n- a\n");
}
