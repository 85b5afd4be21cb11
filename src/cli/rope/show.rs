//! `ronbun rope show`: the frequencies that positions turn by.

use crate::cli::args::{Positions, Show};
use crate::cli::context::Context;
use crate::cli::{evals, output};
use crate::model::{Checkpoint, Config};
use crate::plot::{self, Axes, Curve};
use crate::rope::{Chosen, Extension, Scaling};
use crate::{Error, Kind, Result, report};
use serde::Serialize;
use std::f64::consts::TAU;

#[derive(Serialize)]
struct Shown {
    schema_version: u32,
    model: String,
    context_length: usize,
    tokens: usize,
    extension: Extension,
    /// Each kind of layer's.
    ropes: Vec<Table>,
}

#[derive(Serialize)]
struct Table {
    layers: String,
    theta: f64,
    scaling: String,
    attention_factor: f64,
    start_tokens: usize,
    pairs: Vec<Pair>,
}

#[derive(Serialize)]
struct Pair {
    pair: usize,
    /// Of the base alone, in radians a token; its wavelength in tokens.
    frequency: f64,
    wavelength: f64,
    /// What it is divided by; absent where the pair stands still.
    factor: Option<f64>,
    effective_wavelength: Option<f64>,
}

pub fn run(context: &Context, asked: Show) -> Result<()> {
    let shown = show(context, &asked.model, asked.tokens, &asked.positions)?;
    if let Some(file) = &asked.plot {
        report::write(file, drawn(&shown).as_bytes())?;
    }
    match asked.json {
        true => output::finish(&output::json("rope", &shown)?),
        false => output::finish(&in_words(&shown)),
    }
}

fn show(context: &Context, model: &str, tokens: Option<usize>, positions: &Positions) -> Result<Shown> {
    let (path, policy) = evals::found(context, model, positions)?;
    let mut config = Checkpoint::open(&path)?.config;
    let context_length = config.context_length;
    let tokens = tokens.unwrap_or(context_length);
    let Chosen { extension, scaling } = evals::choose(&policy, model, &config, tokens)?;
    if let Some(scaling) = scaling {
        config.extend(&scaling).map_err(|problem| Error::new(Kind::Usage, "--rope", problem))?;
    }
    let tokens = tokens.max(policy.least());
    let ropes = (0..config.ropes.len()).map(|number| table(&config, number, tokens)).collect();
    Ok(Shown { schema_version: 1, model: model.to_string(), context_length, tokens, extension, ropes })
}

fn table(config: &Config, number: usize, tokens: usize) -> Table {
    let rope = &config.ropes[number];
    let plan = rope.plan(tokens);
    let plain = Scaling::None.frequencies(rope.theta, rope.rotary_dim, tokens);
    let layers = config.layers.iter().filter(|layer| layer.rope == Some(number)).count();
    let pair = |(pair, (frequency, turned)): (usize, (&f64, &f64))| Pair {
        pair,
        frequency: *frequency,
        wavelength: TAU / frequency,
        factor: (*turned > 0.0).then(|| frequency / turned),
        effective_wavelength: (*turned > 0.0).then(|| TAU / turned),
    };
    Table {
        layers: format!("{layers} of {} layers", config.layers.len()),
        theta: rope.theta,
        attention_factor: plan.attention_factor,
        start_tokens: plan.start_tokens,
        pairs: plain.iter().zip(&plan.inv_freq).enumerate().map(pair).collect(),
        scaling: plan.scaling,
    }
}

fn in_words(shown: &Shown) -> String {
    let Shown { model, context_length, tokens, extension, .. } = shown;
    let mut text = format!("{model}: context of {context_length} tokens, for {tokens}: {}\n", extension.description);
    for Table { layers, theta, scaling, attention_factor, start_tokens, pairs } in &shown.ropes {
        let start = if *start_tokens > 0 { format!(", from token {start_tokens} on") } else { String::new() };
        text.push_str(&format!(
            "\n{layers}: theta {theta}, scaling {scaling}{start}; attention {attention_factor:.6}\n"
        ));
        let header = ["pair", "frequency", "wavelength", "factor", "effective wavelength"];
        let rows = pairs.iter().map(|pair| {
            let or_still =
                |value: Option<f64>, digits| value.map_or("stands still".into(), |v| format!("{v:.digits$}"));
            vec![
                pair.pair.to_string(),
                format!("{:.9}", pair.frequency),
                format!("{:.1}", pair.wavelength),
                or_still(pair.factor, 4),
                or_still(pair.effective_wavelength, 1),
            ]
        });
        text.push_str(&output::table(
            &std::iter::once(header.map(str::to_string).to_vec()).chain(rows).collect::<Vec<_>>(),
        ));
    }
    text
}

/// Factors by pair, of each kind of layer.
fn drawn(shown: &Shown) -> String {
    let curve = |table: &Table| Curve {
        name: table.layers.clone(),
        points: table.pairs.iter().filter_map(|pair| Some((pair.wavelength, pair.factor?))).collect(),
        intervals: Vec::new(),
    };
    let axes = Axes {
        title: format!("{}: {}", shown.model, shown.extension.description),
        x: "wavelength of the base, in tokens".into(),
        y: "divided by".into(),
        log_x: true,
        ..Axes::default()
    };
    plot::curves(&axes, &shown.ropes.iter().map(curve).collect::<Vec<_>>())
}
