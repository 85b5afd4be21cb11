//! A loaded model with the settings it answers with: what `summarize` and `ask` have in common.

use super::args::{AskMode, Generation};
use super::context::Context;
use super::engine;
use super::watch::Watch;
use crate::document::{Document, Selection};
use crate::generator::{Generator, ModelFacts};
use crate::hub::Hub;
use crate::pipeline::{self, Options};
use crate::report::Summary;
use crate::template::{Ask, Template};
use crate::{Error, Kind, Result};
use indicatif::HumanCount;
use std::time::Instant;

pub struct Session<'a> {
    context: &'a Context,
    template: Template,
    generator: Box<dyn Generator>,
    options: Options,
    /// Free before the model was loaded, in bytes.
    available: u64,
    /// Cards that the engine can run, with their context in tokens; the longest last.
    cards: Vec<(String, u64)>,
}

impl<'a> Session<'a> {
    /// Finds or fetches the model and loads it.
    pub fn open(
        context: &'a Context,
        hub: &Hub,
        generation: &Generation,
        selection: Selection,
        template: Template,
    ) -> Result<Self> {
        let available = hub.available_memory();
        let model = hub.model(generation.model())?;
        let start = Instant::now();
        let generator = engine::load(hub, model, &generation.local, available)?;
        let mut options = Options { selection, ..options(generation, &template) };
        options.load_seconds = start.elapsed().as_secs_f64();
        context.progress.line(loaded(generator.facts(), options.load_seconds));
        let supported = hub.cards().iter().filter(|card| card.supported);
        let mut cards: Vec<_> = supported.map(|card| (card.id.clone(), card.native_context)).collect();
        cards.sort_by_key(|(_, tokens)| *tokens);
        Ok(Session { context, template, generator, options, available, cards })
    }

    /// The template's questions about one paper.
    pub fn summarize(&mut self, document: &Document, seconds: f64, ask: AskMode) -> Result<Summary> {
        let (ask, answers) = match ask {
            AskMode::Each => (Ask::Each, self.template.questions.len()),
            AskMode::Together => (Ask::Together, 1),
        };
        self.tell_left_out(document);
        self.options.extract_seconds = seconds;
        let mut watch = Watch::new(&self.context.progress, self.available, answers);
        let mut see = |event: pipeline::Event| watch.event(event);
        let generator = self.generator.as_mut();
        let summary = pipeline::summarize(document, &self.template, ask, generator, &self.options, &mut see)
            .map_err(|error| self.of_paper(document, error))?;
        self.options.load_seconds = 0.0;
        Ok(summary)
    }

    /// The user's own questions about one paper; a later call over the same paper reads it no second time. `aloud`
    /// writes the answer to stdout as it comes.
    pub fn ask(&mut self, paper: &Document, seconds: f64, questions: &[String], aloud: bool) -> Result<Summary> {
        self.options.extract_seconds = seconds;
        let watch = Watch::new(&self.context.progress, self.available, questions.len());
        let mut watch = if aloud { watch.aloud() } else { watch };
        let mut see = |event: pipeline::Event| watch.event(event);
        let generator = self.generator.as_mut();
        let summary = pipeline::ask(paper, &self.template, questions, generator, &self.options, &mut see)
            .map_err(|error| self.of_paper(paper, error))?;
        self.options.load_seconds = 0.0;
        Ok(summary)
    }

    /// Says what of the paper the model does not see.
    pub fn tell_left_out(&self, document: &Document) {
        let left_out = document.left_out(&self.options.selection);
        if !left_out.is_empty() {
            self.context.progress.line(format!("{}: left out, as asked: {left_out}", document.file));
        }
    }

    /// What a paper is too long for is told of the paper, the model named beside it.
    fn of_paper(&self, document: &Document, error: Error) -> Error {
        if !matches!(error.kind, Kind::Context | Kind::Memory) {
            return error;
        }
        let facts = self.generator.facts();
        let hint = match error.kind {
            Kind::Context => {
                let other = longer(&self.cards, facts.context_length as u64);
                Some([error.hint.unwrap_or_default(), other].join("; "))
            }
            _ => error.hint,
        };
        let problem = format!("{} (model {})", error.problem, facts.id);
        Error { subject: document.file.clone(), problem, hint, ..error }
    }
}

/// The models with a longer context than `context` tokens, for a hint.
fn longer(models: &[(String, u64)], context: u64) -> String {
    let fits = models.iter().filter(|(_, tokens)| *tokens > context);
    let names: Vec<String> = fits.map(|(id, tokens)| format!("{id} ({})", HumanCount(*tokens))).collect();
    match names.is_empty() {
        true => "no model card tells of a longer context".into(),
        false => format!("these have a longer context: {}", names.join(", ")),
    }
}

fn loaded(facts: &ModelFacts, seconds: f64) -> String {
    let ModelFacts { id, architecture, quantization, context_length, device, threads, .. } = facts;
    let context = HumanCount(*context_length as u64);
    format!(
        "model {id} ({architecture}, {quantization}, context of {context} tokens) loaded in {seconds:.1} s; \
         {device}, {threads} threads"
    )
}

/// The template's own settings, where the user named no others.
fn options(generation: &Generation, template: &Template) -> Options {
    let mut options = Options::new(template);
    if let Some(temperature) = generation.temperature {
        options.sampling.temperature = temperature;
    }
    if let Some(seed) = generation.seed {
        options.sampling.seed = seed;
    }
    options.max_tokens = generation.max_tokens;
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_with_a_longer_context_are_proposed() {
        let models = [("small".to_string(), 8192), ("large".to_string(), 131_072)];
        let hint = longer(&models, 8192);
        assert!(hint.contains("large (131,072)") && !hint.contains("small"), "{hint}");
        assert!(longer(&models, 131_072).contains("no model card"));
    }
}
