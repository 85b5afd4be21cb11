//! Options of the tests of long contexts.

use super::values::{Threads, Weights, max_tokens, positive, size};
use crate::eval::Task;
use crate::rope::Method;
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::str::FromStr;

/// Where the result goes, and what it is drawn from.
#[derive(Debug, Default, Args)]
pub struct Results {
    /// Write JSON to this file; what is finished is kept beside it, in FILE.samples.jsonl, and not computed again
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Draw the result into this SVG file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub threads: Threads,
}

/// A model under one or several ways to extend it.
#[derive(Debug, Args)]
pub struct Extended {
    /// A GGUF file, a folder of safetensors, or an installed model's id
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// How positions beyond the model's context are extended, as for `summarize`; several are compared. With native
    /// they go on as they are
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = Method::from_str)]
    pub rope: Vec<Method>,
    #[command(flatten)]
    pub weights: Weights,
}

#[derive(Debug, Args)]
pub struct Nll {
    #[command(flatten)]
    pub extended: Extended,
    /// Text files; each is read from its start
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub text: Vec<PathBuf>,
    /// Tokens of each text [default: the model's own context]
    #[arg(long, value_name = "N", value_parser = size)]
    pub tokens: Option<usize>,
    /// Positions in a row of the table
    #[arg(long, value_name = "N", default_value = "1k", value_parser = size)]
    pub bucket: usize,
    #[command(flatten)]
    pub results: Results,
}

/// Perplexity of the tokens that a long context foretells (LongPPL)
///
/// A token counts where the model that chooses them foretells it, and much better with all that stands before it than
/// with the last few thousand tokens alone. All ways to extend a context are held to the same tokens.
#[derive(Debug, Args)]
pub struct LongPpl {
    #[command(flatten)]
    pub extended: Extended,
    /// Text files; each is read from its start
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub text: Vec<PathBuf>,
    /// Tokens of each text [default: the model's own context]
    #[arg(long, value_name = "N", value_parser = size)]
    pub tokens: Option<usize>,
    /// The model that chooses the tokens, its context extended where the texts are longer [default: the same model]
    #[arg(long, value_name = "MODEL")]
    pub chooser: Option<String>,
    /// A token counts where the whole context saves more than so many nats
    #[arg(long, value_name = "NATS", default_value_t = 2.0)]
    pub saved: f64,
    /// And where it costs fewer than so many with it
    #[arg(long, value_name = "NATS", default_value_t = 2.0)]
    pub most: f64,
    /// What a short context is, in tokens
    #[arg(long, value_name = "N", default_value = "4k", value_parser = size)]
    pub window: usize,
    #[command(flatten)]
    pub results: Results,
}

/// How samples are put.
#[derive(Debug, Args)]
pub struct Sampled {
    /// Samples of each cell
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    pub samples: usize,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Put the text as it is, without the model's chat template
    #[arg(long)]
    pub plain: bool,
}

/// Questions on papers, their answers held to gold ones
///
/// The set is a file with a JSON object for each paper, a line each: {"paper": "name", "text": "…", "questions":
/// [{"question": "…", "answers": ["…", "…"]}]}, every answer as good as the others; or L-Eval's {"input",
/// "instructions", "outputs"}. F1 is QASPER's token F1, ROUGE-L that of the package rouge_score without stemming; both
/// take the best of a question's answers. Intervals come from drawing papers again. Each paper is read once for all its
/// questions.
#[derive(Debug, Args)]
pub struct Qa {
    #[command(flatten)]
    pub extended: Extended,
    /// The set
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub set: PathBuf,
    /// Only its first papers
    #[arg(long, value_name = "N", value_parser = positive)]
    pub papers: Option<usize>,
    /// The most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = max_tokens)]
    pub max_tokens: usize,
    /// Put the text as it is, without the model's chat template; an answer then ends with its line
    #[arg(long)]
    pub plain: bool,
    #[command(flatten)]
    pub results: Results,
}

#[derive(Debug, Args)]
pub struct Passkey {
    #[command(flatten)]
    pub extended: Extended,
    /// Lengths in tokens, answer included, such as 1k,2k,8192
    #[arg(long, required = true, value_delimiter = ',', value_name = "N", value_parser = size)]
    pub lengths: Vec<usize>,
    /// How many depths, from the start to the end
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub depths: usize,
    #[command(flatten)]
    pub sampled: Sampled,
    #[command(flatten)]
    pub results: Results,
}

#[derive(Debug, Args)]
pub struct Ruler {
    #[command(flatten)]
    pub extended: Extended,
    /// Lengths in tokens, answer included, such as 4k,8k
    #[arg(long, visible_alias = "lengths", required = true, value_delimiter = ',', value_name = "N",
        value_parser = size)]
    pub length: Vec<usize>,
    /// niah_single_1, niah_multikey_2, niah_multikey_3, vt or fwe [default: all five]
    #[arg(long, value_delimiter = ',', value_name = "TASK", value_parser = task)]
    pub task: Vec<Task>,
    #[command(flatten)]
    pub sampled: Sampled,
    #[command(flatten)]
    pub results: Results,
}

fn task(text: &str) -> Result<Task, String> {
    let names = || Task::ALL.map(Task::name).join(", ");
    Task::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| format!("is none of {}", names()))
}
