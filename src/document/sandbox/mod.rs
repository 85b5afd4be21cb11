//! A paper read in a process of its own. Papers come from strangers and PDFium is C++: whatever a
//! file makes of it, the file costs one error, never the batch, and gets at nothing of the user's.
//! LaTeX in files of its own is read by the parent: what it includes lies beside it, and a child
//! reads no files.
//!
//! The parent ([`Sandbox`]) starts this very program again with [`COMMAND`], hands it a [`Request`]
//! and the file's bytes on stdin, and takes what comes of the [`Task`], or the error, from its
//! stdout, as JSON. The child ([`serve`]) loads PDFium for a PDF, reads the bytes and then gives up
//! what it no longer needs, before anything of the file is parsed:
//!
//! | what | how | where |
//! |---|---|---|
//! | memory | `RLIMIT_AS`, and the parent looks | Unix; everywhere |
//! | computing time, elapsed time | `RLIMIT_CPU`; the parent's clock | Unix; everywhere |
//! | size of the answer | the parent stops reading | everywhere |
//! | writing, and reading anything but fonts | Landlock; `RLIMIT_FSIZE` is 0 | Linux 5.13 on; Unix |
//! | network, other processes, all else | a list of system calls (seccomp) | Linux |
//!
//! [`Limits`] tells how much of each. What the kernel does not have is left out, and the rest still holds.

mod child;
#[cfg(target_os = "linux")]
mod confine;
mod limits;
mod parent;

pub use child::serve;
pub use limits::Limits;
pub use parent::Sandbox;

use super::{ReadOptions, Source};
use serde::{Deserialize, Serialize};

/// The first argument that makes the program a child. Not for people: it speaks JSON on stdin and stdout.
pub const COMMAND: &str = "read-paper";

/// What a child is started for. Each has its own kind of answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Task {
    /// A [`super::Document`] of a PDF.
    Read,
    /// A [`super::Document`] of a paper that comes as text, in this form.
    Text(Source),
    /// A [`super::ocr::Picture`] of a page, from 1.
    Picture(u32),
    /// All pages as [`super::Picture`]s of so many pixels' width.
    Pictures(u16),
}

/// The first line on the child's stdin; the file's bytes follow it.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    task: Task,
    /// What errors call the file.
    file: String,
    options: ReadOptions,
    limits: Limits,
}
