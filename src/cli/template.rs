//! `ronbun template`: which templates there are, what they say, whether one's own is right.

use super::args::Template as Command;
use super::config::locale_language;
use super::context::{templates_dir, usage};
use super::output;
use crate::Result;
use crate::template::Template;
use std::path::{Path, PathBuf};

pub fn run(command: Command) -> Result<()> {
    match command {
        Command::List => output::finish(&list()),
        Command::Show { template, lang } => output::finish(find(template.as_deref(), lang.as_deref())?.source()),
        Command::Check { files } => files.iter().try_for_each(|file| check(file)),
    }
}

/// The template of that id or file. A built-in one answers in the locale's language unless `language` says otherwise, a
/// user's own in the language it is written in.
pub fn find(name: Option<&str>, language: Option<&str>) -> Result<Template> {
    let builtin = || Template::builtin(language.unwrap_or_else(|| locale_language()));
    let Some(name) = name else { return builtin() };
    let path = Path::new(name);
    let own = templates_dir().join(format!("{name}.toml"));
    if path.is_file() || looks_like_a_file(name) {
        Template::load(path, language)
    } else if own.is_file() {
        Template::load(&own, language)
    } else if Template::names().iter().any(|(id, _)| *id == name) {
        builtin()
    } else {
        let hint = format!("known: {}; or give a TOML file", known().join(", "));
        Err(usage(&format!("--template {name}"), "no such template", &hint))
    }
}

fn looks_like_a_file(name: &str) -> bool {
    name.ends_with(".toml") || name.contains(std::path::is_separator)
}

/// Ids, each once.
fn known() -> Vec<String> {
    let builtin = Template::names().into_iter().map(|(id, _)| id.to_string());
    let mut ids: Vec<String> = builtin.chain(own_files().iter().filter_map(|path| id_of(path))).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn id_of(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.to_string())
}

fn own_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(templates_dir()).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn list() -> String {
    let mut rows = vec![vec!["template".to_string(), "written in".into(), "where".into()]];
    for (id, language) in Template::names() {
        rows.push(vec![id.into(), language.into(), "built in".into()]);
    }
    for path in own_files() {
        let written_in = match Template::load(&path, None) {
            Ok(template) => template.written_in,
            Err(error) => format!("error: {}", output::printable(&error.problem)),
        };
        rows.push(vec![id_of(&path).unwrap_or_default(), written_in, path.display().to_string()]);
    }
    output::table(&rows)
}

fn check(file: &Path) -> Result<()> {
    Template::check(file)?;
    output::finish(&format!("{}: ok\n", file.display()))
}
