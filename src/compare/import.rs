//! Answers from elsewhere, as JSONL or CSV: in the form of `answers.jsonl` (see [`super::export::Line`]), or with a mapping
//! that names the columns.

use super::export::Line;
use super::store::Store;
use super::types::{Answer, Call, Gold, Model, Origin, Paper, Question};
use crate::{Error, Kind, Result};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Which column is what. Of a model's answers either `answers` (one column that holds an object: model → text), `columns`
/// (a column for each model), or `model` and `text` (a line for each answer) tells.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Mapping {
    pub paper: String,
    /// The question's id; the number of the line where there is none.
    pub question: Option<String>,
    pub question_text: Option<String>,
    /// The right answer, or a list of them.
    pub gold: Option<String>,
    pub answers: Option<String>,
    /// Model → column.
    pub columns: BTreeMap<String, String>,
    pub model: Option<String>,
    pub text: Option<String>,
    pub trial: Option<String>,
    pub tokens: Option<String>,
    /// The tag of the language that was asked for.
    pub language: Option<String>,
    /// Patterns of what is no part of an answer, such as a chat template's marks.
    pub strip: Vec<String>,
    pub strip_gold: Vec<String>,
    /// Model → its name in the list of prices.
    pub prices: BTreeMap<String, String>,
}

impl Mapping {
    /// Errors: `Input` if it cannot be read, `Usage` naming what is wrong in it.
    pub fn read(path: &Path) -> Result<Mapping> {
        let unreadable = |error| Error::new(Kind::Input, path.display(), format!("cannot be read: {error}"));
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Mapping::parse(&path.display().to_string(), &text)
    }

    fn parse(origin: &str, text: &str) -> Result<Mapping> {
        let wrong =
            |problem: String| Error::new(Kind::Usage, origin, problem).hint("docs/compare/scidqa.toml shows the form");
        let mapping: Mapping =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim().replace('\n', ", ")))?;
        let per_line = mapping.model.is_some() && mapping.text.is_some();
        let ways = [mapping.answers.is_some(), !mapping.columns.is_empty(), per_line];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err(wrong("must have one of `answers`, [columns], or `model` with `text`".into()));
        }
        if mapping.paper.is_empty() {
            return Err(wrong("`paper` is missing: the column that names the paper".into()));
        }
        Ok(mapping)
    }
}

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub struct Imported {
    pub answers: Vec<Answer>,
    pub calls: Vec<Call>,
    pub gold: Vec<Gold>,
    pub questions: Vec<Question>,
    /// Model → its name in the list of prices.
    pub prices: BTreeMap<String, String>,
}

impl Imported {
    /// Reads `path`, a `.csv` file as CSV with a line of names, all others as JSONL. Errors: `Input` with the number of the
    /// line that cannot be understood.
    pub fn read(path: &Path, mapping: Option<&Mapping>) -> Result<Imported> {
        let unreadable = |error| Error::new(Kind::Input, path.display(), format!("cannot be read: {error}"));
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let rows = if is_csv { csv_rows(&text) } else { jsonl_rows(&text) };
        let mut imported = Imported::default();
        let columns = mapping.map(Columns::new).transpose()?;
        for (number, row) in rows {
            let taken = row.and_then(|row| match &columns {
                Some(columns) => columns.take(number, &row, &mut imported),
                None => imported.take_line(row),
            });
            taken.map_err(|problem| {
                let hint = "without --mapping lines must be as in answers.jsonl; see docs/compare/README.md";
                Error::new(Kind::Input, path.display(), format!("line {number}: {problem}")).hint(hint)
            })?;
        }
        if imported.answers.is_empty() {
            return Err(Error::new(Kind::Input, path.display(), "holds no answer"));
        }
        if let Some(mapping) = mapping {
            imported.prices = mapping.prices.clone();
        }
        Ok(imported)
    }

    fn take_line(&mut self, row: Map<String, Value>) -> Result<(), String> {
        // CSV has text only.
        let line: Line = serde_json::from_value(Value::Object(numbers(row))).map_err(|error| error.to_string())?;
        let answer = line.answer();
        let question = &answer.question;
        if !self.questions.iter().any(|known| known.id == *question) && question != "together" {
            self.questions.push(Question { id: question.clone(), title: question.clone(), text: String::new() });
        }
        if let Some(measured) = line.measured {
            let Answer { model, paper, trial, call, .. } = answer.clone();
            self.calls.push(Call { model, paper, trial, call, measured });
        }
        self.answers.push(answer);
        Ok(())
    }

    /// Puts it into a store; how many answers were new.
    pub fn keep(&self, store: &Store) -> Result<usize> {
        let known: HashSet<String> = store.models()?.into_iter().map(|model| model.id).collect();
        let mut seen = HashSet::new();
        for answer in &self.answers {
            if seen.insert(("model", &answer.model)) && !known.contains(&answer.model) {
                let price = self.prices.get(&answer.model).unwrap_or(&answer.model).clone();
                let (id, origin, price) = (answer.model.clone(), Origin::Recorded, Some(price));
                store.put_model(&Model { id, origin, price, destination: None, facts: None })?;
            }
            if seen.insert(("paper", &answer.paper)) {
                store.put_paper(&Paper { key: answer.paper.clone(), document: None })?;
            }
        }
        store.put_questions(&self.questions)?;
        store.put_gold(&self.gold)?;
        let new = store.keep(None, &self.answers)?;
        self.calls.iter().try_for_each(|call| store.keep(Some(call), &[]).map(drop))?;
        Ok(new)
    }
}

