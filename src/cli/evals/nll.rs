//! `ronbun eval nll`: how well each part of a long text is foretold, under one or several ways to extend the context.

use super::{Difference, Journal, Subject, Way, finish};
use crate::cli::args::Nll;
use crate::cli::context::Context;
use crate::cli::output;
use crate::eval::score::{Estimate, mean, mean_of_few};
use crate::plot::{self, Axes, Curve};
use crate::rope::Extension;
use crate::{Error, Kind, Result};
use serde::Serialize;
use serde_json::json;
use std::fs;

/// Neighbouring tokens are no independent draws; means of so many of them are taken for such.
const BLOCK: usize = 64;

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    model: String,
    texts: Vec<String>,
    tokens: usize,
    /// Tokens whose mean counts as one draw in the intervals.
    block: usize,
    ropes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    rope: String,
    extension: Extension,
    buckets: Vec<Bucket>,
    all: Bucket,
    /// Mean difference of the texts' means from the first way's, in Student's interval: texts are independent draws,
    /// neighbouring blocks of one text are hardly. Only of several texts.
    texts_against_first: Option<Difference>,
}

#[derive(Serialize)]
struct Bucket {
    from: usize,
    to: usize,
    tokens: usize,
    /// Nats a token.
    nll: Estimate,
    /// What the first way gives for the same blocks, taken away.
    against_first: Option<Difference>,
}

/// Means of blocks: where each starts, and how many tokens it has.
type Blocks = Vec<(usize, usize, f64)>;

pub fn run(context: &Context, args: Nll) -> Result<()> {
    let subject = Subject::open(context, &args.extended, &args.results)?;
    let tokens = args.tokens.unwrap_or(subject.checkpoint.config.context_length);
    let texts = texts(&subject, &args, tokens)?;
    let names: Vec<String> = args.text.iter().map(|path| path.display().to_string()).collect();
    let bytes = subject.checkpoint.weight_bytes();
    let settings =
        json!({ "eval": "nll", "model": subject.name, "bytes": bytes, "bucket": args.bucket, "tokens": tokens });
    let mut journal = Journal::open(args.results.out.as_deref(), &settings)?;
    let mut decoder = None;
    let mut measured: Vec<(String, Extension, Vec<Blocks>)> = Vec::new();
    for Way { method, chosen, name: way, .. } in subject.ways(tokens)? {
        let mut blocks = Vec::new();
        for (name, ids) in names.iter().zip(&texts) {
            let sample = format!("{way} {name}, {} tokens", ids.len());
            let measure = || {
                let decoder = subject.loaded(&mut decoder)?;
                decoder.plan_extended(tokens, chosen.scaling.as_ref())?;
                let losses = subject.losses(decoder, &format!("{method}: {name}"), ids)?;
                Ok(blocks_of(&losses, args.bucket))
            };
            blocks.push(journal.measured(&sample, measure)?);
        }
        measured.push((method.to_string(), chosen.extension, blocks));
    }
    let first: Vec<Blocks> = measured.first().map(|(.., blocks)| blocks.clone()).unwrap_or_default();
    let rows = measured.into_iter().enumerate().map(|(number, (rope, extension, blocks))| {
        let against = (number > 0).then_some(first.as_slice());
        let buckets = (0..tokens).step_by(args.bucket);
        let buckets = buckets.filter_map(|from| bucket(&blocks, against, from, (from + args.bucket).min(tokens)));
        let buckets: Vec<Bucket> = buckets.collect();
        let all = bucket(&blocks, against, 0, tokens)?;
        let texts_against_first = against.and_then(|first| by_text(&blocks, first)).map(Difference::of_losses);
        Some(Row { rope, extension, buckets, all, texts_against_first })
    });
    let ropes: Vec<Row> = rows
        .collect::<Option<_>>()
        .ok_or_else(|| Error::new(Kind::Input, "--text", "holds no two tokens").hint("give texts of some pages"))?;
    let report = Report { schema_version: 1, model: subject.name, texts: names, tokens, block: BLOCK, ropes };
    finish(&args.results, "nll", &report, &in_words(&report), &drawn(&report))
}

/// Ids of each text, with the token that begins a text where the model has one.
fn texts(subject: &Subject, args: &Nll, tokens: usize) -> Result<Vec<Vec<u32>>> {
    let tokenizer = subject.text_side()?.tokenizer;
    let ids = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| Error::new(Kind::Input, path.display(), error))?;
        let mut ids = tokenizer.encode_prompt(&tokenizer.defuse(&text))?;
        ids.truncate(tokens);
        Ok(ids)
    };
    args.text.iter().map(ids).collect()
}

