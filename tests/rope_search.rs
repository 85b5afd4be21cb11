//! `ronbun rope search`: the real binary over tiny models.

mod machine;

use machine::{Machine, model};
use serde_json::Value;
use std::fs;

/// Two texts of some 1,600 tokens each.
fn machine() -> Machine {
    let machine = Machine::new();
    fs::create_dir(machine.path("texts")).expect("a folder");
    for (name, about) in [("a.txt", "papers"), ("b.md", "letters")] {
        let sentence = |n: usize| format!("In part {n} the {about} say what {} others found. ", n * n);
        fs::write(machine.path("texts").join(name), (0..70).map(sentence).collect::<String>()).expect("a file");
    }
    fs::write(machine.path("texts/notes.pdf"), "no text").expect("a file");
    machine
}

fn search(machine: &Machine, out: &str, more: &[&str]) -> (String, String) {
    let model = model("gguf-llama-f32");
    let mut args = vec!["rope", "search", &model, "--target", "1089", "--text", "texts", "--out", out];
    args.extend(more);
    machine.works(&args)
}

fn factors(machine: &Machine, name: &str) -> Value {
    serde_json::from_str(&machine.read(name)).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).expect("numbers")
}

#[test]
fn a_search_that_was_stopped_ends_as_if_it_had_not_been() {
    let machine = machine();
    let budget = ["--evaluations", "9", "--seed", "3"];
    search(&machine, "whole.json", &budget);
    let journal = machine.read("whole.json.samples.jsonl");
    assert!(journal.lines().count() > 10, "{journal}");
    let half: String = journal.lines().take(9).map(|line| format!("{line}\n")).collect();
    fs::write(machine.path("half.json.samples.jsonl"), half.clone() + "{\"sample\": \"cut").expect("a file");
    search(&machine, "half.json", &budget);
    assert_eq!(machine.read("half.json"), machine.read("whole.json"));
    assert_eq!(machine.read("half.json.samples.jsonl"), journal);
    // What was kept is taken as it is: a candidate that is said to be perfect wins.
    let mut lines: Vec<String> = journal.lines().map(str::to_string).collect();
    let mut marked: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seventh = marked[7]["sample"].as_str().expect("a name").split(": ").nth(1).expect("a candidate").to_string();
    for (line, kept) in lines.iter_mut().zip(&mut marked).skip(1) {
        if kept["sample"].as_str().is_some_and(|name| name.ends_with(&seventh)) {
            kept["result"]["text"] = 0.5.into();
            *line = kept.to_string();
        }
    }
    fs::write(machine.path("told.json.samples.jsonl"), lines.join("\n") + "\n").expect("a file");
    search(&machine, "told.json", &["--evaluations", "8", "--seed", "3"]);
    let told = factors(&machine, "told.json");
    assert_eq!(told["found"]["loss"], 0.5);
    let listed = numbers(&told["long_factors"]).iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    assert!(seventh.starts_with(&listed), "{seventh} and {listed}");
    let model = model("gguf-llama-f32");
    let other = machine.run(&["rope", "search", &model, "--target", "1100", "--text", "texts", "--out", "whole.json"]);
    assert_eq!(other.status.code(), Some(2), "other settings");
}

#[test]
fn what_is_found_is_at_least_as_good_as_what_is_known_and_is_read_as_it_was_judged() {
    let machine = machine();
    let (table, stderr) = search(&machine, "f.json", &["--evaluations", "10", "--texts", "1", "--plot", "f.svg"]);
    assert!(
        table.contains("YaRN") && table.contains("searched") && stderr.contains("texts of 1089 tokens: 1"),
        "{table}"
    );
    assert_eq!(machine.read("f.svg").matches("<polyline").count(), 4);
    let found = factors(&machine, "f.json");
    let loss = found["found"]["loss"].as_f64().expect("a loss");
    for (name, known) in found["found"]["known_ways"].as_object().expect("ways") {
        assert!(known.as_f64().is_some_and(|known| loss <= known), "{name}: {found}");
    }
    assert_eq!(found["found"]["evaluations"], 10);
    let long = numbers(&found["long_factors"]);
    assert!(long.len() == 8 && long.is_sorted() && long[0] >= 1.0, "{long:?}");
    // The same text through the file: as many losses as fill blocks, so that means agree.
    let model = model("gguf-llama-f32");
    let report = machine.json(&[
        "eval",
        "nll",
        &model,
        "--text",
        "texts/a.txt",
        "--tokens",
        "1089",
        "--rope",
        "longrope:f.json",
        "--rope",
        "yarn:1.0634765625",
        "--json",
    ]);
    let nll = |rope: usize| report["ropes"][rope]["all"]["nll"]["value"].as_f64().expect("a number");
    assert!((nll(0) - loss).abs() < 1e-6 * loss, "{} is not {loss}", nll(0));
    let yarn = found["found"]["known_ways"]["YaRN"].as_f64().expect("YaRN");
    // Factors are hundredths there.
    assert!((nll(1) - yarn).abs() < 2e-3 * yarn, "{} is not {yarn}", nll(1));
}

