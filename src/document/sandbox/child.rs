//! The child: reads one file, having given up everything else.

use super::{Limits, Request, Task};
use crate::document::{ocr, pdf, read_pdf, read_text};
use crate::{Error, Kind, Result};
use std::any::Any;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// Answers the request on stdin with a document or an error on stdout. What goes wrong on the way stands on stderr.
pub fn serve() -> ExitCode {
    end_with_parent();
    let answered = answer(&mut std::io::stdin().lock()).and_then(|answer| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(|error| error.to_string())
    });
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::from(Kind::Internal.exit_code())
        }
    }
}

/// The answer as JSON. Errors are those of the conversation itself.
fn answer(input: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let mut line = String::new();
    input.read_line(&mut line).map_err(|error| error.to_string())?;
    let request: Request = serde_json::from_str(&line).map_err(|error| format!("this is no request: {error}"))?;
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let answer = match request.task {
        Task::Read => serde_json::to_vec(&confined(&request, |file| read_pdf(file, &bytes, &request.options))),
        Task::Text(source) => {
            serde_json::to_vec(&confined(&request, |file| read_text(file, &bytes, source, &request.options)))
        }
        Task::Picture(page) => serde_json::to_vec(&confined(&request, |file| {
            pdf::picture(file, &bytes, &request.options, page, ocr::RESOLUTION)
        })),
        Task::Pictures(width) => {
            serde_json::to_vec(&confined(&request, |file| pdf::pictures(file, &bytes, &request.options, width)))
        }
    };
    answer.map_err(|error| error.to_string())
}

/// Does `work` with PDFium, where the task is about a PDF, and with nothing else.
fn confined<T>(request: &Request, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    if !matches!(request.task, Task::Text(_)) {
        pdf::prepare(&request.options.library)?;
    }
    give_up_all_else(&request.limits);
    catch_unwind(AssertUnwindSafe(|| work(Path::new(&request.file)))).unwrap_or_else(|panic| {
        Err(Error::new(Kind::Internal, &request.file, format!("this is a bug in ronbun: {}", message(panic.as_ref())))
            .hint("report it with the file; the other papers are not affected"))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// A reader whose parent was killed has nobody to read for.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

fn give_up_all_else(limits: &Limits) {
    limits.apply();
    #[cfg(target_os = "linux")]
    for missing in super::confine::confine() {
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_told() {
        for input in ["", "{}\n", "%PDF-1.7\n"] {
            let problem = answer(&mut input.as_bytes()).expect_err(input);
            assert!(problem.contains("no request"), "{problem}");
        }
    }
}
