//! The questions, their languages, and the prompts made of them.

use crate::{Result, generator::Sampling};

/// A template in one language, ready to be put to a generator.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub id: String,
    /// Language tag of the answers: `en`, `ja`, …
    pub language: String,
    pub sampling: Sampling,
    pub questions: Vec<TemplateQuestion>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TemplateQuestion {
    pub id: String,
    /// Heading of its answer.
    pub title: String,
    pub prompt: String,
    pub max_tokens: usize,
}

impl Template {
    /// The built-in template, in `language`.
    pub fn builtin(language: &str) -> Result<Template> {
        let _ = language;
        Err(crate::Error::new(crate::Kind::Internal, "template", "skeleton"))
    }
}
