//! The server of llama-cpp-python, a real OpenAI-compatible peer, where it is installed: RONBUN_LLAMA_CPP_PYTHON is a Python
//! with `llama-cpp-python[server]`, RONBUN_LLAMA_CPP_MODEL a GGUF file with a chat template.

use super::{KEY, Machine};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Takes [`KEY`] and no other.
struct LlamaCpp {
    server: Child,
    port: u16,
}

impl LlamaCpp {
    /// None where it is not installed.
    fn start() -> Option<LlamaCpp> {
        let named = |name| std::env::var_os(name);
        let (Some(python), Some(model)) = (named("RONBUN_LLAMA_CPP_PYTHON"), named("RONBUN_LLAMA_CPP_MODEL")) else {
            eprintln!("skipped: RONBUN_LLAMA_CPP_PYTHON and RONBUN_LLAMA_CPP_MODEL are not both set");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = Command::new(python);
        command.args(["-m", "llama_cpp.server", "--n_ctx", "4096", "--api_key", KEY, "--port", &port.to_string()]);
        command.arg("--model").arg(model).stdout(Stdio::null()).stderr(Stdio::null());
        let mut llama_cpp = LlamaCpp { server: command.spawn().expect("Python starts"), port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = llama_cpp.server.try_wait().expect("a child");
            assert!(ended.is_none() && start.elapsed() < Duration::from_secs(120), "no server: {ended:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(llama_cpp)
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_real_server_is_asked_as_a_stand_in_is() {
    let Some(server) = LlamaCpp::start() else { return };
    let machine = Machine::new();
    let model = format!("openai:real@http://127.0.0.1:{}/v1", server.port);
    let args =
        ["compare", "one.md", "two.md", "--models", &model, "--trials", "2", "--max-tokens", "24", "--out", "cmp"];
    let said = machine.works(&args);
    assert!(said.contains("4 conversations, with the papers' text, go to http://127.0.0.1"), "{said}");
    let lines = machine.lines("cmp");
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert!(line["text"].as_str().is_some_and(|text| !text.trim().is_empty()), "{line}");
        let measured = &line["measured"];
        assert!(measured["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{line}");
        assert!(measured["output_characters"].as_u64().is_some_and(|written| written > 0), "{line}");
    }
    assert!(machine.works(&args).contains("all is answered"));
    machine.holds_no_key("cmp");

    let other = machine.settings().into_iter().map(|(name, value)| match name {
        "RONBUN_SERVER_KEY" => (name, "another-key".into()),
        _ => (name, value),
    });
    let mut program = Command::new(env!("CARGO_BIN_EXE_ronbun"));
    program.current_dir(machine.0.path()).env_clear().envs(other);
    program.args(["compare", "one.md", "--models", &model, "--trials", "1", "--out", "refused"]);
    let output = program.output().expect("runs");
    let stderr = super::text(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("does not take the key (401)"), "{stderr}");
    assert!(!stderr.contains("another-key") && !stderr.contains(KEY), "{stderr}");
}
