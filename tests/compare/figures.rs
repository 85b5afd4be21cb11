//! What a comparison measures: of servers, of answers from elsewhere, of local models.

use super::common::server::{Server, says};
use super::{Machine, model};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_report_tells_costs_languages_faithfulness_and_what_was_sent() {
    let machine = Machine::new();
    let good = Server::start(|_, _| {
        says(
            "## 1. In one sentence\nThe paper reaches 28.4 BLEU with open code at https://github.com/own/code today.\n\n\
             ## 2. Problem\nThe authors want a faster model for translation, because training takes too long.",
        )
    });
    let bad = Server::start(|_, _| {
        says(
            "Die Arbeit erreicht 99.9 BLEU, siehe https://github.com/made/up, und das ist mehr, als alle früheren Verfahren auf diesen Daten erreicht haben.",
        )
    });
    let own = "[[price]]\nmodel = \"test\"\ndate = \"2026-01-01\"\nsource = \"a test\"\nunit = \"token\"\ninput = 1000.0\n\
        output = 0.0\n";
    machine.file("prices.toml", own);
    let models = format!("{},{}", model(&good), model(&bad));
    let args = ["compare", "one.md", "--models", &models, "--trials", "2", "--lang", "en", "--out", "cmp"];
    machine.works(&[&args[..], &["--prices", "prices.toml", "--usd-jpy", "100"]].concat());
    let report = fs::read_to_string(machine.path("cmp/report.md")).expect("a report");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(machine.path("cmp/report.json")).expect("JSON")).expect("JSON");
    let mean = |figure: &str, server: &Server| {
        let name = model(server);
        let means = json["means"].as_array().expect("means");
        let found = means.iter().find(|mean| mean["figure"] == figure && mean["model"] == name.as_str());
        found.and_then(|mean| mean["value"].as_f64())
    };
    // 1,200 tokens at 1,000 dollars a million.
    assert_eq!((mean("cost_usd", &good), mean("cost_jpy", &good)), (Some(1.2), Some(120.0)));
    assert_eq!((mean("language", &good), mean("language", &bad)), (Some(1.0), Some(0.0)));
    assert_eq!((mean("invented_links", &good), mean("invented_links", &bad)), (Some(0.0), Some(1.0)));
    assert_eq!((mean("invented_numbers", &good), mean("invented_numbers", &bad)), (Some(0.0), Some(1.0)));
    assert!((mean("answered", &good).expect("measured") - 2.0 / 9.0).abs() < 1e-9);
    assert_eq!(mean("consistency", &good), None, "without an encoder nothing is said of it");
    assert!(report.contains("'en': 2") && report.contains("'de': 2"), "{report}");
    assert!(report.contains(&format!("| {} | {} | one | 2 |", good.address(), model(&good))), "{report}");
    machine.works(&["compare", "report", "cmp", "--prices", "prices.toml", "--usd-jpy", "200"]);
    let again = fs::read_to_string(machine.path("cmp/means.csv")).expect("means");
    assert!(again.contains("cost_jpy") && again.contains(",240,"), "{again}");
    assert_eq!(good.asked().len(), 2, "a report asks nothing");
    machine.holds_no_key("cmp");
}

#[test]
fn answers_from_elsewhere_join_a_comparison() {
    let machine = Machine::new();
    let server = Server::start(|_, _| says("Ours says that the model reaches 28.4 BLEU."));
    machine.works(&["compare", "one.md", "--models", &model(&server), "--trials", "1", "--lang", "en", "--out", "cmp"]);
    machine.file(
        "theirs.jsonl",
        "{\"model\": \"theirs\", \"paper\": \"one\", \"question\": \"together\", \"text\": \"It says 77.7 BLEU.\"}\n",
    );
    machine.works(&["compare", "import", "theirs.jsonl", "--out", "cmp"]);
    let report = fs::read_to_string(machine.path("cmp/report.md")).expect("a report");
    assert!(report.contains("# Comparison of 2 models on 1 papers"), "{report}");
    assert!(
        report.contains("### Numbers that the paper does not have") && report.contains("| theirs | 1.00"),
        "{report}"
    );
    let exported = fs::read_to_string(machine.path("cmp/answers.jsonl")).expect("answers");
    machine.file("all.jsonl", &exported);
    machine.works(&["compare", "import", "all.jsonl", "--out", "copy"]);
    assert_eq!(fs::read_to_string(machine.path("copy/answers.jsonl")).expect("answers"), exported);
    assert!(machine.works(&["compare", "import", "all.jsonl", "--out", "copy"]).contains("2 were here already"));
    machine.file("bad.jsonl", "{\"model\": 1}\n");
    machine.fails(&["compare", "import", "bad.jsonl", "--out", "copy"], 3, "bad.jsonl: line 1: ");
    machine.fails(&["compare", "report", "nowhere"], 3, "there is no comparison here");
}

