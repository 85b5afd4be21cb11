//! What is measured of a comparison's answers: the values of the [`super::catalogue`]'s figures for each output.
//!
//! An output is what a model wrote of a paper in a trial: one text where all questions were asked together, else its answers
//! one below the other. Thoughts (`<think>`) are no part of it.

use super::adherence;
use super::consistency::{self, Embedder};
use super::faithfulness::{Checked, Truth};
use super::language::Spoken;
use super::prices::{Billed, OwnMachine, Prices};
use super::support::{self, Supported};
use super::types::{Answer, Call, Gold, Measured, Model, Origin, Paper, Question};
use crate::Result;
use crate::eval::overlap::{rouge_l, token_f1};
use crate::generator::FinishReason;
use crate::pipeline;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// One measurement. Those of pairs of trials have no trial, those of whole outputs no question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Value {
    pub figure: &'static str,
    pub model: String,
    pub paper: String,
    pub trial: Option<u32>,
    pub question: Option<String>,
    pub value: f64,
}

/// What was found in one output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    pub model: String,
    pub paper: String,
    pub trial: u32,
    pub spoken: Spoken,
    #[serde(flatten)]
    pub checked: Option<Checked>,
    /// The works it recommends, and whether the paper's references have them.
    pub works: Vec<(String, bool)>,
    pub support: Vec<Supported>,
}

/// How money is counted.
#[derive(Debug, Clone)]
pub struct Costs {
    pub prices: Prices,
    /// Prices as of this day.
    pub day: Option<String>,
    pub usd_jpy: f64,
    pub machine: OwnMachine,
}

/// All that is measured.
pub struct Subject<'a> {
    pub models: &'a [Model],
    pub papers: &'a [Paper],
    pub questions: &'a [Question],
    pub answers: &'a [Answer],
    pub calls: &'a [Call],
    pub gold: &'a [Gold],
    /// The tag of the language asked for, where one was.
    pub language: Option<&'a str>,
    pub costs: &'a Costs,
}

#[derive(Debug, Default)]
pub struct Measures {
    pub values: Vec<Value>,
    pub details: Vec<Detail>,
    /// Outputs of each model by language.
    pub languages: BTreeMap<String, BTreeMap<String, usize>>,
}

/// What a model wrote of a paper in a trial.
struct Output<'a> {
    model: &'a str,
    paper: &'a str,
    trial: u32,
    /// With what is no thought, in the order of the questions.
    answers: Vec<(&'a Answer, String)>,
    text: String,
}

impl Measures {
    fn add(&mut self, figure: &'static str, of: &Output, value: f64) {
        self.add_to(figure, of, Some(of.trial), None, value);
    }

    fn add_to(&mut self, figure: &'static str, of: &Output, trial: Option<u32>, question: Option<&str>, value: f64) {
        let (model, paper) = (of.model.to_string(), of.paper.to_string());
        self.values.push(Value { figure, model, paper, trial, question: question.map(str::to_string), value });
    }

    /// The mean over the answers of an output, and each answer's own value where there are several.
    fn per_answer(&mut self, figure: &'static str, of: &Output, value: impl Fn(&Answer, &str) -> Option<f64>) {
        let values: Vec<(&str, f64)> = of
            .answers
            .iter()
            .filter_map(|(answer, text)| Some((answer.question.as_str(), value(answer, text)?)))
            .collect();
        if values.is_empty() {
            return;
        }
        let mean = values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64;
        self.add(figure, of, mean);
        if of.answers.len() > 1 {
            for (question, value) in values {
                self.add_to(figure, of, Some(of.trial), Some(question), value);
            }
        }
    }
}

