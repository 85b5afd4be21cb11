//! `ronbun eval passkey` and `eval ruler`: samples with known answers, answered greedily, one prefix after the other.

use super::{Journal, Subject, Way, finish};
use crate::chat::Message;
use crate::cli::args::{Passkey, Ruler, Sampled};
use crate::cli::context::Context;
use crate::cli::output;
use crate::engine::{Branch, Engine, SamplingParams, TokenRules};
use crate::eval::score::{self, Estimate};
use crate::eval::{self, Sample, Task};
use crate::generator::local::TextSide;
use crate::plot::{self, Axes, Curve};
use crate::progress::Unit;
use crate::random::Random;
use crate::{Error, Kind, Result, interrupt};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A cell of the table: samples of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cell {
    rope: String,
    /// How positions were extended.
    positions: String,
    /// The depth or the task.
    row: String,
    length: usize,
    samples: Vec<Answered>,
    /// Share of what was asked for; Wilson's interval where each sample is right or wrong, else the mean's.
    score: Estimate,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Answered {
    prompt_tokens: usize,
    answer: String,
    references: Vec<String>,
    score: f64,
}

/// All cells of one way and length.
#[derive(Serialize)]
struct Whole {
    rope: String,
    length: usize,
    samples: usize,
    score: Estimate,
}

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    eval: &'static str,
    model: String,
    seed: u64,
    chat_template: bool,
    cells: Vec<Cell>,
    all: Vec<Whole>,
}

/// What is put in each row of a table: its name, and samples by their amount of filling.
struct Test<'a> {
    eval: &'static str,
    rows: Vec<String>,
    /// Row, random draws, amount of filling, length.
    make: &'a dyn Fn(usize, &mut Random, usize, usize) -> Sample,
    score: fn(&str, &Sample) -> f64,
}

pub fn passkey(context: &Context, args: Passkey) -> Result<()> {
    let last = (args.depths - 1).max(1);
    let depth = move |row: usize| row as f64 / last as f64;
    let rows = (0..args.depths).map(|row| format!("{:.0} %", 100.0 * depth(row))).collect();
    let make = move |row: usize, random: &mut Random, amount: usize, _| eval::passkey(random, amount, depth(row));
    let score = |answer: &str, sample: &Sample| score::first_number(answer, &sample.references[0]);
    let test = Test { eval: "passkey", rows, make: &make, score };
    let subject = Subject::open(context, &args.extended, &args.results)?;
    let report = measure(&subject, &test, &args.lengths, &args.sampled, args.results.out.as_deref())?;
    finish(&args.results, "passkey", &report, &in_words(&report, "depth"), &drawn(&report, "depth"))
}

pub fn ruler(context: &Context, args: Ruler) -> Result<()> {
    let tasks = if args.task.is_empty() { Task::ALL.to_vec() } else { args.task };
    let rows = tasks.iter().map(|task| task.name().to_string()).collect();
    let make = |row: usize, random: &mut Random, amount: usize, length: usize| {
        let task: Task = tasks[row];
        task.sample(random, amount, length)
    };
    let score = |answer: &str, sample: &Sample| score::holds(answer, &sample.references);
    let test = Test { eval: "ruler", rows, make: &make, score };
    let subject = Subject::open(context, &args.extended, &args.results)?;
    let report = measure(&subject, &test, &args.length, &args.sampled, args.results.out.as_deref())?;
    finish(&args.results, "ruler", &report, &in_words(&report, "task"), &drawn(&report, "task"))
}

/// A sample on its way to an answer.
struct Item {
    row: usize,
    name: String,
    sample: Sample,
    ids: Vec<u32>,
}

