//! The file as bytes, and what is wrong with it before any PDF library looks at it.

use crate::{Error, Kind, Result};
use std::io::ErrorKind;
use std::path::Path;

/// Where readers look for the `%PDF` header: junk may come before it, but not more than this.
const HEADER_WINDOW: usize = 1024;

/// Reads a whole PDF file. Errors of [`Kind::Input`] say which of the usual reasons it is.
pub fn read_pdf(file: &Path) -> Result<Vec<u8>> {
    let subject = file.display();
    let input = |problem: String| Error::new(Kind::Input, subject.to_string(), problem);
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if metadata.is_dir() {
        return Err(input("is a folder, not a PDF".into()).hint("name the PDF files in it"));
    }
    if !metadata.is_file() {
        return Err(input("is not a regular file".into()).hint("save it as a PDF file first"));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    if bytes.is_empty() {
        return Err(input("is an empty file".into()).hint("fetch it again; a download may have failed"));
    }
    if !has_header(&bytes) && looks_like_pdf_inside(&bytes) {
        let problem = "the PDF is damaged: its %PDF header is missing";
        return Err(
            Error::new(Kind::Damaged, subject, problem).hint("fetch it again, or repair it (qpdf, mutool clean)")
        );
    }
    if !has_header(&bytes) {
        return Err(input(format!("is not a PDF: it {}", describe(&bytes))).hint("give the paper's PDF file"));
    }
    Ok(bytes)
}

fn has_header(bytes: &[u8]) -> bool {
    let window = &bytes[..bytes.len().min(HEADER_WINDOW)];
    contains(window, b"%PDF")
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

/// What a file that is no PDF looks like, from its first bytes.
fn describe(bytes: &[u8]) -> String {
    const SIGNATURES: [(&[u8], &str); 7] = [
        (b"PK\x03\x04", "looks like a zip archive or an Office document"),
        (b"\x1f\x8b", "looks like a gzip archive (LaTeX sources of arXiv come so)"),
        (b"%!PS", "is PostScript"),
        (b"\x89PNG", "is a PNG image"),
        (b"\xff\xd8\xff", "is a JPEG image"),
        (b"{\\rtf", "is an RTF document"),
        (b"AT&TFORM", "is a DjVu document"),
    ];
    if let Some((_, name)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return (*name).to_string();
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
    let lower = start.trim_start().to_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return "is an HTML page".to_string();
    }
    let shown: String = start.chars().take(16).flat_map(char::escape_default).collect();
    format!("starts with \"{shown}\" and has no %PDF header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(content: Option<&[u8]>) -> Error {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("paper.pdf");
        if let Some(content) = content {
            std::fs::write(&file, content).expect("writable");
        }
        read_pdf(&file).expect_err("no PDF")
    }

    #[test]
    fn each_bad_file_is_named_with_its_reason() {
        for (content, part) in [
            (None, "no such file"),
            (Some(&b""[..]), "empty file"),
            (Some(b"PK\x03\x04rest"), "zip"),
            (Some(b"\n<!DOCTYPE html><p>"), "HTML"),
            (Some(b"hello \x00 world"), "starts with \"hello \\u{0} world\""),
        ] {
            let error = problem_of(content);
            assert_eq!(error.kind, Kind::Input);
            assert!(error.subject.ends_with("paper.pdf"), "{error}");
            assert!(error.problem.contains(part), "{error}");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn a_folder_is_not_a_pdf() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = read_pdf(folder.path()).expect_err("a folder");
        assert_eq!((error.kind, error.problem.as_str()), (Kind::Input, "is a folder, not a PDF"));
    }

    #[test]
    fn the_header_may_stand_behind_junk_but_not_far() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("paper.pdf");
        for (junk, ok) in [(1000, true), (1024, false)] {
            let mut bytes = vec![b' '; junk];
            bytes.extend(b"%PDF-1.4");
            std::fs::write(&file, bytes).expect("writable");
            assert_eq!(read_pdf(&file).is_ok(), ok, "{junk}");
        }
    }
}