/// Measures everything. Without an `embedder` neither consistency nor support is measured.
pub fn measure(subject: &Subject, embedder: Option<&mut dyn Embedder>) -> Result<Measures> {
    let outputs = outputs(subject);
    let truths: HashMap<&str, Truth> = subject
        .papers
        .iter()
        .filter_map(|paper| Some((paper.key.as_str(), Truth::of(paper.document.as_ref()?))))
        .collect();
    let mut measures = Measures::default();
    for output in &outputs {
        written(&mut measures, output);
        spoken(&mut measures, output, subject.language);
        adherence(&mut measures, output, subject.questions);
        faithful(&mut measures, output, truths.get(output.paper), subject.questions);
        against_gold(&mut measures, output, subject.gold);
        calls(&mut measures, output, subject);
    }
    if let Some(embedder) = embedder {
        consistent(&mut measures, &outputs, embedder)?;
        supported(&mut measures, &outputs, subject.papers, embedder)?;
    }
    Ok(measures)
}

/// In the order of models, papers and trials.
fn outputs<'a>(subject: &Subject<'a>) -> Vec<Output<'a>> {
    let order: HashMap<&str, usize> =
        subject.questions.iter().enumerate().map(|(at, question)| (question.id.as_str(), at)).collect();
    let mut grouped: BTreeMap<(&str, &str, u32), Vec<&Answer>> = BTreeMap::new();
    for answer in subject.answers {
        grouped.entry((&answer.model, &answer.paper, answer.trial)).or_default().push(answer);
    }
    let with_text = |answer: &'a Answer| (answer, pipeline::clean(&answer.text, &[]));
    let output = |((model, paper, trial), mut answers): ((&'a str, &'a str, u32), Vec<&'a Answer>)| {
        answers.sort_by_key(|answer| order.get(answer.question.as_str()).copied().unwrap_or(usize::MAX));
        let answers: Vec<_> = answers.into_iter().map(with_text).collect();
        let texts: Vec<&str> = answers.iter().map(|(_, text)| text.as_str()).collect();
        Output { model, paper, trial, text: texts.join("\n\n"), answers }
    };
    grouped.into_iter().map(output).collect()
}

fn written(measures: &mut Measures, output: &Output) {
    let characters = |text: &str| text.chars().count() as f64;
    measures.add("characters", output, output.answers.iter().map(|(_, text)| characters(text)).sum());
    if output.answers.len() > 1 {
        for (answer, text) in &output.answers {
            let question = Some(answer.question.as_str());
            measures.add_to("characters", output, Some(output.trial), question, characters(text));
        }
    }
    let tokens: Option<Vec<u64>> = output.answers.iter().map(|(answer, _)| answer.tokens).collect();
    if let Some(tokens) = tokens.filter(|tokens| tokens.iter().sum::<u64>() > 0) {
        measures.add("tokens", output, tokens.iter().sum::<u64>() as f64);
    }
}

fn spoken(measures: &mut Measures, output: &Output, asked: Option<&str>) {
    let spoken = Spoken::of(&output.text);
    let counts = measures.languages.entry(output.model.to_string()).or_default();
    *counts.entry(spoken.tag().to_string()).or_default() += 1;
    measures.add("mixed", output, share(spoken.is_mixed()));
    if let Some(asked) = asked {
        let asked_tag = crate::template::language::primary(asked);
        measures.add("language", output, share(spoken.tag() == asked_tag));
        if let Some(sentences) = spoken.share(asked) {
            measures.add("language_sentences", output, sentences);
        }
    }
    measures.details.push(Detail {
        model: output.model.to_string(),
        paper: output.paper.to_string(),
        trial: output.trial,
        spoken,
        checked: None,
        works: Vec::new(),
        support: Vec::new(),
    });
}

