//! `ronbun compare` as a program, against servers on this machine: what is kept, what is asked again, what leaves.

mod common;

use assert_cmd::Command;
use common::server::{Act, Server, openai, refuse, says};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const KEY: &str = "sk-very-secret";

/// An empty home with two short papers in it.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(TempDir::new().expect("a folder"));
        for (name, text) in [
            ("one.md", "# First paper\n\nWe measure 28.4 BLEU with code at https://github.com/own/code.\n"),
            ("two.md", "# Second paper\n\nWe train for 3.5 days.\n"),
        ] {
            machine.file(name, text);
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn settings(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("HOME", self.path("home")),
            ("XDG_CACHE_HOME", self.path("home/cache")),
            ("RONBUN_CONFIG", self.path("config")),
            ("RONBUN_CACHE", self.path("cache")),
            ("RONBUN_SERVER_KEY", KEY.into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("PATH", std::env::var_os("PATH").unwrap_or_default().into()),
        ]
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
        command.current_dir(self.0.path()).env_clear().envs(self.settings()).args(args);
        command.output().expect("runs")
    }

    fn works(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }

    fn fails(&self, args: &[&str], code: i32, part: &str) {
        let output = self.run(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {part:?} is not in: {stderr}");
        assert!(!stderr.contains(KEY) && !stderr.contains("bug in ronbun"), "{stderr}");
    }

    fn lines(&self, out: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path(out).join("answers.jsonl")).expect("answers");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// No file of the folder holds the key.
    fn holds_no_key(&self, out: &str) {
        for entry in fs::read_dir(self.path(out)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "{}", path.display());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn model(server: &Server) -> String {
    format!("openai:test@{}", server.address())
}

#[test]
fn every_paper_model_and_trial_is_asked_once() {
    let machine = Machine::new();
    let server = Server::start(|_, _| says("An answer."));
    let model = model(&server);
    let args = ["compare", "one.md", "two.md", "--models", &model, "--trials", "2", "--out", "cmp", "--lang", "en"];
    let said = machine.works(&args);
    assert!(said.contains("4 conversations, with the papers' text, go to http://127.0.0.1"), "{said}");
    let lines = machine.lines("cmp");
    let keys: BTreeSet<String> = lines.iter().map(|line| format!("{} {}", line["paper"], line["trial"])).collect();
    assert_eq!((lines.len(), keys.len(), server.asked().len()), (4, 4, 4));
    assert_eq!((&lines[0]["text"], &lines[0]["question"]), (&"An answer.".into(), &"together".into()));
    assert_eq!(lines[0]["measured"]["prompt_tokens"], 1200);
    assert!(server.asked()[0].user().contains("28.4 BLEU") || server.asked()[0].user().contains("3.5 days"));
    assert!(machine.works(&args).contains("all is answered"));
    assert_eq!(server.asked().len(), 4, "nothing is asked twice");
    let more = ["compare", "one.md", "--models", &model, "--trials", "3", "--out", "cmp", "--lang", "en"];
    machine.works(&more);
    assert_eq!((server.asked().len(), machine.lines("cmp").len()), (5, 5), "one trial more");
    machine.fails(&[&more[..], &["--ask", "each"]].concat(), 2, "with other settings: ask");
    machine.holds_no_key("cmp");
}

#[test]
fn each_question_is_a_conversation_of_its_own_where_that_is_asked_for() {
    let machine = Machine::new();
    let server = Server::start(|_, _| says("Yes."));
    let args = ["compare", "one.md", "--models", &model(&server), "--trials", "1", "--ask", "each", "--out", "cmp"];
    machine.works(&args);
    let questions: BTreeSet<String> = machine.lines("cmp").iter().map(|line| line["question"].to_string()).collect();
    assert_eq!((questions.len(), server.asked().len()), (9, 9));
}

#[test]
fn offline_asks_no_server() {
    let machine = Machine::new();
    let server = Server::start(|_, _| says("Yes."));
    let model = model(&server);
    machine.fails(&["compare", "one.md", "--models", &model, "--out", "cmp", "--offline"], 10, "--offline opens no");
    assert!(server.asked().is_empty() && !machine.path("cmp").exists());
}

#[test]
fn a_vendors_key_goes_to_no_other_server() {
    let machine = Machine::new();
    let server = Server::start(|_, _| says("Yes."));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
    command.current_dir(machine.0.path()).env_clear().envs(machine.settings()).env_remove("RONBUN_SERVER_KEY");
    command.env("OPENAI_API_KEY", KEY);
    command.args(["compare", "one.md", "--models", &model(&server), "--trials", "1", "--out", "cmp"]);
    assert!(command.output().expect("runs").status.success());
    assert_eq!(server.asked()[0].header("authorization"), None);
    machine.fails(&["compare", "one.md", "--models", "openai:gpt-4o", "--out", "cmp2"], 2, "OPENAI_API_KEY is not set");
}

#[test]
fn a_server_that_refuses_stops_no_other_model() {
    let machine = Machine::new();
    let bad = Server::start(|_, _| refuse(401, "Incorrect API key provided: sk-very-secret"));
    let good = Server::start(|_, _| says("Yes."));
    let models = format!("{},{}", model(&bad), model(&good));
    let args = ["compare", "one.md", "two.md", "--models", &models, "--trials", "1", "--out", "cmp"];
    machine.fails(&args, 12, "does not take the key (401): Incorrect API key provided: [key]");
    assert_eq!(machine.lines("cmp").len(), 2);
    machine.holds_no_key("cmp");
    assert!(bad.asked().len() <= 2, "no use to ask on");
    machine.fails(&["compare", "one.md", "--models", &model(&bad), "--trials", "1", "--out", "b"], 2, "(401)");
}

#[test]
fn a_file_says_it_all_and_shards_are_merged() {
    let machine = Machine::new();
    let server = Server::start(|asked, _| match asked.body["model"] == "small" {
        true => says("Small."),
        false => says("Large."),
    });
    let described = |name: &str| {
        let address = server.address();
        format!("[[model]]\nname = \"{name}\"\nvendor = \"openai\"\nmodel = \"{name}\"\nbase-url = \"{address}\"\n")
    };
    let head = "papers = [\"*.md\"]\ntrials = 2\nlang = \"en\"\nout = \"cmp\"\n[sampling]\ntemperature = 0.0\n";
    machine.file("e.toml", &format!("{head}{}{}", described("small"), described("large")));
    for shard in ["1/3", "2/3", "3/3"] {
        machine.works(&["compare", "--experiment", "e.toml", "--shard", shard]);
    }
    assert!(!machine.path("cmp/answers.jsonl").exists());
    machine.works(&["compare", "merge", "cmp"]);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in machine.lines("cmp") {
        *counts.entry(format!("{} {} {}", line["model"], line["paper"], line["text"])).or_default() += 1;
    }
    let expected = [
        "\"large\" \"one\" \"Large.\"",
        "\"large\" \"two\" \"Large.\"",
        "\"small\" \"one\" \"Small.\"",
        "\"small\" \"two\" \"Small.\"",
    ];
    assert_eq!(counts, expected.iter().map(|key| (key.to_string(), 2)).collect());
    assert_eq!((server.asked().len(), &server.asked()[0].body["temperature"]), (8, &serde_json::json!(0.0)));
    machine.works(&["compare", "--experiment", "e.toml"]);
    assert_eq!(server.asked().len(), 8, "what shards have answered is not asked again");
    machine.fails(&["compare", "merge", "home"], 3, "cannot be read");
}

type Kept = HashMap<(String, String, u32, String), String>;

/// The answers in a store that nobody holds.
fn kept(file: &Path) -> Kept {
    let Ok(connection) = rusqlite::Connection::open(file) else { return Kept::new() };
    let Ok(mut rows) = connection.prepare("SELECT model, paper, trial, question, record FROM answers") else {
        return Kept::new();
    };
    let rows = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?), row.get(4)?)));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

