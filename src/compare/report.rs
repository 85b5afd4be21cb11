//! A comparison's figures as Markdown to read, CSV for tables and JSON for machines.

use super::catalogue::{Better, FIGURES, Figure};
use super::figures::{Costs, Measures, Value as Measurement};
use super::judge::findings::Judged;
use super::language;
use super::statistics::{Difference, ENOUGH_PAPERS, Estimate, LEVEL, Scope};
use super::summary::Summary;
use super::types::{Failure, Model, Origin, Sent};
use crate::{Error, Kind, Result};
use serde_json::{Value, json};
use std::fmt::Write;

pub const SCHEMA_VERSION: u32 = 1;

/// More papers than this are not columns of the Markdown; the CSV has them.
const COLUMNS: usize = 6;

/// What is reported of one comparison.
pub struct Report<'a> {
    pub settings: Value,
    pub models: &'a [Model],
    pub papers: &'a [String],
    pub measures: &'a Measures,
    pub summary: &'a Summary,
    pub sent: &'a [Sent],
    pub failures: &'a [Failure],
    pub costs: &'a Costs,
    /// What consistency and support were measured with.
    pub embedder: Option<String>,
    /// What each judge said.
    pub judged: &'a [Judged],
    /// Why a figure is missing.
    pub notes: &'a [String],
    /// A published comparison to show beside, in Markdown.
    pub published: Option<String>,
}