fn measure(
    subject: &Subject,
    test: &Test,
    lengths: &[usize],
    sampled: &Sampled,
    out: Option<&std::path::Path>,
) -> Result<Report> {
    let text = subject.text_side()?;
    let chat = !sampled.plain && text.template.is_ok();
    let bytes = subject.checkpoint.weight_bytes();
    let settings =
        json!({ "eval": test.eval, "model": subject.name, "bytes": bytes, "seed": sampled.seed, "chat": chat });
    let mut journal = Journal::open(out, &settings)?;
    let mut engine = None;
    let mut cells = Vec::new();
    for &length in lengths {
        let items = items(&text, chat, test, length, sampled)?;
        for Way { method, chosen, name: way, .. } in subject.ways(length)? {
            let positions = chosen.extension.description.clone();
            let name = |item: &Item| format!("{way} {}", item.name);
            let bar =
                subject.context.progress.bar(&format!("{method}, {length} tokens"), items.len() as u64, Unit::Answers);
            for item in &items {
                if journal.done(&name(item)).is_none() {
                    let engine = subject.engine(&mut engine, &text)?;
                    engine.plan_extended(length, chosen.scaling.as_ref())?;
                    let answer = answer(engine, &text, item)?;
                    let score = (test.score)(&answer, &item.sample);
                    let references = item.sample.references.clone();
                    let done = Answered { prompt_tokens: item.ids.len(), answer, references, score };
                    journal.add(&name(item), json!(done))?;
                }
                bar.advance(1);
            }
            for (row, title) in test.rows.iter().enumerate() {
                let of_row = items.iter().filter(|item| item.row == row);
                let done = of_row.filter_map(|item| serde_json::from_value(journal.done(&name(item))?.clone()).ok());
                let samples: Vec<Answered> = done.collect();
                let (rope, positions, row) = (method.to_string(), positions.clone(), title.clone());
                cells.push(Cell { rope, positions, row, length, score: estimate(&samples), samples });
            }
        }
    }
    let (model, seed) = (subject.name.clone(), sampled.seed);
    let all = wholes(&cells);
    Ok(Report { schema_version: 1, eval: test.eval, model, seed, chat_template: chat, cells, all })
}

/// All samples of a length, those that begin alike one after the other, so that what they share is read once.
fn items(text: &TextSide, chat: bool, test: &Test, length: usize, sampled: &Sampled) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for (row, title) in test.rows.iter().enumerate() {
        for number in 0..sampled.samples {
            interrupt::check()?;
            let name = format!("{} {title} {length} {number}", test.eval);
            let make = |amount: usize| (test.make)(row, &mut Random::new(sampled.seed, &name), amount, length);
            let most = length.saturating_sub(make(0).max_tokens);
            let count = |sample: &Sample| ids(text, chat, sample).map(|ids| ids.len());
            let sample = eval::largest(most, make, count)?.ok_or_else(|| {
                Error::new(Kind::Usage, test.eval, format!("{length} tokens have no room for {title}"))
                    .hint("take a greater length")
            })?;
            let ids = ids(text, chat, &sample)?;
            items.push(Item { row, name, sample, ids });
        }
    }
    items.sort_by(|a, b| a.ids.cmp(&b.ids));
    Ok(items)
}

fn ids(text: &TextSide, chat: bool, Sample { question, prefix, .. }: &Sample) -> Result<Vec<u32>> {
    prompt_ids(text, chat, question, prefix)
}

/// A question, and how its answer begins, as the model is asked it.
pub fn prompt_ids(text: &TextSide, chat: bool, question: &str, prefix: &str) -> Result<Vec<u32>> {
    let prompt = match &text.template {
        Ok(template) if chat => template.render(&[Message::new("user", question)])? + prefix.trim_start(),
        _ => format!("{question}{prefix}"),
    };
    text.tokenizer.encode_prompt(&prompt)
}

fn answer(engine: &mut Engine, text: &TextSide, item: &Item) -> Result<String> {
    let (last, prefix) = item.ids.split_last().ok_or_else(|| Error::new(Kind::Internal, &item.name, "is empty"))?;
    engine.prefill(prefix, |_, _| ())?;
    let branch = Branch { ids: vec![*last], max_tokens: item.sample.max_tokens, sampling: SamplingParams::greedy() };
    let rules = TokenRules { stop: &text.stop, banned: &[] };
    let done = engine.decode(&[branch], rules, |_, _| ())?;
    text.tokenizer.decode(done.first().map_or(&[], |done| &done.ids), false)
}

