//! What a comparison's folder holds beside its answers.

use crate::cli::args::Findings;
use crate::cli::context::Context;
use crate::compare::{export, store::Store};
use crate::{Result, report};
use std::path::Path;

/// Writes what the answers come to.
pub fn report(context: &Context, store: &Store, folder: &Path, _findings: &Findings) -> Result<()> {
    let answers = folder.join("answers.jsonl");
    report::write(&answers, export::jsonl(store)?.as_bytes())?;
    context.progress.line(format!("written: {}", answers.display()));
    Ok(())
}
