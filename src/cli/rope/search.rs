//! `ronbun rope search`: factors that extend a model's context, as a file.

use super::judge::{Judge, Stage};
use super::readings::{Text, long_texts, readings};
use crate::cli::args::{Extended, Objective, Search};
use crate::cli::context::{Context, usage};
use crate::cli::evals::{Journal, Subject, checksum, finish};
use crate::cli::output;
use crate::plot::{self, Axes, Curve};
use crate::progress::Unit;
use crate::rope::search::{Candidate, Ranked, Sizes, Space, search};
use crate::rope::{Factors, Method, extendable};
use crate::{Error, Kind, Result};
use serde_json::{Value, json};
use std::f64::consts::TAU;
use std::path::Path;

/// What is extended, and how far.
struct Goal {
    /// The factors to be, all of them 1.
    model: Factors,
    space: Space,
    seeds: Vec<(String, Candidate)>,
    /// Length of the texts that candidates are judged by.
    tokens: usize,
}

/// The best candidate, and how it and the known ways did.
struct Outcome {
    best: Candidate,
    loss: f64,
    /// What the last comparison was made over.
    tokens: usize,
    /// Names of the known ways and their losses; infinite where one was dropped.
    known: Vec<(String, f64)>,
    evaluations: usize,
}

pub fn run(context: &Context, args: Search) -> Result<()> {
    let asked = Extended { model: args.model.clone(), rope: vec![Method::Native], weights: args.weights };
    let subject = Subject::open(context, &asked, &args.results)?;
    let goal = goal(&subject, &args)?;
    let side = subject.text_side()?;
    let texts = long_texts(&args.text, args.target, args.texts, &side)?;
    context.progress.line(format!("texts of {} tokens: {}", args.target, texts.len()));
    let stage = |name, tokens, dropping| {
        let readings = readings(&texts, tokens, args.objective, args.seed, &side)?;
        Ok::<_, Error>(Stage::new(name, tokens, readings, dropping))
    };
    let mut long = stage("long", goal.tokens, true)?;
    let mut last = if goal.tokens < args.target { Some(stage("target", args.target, false)?) } else { None };
    let mut short = args.short.map(|_| stage("short", goal.model.original_context, true)).transpose()?;
    let finals = if last.is_some() { finalists(args.evaluations) } else { 0 };
    let evaluations = (args.evaluations - finals).max(1);
    let stages = [(Some(&long), evaluations), (last.as_ref(), finals), (short.as_ref(), args.short.unwrap_or(0))];
    let all = stages.iter().map(|(stage, times)| stage.map_or(0, |s| s.tokens_each()) * *times as u64).sum();
    let bar = context.progress.bar("searching", all, Unit::Tokens);
    let journal = Journal::open(args.results.out.as_deref(), &settings(&subject, &args, &goal, &texts))?;
    let mut judge = Judge { subject: &subject, journal, decoder: None, bar, done: 0 };

    let ranked = ranked(&mut judge, &mut long, &goal, evaluations, args.seed)?;
    let mut outcome = outcome(&ranked, &goal.seeds, goal.tokens)?;
    if let Some(stage) = &mut last {
        outcome = decided(&mut judge, stage, &goal, &ranked, finals)?;
    }
    let mut factors = with(&goal.model, &outcome.best);
    if let (Some(stage), Some(evaluations)) = (&mut short, args.short) {
        factors.short_factors = readjusted(&mut judge, stage, &factors, evaluations, args.seed)?;
    }
    drop(judge);
    factors.cost = Some(cost(&outcome, texts.len()));
    factors.found = found(&args, &outcome, &texts);
    finish(&args.results, "rope search", &factors, &in_words(&outcome, &factors), &drawn(&goal, &outcome))
}

