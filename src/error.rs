//! One error type for everything a user can meet: what it is about, what is wrong, and what to do.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Each kind has its own documented exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A defect of ronbun itself, or of a library under it.
    Internal,
    /// The command line, the configuration or a template asks for something that cannot be.
    Usage,
    /// An input cannot be opened: missing, unreadable, no paper, an empty file, a folder without papers.
    Input,
    /// A PDF is encrypted and the password is missing or wrong.
    Password,
    /// A PDF or an archive is damaged.
    Damaged,
    /// A paper holds no text: a PDF without a text layer, an empty page.
    NoText,
    /// A model file, its tokenizer or its chat template is not what it should be.
    Model,
    /// A paper is longer than the model's context.
    Context,
    /// Not enough memory.
    Memory,
    /// Something is not on this machine and could not be fetched.
    Unavailable,
    /// The output cannot be written.
    Output,
    /// Some papers of a batch failed.
    Partial,
    /// Ctrl-C.
    Interrupted,
}

impl Kind {
    /// The process's exit code. Documented in the README and in `ronbun --help`.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Input => 3,
            Kind::Password => 4,
            Kind::Damaged => 5,
            Kind::NoText => 6,
            Kind::Model => 7,
            Kind::Context => 8,
            Kind::Memory => 9,
            Kind::Unavailable => 10,
            Kind::Output => 11,
            Kind::Partial => 12,
            Kind::Interrupted => 130,
        }
    }
}

/// Shown as `SUBJECT: PROBLEM`, and `hint: HINT` on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub kind: Kind,
    /// The file, model or option it is about.
    pub subject: String,
    pub problem: String,
    pub hint: Option<String>,
}

impl Error {
    pub fn new(kind: Kind, subject: impl Display, problem: impl Display) -> Self {
        Error { kind, subject: subject.to_string(), problem: problem.to_string(), hint: None }
    }

    /// What the user can do about it.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
