//! `ronbun compare`: models side by side on the same papers.

mod ask;
mod finish;

use super::args::{Compare, CompareCommand, Findings};
use super::config::Config;
use super::context::Context;
use crate::compare::store::Store;
use crate::{Error, Kind, Result};
use std::path::{Path, PathBuf};

pub fn run(context: &Context, config: &Config, args: Compare) -> Result<()> {
    match args.command {
        None => ask::run(context, config, args.experiment),
        Some(CompareCommand::Merge { dir, others, findings }) => merge(context, &dir, others, &findings),
    }
}

/// Where the answers of a folder lie; `suffix` tells shards apart.
fn answers_in(folder: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("answers{suffix}.sqlite"))
}

fn merge(context: &Context, folder: &Path, others: Vec<PathBuf>, findings: &Findings) -> Result<()> {
    let mut files = shards(folder)?;
    files.extend(others);
    let first = files.first().ok_or_else(|| {
        Error::new(Kind::Input, folder.display(), "holds no shards (answers-1-of-N.sqlite)")
            .hint("name the folder that `ronbun compare … --shard i/n --out` wrote to, or other answers.sqlite files")
    })?;
    let whole = answers_in(folder, "");
    let settings = match whole.is_file() {
        true => Store::existing(&whole)?.settings()?,
        false => Store::existing(first)?.settings()?,
    };
    let store = Store::open(&whole, &settings)?;
    for file in &files {
        let new = store.merge(file)?;
        context.progress.line(format!("{}: {new} new answers", file.display()));
    }
    finish::report(context, &store, folder, findings)
}

/// The files of shards in a folder, in order of their names.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| Error::new(Kind::Input, folder.display(), format!("cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("answers-") && name.ends_with(".sqlite") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
