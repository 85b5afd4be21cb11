//! Options of `compare`.

use super::papers::{LeaveOut, Reading};
use super::values::{AskMode, JudgedThing, Local, max_tokens, temperature};
use crate::compare::run::Shard;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;
use std::str::FromStr;

/// Put the same questions about the same papers to several models, and measure what comes back
///
/// Every answer is kept as it comes: a comparison that was stopped goes on by the same command, and nothing is asked
/// twice. Models on servers are asked only if you name them; the report says what was sent where.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  ronbun compare papers/*.pdf --models qwen2.5-coder-0.5b-q4_k_m,smollm2-135m-q4_1 --trials 3 --out cmp
  ronbun compare a.pdf --models qwen3-4b-q4_k_m,openai:gpt-4o,anthropic:claude-sonnet-5-5 --lang ja --out cmp
  ronbun compare a.pdf --models openai:my-model@http://localhost:8000/v1 --out cmp
  ronbun compare --experiment experiment.toml --out cmp --shard 2/8
  ronbun compare import answers.jsonl --mapping columns.toml --out cmp
  ronbun compare judge cmp --judge openai:gpt-4o
  ronbun compare report cmp --usd-jpy 150

A model is one that `ronbun summarize --model` takes, or a server's: openai:MODEL, anthropic:MODEL, gemini:MODEL, and
openai:MODEL@http://HOST:PORT/v1 for vLLM, llama.cpp's server, Ollama or LM Studio. Keys come from OPENAI_API_KEY,
ANTHROPIC_API_KEY and GEMINI_API_KEY; a server of your own gets RONBUN_SERVER_KEY, if that is set, and no vendor's.")]
pub struct Compare {
    #[command(subcommand)]
    pub command: Option<CompareCommand>,
    #[command(flatten)]
    pub experiment: Experiment,
}

#[derive(Debug, Subcommand)]
pub enum CompareCommand {
    /// Take in answers from elsewhere, and report on them: JSONL or CSV
    ///
    /// Without --mapping the file must be as ronbun's own answers.jsonl. Where DIR holds a comparison, the answers join
    /// it: papers and questions are the same where their names are.
    Import {
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// TOML file that names the columns; docs/compare/scidqa.toml shows one
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        mapping: Option<PathBuf>,
        /// Folder of the comparison
        #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
        #[command(flatten)]
        findings: Findings,
    },
    /// Measure the answers of a comparison again, with other prices or beside the published figures; asks nothing
    Report {
        /// The folder that `compare … --out` wrote
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        #[command(flatten)]
        findings: Findings,
    },
    /// Let a model judge the answers of a comparison: which of two is better, and what a passage of the paper entails
    ///
    /// Answers meet the right ones where there are some (`compare import` with `gold`), else those of the other models to the
    /// same question in the same trial. Every pair is judged in both orders, and a verdict that changes with the order is a
    /// tie; a refusal or a reply without a verdict is counted as that. What is judged is not asked again.
    #[command(after_help = "\
Examples:
  ronbun compare judge cmp --judge qwen3-4b-q4_k_m
  ronbun compare judge cmp --judge openai:gpt-4o --what answers,sentences
  ronbun compare judge cmp --judge cluster --experiment experiment.toml --with-paper

The judge is a model as for `compare --models`. One on a server is sent the questions and answers, and with --with-paper the
papers' text; its conversations are counted before they go.")]
    Judge(Box<Judge>),
    /// Bring shards, or other comparisons with the same settings, together
    Merge {
        /// The folder that --shard wrote to; what it holds of shards is taken
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// Answers of other comparisons (answers.sqlite of their folders)
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        others: Vec<PathBuf>,
        #[command(flatten)]
        findings: Findings,
    },
    /// The prices that costs are counted with
    Prices {
        /// Print the built-in file, to start your own from
        #[arg(long)]
        source: bool,
        #[command(flatten)]
        costs: Costs,
    },
    /// Print the published figures of July 2024: eight API models on five papers
    Published,
}

