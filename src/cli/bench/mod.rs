//! `ronbun bench`: how fast a model reads and writes here, beside what this machine can do at most.

mod ceilings;
mod gpu;

use super::args::Bench as Args;
use super::context::Context;
use super::watch::extended;
use super::{engine, eval, output};
use crate::device;
use crate::engine::bench::{self, Bench, Measured};
use crate::engine::{Engine, KvType};
use crate::generator::local;
use crate::hub::Hub;
use crate::model::{Checkpoint, Decoder, Stage};
use crate::progress::Unit;
use crate::{Result, pipeline};
use ceilings::{Ceilings, Moments, units};
use gpu::OnGpu;
use indicatif::{DecimalBytes, HumanCount};
use ronbun_kernels::{Isa, ceiling, pool};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// Tokens of a prompt that nobody gave.
const PROMPT_TOKENS: usize = 4096;

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    model: String,
    device: String,
    instruction_set: String,
    threads: usize,
    arithmetic: &'static str,
    load_seconds: f64,
    prompt_tokens: usize,
    /// The model's own, in tokens; where the prompt is longer its positions go on as they are, or as was asked.
    context_length: usize,
    branches: usize,
    gen_tokens: usize,
    prefill_seconds: f64,
    prefill_tokens_per_second: f64,
    ttft_seconds: f64,
    decode_seconds: f64,
    decode_tokens_per_second: f64,
    weight_bytes: u64,
    kv_cache_bytes: u64,
    peak_memory_bytes: Option<u64>,
    /// Of the processor; absent where a GPU computes all layers.
    ceilings: Option<Ceilings>,
    /// Where one computes.
    gpu: Option<OnGpu>,
    prefill: Part,
    decode: Part,
}

