//! Papers × trials of one model: what is not answered yet is asked for, each answer kept as it comes, and none asked for twice.

use super::asking::{self, Job, Keeper, Machine, Outcome};
use super::store::Store;
use super::types::{Answer, Call, Failure, Measured, Model, Origin, Paper, Sent};
use crate::document::Selection;
use crate::generator::{Event, Generator, Prompt, Question, Reply, Sampling, Trial};
use crate::pipeline;
use crate::template::{Ask, Template};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::str::FromStr;

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

/// Questions of one paper and trial that are not answered yet.
struct Open<'a> {
    paper: &'a str,
    trial: u32,
}

/// The name of a call: its first question.
fn name(job: &Job<Open>) -> String {
    job.trial.questions.first().map(|question| question.id.clone()).unwrap_or_default()
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
}

impl Run<'_> {
    /// How many calls `model` is still to answer. `number` counts the models of the experiment from 0.
    pub fn missing(&self, model: &Model, number: usize) -> Result<usize> {
        let asked = self.asked(number)?;
        Ok(self.jobs(model, &asked)?.len())
    }

    /// Asks a model of this machine: the open trials of a paper together.
    pub fn local(
        &self,
        model: &Model,
        number: usize,
        generator: &mut dyn Generator,
        machine: Machine,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Outcome> {
        let asked = self.asked(number)?;
        let jobs = self.jobs(model, &asked)?;
        watch(Step::Begin(jobs.len()));
        asking::local(jobs, generator, machine, &mut Answers { store: self.store, model, watch })
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
        asking::remote(jobs, workers, &mut Answers { store: self.store, model, watch })
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
    fn jobs<'b>(&self, model: &Model, asked: &'b [Asked<'b>]) -> Result<Vec<Job<'b, Open<'b>>>> {
        let mut jobs = Vec::new();
        for Asked { paper, prompt, questions } in asked {
            let answered = self.store.answered(&model.id, paper)?;
            for trial in 1..=self.experiment.trials {
                let open = questions.iter().filter(|question| !answered.contains(&(trial, question.id.clone())));
                let open: Vec<Question> = open.cloned().collect();
                let at_once = if model.origin == Origin::Local { open.len().max(1) } else { 1 };
                jobs.extend(open.chunks(at_once).map(|part| Job {
                    prompt,
                    trial: Trial { questions: part.to_vec(), sampling: self.sampling(trial) },
                    about: Open { paper, trial },
                }));
            }
        }
        Ok(jobs)
    }

    /// Each trial has a seed of its own.
    fn sampling(&self, trial: u32) -> Sampling {
        let sampling = &self.experiment.sampling;
        Sampling { seed: sampling.seed.wrapping_add(u64::from(trial) - 1), ..sampling.clone() }
    }
}

/// Puts answers into the store as they come.
struct Answers<'a, 'w> {
    store: &'a Store,
    model: &'a Model,
    watch: &'w mut dyn FnMut(Step),
}

impl Keeper<Open<'_>> for Answers<'_, '_> {
    fn hear(&mut self, event: Event) {
        (self.watch)(Step::Generator(event));
    }

    fn sending(&mut self, job: &Job<Open>) -> Result<()> {
        let (requests, bytes) = job.sent();
        self.store.send(&Sent {
            destination: self.model.destination.clone().unwrap_or_default(),
            model: self.model.id.clone(),
            paper: job.about.paper.to_string(),
            requests,
            bytes,
        })
    }

    fn keep(&mut self, job: &Job<Open>, replies: Vec<Reply>, measured: Measured) -> Result<()> {
        let Open { paper, trial } = job.about;
        let model = self.model.id.clone();
        let answers = job.trial.questions.iter().zip(replies).map(|(question, reply)| Answer {
            model: model.clone(),
            paper: paper.to_string(),
            trial,
            question: question.id.clone(),
            text: reply.text,
            tokens: Some(reply.tokens as u64),
            finish_reason: Some(reply.finish_reason),
            call: name(job),
        });
        let answers: Vec<Answer> = answers.collect();
        let call = Call { model, paper: paper.to_string(), trial, call: name(job), measured };
        self.store.keep(Some(&call), &answers)?;
        (self.watch)(Step::Answered { paper, trial });
        Ok(())
    }

    fn fail(&mut self, job: &Job<Open>, error: &Error) -> Result<()> {
        let Open { paper, trial } = job.about;
        let (model, problem) = (self.model.id.clone(), error.problem.clone());
        self.store.fail(&Failure { model, paper: paper.to_string(), trial, call: name(job), problem })?;
        (self.watch)(Step::Failed { paper, trial, error });
        Ok(())
    }
}