/// Blocks end where a bucket does.
fn blocks_of(losses: &[f64], bucket: usize) -> Blocks {
    let mut blocks = Vec::new();
    let mut from = 0;
    while from < losses.len() {
        let to = (from + BLOCK).min((from / bucket + 1) * bucket).min(losses.len());
        blocks.push((from, to - from, losses[from..to].iter().sum::<f64>() / (to - from) as f64));
        from = to;
    }
    blocks
}

fn bucket(texts: &[Blocks], first: Option<&[Blocks]>, from: usize, to: usize) -> Option<Bucket> {
    let inside = |blocks: &[Blocks]| -> Vec<(usize, f64)> {
        let within = blocks.iter().flatten().filter(|(start, ..)| (from..to).contains(start));
        within.map(|(_, tokens, loss)| (*tokens, *loss)).collect()
    };
    let blocks = inside(texts);
    let tokens = blocks.iter().map(|(tokens, _)| tokens).sum();
    let losses: Vec<f64> = blocks.iter().map(|(_, loss)| *loss).collect();
    let differences = first.map(|first| {
        let pairs = losses.iter().zip(inside(first));
        Difference::of_losses(mean(&pairs.map(|(loss, (_, first))| loss - first).collect::<Vec<_>>()))
    });
    let nll = mean(&losses);
    (tokens > 0).then_some(Bucket { from, to, tokens, nll, against_first: differences })
}

/// Each text's difference is one draw.
fn by_text(texts: &[Blocks], first: &[Blocks]) -> Option<Estimate> {
    let mean = |blocks: &Blocks| {
        let tokens: usize = blocks.iter().map(|(_, tokens, _)| tokens).sum();
        blocks.iter().map(|(_, tokens, loss)| *tokens as f64 * loss).sum::<f64>() / tokens as f64
    };
    let differences = texts.iter().zip(first).map(|(text, first)| mean(text) - mean(first));
    mean_of_few(&differences.filter(|difference| difference.is_finite()).collect::<Vec<_>>())
}

fn in_words(report: &Report) -> String {
    let header = ["rope", "positions", "tokens", "NLL", "95 %", "against the first", "95 %", "which is"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for row in &report.ropes {
        for bucket in row.buckets.iter().chain([&row.all]) {
            let Estimate { value, low, high } = bucket.nll;
            let mut cells = vec![
                row.rope.clone(),
                format!("{}-{}", bucket.from, bucket.to - 1),
                bucket.tokens.to_string(),
                format!("{value:.4}"),
                format!("{low:.4} to {high:.4}"),
            ];
            cells.extend(bucket.against_first.iter().flat_map(Difference::cells));
            rows.push(cells);
        }
        if let Some(against) = &row.texts_against_first {
            let mut cells = vec![row.rope.clone(), format!("{} texts", report.texts.len())];
            cells.extend(vec![String::new(); 3]);
            cells.extend(against.cells());
            rows.push(cells);
        }
    }
    output::table(&rows)
}

fn drawn(report: &Report) -> String {
    let curve = |row: &Row| Curve {
        name: row.rope.clone(),
        points: row.buckets.iter().map(|b| ((b.from + b.to) as f64 / 2.0, b.nll.value)).collect(),
        intervals: row.buckets.iter().map(|b| (b.nll.low, b.nll.high)).collect(),
    };
    let axes = Axes {
        title: format!("{}: negative log-likelihood by position", report.model),
        x: "position in tokens".into(),
        y: "nats a token".into(),
        ..Axes::default()
    };
    plot::curves(&axes, &report.ropes.iter().map(curve).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_with_their_bucket_and_differences_are_paired() {
        let losses: Vec<f64> = (0..150).map(f64::from).collect();
        let blocks = blocks_of(&losses, 100);
        assert_eq!(
            blocks.iter().map(|(from, tokens, _)| (*from, *tokens)).collect::<Vec<_>>(),
            [(0, 64), (64, 36), (100, 50)]
        );
        let more = blocks_of(&losses.iter().map(|loss| loss + 0.5).collect::<Vec<_>>(), 100);
        let found = bucket(&[more], Some(&[blocks]), 0, 100).expect("holds tokens");
        let against = found.against_first.expect("a difference").estimate;
        assert!((against.value - 0.5).abs() < 1e-9 && (against.high - 0.5).abs() < 1e-6, "{against:?}");
        assert!(found.nll.high > found.nll.value + 1.0);
    }

    #[test]
    fn each_text_is_one_draw_however_long() {
        let text = |losses: &[f64]| blocks_of(losses, 100);
        let first = [text(&[1.0; 150]), text(&[2.0; 64])];
        let other = [text(&[1.5; 150]), text(&[3.5; 64])];
        let found = by_text(&other, &first).expect("two texts");
        assert!((found.value - 1.0).abs() < 1e-9 && found.low < 0.0, "{found:?}");
        assert_eq!(by_text(&other[..1], &first[..1]), None);
    }
}
