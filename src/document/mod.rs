//! A paper's file → [`Document`]: its text as blocks in reading order. Knows nothing of models.
//!
//! [`input`] looks at the bytes, [`pdf`] reads a PDF's pages into blocks, [`references`] reads the list and the citations
//! out of them, [`links`] collects URLs; [`types`] is what comes
//! of it, [`forms`] how it is shown.

pub mod forms;
mod input;
mod links;
mod pages;
mod pdf;
mod references;
pub mod sandbox;
mod types;
mod urls;

pub use pages::Pages;
pub use types::{
    Block, BlockKind, Citation, Document, Link, LinkKind, Page, Part, Reference, SCHEMA_VERSION, Source, Span,
    TextQuality,
};

#[cfg(doc)]
use crate::Kind;
use crate::Result;
use regex::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// How a file is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReadOptions {
    /// The PDFium library.
    pub library: PathBuf,
    /// Of an encrypted PDF.
    pub password: Option<String>,
    /// Instead of all.
    pub pages: Option<Pages>,
}

/// A page as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Number of the page, from 1.
    pub page: u32,
    pub png: Vec<u8>,
}

impl Document {
    /// Refuses what is plainly no PDF, without any PDF library.
    pub fn check(file: &Path) -> Result<()> {
        input::read_pdf(file).map(drop)
    }

    /// Reads `file` in this very process; [`sandbox::Sandbox`] does it in one of its own, which is what files from
    /// strangers ask for. The whole text, always: what is left out stands in [`Page::dropped`], and what could not be
    /// read in [`Document::warnings`].
    ///
    /// Errors: [`Kind::Usage`] (no such page), [`Kind::Input`] (no such file, not a PDF, …), [`Kind::Password`], [`Kind::Damaged`], [`Kind::NoText`],
    /// [`Kind::Unavailable`] (the library), [`Kind::Interrupted`].
    pub fn read(file: &Path, options: &ReadOptions) -> Result<Document> {
        let bytes = input::read_pdf(file)?;
        let document = read_pdf(file, &bytes, options)?;
        Ok(Document { file: name(file), sha256: hex(&Sha256::digest(&bytes)), ..document })
    }

    /// The pages of a PDF as pictures of `width` pixels, for [`forms::html()`]; a page that cannot be drawn is left out.
    ///
    /// Errors: as [`Document::read`].
    pub fn pictures(file: &Path, options: &ReadOptions, width: u16) -> Result<Vec<Picture>> {
        pdf::pictures(file, &input::read_pdf(file)?, options, width)
    }

    /// The whole text, blocks separated by an empty line.
    pub fn text(&self) -> String {
        forms::text(self)
    }

    /// The blocks that start on each page, in order.
    pub fn blocks_by_page(&self) -> impl Iterator<Item = (u32, Vec<&Block>)> + '_ {
        self.pages.iter().map(|page| {
            let blocks = self.blocks.iter().filter(|block| block.page() == page.number);
            (page.number, blocks.collect())
        })
    }
}

/// The PDF in `bytes`, without its name and hash.
fn read_pdf(file: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Document> {
    let document = pdf::read(file, bytes, options)?;
    match &options.pages {
        Some(pages) => document.only(pages, &file.to_string_lossy()),
        None => Ok(document),
    }
}

/// A file's name without its folders.
fn name(file: &Path) -> String {
    file.file_name().map_or_else(|| file.to_string_lossy(), |name| name.to_string_lossy()).into_owned()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A constant of this module as a regular expression.
fn pattern(pattern: &'static str) -> Regex {
    Regex::new(pattern).expect("a constant that the tests of its module use")
}
