//! Completions and manual pages, generated from the command line's own definition.

use super::args::Cli;
use super::output;
use crate::{Error, Kind, Result, report};
use clap::{Command, CommandFactory};
use std::path::Path;

pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ronbun", &mut script);
    output::finish(&String::from_utf8_lossy(&script))
}

/// The main page on stdout, or every page as a file in `folder`.
pub fn man(folder: Option<&Path>) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = folder else { return output::finish(&page(&command, "ronbun")?) };
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::new(Kind::Output, folder.display(), format!("cannot make this folder: {error}")))?;
    write_pages(&command, "ronbun", folder)
}

fn write_pages(command: &Command, name: &str, folder: &Path) -> Result<()> {
    report::write(&folder.join(format!("{name}.1")), page(command, name)?.as_bytes())?;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        write_pages(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> Result<String> {
    let mut roff = Vec::new();
    clap_mangen::Man::new(command.clone().name(name.to_string()))
        .render(&mut roff)
        .map_err(|error| Error::new(Kind::Internal, name, format!("its page cannot be made: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}
