//! `ronbun extract` with the real binary and PDFium: choosing pages and parts, the plan of what goes to a model, and the
//! process that papers are read in.

mod common;

use assert_cmd::Command;
use common::{fixture, library};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// PDFium, and a home where nothing of the user's is.
struct Machine(PathBuf, TempDir);

fn machine() -> Option<Machine> {
    Some(Machine(library()?, tempfile::tempdir().expect("a temporary folder")))
}

impl Machine {
    fn settings(&self) -> Vec<(&'static str, PathBuf)> {
        let home = self.1.path();
        let mut settings = vec![("RONBUN_PDFIUM", self.0.clone()), ("LC_ALL", "C.UTF-8".into())];
        settings.extend(["HOME", "RONBUN_CONFIG", "RONBUN_CACHE", "HF_HOME"].map(|name| (name, home.into())));
        settings.extend(std::env::var_os("PATH").map(|path| ("PATH", path.into())));
        settings
    }

    fn extract(&self, file: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
        command.env_clear().envs(self.settings()).arg("extract").arg(file).args(args).arg("--offline");
        command.output().expect("runs")
    }

    #[track_caller]
    fn works(&self, file: &Path, args: &[&str]) -> String {
        let output = self.extract(file, args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, file: &Path, args: &[&str]) -> Value {
        let text = self.works(file, &[args, &["--format", "json"]].concat());
        serde_json::from_str(&text).expect("JSON")
    }

    #[track_caller]
    fn fails(&self, file: &Path, args: &[&str], code: i32, parts: &[&str]) {
        let output = self.extract(file, args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(parts.iter().all(|part| stderr.contains(part)), "{args:?}: {parts:?} are not all in: {stderr}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("papers/ronbun-attention.pdf")
}

#[test]
fn pages_are_chosen_by_number() {
    let Some(machine) = machine() else { return };
    let paper = fixture("two_columns.pdf");
    let second = machine.works(&paper, &["--pages", "2"]);
    assert!(second.contains("very same sentence on page 3.") && !second.contains("A Paper in Two Columns"), "{second}");
    assert_eq!(machine.works(&paper, &["--pages", "1-"]), machine.works(&paper, &[]));
    let json = machine.json(&paper, &["--pages", "1,3"]);
    let skipped: Vec<_> = json["pages"].as_array().expect("pages").iter().map(|page| &page["skipped"]).collect();
    assert_eq!(skipped, [false, true, false]);
    machine.fails(
        &paper,
        &["--pages", "2-4"],
        2,
        &["two_columns.pdf: there is no page 4", "ends with page 3", "hint:"],
    );
    machine.fails(&paper, &["--pages", "0"], 2, &["1-3,7"]);
}

#[test]
fn parts_are_chosen_by_name() {
    let Some(machine) = machine() else { return };
    let paper = sample();
    let (body, whole) = (machine.works(&paper, &["--only", "body"]), machine.works(&paper, &[]));
    assert!(body.len() > whole.len() / 3 && body.len() < whole.len(), "{} of {}", body.len(), whole.len());
    let links = machine.works(&fixture("two_columns.pdf"), &["--only", "links"]);
    assert!(links.starts_with("https://github.com/example/fixtures\tp. 1\tcode\n"), "{links}");
    assert_eq!(machine.json(&paper, &["--only", "links"]), machine.json(&paper, &[])["links"]);
    assert_eq!(machine.json(&paper, &["--only", "references"]), machine.json(&paper, &[])["references"]);
    machine.fails(&paper, &["--only", "body", "--plan"], 2, &["--only", "--plan"]);
}

#[test]
fn the_plan_counts_each_part_and_says_what_is_sent() {
    let Some(machine) = machine() else { return };
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/qwen2-tied-bf16");
    let model = model.display().to_string();
    let count = |plan: &Value, what: &str| plan["sent"][what].as_u64().expect(what);
    let all = machine.json(&sample(), &["--plan", "--model", &model]);
    let without = machine.json(&sample(), &["--plan", "--model", &model, "--no-references"]);
    let part = |plan: &Value, name: &str| {
        plan["parts"].as_array().expect("parts").iter().find(|part| part["part"] == name).expect(name).clone()
    };
    assert_eq!(
        (&part(&all, "references")["sent"], &part(&without, "references")["sent"]),
        (&true.into(), &false.into())
    );
    let references = part(&all, "references")["tokens"].as_u64().expect("tokens");
    assert!(references > 100, "{references}");
    let saved = count(&all, "tokens") - count(&without, "tokens");
    assert!(saved.abs_diff(references) * 20 < references, "{saved} of {references}");
    // The model also gets the marks of headings and tables.
    assert!(count(&all, "characters") + 1 >= machine.works(&sample(), &[]).chars().count() as u64);

    let table = machine.works(&sample(), &["--plan", "--no-references"]);
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
    assert!(row("body").ends_with("yes") && row("references").ends_with("no, left out"), "{table}");
    assert!(row("body").contains(" -  "), "no model, no tokens: {table}");
    machine.fails(&sample(), &["--plan", "--model", "none"], 10, &["none: no such model is installed", "models pull"]);
    machine.fails(&sample(), &["--model", "none"], 2, &["--plan"]);
}

#[test]
fn what_is_left_out_is_said() {
    let Some(machine) = machine() else { return };
    let output = machine.extract(&sample(), &["--no-references"]);
    let (less, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stderr.contains("left out, as asked: references ("), "{stderr}");
    assert!(less.len() < machine.works(&sample(), &[]).len());
    assert!(!text(&machine.extract(&sample(), &[]).stderr).contains("left out"));
}

/// Ten forms of ten forms of ten forms …: it takes seconds until the memory is used up.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_the_reader_too() {
    use std::time::{Duration, Instant};
    let Some(machine) = machine() else { return };
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ronbun"));
    command.env_clear().envs(machine.settings()).args(["extract", "--offline"]).arg(fixture("bomb.pdf"));
    let mut parent = command.stderr(std::process::Stdio::piped()).spawn().expect("runs");
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let started = Instant::now();
    let child = loop {
        let child = std::fs::read_to_string(&children).unwrap_or_default();
        match child.split_whitespace().next() {
            Some(child) => break child.to_string(),
            None if parent.try_wait().expect("a status").is_some() || started.elapsed().as_secs() > 60 => {
                eprintln!("skipped: no child was seen");
                return;
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    Command::new("kill").args(["-INT", &parent.id().to_string()]).output().expect("runs");
    let output = parent.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(!Path::new("/proc").join(child).exists(), "the reader goes on alone");
}

/// The reader's own command is for the program alone.
#[test]
fn the_reader_is_hidden_and_tells_what_it_is_for() {
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_ronbun")).args(args).output().expect("runs");
    assert!(!text(&run(&["--help"]).stdout).contains("read-paper"));
    let output = run(&["read-paper"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("this is no request"), "{}", text(&output.stderr));
}