#[cfg(unix)]
#[test]
fn kill_9_at_any_moment_loses_no_finished_answer_and_doubles_none() {
    const KILLS: usize = 50;
    const TRIALS: u32 = 200;
    let machine = Machine::new();
    // Each answer is different, so that one that was asked for twice would show.
    let server = Server::start(|_, number| {
        let word = format!("Answer {number}.");
        Act::Stream(openai(&[&word], "stop"), Duration::from_millis(1))
    });
    let trials = TRIALS.to_string();
    let model = model(&server);
    let args =
        ["compare", "one.md", "two.md", "--models", &model, "--trials", &trials, "--ask", "each", "--out", "cmp"];
    let file = machine.path("cmp/answers.sqlite");
    let whole = 2 * 9 * TRIALS as usize;
    let (mut before, mut in_the_midst) = (Kept::new(), 0);
    for _ in 0..KILLS {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_ronbun"));
        program.current_dir(machine.0.path()).env_clear().envs(machine.settings()).args(args);
        let (asked, start) = (server.asked().len(), Instant::now());
        let mut running = program.stderr(std::process::Stdio::null()).spawn().expect("starts");
        // After so many answers and a moment more; some die before they ask anything.
        let random = RandomState::new().hash_one(start);
        let (goal, moment) = (asked + (random % 60) as usize, Duration::from_micros(random / 60 % 5_000));
        while server.asked().len() < goal && running.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(moment);
        running.kill().expect("a child");
        running.wait().expect("a child");
        let after = kept(&file);
        for (key, answer) in &before {
            assert_eq!(after.get(key), Some(answer), "{key:?} was finished, and is lost or another");
        }
        in_the_midst += usize::from(after.len() < whole && server.asked().len() > asked);
        before = after;
    }
    assert!(in_the_midst >= KILLS / 4, "only {in_the_midst} of {KILLS} kills hit while answers came");
    machine.works(&args);
    let after = kept(&file);
    assert_eq!(after.len(), whole);
    assert!(before.iter().all(|(key, answer)| after.get(key) == Some(answer)));
    let texts: BTreeSet<String> = machine.lines("cmp").iter().map(|line| line["text"].to_string()).collect();
    assert_eq!(texts.len(), whole, "no answer is there under two names");
    // Only what was under way at a kill, four conversations at most, can have been asked for again.
    assert!(server.asked().len() <= whole + 4 * KILLS, "{} for {whole}", server.asked().len());
}

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