fn goal(subject: &Subject, args: &Search) -> Result<Goal> {
    let config = &subject.checkpoint.config;
    let extended = extendable(config.extendable(), config.context_length);
    let (rope, original) =
        extended.map_err(|why| usage(&subject.name, &why, "search on a model whose positions are its first ones"))?;
    let above = |name: &str, tokens: usize| match tokens as f64 > original {
        true => Ok(()),
        false => Err(usage(name, &format!("{tokens} is not above the model's own {original}"), "take a greater one")),
    };
    let tokens = args.tokens.unwrap_or(args.target);
    above("--target", args.target)?;
    above("--tokens", tokens)?;
    if tokens > args.target {
        return Err(usage("--tokens", &format!("{tokens} is above the target {}", args.target), "leave it out"));
    }
    let pairs = rope.rotary_dim / 2;
    let space = Space::beyond(rope.theta, pairs, original, args.target as f64);
    let space = if tokens < args.target { space.judged_by_less() } else { space };
    let mut seeds = space.seeds();
    if let Some(file) = &args.from {
        let bad = |problem: String| usage(&file.display().to_string(), &problem, "give factors of the same model");
        let from = Factors::read(file).map_err(bad)?;
        from.scaling(rope.theta, pairs).map_err(bad)?;
        if from.target_context >= args.target || from.original_context as f64 != original {
            let problem = format!("extends {} to {} tokens", from.original_context, from.target_context);
            return Err(bad(format!("{problem}, which is no step from {original} to {}", args.target)));
        }
        seeds.extend(space.seeds_from(&from.long_factors, from.target_context as f64));
    }
    let model = Factors {
        model: name_of(&subject.name),
        rope_theta: rope.theta,
        original_context: original as usize,
        target_context: args.target,
        worth_beyond: None,
        short_factors: None,
        long_factors: vec![1.0; pairs],
        start_tokens: 0,
        attention_factor: None,
        cost: None,
        found: Value::Null,
    };
    let seeds = seeds.into_iter().map(|(name, seed)| (name, space.held(seed))).collect();
    Ok(Goal { model, space, seeds, tokens })
}

/// An id as it is; of a path its last part.
fn name_of(model: &str) -> String {
    let path = Path::new(model);
    let last = if path.exists() { path.file_name() } else { None };
    last.map_or(model.to_string(), |name| name.to_string_lossy().into_owned())
}

/// All that what is measured depends on. How many candidates there are is no part of it.
fn settings(subject: &Subject, args: &Search, goal: &Goal, texts: &[Text]) -> Value {
    let texts: Vec<Value> = texts
        .iter()
        .map(|text| json!([text.name, checksum(text.ids.iter().flat_map(|id| id.to_le_bytes()))]))
        .collect();
    json!({
        "search": args.target, "model": subject.name, "bytes": subject.checkpoint.weight_bytes(), "tokens": goal.tokens,
        "objective": format!("{:?}", args.objective), "seed": args.seed, "texts": texts,
    })
}

/// One in ten candidates is read at the target's length too, YaRN among them.
fn finalists(evaluations: usize) -> usize {
    (evaluations / 10).clamp(2, 8).min(evaluations)
}

/// The factors of a candidate for long texts.
fn with(model: &Factors, candidate: &Candidate) -> Factors {
    Factors {
        long_factors: candidate.factors(),
        start_tokens: candidate.start_tokens(),
        attention_factor: Some(candidate.attention_factor()),
        ..model.clone()
    }
}

fn judged(judge: &mut Judge, stage: &mut Stage, candidate: &Candidate, factors: &Factors, best: f64) -> Result<f64> {
    let scaling = factors.scaling(factors.rope_theta, factors.long_factors.len());
    let scaling = scaling.map_err(|problem| Error::new(Kind::Internal, candidate, problem))?;
    judge.loss(stage, &candidate.to_string(), &scaling, best)
}

fn ranked(judge: &mut Judge, stage: &mut Stage, goal: &Goal, evaluations: usize, seed: u64) -> Result<Vec<Ranked>> {
    let seeds = goal.seeds.iter().map(|(_, candidate)| candidate.clone()).collect();
    let mut number = 0;
    search(&goal.space, seeds, Sizes::within(evaluations), seed, |candidate, best| {
        number += 1;
        judge.bar.label(&format!("candidate {number} of {evaluations}, best {best:.4} nats"));
        judged(judge, stage, candidate, &with(&goal.model, candidate), best)
    })
}

fn outcome(ranked: &[Ranked], seeds: &[(String, Candidate)], tokens: usize) -> Result<Outcome> {
    let loss_of = |candidate: &Candidate| ranked.iter().find(|(other, _)| other.to_string() == candidate.to_string());
    let known = seeds.iter().filter_map(|(name, seed)| Some((name.clone(), loss_of(seed)?.1))).collect();
    match ranked.first() {
        Some((best, loss)) if loss.is_finite() => {
            Ok(Outcome { best: best.clone(), loss: *loss, tokens, known, evaluations: ranked.len() })
        }
        _ => Err(Error::new(Kind::Model, "rope search", "no candidate has a loss that is a number")
            .hint("`ronbun eval nll` tells how the model reads these texts")),
    }
}

/// The best candidates and YaRN at the target's length.
fn decided(judge: &mut Judge, stage: &mut Stage, goal: &Goal, ranked: &[Ranked], finals: usize) -> Result<Outcome> {
    let yarn = &goal.seeds[0].1;
    let others = ranked.iter().map(|(candidate, _)| candidate).filter(|candidate| *candidate != yarn);
    let mut last: Vec<Ranked> = Vec::new();
    for candidate in std::iter::once(yarn).chain(others.take(finals - 1)) {
        judge.bar.label(&format!("reading {} tokens, {} of {finals}", stage.tokens, last.len() + 1));
        let loss = judged(judge, stage, candidate, &with(&goal.model, candidate), f64::INFINITY)?;
        last.push((candidate.clone(), loss));
    }
    last.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let evaluations = ranked.len() + last.len();
    Ok(Outcome { evaluations, ..outcome(&last, &goal.seeds, stage.tokens)? })
}

