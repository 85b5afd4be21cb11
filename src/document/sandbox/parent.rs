//! The parent: starts the child, feeds it, and says what became of it.

use super::{COMMAND, Limits, Request, Task};
use crate::document::input::{self, Input};
use crate::document::{Document, Picture, ReadOptions, Source, ocr, read_text, sources};
use crate::progress::Progress;
use crate::{Error, Kind, Result, interrupt};
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// How often a child that works is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What the child may inherit: where programs and libraries are found, and nothing of the user's.
const ENVIRONMENT: [&str; 5] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "RUST_BACKTRACE"];
/// Bytes kept of what the child says on stderr.
const LONGEST_REMARK: u64 = 16 << 10;
const HINT: &str = "the file may be damaged, or made to do harm: repair it (qpdf, mutool clean) or fetch it again";

/// Reads files in a process of their own, one process for each file.
pub struct Sandbox {
    program: PathBuf,
    limits: fn(usize) -> Limits,
    progress: Progress,
}

/// Why a child was stopped before it had answered.
enum Stopped {
    Interrupted(Error),
    Time,
    Memory,
}

/// What is left of a child.
struct Ended {
    status: ExitStatus,
    stopped: Option<Stopped>,
    answer: Vec<u8>,
    /// Its last words, for `--verbose` and for telling why it ended.
    remarks: String,
}

impl Sandbox {
    /// `program`: whatever calls [`super::serve`] when its first argument is [`COMMAND`].
    pub fn new(program: PathBuf, progress: Progress) -> Sandbox {
        Sandbox { program, limits: Limits::of_file, progress }
    }

    /// With other limits than [`Limits::of_file`].
    pub fn limits(self, limits: fn(usize) -> Limits) -> Sandbox {
        Sandbox { limits, ..self }
    }

    /// As [`Document::read`], whose errors it has. Besides, [`Kind::Damaged`] where the reader crashed on the file or went
    /// over a limit, [`Kind::Internal`] for a panic, and [`Kind::Unavailable`] where no process could be started.
    pub fn read(&self, file: &Path, options: &ReadOptions) -> Result<Document> {
        let Input { source, bytes } = input::open(file)?;
        let confined = Confined { sandbox: self, file, bytes: &bytes };
        let document = match source {
            Source::Pdf => ocr::read(&confined, options)?,
            // What lies beside it belongs to it, and a child reads no other files.
            Source::Latex if sources::has_neighbours(&bytes) => read_text(file, &bytes, source, options)?,
            _ => confined.document(Task::Text(source), options)?,
        };
        Ok(document.of_file(file, &bytes))
    }

    /// As [`Document::pictures`]. Errors: those of [`Sandbox::read`].
    pub fn pictures(&self, file: &Path, options: &ReadOptions, width: u16) -> Result<Vec<Picture>> {
        self.ask(Task::Pictures(width), file, &input::read_pdf(file)?, options)
    }

    /// What a child answers to `task`.
    fn ask<T: DeserializeOwned>(&self, task: Task, file: &Path, bytes: &[u8], options: &ReadOptions) -> Result<T> {
        let limits = (self.limits)(bytes.len());
        let request = Request { task, file: file.display().to_string(), options: options.clone(), limits };
        let ended = self.run(&request, bytes)?;
        for line in ended.remarks.lines() {
            self.progress.detail(format!("reader: {line}"));
        }
        ended.answer(&request)
    }

    fn run(&self, request: &Request, bytes: &[u8]) -> Result<Ended> {
        let broken = |problem: String| Error::new(Kind::Internal, &request.file, problem);
        let mut line =
            serde_json::to_vec(request).map_err(|error| broken(format!("cannot be handed to the reader: {error}")))?;
        line.push(b'\n');
        let mut child = self.start().map_err(|error| {
            Error::new(Kind::Unavailable, &request.file, format!("the reader cannot be started: {error}"))
                .hint(format!("{} must be allowed to start itself", self.program.display()))
        })?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(broken("the reader has no pipes".into()));
        };
        std::thread::scope(|scope| {
            // A child that ends early reads no further; its own answer tells why.
            scope.spawn(move || stdin.write_all(&line).and_then(|()| stdin.write_all(bytes)));
            let (answered, has_answered) = mpsc::channel();
            let answer = scope.spawn(move || {
                let answer = at_most(stdout, request.limits.output + 1);
                // The one who waits may have given up.
                let _ = answered.send(());
                answer
            });
            let remarks = scope.spawn(|| at_most(stderr, LONGEST_REMARK));
            let (status, stopped) = watch(&mut child, &request.limits, &has_answered);
            let status = status.map_err(|error| broken(format!("the reader is lost: {error}")))?;
            let answer = answer.join().unwrap_or_default();
            let remarks = String::from_utf8_lossy(&remarks.join().unwrap_or_default()).into_owned();
            Ok(Ended { status, stopped, answer, remarks })
        })
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg(COMMAND).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for the parent, who ends the child.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }
}

