//! What there is to judge of a comparison: each answer against the right one where there is one, else against the answers of
//! the other models to the same question in the same trial; and each sentence of an answer against its nearest passage.

use super::{Case, Matter, Side};
use crate::compare::figures::Detail;
use crate::compare::types::{Answer, Gold, Question};
use crate::pipeline;
use std::collections::{BTreeMap, HashMap};

/// A paper, a trial and a question.
type Place<'a> = (&'a str, u32, &'a str);

/// What answers say and what they answer.
pub struct Answers<'a> {
    /// The answers of the models, in the order in which models are told.
    all: BTreeMap<Place<'a>, Vec<(&'a str, String)>>,
    /// By paper and question; of several right answers the one that came first.
    gold: HashMap<(&'a str, &'a str), &'a str>,
    questions: &'a [Question],
}

impl<'a> Answers<'a> {
    pub fn of(answers: &'a [Answer], gold: &'a [Gold], questions: &'a [Question], models: &[String]) -> Answers<'a> {
        let mut all: BTreeMap<Place, Vec<_>> = BTreeMap::new();
        for answer in answers {
            let place = (answer.paper.as_str(), answer.trial, answer.question.as_str());
            all.entry(place).or_default().push((answer.model.as_str(), pipeline::clean(&answer.text, &[])));
        }
        let order = |model: &str| models.iter().position(|known| known == model).unwrap_or(usize::MAX);
        all.values_mut().for_each(|answers| answers.sort_by_key(|(model, _)| order(model)));
        let mut first = HashMap::new();
        for Gold { paper, question, text } in gold {
            first.entry((paper.as_str(), question.as_str())).or_insert(text.as_str());
        }
        Answers { all, gold: first, questions }
    }

    /// Every pair of answers that is to be judged, in both orders.
    pub fn contests(&self, with_paper: bool) -> Vec<Matter> {
        let mut matters = Vec::new();
        for ((paper, trial, question), answers) in &self.all {
            let sides: Vec<Side> = answers.iter().map(|(model, _)| Side::Model(model.to_string())).collect();
            let pairs: Vec<(&Side, &Side)> = match self.gold.contains_key(&(*paper, *question)) {
                true => sides.iter().map(|side| (side, &Side::Gold)).collect(),
                false => {
                    sides.iter().enumerate().flat_map(|(at, a)| sides[at + 1..].iter().map(move |b| (a, b))).collect()
                }
            };
            for (a, b) in pairs.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
                let (first, second) = (a.clone(), b.clone());
                let case = Case::Better { first, second, with_paper };
                let (paper, question) = (paper.to_string(), Some(question.to_string()));
                matters.push(Matter { paper, trial: *trial, question, case });
            }
        }
        matters
    }

    /// What a side answered to a question; none where it did not.
    pub fn text<'s>(&'s self, matter: &'s Matter, side: &Side) -> Option<&'s str> {
        let question = matter.question.as_deref()?;
        match side {
            Side::Gold => self.gold.get(&(matter.paper.as_str(), question)).copied(),
            Side::Model(id) => {
                let answers = self.all.get(&(matter.paper.as_str(), matter.trial, question))?;
                answers.iter().find(|(model, _)| model == id).map(|(_, text)| text.as_str())
            }
        }
    }

    /// As a judge reads it: of answers that were asked for together all questions.
    pub fn question(&self, id: &str) -> String {
        if let Some(question) = self.questions.iter().find(|question| question.id == id) {
            return if question.text.is_empty() { question.title.clone() } else { question.text.clone() };
        }
        let each = self.questions.iter().enumerate();
        let all: Vec<String> = each.map(|(at, q)| format!("{}. {}\n{}", at + 1, q.title, q.text)).collect();
        if all.is_empty() { id.to_string() } else { all.join("\n") }
    }
}

/// Every sentence of the outputs for which a passage was found.
pub fn sentences(details: &[Detail]) -> Vec<Matter> {
    let of_output = |detail: &Detail| {
        let (paper, trial, model) = (detail.paper.clone(), detail.trial, detail.model.clone());
        let matter = move |found: &crate::compare::support::Supported| Matter {
            paper: paper.clone(),
            trial,
            question: None,
            case: Case::Entailed {
                model: model.clone(),
                sentence: found.sentence.clone(),
                passage: found.whole.clone(),
                page: found.page,
            },
        };
        detail.support.iter().map(matter).collect::<Vec<_>>()
    };
    details.iter().flat_map(of_output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(model: &str, question: &str, text: &str) -> Answer {
        let (model, paper, call) = (model.into(), "p".into(), question.into());
        let (question, text) = (question.into(), text.into());
        Answer { model, paper, trial: 1, question, text, tokens: None, finish_reason: None, call }
    }

    fn question(id: &str, text: &str) -> Question {
        Question { id: id.into(), title: format!("Title of {id}"), text: text.into() }
    }

    #[test]
    fn answers_meet_the_right_one_or_each_other_in_both_orders() {
        let all = [("a", "q"), ("b", "q"), ("c", "q"), ("a", "r"), ("b", "r"), ("a", "s")];
        let answers: Vec<Answer> = all.map(|(model, id)| answer(model, id, &format!("{model} says"))).to_vec();
        let gold = [Gold { paper: "p".into(), question: "r".into(), text: "right".into() }];
        let questions = [question("q", "Why?"), question("r", "")];
        let models = ["c", "b", "a"].map(String::from);
        let answers = Answers::of(&answers, &gold, &questions, &models);
        let found = answers.contests(false);
        let told: Vec<String> = found.iter().map(Matter::title).collect();
        let expected = [
            "q: c or b",
            "q: b or c",
            "q: c or a",
            "q: a or c",
            "q: b or a",
            "q: a or b",
            "r: b or the right answer",
            "r: the right answer or b",
            "r: a or the right answer",
            "r: the right answer or a",
        ];
        assert_eq!(told, expected, "the only answer to s meets nobody");
        assert_eq!(answers.text(&found[0], &Side::Model("c".into())), Some("c says"));
        assert_eq!(answers.text(&found[6], &Side::Gold), Some("right"));
        assert_eq!(answers.text(&found[0], &Side::Gold), None);
        assert_eq!((answers.question("q"), answers.question("r")), ("Why?".into(), "Title of r".into()));
        assert_eq!(answers.question("together"), "1. Title of q\nWhy?\n2. Title of r\n");
    }
}
