//! A loaded model with the settings it answers with: what `summarize` and `ask` have in common.

use super::args::{AskMode, Generation};
use super::context::Context;
use super::engine;
use super::watch::Watch;
use crate::Result;
use crate::document::Document;
use crate::generator::{Generator, ModelFacts};
use crate::hub::Hub;
use crate::pipeline::{self, Options};
use crate::report::Summary;
use crate::template::{Ask, Template};
use indicatif::HumanCount;
use std::time::Instant;

pub struct Session<'a> {
    context: &'a Context,
    template: Template,
    generator: Box<dyn Generator>,
    options: Options,
    /// Free before the model was loaded, in bytes.
    available: u64,
}

impl<'a> Session<'a> {
    /// Finds or fetches the model and loads it.
    pub fn open(context: &'a Context, hub: &Hub, generation: &Generation, template: Template) -> Result<Self> {
        let available = hub.available_memory();
        let model = hub.model(generation.model.as_deref().unwrap_or("auto"))?;
        let start = Instant::now();
        let generator = engine::load(model, generation.threads, available)?;
        let mut options = options(generation, &template);
        options.load_seconds = start.elapsed().as_secs_f64();
        context.progress.line(loaded(generator.facts(), options.load_seconds));
        Ok(Session { context, template, generator, options, available })
    }

    /// The template's questions about one paper.
    pub fn summarize(&mut self, document: &Document, seconds: f64, ask: AskMode) -> Result<Summary> {
        let (ask, answers) = match ask {
            AskMode::Each => (Ask::Each, self.template.questions.len()),
            AskMode::Together => (Ask::Together, 1),
        };
        self.options.extract_seconds = seconds;
        let mut watch = Watch::new(&self.context.progress, self.available, answers);
        let mut see = |event: pipeline::Event| watch.event(event);
        let generator = self.generator.as_mut();
        let summary = pipeline::summarize(document, &self.template, ask, generator, &self.options, &mut see)?;
        self.options.load_seconds = 0.0;
        Ok(summary)
    }

    /// The user's own questions about one paper; a later call over the same paper reads it no second time.
    pub fn ask(&mut self, paper: &Document, seconds: f64, questions: &[String]) -> Result<Summary> {
        self.options.extract_seconds = seconds;
        let mut watch = Watch::new(&self.context.progress, self.available, questions.len());
        let mut see = |event: pipeline::Event| watch.event(event);
        let generator = self.generator.as_mut();
        let summary = pipeline::ask(paper, &self.template, questions, generator, &self.options, &mut see)?;
        self.options.load_seconds = 0.0;
        Ok(summary)
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
