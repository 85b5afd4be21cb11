//! Stores and runs, with a scripted model.

use super::asking::Machine;
use super::consistency::Embedder;
use super::figures::{self, Costs, Subject};
use super::prices::{OwnMachine, Prices};
use super::run::{Experiment, Run, Shard, Step};
use super::store::Store;
use super::types::{Answer, Call, Gold, Measured, Model, Origin, Paper, Question, Sent};
use crate::document::{Block, BlockKind, Document, Part, Selection, Source};
use crate::generator::FinishReason;
use crate::generator::scripted::ScriptedGenerator;
use crate::template::{Ask, Template};
use crate::{Error, Kind};
use serde_json::json;
use std::path::Path;

fn paper(key: &str) -> Paper {
    let block = Block::new(BlockKind::Paragraph, Part::Body, format!("The text of {key}."), vec![]);
    let document =
        Document { blocks: vec![block], sha256: format!("hash of {key}"), ..Document::empty(key, Source::Text) };
    Paper { key: key.into(), document: Some(document) }
}

fn model(id: &str) -> Model {
    Model { id: id.into(), origin: Origin::Local, price: None, destination: None, facts: None }
}

fn template() -> Template {
    Template::builtin("en").expect("built in")
}

fn experiment(template: &Template, ask: Ask, trials: u32) -> Experiment<'_> {
    let (sampling, selection) = (template.sampling.clone(), Selection::default());
    Experiment {
        template,
        ask,
        sampling,
        max_tokens: None,
        selection,
        engine: String::new(),
        trials,
        shard: Shard::WHOLE,
    }
}

fn answer(question: &str, trial: u32, text: &str) -> Answer {
    let (model, paper, call) = ("m".into(), "p".into(), question.into());
    let (question, text, tokens) = (question.into(), text.into(), Some(1));
    Answer { model, paper, trial, question, text, tokens, finish_reason: Some(FinishReason::Stop), call }
}

fn call(question: &str, trial: u32) -> Call {
    let measured = Measured { seconds: 1.5, prompt_tokens: 9, ..Measured::default() };
    Call { model: "m".into(), paper: "p".into(), trial, call: question.into(), measured }
}

/// Runs a local model over two papers in a store at `path`; how many calls were made.
fn run(path: &Path, experiment: &Experiment, generator: &mut ScriptedGenerator) -> Result<usize, Error> {
    let store = Store::open(path, &experiment.settings())?;
    let papers = [paper("p"), paper("q")];
    let run = Run { experiment, store: &store, papers: &papers };
    let before = generator.calls().len();
    run.local(&model("m"), 0, generator, Machine { load_seconds: 2.0, ..Machine::default() }, &mut |_| {})?;
    Ok(generator.calls().len() - before)
}

#[test]
fn answers_are_kept_once_with_their_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let settings = json!({ "language": "en" });
    let store = Store::open(&path, &settings).unwrap();
    assert_eq!(store.keep(Some(&call("a", 1)), &[answer("a", 1, "one"), answer("b", 1, "two")]), Ok(2));
    assert_eq!(store.keep(Some(&call("a", 1)), &[answer("a", 1, "another")]), Ok(0));
    store.put_gold(&[Gold { paper: "p".into(), question: "a".into(), text: "right".into() }]).unwrap();
    drop(store);
    let store = Store::existing(&path).unwrap();
    assert_eq!(store.answers().unwrap(), [answer("a", 1, "one"), answer("b", 1, "two")]);
    assert_eq!(store.calls().unwrap(), [call("a", 1)]);
    assert_eq!(store.gold().unwrap()[0].text, "right");
    assert!(store.answered("m", "p").unwrap().contains(&(1, "b".into())));
    assert!(store.answered("m", "other").unwrap().is_empty());
}

#[test]
fn other_settings_another_paper_and_a_second_process_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let store = Store::open(&path, &json!({ "language": "en", "ask": "each" })).unwrap();
    store.put_paper(&paper("p")).unwrap();
    store.put_paper(&paper("p")).unwrap();
    let mut other = paper("p");
    other.document.as_mut().unwrap().sha256 = "other".into();
    assert!(store.put_paper(&other).unwrap_err().problem.contains("another paper of that name"));
    let busy = Store::existing(&path).err().expect("in use");
    assert!(busy.kind == Kind::Output && busy.problem.contains("another ronbun"), "{busy}");
    drop(store);
    let refused = Store::open(&path, &json!({ "language": "ja", "ask": "each" })).err().expect("other settings");
    assert!(refused.kind == Kind::Usage && refused.problem.ends_with("other settings: language"), "{refused}");
    std::fs::write(&path, "no database, but text of some length, for SQLite reads a header of a hundred bytes first")
        .unwrap();
    assert_eq!(Store::existing(&path).err().expect("damaged").kind, Kind::Input);
    assert_eq!(Store::existing(&folder.path().join("none")).err().expect("missing").kind, Kind::Input);
}

