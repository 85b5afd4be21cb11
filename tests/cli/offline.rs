//! Without a network, or with one that must not be used.

use super::{Machine, NEARLY_A_PDF, binary, text};
use assert_cmd::Command;
use std::fs;
use std::process::Output;

/// Arguments that make ronbun want what is not on `machine`.
fn wants_everything(machine: &Machine) -> Vec<String> {
    let paper = machine.file("paper.pdf", NEARLY_A_PDF).display().to_string();
    ["summarize", &paper, "--offline"].map(String::from).to_vec()
}

#[test]
fn offline_names_what_is_missing_and_how_to_get_it() {
    let machine = Machine::new();
    machine.fails(&["models", "pull", "qwen2.5-coder-0.5b-q4_k_m", "--offline"], 10, &["hint:", "ronbun models pack"]);
    machine.fails(&["extract", "arxiv:1706.03762v7", "--offline"], 10, &["1706.03762v7"]);
    let mut command = machine.command();
    let output = command.args(["extract", "arxiv:1706.03762v7"]).env("RONBUN_OFFLINE", "1").output().expect("runs");
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
}

#[test]
fn offline_opens_no_network_socket() {
    if !has("strace", &["-V"]) {
        eprintln!("skipped: no strace here");
        return;
    }
    let machine = Machine::new();
    let commands = [
        wants_everything(&machine),
        ["models", "pull", "qwen2.5-coder-0.5b-q4_k_m", "--offline"].map(String::from).to_vec(),
        ["models", "recommend", "--offline"].map(String::from).to_vec(),
        ["extract", "arxiv:1706.03762v7", "--offline"].map(String::from).to_vec(),
        ["doctor", "--offline"].map(String::from).to_vec(),
    ];
    for args in commands {
        let trace = machine.path("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=network", "-o"]).arg(&trace).arg(binary()).args(&args);
        let output = command.env_clear().envs(machine.settings()).output().expect("runs");
        let Ok(calls) = fs::read_to_string(&trace) else {
            eprintln!("skipped: strace may not trace here: {}", text(&output.stderr));
            return;
        };
        assert!(output.status.code().is_some(), "{args:?}");
        let sockets: Vec<_> = calls.lines().filter(|call| call.contains("AF_INET")).collect();
        assert!(sockets.is_empty(), "{args:?}: {sockets:?}");
    }
}

#[test]
fn the_doctor_knows_when_the_hubs_own_setting_is_offline() {
    let machine = Machine::new();
    let offline = |variable: Option<&str>, args: &[&str]| {
        let mut command = machine.command();
        if let Some(variable) = variable {
            command.env(variable, "1");
        }
        let output = command.args(["doctor", "--format", "json"]).args(args).output().expect("runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        report["offline"].as_bool()
    };
    assert_eq!(offline(None, &[]), Some(false));
    assert_eq!(offline(None, &["--offline"]), Some(true));
    assert_eq!(offline(Some("HF_HUB_OFFLINE"), &[]), Some(true));
    assert_eq!(offline(Some("RONBUN_OFFLINE"), &[]), Some(true));
}

#[test]
fn offline_ends_the_same_where_there_is_no_network_at_all() {
    if !has("unshare", &["-rn", "true"]) {
        eprintln!("skipped: no network namespaces here");
        return;
    }
    let machine = Machine::new();
    let args = wants_everything(&machine);
    let alone = |command: &mut Command| -> Output {
        command.args(&args).env_clear().envs(machine.settings()).output().expect("runs")
    };
    let inside = alone(Command::new("unshare").args(["-rn"]).arg(binary()));
    let outside = alone(&mut Command::new(binary()));
    assert_eq!(inside.status.code(), outside.status.code(), "{}", text(&inside.stderr));
    assert_eq!(text(&inside.stderr), text(&outside.stderr));
}

fn has(program: &str, args: &[&str]) -> bool {
    std::process::Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}
