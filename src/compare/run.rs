//! Asking: papers × trials of one model after the other, each answer kept as it comes, and none asked for twice.

use super::meter::Meter;
use super::prices::billable_characters;
use super::store::Store;
use super::types::{Answer, Call, Failure, Measured, Model, Origin, Paper, Sent};
use crate::document::Selection;
use crate::generator::{Event, Generator, Prompt, Question, Sampling};
use crate::pipeline;
use crate::template::{Ask, Template};
use crate::{Error, Kind, Result, interrupt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

/// A model that fails so often in a row is given up; what is missing is asked for when the comparison goes on.
const FAILURES_IN_A_ROW: usize = 3;

/// What every model is asked.
pub struct Experiment<'a> {
    pub template: &'a Template,
    pub ask: Ask,
    pub sampling: Sampling,
    /// Instead of the questions' own limits.
    pub max_tokens: Option<usize>,
    /// What of a paper models see.
    pub selection: Selection,
    /// How local models are loaded, in words: what else their answers depend on.
    pub engine: String,
    pub trials: u32,
    pub shard: Shard,
}

/// A share of the pairs of model and paper: number `index` of `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    pub of: usize,
}

impl Shard {
    pub const WHOLE: Shard = Shard { index: 1, of: 1 };

    /// Whether pair number `pair` belongs to it.
    pub fn has(&self, pair: usize) -> bool {
        pair % self.of == self.index - 1
    }

    /// Part of a file's name; none for the whole.
    pub fn suffix(&self) -> String {
        if self.of == 1 { String::new() } else { format!("-{}-of-{}", self.index, self.of) }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
            _ => Err("must be written i/n with i from 1 to n, such as 2/8".into()),
        }
    }
}

impl Experiment<'_> {
    /// What makes answers comparable; a store keeps to it. Models, papers and trials may be added.
    pub fn settings(&self) -> Value {
        json!({
            "template": self.template.source(),
            "language": self.template.language,
            "ask": self.ask,
            "sampling": self.sampling,
            "max_tokens": self.max_tokens,
            "engine": self.engine,
            "left_out": {
                "references": !self.selection.references,
                "appendix": !self.selection.appendix,
                "appendix_tables": !self.selection.appendix_tables,
            },
        })
    }
}

/// What became of one model.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Calls that were answered now.
    pub done: usize,
    pub failed: usize,
    /// Why the rest was not asked for.
    pub given_up: Option<Error>,
}

/// One call to make: questions of one paper and trial that are not answered yet.
#[derive(Debug, Clone)]
struct Job<'a> {
    paper: &'a str,
    trial: u32,
    prompt: &'a Prompt,
    questions: Vec<Question>,
}

impl Job<'_> {
    fn name(&self) -> String {
        self.questions.first().map(|question| question.id.clone()).unwrap_or_default()
    }
}

/// A paper's prompt, made once.
struct Asked<'a> {
    paper: &'a str,
    prompt: Prompt,
    questions: Vec<Question>,
}

/// What asking tells while it goes on.
pub enum Step<'a> {
    /// So many calls are to be made.
    Begin(usize),
    /// Within a call of a local model.
    Generator(Event<'a>),
    Answered {
        paper: &'a str,
        trial: u32,
    },
    Failed {
        paper: &'a str,
        trial: u32,
        error: &'a Error,
    },
}

pub struct Run<'a> {
    pub experiment: &'a Experiment<'a>,
    pub store: &'a Store,
    pub papers: &'a [Paper],
    pub meter: Option<Meter>,
}

