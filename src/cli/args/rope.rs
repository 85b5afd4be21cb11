//! Options of `rope`.

use super::evals::Results;
use super::values::{Positions, Weights, positive, size};
use crate::rope::search::Sizes;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Rope {
    // These bring their own words.
    Show(Show),
    Search(Search),
}

/// Frequencies of a model's positions, as they are or as they would be extended
#[derive(Debug, Args)]
pub struct Show {
    /// A GGUF file, a folder of safetensors, or an installed model's id
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// For sequences of so many tokens [default: the model's own context]
    #[arg(long, value_name = "N", value_parser = size)]
    pub tokens: Option<usize>,
    #[command(flatten)]
    pub positions: Positions,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Draw wavelengths and factors into this SVG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
}

/// What a search makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Objective {
    /// The perplexity of the texts
    Perplexity,
    /// The perplexity of the answer to a question at the end about a sentence at the start (LongRoPE2)
    Needle,
    /// Both, in nats, half and half
    Both,
}

/// Search factors that extend a model's context (LongRoPE)
///
/// Each pair of a head's elements gets a divisor of its own. YaRN, NTK-aware scaling and position interpolation are the
/// first candidates; from the best of all so far the next are bred. A candidate is judged by the model itself, on long
/// texts; texts that it was not searched with tell what it is worth: `ronbun eval nll --rope yarn:F --rope
/// longrope:FILE`. The result is a file of factors for `--rope longrope:FILE` and for a model card's `rope_factors`.
/// What is measured is kept beside it, so that a search that was stopped goes on where it was, and one that has ended
/// goes on with more evaluations.
#[derive(Debug, Args)]
pub struct Search {
    /// A GGUF file, a folder of safetensors, or an installed model's id
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The longest text that the factors are for, in tokens, such as 32k
    #[arg(long, value_name = "N", value_parser = size)]
    pub target: usize,
    /// Text files, or folders of .txt and .md files; what is shorter than the target is joined to the next
    #[arg(long, required = true, num_args = 1.., value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub text: Vec<PathBuf>,
    /// Judge by texts of this length, above the model's own context; pairs that do not turn once within that are then
    /// divided by the whole extension, and the best candidates are read at the target's length [default: the target]
    #[arg(long, value_name = "N", value_parser = size)]
    pub tokens: Option<usize>,
    /// How many texts at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub texts: usize,
    /// How many candidates are judged, up to the 1344 of the paper
    #[arg(long, value_name = "N", default_value_t = 192, value_parser = evaluations)]
    pub evaluations: usize,
    /// What is made small
    #[arg(long, value_name = "WHAT", default_value = "perplexity")]
    pub objective: Objective,
    /// Start from these factors too, which reach less far: the second step to a very long target
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Then judge so many candidates of small factors for texts that fit the model's own context; without it, these are
    /// read by the model's own positions
    #[arg(long, value_name = "N", value_parser = evaluations)]
    pub short: Option<usize>,
    /// Seed of what is drawn
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    #[command(flatten)]
    pub weights: Weights,
    #[command(flatten)]
    pub results: Results,
}

fn evaluations(text: &str) -> Result<usize, String> {
    let number = positive(text)?;
    let most = Sizes::PUBLISHED.evaluations;
    if number <= most { Ok(number) } else { Err(format!("is above {most}, as many as were ever published")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_keep_within_what_was_published() {
        assert_eq!((evaluations("1"), evaluations("1344")), (Ok(1), Ok(1344)));
        assert!(evaluations("0").is_err() && evaluations("1345").is_err());
    }
}