fn estimate(samples: &[Answered]) -> Estimate {
    let scores: Vec<f64> = samples.iter().map(|sample| sample.score).collect();
    match samples.iter().all(|sample| sample.references.len() == 1) {
        true => score::wilson(scores.iter().sum(), scores.len()),
        false => {
            let Estimate { value, low, high } = score::mean(&scores);
            Estimate { value, low: low.max(0.0), high: high.min(1.0) }
        }
    }
}

/// The cells of each way and length together.
fn wholes(cells: &[Cell]) -> Vec<Whole> {
    let whole = |(rope, length): (String, usize)| {
        let of = cells.iter().filter(|cell| cell.rope == rope && cell.length == length);
        let samples: Vec<Answered> = of.flat_map(|cell| cell.samples.clone()).collect();
        Whole { score: estimate(&samples), samples: samples.len(), rope, length }
    };
    unique(cells.iter().map(|cell| (cell.rope.clone(), cell.length))).into_iter().map(whole).collect()
}

fn unique<T: Clone + PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut seen, value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
        seen
    })
}

fn in_words(report: &Report, what: &str) -> String {
    let percent = |Estimate { value, low, high }: Estimate| {
        [format!("{:.1} %", 100.0 * value), format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high)]
    };
    let mut rows = vec![["rope", "length", what, "samples", "score", "95 %", "positions"].map(String::from).to_vec()];
    for Whole { rope, length, samples, score } in &report.all {
        let cells = report.cells.iter().filter(|cell| cell.rope == *rope && cell.length == *length);
        for cell in cells {
            let [score, interval] = percent(cell.score);
            let (samples, positions) = (cell.samples.len(), cell.positions.clone());
            rows.push(vec![
                rope.clone(),
                length.to_string(),
                cell.row.clone(),
                samples.to_string(),
                score,
                interval,
                positions,
            ]);
        }
        let [score, interval] = percent(*score);
        rows.push(vec![rope.clone(), length.to_string(), "all".into(), samples.to_string(), score, interval]);
    }
    output::table(&rows)
}

/// One way: a map of rows and lengths. Several: a curve each.
fn drawn(report: &Report, what: &str) -> String {
    let ropes = unique(report.cells.iter().map(|cell| cell.rope.clone()));
    let lengths = unique(report.cells.iter().map(|cell| cell.length));
    let axes = |x: &str, y: &str| Axes {
        title: format!("{}: {}", report.model, report.eval),
        x: x.into(),
        y: y.into(),
        ..Axes::default()
    };
    if let [rope] = ropes.as_slice() {
        let rows = unique(report.cells.iter().map(|cell| cell.row.clone()));
        let value = |row: &str, length: usize| {
            let found = report.cells.iter().find(|cell| cell.row == row && cell.length == length);
            found.map(|cell| cell.score.value)
        };
        let cells: Vec<Vec<_>> =
            rows.iter().map(|row| lengths.iter().map(|length| value(row, *length)).collect()).collect();
        let columns: Vec<String> = lengths.iter().map(usize::to_string).collect();
        return plot::heat_map(&axes(&format!("tokens ({rope}); cells in %"), what), &columns, &rows, &cells);
    }
    let curve = |rope: &String| {
        let of: Vec<&Whole> = report.all.iter().filter(|whole| whole.rope == *rope).collect();
        Curve {
            name: rope.clone(),
            points: of.iter().map(|whole| (whole.length as f64, whole.score.value)).collect(),
            intervals: of.iter().map(|whole| (whole.score.low, whole.score.high)).collect(),
        }
    };
    plot::curves(&axes("tokens", "share of what was asked for"), &ropes.iter().map(curve).collect::<Vec<_>>())
}
