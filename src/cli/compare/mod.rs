//! `ronbun compare`: models side by side on the same papers.

mod ask;
mod embed;
mod finish;
mod judge;
mod lists;
mod models;
mod watch;

use super::args::{Compare, CompareCommand, Findings};
use super::config::Config;
use super::context::Context;
use crate::compare::import::{Imported, Mapping};
use crate::compare::store::Store;
use crate::{Error, Kind, Result};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(context: &Context, config: &Config, args: Compare) -> Result<()> {
    match args.command {
        None => ask::run(context, config, args.experiment),
        Some(CompareCommand::Import { files, mapping, out, findings }) => {
            import(context, &files, mapping.as_deref(), &out, &findings)
        }
        Some(CompareCommand::Report { dir, findings }) => {
            finish::report(context, &Store::existing(&answers_in(&dir, ""))?, &dir, &findings)
        }
        Some(CompareCommand::Judge(args)) => judge::run(context, config, *args),
        Some(CompareCommand::Merge { dir, others, findings }) => merge(context, &dir, others, &findings),
        Some(CompareCommand::Prices { costs, source }) => lists::prices(&costs, source),
        Some(CompareCommand::Published) => lists::published(),
    }
}

/// Takes answers from elsewhere into a folder's comparison, or begins one with them.
fn import(
    context: &Context,
    files: &[PathBuf],
    mapping: Option<&Path>,
    folder: &Path,
    findings: &Findings,
) -> Result<()> {
    let mapping = mapping.map(Mapping::read).transpose()?;
    let read =
        files.iter().map(|file| Ok((file, Imported::read(file, mapping.as_ref())?))).collect::<Result<Vec<_>>>()?;
    make(folder)?;
    let path = answers_in(folder, "");
    let store = match path.is_file() {
        true => Store::existing(&path)?,
        false => {
            let language = mapping.as_ref().and_then(|mapping| mapping.language.clone());
            Store::open(&path, &json!({ "language": language, "ask": "elsewhere" }))?
        }
    };
    for (file, imported) in read {
        let (new, all) = (imported.keep(&store)?, imported.answers.len());
        let known = if new < all { format!("; {} were here already", all - new) } else { String::new() };
        context.progress.line(format!("{}: {new} answers taken in{known}", file.display()));
    }
    finish::report(context, &store, folder, findings)
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::new(Kind::Output, folder.display(), format!("cannot be made: {error}")))
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
