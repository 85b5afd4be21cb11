//! Values → what is said: means and deviations of each model and paper, of each model over its papers, and which model has
//! more of a figure than another, where that is more than chance.

use super::catalogue::{Better, FIGURES, Figure};
use super::figures::Value;
use super::statistics::{self, Difference, Estimate, average, deviation};
use serde::Serialize;
use std::collections::BTreeMap;

/// A model's figure for one paper, over its trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    pub figure: &'static str,
    pub model: String,
    pub paper: String,
    pub mean: f64,
    pub deviation: f64,
    pub values: usize,
}

/// A model's figure over its papers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    pub figure: &'static str,
    pub model: String,
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Between the trials of a paper, mean over papers; none where no paper has two.
    pub between_trials: Option<f64>,
}

/// One model against another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    pub figure: &'static str,
    pub a: String,
    pub b: String,
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether it is more than chance, all pairs of this figure together.
    pub stated: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Summary {
    pub cells: Vec<Cell>,
    pub means: Vec<Mean>,
    pub pairs: Vec<Pair>,
}

/// A figure's values by model and paper.
type Table<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<f64>>>;

impl Summary {
    /// `models` gives the order of rows.
    pub fn of(values: &[Value], models: &[String]) -> Summary {
        let mut summary = Summary::default();
        for figure in &FIGURES {
            let table = table(values, figure);
            let known: Vec<&str> =
                models.iter().map(String::as_str).filter(|model| table.contains_key(model)).collect();
            known.iter().for_each(|model| summary.add_model(figure, model, &table[model]));
            summary.compare(figure, &known, &table);
        }
        summary
    }

    fn add_model(&mut self, figure: &Figure, model: &str, papers: &BTreeMap<&str, Vec<f64>>) {
        for (paper, values) in papers {
            self.cells.push(Cell {
                figure: figure.id,
                model: model.to_string(),
                paper: paper.to_string(),
                mean: average(values),
                deviation: deviation(values),
                values: values.len(),
            });
        }
        let means: Vec<f64> = papers.values().map(|values| average(values)).collect();
        let spread: Vec<f64> =
            papers.values().filter(|values| values.len() > 1).map(|values| deviation(values)).collect();
        let between_trials = (!spread.is_empty()).then(|| average(&spread));
        let estimate = statistics::estimate(&means);
        self.means.push(Mean { figure: figure.id, model: model.to_string(), estimate, between_trials });
    }

    /// Each pair of models, on the papers that both have.
    fn compare(&mut self, figure: &Figure, models: &[&str], table: &Table) {
        let mut pairs = Vec::new();
        for (index, a) in models.iter().enumerate() {
            for b in &models[index + 1..] {
                let both =
                    table[a].iter().filter_map(|(paper, of_a)| Some((of_a.clone(), table[b].get(paper)?.clone())));
                let both: Vec<_> = both.collect();
                if !both.is_empty() {
                    let difference = statistics::difference(&both);
                    let (a, b) = (a.to_string(), b.to_string());
                    pairs.push(Pair { figure: figure.id, a, b, difference, stated: false });
                }
            }
        }
        let held = statistics::holm(&pairs.iter().map(|pair| pair.difference.p).collect::<Vec<_>>());
        for (pair, held) in pairs.iter_mut().zip(held) {
            // Two ways of asking the same must agree.
            let clear = pair.difference.estimate.interval.is_none_or(|(low, high)| low > 0.0 || high < 0.0);
            pair.stated = held && clear && figure.better != Better::Neither;
        }
        self.pairs.extend(pairs);
    }

    pub fn means_of(&self, figure: &str) -> Vec<&Mean> {
        self.means.iter().filter(|mean| mean.figure == figure).collect()
    }

