//! Papers that come as text and say what their parts are: LaTeX, Markdown, HTML, plain text → [`Document`].
//!
//! [`kind_of`] tells them apart, [`encoding`] makes text of bytes, [`draft`] collects blocks (with [`inline`] for what is in
//! a line); each form has a reader of its own, and [`references`] reads what the form leaves open of entries and citations.
//! None of them needs PDFium.

mod archive;
mod draft;
mod encoding;
mod html;
mod inline;
mod latex;
mod markdown;
mod plain;

use super::{Document, Source, TextQuality, pattern, references};
use crate::{Error, Kind, Result};
use latex::project::Project;
use regex::Regex;
use std::path::Path;
use std::sync::LazyLock;

/// What a file that is no PDF is. Errors of [`Kind::Input`]: not text, not a form that is read, too large, an archive
/// without LaTeX.
pub fn kind_of(file: &Path, bytes: &[u8]) -> Result<Source> {
    if archive::is_archive(bytes) {
        return Project::in_archive(file, bytes).map(|_| Source::Latex);
    }
    let fail = |problem: String| Error::new(Kind::Input, file.display(), problem);
    if let Some(what) = archive::signature(bytes) {
        return Err(fail(format!("is not a PDF: it {what}")).hint(HINT));
    }
    if !encoding::is_text(bytes) {
        return Err(fail(format!("is not a PDF and no text: it {}", archive::start_of(bytes))).hint(HINT));
    }
    if bytes.len() > archive::MOST_TEXT {
        let mib = bytes.len() >> 20;
        return Err(fail(format!("holds {mib} MiB of text, more than any paper")).hint("give the paper alone"));
    }
    let (text, _) = encoding::decode(bytes);
    if text.trim().is_empty() {
        return Err(fail("holds nothing but white space".into()).hint("fetch it again; a download may have failed"));
    }
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    match kind_of_text(&text, &extension) {
        Some(source) => Ok(source),
        None => Err(fail("is not a PDF: it is XML, and not HTML".into()).hint(HINT)),
    }
}

const HINT: &str = "give the paper's PDF, its LaTeX sources (also as .tar.gz), HTML, Markdown or plain text";

/// The form of a text by its content; by the name where the content leaves it open. `None` is XML of another kind.
fn kind_of_text(text: &str, extension: &str) -> Option<Source> {
    static LATEX: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?m)^[ \t]*\\(documentclass|documentstyle|begin\s*\{document\})"));
    static HTML: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?is)\A\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|article|main)\b")
    });
    let markdown = ["md", "markdown", "mkd", "mdown", "qmd", "rmd"].contains(&extension);
    let start = &text[..text.floor_char_boundary(1 << 14)];
    if HTML.is_match(start) {
        return Some(Source::Html);
    }
    if !markdown && LATEX.is_match(text) {
        return Some(Source::Latex);
    }
    if start.trim_start().starts_with("<?xml") {
        return None;
    }
    Some(match extension {
        "tex" | "ltx" | "latex" => Source::Latex,
        "htm" | "html" | "xhtml" => Source::Html,
        _ if markdown || looks_like_markdown(text) => Source::Markdown,
        _ => Source::Text,
    })
}

/// Two headings with hashes, each on a line of its own between blank lines.
fn looks_like_markdown(text: &str) -> bool {
    static HEADING: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)(\A|\n[ \t]*\n)#{1,6} \S[^\n]*\n[ \t]*\n"));
    HEADING.find_iter(text).nth(1).is_some()
}

/// Whether a folder holds one paper's LaTeX sources: a root file, and no PDF but the paper itself and its figures.
pub fn is_latex_folder(folder: &Path) -> bool {
    Project::in_folder(folder).is_ok_and(|project| project.owns_pdfs_of(folder))
}

/// Whether LaTeX of these bytes may include what lies beside it: a file that is no archive, or a folder, which has none.
pub fn has_neighbours(bytes: &[u8]) -> bool {
    !archive::is_archive(bytes)
}

/// Reads `bytes` of `file` as `source`. Folders have no bytes. The document's own name and hash are left to the caller.
pub fn read(file: &Path, bytes: &[u8], source: Source) -> Result<Document> {
    let mut document = match source {
        Source::Latex => latex::read(&project(file, bytes)?),
        Source::Markdown => markdown::read(&encoding::decode(bytes).0),
        Source::Html => html::read(&html::decode(bytes)),
        _ => plain::read(&encoding::decode(bytes).0),
    };
    let (told, cited) = (std::mem::take(&mut document.references), std::mem::take(&mut document.citations));
    (document.references, document.citations) = references::complete(&document.blocks, told, cited);
    if document.blocks.is_empty() {
        return Err(Error::new(Kind::NoText, file.display(), "holds no text of a paper")
            .hint("check that it is the paper itself and not an empty page or a file of settings"));
    }
    document.pages.iter_mut().for_each(|page| page.text_quality = TextQuality::Good);
    Ok(document)
}

fn project(file: &Path, bytes: &[u8]) -> Result<Project> {
    if file.is_dir() {
        Project::in_folder(file)
    } else if archive::is_archive(bytes) {
        Project::in_archive(file, bytes)
    } else {
        Ok(Project::of_file(file, bytes))
    }
}

#[cfg(test)]
mod tests;
