//! Asking a judge: what it has not judged yet is put to it, and each judgement kept as it comes.

use super::cases::Answers;
use super::{Case, Judgement, Matter, prompts};
use crate::compare::asking::{self, Job, Keeper, Machine, Outcome};
use crate::compare::run::Step;
use crate::compare::store::{Store, as_judge};
use crate::compare::types::{Failure, Measured, Model, Paper, Sent};
use crate::generator::{Event, FinishReason, Generator, Prompt, Question, Reply, Sampling, Trial};
use crate::{Error, Kind, Result};
use std::collections::HashMap;

/// A judge and what it is asked.
pub struct Desk<'a> {
    store: &'a Store,
    judge: &'a Model,
    max_tokens: usize,
    /// By the paper that is shown; none for what needs none.
    better: HashMap<Option<String>, Prompt>,
    entailed: Prompt,
    /// Those that are not judged yet, the same prompts one after the other.
    open: Vec<(Matter, String)>,
}

impl<'a> Desk<'a> {
    /// Errors: `Input` where the paper is to be shown, and its text is not known.
    pub fn of(
        store: &'a Store,
        judge: &'a Model,
        matters: Vec<Matter>,
        answers: &Answers,
        papers: &[Paper],
        max_tokens: usize,
    ) -> Result<Desk<'a>> {
        let mut seen = store.judged(&judge.id)?;
        let (better, entailed) = (HashMap::from([(None, prompts::better(None))]), prompts::entailed());
        let mut desk = Desk { store, judge, max_tokens, better, entailed, open: Vec::new() };
        for matter in matters {
            if !seen.insert(matter.clone()) {
                continue;
            }
            if let Some(text) = desk.words(&matter, answers, papers)? {
                desk.open.push((matter, text));
            }
        }
        desk.open.sort_by_key(|(matter, _)| (matches!(matter.case, Case::Entailed { .. }), shown(matter)));
        Ok(desk)
    }

    /// The question, once its prompt is there.
    fn words(&mut self, matter: &Matter, answers: &Answers, papers: &[Paper]) -> Result<Option<String>> {
        let (first, second) = match &matter.case {
            Case::Entailed { sentence, passage, .. } => return Ok(Some(prompts::whether(passage, sentence))),
            Case::Better { first, second, .. } => (answers.text(matter, first), answers.text(matter, second)),
        };
        let (Some(first), Some(second), Some(question)) = (first, second, &matter.question) else { return Ok(None) };
        let shown = shown(matter);
        if let Some(key) = shown.as_ref().filter(|_| !self.better.contains_key(&shown)) {
            let paper = papers.iter().find(|paper| paper.key == *key).and_then(|paper| paper.document.as_ref());
            let document = paper.ok_or_else(|| {
                Error::new(Kind::Input, key, "its text is not known here, so that no judge can be shown it")
                    .hint("leave --with-paper out")
            })?;
            let text = document.text();
            self.better.insert(shown.clone(), prompts::better(Some(&text)));
        }
        Ok(Some(prompts::which(&answers.question(question), first, second)))
    }

    /// Conversations to be had.
    pub fn missing(&self) -> usize {
        self.open.len()
    }

    fn jobs(&self) -> Vec<Job<'_, &Matter>> {
        let question =
            |text: &String| Question { id: "verdict".into(), text: text.clone(), max_tokens: self.max_tokens };
        // The same verdict comes again from the same judge, as far as that lies with it.
        let sampling =
            Sampling { temperature: 0.0, repetition_penalty: 1.0, dry_multiplier: 0.0, ..Sampling::default() };
        let prompt = |matter: &Matter| match matter.case {
            Case::Entailed { .. } => &self.entailed,
            Case::Better { .. } => &self.better[&shown(matter)],
        };
        let each = self.open.iter().map(|(matter, text)| Job {
            prompt: prompt(matter),
            trial: Trial { questions: vec![question(text)], sampling: sampling.clone() },
            about: matter,
        });
        each.collect()
    }

    /// Asks a model of this machine.
    pub fn local(
        &self,
        generator: &mut dyn Generator,
        machine: Machine,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Outcome> {
        watch(Step::Begin(self.missing()));
        asking::local(self.jobs(), generator, machine, &mut Kept { desk: self, watch })
    }

    /// Asks a server: as many conversations at a time as there are `workers`.
    pub fn remote(&self, workers: Vec<Box<dyn Generator + Send>>, watch: &mut dyn FnMut(Step)) -> Result<Outcome> {
        watch(Step::Begin(self.missing()));
        asking::remote(self.jobs(), workers, &mut Kept { desk: self, watch })
    }
}

/// The paper whose text the judge is shown.
fn shown(matter: &Matter) -> Option<String> {
    match matter.case {
        Case::Better { with_paper: true, .. } => Some(matter.paper.clone()),
        _ => None,
    }
}

/// Puts judgements into the store as they come.
struct Kept<'a, 'w> {
    desk: &'a Desk<'a>,
    watch: &'w mut dyn FnMut(Step),
}

impl Keeper<&Matter> for Kept<'_, '_> {
    fn hear(&mut self, event: Event) {
        (self.watch)(Step::Generator(event));
    }

    fn sending(&mut self, job: &Job<&Matter>) -> Result<()> {
        let (requests, bytes) = job.sent();
        let Desk { store, judge, .. } = self.desk;
        store.send(&Sent {
            destination: judge.destination.clone().unwrap_or_default(),
            model: as_judge(&judge.id),
            paper: job.about.paper.clone(),
            requests,
            bytes,
        })
    }

    fn keep(&mut self, job: &Job<&Matter>, replies: Vec<Reply>, measured: Measured) -> Result<()> {
        let Desk { store, judge, .. } = self.desk;
        let (text, reason) =
            replies.into_iter().next().map_or((String::new(), FinishReason::Stop), |r| (r.text, r.finish_reason));
        let matter = job.about.clone();
        let verdict = prompts::verdict(&matter.case, &text, reason);
        let (paper, trial) = (job.about.paper.as_str(), matter.trial);
        store.keep_judgement(&Judgement { judge: judge.id.clone(), matter, verdict, text, measured })?;
        (self.watch)(Step::Answered { paper, trial });
        Ok(())
    }

    fn fail(&mut self, job: &Job<&Matter>, error: &Error) -> Result<()> {
        let Desk { store, judge, .. } = self.desk;
        let Matter { paper, trial, .. } = job.about;
        let (model, call, problem) = (as_judge(&judge.id), job.about.title(), error.problem.clone());
        store.fail(&Failure { model, paper: paper.clone(), trial: *trial, call, problem })?;
        (self.watch)(Step::Failed { paper, trial: *trial, error });
        Ok(())
    }
}
