//! The file as bytes and what it is, and what is wrong with it before anything reads it.

use super::{Source, sources};
use crate::{Error, Kind, Result};
use std::io::ErrorKind;
use std::path::Path;

/// Where readers look for the `%PDF` header: junk may come before it, but not more than this.
const HEADER_WINDOW: usize = 1024;

/// What is at a path.
#[derive(Debug)]
pub struct Input {
    pub source: Source,
    /// The whole file; empty for a folder.
    pub bytes: Vec<u8>,
}

/// Reads a whole file and tells what it is, by its content. A name that ends in `.pdf` promises a PDF: a page of text
/// under such a name is a failed download. Errors of [`Kind::Input`] say which of the usual reasons it is.
pub fn open(file: &Path) -> Result<Input> {
    let input = |problem: &str| Error::new(Kind::Input, file.display(), problem);
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if metadata.is_dir() {
        return match sources::is_latex_folder(file) {
            true => Ok(Input { source: Source::Latex, bytes: Vec::new() }),
            false => Err(input("is a folder, and not that of one paper's LaTeX sources").hint("name the files in it")),
        };
    }
    if !metadata.is_file() {
        return Err(input("is not a regular file").hint("save it as a file first"));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    if bytes.is_empty() {
        return Err(input("is an empty file").hint("fetch it again; a download may have failed"));
    }
    let source = kind_of(file, &bytes)?;
    Ok(Input { source, bytes })
}

/// Reads a whole PDF. Errors: as [`open`], and [`Kind::Input`] where it is another kind of paper.
pub fn read_pdf(file: &Path) -> Result<Vec<u8>> {
    let input = open(file)?;
    match input.source {
        Source::Pdf => Ok(input.bytes),
        source => {
            let problem = format!("is not a PDF: it is {}", named(source).0);
            Err(Error::new(Kind::Input, file.display(), problem).hint("give the paper's PDF file"))
        }
    }
}

fn kind_of(file: &Path, bytes: &[u8]) -> Result<Source> {
    let named_pdf = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf"));
    if has_header(bytes, named_pdf) {
        return Ok(Source::Pdf);
    }
    let found = sources::kind_of(file, bytes);
    if (named_pdf || found.is_err()) && looks_like_pdf_inside(bytes) {
        let problem = "the PDF is damaged: its %PDF header is missing";
        return Err(Error::new(Kind::Damaged, file.display(), problem)
            .hint("fetch it again, or repair it (qpdf, mutool clean)"));
    }
    match found {
        Ok(found) if named_pdf => {
            let (what, ending) = named(found);
            let problem = format!("is not a PDF: it is {what}");
            Err(Error::new(Kind::Input, file.display(), problem)
                .hint(format!("give the paper's PDF file; if this is the paper itself, name it {ending}")))
        }
        found => found,
    }
}

/// A source as messages name it, and the ending of its files' names.
fn named(source: Source) -> (&'static str, &'static str) {
    match source {
        Source::Pdf => ("a PDF", ".pdf"),
        Source::Latex => ("LaTeX", ".tex or .tar.gz"),
        Source::Markdown => ("Markdown", ".md"),
        Source::Html => ("an HTML page", ".html"),
        Source::Text => ("plain text", ".txt"),
    }
}

/// Under a name of another kind, a version has to follow: text may speak of `%PDF`.
fn has_header(bytes: &[u8], named_pdf: bool) -> bool {
    let window = &bytes[..bytes.len().min(HEADER_WINDOW)];
    contains(window, if named_pdf { b"%PDF" } else { b"%PDF-" })
}

/// A PDF whose start is lost still has its objects or its cross-reference table.
fn looks_like_pdf_inside(bytes: &[u8]) -> bool {
    contains(bytes, b"startxref") || (contains(bytes, b" obj") && contains(bytes, b"endobj"))
}

/// Whether the file itself says that it is encrypted. The word stands outside the encrypted parts in every PDF.
pub fn mentions_encryption(bytes: &[u8]) -> bool {
    contains(bytes, b"/Encrypt")
}

fn unreadable(file: &Path, error: &std::io::Error) -> Error {
    let (problem, hint) = match error.kind() {
        ErrorKind::NotFound => ("no such file".to_string(), "check the path"),
        ErrorKind::PermissionDenied => ("permission denied".to_string(), "make the file readable (chmod u+r)"),
        _ => (format!("cannot be read: {error}"), "check the disk that it is on"),
    };
    Error::new(Kind::Input, file.display(), problem).hint(hint)
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_as(name: &str, content: &[u8]) -> Result<Input> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join(name);
        std::fs::write(&file, content).expect("writable");
        open(&file)
    }

    #[test]
    fn each_bad_file_is_named_with_its_reason() {
        assert_eq!(open(Path::new("/no/such.pdf")).expect_err("none").problem, "no such file");
        for (name, content, part) in [
            ("paper.pdf", &b""[..], "empty file"),
            ("paper.pdf", b"PK\x03\x04rest", "zip"),
            ("paper.docx", b"PK\x03\x04rest", "is not a PDF: it looks like a zip archive or an Office document"),
            ("paper.pdf", b"\n<!DOCTYPE html><p>", "is not a PDF: it is an HTML page"),
            ("paper.pdf", b"hello", "is not a PDF: it is plain text"),
            ("paper.pdf", b"hello \x00 world", "starts with \"hello \\u{0} world\""),
            ("paper.txt", b"  \n ", "white space"),
            ("paper.xml", b"<?xml version=\"1.0\"?><jats/>", "XML"),
            ("paper.png", b"\x89PNG", "is not a PDF: it is a PNG image"),
        ] {
            let error = open_as(name, content).expect_err(part);
            assert_eq!(error.kind, Kind::Input);
            assert!(error.subject.ends_with(name), "{error}");
            assert!(error.problem.contains(part), "{error}");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn content_tells_what_a_file_is() {
        for (name, content, source) in [
            ("a.pdf", &b"%PDF-1.4"[..], Source::Pdf),
            ("a.txt", b"%PDF-1.4", Source::Pdf),
            ("a.tex", b"% %PDF is what we read\nText.", Source::Latex),
            ("a", b"% a paper\n\\documentclass{article}\n", Source::Latex),
            ("a.txt", b"<!-- saved --><html><p>x", Source::Html),
            ("a.md", b"```\n\\documentclass{article}\n```", Source::Markdown),
            ("a", b"# One\n\ntext\n\n## Two\n\ntext", Source::Markdown),
            ("a.txt", b"# a comment\ntext", Source::Text),
        ] {
            assert_eq!(open_as(name, content).expect(name).source, source, "{name}");
        }
    }

    #[test]
    fn a_folder_of_other_things_is_no_paper() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = open(folder.path()).expect_err("a folder");
        assert_eq!(error.kind, Kind::Input);
        assert!(error.problem.starts_with("is a folder"), "{error}");
    }

    #[test]
    fn the_header_may_stand_behind_junk_but_not_far() {
        for (junk, ok) in [(1000, true), (1024, false)] {
            let mut bytes = vec![b' '; junk];
            bytes.extend(b"%PDF-1.4");
            assert_eq!(open_as("paper.pdf", &bytes).is_ok(), ok, "{junk}");
        }
    }
}
