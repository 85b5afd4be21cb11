//! `ronbun extract`: what ronbun reads in a paper, without any model.

use super::args::{Extract, Format, Only};
use super::context::Context;
use super::destination::{check_parent, spare};
use super::inputs::expand_one_paper;
use super::output;
use super::plan;
use super::reading::{Paper, pictures, read_one};
use crate::document::{Block, BlockKind, Document, Link, Reference, forms};
use crate::{Result, report};

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
        (_, None) => whole(context, &args, &paper)?,
    };
    match &args.out {
        None => output::finish(&text),
        Some(out) => {
            spare(out, &paper.file)?;
            report::write(out, text.as_bytes())
        }
    }
}

/// Pixels across the picture of a page: sharp enough to read, small enough for a long paper.
const PICTURE_WIDTH: u16 = 800;

/// As JSON everything; in the other forms what goes to the model.
fn whole(context: &Context, args: &Extract, paper: &Paper) -> Result<String> {
    if args.format == Format::Json {
        return output::json(&args.input, &paper.document);
    }
    let selection = args.leave_out.selection();
    let left_out = paper.document.left_out(&selection);
    if !left_out.is_empty() {
        context.progress.line(format!("{}: left out, as asked: {left_out}", paper.document.file));
    }
    let blocks = paper.document.chosen(&selection).cloned().collect();
    let chosen = Document { blocks, ..paper.document.clone() };
    Ok(match args.format {
        Format::Md => forms::markdown(&chosen),
        Format::Html => forms::html(&chosen, &pictures(context, &args.reading, paper, PICTURE_WIDTH)?),
        Format::Text | Format::Json => forms::text(&chosen) + "\n",
    })
}

fn part(args: &Extract, only: Only, document: &Document) -> Result<String> {
    let lines = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect();
    if args.format != Format::Json {
        return Ok(match only {
            Only::Body => forms::body(document) + "\n",
            Only::References => lines(document.references.iter().map(entry).collect()),
            Only::Links => lines(document.links.iter().map(link).collect()),
            Only::Tables => forms::tables(document),
        });
    }
    let blocks = |wanted: fn(&Block) -> bool| document.blocks.iter().filter(|block| wanted(block)).collect::<Vec<_>>();
    match only {
        Only::Body => output::json(&args.input, &blocks(Block::is_body)),
        Only::References => output::json(&args.input, &document.references),
        Only::Links => output::json(&args.input, &document.links),
        Only::Tables => output::json(&args.input, &blocks(|block| matches!(block.kind, BlockKind::Table { .. }))),
    }
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
