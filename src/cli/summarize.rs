//! `ronbun summarize`: a template of questions about one paper or many.

use super::args::{AskMode, Summarize};
use super::context::Context;
use super::destination::Destination;
use super::engine;
use super::output::{self, Reader};
use super::reading::{Paper, read_all};
use super::session::Session;
use super::{inputs, template};
use crate::{Error, Kind, Result, interrupt};
use std::time::Instant;

/// What became of one paper, for the closing table.
struct Row {
    name: String,
    /// Where its result went.
    result: Result<String>,
    /// Reading and answering.
    seconds: f64,
}

/// Answers every paper that can be read. The error is the paper's own where there is one paper, else what stopped the
/// work, else `Partial` if some papers failed.
pub fn run(context: &Context, args: Summarize) -> Result<()> {
    engine::prepare(&args.generation.local)?;
    let template = template::find(args.template.as_deref(), args.generation.lang.as_deref())?;
    let inputs = inputs::expand(&args.inputs);
    let several = inputs.len() > 1;
    let mut destination = Destination::new(args.output.out.as_deref(), args.output.format, several)?;
    let hub = context.hub()?;
    hub.check_name(args.generation.model())?;
    let papers = read_all(context, &hub, &args.reading, inputs)?;
    if several {
        papers.iter().filter_map(|(_, paper)| paper.as_ref().err()).for_each(output::complain);
    }
    let mut rows = Vec::new();
    let mut stopped = Ok(());
    if papers.iter().any(|(_, paper)| paper.is_ok()) {
        destination.spare(papers.iter().filter_map(|(_, paper)| Some(paper.as_ref().ok()?.file.as_path())))?;
        let mut session = Session::open(context, &hub, &args.generation, args.leave_out.selection(), template)?;
        let ask = args.ask.unwrap_or(AskMode::Each);
        stopped = answer_all(papers, &mut rows, |paper| {
            let summary = session.summarize(&paper.document, paper.seconds, ask)?;
            destination.write(&paper.file, &summary)
        });
        destination.close()?;
    } else {
        rows.extend(papers.into_iter().filter_map(|(name, paper)| Some(Row::unread(name, paper.err()?))));
        destination.close()?;
    }
    if several {
        context.progress.line(closing_table(&rows).trim_end());
    }
    stopped.and_then(|()| verdict(&rows))
}

/// Answers one paper after the other. The error is what stops the whole work: Ctrl-C, or a result that cannot be written.
fn answer_all(
    papers: Vec<(String, Result<Paper>)>,
    rows: &mut Vec<Row>,
    mut answer: impl FnMut(&Paper) -> Result<(String, Reader)>,
) -> Result<()> {
    let several = papers.len() > 1;
    for (name, paper) in papers {
        let paper = match paper {
            Ok(paper) => paper,
            Err(error) => {
                rows.push(Row::unread(name, error));
                continue;
            }
        };
        let start = Instant::now();
        let answered = interrupt::check().and_then(|()| answer(&paper));
        let seconds = paper.seconds + start.elapsed().as_secs_f64();
        let reader = answered.as_ref().map_or(Reader::Here, |(_, reader)| *reader);
        let result = answered.map(|(place, _)| place);
        rows.push(Row { name, result: result.clone(), seconds });
        match result {
            Err(error) if matches!(error.kind, Kind::Interrupted | Kind::Output) => return Err(error),
            Err(error) if several => output::complain(&error),
            _ => {}
        }
        if reader == Reader::Gone {
            return Ok(());
        }
    }
    Ok(())
}

impl Row {
    fn unread(name: String, error: Error) -> Row {
        Row { name, result: Err(error), seconds: 0.0 }
    }
}

