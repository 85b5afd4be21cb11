//! Putting conversations to a generator: to a model of this machine many at a time over one prefix, to a server by several
//! workers. What comes is handed to a [`Keeper`] at once; what fails is told, and a hopeless model given up.

use super::meter::Meter;
use super::prices::billable_characters;
use super::types::Measured;
use crate::generator::{Event, Generator, Prompt, Question, Reply, Trial, Usage};
use crate::pipeline;
use crate::{Error, Kind, Result, interrupt};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

/// A model that fails so often in a row is given up; what is missing is asked for when the work goes on.
const FAILURES_IN_A_ROW: usize = 3;
/// Conversations that a local model is put at a time: more gain little, for products of so many rows use a processor well,
/// and each takes memory of its own.
const TOGETHER: usize = 32;

/// One call to make.
#[derive(Debug, Clone)]
pub struct Job<'a, T> {
    pub prompt: &'a Prompt,
    pub trial: Trial,
    pub about: T,
}

impl<T> Job<'_, T> {
    /// Conversations and bytes of text that a server is sent.
    pub fn sent(&self) -> (u64, u64) {
        let shared = self.prompt.system.len() + self.prompt.paper.len();
        let bytes: usize = self.trial.questions.iter().map(|question| shared + question.text.len()).sum();
        (self.trial.questions.len() as u64, bytes as u64)
    }

    /// That a vendor would bill of the prompts, each conversation by itself.
    fn characters(&self) -> u64 {
        let shared = billable_characters(&self.prompt.system) + billable_characters(&self.prompt.paper);
        self.trial.questions.iter().map(|question| shared + billable_characters(&question.text)).sum()
    }

    fn measured(&self, replies: &[Reply], usage: &Usage, seconds: f64) -> Measured {
        Measured {
            at: pipeline::now(),
            seconds,
            prompt_tokens: usage.prompt_tokens as u64,
            prompt_characters: self.characters(),
            output_tokens: replies.iter().map(|reply| reply.tokens as u64).sum(),
            output_characters: replies.iter().map(|reply| billable_characters(&reply.text)).sum(),
            prefill_tokens: usage.prefill_tokens as u64,
            prefill_seconds: usage.prefill_seconds,
            time_to_first_token_seconds: usage.time_to_first_token_seconds,
            decode_tokens: usage.decode_tokens as u64,
            decode_seconds: usage.decode_seconds,
            together: 1,
            ..Measured::default()
        }
    }
}

/// Who keeps what comes. Errors end the work.
pub trait Keeper<T> {
    /// Within a call of a local model.
    fn hear(&mut self, event: Event);
    /// Before a call leaves this machine.
    fn sending(&mut self, job: &Job<T>) -> Result<()>;
    fn keep(&mut self, job: &Job<T>, replies: Vec<Reply>, measured: Measured) -> Result<()>;
    fn fail(&mut self, job: &Job<T>, error: &Error) -> Result<()>;
}

/// What became of the jobs of one model.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Calls that were answered now.
    pub done: usize,
    pub failed: usize,
    /// Why the rest was not asked for.
    pub given_up: Option<Error>,
}

/// What a model's calls are measured with on this machine.
#[derive(Default)]
pub struct Machine {
    pub meter: Option<Meter>,
    /// Counted with the first call.
    pub load_seconds: f64,
}

struct Tally<'k, T> {
    keeper: &'k mut dyn Keeper<T>,
    outcome: Outcome,
    in_a_row: usize,
}