#[test]
fn merging_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let settings = json!({ "ask": "each" });
    let sent = Sent { destination: "d".into(), model: "m".into(), paper: "p".into(), requests: 2, bytes: 10 };
    {
        let shard = Store::open(&path("1"), &settings).unwrap();
        shard.keep(Some(&call("a", 1)), &[answer("a", 1, "one")]).unwrap();
        shard.put_questions(&[Question { id: "a".into(), title: "A".into(), text: String::new() }]).unwrap();
        shard.put_model(&model("m")).unwrap();
        shard.put_paper(&paper("p")).unwrap();
        shard.send(&sent).unwrap();
    }
    let whole = Store::open(&path("all"), &settings).unwrap();
    assert_eq!((whole.merge(&path("1")), whole.merge(&path("1"))), (Ok(1), Ok(0)));
    assert_eq!((whole.answers().unwrap().len(), whole.calls().unwrap().len()), (1, 1));
    assert_eq!(
        (whole.sent().unwrap(), whole.models().unwrap(), whole.papers().unwrap().len()),
        (vec![sent], vec![model("m")], 1)
    );
    let other = Store::open(&path("other"), &json!({ "ask": "together" })).unwrap();
    assert_eq!(other.merge(&path("1")).unwrap_err().kind, Kind::Usage);
}

#[test]
fn each_trial_is_asked_once_with_a_seed_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let template = template();
    let mut generator = ScriptedGenerator::new(100_000).says("together", "one").says("together", "two");
    let two = experiment(&template, Ask::Together, 2);
    assert_eq!(run(&path, &two, &mut generator), Ok(4), "two papers, two trials");
    let seeds: Vec<u64> = generator.calls().iter().map(|call| call.sampling.seed - two.sampling.seed).collect();
    assert_eq!(seeds, [0, 1, 0, 1]);
    assert_eq!(run(&path, &two, &mut generator), Ok(0), "all is answered");
    assert_eq!(run(&path, &experiment(&template, Ask::Together, 3), &mut generator), Ok(2), "one trial more");
    let store = Store::existing(&path).unwrap();
    assert_eq!(store.answers().unwrap().len(), 6);
    let loads: f64 = store.calls().unwrap().iter().map(|call| call.measured.load_seconds).sum();
    assert_eq!(loads, 4.0, "the run that asked nothing loaded nothing that counts");
}

#[test]
fn only_open_questions_are_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let template = template();
    let each = experiment(&template, Ask::Each, 1);
    let script = || template.questions.iter().fold(ScriptedGenerator::new(100_000), |all, q| all.says(&q.id, "Yes."));
    assert_eq!(run(&path, &each, &mut script()), Ok(2));
    let connection = rusqlite::Connection::open(&path).unwrap();
    let gone = "DELETE FROM answers WHERE paper = 'p' AND question IN ('code', 'limits')";
    assert_eq!(connection.execute(gone, []).unwrap(), 2);
    drop(connection);
    let mut generator = script();
    assert_eq!(run(&path, &each, &mut generator), Ok(1));
    let asked: Vec<&str> = generator.calls()[0].questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(asked, ["limits", "code"]);
}

#[test]
fn what_fails_is_told_and_asked_again_and_a_hopeless_model_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let template = template();
    let experiment = experiment(&template, Ask::Together, 5);
    let store = Store::open(&folder.path().join("a.sqlite"), &experiment.settings()).unwrap();
    let papers = [paper("p")];
    let run = Run { experiment: &experiment, store: &store, papers: &papers };
    let ask = |generator: &mut ScriptedGenerator| {
        let mut failed = 0;
        let mut watch = |step: Step| failed += usize::from(matches!(step, Step::Failed { .. }));
        let outcome = run.local(&model("m"), 0, generator, Machine::default(), &mut watch).unwrap();
        assert_eq!(outcome.failed, failed);
        outcome
    };
    let broken = || Error::new(Kind::Unavailable, "m", "is busy");
    let outcome = ask(&mut ScriptedGenerator::new(100_000).fail("together", broken()).says("together", "Yes."));
    assert_eq!((outcome.done, outcome.failed, outcome.given_up), (4, 1, None));
    assert_eq!(store.failures().unwrap()[0].problem, "is busy");
    let outcome = ask(&mut ScriptedGenerator::new(100_000).says("together", "Yes."));
    assert_eq!((outcome.done, store.failures().unwrap().len()), (1, 0));

    let other = Run { papers: &[paper("q")], ..run };
    let mut generator = ScriptedGenerator::new(100_000).fail("together", broken());
    let outcome = other.local(&model("m"), 0, &mut generator, Machine::default(), &mut |_| {}).unwrap();
    assert_eq!((outcome.failed, outcome.given_up), (3, Some(broken())), "three in a row are enough");
    let mut generator = ScriptedGenerator::new(100_000).fail("together", Error::new(Kind::Usage, "m", "no key"));
    assert_eq!(
        other.local(&model("m"), 0, &mut generator, Machine::default(), &mut |_| {}).unwrap().failed,
        1,
        "no key, no use"
    );
}

