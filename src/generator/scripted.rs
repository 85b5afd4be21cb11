//! A [`Generator`] that says what it was told to: answers by question id, for tests and for recorded answers.

use super::{Event, FinishReason, Generator, ModelFacts, Plan, Prompt, Question, Reply, Sampling, Usage};
use crate::{Error, Kind, Result};
use std::collections::{HashMap, VecDeque};

/// A token is a word between white space. Answers to one id are used in their order; the last one stays.
pub struct ScriptedGenerator {
    facts: ModelFacts,
    script: HashMap<String, VecDeque<Step>>,
    /// The prompt whose prefix is "held", so that a later call counts as a reuse of it.
    held: Option<Prompt>,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
enum Step {
    Reply { text: String, finish_reason: FinishReason },
    Fail(Error),
}

/// What a call of [`Generator::answer`] asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub prompt: Prompt,
    pub questions: Vec<Question>,
    pub sampling: Sampling,
}

impl ScriptedGenerator {
    /// A model that holds `context_length` words.
    pub fn new(context_length: usize) -> Self {
        let facts = ModelFacts {
            id: "scripted".into(),
            files: Vec::new(),
            architecture: "scripted".into(),
            quantization: String::new(),
            parameters: 0,
            context_length,
            rope: "none".into(),
            extension: None,
            device: "none".into(),
            threads: 1,
        };
        ScriptedGenerator { facts, script: HashMap::new(), held: None, calls: Vec::new() }
    }

    /// The next answer to the question `id`, ended by the model itself.
    pub fn says(self, id: &str, text: &str) -> Self {
        self.ending(id, text, FinishReason::Stop)
    }

    /// The next answer to the question `id`, ended for `finish_reason`.
    pub fn ending(self, id: &str, text: &str, finish_reason: FinishReason) -> Self {
        self.step(id, Step::Reply { text: text.to_string(), finish_reason })
    }

    /// The next time that question `id` is put, the whole call fails.
    pub fn fail(self, id: &str, error: Error) -> Self {
        self.step(id, Step::Fail(error))
    }

    fn step(mut self, id: &str, step: Step) -> Self {
        self.script.entry(id.to_string()).or_default().push_back(step);
        self
    }

    /// All calls so far.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    fn reply(&mut self, question: &Question) -> Result<Reply> {
        let id = question.id.as_str();
        let steps = self.script.get_mut(id).filter(|steps| !steps.is_empty());
        let steps = steps.ok_or_else(|| Error::new(Kind::Model, &self.facts.id, format!("no answer to `{id}`")))?;
        let step = if steps.len() > 1 { steps.pop_front() } else { steps.front().cloned() };
        match step {
            Some(Step::Reply { text, finish_reason }) => Ok(cut(text, finish_reason, question.max_tokens)),
            Some(Step::Fail(error)) => Err(error),
            None => Err(Error::new(Kind::Internal, id, "the script is empty")),
        }
    }
}

/// The reply as a model with this limit would give it.
fn cut(text: String, finish_reason: FinishReason, max_tokens: usize) -> Reply {
    let tokens = count(&text);
    if tokens <= max_tokens {
        return Reply { text, tokens, finish_reason };
    }
    let kept: String =
        text.split_inclusive(char::is_whitespace).filter(|word| !word.trim().is_empty()).take(max_tokens).collect();
    Reply { text: kept, tokens: max_tokens, finish_reason: FinishReason::Length }
}

fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

impl Generator for ScriptedGenerator {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn plan(&self, prompt: &Prompt, questions: &[Question]) -> Result<Plan> {
        let shared = count(&prompt.system) + count(&prompt.paper);
        let longest = questions.iter().max_by_key(|question| count(&question.text) + question.max_tokens);
        let (asked, answered) = longest.map_or((0, 0), |question| (count(&question.text), question.max_tokens));
        let (needed, held) = (shared + asked + answered, self.facts.context_length);
        if needed > held {
            let problem = format!(
                "needs {needed} tokens (paper {shared}, question {asked}, answer up to {answered}), the model holds {held}"
            );
            return Err(Error::new(Kind::Context, &self.facts.id, problem).hint("choose a model with a longer context"));
        }
        Ok(Plan {
            shared_tokens: shared,
            longest_tokens: needed,
            context_length: held,
            weight_bytes: 0,
            cache_bytes: 0,
            gpu_bytes: 0,
            moves_layers: false,
            extension: None,
        })
    }

    fn answer(
        &mut self,
        prompt: &Prompt,
        questions: &[Question],
        sampling: &Sampling,
        watch: &mut dyn FnMut(Event),
    ) -> Result<(Vec<Reply>, Usage)> {
        let plan = self.plan(prompt, questions)?;
        let call = Call { prompt: prompt.clone(), questions: questions.to_vec(), sampling: sampling.clone() };
        self.calls.push(call);
        let shared = if self.held.as_ref() == Some(prompt) { 0 } else { plan.shared_tokens };
        let prefill_tokens = shared + questions.iter().map(|question| count(&question.text)).sum::<usize>();
        self.held = Some(prompt.clone());
        watch(Event::Prefill { done: prefill_tokens, total: prefill_tokens });
        let mut replies = Vec::with_capacity(questions.len());
        for (index, question) in questions.iter().enumerate() {
            let reply = self.reply(question)?;
            watch(Event::Text { index, piece: &reply.text });
            watch(Event::End { index, reason: reply.finish_reason });
            replies.push(reply);
        }
        let decode_tokens = replies.iter().map(|reply| reply.tokens).sum();
        let prompt_tokens =
            plan.shared_tokens + questions.iter().map(|question| count(&question.text)).max().unwrap_or(0);
        Ok((replies, Usage { prompt_tokens, prefill_tokens, decode_tokens, ..Usage::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(max_tokens: usize) -> Question {
        Question { id: "a".into(), text: "what is it".into(), max_tokens }
    }

    fn prompt() -> Prompt {
        Prompt { system: "be brief".into(), paper: "one two three".into(), language: "en".into() }
    }

    #[test]
    fn a_paper_that_is_too_long_is_refused_with_the_counts() {
        let generator = ScriptedGenerator::new(17);
        assert!(generator.plan(&prompt(), &[question(9)]).is_ok());
        let error = generator.plan(&prompt(), &[question(10)]).unwrap_err();
        assert_eq!(error.kind, Kind::Context);
        assert_eq!(error.problem, "needs 18 tokens (paper 5, question 3, answer up to 10), the model holds 17");
    }

    #[test]
    fn answers_come_in_order_are_cut_at_the_limit_and_the_last_stays() {
        let mut generator = ScriptedGenerator::new(100).says("a", "first").says("a", "a b c d");
        let mut ask = || generator.answer(&prompt(), &[question(3)], &Sampling::default(), &mut |_| {}).unwrap();
        let (replies, usage) = ask();
        assert_eq!((replies[0].text.as_str(), usage.prefill_tokens), ("first", 8));
        let (replies, usage) = ask();
        assert_eq!((replies[0].text.trim(), replies[0].finish_reason), ("a b c", FinishReason::Length));
        assert_eq!(usage.prefill_tokens, 3);
        assert_eq!(ask().0[0].tokens, 3);
    }
}
