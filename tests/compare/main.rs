//! `ronbun compare` as a program, against servers on this machine: what is kept, what is asked again, what leaves.

#[path = "../common/mod.rs"]
mod common;
mod figures;
mod judges;
mod llama_cpp;

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
fn a_device_that_is_not_there_is_refused_before_anything_else() {
    let machine = Machine::new();
    let models = ["--models", "some-model", "--out", "cmp"];
    machine.fails(&[&["compare", "one.md", "--device", "metal"], &models[..]].concat(), 2, "--device metal");
    fs::create_dir(machine.path("config")).expect("a folder");
    machine.file("config/config.toml", "device = \"metal\"\n");
    machine.fails(&[&["compare", "one.md"], &models[..]].concat(), 2, "--device metal");
    machine.fails(&["compare", "judge", "cmp", "--judge", "some-model"], 2, "--device metal");
    assert!(!machine.path("cmp").exists());
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