#[test]
fn servers_are_asked_by_several_and_what_is_sent_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let template = template();
    let experiment = experiment(&template, Ask::Each, 2);
    let store = Store::open(&folder.path().join("a.sqlite"), &experiment.settings()).unwrap();
    let papers = [paper("p"), paper("q")];
    let run = Run { experiment: &experiment, store: &store, papers: &papers };
    let server = Model { origin: Origin::Remote, destination: Some("https://there/v1".into()), ..model("s") };
    let script = || template.questions.iter().fold(ScriptedGenerator::new(100_000), |all, q| all.says(&q.id, "Yes."));
    let workers = || (0..3).map(|_| Box::new(script()) as Box<dyn crate::generator::Generator + Send>).collect();
    let outcome = run.remote(&server, 0, workers(), &mut |_| {}).unwrap();
    let questions = template.questions.len();
    assert_eq!((outcome.done, store.answers().unwrap().len()), (4 * questions, 4 * questions));
    let sent = store.sent().unwrap();
    assert_eq!(
        (sent.len(), sent[0].requests, sent[0].destination.as_str()),
        (2, 2 * questions as u64, "https://there/v1")
    );
    assert!(sent[0].bytes > 2 * 9 * 100, "{}", sent[0].bytes);
    assert_eq!(run.remote(&server, 0, workers(), &mut |_| {}).unwrap().done, 0);
}

#[test]
fn shards_share_the_work_out() {
    let template = template();
    let folder = tempfile::tempdir().unwrap();
    let papers = [paper("p"), paper("q"), paper("r")];
    let mut seen = 0;
    for index in 1..=2 {
        let shard = Shard { index, of: 2 };
        let experiment = Experiment { shard, ..experiment(&template, Ask::Together, 1) };
        let store = Store::open(&folder.path().join(shard.suffix()), &experiment.settings()).unwrap();
        let run = Run { experiment: &experiment, store: &store, papers: &papers };
        for (number, name) in ["a", "b"].iter().enumerate() {
            let mut generator = ScriptedGenerator::new(100_000).says("together", "Yes.");
            run.local(&model(name), number, &mut generator, Machine::default(), &mut |_| {}).unwrap();
        }
        assert_eq!(store.answers().unwrap().len(), 3);
        seen += store.answers().unwrap().len();
    }
    assert_eq!(seen, 6);
    assert_eq!("3/8".parse(), Ok(Shard { index: 3, of: 8 }));
    for wrong in ["0/2", "3/2", "2", "a/b", "/"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
}

/// Knows English; a text points where its number of words says.
struct Words;

impl Embedder for Words {
    fn name(&self) -> String {
        "words".into()
    }

    fn knows(&self, language: Option<&str>) -> bool {
        language == Some("en")
    }

    fn embed(&mut self, texts: &[&str]) -> crate::Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| vec![text.split_whitespace().count() as f32, 12.0]).collect())
    }
}

#[test]
fn consistency_is_of_pairs_of_trials_in_a_known_language() {
    let english = "The authors propose a faster method for the translation of very long texts.";
    let longer = "The authors propose a faster method for the translation of very long texts and of short ones.";
    let japanese = "この論文では、長い文章を翻訳するための新しい手法を提案し、その速さを実験で確かめています。";
    let answers: Vec<Answer> = [("m", [english, english, longer]), ("n", [english, japanese, english])]
        .iter()
        .flat_map(|(model, texts)| {
            let of = |(text, trial): (&&str, u32)| Answer { model: (*model).into(), ..answer("together", trial, text) };
            texts.iter().zip(1..).map(of).collect::<Vec<_>>()
        })
        .collect();
    let prices = Prices::load(None).unwrap();
    let costs = Costs { prices, day: None, usd_jpy: 160.0, machine: OwnMachine::default() };
    let (models, papers) = ([model("m"), model("n")], [Paper { key: "p".into(), document: None }]);
    let subject = Subject {
        models: &models,
        papers: &papers,
        questions: &[],
        answers: &answers,
        calls: &[],
        gold: &[],
        language: Some("en"),
        costs: &costs,
    };
    let found = figures::measure(&subject, Some(&mut Words)).unwrap().values;
    let cosines: Vec<(&str, f64)> = found
        .iter()
        .filter(|value| value.figure == "consistency")
        .map(|value| (value.model.as_str(), (value.value * 1e4).round() / 1e4))
        .collect();
    // (13, 12), (13, 12) and (17, 12): 365 over the lengths 17.6918 and 20.8087.
    assert_eq!(cosines, [("m", 1.0), ("m", 0.9915), ("m", 0.9915)], "of n one trial is in Japanese: not measured");
    assert!(found.iter().all(|value| value.figure != "supported"), "no paper was read");
}
