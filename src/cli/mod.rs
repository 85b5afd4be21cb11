//! Arguments → work → exit code. Every error of the program ends here, as lines on stderr and one exit code.

mod args;
mod ask;
mod bench;
mod compare;
mod config;
mod context;
mod destination;
mod doctor;
mod engine;
mod eval;
mod evals;
mod extract;
mod inputs;
mod machine;
mod manual;
mod models;
mod output;
mod plan;
mod reading;
mod rope;
mod session;
mod summarize;
mod template;
mod watch;

use crate::document::sandbox;
use crate::{Error, Kind, Result, interrupt};
use args::{Cli, Command};
use clap::Parser;
use config::{Config, Over};
use context::Context;
use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    set_hook(Box::new(|panic| report_panic(panic.payload(), panic.location())));
    match catch_unwind(AssertUnwindSafe(start)) {
        Ok(code) => code,
        Err(_) => ExitCode::from(Kind::Internal.exit_code()),
    }
}

fn start() -> ExitCode {
    // Before anything of a command line is looked at: a reader of PDFs needs neither settings nor Ctrl-C.
    if std::env::args_os().nth(1).is_some_and(|first| first == sandbox::COMMAND) {
        return sandbox::serve();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are no errors; a reader who has gone does not care.
            let _ = answer.print();
            return if answer.use_stderr() { ExitCode::from(Kind::Usage.exit_code()) } else { ExitCode::SUCCESS };
        }
    };
    match watch_for_interrupts().and_then(|()| dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<()> {
    let config = Config::load(cli.common.config.as_deref());
    if let Command::Doctor(args) = cli.command {
        // The doctor also tells what is wrong with the configuration.
        return doctor::run(cli.common, config, args);
    }
    let config = config?;
    let context = Context::new(cli.common.over(&config));
    if let Command::Summarize(_) | Command::Ask(_) | Command::Bench(_) | Command::Eval(_) | Command::Compare(_) =
        cli.command
    {
        ronbun_kernels::isa::fallback().into_iter().for_each(|line| context.progress.line(line));
    }
    match cli.command {
        Command::Summarize(args) => summarize::run(&context, args.over(&config)),
        Command::Ask(args) => ask::run(&context, args.over(&config)),
        Command::Extract(args) => extract::run(&context, args.over(&config)),
        Command::Models(command) => models::run(&context, command),
        Command::Template(command) => template::run(command),
        Command::Bench(args) => bench::run(&context, args.over(&config)),
        Command::Eval(command) => eval::run(&context, command),
        Command::Compare(args) => compare::run(&context, &config, *args),
        Command::Rope(command) => rope::run(&context, command),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { out } => manual::man(out.as_deref()),
        Command::Doctor(_) => Ok(()),
    }
}

/// The first Ctrl-C asks work to stop at its next step; the second ends the process.
fn watch_for_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if interrupt::requested() {
            #[allow(
                clippy::disallowed_methods,
                reason = "the user asked twice; unfinished files have temporary names"
            )]
            std::process::exit(i32::from(Kind::Interrupted.exit_code()));
        }
        interrupt::request();
        let _ = writeln!(std::io::stderr(), "stopping at the next step; Ctrl-C again stops at once");
    })
    .map_err(|error| Error::new(Kind::Internal, "Ctrl-C", format!("cannot be watched: {error}")))
}

fn report_panic(payload: &dyn Any, location: Option<&std::panic::Location>) {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let at = location.map(|location| format!(" ({location})")).unwrap_or_default();
    let line = output::printable(&format!("this is a bug in ronbun: {message}{at}"));
    let _ = writeln!(std::io::stderr(), "error: {line}");
}
