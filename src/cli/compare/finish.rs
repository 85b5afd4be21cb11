//! What a comparison's folder holds beside its answers: the report, tables, and all answers as lines.

use super::embed;
use crate::cli::args::{Costs as CostArgs, Findings};
use crate::cli::context::Context;
use crate::compare::consistency::Embedder;
use crate::compare::figures::{self, Costs, Measures, Subject};
use crate::compare::prices::{OwnMachine, Prices};
use crate::compare::published::Published;
use crate::compare::report::Report;
use crate::compare::summary::Summary;
use crate::compare::types::{Answer, Call, Gold, Model, Paper, Question};
use crate::compare::{export, judge, store::Store, support};
use crate::hub::default_config_dir;
use crate::{Result, report};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

/// The published comparison's.
const YEN: f64 = 160.0;

/// What a store holds, to be measured.
pub struct Material {
    models: Vec<Model>,
    papers: Vec<Paper>,
    questions: Vec<Question>,
    answers: Vec<Answer>,
    calls: Vec<Call>,
    gold: Vec<Gold>,
    settings: Value,
}

impl Material {
    pub fn of(store: &Store) -> Result<Material> {
        let answers = store.answers()?;
        Ok(Material {
            models: with_answers(store.models()?, &answers),
            papers: about_which(store.papers()?, &answers),
            questions: store.questions()?,
            calls: store.calls()?,
            gold: store.gold()?,
            settings: store.settings()?,
            answers,
        })
    }

    /// All figures, and the encoder that they were measured with. What it sends away is counted.
    pub fn measure(
        &self,
        context: &Context,
        store: &Store,
        findings: &Findings,
    ) -> Result<(Measures, Option<embed::Chosen>)> {
        let subject = Subject {
            models: &self.models,
            papers: &self.papers,
            questions: &self.questions,
            answers: &self.answers,
            calls: &self.calls,
            gold: &self.gold,
            language: self.settings["language"].as_str(),
            costs: &costs(&findings.costs)?,
        };
        let mut encoder = embed::choose(context, findings.encoder.as_deref())?;
        let measures = figures::measure(&subject, encoder.as_mut().map(|encoder| encoder as &mut dyn Embedder))?;
        if let Some(sent) = encoder.as_ref().and_then(embed::Chosen::sent) {
            store.send(&sent)?;
        }
        Ok((measures, encoder))
    }
}

/// Measures what a store holds, and writes it into `folder`.
pub fn report(context: &Context, store: &Store, folder: &Path, findings: &Findings) -> Result<()> {
    let costs = costs(&findings.costs)?;
    let material = Material::of(store)?;
    let (measures, encoder) = material.measure(context, store, findings)?;
    let Material { models, papers, calls, settings, .. } = material;
    let ids: Vec<String> = models.iter().map(|model| model.id.clone()).collect();
    let keys: Vec<String> = papers.iter().map(|paper| paper.key.clone()).collect();
    let summary = Summary::of(&measures.values, &ids);
    let judgements = store.judgements()?;
    let lines = export::lines(&judgements)?;
    let judged = judge::findings::of(store.judges()?, judgements, &ids, &costs);
    let published = match findings.published {
        true => Some(Published::load()?.beside(&summary, &keys)),
        false => None,
    };
    let report = Report {
        settings,
        models: &models,
        papers: &keys,
        measures: &measures,
        summary: &summary,
        sent: &store.sent()?,
        failures: &store.failures()?,
        costs: &costs,
        embedder: encoder.as_ref().map(Embedder::name),
        judged: &judged,
        notes: &notes(&models, &papers, &calls, encoder.as_ref()),
        published,
    };
    let mut files = vec![
        ("report.md", report.markdown()),
        ("report.json", report.json()?),
        ("means.csv", report.means_csv()?),
        ("pairs.csv", report.pairs_csv()?),
        ("values.csv", report.values_csv()?),
        ("answers.jsonl", export::jsonl(store)?),
    ];
    if !judged.is_empty() {
        files.push(("judged.csv", judge::show::contests_csv(&judged)?));
        files.push(("judgements.jsonl", lines));
    }
    for (name, text) in &files {
        report::write(&folder.join(name), text.as_bytes())?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    context.progress.line(format!("written into {}: {}", folder.display(), names.join(", ")));
    Ok(())
}

/// The list of prices and the rate, from options, the user's folder and what is built in.
pub fn costs(args: &CostArgs) -> Result<Costs> {
    Ok(Costs {
        prices: prices(args)?,
        day: args.prices_of.clone(),
        usd_jpy: args.usd_jpy.unwrap_or(YEN),
        machine: OwnMachine {
            watts: args.watts,
            kwh_price: args.kwh_price,
            hardware_price: args.hardware_price,
            hardware_years: args.hardware_years,
        },
    })
}

fn prices(args: &CostArgs) -> Result<Prices> {
    let own = default_config_dir().join("prices.toml");
    Prices::load(args.prices.as_deref().or(Some(own.as_path()).filter(|own| own.is_file())))
}

fn with_answers(models: Vec<Model>, answers: &[Answer]) -> Vec<Model> {
    let known: HashSet<&str> = answers.iter().map(|answer| answer.model.as_str()).collect();
    models.into_iter().filter(|model| known.contains(model.id.as_str())).collect()
}

fn about_which(papers: Vec<Paper>, answers: &[Answer]) -> Vec<Paper> {
    let known: HashSet<&str> = answers.iter().map(|answer| answer.paper.as_str()).collect();
    papers.into_iter().filter(|paper| known.contains(paper.key.as_str())).collect()
}

/// Why something is not measured.
fn notes(models: &[Model], papers: &[Paper], calls: &[Call], encoder: Option<&embed::Chosen>) -> Vec<String> {
    let mut notes = Vec::new();
    notes.push(match encoder {
        None => "Consistency between trials and support by passages are not measured: there is no encoder here (--encoder \
                 all-minilm-l6-v2 fetches one for English)."
            .to_string(),
        Some(encoder) => format!(
            "Consistency and support are measured by {}; texts in a language that it does not know are not measured. A sentence \
             counts as supported where a passage of the paper is at least {} near to it, which proves nothing.",
            encoder.name(),
            support::NEAR
        ),
    });
    let together = calls.iter().map(|call| call.measured.together).max().unwrap_or(0);
    if together > 1 {
        notes.push(format!(
            "Trials of local models were decoded together, up to {together} at a time: seconds are each one's share of the \
             machine's time, and tokens a second the machine's with so many at work."
        ));
    }
    if models.len() < 2 {
        notes.push("One model alone has nobody to be compared with.".to_string());
    }
    let unread = papers.iter().filter(|paper| paper.document.is_none()).count();
    if unread > 0 {
        notes.push(format!(
            "Of {unread} of {} papers only answers are known, and not their text: what answers say is not held to it.",
            papers.len()
        ));
    }
    notes
}