/// `trial` and `tokens` as numbers, empty cells as nothing.
fn numbers(row: Map<String, Value>) -> Map<String, Value> {
    let filled = row.into_iter().filter(|(key, value)| key == "text" || value.as_str() != Some(""));
    let number = |(key, value): (String, Value)| match (key.as_str(), value.as_str().map(str::parse::<u64>)) {
        ("trial" | "tokens", Some(Ok(number))) => (key, Value::from(number)),
        _ => (key, value),
    };
    filled.map(number).collect()
}

/// A mapping ready for use.
struct Columns<'a> {
    mapping: &'a Mapping,
    strip: Vec<Regex>,
    strip_gold: Vec<Regex>,
}

impl Columns<'_> {
    fn new(mapping: &Mapping) -> Result<Columns<'_>> {
        let compile = |patterns: &[String]| -> Result<Vec<Regex>> {
            let regex = |pattern: &String| {
                Regex::new(pattern).map_err(|error| Error::new(Kind::Usage, pattern, format!("is no pattern: {error}")))
            };
            patterns.iter().map(regex).collect()
        };
        Ok(Columns { mapping, strip: compile(&mapping.strip)?, strip_gold: compile(&mapping.strip_gold)? })
    }

    fn take(&self, number: usize, row: &Map<String, Value>, into: &mut Imported) -> Result<(), String> {
        let mapping = self.mapping;
        let paper = text(row, &mapping.paper)?;
        let question = match &mapping.question {
            Some(column) => text(row, column)?,
            None => number.to_string(),
        };
        if !into.questions.iter().any(|known| known.id == question) {
            let asked =
                mapping.question_text.as_deref().map(|column| text(row, column)).transpose()?.unwrap_or_default();
            into.questions.push(Question { id: question.clone(), title: question.clone(), text: asked });
        }
        if let Some(column) = &mapping.gold {
            let (paper, question) = (paper.clone(), question.clone());
            let texts = texts(row.get(column).ok_or_else(|| missing(row, column))?);
            let gold = texts.map(|text| Gold {
                paper: paper.clone(),
                question: question.clone(),
                text: stripped(&self.strip_gold, text),
            });
            into.gold.extend(gold);
        }
        let trial = self.number(row, &mapping.trial)?.unwrap_or(1);
        let trial = u32::try_from(trial).ok().filter(|trial| *trial > 0).ok_or("a trial is a number from 1 on")?;
        let tokens = self.number(row, &mapping.tokens)?;
        for (model, written) in self.answers(row)? {
            into.answers.push(Answer {
                model,
                paper: paper.clone(),
                trial,
                question: question.clone(),
                text: stripped(&self.strip, &written),
                tokens,
                finish_reason: None,
                call: question.clone(),
            });
        }
        Ok(())
    }

    fn number(&self, row: &Map<String, Value>, column: &Option<String>) -> Result<Option<u64>, String> {
        let Some(column) = column else { return Ok(None) };
        let text = text(row, column)?;
        text.parse().map(Some).map_err(|_| format!("`{column}` is {text:?}, and no number"))
    }

    /// Models and what they wrote; a model without an answer is left out.
    fn answers(&self, row: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
        let mapping = self.mapping;
        if let Some(column) = &mapping.answers {
            let object = row.get(column).and_then(Value::as_object);
            let object = object.ok_or_else(|| format!("`{column}` is no object of models and texts"))?;
            let told = object.iter().filter_map(|(model, text)| Some((model.clone(), text.as_str()?.to_string())));
            return Ok(told.collect());
        }
        if let (Some(model), Some(written)) = (&mapping.model, &mapping.text) {
            return Ok(vec![(text(row, model)?, text(row, written)?)]);
        }
        mapping.columns.iter().map(|(model, column)| Ok((model.clone(), text(row, column)?))).collect()
    }
}

fn stripped(patterns: &[Regex], text: &str) -> String {
    patterns.iter().fold(text.to_string(), |text, pattern| pattern.replace(&text, "").into_owned()).trim().to_string()
}

/// A text, or a list of them.
fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter().filter_map(Value::as_str)),
        value => Box::new(value.as_str().into_iter()),
    }
}

fn text(row: &Map<String, Value>, column: &str) -> Result<String, String> {
    match row.get(column) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(format!("`{column}` is neither text nor a number")),
        None => Err(missing(row, column)),
    }
}

fn missing(row: &Map<String, Value>, column: &str) -> String {
    let known: Vec<&str> = row.keys().map(String::as_str).collect();
    format!("has no `{column}`, but {}", known.join(", "))
}

