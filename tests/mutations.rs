//! Damaged PDFs, made from good ones by chance, through the program's own reader. Whatever a file does to PDFium, each
//! gives one result within its limits, and the next file is read as if nothing had been.
//!
//! An ordinary run tries a few of the fixtures' descendants. `RONBUN_MUTATIONS=5000 cargo test --release --test mutations
//! -- --nocapture` tries as many as it says, of the papers in `../shared` too, and prints what became of them; what crashed
//! or went over a limit is kept in `target/tmp/mutations`.

mod common;

use common::{fixture, library, papers};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use regex::bytes::Regex;
use ronbun::document::{Document, ReadOptions, sandbox::Limits, sandbox::Sandbox};
use ronbun::progress::Progress;
use ronbun::{Error, Kind};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

const ORDINARY: usize = 60;
/// Files that all others come from.
const ANCESTORS: usize = 10;
/// Larger papers would only take longer: their structure is the same.
const LARGEST: u64 = 500_000;
/// What numbers become: lengths, counts, offsets and sizes that no file has.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "99999999999",
    "18446744073709551616",
    "-32769",
    "1e38",
    "0.0000001",
];

static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u)[+-]?\d+(\.\d+)?").expect("a pattern"));
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u)\d+ \d+ R\b").expect("a pattern"));
static OBJECT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s-u)\d+ \d+ obj\b.*?endobj").expect("a pattern"));
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u)/[A-Za-z0-9]+").expect("a pattern"));

struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    /// A stretch of at most `longest` bytes.
    fn stretch(&mut self, bytes: &[u8], longest: usize) -> Range<usize> {
        let start = self.below(bytes.len());
        start..(start + 1 + self.below(longest)).min(bytes.len())
    }

    /// Where `pattern` matches, one of all places.
    fn place(&mut self, pattern: &Regex, bytes: &[u8]) -> Option<Range<usize>> {
        let places: Vec<_> = pattern.find_iter(bytes).map(|found| found.range()).collect();
        (!places.is_empty()).then(|| places[self.below(places.len())].clone())
    }
}

/// `bytes` with one fault; `other` is where foreign parts come from.
fn damage(mut bytes: Vec<u8>, other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let swap = |pattern: &Regex, chance: &mut Chance, bytes: &mut Vec<u8>, from: Option<&[u8]>| {
        let source = chance.place(pattern, from.unwrap_or(bytes)).map(|at| from.unwrap_or(bytes)[at].to_vec());
        if let (Some(with), Some(at)) = (source, chance.place(pattern, bytes)) {
            bytes.splice(at, with);
        }
    };
    match chance.below(9) {
        0 => (0..=chance.below(64)).for_each(|_| {
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
        }),
        1 => bytes.truncate(chance.below(bytes.len()) + 1),
        2 => drop(bytes.drain(chance.stretch(&bytes, 4096))),
        3 => {
            let copy = bytes[chance.stretch(&bytes, 4096)].to_vec();
            let at = chance.below(bytes.len());
            bytes.splice(at..at, copy);
        }
        4 => {
            let at = chance.stretch(&bytes, 64);
            bytes[at].iter_mut().for_each(|byte| *byte = chance.below(256) as u8);
        }
        5 => {
            for _ in 0..=chance.below(4) {
                if let Some(at) = chance.place(&NUMBER, &bytes) {
                    bytes.splice(at, NUMBERS[chance.below(NUMBERS.len())].bytes());
                }
            }
        }
        // A reference leads somewhere else: to itself, in a circle, to an object of another kind.
        6 => (0..=chance.below(4)).for_each(|_| swap(&REFERENCE, chance, &mut bytes, None)),
        7 => swap(&NAME, chance, &mut bytes, None),
        _ => swap(&OBJECT, chance, &mut bytes, Some(other)),
    }
    bytes
}

/// The file with this number, the same on every run.
fn descendant(number: usize, ancestors: &[Vec<u8>]) -> Vec<u8> {
    let mut chance = Chance(ChaCha8Rng::seed_from_u64(number as u64));
    let other = &ancestors[chance.below(ancestors.len())];
    let bytes = ancestors[number % ancestors.len()].clone();
    let damaged = (0..=chance.below(4)).fold(bytes, |bytes, _| match bytes.is_empty() {
        true => bytes,
        false => damage(bytes, other, &mut chance),
    });
    // Files without a header never reach the reader.
    if damaged.starts_with(b"%PDF-") { damaged } else { [b"%PDF-1.7\n", damaged.as_slice()].concat() }
}

