//! `ronbun ask`: the user's own questions about one paper, given at once or typed one after the other.

use super::args::Ask;
use super::context::Context;
use super::destination::Destination;
use super::engine;
use super::output::{self, Reader};
use super::reading::{Paper, read_one};
use super::session::Session;
use super::{inputs, template};
use crate::report::{Form, Summary};
use crate::{Error, Kind, Result, interrupt};
use std::io::{BufRead, IsTerminal, Write};

pub fn run(context: &Context, mut args: Ask) -> Result<()> {
    engine::prepare(&args.generation.local)?;
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
    hub.check_name(args.generation.model())?;
    let paper = read_one(context, &hub, &args.reading, input)?;
    destination.spare([paper.file.as_path()].into_iter())?;
    let mut session = Session::open(context, &hub, &args.generation, args.leave_out.selection(), template)?;
    session.tell_left_out(&paper.document);
    if typed {
        return converse(&mut session, &paper, destination.form());
    }
    let summary = session.ask(&paper.document, paper.seconds, &args.questions, false)?;
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
        let plain = matches!(form, Form::Markdown | Form::Text);
        let aloud = plain && std::io::stdout().is_terminal();
        let summary = session.ask(&paper.document, paper.seconds, &[line.trim().to_string()], aloud)?;
        let text = match plain {
            true if aloud => after_aloud(&summary),
            true => summary.answers.iter().map(|answer| answer.text.clone() + "\n\n").collect(),
            false => summary.render(form)?,
        };
        if output::print(&text)? == Reader::Gone {
            return Ok(());
        }
    }
}

/// What is left to say of an answer that was seen as it was written: the text as it was checked, where the check changed
/// something in it, and its warnings.
fn after_aloud(summary: &Summary) -> String {
    let mut text = "\n\n".to_string();
    for answer in &summary.answers {
        if answer.attempts > 1 || !answer.removed_links.is_empty() || !answer.warnings.is_empty() {
            let warnings: Vec<String> = answer.warnings.iter().map(|warning| format!("({warning})\n")).collect();
            text.push_str(&format!("checked:\n{}\n{}\n", answer.text, warnings.concat()));
        }
    }
    text
}