type Rows = Vec<(usize, Result<Map<String, Value>, String>)>;

fn jsonl_rows(text: &str) -> Rows {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines.map(|(line, number)| (number, serde_json::from_str(line).map_err(|error| error.to_string()))).collect()
}

fn csv_rows(text: &str) -> Rows {
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let names = match reader.headers() {
        Ok(names) => names.clone(),
        Err(error) => return vec![(1, Err(error.to_string()))],
    };
    let row = |record: csv::StringRecord| {
        names.iter().map(str::to_string).zip(record.iter().map(|cell| Value::from(cell.to_string()))).collect()
    };
    reader
        .records()
        .zip(2..)
        .map(|(record, number)| (number, record.map(row).map_err(|error| error.to_string())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(name: &str, text: &str, mapping: &str) -> Result<Imported> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mapping = (!mapping.is_empty()).then(|| Mapping::parse("m.toml", mapping)).transpose()?;
        Imported::read(&path, mapping.as_ref())
    }

    fn answers(imported: &Imported) -> Vec<(&str, &str, u32, &str, &str)> {
        imported
            .answers
            .iter()
            .map(|a| (a.model.as_str(), a.paper.as_str(), a.trial, a.question.as_str(), a.text.as_str()))
            .collect()
    }

    #[test]
    fn an_object_of_answers_is_taken_apart() {
        let line =
            json!({"id": 7, "paper": "p", "q": "Why?", "ref": "A: so", "all": {"a": "<s> yes", "b": "no", "c": null}});
        let mapping = "paper = 'paper'\nquestion = 'id'\nquestion-text = 'q'\ngold = 'ref'\nanswers = 'all'\n\
            strip = ['^<s>']\nstrip-gold = ['^A:']\n[prices]\na = 'gpt-4o'";
        let found = read("x.jsonl", &format!("{line}\n\n"), mapping).unwrap();
        assert_eq!(answers(&found), [("a", "p", 1, "7", "yes"), ("b", "p", 1, "7", "no")]);
        assert_eq!((found.gold[0].text.as_str(), found.questions[0].text.as_str()), ("so", "Why?"));
        assert_eq!(found.prices["a"], "gpt-4o");
    }

    #[test]
    fn csv_has_a_line_for_each_answer_or_a_column_for_each_model() {
        let text = "doc,who,run,said\np,m,2,\"one,\ntwo\"\n";
        let mapping = "paper = 'doc'\nmodel = 'who'\ntext = 'said'\ntrial = 'run'";
        assert_eq!(answers(&read("x.csv", text, mapping).unwrap()), [("m", "p", 2, "2", "one,\ntwo")]);
        let text = "\u{feff}doc,gpt,own\np,x,y\n";
        let mapping = "paper = 'doc'\n[columns]\n'gpt-4o' = 'gpt'\nmine = 'own'";
        assert_eq!(
            answers(&read("x.CSV", text, mapping).unwrap()),
            [("gpt-4o", "p", 1, "2", "x"), ("mine", "p", 1, "2", "y")]
        );
    }

    #[test]
    fn own_lines_need_no_mapping() {
        let text = "{\"model\":\"m\",\"paper\":\"p\",\"trial\":3,\"question\":\"together\",\"text\":\"t\",\"measured\":{\"seconds\":2.5}}";
        let found = read("x.jsonl", text, "").unwrap();
        assert_eq!((answers(&found), found.calls[0].measured.seconds), (vec![("m", "p", 3, "together", "t")], 2.5));
        let found = read("x.csv", "model,paper,trial,question,text,tokens\nm,p,2,a,t,\n", "").unwrap();
        assert_eq!((answers(&found), found.answers[0].tokens), (vec![("m", "p", 2, "a", "t")], None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let mapping = "paper = 'paper'\nanswers = 'all'";
        for (text, part) in [
            ("{\"paper\": \"p\", \"all\": {\"a\": \"x\"}}\n{", "line 2: "),
            ("{\"all\": {}}", "line 1: has no `paper`, but all"),
            ("{\"paper\": [], \"all\": {}}", "`paper` is neither text nor a number"),
            ("{\"paper\": \"p\", \"all\": \"x\"}", "`all` is no object"),
            ("[1]", "line 1: "),
            ("", "holds no answer"),
        ] {
            let error = read("x.jsonl", text, mapping).unwrap_err();
            assert!(error.kind == Kind::Input && error.problem.contains(part), "{error}");
        }
        for (mapping, part) in [
            ("paper = 'p'", "must have one of"),
            ("answers = 'a'", "`paper` is missing"),
            ("paper = 'p'\nanswers = 'a'\nstrip = ['(']", "is no pattern"),
            ("paper = 'p'\nanswer = 'a'", "unknown field"),
        ] {
            let error = read("x.jsonl", "{}", mapping).unwrap_err();
            assert!(error.kind == Kind::Usage && error.problem.contains(part), "{error}");
        }
        assert!(read("x.jsonl", "{\"model\": \"m\"}", "").unwrap_err().problem.contains("missing field"));
    }
}