impl Report<'_> {
    pub fn markdown(&self) -> String {
        let mut text = format!("# Comparison of {} models on {} papers\n", self.models.len(), self.papers.len());
        self.head(&mut text);
        self.sent(&mut text);
        let mut group = "";
        for figure in &FIGURES {
            if self.summary.means_of(figure.id).is_empty() {
                continue;
            }
            if figure.group != group {
                group = figure.group;
                let _ = write!(text, "\n## {group}\n");
                self.introduce(group, &mut text);
            }
            self.figure(self.summary, figure, &mut text);
        }
        self.judged(&mut text);
        if let Some(published) = &self.published {
            text.push_str(published);
        }
        self.failures(&mut text);
        text
    }

    fn head(&self, text: &mut String) {
        let language = self.settings["language"].as_str().unwrap_or("none in particular");
        let asked = self.settings["ask"].as_str().unwrap_or("elsewhere");
        let _ = write!(
            text,
            "\nAnswers in the language asked for: {language}; questions asked: {asked}.\n\n\
             Each figure is the mean over papers of the mean over trials; ± is the deviation between trials, and brackets hold \
             the 95 % interval (bootstrap over papers). A model is called better only where chance would give such a \
             difference less often than {LEVEL}, all pairs of models of a figure together (Holm): over papers by flipping \
             signs, from {ENOUGH_PAPERS} papers on; with fewer by exchanging trials, which speaks of these papers only.\n"
        );
        for note in self.notes {
            let _ = write!(text, "\n> {note}\n");
        }
    }

    /// What left this machine.
    fn sent(&self, text: &mut String) {
        text.push_str("\n## What was sent where\n\n");
        if self.sent.is_empty() {
            let recorded = self.models.iter().any(|model| model.origin == Origin::Recorded);
            let rest =
                if recorded { " Recorded answers were made elsewhere; nothing is known of that here." } else { "" };
            let _ = writeln!(text, "Nothing left this machine.{rest}");
            return;
        }
        text.push_str("| to | model | paper | conversations | bytes of text |\n|---|---|---|--:|--:|\n");
        for Sent { destination, model, paper, requests, bytes } in self.sent {
            let _ =
                writeln!(text, "| {} | {} | {} | {requests} | {bytes} |", cell(destination), cell(model), cell(paper));
        }
        text.push_str("\nEach conversation held the system message, the paper's text and the questions");
        let judges = if self.judged.is_empty() { "" } else { "; what a judge was sent is told below, under its name" };
        let _ = writeln!(text, "{judges}.");
    }

    fn judged(&self, text: &mut String) {
        for judged in self.judged {
            judged.tell(self.summary, self.costs, text);
            for figure in FIGURES.iter().filter(|figure| !judged.summary.means_of(figure.id).is_empty()) {
                self.figure(&judged.summary, figure, text);
            }
        }
    }

    fn introduce(&self, group: &str, text: &mut String) {
        match group {
            "Costs" => self.prices(text),
            "Language" => {
                text.push('\n');
                for (model, counts) in &self.measures.languages {
                    let _ = writeln!(text, "- {}: `{}`", cell(model), language::counts(counts));
                }
            }
            "Consistency" | "Faithfulness" => {
                if let Some(embedder) = &self.embedder {
                    let _ = write!(text, "\nTexts are compared by {}.\n", cell(embedder));
                }
            }
            _ => {}
        }
    }

    fn prices(&self, text: &mut String) {
        let _ = write!(text, "\n{} yen to the dollar.\n", self.costs.usd_jpy);
        let priced = |model: &&Model| model.price.is_some();
        let mut rows = String::new();
        for model in self.models.iter().filter(priced) {
            let name = model.price.as_deref().unwrap_or_default();
            let price = self.costs.prices.find(name, self.costs.day.as_deref());
            let row = match price {
                Some(price) => {
                    let unit = format!("{:?}s", price.unit).to_lowercase();
                    let long = price.long_context.map_or(String::new(), |long| {
                        format!("{} / {} above {} tokens", long.input, long.output, long.above)
                    });
                    let (input, output) = (price.input, price.output);
                    format!("{input} | {output} | {unit} | {long} | {} | {}", price.date, cell(&price.source))
                }
                None => "not in the list of prices | | | | |".into(),
            };
            let _ = writeln!(rows, "| {} | {row} |", cell(&model.id));
        }
        if !rows.is_empty() {
            text.push_str("\n| model | in, USD per million | out | of | long prompts | as of | source |\n");
            text.push_str("|---|--:|--:|---|---|---|---|\n");
            text.push_str(&rows);
        }
    }

    fn figure(&self, summary: &Summary, figure: &Figure, text: &mut String) {
        let better = match figure.better {
            Better::More => ", more is better",
            Better::Less => ", less is better",
            Better::Neither => "",
        };
        let _ = write!(text, "\n### {}{better}\n\n| model |", capital(figure.title));
        let papers = if self.papers.len() <= COLUMNS { self.papers } else { &[] };
        for paper in papers {
            let _ = write!(text, " {} |", cell(paper));
        }
        let _ = write!(text, " mean | 95 % | papers |\n|---|{}--:|---|--:|\n", "--:|".repeat(papers.len()));
        for mean in summary.means_of(figure.id) {
            let _ = write!(text, "| {} |", cell(&mean.model));
            for paper in papers {
                let shown = summary.cell(figure.id, &mean.model, paper).map_or("–".into(), |cell| {
                    let spread =
                        if cell.values > 1 { format!(" ± {}", number(cell.deviation, figure)) } else { "".into() };
                    format!("{}{spread}", number(cell.mean, figure))
                });
                let _ = write!(text, " {shown} |");
            }
            let Estimate { value, interval, papers } = mean.estimate;
            let interval = interval.map_or("–".into(), |(low, high)| range(low, high, figure));
            let _ = writeln!(text, " {} | {interval} | {papers} |", number(value, figure));
        }
        verdict(summary, figure, text);
    }

    fn failures(&self, text: &mut String) {
        if self.failures.is_empty() {
            return;
        }
        text.push_str("\n## Calls that failed\n\nThe same command asks for them again.\n\n");
        for Failure { model, paper, trial, call, problem } in self.failures {
            let _ = writeln!(text, "- {}, {}, trial {trial}, {call}: {}", cell(model), cell(paper), cell(problem));
        }
    }

    pub fn json(&self) -> Result<String> {
        let value = json!({
            "schema_version": SCHEMA_VERSION,
            "ronbun_version": env!("CARGO_PKG_VERSION"),
            "settings": self.settings,
            "usd_jpy": self.costs.usd_jpy,
            "models": self.models,
            "papers": self.papers,
            "figures": &FIGURES[..],
            "means": self.summary.means,
            "cells": self.summary.cells,
            "pairs": self.summary.pairs,
            "languages": self.measures.languages,
            "embedder": self.embedder,
            "outputs": self.measures.details,
            "judged": self.judged,
            "sent": self.sent,
            "failures": self.failures,
            "notes": self.notes,
        });
        let text =
            serde_json::to_string_pretty(&value).map_err(|error| Error::new(Kind::Internal, "report.json", error))?;
        Ok(text + "\n")
    }

    /// What was measured, and by which judge; figures that need none come first.
    fn all(&self) -> Vec<(&str, &[Measurement], &Summary)> {
        let mut all = vec![("", self.measures.values.as_slice(), self.summary)];
        all.extend(self.judged.iter().map(|judged| (judged.judge.id.as_str(), &judged.values[..], &judged.summary)));
        all
    }

    /// Every measurement, a line each.
    pub fn values_csv(&self) -> Result<String> {
        let rows = self.all().into_iter().flat_map(|(judge, values, _)| {
            values.iter().map(move |value| {
                let trial = value.trial.map(|trial| trial.to_string()).unwrap_or_default();
                let question = value.question.clone().unwrap_or_default();
                let (figure, number) = (value.figure.to_string(), value.value.to_string());
                vec![figure, value.model.clone(), value.paper.clone(), trial, question, number, judge.to_string()]
            })
        });
        csv(&["figure", "model", "paper", "trial", "question", "value", "judge"], rows)
    }

    /// Means of models and papers; those over all papers have none.
    pub fn means_csv(&self) -> Result<String> {
        let cells = self.all().into_iter().flat_map(|(judge, _, summary)| {
            summary.cells.iter().map(move |cell| {
                let names = vec![cell.figure.into(), cell.model.clone(), cell.paper.clone()];
                let numbers = [cell.mean.to_string(), cell.deviation.to_string(), String::new(), String::new()];
                [names, numbers.to_vec(), vec![cell.values.to_string(), judge.to_string()]].concat()
            })
        });
        let means = self.all().into_iter().flat_map(|(judge, _, summary)| {
            summary.means.iter().map(move |mean| {
                let Estimate { value, papers, .. } = mean.estimate;
                let [low, high] = bounds(&mean.estimate);
                let spread = mean.between_trials.map(|spread| spread.to_string()).unwrap_or_default();
                let names = vec![mean.figure.into(), mean.model.clone(), String::new()];
                [names, vec![value.to_string(), spread, low, high, papers.to_string(), judge.to_string()]].concat()
            })
        });
        let head = ["figure", "model", "paper", "mean", "deviation", "low", "high", "count", "judge"];
        csv(&head, cells.chain(means))
    }

    pub fn pairs_csv(&self) -> Result<String> {
        let rows = self.all().into_iter().flat_map(|(judge, _, summary)| {
            summary.pairs.iter().map(move |pair| {
                let names = vec![pair.figure.to_string(), pair.a.clone(), pair.b.clone()];
                [names, numbers(&pair.difference).to_vec(), vec![pair.stated.to_string(), judge.to_string()]].concat()
            })
        });
        csv(&["figure", "a", "b", "a_minus_b", "low", "high", "papers", "p", "scope", "stated", "judge"], rows)
    }
}

