//! The real binary: what it says, what it exits with, and that bad input, bad settings and a missing network are told in
//! one line each. Nothing here needs a model.

mod offline;

use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A machine of its own: empty home, caches and configuration, and no option in the environment.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(TempDir::new().expect("a temporary folder"));
        fs::create_dir(machine.path("config")).expect("a folder");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    fn settings(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("HOME", self.path("home")),
            ("XDG_CACHE_HOME", self.path("home/cache")),
            ("XDG_CONFIG_HOME", self.path("home/config")),
            ("RONBUN_CONFIG", self.path("config")),
            ("RONBUN_CACHE", self.path("cache")),
            ("HF_HOME", self.path("hub")),
            ("LC_ALL", PathBuf::from("C.UTF-8")),
            ("PATH", std::env::var_os("PATH").unwrap_or_default().into()),
        ]
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.0.path()).env_clear().envs(self.settings());
        command
    }

    /// Runs `ronbun ARGS`, which must end with `code` and say all `parts` on stderr. Nothing may look like a crash.
    fn fails(&self, args: &[&str], code: i32, parts: &[&str]) -> String {
        let output = self.command().args(args).output().expect("runs");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{args:?}: {part:?} is not in: {stderr}");
        }
        assert!(!stderr.contains("bug in ronbun") && !stderr.contains('\u{1b}'), "{args:?}: {stderr}");
        stderr
    }

    fn works(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().expect("runs");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ronbun"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file that passes for a PDF until somebody reads it.
const NEARLY_A_PDF: &str = "%PDF-1.7\n";

fn is_root() -> bool {
    fs::read("/proc/self/status").is_ok_and(|status| text(&status).contains("Uid:\t0\t"))
}

// Inputs.

#[test]
fn an_input_that_is_no_paper_is_named_with_its_reason() {
    let machine = Machine::new();
    machine.file("text.pdf", "hello");
    machine.file("empty.pdf", "");
    machine.file("folder/notes.txt", "x");
    for command in ["summarize", "extract"] {
        machine.fails(&[command, "text.pdf"], 3, &["error: text.pdf: is not a PDF"]);
        machine.fails(&[command, "empty.pdf"], 3, &["error: empty.pdf: is an empty file"]);
        machine.fails(&[command, "none.pdf"], 3, &["error: none.pdf: no such file"]);
        machine.fails(&[command, "folder"], 3, &["error: folder: ", "no PDF", "hint:"]);
        machine.fails(&[command, "no*.pdf"], 3, &["error: no*.pdf: no file matches"]);
    }
    machine.fails(&["ask", "text.pdf", "Why?"], 3, &["text.pdf: is not a PDF"]);
    machine.fails(&["summarize", "none.pdf"], 3, &["hint:", "arxiv:"]);
}

#[test]
fn papers_that_are_text_need_no_pdfium() {
    let machine = Machine::new();
    let tex = "\\documentclass{article}\\begin{document}\\section{One}Text with $x$.\\end{document}";
    machine.file("paper/main.tex", tex);
    machine.file("paper.md", "# One\n\nText with $x$.");
    machine.file("paper.html", "<h2>One</h2><p>Text with <math alttext='x'></math>.");
    machine.file("paper.txt", "One\n\nText with $x$.");
    for input in ["paper", "paper/main.tex", "paper.md", "paper.html", "paper.txt"] {
        let text = machine.works(&["extract", input, "--offline"]);
        assert!(text.ends_with("One\n\nText with $x$.\n"), "{input}: {text}");
    }
    assert!(!machine.path("cache").exists(), "nothing was fetched");
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    if is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let machine = Machine::new();
    let path = machine.file("locked.pdf", NEARLY_A_PDF);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("permissions");
    machine.fails(&["extract", "locked.pdf"], 3, &["locked.pdf: permission denied"]);
}

#[test]
fn several_bad_inputs_are_each_told_and_no_model_is_looked_for() {
    let machine = Machine::new();
    machine.file("text.pdf", "hello");
    let stderr = machine.fails(&["summarize", "text.pdf", "none.pdf", "--offline"], 3, &["all 2 papers failed"]);
    assert!(stderr.contains("text.pdf: is not a PDF") && stderr.contains("none.pdf: no such file"), "{stderr}");
    assert!(!machine.path("cache").exists(), "nothing was fetched");
    let args = ["summarize", "text.pdf", "none.pdf", "--offline", "--format", "json"];
    assert_eq!(text(&machine.command().args(args).output().expect("runs").stdout), "[]\n");
}

#[test]
fn names_with_control_characters_reach_the_terminal_as_text() {
    let machine = Machine::new();
    machine.fails(&["summarize", "a\u{1b}[31m.pdf"], 3, &["no such file"]);
}

// Settings.

#[test]
fn unknown_options_and_values_are_usage_errors() {
    let machine = Machine::new();
    machine.fails(&["summarize", "x.pdf", "--temprature", "0"], 2, &["--temprature", "--temperature"]);
    machine.fails(&["summarize", "x.pdf", "--temperature", "-3"], 2, &["temperature"]);
    machine.fails(&["summarize", "x.pdf", "--threads", "0"], 2, &["at least 1"]);
    machine.fails(&["summarize", "x.pdf", "--max-tokens", "18446744073709551615"], 2, &["1048576"]);
    machine.fails(&["summarize", "x.pdf", "--format", "pdf"], 2, &["md", "json", "html", "text"]);
    machine.fails(&["summarize", "x.pdf", "--device", "cuda"], 2, &["CPU", "hint:"]);
    machine.fails(&["ask", "x.pdf", "Why?", "--device", "metal"], 2, &["CPU"]);
    machine.fails(&["summarize", "x.pdf", "--device", "cpu", "--gpu-layers", "3"], 2, &["--gpu-layers", "hint:"]);
    machine.fails(&["summarize", "x.pdf", "--gpu-layers", "all"], 2, &["--gpu-layers", "auto"]);
    machine.fails(&["summarize"], 2, &["INPUT"]);
}

#[test]
fn a_result_that_could_not_be_written_is_refused_before_any_work() {
    let machine = Machine::new();
    machine.file("a.txt", "");
    for command in ["extract", "summarize"] {
        machine.fails(&[command, "x.pdf", "--out", "nowhere/x.md"], 11, &["nowhere/x.md: no folder nowhere"]);
    }
    machine.fails(&["summarize", "x.pdf", "y.pdf", "--out", "a.txt"], 2, &["--out a.txt", "folder"]);
    machine.fails(&["summarize", "x.pdf", "y.pdf", "--format", "html"], 2, &["--out FOLDER"]);
}

#[test]
fn a_configuration_file_is_checked() {
    let machine = Machine::new();
    let file = machine.file("config/config.toml", "lang = 'ja'\nmodle = 'x'\n");
    let named = file.display().to_string();
    machine.fails(&["template", "list"], 2, &[&named, "line 2", "`modle`", "`model`", "`max-tokens`"]);
    machine.file("config/config.toml", "threads = 'many'\n");
    machine.fails(&["template", "list"], 2, &[&named, "line 1"]);
    machine.file("config/config.toml", "temperature = 99\n");
    machine.fails(&["template", "list"], 2, &[&named, "temperature"]);
    machine.fails(&["template", "list", "--config", "none.toml"], 2, &["none.toml", "cannot be read"]);
    machine.file("fine.toml", "lang = 'ja'\n");
    machine.works(&["template", "list", "--config", "fine.toml"]);
    let output = machine.command().env("RONBUN_CONFIG", "fine.toml").args(["template", "list"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("must name a folder"), "{}", text(&output.stderr));
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let machine = Machine::new();
    let device = |environment: Option<&str>, args: &[&str]| {
        let mut command = machine.command();
        if let Some(device) = environment {
            command.env("RONBUN_DEVICE", device);
        }
        text(&command.args(["summarize", "none.pdf"]).args(args).output().expect("runs").stderr)
    };
    machine.file("config/config.toml", "device = 'cuda'\n");
    assert!(device(None, &[]).contains("--device cuda"));
    assert!(device(Some("metal"), &[]).contains("--device metal"));
    assert!(device(Some("metal"), &["--device", "cpu"]).contains("no such file"));
}

#[test]
fn templates_are_listed_shown_and_checked() {
    let machine = Machine::new();
    let shown = machine.works(&["template", "show"]);
    let own = machine.file("own.toml", &shown);
    assert_eq!(machine.works(&["template", "check", "own.toml"]), "own.toml: ok\n");
    machine.file("config/templates/mine.toml", &shown);
    let list = machine.works(&["template", "list"]);
    assert!(list.contains("built in") && list.contains("mine"), "{list}");
    assert_eq!(machine.works(&["template", "show", "mine"]), shown);
    assert_ne!(machine.works(&["template", "show", "--lang", "ja"]), shown);

    fs::write(&own, format!("colour = 'red'\n{shown}")).expect("written");
    machine.fails(&["template", "check", "own.toml"], 2, &["own.toml", "colour"]);
    fs::write(&own, shown.replace("{{ text }}", "{{ txet }}")).expect("written");
    machine.fails(&["template", "check", "own.toml"], 2, &["own.toml", "txet"]);
    machine.fails(&["summarize", "x.pdf", "--template", "own.toml"], 2, &["own.toml", "txet"]);
    machine.fails(&["summarize", "x.pdf", "--template", "none"], 2, &["none", "no such template", "mine"]);
    machine.fails(&["template", "check", "none.toml"], 3, &["none.toml"]);
}

// Models.

#[test]
fn what_is_no_model_is_named_before_anything_is_fetched() {
    let machine = Machine::new();
    machine.fails(&["models", "pull", "no-such-model", "--offline"], 2, &["no-such-model"]);
    machine.fails(&["models", "verify", "no-such-model", "--offline"], 2, &["no-such-model"]);
    machine.fails(&["models", "rm", "no-such-model", "--offline"], 2, &["no-such-model"]);
    machine.file("junk.tar.zst", "junk");
    let output = machine.command().args(["models", "unpack", "junk.tar.zst"]).output().expect("runs");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("junk.tar.zst"), "{}", text(&output.stderr));
}

#[test]
fn model_files_that_are_none_are_named() {
    let machine = Machine::new();
    machine.file("text.gguf", "this is no model, whatever its name says");
    machine.file("cut.gguf", b"GGUF\x03\x00\x00\x00\x10\x00\x00\x00");
    machine.file("empty.gguf", "");
    machine.file("folder/config.json", "{}");
    for model in ["text.gguf", "cut.gguf", "empty.gguf", "folder"] {
        machine.fails(&["eval", "logits", model, "--ids", "1,2"], 7, &[model]);
    }
    machine.fails(&["eval", "logits", "none.gguf", "--ids", "1", "--offline"], 3, &["none.gguf"]);
    machine.fails(&["eval", "logits", "text.gguf", "--ids", "1,x"], 2, &["--ids"]);
}

#[test]
fn a_models_name_is_looked_at_before_any_paper_is() {
    let machine = Machine::new();
    machine.file("paper.pdf", NEARLY_A_PDF);
    machine.file("folder/model.safetensors", "x");
    let with = |model: &'static str| ["summarize", "paper.pdf", "--offline", "--model", model];
    machine.fails(&with("no-such-model"), 2, &["no-such-model: is no model"]);
    machine.fails(&with("folder/model.safetensors"), 2, &["hint: name its folder"]);
    machine.fails(&with("none.gguf"), 3, &["none.gguf: no such model file"]);
    machine.fails(&["ask", "paper.pdf", "Why?", "--model", "no-such-model"], 2, &["no-such-model: is no model"]);
}

#[test]
fn a_wrong_pdfium_is_told_with_the_loaders_own_words() {
    let machine = Machine::new();
    machine.file("paper.pdf", NEARLY_A_PDF);
    machine.file("libpdfium.so", "no library");
    let stderr = machine.fails(&["extract", "paper.pdf", "--pdfium", "libpdfium.so"], 10, &["libpdfium.so"]);
    assert!(stderr.contains("cannot be loaded") && stderr.lines().next().expect("a line").len() > 80, "{stderr}");
}

#[test]
fn models_are_listed_and_recommended_as_text_and_json() {
    let machine = Machine::new();
    for command in ["list", "recommend"] {
        assert!(machine.works(&["models", command, "--offline"]).starts_with("model"));
        let json = machine.works(&["models", command, "--offline", "--format", "json"]);
        serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
    }
    assert_eq!(machine.works(&["models", "verify", "--offline"]), "no model is installed\n");
}

// What it says about itself.

#[test]
fn help_teaches() {
    let machine = Machine::new();
    let help = machine.works(&["--help"]);
    for part in ["ronbun summarize paper.pdf", "Exit codes:", "130", "doctor", "--offline"] {
        assert!(help.contains(part), "{part:?} is not in: {help}");
    }
    let help = machine.works(&["summarize", "--help"]);
    for option in [
        "--model",
        "--template",
        "--lang",
        "--format",
        "--out",
        "--offline",
        "--device",
        "--gpu-layers",
        "--threads",
        "--temperature",
        "--seed",
        "--max-tokens",
        "--ask",
        "--password",
        "--pdfium",
        "--pages",
        "--no-references",
        "--no-appendix",
        "--no-appendix-tables",
        "--quiet",
        "--verbose",
    ] {
        assert!(help.contains(option), "{option} is not in: {help}");
    }
    let help = machine.works(&["extract", "--help"]);
    for part in ["ronbun extract paper.pdf --plan", "--only", "process of its own", "5- for all"] {
        assert!(help.contains(part), "{part:?} is not in: {help}");
    }
    assert!(machine.works(&["--version"]).starts_with("ronbun "));
}

#[test]
fn manual_pages_and_completions_come_from_the_same_definition() {
    let machine = Machine::new();
    assert!(machine.works(&["man"]).contains(".TH ronbun 1"));
    machine.works(&["man", "--out", "pages"]);
    for page in ["ronbun.1", "ronbun-summarize.1", "ronbun-models-pull.1"] {
        assert!(machine.path("pages").join(page).is_file(), "{page}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(machine.works(&["completions", shell]).contains("summarize"), "{shell}");
    }
}

#[test]
fn the_doctor_looks_at_an_empty_machine() {
    let machine = Machine::new();
    let words = machine.works(&["doctor"]);
    for part in ["memory", "PDFium", "no model is installed", "hint:"] {
        assert!(words.contains(part), "{part:?} is not in: {words}");
    }
    let json: serde_json::Value = serde_json::from_str(&machine.works(&["doctor", "--format", "json"])).expect("JSON");
    assert!(json["machine"]["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{json}");
    assert!(!machine.path("cache").exists(), "the doctor changes nothing");
    assert!(machine.works(&["doctor", "--pdfium", "none.so"]).contains("none.so"));
    machine.file("config/config.toml", "nonsense = 1\n");
    assert!(machine.works(&["doctor"]).contains("`nonsense`"));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let machine = Machine::new();
    let mut command = std::process::Command::new("sh");
    let script = format!("'{0}' template show | true; '{0}' man | true; '{0}' --help | true", binary().display());
    let output = command.args(["-c", &script]).env_clear().envs(machine.settings()).output().expect("runs");
    assert_eq!(text(&output.stderr), "");
    // The exit code, which a plain pipe hides.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = std::process::Command::new(binary());
    let status = command.args(["template", "show"]).env_clear().envs(machine.settings()).stdout(writer).status();
    assert!(status.expect("runs").success());
}

#[test]
fn a_bench_counts_what_it_did_and_keeps_the_packed_weights() {
    let machine = Machine::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/gguf-llama-q8_0/model.gguf");
    let model = model.to_str().expect("a path");
    let options = ["--prompt-tokens", "200", "--branches", "3", "--gen-tokens", "5"];
    let json = machine.works(&[["bench", "--json", "--model", model].as_slice(), &options].concat());
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for (key, value) in [("prompt_tokens", 200), ("branches", 3), ("gen_tokens", 5), ("schema_version", 1)] {
        assert_eq!(report[key], value, "{key}");
    }
    for key in ["prefill_tokens_per_second", "decode_tokens_per_second", "ttft_seconds", "kv_cache_bytes"] {
        assert!(report[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {}", report[key]);
    }
    let packed = fs::read_dir(machine.path("cache/packed")).expect("a folder").count();
    assert_eq!(packed, 1, "one packed copy");
    let text = machine.works(&[["bench", "--exact", "--profile", "--model", model].as_slice(), &options].concat());
    for word in ["prefill", "decode", "f32", "attention"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    machine.fails(&["bench", "--model", "none.gguf", "--offline"], 3, &["none.gguf"]);
}

#[test]
fn instructions_that_are_asked_for_are_used_or_a_line_says_what_is() {
    let machine = Machine::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/gguf-llama-q8_0/model.gguf");
    let available: Vec<String> = ronbun_kernels::Isa::available().iter().map(ToString::to_string).collect();
    for asked in ["amx", "avx512", "avx2", "portable"] {
        let mut command = machine.command();
        command.env("RONBUN_CPU", asked).args([
            "bench",
            "--json",
            "--prompt-tokens",
            "70",
            "--gen-tokens",
            "3",
            "--model",
        ]);
        let output = command.arg(&model).output().expect("runs");
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{asked}: {stderr}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let used = report["instruction_set"].as_str().expect("a name");
        let told = stderr.lines().filter(|line| line.contains(&format!("RONBUN_CPU={asked}"))).count();
        let there = available.iter().any(|name| name == asked);
        assert_eq!((used == asked, told), (there, usize::from(!there)), "{asked}: {used}: {stderr}");
    }
}
