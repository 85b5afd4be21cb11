//! `ronbun eval qa`: questions on papers, their answers held to gold ones. Each paper is read once for all its
//! questions.

use super::samples::prompt_ids;
use super::{Difference, Journal, Subject, checksum, finish};
use crate::cli::args::Qa;
use crate::cli::context::Context;
use crate::cli::output;
use crate::engine::{Branch, Engine, SamplingParams, TokenRules, common_prefix};
use crate::eval::overlap::{rouge_l, token_f1};
use crate::eval::questions::{self, Paper};
use crate::eval::score::{Estimate, bootstrap};
use crate::generator::local::TextSide;
use crate::plot::{self, Axes, Curve};
use crate::progress::Unit;
use crate::rope::{Chosen, Method, Policy};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;

/// Questions that are answered together; what they wrote is kept after each batch.
const TOGETHER: usize = 16;

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    model: String,
    set: String,
    chat_template: bool,
    max_tokens: usize,
    ropes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    rope: String,
    papers: usize,
    /// Papers that do not fit, and why.
    left_out: Vec<String>,
    /// Means over the questions; intervals by drawing papers again.
    f1: Estimate,
    rouge_l: Estimate,
    /// Of the F1, over the questions that both ways answered.
    against_first: Option<Difference>,
    answers: Vec<Answered>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Answered {
    paper: String,
    question: String,
    positions: String,
    prompt_tokens: usize,
    answer: String,
    references: Vec<String>,
    f1: f64,
    rouge_l: f64,
}

/// What does not change from paper to paper.
struct Exam<'a> {
    subject: &'a Subject<'a>,
    text: &'a TextSide,
    chat: bool,
    max_tokens: usize,
}

pub fn run(context: &Context, args: Qa) -> Result<()> {
    let subject = Subject::open(context, &args.extended, &args.results)?;
    let bad = |problem: String| {
        Error::new(Kind::Input, args.set.display(), problem).hint("`ronbun help eval qa` tells of a set's form")
    };
    let read = fs::read_to_string(&args.set).map_err(|error| bad(error.to_string()))?;
    let mut papers = questions::read(&read).map_err(bad)?;
    papers.truncate(args.papers.unwrap_or(usize::MAX));
    let text = subject.text_side()?;
    let chat = !args.plain && text.template.is_ok();
    let settings = json!({ "eval": "qa", "model": subject.name, "bytes": subject.checkpoint.weight_bytes(),
        "set": checksum(read.bytes()), "chat": chat, "max_tokens": args.max_tokens });
    let mut journal = Journal::open(args.results.out.as_deref(), &settings)?;
    let exam = Exam { subject: &subject, text: &text, chat, max_tokens: args.max_tokens };
    let mut engine = None;
    let mut ropes: Vec<Row> = Vec::new();
    for (method, policy) in &subject.policies {
        let all: usize = papers.iter().map(|paper| paper.questions.len()).sum();
        let bar = context.progress.bar(&method.to_string(), all as u64, Unit::Answers);
        let (mut answers, mut left_out) = (Vec::new(), Vec::new());
        for paper in &papers {
            match exam.paper(method, policy, paper, &mut engine, &mut journal) {
                Ok(answered) => answers.extend(answered),
                Err(error) if error.kind == Kind::Context => {
                    context.progress.warn(format!("paper {} is left out: {}", paper.paper, error.problem));
                    left_out.push(format!("{}: {}", paper.paper, error.problem));
                }
                Err(error) => return Err(error),
            }
            bar.advance(paper.questions.len() as u64);
        }
        let row = row(method, papers.len() - left_out.len(), left_out, answers, ropes.first());
        ropes.push(row);
    }
    let (model, set) = (subject.name.clone(), args.set.display().to_string());
    let report = Report { schema_version: 1, model, set, chat_template: chat, max_tokens: args.max_tokens, ropes };
    finish(&args.results, "qa", &report, &in_words(&report), &drawn(&report))?;
    match report.ropes.iter().map(|row| row.left_out.len()).max() {
        Some(left_out) if left_out > 0 => {
            let problem = format!("{left_out} of {} papers were left out", papers.len());
            Err(Error::new(Kind::Partial, args.set.display(), problem).hint("--rope tells how a context is extended"))
        }
        _ => Ok(()),
    }
}

