//! The published comparison that this one starts from: eight API models on five papers, July 2024. Figures only; nothing of
//! it was measured here.

use super::catalogue;
use super::language::counts;
use super::report::cell;
use super::summary::Summary;
use crate::{Error, Kind, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

const FILE: &str = include_str!("published_2024_07.json");

/// Model → paper → figure; none where the model failed.
type Figures = BTreeMap<String, BTreeMap<String, Option<f64>>>;

#[derive(Debug, Deserialize)]
pub struct Published {
    pub source: String,
    pub what: String,
    pub usd_jpy: f64,
    pub papers: BTreeMap<String, serde_json::Value>,
    pub notes: Vec<String>,
    cost_usd: Figures,
    characters: Figures,
    consistency: Figures,
    languages: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Published {
    pub fn load() -> Result<Published> {
        serde_json::from_str(FILE).map_err(|error| Error::new(Kind::Internal, "published figures", error))
    }

    /// The figures that both have, by the ids of ours.
    fn figures(&self) -> [(&'static str, &Figures); 3] {
        [("cost_usd", &self.cost_usd), ("characters", &self.characters), ("consistency", &self.consistency)]
    }

    /// The published paper that a paper of a run is, by its arXiv id; versions may differ.
    pub fn paper(&self, key: &str) -> Option<&str> {
        let id = |name: &str| name.split('v').next().unwrap_or_default().to_string();
        self.papers.keys().find(|paper| id(paper) == id(key)).map(String::as_str)
    }

    /// All of it, as Markdown.
    pub fn markdown(&self) -> String {
        let papers: Vec<(&str, &str)> = self.papers.keys().map(|paper| (paper.as_str(), paper.as_str())).collect();
        self.section(&papers, None)
    }

    /// Beside a run: its papers that are published too, its models in rows of their own.
    pub fn beside(&self, summary: &Summary, papers: &[String]) -> String {
        let both: Vec<(&str, &str)> =
            papers.iter().filter_map(|paper| Some((self.paper(paper)?, paper.as_str()))).collect();
        match both.is_empty() {
            true => format!(
                "\n## Published figures\n\nNone of these papers is among those of {}: {}.\n",
                self.source,
                self.papers.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
            false => self.section(&both, Some(summary)),
        }
    }

    /// `papers`: as published, and as the run calls them.
    fn section(&self, papers: &[(&str, &str)], run: Option<&Summary>) -> String {
        let mut text = format!(
            "\n## Published figures\n\nPublished, not measured here. Source: {}. {} {} yen to the dollar.\n",
            self.source, self.what, self.usd_jpy
        );
        for (id, published) in self.figures() {
            let Some(figure) = catalogue::find(id) else { continue };
            let _ = write!(
                text,
                "\n### {}, published{}\n\n| model |",
                figure.title,
                if run.is_some() { " and here" } else { "" }
            );
            papers.iter().for_each(|(paper, _)| text.push_str(&format!(" {paper} |")));
            let _ = write!(text, " from |\n|---|{}---|\n", "--:|".repeat(papers.len()));
            let mut row = |model: &str, values: Vec<Option<f64>>, from: &str| {
                let shown =
                    values.iter().map(|value| value.map_or("–".into(), |value| format!("{value:.*}", figure.digits)));
                let _ = writeln!(text, "| {} | {} | {from} |", cell(model), shown.collect::<Vec<_>>().join(" | "));
            };
            for (model, values) in published {
                row(
                    model,
                    papers.iter().map(|(paper, _)| values.get(*paper).copied().flatten()).collect(),
                    "published",
                );
            }
            for mean in run.iter().flat_map(|run| run.means_of(id)) {
                let here = papers.iter().map(|(_, key)| run?.cell(id, &mean.model, key).map(|cell| cell.mean));
                row(&mean.model, here.collect(), "this run");
            }
        }
        text.push_str("\n### Languages of the answers, published (15 a model)\n\n");
        for (model, languages) in &self.languages {
            let _ = writeln!(text, "- {model}: `{}`", counts(languages));
        }
        text.push('\n');
        self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Value;
    use super::*;

    #[test]
    fn all_of_it_is_there_and_marked() {
        let published = Published::load().unwrap();
        let text = published.markdown();
        assert!(text.contains("Published, not measured here. Source: Shikoan's ML Blog, 2024-07-31."), "{text}");
        assert!(text.contains("| gpt-4o | 0.0990 | 0.0740 | 0.3830 | 0.0850 | 0.1310 | published |"), "{text}");
        assert!(text.contains("| gemini-1.0-pro | 4160.3 | 1850.7 | – | 5633.7 | 4507.0 | published |"), "{text}");
        assert!(text.contains("- claude-3-sonnet: `{'en': 6, 'fr': 6, 'de': 1, 'fi': 1, 'id': 1}`"), "{text}");
    }

    #[test]
    fn a_run_stands_beside_it_on_the_same_papers() {
        let published = Published::load().unwrap();
        assert_eq!(published.paper("1706.03762"), Some("1706.03762v7"));
        assert_eq!(published.paper("1706.03762v1"), Some("1706.03762v7"));
        assert_eq!(published.paper("1706.0376"), None);
        let value = |paper: &str, value| Value {
            figure: "characters",
            model: "mine".into(),
            paper: paper.into(),
            trial: Some(1),
            question: None,
            value,
        };
        let summary = Summary::of(&[value("1706.03762", 500.0), value("other", 9.0)], &["mine".into()]);
        let text = published.beside(&summary, &["1706.03762".into(), "other".into()]);
        assert!(
            text.contains("| mine | 500.0 | this run |") && text.contains("| gpt-4o | 1030.7 | published |"),
            "{text}"
        );
        assert!(!text.contains("0.383"), "other papers are left out: {text}");
        assert!(published.beside(&summary, &["other".into()]).contains("None of these papers"));
    }
}