impl<'k, T> Tally<'k, T> {
    fn new(keeper: &'k mut dyn Keeper<T>) -> Tally<'k, T> {
        Tally { keeper, outcome: Outcome::default(), in_a_row: 0 }
    }

    fn answered(&mut self, job: &Job<T>, replies: Vec<Reply>, measured: Measured) -> Result<()> {
        let (came, asked) = (replies.len(), job.trial.questions.len());
        if came != asked {
            return Err(Error::new(
                Kind::Internal,
                "a model",
                format!("{came} answers came back for {asked} questions"),
            ));
        }
        self.keeper.keep(job, replies, measured)?;
        (self.outcome.done, self.in_a_row) = (self.outcome.done + 1, 0);
        Ok(())
    }

    /// True where the model is given up. An error that is not this call's alone is given back.
    fn failed(&mut self, job: &Job<T>, error: Error) -> Result<bool> {
        if matches!(error.kind, Kind::Interrupted | Kind::Output | Kind::Internal) {
            return Err(error);
        }
        self.keeper.fail(job, &error)?;
        (self.outcome.failed, self.in_a_row) = (self.outcome.failed + 1, self.in_a_row + 1);
        let hopeless = error.kind == Kind::Usage || self.in_a_row >= FAILURES_IN_A_ROW;
        if hopeless {
            self.outcome.given_up = Some(error);
        }
        Ok(hopeless)
    }
}

/// Asks a model of this machine: jobs that follow each other over the same prompt together, as many as memory holds.
pub fn local<T>(
    jobs: Vec<Job<T>>,
    generator: &mut dyn Generator,
    machine: Machine,
    keeper: &mut dyn Keeper<T>,
) -> Result<Outcome> {
    let mut tally = Tally::new(keeper);
    let mut open: VecDeque<Job<T>> = jobs.into();
    let mut load_seconds = machine.load_seconds;
    while !open.is_empty() {
        interrupt::check()?;
        let (batch, refused) = fitting(generator, open.make_contiguous());
        let batch: Vec<Job<T>> = open.drain(..batch).collect();
        let mut kept = vec![false; batch.len()];
        let answered = match refused {
            None => batched(&batch, &mut kept, generator, machine.meter.as_ref(), &mut load_seconds, &mut tally),
            Some(error) => Err(error),
        };
        let mut left: VecDeque<Job<T>> =
            batch.into_iter().zip(kept).filter(|(_, kept)| !kept).map(|(job, _)| job).collect();
        let error = match answered {
            Ok(()) if left.is_empty() => continue,
            Ok(()) => Error::new(Kind::Internal, &generator.facts().id, "not every question was answered"),
            Err(error) => error,
        };
        // The error is laid to the first; the others are put again.
        let Some(first) = left.pop_front() else { return Err(error) };
        if tally.failed(&first, error)? {
            break;
        }
        left.into_iter().rev().for_each(|job| open.push_front(job));
    }
    Ok(tally.outcome)
}

/// How many of the first jobs are put together, at least one, and why even that one cannot be put.
fn fitting<T>(generator: &dyn Generator, jobs: &[Job<T>]) -> (usize, Option<Error>) {
    let same = jobs.iter().take_while(|job| std::ptr::eq(job.prompt, jobs[0].prompt)).count();
    let mut questions = 0;
    let few = jobs[..same].iter().take_while(|job| {
        questions += job.trial.questions.len();
        questions <= TOGETHER
    });
    let mut count = few.count().max(1);
    loop {
        let questions: Vec<Question> = jobs[..count].iter().flat_map(|job| job.trial.questions.clone()).collect();
        match generator.plan(jobs[0].prompt, &questions) {
            Err(error) if count == 1 => return (1, Some(error)),
            Err(_) => count /= 2,
            // Fewer at a time may do without.
            Ok(plan) if plan.moves_layers && count > 1 => count /= 2,
            Ok(_) => return (count, None),
        }
    }
}

/// Puts jobs over one prompt together. Each call's seconds are its share; of the energy it has as much as its share of the
/// time that went by until it ended.
fn batched<T>(
    batch: &[Job<T>],
    kept: &mut [bool],
    generator: &mut dyn Generator,
    meter: Option<&Meter>,
    load_seconds: &mut f64,
    tally: &mut Tally<T>,
) -> Result<()> {
    let trials: Vec<Trial> = batch.iter().map(|job| job.trial.clone()).collect();
    let (start, before) = (Instant::now(), meter.and_then(Meter::read));
    let tally = RefCell::new(tally);
    let mut keep = |number: usize, replies: Vec<Reply>, usage: Usage| {
        let job = &batch[number];
        let mut measured = job.measured(&replies, &usage, usage.prefill_seconds + usage.decode_seconds);
        let share = measured.seconds / start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let joules = meter.zip(before.as_ref()).and_then(|(meter, before)| meter.since(before));
        measured.energy_joules = joules.map(|joules| joules * share);
        measured.load_seconds = std::mem::take(load_seconds);
        measured.peak_memory_bytes = pipeline::peak_memory();
        measured.together = batch.len() as u64;
        tally.borrow_mut().answered(job, replies, measured)?;
        kept[number] = true;
        Ok(())
    };
    let mut hear = |event: Event| tally.borrow_mut().keeper.hear(event);
    generator.answer_trials(batch[0].prompt, &trials, &mut hear, &mut keep)
}

enum Message<'a, T> {
    /// A worker asks for leave to begin.
    Sending(Job<'a, T>, mpsc::Sender<Job<'a, T>>),
    /// The server is in one conversation at a time from now on.
    Alone,
    Done(Job<'a, T>, Box<Result<(Vec<Reply>, Measured)>>),
}

/// Asks a server: as many calls at a time as there are `workers`.
pub fn remote<T: Send>(
    jobs: Vec<Job<T>>,
    workers: Vec<Box<dyn Generator + Send>>,
    keeper: &mut dyn Keeper<T>,
) -> Result<Outcome> {
    let queue = Mutex::new(VecDeque::from(jobs));
    let next = || queue.lock().map(|mut jobs| jobs.pop_front()).ok().flatten();
    let stop = || queue.lock().map(|mut jobs| jobs.clear()).unwrap_or_default();
    let mut tally = Tally::new(keeper);
    std::thread::scope(|scope| {
        let (to_main, results) = mpsc::channel();
        for mut generator in workers {
            let (to_main, next) = (to_main.clone(), &next);
            scope.spawn(move || {
                while let Some(job) = next() {
                    // Counted before it leaves: whatever happens, the report knows of it.
                    let (go, may_go) = mpsc::channel();
                    if to_main.send(Message::Sending(job, go)).is_err() {
                        return;
                    }
                    let Ok(job) = may_go.recv() else { return };
                    let answered = put(&job, generator.as_mut(), &mut |event| {
                        if event == Event::OneAtATime {
                            let _ = to_main.send(Message::Alone);
                        }
                    });
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
                tally.keeper.sending(&job)?;
                let _ = go.send(job);
                Ok(())
            }
            Message::Alone => {
                tally.keeper.hear(Event::OneAtATime);
                Ok(())
            }
            Message::Done(job, answered) => match *answered {
                Ok((replies, measured)) => tally.answered(&job, replies, measured),
                Err(error) => {
                    if tally.failed(&job, error)? {
                        stop();
                    }
                    Ok(())
                }
            },
        });
        // What waits for leave to go, or has something to tell, finds nobody here any more and ends.
        stop();
        drop(results);
        kept
    })?;
    Ok(tally.outcome)
}

fn put<T>(job: &Job<T>, generator: &mut dyn Generator, hear: &mut dyn FnMut(Event)) -> Result<(Vec<Reply>, Measured)> {
    let Trial { questions, sampling } = &job.trial;
    generator.plan(job.prompt, questions)?;
    let (replies, usage) = generator.answer(job.prompt, questions, sampling, hear)?;
    let measured = job.measured(&replies, &usage, usage.prefill_seconds + usage.decode_seconds);
    Ok((replies, measured))
}

#[cfg(test)]
mod tests;
