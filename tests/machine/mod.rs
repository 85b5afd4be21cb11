//! A machine of its own for each test of the real binary: folders that nobody else writes to, and tiny models.

#![allow(dead_code, reason = "each test uses what it needs")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

pub struct Machine(TempDir);

impl Machine {
    pub fn new() -> Machine {
        Machine(TempDir::new().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
        command.args(args).current_dir(self.0.path()).env_clear();
        command.env("RONBUN_CACHE", self.path("cache")).env("RONBUN_CONFIG", self.path("config"));
        command.env("HOME", self.path("home")).env("HF_HOME", self.path("hub")).env("LC_ALL", "C.UTF-8");
        command.output().expect("runs")
    }

    pub fn works(&self, args: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } = self.run(args);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        assert!(status.success(), "{args:?}: {stderr}");
        (String::from_utf8_lossy(&stdout).into_owned(), stderr)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.works(args).0).expect("JSON")
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }
}

pub fn model(folder: &str) -> String {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    models.join(folder).join("model.gguf").display().to_string()
}