/// Small factors for texts that fit the model's own context; none where its own positions are the best.
fn readjusted(
    judge: &mut Judge,
    stage: &mut Stage,
    long: &Factors,
    evaluations: usize,
    seed: u64,
) -> Result<Option<Vec<f64>>> {
    let space = Space::within(long.rope_theta, long.long_factors.len(), long.original_context as f64);
    let seeds = space.seeds().into_iter().map(|(_, candidate)| candidate).collect();
    let ranked = search(&space, seeds, Sizes::within(evaluations), seed, |candidate, best| {
        judge.bar.label(&format!("short factors, best {best:.4} nats"));
        let factors = Factors { short_factors: Some(candidate.factors()), ..long.clone() };
        judged(judge, stage, candidate, &factors, best)
    })?;
    let best = ranked.first().map(|(candidate, _)| candidate.factors());
    Ok(best.filter(|factors| factors.iter().any(|factor| *factor != 1.0)))
}

fn cost(outcome: &Outcome, texts: usize) -> String {
    let Outcome { loss, tokens, known, .. } = outcome;
    let yarn = known.iter().find(|(_, loss)| loss.is_finite());
    let beside = yarn.map_or(String::new(), |(name, loss)| format!(", {name} {loss:.4}"));
    format!(
        "on the {texts} texts of {tokens} tokens that it was searched with: {loss:.4} nats a token{beside}; \
         `ronbun eval nll` measures it on others"
    )
}

fn found(args: &Search, outcome: &Outcome, texts: &[Text]) -> Value {
    let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
    let objective = match args.objective {
        Objective::Perplexity => "perplexity",
        Objective::Needle => "needle",
        Objective::Both => "perplexity and needle",
    };
    let known = outcome.known.iter().filter(|(_, loss)| loss.is_finite());
    let known: serde_json::Map<String, Value> = known.map(|(name, loss)| (name.clone(), json!(loss))).collect();
    json!({
        "by": format!("ronbun {} rope search", env!("CARGO_PKG_VERSION")), "objective": objective, "seed": args.seed,
        "evaluations": outcome.evaluations, "tokens": args.tokens.unwrap_or(args.target), "texts": names,
        "from": args.from.as_ref().map(|file| file.file_name().unwrap_or_default().to_string_lossy()),
        "short_evaluations": args.short, "compared_at": outcome.tokens, "loss": outcome.loss, "known_ways": known,
    })
}

fn in_words(outcome: &Outcome, factors: &Factors) -> String {
    let loss = |loss: f64| if loss.is_finite() { format!("{loss:.4}") } else { "dropped".into() };
    let mut rows = vec![vec!["way".to_string(), format!("nats a token at {}", outcome.tokens)]];
    rows.extend(outcome.known.iter().map(|(name, value)| vec![name.clone(), loss(*value)]));
    rows.push(vec!["searched".into(), loss(outcome.loss)]);
    let list = |factors: &[f64]| factors.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    let mut text = output::table(&rows);
    text.push_str(&format!(
        "\n{} evaluations; factors from token {} on, attention {:.4}:\n{}\n",
        outcome.evaluations,
        factors.start_tokens,
        outcome.best.attention_factor(),
        list(&factors.long_factors)
    ));
    if let Some(short) = &factors.short_factors {
        text.push_str(&format!("up to {} tokens:\n{}\n", factors.original_context, list(short)));
    }
    text
}

/// Factors by wavelength, of the known ways and of what was found.
fn drawn(goal: &Goal, outcome: &Outcome) -> String {
    let Factors { rope_theta, long_factors, model, .. } = &goal.model;
    let wavelength = |pair: usize| TAU * rope_theta.powf(pair as f64 / long_factors.len() as f64);
    let curve = |name: &str, candidate: &Candidate| Curve {
        name: name.to_string(),
        points: candidate.factors().iter().enumerate().map(|(pair, factor)| (wavelength(pair), *factor)).collect(),
        intervals: Vec::new(),
    };
    let mut curves: Vec<Curve> = goal.seeds.iter().take(3).map(|(name, seed)| curve(name, seed)).collect();
    curves.push(curve("searched", &outcome.best));
    let axes = Axes {
        title: format!("{model}: from {} to {} tokens", goal.model.original_context, goal.model.target_context),
        x: "wavelength of the base, in tokens".into(),
        y: "divided by".into(),
        log_x: true,
        ..Axes::default()
    };
    plot::curves(&axes, &curves)
}
