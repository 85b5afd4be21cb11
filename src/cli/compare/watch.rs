//! What happens while models are asked, as a bar and lines.

use crate::cli::context::Context;
use crate::cli::output;
use crate::cli::watch::moved;
use crate::compare::run::Step;
use crate::generator;
use crate::progress::{Bar, Unit};

/// A bar over the calls of one model.
pub struct Watch<'a> {
    context: &'a Context,
    model: String,
    bar: Option<Bar>,
}

impl<'a> Watch<'a> {
    pub fn new(context: &'a Context, model: &str) -> Watch<'a> {
        Watch { context, model: output::printable(model), bar: None }
    }

    pub fn see(&mut self, step: Step) {
        match step {
            Step::Begin(calls) => {
                self.bar = Some(self.context.progress.bar(&self.model, calls as u64, Unit::Answers));
            }
            Step::Generator(generator::Event::Prefill { done, total }) => {
                self.label(&format!("reads {} %", 100 * done / total.max(1)));
            }
            Step::Generator(generator::Event::Text { .. }) => self.label("writes"),
            Step::Generator(generator::Event::OneAtATime) => self.context.progress.line(format!(
                "{}: asked one at a time from here on, since it cuts answers while it is asked for others",
                self.model
            )),
            Step::Generator(generator::Event::Moved(device)) => {
                self.context.progress.line(format!("{}: {}", self.model, moved(device)));
            }
            Step::Generator(generator::Event::End { .. }) => {}
            Step::Answered { paper, trial } => {
                self.context.progress.detail(format!("{}: {paper}, trial {trial}", self.model));
                self.advance();
            }
            Step::Failed { paper, trial, error } => {
                self.context.progress.warn(format!("{}: {paper}, trial {trial}: {}", self.model, error.problem));
                self.advance();
            }
        }
    }

    fn label(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.label(&format!("{} {what}", self.model));
        }
    }

    fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.advance(1);
        }
    }
}
