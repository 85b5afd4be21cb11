//! `ronbun eval longppl`: the perplexity of the tokens that a long context foretells.

use super::{Difference, Journal, Subject, Way, finish};
use crate::cli::args::{Extended, LongPpl, Results, Weights};
use crate::cli::context::Context;
use crate::cli::output;
use crate::engine::eval;
use crate::eval::longppl::{Thresholds, inside, key_tokens, spans, windows};
use crate::eval::score::{Estimate, mean};
use crate::generator::local::{KV_TYPE, TextSide};
use crate::model::Decoder;
use crate::plot::{self, Axes, Curve};
use crate::progress::Unit;
use crate::rope::{Extension, Method};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::ops::Range;

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    model: String,
    /// Which model chose the tokens, and how its context was extended.
    chooser: String,
    chooser_extension: Extension,
    texts: Vec<String>,
    tokens: usize,
    /// Tokens of a short context.
    window: usize,
    /// Nats that the whole context saves and leaves of a key token.
    saved: f64,
    most: f64,
    ropes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    rope: String,
    extension: Extension,
    tokens: usize,
    key_tokens: usize,
    perplexity: f64,
    /// Of the key tokens; absent where there is none.
    longppl: Option<Estimate>,
    /// Mean difference of the key tokens' losses from the first way's, in nats.
    against_first: Option<Difference>,
}

/// A text as one model's tokens: the ids, and each one's place in the text.
struct Tokens {
    ids: Vec<u32>,
    places: Vec<Range<usize>>,
}

/// Losses under one way: of a text, or of all of them one after the other.
#[derive(Default, Serialize, Deserialize)]
struct Losses {
    tokens: usize,
    total: f64,
    of_key_tokens: Vec<f64>,
}

pub fn run(context: &Context, args: LongPpl) -> Result<()> {
    let subject = Subject::open(context, &args.extended, &args.results)?;
    let name = args.chooser.clone().unwrap_or_else(|| subject.name.clone());
    let auto = Extended { model: name, rope: vec![Method::Auto], weights: Weights::default() };
    let chooser = Subject::open(context, &auto, &Results::default())?;
    let tokens = args.tokens.unwrap_or(subject.checkpoint.config.context_length);
    let (own, choosing) = (subject.text_side()?, chooser.text_side()?);
    let names: Vec<String> = args.text.iter().map(|path| path.display().to_string()).collect();
    let mut texts = Vec::new();
    for path in &args.text {
        let read = fs::read_to_string(path).map_err(|error| Error::new(Kind::Input, path.display(), error))?;
        texts.push(choosing.tokenizer.defuse(&own.tokenizer.defuse(&read)));
    }
    let bytes = [&subject, &chooser].map(|subject| subject.checkpoint.weight_bytes());
    let settings = json!({ "eval": "longppl", "model": subject.name, "chooser": chooser.name, "bytes": bytes,
        "tokens": tokens, "window": args.window, "thresholds": [args.saved, args.most] });
    let mut journal = Journal::open(args.results.out.as_deref(), &settings)?;

    let cut = |text: &str| tokens_of(&own, text, tokens);
    let read: Vec<Tokens> = texts.iter().map(|text| cut(text)).collect::<Result<_>>()?;
    let thresholds = Thresholds { saved: args.saved, most: args.most };
    let mut choice = Choice { thresholds, chooser: &chooser, side: &choosing, window: args.window, decoder: None };
    let (chooser_extension, spans) = choice.spans(&names, &texts, &read, &mut journal)?;
    drop(choice);
    let mut ropes = Vec::new();
    let mut first: Option<Losses> = None;
    let mut decoder = None;
    for Way { method, chosen, name: way, .. } in subject.ways(tokens)? {
        let mut losses = Losses::default();
        for ((name, read), spans) in names.iter().zip(&read).zip(&spans) {
            let sample = format!("{way} {name}");
            let found = journal.measured(&sample, || {
                let decoder = subject.loaded(&mut decoder)?;
                decoder.plan_extended(tokens, chosen.scaling.as_ref())?;
                let of_all = subject.losses(decoder, &format!("{method}: {name}"), &read.ids)?;
                let key = inside(&read.places, spans).into_iter().filter(|token| *token > 0);
                let of_key_tokens = key.map(|token| of_all[token - 1]).collect();
                Ok(Losses { tokens: of_all.len(), total: of_all.iter().sum(), of_key_tokens })
            })?;
            losses.tokens += found.tokens;
            losses.total += found.total;
            losses.of_key_tokens.extend(found.of_key_tokens);
        }
        ropes.push(row(method.to_string(), chosen.extension, &losses, first.as_ref())?);
        first.get_or_insert(losses);
    }
    let Subject { name: model, .. } = subject;
    let (window, chooser) = (args.window, chooser.name);
    let report = Report {
        schema_version: 1,
        model,
        chooser,
        chooser_extension,
        texts: names,
        tokens,
        window,
        saved: args.saved,
        most: args.most,
        ropes,
    };
    finish(&args.results, "longppl", &report, &in_words(&report), &drawn(&report))
}

/// At most so many ids, the token that begins a text among them.
fn tokens_of(side: &TextSide, text: &str, most: usize) -> Result<Tokens> {
    let (more, more_places) = side.tokenizer.encode_with_places(text)?;
    let mut ids: Vec<u32> = side.tokenizer.bos().into_iter().collect();
    let mut places = vec![0..0; ids.len()];
    ids.extend(more);
    places.extend(more_places);
    ids.truncate(most);
    places.truncate(most);
    Ok(Tokens { ids, places })
}

