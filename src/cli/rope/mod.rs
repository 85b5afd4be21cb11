//! `ronbun rope`: how a model's positions turn, and the search for factors that extend them.

mod judge;
mod readings;
mod search;
mod show;

use super::args::Rope;
use super::context::Context;
use crate::Result;

pub fn run(context: &Context, command: Rope) -> Result<()> {
    match command {
        Rope::Show(args) => show::run(context, args),
        Rope::Search(args) => search::run(context, args),
    }
}