/// The sets of measurements, where they are.
fn sets() -> Option<PathBuf> {
    let shared = std::env::var_os("RONBUN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let file = shared.join("sets/scidqa_answers.jsonl");
    if !file.is_file() {
        eprintln!("skipped: no {}", file.display());
        return None;
    }
    Some(file)
}

#[test]
fn three_models_are_held_to_the_authors_answers_on_sixty_papers() {
    let Some(file) = sets() else { return };
    let machine = Machine::new();
    let mapping = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compare/scidqa.toml");
    let file = file.canonicalize().expect("a file").display().to_string();
    machine.works(&["compare", "import", &file, "--mapping", mapping, "--out", "cmp"]);
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(machine.path("cmp/report.json")).expect("JSON")).expect("JSON");
    assert_eq!(machine.lines("cmp").len(), 3 * 458);
    let f1: Vec<&serde_json::Value> =
        json["means"].as_array().expect("means").iter().filter(|mean| mean["figure"] == "token_f1").collect();
    assert_eq!(f1.len(), 3);
    for mean in &f1 {
        let (value, low, high) = (&mean["value"], &mean["interval"][0], &mean["interval"][1]);
        let [value, low, high] = [value, low, high].map(|number| number.as_f64().expect("a number"));
        assert!(mean["papers"] == 60 && low < value && value < high && high - low < 0.1, "{mean}");
    }
    let stated = |a: &str, b: &str| {
        let pairs = json["pairs"].as_array().expect("pairs").iter();
        let mut pair = pairs.filter(|pair| pair["figure"] == "token_f1" && pair["a"] == a && pair["b"] == b);
        pair.next().expect("a pair")["stated"] == true
    };
    assert!(stated("gpt-4o", "mistral-7b-instruct") && stated("gpt-4o-mini", "mistral-7b-instruct"));
    assert!(!stated("gpt-4o-mini", "gpt-4o"), "0.0002 apart, which the papers do not carry");
}

#[test]
fn published_figures_are_shown_as_such() {
    let machine = Machine::new();
    assert!(
        machine.works(&["compare", "published"]).contains("Published, not measured here. Source: Shikoan's ML Blog")
    );
    let prices = machine.works(&["compare", "prices", "--prices-of", "2024-07-31"]);
    assert!(prices.contains("gpt-4o ") && prices.contains("1.25 / 3.75") || prices.contains("2.5 / 7.5 above 128000"));
    fs::copy(machine.path("one.md"), machine.path("1706.03762.md")).expect("a copy");
    let server = Server::start(|_, _| says("Short."));
    let model = model(&server);
    machine.works(&["compare", "1706.03762.md", "--models", &model, "--trials", "1", "--out", "cmp", "--published"]);
    let report = fs::read_to_string(machine.path("cmp/report.md")).expect("a report");
    assert!(
        report.contains(&format!("| {model} | 6.0 | this run |")) && report.contains("| 1030.7 | published |"),
        "{report}"
    );
}

#[test]
fn local_models_are_asked_in_turn_and_cost_energy() {
    let machine = Machine::new();
    let fixture = |name: &str| format!("{}/tests/fixtures/models/{name}", env!("CARGO_MANIFEST_DIR"));
    let models = format!("{},{}", fixture("qwen2-tied-bf16"), fixture("llama-tied-f32"));
    let args = ["compare", "one.md", "--models", &models, "--trials", "2", "--max-tokens", "4", "--out", "cmp"];
    let args = [&args[..], &["--lang", "en", "--offline", "--watts", "3600", "--kwh-price", "1000"]].concat();
    machine.works(&args);
    let lines = machine.lines("cmp");
    assert_eq!(lines.len(), 4);
    // 3.6 kW at 1,000 dollars for a kWh is a dollar a second.
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(machine.path("cmp/report.json")).expect("JSON")).expect("JSON");
    let value = |figure: &str, model: &str| {
        let cells = json["cells"].as_array().expect("cells");
        let found = cells.iter().find(|cell| cell["figure"] == figure && cell["model"] == model);
        found.expect("measured")["mean"].as_f64().expect("a number")
    };
    for model in models.split(',') {
        // Where a meter can be read, it is what counts.
        if !Path::new("/sys/class/powercap/intel-rapl:0/energy_uj").exists() {
            assert!((value("cost_usd", model) - value("seconds", model)).abs() < 1e-9);
        }
        assert!(value("tokens", model) <= 4.0 && value("prompt_tokens", model) > 100.0);
    }
    assert!(
        fs::read_to_string(machine.path("cmp/report.md")).expect("a report").contains("Nothing left this machine.")
    );
    assert!(machine.works(&args).contains("all is answered"));
    let other = [&args[..], &["--rope", "native"]].concat();
    machine.fails(&other, 2, "with other settings: engine");
}

#[test]
fn trials_of_a_local_model_are_decoded_together_and_say_the_same() {
    let machine = Machine::new();
    let model = format!("{}/tests/fixtures/models/llama-tied-f32", env!("CARGO_MANIFEST_DIR"));
    let run = |trials: &str, out: &str| {
        let args = ["compare", "one.md", "--models", &model, "--trials", trials, "--max-tokens", "6", "--out", out];
        machine.works(&[&args[..], &["--lang", "en", "--offline", "--temperature", "1.5"]].concat());
        machine.lines(out)
    };
    let together = run("3", "a");
    run("1", "b");
    let resumed = run("3", "b");
    let texts = |lines: &[serde_json::Value]| lines.iter().map(|line| line["text"].to_string()).collect::<Vec<_>>();
    assert_eq!(texts(&together), texts(&resumed), "one more or less beside it changes no answer");
    assert_eq!(texts(&together).iter().collect::<BTreeSet<_>>().len(), 3, "each trial has a seed of its own");
    let shared = |lines: &[serde_json::Value]| {
        lines.iter().map(|line| line["measured"]["together"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!((shared(&together), shared(&resumed)), (vec![3, 3, 3], vec![1, 2, 2]));
    let measured = |line: &serde_json::Value, key: &str| line["measured"][key].as_f64().expect("a number");
    for line in &together {
        let parts = measured(line, "prefill_seconds") + measured(line, "decode_seconds");
        assert!((measured(line, "seconds") - parts).abs() < 1e-9, "{line}");
    }
    let prefill: f64 = together.iter().map(|line| measured(line, "prefill_tokens")).sum();
    assert!(prefill < 2.0 * measured(&together[0], "prompt_tokens"), "the paper is read once for all");
}
