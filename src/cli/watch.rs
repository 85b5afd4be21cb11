//! Work in progress, as lines and bars: what it takes, prefill, then answers.

use super::output;
use crate::generator;
use crate::pipeline::Event;
use crate::progress::{Bar, Progress, Unit};
use crate::rope::Extension;
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
    /// What is written of each answer so far.
    answers: Vec<Writing>,
    /// Answers go to stdout as they are written, and not into a bar.
    aloud: bool,
}

#[derive(Default)]
struct Writing {
    text: String,
    ended: bool,
}

impl<'a> Watch<'a> {
    pub fn new(progress: &'a Progress, available: u64, questions: usize) -> Self {
        let answers = (0..questions).map(|_| Writing::default()).collect();
        Watch { progress, available, questions, prefill: None, writing: None, pieces: 0, answers, aloud: false }
    }

    /// Writes answers to stdout as they come: for one question at a time, on a terminal.
    pub fn aloud(self) -> Self {
        Watch { aloud: true, ..self }
    }

    pub fn event(&mut self, event: Event) {
        match event {
            Event::Planned(plan) => {
                let sizes = [plan.weight_bytes, plan.cache_bytes, self.available].map(DecimalBytes);
                let tokens = HumanCount(plan.longest_tokens as u64);
                let [model, cache, free] = sizes;
                let on_gpu = match plan.gpu_bytes {
                    0 => String::new(),
                    bytes => format!(", {} of both on GPUs", DecimalBytes(bytes)),
                };
                self.progress.line(format!("model {model} + cache {cache} for {tokens} tokens{on_gpu}; {free} free"));
                if let Some(extension) = plan.extension.as_ref().filter(|extension| !extension.is_native()) {
                    self.progress.line(extended(plan.longest_tokens, extension));
                }
            }
            Event::Generator(generator::Event::Prefill { done, total }) => self.prefilled(done, total),
            Event::Generator(generator::Event::Text { index, piece }) => self.wrote(index, piece),
            // Only servers do that, and here a model of this machine answers.
            Event::Generator(generator::Event::OneAtATime) => {}
            Event::Generator(generator::Event::Moved(device)) => self.progress.line(moved(device)),
            Event::Generator(generator::Event::End { index, .. }) => {
                if let Some(answer) = self.answers.get_mut(index) {
                    answer.ended = true;
                }
                if let Some(bar) = &self.writing {
                    bar.advance(1);
                }
            }
            Event::Again { index, reason } => {
                self.prefill = None;
                self.writing = None;
                if let Some(answer) = self.answers.get_mut(index) {
                    *answer = Writing::default();
                }
                if self.aloud {
                    let _ = output::print("\n\n");
                }
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

    fn wrote(&mut self, index: usize, piece: &str) {
        self.prefill = None;
        self.pieces += 1;
        if let Some(answer) = self.answers.get_mut(index) {
            answer.text.push_str(piece);
        }
        if self.aloud {
            // Without a reader there is none to tell; the answer itself is printed with errors looked at.
            let _ = output::print(&output::printable_lines(piece));
            return;
        }
        let (progress, questions) = (self.progress, self.questions as u64);
        let bar = self.writing.get_or_insert_with(|| progress.bar("writing", questions, Unit::Answers));
        let current = self.answers.iter().find(|answer| !answer.ended && !answer.text.is_empty());
        let tail = current.map(|answer| tail(&answer.text)).unwrap_or_default();
        bar.label(&format!("{tail}  {} tokens", HumanCount(self.pieces)));
    }
}

/// That fewer of a model's layers compute on a GPU than before.
pub fn moved(device: &str) -> String {
    format!("this paper's keys and values take the room of some layers on the GPU: {device}")
}

/// How a text beyond the model's context is read.
pub fn extended(tokens: usize, extension: &Extension) -> String {
    let Extension { description, cost, context_length, .. } = extension;
    let cost = cost.as_deref().unwrap_or("what it costs is not known");
    let [tokens, reach] = [tokens, *context_length].map(|tokens| HumanCount(tokens as u64));
    format!("context extended by {description}, for {tokens} tokens of at most {reach}: {cost}")
}

/// Columns of the answer that is being written, as the bar shows it.
const TAIL_COLUMNS: usize = 48;

/// The end of `text` on one line of [`TAIL_COLUMNS`], so that the bar beside it stands still.
fn tail(text: &str) -> String {
    let mut columns = 0;
    let mut kept = Vec::new();
    for c in output::printable(text).chars().rev() {
        // Wide enough for Japanese; what is narrower only leaves room.
        columns += if c.is_ascii() { 1 } else { 2 };
        if columns > TAIL_COLUMNS {
            columns -= if c.is_ascii() { 1 } else { 2 };
            break;
        }
        kept.push(c);
    }
    kept.iter().rev().collect::<String>() + &" ".repeat(TAIL_COLUMNS - columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_one_line_of_a_fixed_width() {
        assert_eq!(tail("short\nline").trim_end(), "short line");
        let long = "abc".repeat(100) + "the end";
        assert!(tail(&long).ends_with("the end") && tail(&long).len() == TAIL_COLUMNS);
        assert_eq!(tail(&"論".repeat(100)).chars().count(), TAIL_COLUMNS / 2);
    }
}