/// A file that children look at.
struct Confined<'a> {
    sandbox: &'a Sandbox,
    file: &'a Path,
    bytes: &'a [u8],
}

impl Confined<'_> {
    fn document(&self, task: Task, options: &ReadOptions) -> Result<Document> {
        let document: Document = self.sandbox.ask(task, self.file, self.bytes, options)?;
        if is_sound(&document) {
            return Ok(document);
        }
        let problem = "the reader's answer points to what is not there";
        Err(Error::new(Kind::Internal, self.file.display(), problem))
    }
}

impl ocr::Look for Confined<'_> {
    fn read(&self, options: &ReadOptions) -> Result<Document> {
        self.document(Task::Read, options)
    }

    fn picture(&self, page: u32, options: &ReadOptions) -> Result<ocr::Picture> {
        self.sandbox.ask(Task::Picture(page), self.file, self.bytes, options)
    }
}

/// Whatever comes, up to `most` bytes; the pipe is closed then, and a child that goes on writing ends.
fn at_most(pipe: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.take(most).read_to_end(&mut bytes);
    bytes
}

/// Waits for the child's end, and ends it where it goes too far. `has_answered` tells that no more is coming from it.
fn watch(
    child: &mut Child,
    limits: &Limits,
    has_answered: &mpsc::Receiver<()>,
) -> (std::io::Result<ExitStatus>, Option<Stopped>) {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return (Ok(status), None),
            Ok(None) => {}
            Err(error) => {
                kill(child);
                return (Err(error), None);
            }
        }
        let stopped = match interrupt::check() {
            Err(error) => Some(Stopped::Interrupted(error)),
            Ok(()) if start.elapsed().as_secs() >= limits.seconds => Some(Stopped::Time),
            Ok(()) if memory(child) > limits.memory => Some(Stopped::Memory),
            Ok(()) => None,
        };
        if stopped.is_some() {
            kill(child);
            return (child.wait(), stopped);
        }
        // A child that has answered is about to end.
        if has_answered.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Ends the child, and with it whatever it may have started.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}

/// Resident bytes of the child.
fn memory(child: &Child) -> u64 {
    let (mut system, id) = (System::new(), Pid::from_u32(child.id()));
    let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, what);
    system.process(id).map_or(0, |process| process.memory())
}

impl Ended {
    fn answer<T: DeserializeOwned>(self, request: &Request) -> Result<T> {
        let limits = &request.limits;
        let damaged = |problem: String| Error::new(Kind::Damaged, &request.file, problem).hint(HINT);
        let megabytes = limits.memory / 1_000_000;
        match self.stopped {
            Some(Stopped::Interrupted(error)) => return Err(error),
            Some(Stopped::Time) => {
                return Err(damaged(format!("the reader took longer than {} s for it", limits.seconds)));
            }
            Some(Stopped::Memory) => {
                return Err(damaged(format!("the reader needed more than {megabytes} MB for it")));
            }
            None => {}
        }
        if self.answer.len() as u64 > limits.output {
            let most = limits.output / 1_000_000;
            return Err(damaged(format!("the reader found more than {most} MB of text and places in it")));
        }
        if !self.status.success() {
            return Err(damaged(match end(&self.status, &self.remarks) {
                End::Memory => format!("the reader needed more than {megabytes} MB for it"),
                End::Time => format!("the reader computed longer than {} s on it", limits.cpu_seconds),
                End::Crash(how) => format!("the reader crashed on it ({how})"),
            }));
        }
        let answer: Result<T> = serde_json::from_slice(&self.answer).map_err(|error| {
            Error::new(Kind::Internal, &request.file, format!("the reader's answer makes no sense: {error}"))
        })?;
        answer
    }
}

/// How a child ended by itself.
#[derive(Debug, PartialEq)]
enum End {
    Memory,
    Time,
    Crash(String),
}