/// Which parts of the texts a long context foretells.
struct Choice<'a> {
    chooser: &'a Subject<'a>,
    side: &'a TextSide,
    window: usize,
    thresholds: Thresholds,
    decoder: Option<Decoder>,
}

impl Choice<'_> {
    /// Of each text; only as far as it is `read`.
    fn spans(
        &mut self,
        names: &[String],
        texts: &[String],
        read: &[Tokens],
        journal: &mut Journal,
    ) -> Result<(Extension, Vec<Vec<Range<usize>>>)> {
        let parts = texts.iter().zip(read).map(|(text, read)| {
            let end = read.places.last().map_or(0, |place| place.end);
            tokens_of(self.side, &text[..text.floor_char_boundary(end)], usize::MAX)
        });
        let parts: Vec<Tokens> = parts.collect::<Result<_>>()?;
        let longest = parts.iter().map(|part| part.ids.len()).max().unwrap_or(0);
        let chosen = self.chooser.choose(&self.chooser.policies[0].1, longest)?;
        let mut found = Vec::new();
        for (name, part) in names.iter().zip(&parts) {
            let sample = format!("key tokens of {name}");
            let key: Vec<usize> = journal.measured(&sample, || {
                let decoder = self.chooser.loaded(&mut self.decoder)?;
                decoder.plan_extended(longest, chosen.scaling.as_ref())?;
                let whole = self.chooser.losses(decoder, &format!("choosing tokens: {name}"), &part.ids)?;
                decoder.plan(self.window + self.window / 4);
                let short = self.short(name, &part.ids)?;
                // The first token has no loss.
                Ok(key_tokens(&short, &whole, self.thresholds).into_iter().map(|token| token + 1).collect())
            })?;
            found.push(spans(&part.places, &key));
        }
        Ok((chosen.extension, found))
    }

    /// Losses of all ids but the first with a short context.
    fn short(&mut self, name: &str, ids: &[u32]) -> Result<Vec<Option<f64>>> {
        let decoder = self.chooser.loaded(&mut self.decoder)?;
        let windows = windows(ids.len(), self.window);
        let all: usize = windows.iter().map(|(read, _)| read.len()).sum();
        let label = format!("short contexts: {name}");
        let bar = self.chooser.context.progress.bar(&label, all as u64, Unit::Tokens);
        let mut losses = vec![None; ids.len().saturating_sub(1)];
        for (read, counted) in windows {
            let wanted = counted.start - read.start..counted.end - read.start;
            let found = eval::nll(decoder, KV_TYPE, &ids[read.clone()], wanted, |_| ())?;
            losses[counted.start - 1..counted.end - 1].iter_mut().zip(found).for_each(|(to, loss)| *to = Some(loss));
            bar.advance(read.len() as u64);
        }
        Ok(losses)
    }
}

fn row(rope: String, extension: Extension, losses: &Losses, first: Option<&Losses>) -> Result<Row> {
    let Losses { tokens, total, of_key_tokens } = losses;
    if *tokens == 0 {
        return Err(Error::new(Kind::Input, "--text", "holds no two tokens").hint("give texts of some pages"));
    }
    let some = !of_key_tokens.is_empty();
    let Estimate { value, low, high } = mean(of_key_tokens);
    let longppl = some.then(|| Estimate { value: value.exp(), low: low.exp(), high: high.exp() });
    let pairs = |first: &Losses| of_key_tokens.iter().zip(&first.of_key_tokens).map(|(a, b)| a - b).collect::<Vec<_>>();
    let against_first = first.filter(|_| some).map(|first| Difference::of_losses(mean(&pairs(first))));
    let (tokens, key_tokens) = (*tokens, of_key_tokens.len());
    Ok(Row { rope, extension, tokens, key_tokens, perplexity: (total / tokens as f64).exp(), longppl, against_first })
}

fn in_words(report: &Report) -> String {
    let header =
        ["rope", "tokens", "key tokens", "PPL", "LongPPL", "95 %", "nats against the first", "95 %", "which is"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for row in &report.ropes {
        let mut cells = vec![row.rope.clone(), row.tokens.to_string(), row.key_tokens.to_string()];
        cells.push(format!("{:.3}", row.perplexity));
        match row.longppl {
            Some(Estimate { value, low, high }) => {
                cells.extend([format!("{value:.3}"), format!("{low:.3} to {high:.3}")]);
            }
            None => cells.extend(["none".to_string(), String::new()]),
        }
        cells.extend(row.against_first.iter().flat_map(Difference::cells));
        rows.push(cells);
    }
    let Report { chooser, chooser_extension, window, .. } = report;
    format!(
        "{}\nkey tokens chosen by {chooser} ({}), short contexts of {window}\n",
        output::table(&rows),
        chooser_extension.description
    )
}

/// The ways side by side.
fn drawn(report: &Report) -> String {
    let known = || report.ropes.iter().enumerate().filter_map(|(x, row)| Some((x as f64, row, row.longppl?)));
    let curve = |(x, row, Estimate { value, low, high }): (f64, &Row, Estimate)| Curve {
        name: format!("{}: {value:.2}", row.rope),
        points: vec![(x, value)],
        intervals: vec![(low, high)],
    };
    let axes = Axes {
        title: format!("{}: LongPPL at {} tokens", report.model, report.tokens),
        x: "way to extend, in the order given".into(),
        y: "perplexity of key tokens".into(),
        ..Axes::default()
    };
    plot::curves(&axes, &known().map(curve).collect::<Vec<_>>())
}