/// Rates of a part of the work, and their shares of what the unit that it used gave: of a prompt while it was read, else at
/// most.
#[derive(Serialize)]
struct Part {
    linear_flops: f64,
    /// Absent where a GPU computes: what a stage takes there is known only where it is waited for.
    linear_mfu: Option<f64>,
    linear_unit_ops_per_second: Option<f64>,
    attention_flops: f64,
    attention_mfu: Option<f64>,
    attention_unit_ops_per_second: Option<f64>,
    /// Of the time, all stages and what is between them; on a GPU only with --profile.
    seconds: Vec<(&'static str, f64)>,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    engine::prepare(&args.local)?;
    let hub = context.hub()?;
    let name = args.model.as_deref().unwrap_or("auto");
    let path = eval::locate(context, name)?;
    let start = Instant::now();
    let (mut engine, weight_bytes) = load(&hub, &path, &args)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let prompt = prompt(&args, &path, engine.decoder.config.vocab_size)?;
    let context_length = engine.decoder.config.context_length;
    let longest = prompt.len() + args.gen_tokens;
    let positions = &args.local.positions;
    if positions.context.is_some() || positions.rope.is_some() {
        let policy = engine::policy(positions, None)?;
        let chosen = policy.choose(engine.decoder.config.extendable(), context_length, longest);
        let chosen = chosen.map_err(|refusal| refusal.error(name, longest))?;
        engine.plan_extended(longest, chosen.scaling.as_ref())?;
        if !chosen.extension.is_native() {
            context.progress.line(extended(longest, &chosen.extension));
        }
    } else if longest > context_length {
        let (tokens, own) = (HumanCount(prompt.len() as u64), HumanCount(context_length as u64));
        context.progress.line(format!(
            "{name}: {tokens} tokens are more than its context of {own}; positions go on as they are (speed does not \
             depend on it)"
        ));
    }
    if args.profile {
        engine.decoder.profile.wait_for(&engine.decoder.parts);
    }
    let bar = context.progress.bar("reading", prompt.len() as u64, Unit::Tokens);
    let on_cpu = engine.decoder.parts.iter().any(|part| part.place.gpu().is_none());
    let cpu_alone = !engine.decoder.uses_gpu();
    // All but the prompt's last token, which is read with the branches.
    let of_prompt = units(&engine, prompt.len().saturating_sub(1), args.exact);
    let mut moments = Moments::of(of_prompt);
    let measured = bench::run(&mut engine, &prompt, args.branches, args.gen_tokens, |done, _| {
        if cpu_alone {
            moments.look();
        }
        bar.set(done as u64);
    })?;
    drop(bar);
    let peak_memory_bytes = pipeline::peak_memory();
    let gpu = OnGpu::of(&engine, &measured, args.branches)?;
    let ceilings = on_cpu.then(Ceilings::look);
    let Bench { prefill, ttft, decode } = measured;
    let of_steps = units(&engine, args.branches, args.exact);
    let of_steps = ceilings.as_ref().filter(|_| cpu_alone).map_or([None; 2], |ceilings| ceilings.of(of_steps));
    let waited = args.profile || cpu_alone;
    let report = Report {
        schema_version: 1,
        model: name.to_string(),
        device: device::describe(&engine.decoder.parts),
        instruction_set: Isa::current().to_string(),
        threads: pool::threads(),
        arithmetic: match (on_cpu, args.exact) {
            (false, _) => "bf16",
            (true, true) => "f32",
            (true, false) if of_prompt[0] == ceiling::Unit::Bf16Tiles => "bf16 and int8",
            (true, false) => "int8",
        },
        load_seconds,
        prompt_tokens: prompt.len(),
        context_length,
        branches: args.branches,
        gen_tokens: args.gen_tokens,
        prefill_seconds: prefill.wall.as_secs_f64(),
        prefill_tokens_per_second: prefill.tokens_per_second(),
        ttft_seconds: ttft.as_secs_f64(),
        decode_seconds: decode.wall.as_secs_f64(),
        decode_tokens_per_second: decode.tokens_per_second(),
        weight_bytes,
        kv_cache_bytes: engine.cache_bytes(),
        peak_memory_bytes,
        ceilings,
        prefill: part(&prefill, moments.mean(), waited),
        decode: part(&decode, of_steps, waited),
        gpu,
    };
    match args.json {
        true => output::finish(&output::json("bench", &report)?),
        false => output::finish(&in_words(&report, args.profile)),
    }
}

fn load(hub: &Hub, path: &Path, args: &Args) -> Result<(Engine, u64)> {
    let cache = engine::packed_cache(hub);
    let (checkpoint, weights) = Checkpoint::open_as(path, args.local.weights.quantize, &cache)?;
    let devices = engine::devices(args.local.computing)?;
    let (decoder, bytes) = Decoder::on(&devices, &checkpoint, &weights, (!args.exact).then_some(&cache))?;
    Ok((Engine::new(decoder, if args.exact { KvType::F32 } else { local::KV_TYPE }), bytes))
}

/// The text's tokens, repeated or cut as asked; made up where there is no text.
fn prompt(args: &Args, model: &Path, vocabulary: usize) -> Result<Vec<u32>> {
    let Some(text) = &args.text else {
        let tokens = args.prompt_tokens.unwrap_or(PROMPT_TOKENS);
        return Ok((0..tokens as u64).map(|i| (i * 7919 % vocabulary as u64) as u32).collect());
    };
    let ids = eval::ids(model, text)?;
    let tokens = args.prompt_tokens.unwrap_or(ids.len());
    Ok(ids.into_iter().cycle().take(tokens).collect())
}

/// The rates are those of the units used, by linears and by attention, where there are any; stages are told where each was
/// `waited` for.
fn part(measured: &Measured, [linears, attention]: [Option<f64>; 2], waited: bool) -> Part {
    let share = |flops: f64, stage, rate: Option<f64>| {
        let seconds = measured.seconds(stage);
        rate.map(|rate| if seconds > 0.0 { flops / seconds / rate } else { 0.0 })
    };
    let mut seconds = Vec::new();
    if waited {
        seconds.extend(Stage::ALL.iter().map(|stage| (stage.name(), measured.seconds(*stage))));
        let known: f64 = seconds.iter().map(|(_, seconds)| seconds).sum();
        seconds.push(("other", (measured.wall.as_secs_f64() - known).max(0.0)));
    }
    Part {
        linear_flops: measured.linear_flops,
        linear_mfu: share(measured.linear_flops, Stage::Linears, linears),
        linear_unit_ops_per_second: linears,
        attention_flops: measured.attention_flops,
        attention_mfu: share(measured.attention_flops, Stage::Attention, attention),
        attention_unit_ops_per_second: attention,
        seconds,
    }
}

fn in_words(report: &Report, profile: bool) -> String {
    let Report { branches, gen_tokens, prefill, decode, .. } = report;
    let peak = report.peak_memory_bytes.map(|bytes| format!("{} at most: ", DecimalBytes(bytes))).unwrap_or_default();
    let (weights, cache) = (DecimalBytes(report.weight_bytes), DecimalBytes(report.kv_cache_bytes));
    let mut rows = vec![
        row("model", report.model.clone()),
        row("computes in", format!("{}, {}, {} threads", report.arithmetic, report.device, report.threads)),
        row(
            "prefill",
            format!(
                "{:.1} tokens/s ({} tokens in {:.2} s; first token after {:.2} s)",
                report.prefill_tokens_per_second,
                HumanCount(report.prompt_tokens as u64),
                report.prefill_seconds,
                report.ttft_seconds
            ),
        ),
        row(
            "decode",
            format!(
                "{:.1} tokens/s ({branches} branches of {gen_tokens} tokens in {:.2} s)",
                report.decode_tokens_per_second, report.decode_seconds
            ),
        ),
        row("memory", format!("{peak}weights {weights}, keys and values {cache}")),
    ];
    let of_units = [
        ("linears", prefill.linear_mfu, prefill.linear_unit_ops_per_second),
        ("attention", prefill.attention_mfu, prefill.attention_unit_ops_per_second),
    ];
    let of_units = of_units
        .map(|(what, share, rate)| Some(format!("{what} {:.0} % of the {:.0} Gop/s", 100.0 * share?, rate? / 1e9)));
    if let [Some(linears), Some(attention)] = of_units {
        rows.push(row("prefill MFU", format!("{linears}, {attention} that their units gave meanwhile")));
    }
    if let Some(ceilings) = &report.ceilings {
        let rates = [
            ("int8", ceilings.int8_ops_per_second, "Gop/s"),
            ("in tiles bf16", ceilings.bf16_tile_flops_per_second, "Gop/s"),
            ("int8", ceilings.int8_tile_ops_per_second, "Gop/s"),
            ("f32", ceilings.f32_flops_per_second, "GFLOP/s"),
        ];
        let rates =
            rates.into_iter().filter_map(|(what, rate, per)| Some(format!("{what} {:.0} {per}, ", rate? / 1e9)));
        let memory = ceilings.read_bytes_per_second / 1e9;
        rows.push(row("ceilings", format!("{}reading memory {memory:.1} GB/s", rates.collect::<String>())));
    }
    rows.extend(report.gpu.iter().flat_map(OnGpu::rows));
    if profile {
        rows.push(row("", String::new()));
        rows.push(row("seconds in", format!("{:>8}  {:>8}", "prefill", "decode")));
        for ((stage, prefill), (_, decode)) in prefill.seconds.iter().zip(&decode.seconds) {
            rows.push(row(&format!("  {stage}"), format!("{prefill:>8.2}  {decode:>8.2}")));
        }
    }
    output::table(&rows)
}

fn row(name: &str, text: String) -> Vec<String> {
    vec![name.to_string(), text]
}
