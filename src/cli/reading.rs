//! Inputs → documents. Everything that can be refused is refused here, before any model is fetched or loaded.

use super::args::{Reading, When};
use super::context::Context;
use super::inputs::{Input, Source};
use super::output;
use crate::document::ocr::{Ocr, OcrMode};
use crate::document::{self, Document, Picture, ReadOptions, sandbox::Sandbox};
use crate::hub::Hub;
use crate::{Error, Kind, Result, interrupt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A paper that was read.
pub struct Paper {
    /// The paper itself, a file or a folder; of a fetched one, where it is kept.
    pub file: PathBuf,
    pub document: Document,
    /// From the file to its text.
    pub seconds: f64,
}

/// Reads `inputs` in their order; each failure stays with the name of its paper. Errors are those that concern all of
/// them: no PDFium, Ctrl-C.
pub fn read_all(
    context: &Context,
    hub: &Hub,
    reading: &Reading,
    inputs: Vec<Input>,
) -> Result<Vec<(String, Result<Paper>)>> {
    let mut files = Vec::new();
    for Input { name, source } in inputs {
        interrupt::check()?;
        files.push((name, unless_interrupted(source.and_then(|source| locate(hub, source)))?));
    }
    // PDFium is fetched for PDFs only.
    let is_pdf = |file: &Result<Located>| file.as_ref().is_ok_and(|(_, source)| *source == document::Source::Pdf);
    let library = match files.iter().any(|(_, file)| is_pdf(file)) {
        true => hub.pdfium(reading.pdfium.as_deref())?,
        false => PathBuf::new(),
    };
    let sandbox = Sandbox::new(this_program()?, context.progress.clone());
    let options = options(library, reading)?;
    let mut papers = Vec::new();
    for (name, file) in files {
        interrupt::check()?;
        let paper = file.and_then(|(file, _)| read(&sandbox, file, &options));
        if let Ok(paper) = &paper {
            tell(context, &name, paper);
        }
        papers.push((name, unless_interrupted(paper)?));
    }
    Ok(papers)
}

/// Reads the one paper that `input` names.
pub fn read_one(context: &Context, hub: &Hub, reading: &Reading, input: Input) -> Result<Paper> {
    let name = input.name.clone();
    let papers = read_all(context, hub, reading, vec![input])?;
    let nothing = || Err(Error::new(Kind::Internal, name, "was not read"));
    papers.into_iter().next().map_or_else(nothing, |(_, paper)| paper)
}

fn unless_interrupted<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        result => Ok(result),
    }
}

/// Where a paper lies, and what it is.
type Located = (PathBuf, document::Source);

fn locate(hub: &Hub, source: Source) -> Result<Located> {
    let path = match source {
        Source::File(path) => path,
        Source::Address(address) => hub.paper(&address)?,
    };
    let source = Document::check(&path)?;
    Ok((path, source))
}

/// The pages of a PDF as pictures; of another source none.
pub fn pictures(context: &Context, reading: &Reading, paper: &Paper, width: u16) -> Result<Vec<Picture>> {
    if paper.document.source != document::Source::Pdf {
        return Ok(Vec::new());
    }
    let options = options(context.hub()?.pdfium(reading.pdfium.as_deref())?, reading)?;
    Sandbox::new(this_program()?, context.progress.clone()).pictures(&paper.file, &options, width)
}

fn options(library: PathBuf, reading: &Reading) -> Result<ReadOptions> {
    let password = match (&reading.password, &reading.password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(password_in(file)?),
        (None, None) => None,
    };
    let mode = match reading.ocr {
        None | Some(When::Auto) => OcrMode::Auto,
        Some(When::Never) => OcrMode::Never,
        Some(When::Always) => OcrMode::Always,
    };
    let ocr = Ocr { mode, languages: reading.ocr_lang.clone() };
    Ok(ReadOptions { library, password, ocr, pages: reading.pages.clone(), ..ReadOptions::default() })
}

/// The file's first line.
fn password_in(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(Kind::Usage, file.display(), format!("the password file cannot be read: {error}"))
            .hint("name a text file whose first line is the password")
    })?;
    Ok(text.lines().next().unwrap_or_default().to_string())
}

/// The program that is started again to read PDFs in.
fn this_program() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|error| Error::new(Kind::Unavailable, "ronbun", format!("cannot find its own program file: {error}")))
}

fn read(sandbox: &Sandbox, file: PathBuf, options: &ReadOptions) -> Result<Paper> {
    let start = Instant::now();
    let document = sandbox.read(&file, options)?;
    Ok(Paper { file, document, seconds: start.elapsed().as_secs_f64() })
}

fn tell(context: &Context, name: &str, paper: &Paper) {
    let (name, all) = (output::printable(name), &paper.document.pages);
    let pages = all.iter().filter(|page| !page.skipped).count();
    let what = match (paper.document.source, pages) {
        (document::Source::Latex, _) => "LaTeX".to_string(),
        (document::Source::Markdown, _) => "Markdown".to_string(),
        (document::Source::Html, _) => "HTML".to_string(),
        (document::Source::Text, 1) => "plain text".to_string(),
        (_, 1) => "1 page".to_string(),
        (_, pages) => format!("{pages} pages"),
    };
    context.progress.line(format!("{name}: {what} read in {:.1} s", paper.seconds));
    for warning in &paper.document.warnings {
        context.progress.line(format!("  {}", output::printable(warning)));
    }
}