fn closing_table(rows: &[Row]) -> String {
    let mut cells = vec![vec!["paper".to_string(), "time".into(), "result".into()]];
    for row in rows {
        let result = match &row.result {
            Ok(place) => place.clone(),
            Err(error) => format!("failed: {}", error.problem),
        };
        let name = output::printable(&row.name);
        cells.push(vec![name, format!("{:.1} s", row.seconds), output::printable(&result)]);
    }
    output::table(&cells)
}

/// `Partial` where some papers failed, the first error's kind where all did.
fn verdict(rows: &[Row]) -> Result<()> {
    let errors: Vec<&Error> = rows.iter().filter_map(|row| row.result.as_ref().err()).collect();
    let (failed, all) = (errors.len(), rows.len());
    match errors.first() {
        None => Ok(()),
        Some(&error) if all == 1 => Err(error.clone()),
        Some(error) if failed == all => Err(Error::new(error.kind, "summarize", format!("all {all} papers failed"))),
        Some(_) => {
            let problem = format!("{failed} of {all} papers failed; the others are answered");
            Err(Error::new(Kind::Partial, "summarize", problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Source};

    fn paper(name: &str, readable: bool) -> (String, Result<Paper>) {
        let document = Document::empty(name, Source::Pdf);
        let paper = Paper { file: name.into(), document, seconds: 0.5 };
        (name.into(), if readable { Ok(paper) } else { Err(Error::new(Kind::Damaged, name, "is damaged")) })
    }

    fn place(paper: &Paper) -> Result<(String, Reader)> {
        Ok((format!("{}.md", paper.document.file), Reader::Here))
    }

    #[test]
    fn a_bad_paper_among_twenty_stops_nothing() {
        let papers = (0..20).map(|number| paper(&format!("p{number}"), number != 7)).collect();
        let mut rows = Vec::new();
        answer_all(papers, &mut rows, place).expect("goes through");
        assert_eq!(rows.iter().filter(|row| row.result.is_ok()).count(), 19);
        assert!(closing_table(&rows).contains("failed: is damaged"));
        let error = verdict(&rows).expect_err("one failed");
        assert_eq!(error.kind, Kind::Partial);
        assert!(error.problem.contains("1 of 20"), "{error}");
    }

    #[test]
    fn a_paper_that_cannot_be_answered_stops_nothing_either() {
        let papers = vec![paper("long", true), paper("short", true)];
        let mut rows = Vec::new();
        answer_all(papers, &mut rows, |paper| match paper.document.file.as_str() {
            "long" => Err(Error::new(Kind::Context, "long", "is too long")),
            _ => place(paper),
        })
        .expect("goes through");
        assert_eq!(rows[1].result, Ok("short.md".into()));
        assert_eq!(verdict(&rows).expect_err("one failed").kind, Kind::Partial);
    }

    #[test]
    fn ctrl_c_and_a_full_disk_end_the_work_and_keep_what_is_done() {
        for kind in [Kind::Interrupted, Kind::Output] {
            let papers = vec![paper("a", true), paper("b", true), paper("c", true)];
            let mut rows = Vec::new();
            let stopped = answer_all(papers, &mut rows, |paper| match paper.document.file.as_str() {
                "b" => Err(Error::new(kind, "b", "stop")),
                _ => place(paper),
            });
            assert_eq!(stopped.expect_err("stopped").kind, kind);
            assert_eq!(rows.len(), 2);
            assert!(rows[0].result.is_ok());
        }
    }

    #[test]
    fn one_paper_keeps_its_own_error_and_a_gone_reader_is_none() {
        let mut rows = Vec::new();
        answer_all(vec![paper("a", false)], &mut rows, place).expect("goes through");
        assert_eq!(verdict(&rows).expect_err("damaged").kind, Kind::Damaged);
        let mut rows = Vec::new();
        let papers = vec![paper("a", true), paper("b", true)];
        answer_all(papers, &mut rows, |_| Ok(("stdout".into(), Reader::Gone))).expect("quiet");
        assert_eq!((rows.len(), verdict(&rows)), (1, Ok(())));
    }
}
