//! The PDFium library in this process, and its errors as ours.

use crate::document::input::mentions_encryption;
use crate::{Error, Kind, Result};
use pdfium_render::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// PDFium can be loaded once in a process, and its last error belongs to the process: one reader at a time.
pub static LOADED: Mutex<Option<(PathBuf, &'static Pdfium)>> = Mutex::new(None);

/// Loads the library, so that a process which then gives up its rights to files can still read.
pub fn prepare(library: &Path) -> Result<()> {
    load(library, &mut LOADED.lock().unwrap_or_else(PoisonError::into_inner)).map(drop)
}

/// PDFium from `library`, loaded if it is not yet.
pub fn load(library: &Path, loaded: &mut MutexGuard<Option<(PathBuf, &'static Pdfium)>>) -> Result<&'static Pdfium> {
    let unavailable = |problem: String| {
        Error::new(Kind::Unavailable, library.display(), problem)
            .hint("name a PDFium library for this platform (libpdfium.so, libpdfium.dylib, pdfium.dll)")
    };
    if !library.is_file() {
        return Err(unavailable("no PDFium library there".into()));
    }
    match &**loaded {
        Some((path, pdfium)) if path == library => return Ok(pdfium),
        Some((path, _)) => {
            return Err(unavailable(format!("this process has already loaded PDFium from {}", path.display())));
        }
        None => {}
    }
    let bindings = Pdfium::bind_to_library(library)
        .map_err(|error| unavailable(format!("PDFium cannot be loaded from it: {}", first_line(&error))))?;
    let pdfium: &'static Pdfium = Box::leak(Box::new(Pdfium::new(bindings)));
    **loaded = Some((library.to_path_buf(), pdfium));
    Ok(pdfium)
}

fn first_line(error: &PdfiumError) -> String {
    let text = match error {
        PdfiumError::LoadLibraryError(error) => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
        other => format!("{other:?}"),
    };
    text.lines().next().unwrap_or_default().to_string()
}

pub fn damaged(file: &Path, problem: &str) -> Error {
    Error::new(Kind::Damaged, file.display(), format!("the PDF is damaged: {problem}"))
        .hint("fetch it again, or repair it (qpdf --linearize, mutool clean)")
}

/// PDFium's error as ours. It reports a wrong password for some damaged files too: only a file that says so is encrypted.
pub fn refused(file: &Path, bytes: &[u8], password: Option<&str>, error: &PdfiumError) -> Error {
    match error {
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::PasswordError) if mentions_encryption(bytes) => {
            let problem = match password {
                None => "the PDF is encrypted and needs a password",
                Some(_) => "the PDF is encrypted and the password is wrong",
            };
            Error::new(Kind::Password, file.display(), problem)
                .hint("give the right one with --password or --password-file")
        }
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::SecurityError) => {
            Error::new(Kind::Damaged, file.display(), "the PDF is encrypted in a way that PDFium does not know")
                .hint("save an unencrypted copy with the program that opens it")
        }
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::PasswordError) => {
            damaged(file, "PDFium asks for a password although nothing in it is encrypted")
        }
        _ => damaged(file, "PDFium finds no document in it"),
    }
}
