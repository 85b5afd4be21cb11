//! ronbun beside llama.cpp, in one process, over the same token ids: how fast, and how far from f32.
//!
//! Not part of ronbun's workspace. llama.cpp is a C library, so there is `unsafe` here, and only in `peer.rs`.
#![deny(unsafe_code)]

mod divergence;
mod peer;
mod speed;

use clap::{Parser, Subcommand};
use ronbun::generator::local;
use ronbun::hub::default_cache_dir;
use ronbun::model::{Checkpoint, Decoder, PackedCache};
use ronbun::progress::Progress;
use ronbun::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// ronbun beside llama.cpp, over the same token ids
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Tokens per second: one long prompt, then branches that share it
    Speed {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        args: speed::Args,
    },
    /// Next-token distributions of both against ronbun's in f32
    Divergence {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        args: divergence::Args,
    },
}

#[derive(clap::Args)]
struct Input {
    /// A GGUF file
    model: PathBuf,
    /// UTF-8 text that both read, in ronbun's tokens
    text: PathBuf,
}

fn main() -> ExitCode {
    let Cli { command, json } = Cli::parse();
    let printed = match command {
        Command::Speed { input, args } => speed::run(&input, &args, json),
        Command::Divergence { input, args } => divergence::run(&input, &args, json),
    };
    match printed {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

impl Input {
    fn ids(&self) -> Result<Vec<u32>> {
        let text =
            std::fs::read_to_string(&self.text).map_err(|error| Error::new(Kind::Input, self.text.display(), error))?;
        if text.trim().is_empty() {
            return Err(Error::new(Kind::Input, self.text.display(), "holds no text"));
        }
        local::tokenizer(&self.model)?.encode_prompt(&text)
    }

    /// The decoder that answers are computed with: packed weights, integer products.
    fn decoder(&self, checkpoint: &Checkpoint, progress: &Progress) -> Result<Decoder> {
        let packed = PackedCache { folder: default_cache_dir().join("packed"), progress: progress.clone() };
        Ok(Decoder::load(checkpoint, &self.model, Some(&packed))?.0)
    }

    fn peer(&self, decoder: &Decoder) -> Result<peer::Model> {
        let model = peer::Model::open(&self.model)?;
        let (ours, theirs) = (decoder.config.vocab_size, model.vocabulary());
        if ours != theirs {
            let problem = format!("has {ours} tokens to ronbun and {theirs} to llama.cpp");
            return Err(Error::new(Kind::Model, self.model.display(), problem));
        }
        Ok(model)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn in_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::new(Kind::Internal, "the figures", error))
}

/// Columns as wide as their widest cell; all but the first flush right.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let cell = |(column, (cell, width)): (usize, (&String, &usize))| match column {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    };
    let line = |row: &Vec<String>| row.iter().zip(&widths).enumerate().map(cell).collect::<Vec<_>>().join("  ");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