/// Of an interval; empty where there is none.
fn bounds(estimate: &Estimate) -> [String; 2] {
    estimate.interval.map_or_else(Default::default, |(low, high)| [low.to_string(), high.to_string()])
}

/// A difference, its interval, how many papers, p and scope, as cells of a CSV.
pub fn numbers(difference: &Difference) -> [String; 6] {
    let [low, high] = bounds(&difference.estimate);
    let p = difference.p.map(|p| p.to_string()).unwrap_or_default();
    let scope = if difference.scope == Scope::Papers { "papers" } else { "trials" };
    let Estimate { value, papers, .. } = difference.estimate;
    [value.to_string(), low, high, papers.to_string(), p, scope.into()]
}

/// What may be said about who is better.
fn verdict(summary: &Summary, figure: &Figure, text: &mut String) {
    if figure.better == Better::Neither || summary.means_of(figure.id).len() < 2 {
        return;
    }
    let stated = summary.stated(figure);
    if stated.is_empty() {
        text.push_str("\nNo model is told apart from another by this.\n");
        return;
    }
    if let Some(order) = summary.order(figure) {
        let names: Vec<String> = order.into_iter().map(cell).collect();
        let _ = write!(text, "\nOrder, the best first: {}.\n", names.join(", "));
    }
    text.push('\n');
    for (better, worse, pair) in stated {
        let Estimate { value, interval, papers } = pair.difference.estimate;
        let interval = interval.map_or(String::new(), |(low, high)| {
            let (low, high) = if value < 0.0 { (-high, -low) } else { (low, high) };
            format!(", 95 % {}", range(low, high, figure))
        });
        let p = pair.difference.p.unwrap_or(1.0);
        let scope = match pair.difference.scope {
            Scope::Papers => format!("{papers} papers"),
            Scope::Trials => format!("on these {papers} papers, by their trials"),
        };
        let (better, worse, apart) = (cell(better), cell(worse), number(value.abs(), figure));
        let _ = writeln!(text, "- {better} is better than {worse}: apart {apart}{interval}; p {p:.4}, {scope}.");
    }
}

/// A table as CSV, `head` above it.
pub fn csv(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<String> {
    let fault = |problem: String| Error::new(Kind::Internal, "CSV", problem);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head).map_err(|error| fault(error.to_string()))?;
    for row in rows {
        writer.write_record(&row).map_err(|error| fault(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| fault(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| fault(error.to_string()))
}

/// A text from outside inside a table's cell.
pub fn cell(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

fn number(value: f64, figure: &Figure) -> String {
    format!("{value:.*}", figure.digits)
}

fn range(low: f64, high: f64, figure: &Figure) -> String {
    format!("{} to {}", number(low, figure), number(high, figure))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
