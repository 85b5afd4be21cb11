//! `ronbun extract`: what ronbun reads in a paper, without any model.

use super::args::{Extract, Only, PlainFormat};
use super::context::Context;
use super::destination::{check_parent, spare};
use super::inputs::expand_one_paper;
use super::output;
use super::plan;
use super::reading::read_one;
use crate::document::{Document, Link, Reference, forms};
use crate::{Result, report};
use serde_json::json;

pub fn run(context: &Context, args: Extract) -> Result<()> {
    let input = expand_one_paper(&args.input)?;
    if let Some(out) = &args.out {
        check_parent(out)?;
    }
    let hub = context.hub()?;
    let paper = read_one(context, &hub, &args.reading, input)?;
    let text = match (args.plan, args.only) {
        (true, _) => plan::render(context, &hub, &args, &paper.document)?,
        (_, Some(only)) => part(&args, only, &paper.document)?,
        (_, None) => whole(context, &args, &paper.document)?,
    };
    match &args.out {
        None => output::finish(&text),
        Some(out) => {
            spare(out, &paper.file)?;
            report::write(out, text.as_bytes())
        }
    }
}

/// As text what the model gets, as JSON everything.
fn whole(context: &Context, args: &Extract, document: &Document) -> Result<String> {
    if args.format == PlainFormat::Json {
        return output::json(&args.input, document);
    }
    let selection = args.leave_out.selection();
    let left_out = document.left_out(&selection);
    if !left_out.is_empty() {
        context.progress.line(format!("{}: left out, as asked: {left_out}", document.file));
    }
    Ok(document.select(&selection) + "\n")
}

fn part(args: &Extract, only: Only, document: &Document) -> Result<String> {
    let lines = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect();
    if args.format == PlainFormat::Text {
        return Ok(match only {
            Only::Body => forms::body(document) + "\n",
            Only::References => lines(document.references.iter().map(entry).collect()),
            Only::Links => lines(document.links.iter().map(link).collect()),
        });
    }
    let value = match only {
        Only::Body => json!(document.blocks.iter().filter(|block| block.is_body()).collect::<Vec<_>>()),
        Only::References => json!(document.references),
        Only::Links => json!(document.links),
    };
    output::json(&args.input, &value)
}

fn entry(reference: &Reference) -> String {
    let text = output::printable(&reference.text);
    match &reference.label {
        Some(label) if !text.contains(label) => format!("[{}] {text}", output::printable(label)),
        _ => text,
    }
}

/// URL, page and kind, with tabs between them.
fn link(link: &Link) -> String {
    let kind = serde_json::to_value(link.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
    format!("{}\tp. {}\t{kind}", output::printable(&link.url), link.page)
}
