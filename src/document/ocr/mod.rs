//! Pages whose text layer is none, read by an installed Tesseract.
//!
//! Tesseract gets a picture of the page and answers with words and their places, which take the way that all text takes.
//! Looking at a PDF and running another program are kept apart ([`Look`]): the first may happen where the second cannot.

mod tesseract;

use super::{Block, Document, Page, ReadOptions, TextQuality};
use crate::{Error, Kind, Result, interrupt};
use serde::{Deserialize, Serialize};
use tesseract::Tesseract;

/// Dots to an inch, as Tesseract is trained for.
pub const RESOLUTION: f32 = 300.0;
/// What to do where Tesseract is missing.
pub const HINT: &str = "install Tesseract (Debian: tesseract-ocr, and tesseract-ocr-jpn and the like for its languages) \
    and ronbun reads such pages by OCR";

/// When pages are read by OCR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OcrMode {
    /// Pages whose text cannot be read otherwise, or only in part, if Tesseract is installed.
    Auto,
    #[default]
    Never,
    /// All pages, whatever text they have.
    Always,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ocr {
    pub mode: OcrMode,
    /// Tesseract's names of languages, joined by `+`; `eng` if not given.
    pub languages: Option<String>,
}

impl Ocr {
    pub fn languages(&self) -> &str {
        self.languages.as_deref().unwrap_or("eng")
    }
}

/// What Tesseract found on a page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recognised {
    /// From 1.
    pub page: u32,
    /// Tesseract's table, with places in dots.
    pub tsv: String,
    /// Dots to an inch.
    pub resolution: f32,
}

/// A page as it is shown, in shades of grey from 0 (black) to 255, row by row from the top.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub grey: Vec<u8>,
    /// Dots to an inch.
    pub resolution: f32,
}

impl Picture {
    /// As a file in the format PGM.
    fn pgm(&self) -> Vec<u8> {
        [format!("P5\n{} {}\n255\n", self.width, self.height).as_bytes(), &self.grey].concat()
    }
}

/// A PDF that can be looked at again.
pub trait Look {
    fn read(&self, options: &ReadOptions) -> Result<Document>;
    /// `page`: from 1.
    fn picture(&self, page: u32, options: &ReadOptions) -> Result<Picture>;
}

/// Reads what `look` looks at, by OCR as far as the options want it.
///
/// Errors: those of `look`; [`Kind::Unavailable`] where OCR is wanted always and there is no Tesseract, or not its
/// language; [`Kind::Usage`] for languages that cannot be names.
pub fn read(look: &impl Look, options: &ReadOptions) -> Result<Document> {
    if options.ocr.mode == OcrMode::Never {
        return look.read(options);
    }
    check_languages(options.ocr.languages())?;
    let first = look.read(&ReadOptions { keep_refused: true, ..options.clone() })?;
    let always = options.ocr.mode == OcrMode::Always;
    let is_wanted = |page: &&Page| !page.skipped && (always || is_wanting(&first, page));
    let pages: Vec<u32> = first.pages.iter().filter(is_wanted).map(|page| page.number).collect();
    if pages.is_empty() && !first.blocks.is_empty() {
        return Ok(first);
    }
    // Most papers need no Tesseract: it is looked for where one does.
    let Some(tesseract) = wanted(&options.ocr)? else { return look.read(options) };
    let mut recognised = Vec::new();
    for page in pages {
        interrupt::check()?;
        // A page that cannot be drawn keeps its reason.
        let Ok(picture) = look.picture(page, options) else { continue };
        let tsv = tesseract.recognise(&picture, options.ocr.languages())?;
        recognised.push(Recognised { page, tsv, resolution: picture.resolution });
    }
    look.read(&ReadOptions { recognised, ..options.clone() })
}

/// Whether a page has no text, or one that could be repaired only in part.
fn is_wanting(document: &Document, page: &Page) -> bool {
    let is_unknown = |block: &Block| block.page() == page.number && block.text.contains(char::REPLACEMENT_CHARACTER);
    match page.text_quality {
        TextQuality::Good => false,
        TextQuality::Refused => true,
        TextQuality::Repaired => document.blocks.iter().any(is_unknown),
    }
}

/// Tesseract where it is to be used.
fn wanted(ocr: &Ocr) -> Result<Option<Tesseract>> {
    let missing = |problem: String, hint: &str| match ocr.mode {
        OcrMode::Always => Err(Error::new(Kind::Unavailable, "tesseract", problem).hint(hint)),
        _ => Ok(None),
    };
    let Some(tesseract) = Tesseract::find() else { return missing("is not installed".into(), HINT) };
    match ocr.languages().split('+').find(|language| !tesseract.knows(language)) {
        None => Ok(Some(tesseract)),
        // Who names a language wants it.
        Some(language) if ocr.languages.is_some() => {
            Err(Error::new(Kind::Unavailable, "tesseract", format!("does not have the language {language:?}"))
                .hint(format!("install it (Debian: tesseract-ocr-{language}), or see: tesseract --list-langs")))
        }
        Some(language) => missing(format!("does not have the language {language:?}"), "name another with --ocr-lang"),
    }
}

/// They become an argument of a program.
fn check_languages(languages: &str) -> Result<()> {
    let is_name = |name: &str| {
        name.starts_with(|ch: char| ch.is_ascii_alphanumeric())
            && name.chars().all(|ch| ch.is_ascii_alphanumeric() || matches!(ch, '_' | '-' | '/'))
    };
    if languages.split('+').all(is_name) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "--ocr-lang", format!("{languages:?} does not name languages of Tesseract"))
        .hint("such as eng, or eng+jpn; see: tesseract --list-langs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_names() {
        for (languages, ok) in [("eng", true), ("eng+jpn_vert", true), ("script/Latin", true), ("", false)] {
            assert_eq!(check_languages(languages).is_ok(), ok, "{languages}");
        }
        for languages in ["-psm", "eng+", "eng jpn", "../eng"] {
            assert_eq!(check_languages(languages).expect_err(languages).kind, Kind::Usage);
        }
    }

    #[test]
    fn a_picture_is_a_pgm_file() {
        let picture = Picture { width: 2, height: 1, grey: vec![0, 255], resolution: 300.0 };
        assert_eq!(picture.pgm(), b"P5\n2 1\n255\n\x00\xff");
    }
}