impl Run<'_> {
    /// How many calls `model` is still to answer. `number` counts the models of the experiment from 0.
    pub fn missing(&self, model: &Model, number: usize) -> Result<usize> {
        let asked = self.asked(number)?;
        Ok(self.jobs(model, &asked)?.len())
    }

    /// Asks a model of this machine, one call after the other.
    pub fn local(
        &self,
        model: &Model,
        number: usize,
        generator: &mut dyn Generator,
        load_seconds: f64,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Outcome> {
        let asked = self.asked(number)?;
        let jobs = self.jobs(model, &asked)?;
        watch(Step::Begin(jobs.len()));
        let mut outcome = Outcome::default();
        let mut in_a_row = 0;
        let mut load_seconds = load_seconds;
        for job in jobs {
            interrupt::check()?;
            let before = self.meter.as_ref().and_then(Meter::read);
            let mut answered = put(&model.id, &job, &self.experiment.sampling, generator, &mut |event| {
                watch(Step::Generator(event));
            });
            if let Ok((call, _)) = &mut answered {
                call.measured.load_seconds = std::mem::take(&mut load_seconds);
                call.measured.peak_memory_bytes = pipeline::peak_memory();
                call.measured.energy_joules =
                    self.meter.as_ref().zip(before).and_then(|(meter, before)| meter.since(&before));
            }
            if self.settle(model, &job, answered, &mut outcome, &mut in_a_row, watch)? {
                break;
            }
        }
        Ok(outcome)
    }

    /// Asks a server: as many calls at a time as there are `workers`.
    pub fn remote(
        &self,
        model: &Model,
        number: usize,
        workers: Vec<Box<dyn Generator + Send>>,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Outcome> {
        let asked = self.asked(number)?;
        let jobs = self.jobs(model, &asked)?;
        watch(Step::Begin(jobs.len()));
        let queue = Mutex::new(VecDeque::from(jobs));
        let next = || queue.lock().map(|mut jobs| jobs.pop_front()).ok().flatten();
        let stop = || queue.lock().map(|mut jobs| jobs.clear()).unwrap_or_default();
        let sampling = &self.experiment.sampling.clone();
        let mut outcome = Outcome::default();
        let mut in_a_row = 0;
        std::thread::scope(|scope| {
            let (to_main, results) = mpsc::channel();
            for mut generator in workers {
                let (to_main, next) = (to_main.clone(), &next);
                scope.spawn(move || {
                    while let Some(job) = next() {
                        // Counted before it leaves: whatever happens, the report knows of it.
                        let (go, may_go) = mpsc::channel::<()>();
                        if to_main.send(Message::Sending(job.clone(), go)).is_err() || may_go.recv().is_err() {
                            return;
                        }
                        let answered = put(&model.id, &job, sampling, generator.as_mut(), &mut |_| {});
                        if to_main.send(Message::Done(job, Box::new(answered))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(to_main);
            let kept = results.iter().try_for_each(|message| match message {
                Message::Sending(job, go) => {
                    interrupt::check()?;
                    self.store.send(&sent(model, &job))?;
                    let _ = go.send(());
                    Ok(())
                }
                Message::Done(job, answered) => {
                    if self.settle(model, &job, *answered, &mut outcome, &mut in_a_row, watch)? {
                        stop();
                    }
                    Ok(())
                }
            });
            // What waits for leave to go, or has something to tell, finds nobody here any more and ends.
            stop();
            drop(results);
            kept
        })?;
        Ok(outcome)
    }

    /// Keeps what a call brought. True where the model is given up.
    fn settle(
        &self,
        model: &Model,
        job: &Job,
        answered: Result<(Call, Vec<Answer>)>,
        outcome: &mut Outcome,
        in_a_row: &mut usize,
        watch: &mut dyn FnMut(Step),
    ) -> Result<bool> {
        let (paper, trial) = (job.paper, job.trial);
        match answered {
            Ok((call, answers)) => {
                self.store.keep(Some(&call), &answers)?;
                (outcome.done, *in_a_row) = (outcome.done + 1, 0);
                watch(Step::Answered { paper, trial });
                Ok(false)
            }
            Err(error) if matches!(error.kind, Kind::Interrupted | Kind::Output | Kind::Internal) => Err(error),
            Err(error) => {
                let (model, paper) = (model.id.clone(), paper.to_string());
                self.store.fail(&Failure { model, paper, trial, call: job.name(), problem: error.problem.clone() })?;
                (outcome.failed, *in_a_row) = (outcome.failed + 1, *in_a_row + 1);
                watch(Step::Failed { paper: job.paper, trial, error: &error });
                let hopeless = error.kind == Kind::Usage || *in_a_row >= FAILURES_IN_A_ROW;
                if hopeless {
                    outcome.given_up = Some(error);
                }
                Ok(hopeless)
            }
        }
    }

    /// The prompts of this shard's papers for model number `number`.
    fn asked(&self, number: usize) -> Result<Vec<Asked<'_>>> {
        let Experiment { template, ask, selection, max_tokens, shard, .. } = self.experiment;
        let mine = self.papers.iter().enumerate().filter(|(index, _)| shard.has(number * self.papers.len() + index));
        let mut asked = Vec::new();
        for (_, paper) in mine {
            let Some(document) = &paper.document else { continue };
            let (prompt, mut questions) = pipeline::prompt(document, template, *ask, selection)?;
            if let Some(most) = max_tokens {
                questions.iter_mut().for_each(|question| question.max_tokens = *most);
            }
            asked.push(Asked { paper: &paper.key, prompt, questions });
        }
        Ok(asked)
    }

    /// What is not answered yet. A local model is put a paper's questions at once, over one prefix; a server each in a
    /// conversation of its own.
    fn jobs<'b>(&self, model: &Model, asked: &'b [Asked<'b>]) -> Result<Vec<Job<'b>>> {
        let mut jobs = Vec::new();
        for Asked { paper, prompt, questions } in asked {
            let answered = self.store.answered(&model.id, paper)?;
            for trial in 1..=self.experiment.trials {
                let open = questions.iter().filter(|question| !answered.contains(&(trial, question.id.clone())));
                let open: Vec<Question> = open.cloned().collect();
                let at_once = if model.origin == Origin::Local { open.len().max(1) } else { 1 };
                jobs.extend(open.chunks(at_once).map(|part| Job { paper, trial, prompt, questions: part.to_vec() }));
            }
        }
        Ok(jobs)
    }
}

enum Message<'a> {
    /// A worker asks for leave to begin.
    Sending(Job<'a>, mpsc::Sender<()>),
    Done(Job<'a>, Box<Result<(Call, Vec<Answer>)>>),
}

/// Each trial has a seed of its own.
fn put(
    model: &str,
    job: &Job,
    sampling: &Sampling,
    generator: &mut dyn Generator,
    watch: &mut dyn FnMut(Event),
) -> Result<(Call, Vec<Answer>)> {
    let seed = sampling.seed.wrapping_add(u64::from(job.trial) - 1);
    let sampling = Sampling { seed, ..sampling.clone() };
    let start = Instant::now();
    generator.plan(job.prompt, &job.questions)?;
    let (replies, usage) = generator.answer(job.prompt, &job.questions, &sampling, watch)?;
    if replies.len() != job.questions.len() {
        let problem = format!("{} answers came back for {} questions", replies.len(), job.questions.len());
        return Err(Error::new(Kind::Internal, model, problem));
    }
    let (model, paper, trial) = (model.to_string(), job.paper.to_string(), job.trial);
    let measured = Measured {
        at: pipeline::now(),
        seconds: start.elapsed().as_secs_f64(),
        prompt_tokens: usage.prompt_tokens as u64,
        prompt_characters: characters(job),
        output_tokens: replies.iter().map(|reply| reply.tokens as u64).sum(),
        output_characters: replies.iter().map(|reply| billable_characters(&reply.text)).sum(),
        prefill_tokens: usage.prefill_tokens as u64,
        prefill_seconds: usage.prefill_seconds,
        time_to_first_token_seconds: usage.time_to_first_token_seconds,
        decode_tokens: usage.decode_tokens as u64,
        decode_seconds: usage.decode_seconds,
        ..Measured::default()
    };
    let answers = job.questions.iter().zip(replies).map(|(question, reply)| Answer {
        model: model.clone(),
        paper: paper.clone(),
        trial,
        question: question.id.clone(),
        text: reply.text,
        tokens: Some(reply.tokens as u64),
        finish_reason: Some(reply.finish_reason),
        call: job.name(),
    });
    let answers = answers.collect();
    Ok((Call { model, paper, trial, call: job.name(), measured }, answers))
}

/// That a vendor would bill of the prompts, each conversation by itself.
fn characters(job: &Job) -> u64 {
    let shared = billable_characters(&job.prompt.system) + billable_characters(&job.prompt.paper);
    job.questions.iter().map(|question| shared + billable_characters(&question.text)).sum()
}

fn sent(model: &Model, job: &Job) -> Sent {
    let shared = job.prompt.system.len() + job.prompt.paper.len();
    let questions: usize = job.questions.iter().map(|question| shared + question.text.len()).sum();
    Sent {
        destination: model.destination.clone().unwrap_or_default(),
        model: model.id.clone(),
        paper: job.paper.to_string(),
        requests: job.questions.len() as u64,
        bytes: questions as u64,
    }
}