fn adherence(measures: &mut Measures, output: &Output, questions: &[Question]) {
    let ended = |reason| move |answer: &Answer, _: &str| answer.finish_reason.map(|ended| share(ended == reason));
    measures.per_answer("refused", output, |answer, text| Some(share(adherence::refuses(text, answer.finish_reason))));
    measures.per_answer("truncated", output, ended(FinishReason::Length));
    measures.per_answer("looped", output, ended(FinishReason::Loop));
    match together(output) {
        Some(text) => {
            let layout = adherence::layout(text, questions);
            measures.add("answered", output, layout.answered);
            measures.add("in_order", output, share(layout.in_order));
            measures.add("headed", output, layout.headed);
        }
        None => measures.per_answer("answered", output, |answer, text| {
            Some(share(!text.is_empty() && !adherence::refuses(text, answer.finish_reason)))
        }),
    }
}

/// The one text that answers all questions, where they were asked so.
fn together<'a>(output: &'a Output) -> Option<&'a str> {
    match output.answers.as_slice() {
        [(answer, text)] if answer.question == "together" => Some(text),
        _ => None,
    }
}

fn faithful(measures: &mut Measures, output: &Output, truth: Option<&Truth>, questions: &[Question]) {
    let Some(truth) = truth else { return };
    let checked = truth.check(&output.text);
    measures.add("invented_links", output, checked.invented_links.len() as f64);
    measures.add("invented_numbers", output, checked.invented_numbers.len() as f64);
    if checked.numbers > 0 {
        let found = checked.numbers - checked.invented_numbers.len();
        measures.add("numbers_found", output, found as f64 / checked.numbers as f64);
    }
    let list = reading_list(output, questions);
    let works = list.and_then(|list| truth.works(&list)).unwrap_or_default();
    if !works.is_empty() {
        let found = works.iter().filter(|(_, known)| *known).count();
        measures.add("works_found", output, found as f64 / works.len() as f64);
    }
    if let Some(detail) = measures.details.last_mut() {
        (detail.checked, detail.works) = (Some(checked), works);
    }
}

/// The answer to the question about what to read next.
fn reading_list(output: &Output, questions: &[Question]) -> Option<String> {
    const READING: &str = "reading";
    if let Some(text) = together(output) {
        let at = questions.iter().position(|question| question.id == READING)?;
        return adherence::layout(text, questions).sections.into_iter().nth(at)?;
    }
    let answer = output.answers.iter().find(|(answer, _)| answer.question == READING);
    answer.map(|(_, text)| text.clone())
}

/// Both scores are of words as spaces part them, and say nothing of scripts that write without.
fn against_gold(measures: &mut Measures, output: &Output, all: &[Gold]) {
    let of = |answer: &Answer| -> Vec<String> {
        let same = all.iter().filter(|gold| gold.paper == answer.paper && gold.question == answer.question);
        same.filter(|gold| !gold.text.chars().any(pipeline::is_cjk)).map(|gold| gold.text.clone()).collect()
    };
    let scored = |score: fn(&str, &[String]) -> f64| {
        move |answer: &Answer, text: &str| {
            let gold = of(answer);
            (!gold.is_empty()).then(|| score(text, &gold))
        }
    };
    measures.per_answer("token_f1", output, scored(token_f1));
    measures.per_answer("rouge_l", output, scored(rouge_l));
}

