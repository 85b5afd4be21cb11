//! A context that is extended, and one that is not: the real binary over a model of a thousand tokens.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A machine of its own, with a paper of 2,700 tokens and one of few.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(TempDir::new().expect("a temporary folder"));
        machine.file("long.txt", "A paper about papers. ".repeat(150));
        machine.file("short.txt", "A paper about papers.");
        machine
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        let path = |name: &str| self.0.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
        command.args(args).current_dir(self.0.path()).env_clear();
        command.env("RONBUN_CACHE", path("cache")).env("RONBUN_CONFIG", path("config")).env("HOME", path("home"));
        command.env("HF_HOME", path("hub")).env("LC_ALL", "C.UTF-8").output().expect("runs")
    }

    /// Asks one question about a paper; the report, and what stands on stderr.
    fn ask(&self, paper: &str, more: &[&str]) -> (Value, String) {
        let mut args = vec!["ask", paper, "Why?", "--format", "json", "--max-tokens", "8", "--offline", "--model"];
        let model = model("gguf-qwen2-bf16");
        args.push(&model);
        args.extend(more);
        let Output { status, stdout, stderr } = self.run(&args);
        let stderr = text(&stderr);
        assert!(status.success(), "{args:?}: {stderr}");
        (serde_json::from_slice(&stdout).expect("JSON"), stderr)
    }

    fn fails(&self, paper: &str, more: &[&str], code: i32, parts: &[&str]) {
        let model = model("gguf-qwen2-bf16");
        let mut args = vec!["ask", paper, "Why?", "--max-tokens", "8", "--offline", "--model", &model];
        args.extend(more);
        let Output { status, stderr, .. } = self.run(&args);
        let stderr = text(&stderr);
        assert_eq!(status.code(), Some(code), "{args:?}: {stderr}");
        parts.iter().for_each(|part| assert!(stderr.contains(part), "{args:?}: {part:?} is not in: {stderr}"));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn model(folder: &str) -> String {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    models.join(folder).join("model.gguf").display().to_string()
}

fn factors() -> Value {
    let long: Vec<f64> = (0..8).map(|pair| 1.0 + f64::from(pair) / 2.0).collect();
    json!({ "model": "tiny", "rope_theta": 1e6, "original_context": 1024, "target_context": 4096,
        "long_factors": long, "found": "by hand", "cost": "unknown: made by hand" })
}

#[test]
fn a_long_paper_is_read_whole_and_the_extension_is_told() {
    let machine = Machine::new();
    let (report, stderr) = machine.ask("long.txt", &[]);
    let extension = &report["model"]["extension"];
    assert_eq!(extension["method"], "yarn", "{extension}");
    // By sixteenths of the model's own context; how often a question is put again depends on what the model says.
    let [paper, reach] =
        [&report["paper"]["tokens"], &extension["context_length"]].map(|n| n.as_u64().expect("tokens"));
    assert!(reach.is_multiple_of(64) && (paper..paper + 256).contains(&reach), "{extension} for {paper} tokens");
    let factor = format!("YaRN, factor {} over", reach as f64 / 1024.0);
    assert!(report["model"]["rope"].as_str().is_some_and(|rope| rope.contains(&factor)), "{report}");
    assert!(extension["cost"].as_str().is_some_and(|cost| stderr.contains(cost)), "{stderr}");
    assert_eq!(stderr.matches("context extended").count(), 1, "{stderr}");
    let (report, stderr) = machine.ask("short.txt", &[]);
    assert_eq!(report["model"]["extension"]["method"], "native");
    assert!(!stderr.contains("extended"), "{stderr}");
}

#[test]
fn what_is_asked_for_is_taken_from_the_command_line_the_environment_or_the_file() {
    let machine = Machine::new();
    let (report, _) = machine.ask("short.txt", &["--rope", "yarn:2"]);
    assert_eq!(report["model"]["extension"]["description"], "YaRN, factor 2 over 1024");
    let config = machine.file("config.toml", "rope = 'ntk'\ncontext = 2000\n");
    let config = config.to_str().expect("a name");
    let (report, _) = machine.ask("short.txt", &["--config", config]);
    let extension = &report["model"]["extension"];
    assert_eq!((&extension["method"], &extension["context_length"]), (&json!("ntk"), &json!(2000)), "{extension}");
    let (report, _) = machine.ask("short.txt", &["--config", config, "--rope", "dynamic"]);
    assert_eq!(report["model"]["extension"]["method"], "dynamic");
    let file = machine.file("far.json", factors().to_string());
    let rope = format!("longrope:{}", file.display());
    let (report, stderr) = machine.ask("long.txt", &["--rope", &rope]);
    assert_eq!(report["model"]["extension"]["cost"], "unknown: made by hand");
    assert!(stderr.contains("LongRoPE over 1024, long factors"), "{stderr}");
}

#[test]
fn a_paper_that_does_not_fit_is_refused_with_the_option_named() {
    let machine = Machine::new();
    machine.file("huge.txt", "A paper about papers. ".repeat(300));
    machine.fails("long.txt", &["--context", "native"], 8, &["context is 1024", "--context"]);
    machine.fails("long.txt", &["--rope", "native"], 8, &["context is 1024", "--rope"]);
    machine.fails("long.txt", &["--context", "2000"], 8, &["context is 2000", "--context allows no more"]);
    machine.fails("long.txt", &["--rope", "yarn:2"], 8, &["context is 2048"]);
    machine.fails("huge.txt", &[], 8, &["context is 4096", "--rope yarn:"]);
}

#[test]
fn contradictions_and_bad_files_of_factors_are_told_before_any_work() {
    let machine = Machine::new();
    machine.fails("none.txt", &["--context", "native", "--rope", "yarn:2"], 2, &["--context native", "yarn:2"]);
    machine.fails("short.txt", &["--context", "3000", "--rope", "yarn:2"], 2, &["reaches 2048", "3000"]);
    machine.fails("short.txt", &["--context", "3000", "--rope", "native"], 2, &["1024"]);
    machine.fails("short.txt", &["--rope", "yarn:0.5"], 2, &["0.5"]);
    machine.fails("short.txt", &["--rope", "spiral"], 2, &["longrope:FILE"]);
    machine.fails("short.txt", &["--rope", "longrope:none.json"], 2, &["none.json", "cannot be read"]);
    let mut short = factors();
    short["long_factors"] = json!([1, 2]);
    machine.file("short.json", short.to_string());
    machine.fails("short.txt", &["--rope", "longrope:short.json"], 2, &["short.json", "long_factors has 2 entries"]);
    let mut unknown = factors();
    unknown["target"] = json!(1);
    machine.file("unknown.json", unknown.to_string());
    machine.fails("none.txt", &["--rope", "longrope:unknown.json"], 2, &["unknown.json", "target"]);
}

#[test]
fn a_card_names_its_models_extension() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    let sha256 = sha256(&fs::read(&model).expect("a model"));
    let card = |more: &str| {
        format!(
            "id = \"tiny\"\nname = \"Tiny\"\nfamily = \"qwen2\"\nparameters = 1000\nquantization = \"BF16\"\n\
             native_context = 1024\nrope = \"theta 1000000\"\n{more}languages = [\"en\"]\npreference = 1\n\
             why = \"for tests\"\n[licence]\nname = \"MIT\"\nurl = \"https://example.org\"\n[memory]\n\
             weight_bytes = 1\nlayers = 1\nkv_heads = 1\nhead_dim = 1\n[[source]]\nkind = \"hub\"\n\
             repository = \"a/b\"\nverified = true\nfiles = [{{ name = \"m.gguf\", sha256 = \"{sha256}\" }}]\n"
        )
    };
    machine.file("config/models/tiny.toml", card("rope_factors = \"far.json\"\n"));
    machine.file("config/models/far.json", factors().to_string());
    let (report, stderr) = machine.ask("long.txt", &[]);
    assert_eq!(report["model"]["extension"]["method"], "searched", "{stderr}");
    let published = "[extension]\nfactor = 3.0\noriginal_context = 1024\nsource = \"its maker\"\n[licence]";
    machine.file("config/models/tiny.toml", card("").replace("[licence]", published));
    let (report, _) = machine.ask("long.txt", &[]);
    assert_eq!(report["model"]["extension"]["method"], "published");
    assert!(report["model"]["extension"]["cost"].as_str().is_some_and(|cost| cost.contains("its maker")));
    assert_eq!(machine.ask("short.txt", &[]).0["model"]["extension"]["method"], "native");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn token_ids_are_run_with_the_positions_asked_for() {
    let machine = Machine::new();
    let model = model("gguf-qwen2-bf16");
    let ids: Vec<String> = (0..1200).map(|id| (id % 200).to_string()).collect();
    let logits = |more: &[&str]| {
        let ids = ids.join(",");
        let mut args = vec!["eval", "logits", &model, "--ids", &ids];
        args.extend(more);
        let Output { status, stdout, stderr } = machine.run(&args);
        assert!(status.success(), "{more:?}: {}", text(&stderr));
        let answer: Value = serde_json::from_slice(&stdout).expect("JSON");
        answer["logits"].clone()
    };
    let native = logits(&[]);
    assert_eq!(native, logits(&["--rope", "native"]));
    let yarn = logits(&["--rope", "yarn:2"]);
    assert_ne!(native, yarn);
    assert_ne!(yarn, logits(&["--context", "auto"]), "a factor of 1.1875");
    let args = [
        "bench",
        "--model",
        &model,
        "--prompt-tokens",
        "1100",
        "--gen-tokens",
        "2",
        "--branches",
        "1",
        "--context",
        "auto",
        "--json",
    ];
    let bench = machine.run(&args);
    assert!(bench.status.success() && text(&bench.stderr).contains("YaRN, factor 1.125"), "{}", text(&bench.stderr));
}
