//! What tests with real PDFs share: the library, the papers, the fixtures.

#![allow(dead_code, reason = "each test uses what it needs")]

pub mod server;

use ronbun::document::{Document, ReadOptions};
use ronbun::hub::{Hub, Settings};
use ronbun::progress::Progress;
use ronbun::{Error, Kind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// PDFium as a newcomer gets it, in a cache that later runs find again.
pub fn library() -> Option<PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (cache_dir, cards_dir) = (folder.join("cache"), folder.join("no-cards"));
        let settings = Settings { offline: false, cache_dir, cards_dir, progress: Progress::silent() };
        let explicit = std::env::var_os("RONBUN_PDFIUM").map(PathBuf::from);
        match Hub::new(settings).and_then(|hub| hub.pdfium(explicit.as_deref())) {
            Ok(library) => Some(library),
            Err(error) if error.kind == Kind::Unavailable => {
                eprintln!("skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    });
    library.clone()
}

pub fn papers() -> Option<PathBuf> {
    let shared = std::env::var_os("RONBUN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let papers = shared.join("papers");
    if !papers.join("INDEX.tsv").is_file() {
        eprintln!("skipped: no papers at {}", papers.display());
        return None;
    }
    Some(papers)
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pdf").join(name)
}

pub fn read(library: &Path, file: &Path, password: Option<&str>) -> Result<Document, Error> {
    let password = password.map(str::to_string);
    Document::read(file, &ReadOptions { library: library.to_path_buf(), password, ..ReadOptions::default() })
}
