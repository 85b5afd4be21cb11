//! A paper's file → [`Document`]: its text as blocks in reading order. Knows nothing of models.
//!
//! [`input`] looks at the bytes, [`pdf`] reads a PDF's pages into blocks, [`links`] collects URLs; [`types`] is what comes
//! of it, [`forms`] how it is shown.

pub mod forms;
mod input;
mod links;
mod pdf;
mod types;

pub use types::{
    Block, BlockKind, Citation, Document, Link, LinkKind, Page, Part, Reference, SCHEMA_VERSION, Source, Span,
    TextQuality,
};

#[cfg(doc)]
use crate::Kind;
use crate::Result;
use regex::Regex;
use sha2::{Digest, Sha256};
use std::path::Path;

impl Document {
    /// Refuses what is plainly no PDF, without any PDF library.
    pub fn check(file: &Path) -> Result<()> {
        input::read_pdf(file).map(drop)
    }

    /// Reads `file` with the PDFium library at `library`. The whole text, always: what is left out stands in
    /// [`Page::dropped`], and what could not be read in [`Document::warnings`].
    ///
    /// Errors: [`Kind::Input`] (no such file, not a PDF, …), [`Kind::Password`], [`Kind::Damaged`], [`Kind::NoText`],
    /// [`Kind::Unavailable`] (the library), [`Kind::Interrupted`].
    pub fn read(library: &Path, file: &Path, password: Option<&str>) -> Result<Document> {
        let bytes = input::read_pdf(file)?;
        let name = file.file_name().map_or_else(|| file.to_string_lossy(), |name| name.to_string_lossy());
        pdf::read(library, file, &bytes, password, name.into_owned(), hex(&Sha256::digest(&bytes)))
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

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A constant of this module as a regular expression.
fn pattern(pattern: &'static str) -> Regex {
    Regex::new(pattern).expect("a constant that the tests of its module use")
}
