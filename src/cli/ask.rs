//! `ronbun ask`: the user's own questions about one paper, given at once or typed one after the other.

use super::args::Ask;
use super::context::Context;
use super::destination::Destination;
use super::engine::check_device;
use super::output::{self, Reader};
use super::reading::{Paper, read_one};
use super::session::Session;
use super::{inputs, template};
use crate::report::Form;
use crate::{Error, Kind, Result, interrupt};
use std::io::{BufRead, IsTerminal, Write};

pub fn run(context: &Context, mut args: Ask) -> Result<()> {
    check_device(args.generation.device)?;
    let template = template::find(None, args.generation.lang.as_deref())?;
    let input = inputs::expand_one_paper(&args.input)?;
    let mut destination = Destination::new(args.output.out.as_deref(), args.output.format, false)?;
    let typed = args.questions.is_empty() && std::io::stdin().is_terminal() && args.output.out.is_none();
    if args.questions.is_empty() && !typed {
        args.questions = questions_from_stdin()?;
    }
    if !typed && args.questions.iter().all(|question| question.trim().is_empty()) {
        return Err(
            Error::new(Kind::Usage, "ask", "no question was given").hint("ronbun ask paper.pdf 'Is there code?'")
        );
    }
    let hub = context.hub()?;
    let paper = read_one(context, &hub, &args.reading, input)?;
    destination.spare([paper.file.as_path()].into_iter())?;
    let mut session = Session::open(context, &hub, &args.generation, template)?;
    if typed {
        return converse(&mut session, &paper, destination.form());
    }
    let summary = session.ask(&paper.document, paper.seconds, &args.questions)?;
    destination.write(&paper.file, &summary).map(|_| ())
}

fn questions_from_stdin() -> Result<Vec<String>> {
    let lines = std::io::stdin().lock().lines().collect::<std::io::Result<Vec<_>>>();
    let lines = lines.map_err(|error| Error::new(Kind::Input, "stdin", format!("cannot be read: {error}")))?;
    Ok(lines.into_iter().filter(|line| !line.trim().is_empty()).collect())
}

/// Question by question, until the end of the input or an empty line.
fn converse(session: &mut Session, paper: &Paper, form: Form) -> Result<()> {
    loop {
        interrupt::check()?;
        let _ = write!(std::io::stderr(), "question (empty line to end): ");
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|error| Error::new(Kind::Input, "stdin", format!("cannot be read: {error}")))?;
        if line.trim().is_empty() {
            return Ok(());
        }
        let summary = session.ask(&paper.document, paper.seconds, &[line.trim().to_string()])?;
        let text = match form {
            Form::Markdown | Form::Text => summary.answers.iter().map(|answer| answer.text.clone() + "\n\n").collect(),
            form => summary.render(form)?,
        };
        if output::print(&text)? == Reader::Gone {
            return Ok(());
        }
    }
}
