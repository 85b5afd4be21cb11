//! A paper's file → [`Document`]: its text as blocks in reading order. Knows nothing of models.
//!
//! [`input`] looks at the bytes, [`pdf`] reads a PDF's pages into blocks, [`ocr`] those that are pictures of text,
//! [`sources`] reads LaTeX, HTML, Markdown and plain text; [`references`] reads the list and the citations out of the
//! blocks, [`links`] collects URLs; [`types`] is what comes of it, [`forms`] how it is shown, [`select`] what of it goes to
//! a model.
//!
//! # Adding a rule
//!
//! A rule belongs to the module that first has what it needs: characters and fonts in `pdf::glyphs` and `pdf::quality`,
//! rows in `pdf::lines`, places on the page in `pdf::layout` and `pdf::displays`, the words of a line in `pdf::marks`, the
//! paper as a whole in `pdf::structure` and `references`. It states the evidence it asks for as a constant or a pattern with
//! a comment, has a unit test beside it with a case that it must leave alone, and names no paper.
//!
//! What it does to real papers is seen by two commands: `scripts/document/compare OLD NEW FOLDER` reads every PDF of a
//! folder with the program before and after the change and tells what differs, and `scripts/document/measure` prints the
//! figures that the layer is held to, with its peers in the same run. `tests/snapshots` holds what is understood of a few
//! papers, block by block. `ronbun extract FILE --format html` shows the blocks over the pages.

pub mod forms;
mod input;
mod links;
pub mod ocr;
mod pages;
mod patterns;
mod pdf;
mod references;
pub mod sandbox;
mod select;
mod sources;
mod types;
mod urls;

pub use pages::Pages;
pub use select::{LeftOut, Portion, Selection, Share};
pub use types::{
    Block, BlockKind, Citation, Document, Link, LinkKind, Page, Part, Reference, SCHEMA_VERSION, Source, Span,
    TextQuality,
};

#[cfg(doc)]
use crate::Kind;
use crate::Result;
use patterns::pattern;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// How a file is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReadOptions {
    /// The PDFium library; what is no PDF is read without it.
    pub library: PathBuf,
    /// Of an encrypted PDF.
    pub password: Option<String>,
    pub ocr: ocr::Ocr,
    /// What OCR has found on pages: their text, whatever else they have.
    pub recognised: Vec<ocr::Recognised>,
    /// A document none of whose pages can be read is no error: its pages tell why.
    pub keep_refused: bool,
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
    /// What `file` is to be read as. Refuses what is plainly no paper, without any PDF library.
    pub fn check(file: &Path) -> Result<Source> {
        input::open(file).map(|input| input.source)
    }

    /// Whether a folder is one paper: its LaTeX sources, with no PDF in it but the paper's own and its figures.
    pub fn is_folder(folder: &Path) -> bool {
        sources::is_latex_folder(folder)
    }

    /// Reads `file`, a PDF, LaTeX (a file, an archive, a folder), HTML, Markdown or plain text, in this very process;
    /// [`sandbox::Sandbox`] does it in one of its own, which is what PDFs from strangers ask for. The whole text, always:
    /// what is left out stands in [`Page::dropped`], and what could not be read in [`Document::warnings`].
    ///
    /// Errors: [`Kind::Usage`] (no such page), [`Kind::Input`] (no such file, no paper, …), [`Kind::Password`],
    /// [`Kind::Damaged`], [`Kind::NoText`], [`Kind::Unavailable`] (the library), [`Kind::Interrupted`].
    pub fn read(file: &Path, options: &ReadOptions) -> Result<Document> {
        let input = input::open(file)?;
        let document = match input.source {
            Source::Pdf => ocr::read(&Pdf { file, bytes: &input.bytes }, options)?,
            source => read_text(file, &input.bytes, source, options)?,
        };
        Ok(document.of_file(file, &input.bytes))
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

    /// With the name of the file that `bytes` are of, and their hash; of a folder, which has none, that of the text.
    fn of_file(self, file: &Path, bytes: &[u8]) -> Document {
        let digest = if bytes.is_empty() { Sha256::digest(self.text()) } else { Sha256::digest(bytes) };
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = file.file_name().map_or_else(|| file.to_string_lossy(), |name| name.to_string_lossy());
        Document { file: name.into_owned(), sha256, ..self }
    }
}

/// A PDF looked at in this process.
struct Pdf<'a> {
    file: &'a Path,
    bytes: &'a [u8],
}

impl ocr::Look for Pdf<'_> {
    fn read(&self, options: &ReadOptions) -> Result<Document> {
        read_pdf(self.file, self.bytes, options)
    }

    fn picture(&self, page: u32, options: &ReadOptions) -> Result<ocr::Picture> {
        pdf::picture(self.file, self.bytes, options, page, ocr::RESOLUTION)
    }
}

/// The PDF in `bytes`, without its name and hash.
fn read_pdf(file: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Document> {
    only(&options.pages, file, pdf::read(file, bytes, options)?)
}

/// The paper in `bytes`, which comes as text, without its name and hash.
fn read_text(file: &Path, bytes: &[u8], source: Source, options: &ReadOptions) -> Result<Document> {
    only(&options.pages, file, sources::read(file, bytes, source)?)
}

/// The chosen pages of a document.
fn only(pages: &Option<Pages>, file: &Path, document: Document) -> Result<Document> {
    match pages {
        Some(pages) => document.only(pages, &file.to_string_lossy()),
        None => Ok(document),
    }
}
