//! The questions, their languages, and the prompts made of them.
//!
//! A template is a TOML file: a system prompt, the beginning of the user's message (the paper, so that all questions
//! share it as a prefix), and the questions. Texts are Jinja templates; an unknown key or variable is an error.

mod file;
pub mod language;
mod prompt;
#[cfg(test)]
mod tests;

use crate::{Error, Kind, Result, generator::Sampling};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, ops::RangeInclusive, path::Path};

pub use language::Language;
pub use prompt::Facts;

/// A template, ready to be put to a generator.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub id: String,
    pub description: String,
    /// Language that the template is written in, as a tag: `en`, `ja`, …
    pub written_in: String,
    /// Language of the answers, as a tag.
    pub language: String,
    /// The template's own sampling, from which command-line options start.
    pub sampling: Sampling,
    pub system: String,
    /// The beginning of the user's message, with `{{ text }}` for the paper's whole text.
    pub paper: String,
    /// What `ask = together` adds before the list of all questions.
    pub together: String,
    /// What a follow-up `{{ question }}` is wrapped in.
    pub follow_up: String,
    /// The most tokens that the answer to a follow-up question may have.
    pub follow_up_max_tokens: usize,
    pub questions: Vec<TemplateQuestion>,
    source: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateQuestion {
    /// `gist` and `code` mean something to the report: the sentence on top, and the answer that lists code links.
    pub id: String,
    /// Heading of its answer.
    pub title: String,
    pub prompt: String,
    /// The most tokens that its answer may have.
    pub max_tokens: usize,
}

/// How the questions are put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// One conversation per question, over the shared paper.
    #[default]
    Each,
    /// All questions in one prompt; one text comes back.
    Together,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ask::Each => "each",
            Ask::Together => "together",
        })
    }
}

/// The most tokens that an answer may be allowed; no model of today writes as many.
pub const MOST_TOKENS: usize = 1 << 20;

/// Above about 2 nothing sensible comes, and infinities would break the arithmetic.
pub const TEMPERATURES: RangeInclusive<f32> = 0.0..=10.0;

/// The built-in templates' source by id and the language they are written in.
const BUILTIN: [(&str, &str, &str); 2] =
    [("paper", "en", include_str!("builtin/paper.en.toml")), ("paper", "ja", include_str!("builtin/paper.ja.toml"))];

impl Template {
    /// The built-in template for answers in `language` (a tag such as `ja` or `en-GB`). Languages that it is not
    /// written in get the English one, with an instruction to answer in that language.
    pub fn builtin(language: &str) -> Result<Template> {
        let primary = language::primary(language);
        let index = BUILTIN.iter().position(|(_, written_in, _)| *written_in == primary).unwrap_or(0);
        let (id, written_in, source) = BUILTIN[index];
        file::parse(&format!("built-in template {id}.{written_in}"), source, Some(language))
    }

    /// A user's template. `language` is that of the answers; without it, the one that the template is written in.
    /// Errors: `Input` if the file cannot be read, `Usage` naming what is wrong in it.
    pub fn load(path: &Path, language: Option<&str>) -> Result<Template> {
        let source = std::fs::read_to_string(path)
            .map_err(|error| Error::new(Kind::Input, path.display(), format!("cannot read the template: {error}")))?;
        file::parse(&path.display().to_string(), &source, language)
    }

    /// Reads a user's template and forgets it: only the error counts.
    pub fn check(path: &Path) -> Result<()> {
        Template::load(path, None).map(drop)
    }

    /// Ids of the built-in templates with the languages they are written in.
    pub fn names() -> Vec<(&'static str, &'static str)> {
        BUILTIN.iter().map(|(id, language, _)| (*id, *language)).collect()
    }

    /// The TOML it was read from: a starting point for one's own.
    pub fn source(&self) -> &str {
        &self.source
    }
}
