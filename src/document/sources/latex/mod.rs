//! LaTeX → blocks, read as LaTeX reads it, as far as text goes.
//!
//! Files come from a [`project`]. Characters become tokens ([`token`], [`mouth`]); the [`gullet`]
//! takes in definitions and expands [`macros`]; the [`reader`] makes blocks of what is left.
//! Numbers and citations that are needed before they are known are why LaTeX runs until nothing
//! changes, and so does this: each run fills an [`Aux`] for the next.

mod bibliography;
mod bibtex;
mod citations;
mod commands;
mod counters;
mod environments;
mod front;
mod gullet;
mod kinds;
mod listings;
mod macros;
mod maths;
mod mouth;
mod primitives;
pub mod project;
mod reader;
mod sections;
mod symbols;
mod tables;
mod token;

use crate::document::Document;
use project::Project;
use reader::{Aux, Reader};

/// What two runs do not settle, a third does: a list made from BibTeX's files, cited behind it.
const MOST_RUNS: usize = 3;

pub fn read(project: &Project) -> Document {
    let Some(text) = project.text(project.root()) else {
        return Document::empty("", crate::document::Source::Latex);
    };
    let mut known = Aux::default();
    let mut runs = 1;
    loop {
        let (document, aux) = Reader::new(project, &known).run(&text);
        if runs == MOST_RUNS || (runs > 1 && aux.agrees_with(&known)) {
            return document;
        }
        known = aux;
        runs += 1;
    }
}

#[cfg(test)]
mod tests;