    pub fn cell(&self, figure: &str, model: &str, paper: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.figure == figure && cell.model == model && cell.paper == paper)
    }

    /// The better model, the other one and their difference, for each pair that may be stated.
    pub fn stated(&self, figure: &Figure) -> Vec<(&str, &str, &Pair)> {
        let pairs = self.pairs.iter().filter(|pair| pair.figure == figure.id && pair.stated);
        let better_first = |pair: &'_ Pair| {
            let more = pair.difference.estimate.value > 0.0;
            more == (figure.better == Better::More)
        };
        pairs
            .map(|pair| match better_first(pair) {
                true => (pair.a.as_str(), pair.b.as_str(), pair),
                false => (pair.b.as_str(), pair.a.as_str(), pair),
            })
            .collect()
    }

    /// All models from the best to the worst, where each is better than all after it; none where one pair is not told apart.
    pub fn order(&self, figure: &Figure) -> Option<Vec<&str>> {
        let models: Vec<&str> = self.means_of(figure.id).iter().map(|mean| mean.model.as_str()).collect();
        let stated = self.stated(figure);
        let count = models.len();
        if count < 2 || stated.len() != count * (count - 1) / 2 {
            return None;
        }
        let wins = |model: &str| stated.iter().filter(|(better, _, _)| *better == model).count();
        let mut order = models;
        order.sort_by_key(|model| std::cmp::Reverse(wins(model)));
        // In a circle two would have won as often.
        order.windows(2).all(|pair| wins(pair[0]) > wins(pair[1])).then_some(order)
    }
}

/// The values of whole outputs.
fn table<'a>(values: &'a [Value], figure: &Figure) -> Table<'a> {
    let mut table = Table::new();
    for value in values.iter().filter(|value| value.figure == figure.id && value.question.is_none()) {
        table.entry(&value.model).or_default().entry(&value.paper).or_default().push(value.value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::super::statistics::Scope;
    use super::*;

    fn values(figure: &'static str, model: &str, of: impl Fn(u32, u32) -> f64) -> Vec<Value> {
        let value = |paper: u32, trial: u32| Value {
            figure,
            model: model.into(),
            paper: format!("p{paper}"),
            trial: Some(trial),
            question: None,
            value: of(paper, trial),
        };
        (0..8)
            .flat_map(|paper| (0..3).map(move |trial| (paper, trial)))
            .map(|(paper, trial)| value(paper, trial))
            .collect()
    }

    fn summary(values: &[Vec<Value>]) -> Summary {
        let models: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        Summary::of(&values.concat(), &models)
    }

    #[test]
    fn means_are_of_papers_and_deviations_of_trials() {
        let found = summary(&[values("seconds", "a", |paper, trial| f64::from(10 * paper + trial))]);
        let mean = found.means_of("seconds")[0];
        // Papers' means are 1, 11, …, 71; trials 0, 1, 2 deviate by 1.
        assert_eq!((mean.estimate.value, mean.between_trials), (36.0, Some(1.0)));
        let cell = found.cell("seconds", "a", "p2").unwrap();
        assert_eq!((cell.mean, cell.deviation, cell.values), (21.0, 1.0, 3));
        assert_eq!(found.cell("seconds", "a", "p9"), None);
    }

    #[test]
    fn an_order_is_stated_where_all_pairs_are_clear() {
        let clear = summary(&[
            values("rouge_l", "a", |paper, trial| 0.3 + 0.01 * f64::from(paper + trial)),
            values("rouge_l", "b", |paper, trial| 0.9 - 0.01 * f64::from(paper + trial)),
            values("rouge_l", "c", |paper, _| 0.1 + 0.001 * f64::from(paper)),
        ]);
        let figure = catalogue::find("rouge_l").unwrap();
        assert_eq!(clear.order(figure), Some(vec!["b", "a", "c"]));
        assert_eq!(clear.pairs[0].difference.scope, Scope::Papers);
        let noisy = summary(&[
            values("rouge_l", "a", |paper, _| 0.5 + 0.1 * f64::from(paper % 2)),
            values("rouge_l", "b", |paper, _| 0.6 - 0.1 * f64::from(paper % 2)),
            values("rouge_l", "c", |_, _| 0.1),
        ]);
        assert_eq!(noisy.order(figure), None);
        let stated: Vec<(&str, &str)> = noisy.stated(figure).iter().map(|(a, b, _)| (*a, *b)).collect();
        assert_eq!(stated, [("a", "c"), ("b", "c")]);
    }

    #[test]
    fn less_is_better_where_it_is_and_no_order_where_it_is_only_different() {
        let of = |figure| summary(&[values(figure, "a", |_, _| 2.0), values(figure, "b", |_, _| 1.0)]);
        assert_eq!(of("seconds").order(catalogue::find("seconds").unwrap()), Some(vec!["b", "a"]));
        assert_eq!(of("characters").order(catalogue::find("characters").unwrap()), None);
    }
}
