//! document + template + generator → summary. Knows no tensors and no PDF library.

use crate::document::Document;
use crate::generator::{self, Generator, Plan, Sampling};
use crate::report::Summary;
use crate::template::{Ask, Template};
use crate::Result;

/// What a caller decides beside the template.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Start from `template.sampling`.
    pub sampling: Sampling,
    /// Instead of the questions' own limits.
    pub max_tokens: Option<usize>,
    /// How often a question may be put in all before its best answer is kept; at least 1.
    pub attempts: u32,
    /// Seconds that the caller took to load the model, for the report.
    pub load_seconds: f64,
    /// Seconds that the caller took to read the PDF, for the report.
    pub extract_seconds: f64,
}

impl Options {
    /// The template's own sampling and limits, three attempts.
    pub fn new(template: &Template) -> Options {
        Options {
            sampling: template.sampling.clone(),
            max_tokens: None,
            attempts: 3,
            load_seconds: 0.0,
            extract_seconds: 0.0,
        }
    }
}

/// What happens while a paper is answered. Indices count the questions in the order of the summary's answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The paper fits; work begins.
    Planned(&'a Plan),
    Generator(generator::Event<'a>),
    /// Answer `index` was not good enough (`reason`) and its question is put again.
    Again { index: usize, reason: &'a str },
}

/// Answers the template's questions about `document`. Errors: `Context` if the paper is too long, before any work;
/// whatever the generator reports.
pub fn summarize(
    document: &Document,
    template: &Template,
    ask: Ask,
    generator: &mut dyn Generator,
    options: &Options,
    watch: &mut dyn FnMut(Event),
) -> Result<Summary> {
    todo!()
}

/// Answers a user's own questions, over the same prompt as [`summarize`] with the same template.
pub fn ask(
    document: &Document,
    template: &Template,
    questions: &[String],
    generator: &mut dyn Generator,
    options: &Options,
    watch: &mut dyn FnMut(Event),
) -> Result<Summary> {
    todo!()
}