/// What the calls of an output took together.
fn calls(measures: &mut Measures, output: &Output, subject: &Subject) {
    let mine = |call: &&Call| call.model == output.model && call.paper == output.paper && call.trial == output.trial;
    let calls: Vec<&Measured> = subject.calls.iter().filter(mine).map(|call| &call.measured).collect();
    let Some(model) = subject.models.iter().find(|model| model.id == output.model).filter(|_| !calls.is_empty()) else {
        return;
    };
    let sum = |of: fn(&Measured) -> f64| calls.iter().map(|call| of(call)).sum::<f64>();
    measures.add("seconds", output, sum(|call| call.seconds));
    measures.add("prefill_seconds", output, sum(|call| call.prefill_seconds));
    measures.add("decode_seconds", output, sum(|call| call.decode_seconds));
    measures.add("first_token_seconds", output, calls[0].time_to_first_token_seconds);
    if calls.iter().any(|call| call.load_seconds > 0.0) {
        measures.add("load_seconds", output, sum(|call| call.load_seconds));
    }
    if calls.iter().all(|call| call.prompt_tokens > 0) {
        measures.add("prompt_tokens", output, sum(|call| call.prompt_tokens as f64));
    }
    for (figure, tokens, seconds) in [
        ("prefill_rate", sum(|call| call.prefill_tokens as f64), sum(|call| call.prefill_seconds)),
        ("decode_rate", sum(|call| call.decode_tokens as f64), sum(|call| call.decode_seconds)),
    ] {
        if tokens > 0.0 && seconds > 0.0 {
            measures.add(figure, output, tokens / seconds);
        }
    }
    if let Some(bytes) = calls.iter().filter_map(|call| call.peak_memory_bytes).max() {
        measures.add("peak_memory_gb", output, bytes as f64 / 1e9);
    }
    let metered: Option<f64> = calls.iter().map(|call| call.energy_joules).sum();
    money(measures, output, model, &calls, metered, subject.costs);
}

fn money(
    measures: &mut Measures,
    output: &Output,
    model: &Model,
    calls: &[&Measured],
    metered: Option<f64>,
    costs: &Costs,
) {
    let seconds = calls.iter().map(|call| call.seconds).sum();
    let cost = match model.origin {
        Origin::Local => {
            if let Some(joules) = costs.machine.energy(metered, seconds) {
                measures.add("energy_wh", output, joules / 3600.0);
            }
            costs.machine.cost(metered, seconds)
        }
        Origin::Remote | Origin::Recorded => price_of(model, costs, calls),
    };
    if let Some(usd) = cost {
        measures.add("cost_usd", output, usd);
        measures.add("cost_jpy", output, usd * costs.usd_jpy);
    }
}

/// By the list of prices; none where it has no such model, or the server did not tell what it counted.
pub(super) fn price_of(model: &Model, costs: &Costs, calls: &[&Measured]) -> Option<f64> {
    let price = costs.prices.find(model.price.as_deref()?, costs.day.as_deref())?;
    let billed = calls.iter().map(|call| Billed {
        prompt_tokens: call.prompt_tokens,
        prompt_characters: call.prompt_characters,
        output_tokens: call.output_tokens,
        output_characters: call.output_characters,
    });
    calls.iter().all(|call| call.prompt_tokens > 0).then(|| billed.map(|billed| price.cost(&billed)).sum())
}

/// The outputs of each model and paper, where the embedder knows all their languages.
fn consistent(measures: &mut Measures, outputs: &[Output], embedder: &mut dyn Embedder) -> Result<()> {
    for trials in outputs.chunk_by(|one, next| one.model == next.model && one.paper == next.paper) {
        let known = trials.iter().all(|output| embedder.knows(pipeline::language(&output.text)));
        if trials.len() < 2 || !known {
            continue;
        }
        let texts: Vec<&str> = trials.iter().map(|output| output.text.as_str()).collect();
        for cosine in consistency::pairs(&embedder.embed(&texts)?) {
            measures.add_to("consistency", &trials[0], None, None, cosine);
        }
    }
    Ok(())
}

fn supported(measures: &mut Measures, outputs: &[Output], papers: &[Paper], embedder: &mut dyn Embedder) -> Result<()> {
    for paper in papers {
        let Some(document) = &paper.document else { continue };
        let Some(passages) = support::Passages::of(document, embedder)? else { continue };
        for (at, output) in outputs.iter().enumerate().filter(|(_, output)| output.paper == paper.key) {
            let found = passages.support(&output.text, embedder)?;
            if found.is_empty() {
                continue;
            }
            let near = found.iter().filter(|sentence| sentence.supported).count();
            measures.add("supported", output, near as f64 / found.len() as f64);
            measures.details[at].support = found;
        }
    }
    Ok(())
}

fn share(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