fn end(status: &ExitStatus, remarks: &str) -> End {
    // Rust's and C++'s own last words when an allocation fails.
    if remarks.contains("memory allocation of") || remarks.contains("bad_alloc") || remarks.contains("Out of memory") {
        return End::Memory;
    }
    #[cfg(unix)]
    if std::os::unix::process::ExitStatusExt::signal(status) == Some(rustix::process::Signal::XCPU.as_raw()) {
        return End::Time;
    }
    End::Crash(status.to_string())
}

/// Whether indices lead to something: a child that a file has taken over may answer anything.
fn is_sound(document: &Document) -> bool {
    let block = |index: usize| document.blocks.get(index);
    document.references.iter().all(|reference| block(reference.block).is_some())
        && document.citations.iter().all(|citation| {
            block(citation.block).is_some_and(|block| block.text.is_char_boundary(citation.start))
                && citation.references.iter().all(|&index| index < document.references.len())
        })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// A file that passes for a PDF, and a program that does `script` in the reader's place.
    fn reader(script: &str) -> (TempDir, Sandbox, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (paper, program) = (folder.path().join("paper.pdf"), folder.path().join("reader"));
        std::fs::write(&paper, [b"%PDF-1.7\n".to_vec(), vec![b' '; 1 << 20]].concat()).expect("written");
        // Copied by another process: what this one has open for writing cannot be run while a sibling test forks.
        let text = folder.path().join("text");
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).expect("written");
        assert!(Command::new("cp").arg(&text).arg(&program).status().expect("copies").success());
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        let limits = |_| Limits { memory: 64_000_000, cpu_seconds: 9, seconds: 1, output: 1000 };
        let sandbox = Sandbox::new(program, Progress::silent()).limits(limits);
        (folder, sandbox, paper)
    }

    /// The document as a reader's answer.
    fn json(document: Document) -> String {
        let answer: Result<Document> = Ok(document);
        serde_json::to_string(&answer).expect("JSON")
    }

    fn failure(script: &str) -> Error {
        let (_folder, sandbox, paper) = reader(script);
        sandbox.read(&paper, &ReadOptions::default()).expect_err(script)
    }

    #[test]
    fn each_way_to_fail_is_one_error_with_a_hint() {
        for (script, part) in [
            ("kill -SEGV $$", "crashed on it (signal: 11"),
            ("kill -XCPU $$", "computed longer than 9 s"),
            ("exit 3", "crashed on it (exit status: 3)"),
            ("echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$", "needed more than 64 MB"),
            ("sleep 60", "took longer than 1 s"),
            ("exec tail /dev/zero", "needed more than 64 MB"),
            ("exec yes", "more than 0 MB of text"),
        ] {
            let start = Instant::now();
            let error = failure(script);
            assert_eq!(error.kind, Kind::Damaged, "{script}: {error}");
            assert!(error.problem.contains(part), "{script}: {error}");
            assert!(error.subject.ends_with("paper.pdf") && error.hint.is_some(), "{error}");
            assert!(start.elapsed().as_secs() < 30, "{script}: {:?}", start.elapsed());
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_refused() {
        for script in ["echo hello", "echo '{\"Ok\":null}'", "true"] {
            let error = failure(script);
            assert_eq!(error.kind, Kind::Internal, "{script}: {error}");
            assert!(error.problem.contains("makes no sense"), "{error}");
        }
        let mut document = Document::empty("x", crate::document::Source::Pdf);
        let citation = crate::document::Citation { text: "[1]".into(), block: 7, start: 0, references: vec![] };
        document.citations.push(citation);
        let error = failure(&format!("cat <<'END'\n{}\nEND", json(document)));
        assert!(error.problem.contains("points to what is not there"), "{error}");
    }

    #[test]
    fn a_document_has_the_name_and_hash_of_the_file_whatever_the_reader_says() {
        let document = Document::empty("another name", crate::document::Source::Pdf);
        let answer = json(document);
        let (_folder, sandbox, paper) = reader(&format!("cat > /dev/null; echo '{answer}'"));
        let document = sandbox.read(&paper, &ReadOptions::default()).expect("an answer");
        assert_eq!((document.file.as_str(), document.sha256.len()), ("paper.pdf", 64));
    }

    #[test]
    fn a_reader_that_cannot_be_started_is_told() {
        let (folder, _, paper) = reader("true");
        let sandbox = Sandbox::new(folder.path().join("none"), Progress::silent());
        let error = sandbox.read(&paper, &ReadOptions::default()).expect_err("no program");
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.problem.contains("cannot be started"), "{error}");
    }
}