impl Exam<'_> {
    /// Answers to all questions on a paper.
    fn paper(
        &self,
        method: &Method,
        policy: &Policy,
        paper: &Paper,
        engine: &mut Option<Engine>,
        journal: &mut Journal,
    ) -> Result<Vec<Answered>> {
        let defused = self.text.tokenizer.defuse(&paper.text);
        let prompt = |question: &str| {
            let asked = questions::asked(&self.text.tokenizer.defuse(question));
            let ends = if self.chat { "" } else { "\nAnswer:" };
            prompt_ids(self.text, self.chat, &format!("{defused}\n\n{asked}"), ends)
        };
        let prompts = paper.questions.iter().map(|question| prompt(&question.question)).collect::<Result<Vec<_>>>()?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) + self.max_tokens;
        let chosen = self.subject.choose(policy, longest)?;
        let name = |number: usize| {
            format!("{method} ({}) paper {}, question {number}", chosen.extension.description, paper.paper)
        };
        let missing: Vec<usize> = (0..prompts.len()).filter(|number| journal.done(&name(*number)).is_none()).collect();
        for batch in missing.chunks(TOGETHER) {
            let engine = self.subject.engine(engine, self.text)?;
            let written = self.answers(engine, &chosen, longest, &prompts, batch)?;
            for (&number, answer) in batch.iter().zip(written) {
                let question = &paper.questions[number];
                let answered = Answered {
                    paper: paper.paper.clone(),
                    question: question.question.clone(),
                    positions: chosen.extension.description.clone(),
                    prompt_tokens: prompts[number].len(),
                    f1: token_f1(&answer, &question.answers),
                    rouge_l: rouge_l(&answer, &question.answers),
                    references: question.answers.clone(),
                    answer,
                };
                journal.add(&name(number), json!(answered))?;
            }
        }
        let lost = |number| move || Err(Error::new(Kind::Internal, name(number), "was not answered"));
        (0..prompts.len()).map(|number| journal.measured(&name(number), lost(number))).collect()
    }

    /// Some questions together behind what all of the paper's have in common.
    fn answers(
        &self,
        engine: &mut Engine,
        chosen: &Chosen,
        longest: usize,
        prompts: &[Vec<u32>],
        batch: &[usize],
    ) -> Result<Vec<String>> {
        let shared = prompts.iter().map(|ids| common_prefix(ids, &prompts[0]).min(ids.len() - 1)).min().unwrap_or(0);
        engine.plan_extended(longest, chosen.scaling.as_ref())?;
        let label = "reading a paper";
        let bar = self.subject.context.progress.bar(label, shared as u64, Unit::Tokens);
        engine.prefill(&prompts[0][..shared], |done, total| bar.set((shared - total + done) as u64))?;
        let branch = |number: &usize| Branch {
            ids: prompts[*number][shared..].to_vec(),
            max_tokens: self.max_tokens,
            sampling: SamplingParams::greedy(),
        };
        let rules = TokenRules { stop: &self.text.stop, banned: &[] };
        let branches: Vec<Branch> = batch.iter().map(branch).collect();
        let done = engine.decode(&branches, rules, |_, _| ())?;
        let text = |ids: &[u32]| {
            let answer = self.text.tokenizer.decode(ids, false)?;
            // A model that is not used to answering goes on after its answer.
            let answer = if self.chat { answer.trim() } else { answer.trim().lines().next().unwrap_or_default() };
            Ok(answer.trim_end_matches('\u{fffd}').to_string())
        };
        done.iter().map(|done| text(&done.ids)).collect()
    }
}

fn row(method: &Method, papers: usize, left_out: Vec<String>, answers: Vec<Answered>, first: Option<&Row>) -> Row {
    let by_paper = |score: &dyn Fn(&Answered) -> Option<f64>| {
        let groups = answers.chunk_by(|a, b| a.paper == b.paper);
        bootstrap(&groups.map(|group| group.iter().filter_map(score).collect()).collect::<Vec<Vec<f64>>>())
    };
    let (f1, rouge_l) = (by_paper(&|answer| Some(answer.f1)), by_paper(&|answer| Some(answer.rouge_l)));
    let same = |a: &Answered, b: &Answered| (&a.paper, &a.question) == (&b.paper, &b.question);
    let against_first = first.map(|first| {
        let difference = |answer: &Answered| {
            let other = first.answers.iter().find(|other| same(other, answer))?;
            Some(answer.f1 - other.f1)
        };
        Difference::of_scores(by_paper(&difference))
    });
    Row { rope: method.to_string(), papers, left_out, f1, rouge_l, against_first, answers }
}

fn in_words(report: &Report) -> String {
    let header =
        ["rope", "papers", "questions", "F1", "95 %", "ROUGE-L", "95 %", "F1 against the first", "95 %", "which is"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for row in &report.ropes {
        let mut cells = vec![row.rope.clone(), row.papers.to_string(), row.answers.len().to_string()];
        for Estimate { value, low, high } in [row.f1, row.rouge_l] {
            cells.extend([format!("{:.1} %", 100.0 * value), format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high)]);
        }
        cells.extend(row.against_first.iter().flat_map(Difference::cells));
        rows.push(cells);
    }
    output::table(&rows)
}

/// Each paper's mean by the length of its prompts.
fn drawn(report: &Report) -> String {
    let curve = |row: &Row| {
        let groups = row.answers.chunk_by(|a, b| a.paper == b.paper);
        let point = |group: &[Answered]| {
            let tokens = group.iter().map(|answer| answer.prompt_tokens).max().unwrap_or(0);
            (tokens as f64, group.iter().map(|answer| answer.f1).sum::<f64>() / group.len() as f64)
        };
        let mut points: Vec<(f64, f64)> = groups.map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Curve { name: row.rope.clone(), points, intervals: Vec::new() }
    };
    let axes = Axes {
        title: format!("{}: questions on papers", report.model),
        x: "tokens of the paper and its question".into(),
        y: "F1, mean of a paper's questions".into(),
        ..Axes::default()
    };
    plot::curves(&axes, &report.ropes.iter().map(curve).collect::<Vec<_>>())
}
