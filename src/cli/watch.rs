//! Work in progress, as lines and bars: what it takes, prefill, then answers.

use crate::generator;
use crate::pipeline::Event;
use crate::progress::{Bar, Progress, Unit};
use indicatif::{DecimalBytes, HumanCount};

/// Shows the events of one paper.
pub struct Watch<'a> {
    progress: &'a Progress,
    /// Free before the model was loaded, in bytes.
    available: u64,
    questions: usize,
    prefill: Option<Bar>,
    writing: Option<Bar>,
    pieces: u64,
}

impl<'a> Watch<'a> {
    pub fn new(progress: &'a Progress, available: u64, questions: usize) -> Self {
        Watch { progress, available, questions, prefill: None, writing: None, pieces: 0 }
    }

    pub fn event(&mut self, event: Event) {
        match event {
            Event::Planned(plan) => {
                let sizes = [plan.weight_bytes, plan.cache_bytes, self.available].map(DecimalBytes);
                let tokens = HumanCount(plan.longest_tokens as u64);
                let [model, cache, free] = sizes;
                self.progress.line(format!("model {model} + cache {cache} for {tokens} tokens; {free} free"));
            }
            Event::Generator(generator::Event::Prefill { done, total }) => self.prefilled(done, total),
            Event::Generator(generator::Event::Text { .. }) => self.wrote(),
            Event::Generator(generator::Event::End { .. }) => {
                if let Some(bar) = &self.writing {
                    bar.advance(1);
                }
            }
            Event::Again { index, reason } => {
                self.prefill = None;
                self.writing = None;
                self.progress.detail(format!("question {} is put again: {reason}", index + 1));
            }
        }
    }

    fn prefilled(&mut self, done: usize, total: usize) {
        self.writing = None;
        let progress = self.progress;
        let bar = self.prefill.get_or_insert_with(|| progress.bar("reading", total as u64, Unit::Tokens));
        bar.set(done as u64);
        if done >= total {
            self.prefill = None;
        }
    }

    fn wrote(&mut self) {
        self.prefill = None;
        self.pieces += 1;
        let (progress, questions) = (self.progress, self.questions as u64);
        let bar = self.writing.get_or_insert_with(|| progress.bar("writing", questions, Unit::Answers));
        bar.label(&format!("writing, about {} tokens", HumanCount(self.pieces)));
    }
}