#[derive(Debug, Args)]
pub struct Judge {
    /// The folder that `compare … --out` or `compare import … --out` wrote
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// The model that judges
    #[arg(long, short, value_name = "MODEL")]
    pub judge: String,
    /// What is judged: pairs of answers, sentences against their nearest passages (needs an encoder), or both
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "answers")]
    pub what: Vec<JudgedThing>,
    /// Show the judge the paper's text before two answers
    #[arg(long)]
    pub with_paper: bool,
    /// The most tokens of one verdict with its reasons
    #[arg(long, value_name = "N", value_parser = max_tokens, default_value = "1000")]
    pub max_tokens: usize,
    /// Take the judge's description ([[model]]) from this TOML file
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub experiment: Option<PathBuf>,
    #[command(flatten)]
    pub local: Local,
    #[command(flatten)]
    pub findings: Findings,
}

#[derive(Debug, Args)]
pub struct Experiment {
    /// Papers, as for `summarize`: files, folders, globs, arXiv ids or addresses
    #[arg(value_name = "PAPER", value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<String>,
    /// Models to ask, separated by commas
    #[arg(long, short, value_name = "MODELS", value_delimiter = ',')]
    pub models: Vec<String>,
    /// How often each model answers about each paper [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub trials: Option<u32>,
    /// Folder for answers and reports
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Read papers, models and settings from this TOML file; options here win over it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub experiment: Option<PathBuf>,
    /// How the questions are put [default: together]
    #[arg(long, value_name = "HOW")]
    pub ask: Option<AskMode>,
    /// Template of questions: an id or a TOML file [default: the built-in one]
    #[arg(long, short, env = "RONBUN_TEMPLATE", value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// Language of the answers, such as en or ja [default: the locale's, ja or en]
    #[arg(long, short, env = "RONBUN_LANG", value_name = "LANG")]
    pub lang: Option<String>,
    /// 0 always takes the likeliest token [default: the template's]
    #[arg(long, env = "RONBUN_TEMPERATURE", value_name = "T", value_parser = temperature, allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Seed of the first trial; each other one has the next [default: the template's]
    #[arg(long, env = "RONBUN_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// The most tokens of one answer [default: each question's own]
    #[arg(long, env = "RONBUN_MAX_TOKENS", value_name = "N", value_parser = max_tokens)]
    pub max_tokens: Option<usize>,
    /// Only this share of the pairs of model and paper, such as 2/8: for job arrays; `compare merge` joins them
    #[arg(long, value_name = "I/N", value_parser = Shard::from_str)]
    pub shard: Option<Shard>,
    #[command(flatten)]
    pub local: Local,
    #[command(flatten)]
    pub findings: Findings,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub leave_out: LeaveOut,
}

/// How answers are measured.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Figures")]
pub struct Findings {
    /// What tells how alike texts are: all-minilm-l6-v2 (English) or multilingual-e5-small, both fetched where they are
    /// not here, a folder with a BERT encoder, openai:MODEL (texts go there), or none [default: one that is here]
    #[arg(long, value_name = "ENCODER")]
    pub encoder: Option<String>,
    /// Show the published figures of July 2024 for the papers that are among theirs
    #[arg(long)]
    pub published: bool,
    #[command(flatten)]
    pub costs: Costs,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Costs")]
pub struct Costs {
    /// Prices of API models; they win over the built-in ones [default: prices.toml of the configuration folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prices: Option<PathBuf>,
    /// Prices as of this day, such as 2024-07-31 [default: the latest known]
    #[arg(long, value_name = "DATE")]
    pub prices_of: Option<String>,
    /// Yen to the dollar [default: 160, the published comparison's]
    #[arg(long, value_name = "RATE", value_parser = amount)]
    pub usd_jpy: Option<f64>,
    /// What this machine draws while it computes, where its processor's meter cannot be read
    #[arg(long, value_name = "W", value_parser = amount)]
    pub watts: Option<f64>,
    /// US dollars for a kWh
    #[arg(long, value_name = "USD", value_parser = amount)]
    pub kwh_price: Option<f64>,
    /// US dollars that this machine cost, to be spread over --hardware-years
    #[arg(long, value_name = "USD", value_parser = amount, requires = "hardware_years")]
    pub hardware_price: Option<f64>,
    /// Years that this machine is used, day and night
    #[arg(long, value_name = "YEARS", value_parser = amount, requires = "hardware_price")]
    pub hardware_years: Option<f64>,
}

fn amount(text: &str) -> Result<f64, String> {
    let amount: f64 = text.parse().map_err(|_| "is not a number".to_string())?;
    if amount.is_finite() && amount > 0.0 { Ok(amount) } else { Err("must be more than 0".into()) }
}
