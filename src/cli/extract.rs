//! `ronbun extract`: the text that ronbun reads in a PDF, without any model.

use super::args::{Extract, PlainFormat};
use super::context::Context;
use super::destination::{check_parent, spare};
use super::inputs::expand_one_paper;
use super::output;
use super::reading::read_one;
use crate::{Result, report};

pub fn run(context: &Context, args: Extract) -> Result<()> {
    let input = expand_one_paper(&args.input)?;
    if let Some(out) = &args.out {
        check_parent(out)?;
    }
    let paper = read_one(context, &context.hub()?, &args.reading, input)?;
    let text = match args.format {
        PlainFormat::Text => paper.document.text() + "\n",
        PlainFormat::Json => output::json(&args.input, &paper.document)?,
    };
    match &args.out {
        None => output::finish(&text),
        Some(out) => {
            spare(out, &paper.file)?;
            report::write(out, text.as_bytes())
        }
    }
}