#[test]
fn a_second_step_goes_on_from_a_file_and_short_texts_can_have_factors_of_their_own() {
    let machine = machine();
    search(&machine, "first.json", &["--evaluations", "7", "--texts", "1"]);
    let model = model("gguf-llama-f32");
    let (table, _) = machine.works(&[
        "rope",
        "search",
        &model,
        "--target",
        "1200",
        "--tokens",
        "1100",
        "--text",
        "texts/a.txt",
        "--from",
        "first.json",
        "--evaluations",
        "12",
        "--objective",
        "both",
        "--short",
        "6",
        "--out",
        "second.json",
    ]);
    assert!(table.contains("at 1200"), "{table}");
    let second = factors(&machine, "second.json");
    assert_eq!((&second["target_context"], &second["found"]["from"]), (&1200.into(), &"first.json".into()));
    let journal = machine.read("second.json.samples.jsonl");
    let kept: Vec<Value> = journal.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |stage: &str| {
        let names = kept.iter().filter(|line| line["sample"].as_str().is_some_and(|name| name.starts_with(stage)));
        names.cloned().collect::<Vec<_>>()
    };
    // One of them YaRN: the finals are a tenth of the candidates, two at least.
    assert_eq!((of("long ").len(), of("target ").len(), of("short ").len()), (10, 2, 6));
    assert!(kept.iter().all(|line| line["result"]["text"].is_f64() && line["result"]["answer"].is_f64()));
    // The second step's own seeds are among them: first factors times 1200 / 1089.
    let first = numbers(&factors(&machine, "first.json")["long_factors"]);
    let last = (first[7] * 1200.0 / 1089.0 * 100.0).round() / 100.0;
    let stepped = |line: &Value| line["sample"].as_str().is_some_and(|name| name.contains(&format!(" {last} from")));
    assert!(of("long ").iter().any(stepped), "{last}: {journal}");
    // Short factors were only kept if they beat the model's own positions.
    let loss = |line: &Value| {
        let of = |what: &str| line["result"][what].as_f64().expect("a loss");
        (of("text") + of("answer")) / 2.0
    };
    let short = of("short ");
    let own = loss(&short[0]);
    assert!(short[0]["sample"].as_str().is_some_and(|name| name.contains(": 1 1 1 1 1 1 1 1 from")), "{short:?}");
    let better = short.iter().any(|line| loss(line) < own);
    assert_eq!(second.get("short_factors").is_some(), better, "{second}");
    let shown = machine.json(&["rope", "show", &model, "--rope", "longrope:second.json", "--tokens", "1200", "--json"]);
    let shown =
        numbers(&shown["ropes"][0]["pairs"].as_array().expect("pairs").iter().map(|p| p["factor"].clone()).collect());
    assert!(shown.iter().zip(numbers(&second["long_factors"])).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let machine = machine();
    fs::create_dir(machine.path("empty")).expect("a folder");
    let model = model("gguf-llama-f32");
    let scaled = self::model("gguf-llama3-rope-f16");
    search(&machine, "first.json", &["--evaluations", "1", "--texts", "1"]);
    for (model, args, code, part) in [
        (&model, ["--target", "1024", "--text", "texts"], 2, "not above the model's own 1024"),
        (&model, ["--target", "9k", "--text", "texts"], 3, "9216 needs more"),
        (&model, ["--target", "1100", "--text", "empty"], 3, "no .txt or .md file"),
        (&model, ["--target", "1100", "--text", "none.txt"], 3, "none.txt"),
        (&scaled, ["--target", "9k", "--text", "texts"], 2, "scaled already"),
    ] {
        let failed = machine.run(&[["rope", "search", model].as_slice(), &args].concat());
        assert_eq!(failed.status.code(), Some(code), "{args:?}: {failed:?}");
        assert!(String::from_utf8_lossy(&failed.stderr).contains(part), "{args:?}: {failed:?}");
    }
    for (more, part) in [
        (["--tokens", "1000"], "--tokens: 1000 is not above"),
        (["--tokens", "1100"], "above the target"),
        (["--from", "first.json"], "no step from 1024 to 1089"),
        (["--evaluations", "2000"], "above 1344"),
    ] {
        let args = ["rope", "search", &model, "--target", "1089", "--text", "texts"];
        let failed = machine.run(&[args.as_slice(), &more].concat());
        assert_eq!(failed.status.code(), Some(2), "{more:?}");
        assert!(String::from_utf8_lossy(&failed.stderr).contains(part), "{more:?}: {failed:?}");
    }
}
