//! One long prompt, then branches that share it: both engines in turn.

use crate::peer::{Model, Session, Setting, features};
use crate::{Input, in_json, name, table};
use ronbun::Result;
use ronbun::engine::{Engine, bench};
use ronbun::generator::local;
use ronbun::model::{Checkpoint, Decoder};
use ronbun::progress::{Bar, Progress, Unit};
use ronbun_kernels::{Isa, pool};
use serde::Serialize;
use std::{thread, time::Instant};

/// llama.cpp has no more.
const BRANCHES: i64 = 256;
/// More than any model reads.
const TOKENS: i64 = 1 << 24;

#[derive(clap::Args)]
pub struct Args {
    /// Length of the prompt; a shorter text is repeated [default: the text's own]
    #[arg(long, value_name = "N", value_parser = number(1, TOKENS))]
    prompt_tokens: Option<u32>,
    /// Continuations of the prompt that are written together; measured with one alone, too
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = number(1, BRANCHES))]
    branches: u32,
    /// Tokens that each of them writes
    #[arg(long, value_name = "G", default_value_t = 64, value_parser = number(2, TOKENS))]
    gen_tokens: u32,
    /// Times that each engine is measured; the best one counts
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = number(1, 1000))]
    runs: u32,
}

fn number(least: i64, most: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(least..=most)
}

/// Who is measured, in the order of the table's columns.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Engines {
    Ronbun,
    LlamaCppFlash,
    LlamaCpp,
}

const ENGINES: [Engines; 3] = [Engines::Ronbun, Engines::LlamaCppFlash, Engines::LlamaCpp];

/// One measurement of one engine.
#[derive(Serialize)]
struct Measured {
    engine: Engines,
    run: usize,
    /// Tokens per second.
    prefill: f64,
    decode: f64,
    decode_one_branch: f64,
    /// Seconds from the prompt's start to the last token of all branches.
    job: f64,
}

/// What is read and written.
struct Workload {
    prompt: Vec<u32>,
    branches: usize,
    gen_tokens: usize,
}

#[derive(Serialize)]
struct Row {
    what: String,
    ronbun: f64,
    llama_cpp_flash: f64,
    llama_cpp: f64,
    /// How many times as fast as the better of llama.cpp's two ronbun is.
    ratio: f64,
}

#[derive(Serialize)]
struct Report {
    model: String,
    instruction_set: String,
    llama_cpp_features: String,
    threads: usize,
    prompt_tokens: usize,
    branches: usize,
    gen_tokens: usize,
    runs: usize,
    rows: Vec<Row>,
    measured: Vec<Measured>,
}

pub fn run(input: &Input, args: &Args, json: bool) -> Result<String> {
    let progress = Progress::new(false, false);
    let ids = input.ids()?;
    let length = args.prompt_tokens.map_or(ids.len(), |tokens| tokens as usize);
    let work = Workload {
        prompt: ids.into_iter().cycle().take(length).collect(),
        branches: args.branches as usize,
        gen_tokens: args.gen_tokens as usize,
    };
    let mut decoder = input.decoder(&Checkpoint::open(&input.model)?, &progress)?;
    let model = input.peer(&decoder)?;
    let mut measured = Vec::new();
    for run in 0..args.runs as usize {
        for turn in 0..ENGINES.len() {
            // Nobody is always the first.
            let engine = ENGINES[(run + turn) % ENGINES.len()];
            let bar = |label: &str| progress.bar(label, length as u64, Unit::Tokens);
            let [prefill, decode, decode_one_branch, job] = match engine {
                Engines::Ronbun => {
                    // In a thread of its own: llama.cpp sets this one's tiles up once, and ronbun gives tiles up.
                    let (work, bar) = (&work, bar("ronbun"));
                    let done = thread::scope(|scope| scope.spawn(|| ours(decoder, work, &bar)).join());
                    let (back, figures) = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                    decoder = back;
                    figures
                }
                Engines::LlamaCppFlash => theirs(&model, true, &work, &bar("llama.cpp, flash"))?,
                Engines::LlamaCpp => theirs(&model, false, &work, &bar("llama.cpp"))?,
            };
            measured.push(Measured { engine, run, prefill, decode, decode_one_branch, job });
        }
    }
    let report = Report {
        model: name(&input.model),
        instruction_set: Isa::current().to_string(),
        llama_cpp_features: features(),
        threads: pool::threads(),
        prompt_tokens: length,
        branches: work.branches,
        gen_tokens: work.gen_tokens,
        runs: args.runs as usize,
        rows: rows(&measured, work.branches),
        measured,
    };
    if json { in_json(&report) } else { Ok(in_words(&report)) }
}

