//! Completions and manual pages, generated from the command line's own definition.

use super::args::Cli;
use super::output;
use crate::{Error, Kind, Result, report};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
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
    let Some(folder) = folder else { return output::finish(&page(&Man::new(command))?) };
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::new(Kind::Output, folder.display(), format!("cannot make this folder: {error}")))?;
    write_pages(&command, folder)
}

fn write_pages(command: &Command, folder: &Path) -> Result<()> {
    let man = Man::new(command.clone());
    report::write(&folder.join(man.get_filename()), page(&man)?.as_bytes())?;
    let mut inner = command.get_subcommands().filter(|inner| inner.get_name() != "help");
    inner.try_for_each(|inner| write_pages(inner, folder))
}

fn page(man: &Man) -> Result<String> {
    let mut roff = Vec::new();
    man.render(&mut roff)
        .map_err(|error| Error::new(Kind::Internal, man.get_filename(), format!("cannot be made: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}
