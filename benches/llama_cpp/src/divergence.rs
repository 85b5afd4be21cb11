//! How far both are from f32: ronbun as it answers, and llama.cpp as it does without flash attention.

use crate::peer::{Session, Setting};
use crate::{Input, in_json, name, table};
use ronbun::Result;
use ronbun::engine::KvType;
use ronbun::engine::eval::{self, Divergence};
use ronbun::generator::local;
use ronbun::model::{Checkpoint, Decoder};
use ronbun::progress::{Progress, Unit};
use ronbun_kernels::pool;
use serde::Serialize;
use std::num::NonZeroUsize;

#[derive(clap::Args)]
pub struct Args {
    /// Tokens of the text to read
    #[arg(long, value_name = "N", default_value = "4096")]
    tokens: NonZeroUsize,
    /// Look at every S-th position
    #[arg(long, value_name = "S", default_value = "16")]
    stride: NonZeroUsize,
    /// Tokens of a row
    #[arg(long, value_name = "B", default_value = "1024")]
    bucket: NonZeroUsize,
}

#[derive(Serialize)]
struct Report {
    model: String,
    tokens: usize,
    stride: usize,
    ronbun: Vec<Divergence>,
    llama_cpp: Vec<Divergence>,
}

pub fn run(input: &Input, args: &Args, json: bool) -> Result<String> {
    let progress = Progress::new(false, false);
    let mut ids = input.ids()?;
    ids.truncate(args.tokens.get());
    let checkpoint = Checkpoint::open(&input.model)?;
    let mut exact = Decoder::new(&checkpoint)?;
    let mut fast = input.decoder(&checkpoint, &progress)?;
    exact.plan(ids.len());
    fast.plan(ids.len());
    let model = input.peer(&exact)?;
    let setting = Setting { tokens: ids.len(), branches: 1, flash: false, threads: pool::threads() };
    let mut session = Session::new(&model, setting)?;
    let theirs: eval::Reader = Box::new(|ids, looked| session.read(ids, looked));

    let bar = progress.bar("reading three times", ids.len() as u64, Unit::Tokens);
    let steps = (args.stride.get(), args.bucket.get());
    let others = vec![eval::reader(&fast, local::KV_TYPE), theirs];
    let mut tables =
        eval::compare(eval::reader(&exact, KvType::F32), others, &ids, steps, |done| bar.set(done as u64))?;
    drop(bar);
    let (llama_cpp, ronbun) = (tables.pop().unwrap_or_default(), tables.pop().unwrap_or_default());
    let report = Report { model: name(&input.model), tokens: ids.len(), stride: steps.0, ronbun, llama_cpp };
    if json { in_json(&report) } else { Ok(in_words(&report)) }
}

fn in_words(report: &Report) -> String {
    let header = ["positions", "looked at", "NLL in f32", "", "KL divergence", "NLL ratio", "same likeliest"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    for (ronbun, llama_cpp) in report.ronbun.iter().zip(&report.llama_cpp) {
        for (who, row) in [("ronbun", ronbun), ("llama.cpp", llama_cpp)] {
            let mut cells = vec![
                format!("{}-{}", row.from, row.to - 1),
                row.positions.to_string(),
                format!("{:.4}", row.exact_nll),
                who.to_string(),
                format!("{:.6}", row.divergence),
                format!("{:.5}", row.nll / row.exact_nll),
                format!("{:.1} %", 100.0 * row.agreement),
            ];
            if who == "llama.cpp" {
                // The same as in the line above.
                cells[..3].fill(String::new());
            }
            rows.push(cells);
        }
    }
    format!("{}: against ronbun in f32, {} tokens\n{}", report.model, report.tokens, table(&rows))
}
