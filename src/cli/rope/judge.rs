//! How bad a candidate is: the model reads the texts with it.

use super::readings::Reading;
use crate::Result;
use crate::cli::evals::{Journal, Subject};
use crate::engine::eval;
use crate::generator::local::KV_TYPE;
use crate::model::Decoder;
use crate::progress::Bar;
use crate::rope::Scaling;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A candidate whose first text is so much worse than the best one's, in nats a token, is not read any further.
const HOPELESS: f64 = 0.3;

/// Nats a token, of a text and of the answer behind it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Losses {
    text: Option<f64>,
    answer: Option<f64>,
}

impl Losses {
    /// Half and half where there are both.
    fn together(self) -> f64 {
        match (self.text, self.answer) {
            (Some(text), Some(answer)) => (text + answer) / 2.0,
            (one, other) => one.or(other).unwrap_or(f64::INFINITY),
        }
    }
}

/// Reads texts, and keeps what came of it.
pub struct Judge<'a> {
    pub subject: &'a Subject<'a>,
    pub journal: Journal,
    /// Loaded once something has to be computed.
    pub decoder: Option<Decoder>,
    pub bar: Bar,
    /// Tokens that the bar has gone through.
    pub done: u64,
}

/// Texts of one length, which candidates are compared by.
pub struct Stage {
    /// Told apart in the journal by it.
    pub name: &'static str,
    /// Tokens that positions are planned for.
    pub tokens: usize,
    pub readings: Vec<Reading>,
    /// Of the best candidate's first text.
    first_of_best: f64,
    /// Whether hopeless candidates are dropped.
    dropping: bool,
}

impl Stage {
    pub fn new(name: &'static str, tokens: usize, readings: Vec<Reading>, dropping: bool) -> Stage {
        Stage { name, tokens, readings, first_of_best: f64::INFINITY, dropping }
    }

    /// Tokens of one candidate.
    pub fn tokens_each(&self) -> u64 {
        self.readings.iter().map(|reading| reading.ids.len() as u64).sum()
    }
}

impl Judge<'_> {
    /// The mean loss of the stage's texts under a scaling that is called `name`; infinite for what is dropped. `best`
    /// is the best one so far.
    pub fn loss(&mut self, stage: &mut Stage, name: &str, scaling: &Scaling, best: f64) -> Result<f64> {
        let mut losses: Vec<f64> = Vec::with_capacity(stage.readings.len());
        let end = self.done + stage.tokens_each();
        for reading in &stage.readings {
            let sample = format!("{} {}: {name}", stage.name, reading.name);
            losses.push(self.read(stage, reading, &sample, scaling)?.together());
            if stage.dropping && losses[0] > stage.first_of_best + HOPELESS {
                break;
            }
        }
        (self.done, _) = (end, self.bar.set(end));
        if losses.len() < stage.readings.len() {
            return Ok(f64::INFINITY);
        }
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        if mean < best {
            stage.first_of_best = losses[0];
        }
        Ok(mean)
    }

    fn read(&mut self, stage: &Stage, reading: &Reading, sample: &str, scaling: &Scaling) -> Result<Losses> {
        let Reading { ids, text, answer, .. } = reading;
        let from = if text.is_empty() { answer.start } else { text.start.max(1) };
        let (bar, done) = (&self.bar, self.done);
        let losses = self.journal.measured(sample, || {
            let decoder = self.subject.loaded(&mut self.decoder)?;
            decoder.plan_extended(stage.tokens, Some(scaling))?;
            let losses = eval::nll(decoder, KV_TYPE, ids, from..ids.len(), |tokens| bar.set(done + tokens as u64))?;
            let mean = |range: &Range<usize>| {
                let of = &losses[range.start.max(from) - from..range.end.max(from) - from];
                (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
            };
            Ok(Losses { text: mean(text), answer: mean(answer) })
        });
        self.done += ids.len() as u64;
        losses
    }
}
