//! Jobs that are put together, kept and put again, with a model that ends them in another order.

use super::*;
use crate::generator::{FinishReason, ModelFacts, Plan, Sampling, scripted::ScriptedGenerator};

/// Holds few conversations at a time, ends the last trial of a batch first, and fails once after that.
struct Together {
    inner: ScriptedGenerator,
    most: usize,
    batches: Vec<usize>,
    fails: bool,
}

impl Generator for Together {
    fn facts(&self) -> &ModelFacts {
        self.inner.facts()
    }

    fn plan(&self, prompt: &Prompt, questions: &[Question]) -> Result<Plan> {
        match questions.len() > self.most {
            true => Err(Error::new(Kind::Memory, "m", "is too large")),
            false => self.inner.plan(prompt, questions),
        }
    }

    fn answer(
        &mut self,
        _: &Prompt,
        _: &[Question],
        _: &Sampling,
        _: &mut dyn FnMut(Event),
    ) -> Result<(Vec<Reply>, Usage)> {
        Err(Error::new(Kind::Internal, "m", "trials are put together"))
    }

    fn answer_trials(
        &mut self,
        _: &Prompt,
        trials: &[Trial],
        _: &mut dyn FnMut(Event),
        keep: &mut dyn FnMut(usize, Vec<Reply>, Usage) -> Result<()>,
    ) -> Result<()> {
        self.batches.push(trials.len());
        for (number, trial) in trials.iter().enumerate().rev() {
            let text = trial.sampling.seed.to_string();
            let reply = Reply { text, tokens: 1, finish_reason: FinishReason::Stop };
            let usage = Usage { prefill_seconds: 1.0, decode_seconds: 2.0, ..Usage::default() };
            keep(number, vec![reply], usage)?;
            if std::mem::take(&mut self.fails) {
                return Err(Error::new(Kind::Model, "m", "broke"));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Kept {
    answers: Vec<(u32, String, Measured)>,
    failed: Vec<u32>,
}

impl Keeper<u32> for Kept {
    fn hear(&mut self, _: Event) {}

    fn sending(&mut self, _: &Job<u32>) -> Result<()> {
        Ok(())
    }

    fn keep(&mut self, job: &Job<u32>, replies: Vec<Reply>, measured: Measured) -> Result<()> {
        self.answers.push((job.about, replies[0].text.clone(), measured));
        Ok(())
    }

    fn fail(&mut self, job: &Job<u32>, _: &Error) -> Result<()> {
        self.failed.push(job.about);
        Ok(())
    }
}

fn ask(prompts: &[Prompt], each: u32, most: usize, fails: bool) -> (Vec<usize>, Kept, Outcome) {
    let question = || Question { id: "q".into(), text: "why".into(), max_tokens: 9 };
    let trial = |seed| Trial {
        questions: vec![question()],
        sampling: Sampling { seed: u64::from(seed), ..Sampling::default() },
    };
    let of = |prompt| (1..=each).map(move |about| Job { prompt, trial: trial(about), about });
    let jobs = prompts.iter().flat_map(of).collect();
    let mut generator = Together { inner: ScriptedGenerator::new(99), most, batches: Vec::new(), fails };
    let (machine, mut kept) = (Machine { meter: None, load_seconds: 7.0 }, Kept::default());
    let outcome = local(jobs, &mut generator, machine, &mut kept).unwrap();
    (generator.batches, kept, outcome)
}

fn prompts() -> [Prompt; 2] {
    ["one", "two"].map(|paper| Prompt { system: String::new(), paper: paper.into(), language: "en".into() })
}

#[test]
fn jobs_of_one_prompt_are_put_together_and_kept_as_they_end() {
    let (batches, kept, outcome) = ask(&prompts(), 3, 99, false);
    assert_eq!((batches, outcome.done), (vec![3, 3], 6));
    let order: Vec<(u32, &str)> = kept.answers.iter().map(|(about, text, _)| (*about, text.as_str())).collect();
    assert_eq!(order[..3], [(3, "3"), (2, "2"), (1, "1")], "each with its own seed");
    let measured = &kept.answers[0].2;
    assert_eq!((measured.seconds, measured.together, measured.load_seconds), (3.0, 3, 7.0));
    assert_eq!(kept.answers[1].2.load_seconds, 0.0);
}

#[test]
fn only_as_many_as_memory_holds_and_as_gain_something() {
    assert_eq!(ask(&prompts()[..1], 5, 3, false).0, [2, 3], "halved until it fits");
    assert_eq!(ask(&prompts()[..1], 40, 99, false).0, [32, 8]);
    let (batches, kept, outcome) = ask(&prompts()[..1], 5, 0, false);
    assert_eq!((batches.len(), kept.failed.len(), outcome.given_up.unwrap().kind), (0, 3, Kind::Memory));
}

#[test]
fn what_was_kept_before_a_failure_stays_and_only_the_rest_is_put_again() {
    let (batches, kept, outcome) = ask(&prompts()[..1], 4, 99, true);
    let answered: Vec<u32> = kept.answers.iter().map(|(about, _, _)| *about).collect();
    assert_eq!((batches, answered, kept.failed), (vec![4, 2], vec![4, 3, 2], vec![1]));
    assert_eq!((outcome.done, outcome.failed), (3, 1));
}