/// Good files that differ in what made them: our fixtures, and the papers evenly over their sizes.
fn ancestors(count: usize) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        ["plain.pdf", "two_columns.pdf", "some_pages_empty.pdf", "encrypted.pdf"].map(fixture).to_vec();
    if count > ORDINARY
        && let Some(papers) = papers()
    {
        let entries = papers.read_dir().expect("the papers").map(|entry| entry.expect("an entry").path());
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let pdf = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pdf");
        let mut more: Vec<_> = entries.filter(|path| pdf(path) && size(path) < LARGEST).collect();
        more.sort_by_key(|path| (size(path), path.clone()));
        let wanted = ANCESTORS - files.len();
        files.extend((0..wanted).map(|nth| more[(2 * nth + 1) * more.len() / (2 * wanted)].clone()));
        files.iter().for_each(|file| eprintln!("ancestor: {} ({} bytes)", file.display(), size(file)));
    }
    files.iter().map(|file| std::fs::read(file).expect("a readable file")).collect()
}

/// What became of one file, in a few words.
fn outcome(result: &Result<Document, Error>) -> String {
    match result {
        Ok(_) => "read".into(),
        Err(error) => match ["crashed", "took longer", "computed longer", "needed more", "found more"]
            .into_iter()
            .find(|words| error.problem.contains(words))
        {
            Some(words) => format!("stopped: {words}"),
            None => format!("refused: {:?}", error.kind),
        },
    }
}

#[test]
fn damaged_files_cost_one_result_each_and_nothing_else() {
    let Some(library) = library() else { return };
    let count = std::env::var("RONBUN_MUTATIONS").map_or(ORDINARY, |count| count.parse().expect("a number"));
    let ancestors = ancestors(count);
    let options = ReadOptions { library, password: Some("secret".into()), ..ReadOptions::default() };
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_ronbun").into(), Progress::silent());
    let witness = fixture("two_columns.pdf");
    let expected = sandbox.read(&witness, &options).expect("a good paper");
    assert_eq!(
        expected,
        Document::read(&witness, &options).expect("a good paper"),
        "the child reads as the parent does"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let (next, outcomes, slowest) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Mutex::new((0.0, 0)));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let bytes = descendant(number, &ancestors);
                    let file = folder.path().join(format!("{number}.pdf"));
                    std::fs::write(&file, &bytes).expect("written");
                    let start = Instant::now();
                    let result = sandbox.read(&file, &options);
                    let seconds = start.elapsed().as_secs_f64();
                    check(number, &result, seconds, Limits::of_file(bytes.len()));
                    let outcome = outcome(&result);
                    if outcome.starts_with("stopped") {
                        keep(&file, &outcome);
                    }
                    std::fs::remove_file(&file).expect("removed");
                    *outcomes.lock().expect("no panic").entry(outcome).or_insert(0) += 1;
                    let mut slowest = slowest.lock().expect("no panic");
                    *slowest = if seconds > slowest.0 { (seconds, number) } else { *slowest };
                    if number % 1000 == 999 {
                        eprintln!("{} files: {:?}", number + 1, outcomes.lock().expect("no panic"));
                    }
                    if number.is_multiple_of(100) {
                        assert_eq!(sandbox.read(&witness, &options).as_ref(), Ok(&expected), "after {number}");
                    }
                }
            });
        }
    });
    let (outcomes, slowest) = (outcomes.into_inner().expect("no panic"), slowest.into_inner().expect("no panic"));
    assert_eq!(outcomes.values().sum::<usize>(), count, "a result is lost");
    outcomes.iter().for_each(|(outcome, files)| eprintln!("{files:6}  {outcome}"));
    eprintln!("{count:6}  in all; the slowest, number {}, took {:.1} s", slowest.1, slowest.0);
    #[cfg(unix)]
    check_memory();
}

/// One result that says what is wrong, in its time, and no panic on the way.
fn check(number: usize, result: &Result<Document, Error>, seconds: f64, limits: Limits) {
    assert!(seconds < limits.seconds as f64 + 10.0, "number {number} took {seconds:.1} s");
    match result {
        Ok(document) => assert!(!document.pages.is_empty(), "number {number}"),
        Err(error) => {
            let kinds = [Kind::Input, Kind::Password, Kind::Damaged, Kind::NoText];
            assert!(kinds.contains(&error.kind) && error.hint.is_some(), "number {number}: {error}");
        }
    }
}

fn keep(file: &Path, outcome: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    std::fs::create_dir_all(&folder).expect("a folder");
    let kept = folder.join(file.file_name().expect("a name"));
    std::fs::copy(file, &kept).expect("kept");
    eprintln!("{}: {outcome}", kept.display());
}

/// No child was ever larger than the limit of the largest file, and a little for the time until it is looked at.
#[cfg(unix)]
fn check_memory() {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage");
    // Kilobytes; bytes on macOS.
    let peak = usage.max_rss() as u64 * if cfg!(target_os = "macos") { 1 } else { 1024 };
    let most = Limits::of_file(LARGEST as usize).memory;
    eprintln!("the largest child took {} MB of {} MB", peak / 1_000_000, most / 1_000_000);
    assert!(peak < most + most / 4, "{peak} bytes");
}