/// Prefill, decode and decode of one branch in tokens per second; the whole job in seconds. The cache starts empty.
fn ours(decoder: Decoder, work: &Workload, bar: &Bar) -> Result<(Decoder, [f64; 4])> {
    let Workload { prompt, branches, gen_tokens } = work;
    let mut engine = Engine::new(decoder, local::KV_TYPE);
    let all = bench::run(&mut engine, prompt, *branches, *gen_tokens, |done, _| bar.set(done as u64))?;
    // The prompt is held now, so that only the branch is computed.
    let one = bench::run(&mut engine, prompt, 1, *gen_tokens, |_, _| {})?;
    let job = (all.ttft + all.decode.wall).as_secs_f64();
    let figures =
        [all.prefill.tokens_per_second(), all.decode.tokens_per_second(), one.decode.tokens_per_second(), job];
    Ok((engine.decoder, figures))
}

/// The same of llama.cpp. As with ronbun no logits are computed for the prompt, and each branch's first token counts as
/// part of the job, not of decode. The tokens are made up: none are drawn.
fn theirs(model: &Model, flash: bool, work: &Workload, bar: &Bar) -> Result<[f64; 4]> {
    let Workload { prompt, branches, gen_tokens } = work;
    let (branches, gen_tokens) = (*branches, *gen_tokens);
    let tokens = prompt.len() + branches * gen_tokens;
    let mut session = Session::new(model, Setting { tokens, branches, flash, threads: pool::threads() })?;
    let start = Instant::now();
    for (number, ids) in prompt.chunks(ronbun::engine::PREFILL_CHUNK).enumerate() {
        session.read(ids, &[])?;
        bar.set((number * ronbun::engine::PREFILL_CHUNK + ids.len()) as u64);
    }
    let prefill = prompt.len() as f64 / start.elapsed().as_secs_f64();
    session.share(branches);
    let decode = write(&mut session, branches, gen_tokens, model.vocabulary())?;
    let job = start.elapsed().as_secs_f64();
    session.rewind(branches);
    let one = write(&mut session, 1, gen_tokens, model.vocabulary())?;
    Ok([prefill, decode, one, job])
}

/// Tokens per second, the branches' first tokens left out.
fn write(session: &mut Session, branches: usize, gen_tokens: usize, vocabulary: usize) -> Result<f64> {
    let ids = |step: usize| (0..branches).map(move |branch| ((step * 101 + branch * 7 + 11) % vocabulary) as u32);
    session.step(ids(0), 0)?;
    let first = Instant::now();
    for step in 1..gen_tokens {
        session.step(ids(step), step)?;
    }
    Ok((branches * (gen_tokens - 1)) as f64 / first.elapsed().as_secs_f64())
}

/// Of each figure the best of all runs.
fn rows(measured: &[Measured], branches: usize) -> Vec<Row> {
    let row = |what: String, less_is_better: bool, figure: &dyn Fn(&Measured) -> f64| {
        let better = if less_is_better { f64::min } else { f64::max };
        let best = |engine: Engines| {
            measured.iter().filter(|each| each.engine == engine).map(figure).reduce(better).unwrap_or(f64::NAN)
        };
        let [ronbun, llama_cpp_flash, llama_cpp] = ENGINES.map(best);
        let theirs = better(llama_cpp_flash, llama_cpp);
        let ratio = if less_is_better { theirs / ronbun } else { ronbun / theirs };
        Row { what, ronbun, llama_cpp_flash, llama_cpp, ratio }
    };
    let mut rows = vec![row("prefill, tokens/s".to_string(), false, &|each| each.prefill)];
    if branches > 1 {
        rows.push(row(format!("decode, {branches} branches, tokens/s"), false, &|each| each.decode));
    }
    rows.push(row("decode, 1 branch, tokens/s".to_string(), false, &|each| each.decode_one_branch));
    rows.push(row(format!("prompt and {branches} branches, seconds"), true, &|each| each.job));
    rows
}

fn in_words(report: &Report) -> String {
    let Report { model, prompt_tokens, branches, gen_tokens, runs, rows, .. } = report;
    let header = ["", "ronbun", "llama.cpp, flash", "llama.cpp, no flash", "ratio to its better"];
    let cells = |row: &Row| {
        let Row { what, ronbun, llama_cpp_flash, llama_cpp, ratio } = row;
        let figures = [ronbun, llama_cpp_flash, llama_cpp].map(|figure| format!("{figure:.1}"));
        [vec![what.clone()], figures.to_vec(), vec![format!("{ratio:.2}")]].concat()
    };
    let rows: Vec<_> = std::iter::once(header.map(str::to_string).to_vec()).chain(rows.iter().map(cells)).collect();
    let best = if *runs > 1 { format!("; the best of {runs} runs each") } else { String::new() };
    format!(
        "{model}: {prompt_tokens} tokens of prompt, then {branches} branches and 1 of {gen_tokens} tokens{best}\n\
         {} threads; ronbun: {}; llama.cpp: {}\n\n{}",
        report.threads,
        report.instruction_set,
        report.llama_cpp_features,
        table(&rows)
    )
}
