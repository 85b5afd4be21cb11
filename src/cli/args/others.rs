//! Commands about models, templates and the machine.

use super::evals::{LongPpl, Nll, Passkey, Qa, Ruler};
use super::values::{Device, GpuKv, Kv, Local, PlainFormat, Positions, Threads, Weights, max_tokens, positive};
use crate::device::GpuLayers;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Subcommand)]
pub enum Models {
    /// Every model card, and which models are installed
    List {
        #[arg(long, short, value_name = "FORMAT", default_value = "text")]
        format: PlainFormat,
    },
    /// The models that fit this machine, best first
    Recommend {
        #[arg(long, short, value_name = "FORMAT", default_value = "text")]
        format: PlainFormat,
    },
    /// Fetch a model and check its hash
    Pull {
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<String>,
    },
    /// Check installed models against their hashes again [default: all]
    Verify {
        #[arg(value_name = "MODEL")]
        models: Vec<String>,
    },
    /// Remove installed models
    Rm {
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<String>,
    },
    /// Write one archive of models, PDFium, cards and checksums, for a machine without network [default: all installed]
    Pack {
        #[arg(value_name = "MODEL")]
        models: Vec<String>,
        /// The archive to write
        #[arg(long, short, value_name = "FILE", default_value = "ronbun-pack.tar.zst", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
    /// Install what an archive of `models pack` holds
    Unpack {
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        archive: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum Template {
    /// Templates built in and in the configuration folder
    List,
    /// Print a template's TOML, to read or to start your own from
    Show {
        /// An id or a TOML file [default: the built-in one]
        #[arg(value_name = "TEMPLATE")]
        template: Option<String>,
        /// Language, where the template is written in several [default: the locale's]
        #[arg(long, short, value_name = "LANG")]
        lang: Option<String>,
    },
    /// Check template files: unknown keys, unknown variables, missing texts
    Check {
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub format: PlainFormat,
    /// PDFium library to look at instead
    #[arg(long, env = "RONBUN_PDFIUM", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pdfium: Option<PathBuf>,
}

/// Measure how fast a model reads and writes on this machine
///
/// One long prompt is read once, then branches that share it are written together, as papers and their questions are.
/// Rates stand beside what this machine can do at most, measured in the same run. What is written is not looked at, and
/// speed does not depend on it: the prompt may be longer than the model's own context.
#[derive(Debug, Args)]
pub struct Bench {
    /// A GGUF file, a folder of safetensors, or a model's id [default: the model that `summarize` would take]
    #[arg(long, short, env = "RONBUN_MODEL", value_name = "MODEL")]
    pub model: Option<String>,
    /// Take the prompt from this text file; without it token ids are made up
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub text: Option<PathBuf>,
    /// Length of the prompt; a shorter text is repeated [default: the text's own, or 4096]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub prompt_tokens: Option<usize>,
    /// Continuations of the prompt that are written together
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = positive)]
    pub branches: usize,
    /// Tokens that each of them writes
    #[arg(long, value_name = "G", default_value_t = 64, value_parser = positive)]
    pub gen_tokens: usize,
    #[command(flatten)]
    pub local: Local,
    /// Compute in f32 from dequantised weights, as `eval` does, where the CPU computes
    #[arg(long)]
    pub exact: bool,
    /// Also tell where the time went; on a GPU each stage then waits until it is done, which makes the whole slower
    #[arg(long)]
    pub profile: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Eval {
    /// The logits after the last of the given tokens, as JSON; beyond the model's context positions go on as they are
    /// unless --context or --rope says otherwise
    Logits(EvalInput),
    /// The likeliest continuation of the given tokens, as JSON; positions as with `logits`
    Greedy {
        #[command(flatten)]
        input: EvalInput,
        /// How many tokens to add
        #[arg(long, value_name = "N", value_parser = max_tokens)]
        tokens: usize,
    },
    // Brings its own words.
    Divergence(Divergence),
    /// Negative log-likelihood of texts by position: what a context really holds
    Nll(Nll),
    // Brings its own words.
    #[command(name = "longppl")]
    LongPpl(LongPpl),
    /// A number hidden in a long text, by length and depth
    Passkey(Passkey),
    /// RULER's tasks that need no data: needles in noise and among their like, chains of variables, frequent words
    Ruler(Ruler),
    // Brings its own words.
    Qa(Qa),
    /// The token ids of a text as a prompt, as JSON: behind the token that the model begins with, special tokens inside
    /// the text taken as such
    Tokens {
        /// A GGUF file, a folder of safetensors, or an installed model's id
        #[arg(value_name = "MODEL")]
        model: String,
        /// A text file
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        text: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct EvalInput {
    /// A GGUF file, a folder of safetensors, or an installed model's id
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Token ids
    #[arg(long, required_unless_present = "ids_file", value_delimiter = ',', value_name = "1,2,3")]
    pub ids: Vec<u32>,
    /// Take the token ids from this file, where a comma or a space stands between them
    #[arg(long, conflicts_with = "ids", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ids_file: Option<PathBuf>,
    /// Prefill in chunks of this many tokens [default: the engine's]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub chunk: Option<usize>,
    /// Where to compute: on the CPU in f32, or on a GPU as answers are
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Device,
    /// The model's last N layers compute on the GPU, those before them on the CPU; auto takes as many as there is room for
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = GpuLayers::from_str)]
    pub gpu_layers: GpuLayers,
    /// How a GPU keeps keys and values: as bytes only what was read in chunks before the last, see --chunk
    #[arg(long, value_name = "TYPE", default_value = "bf16")]
    pub gpu_kv: GpuKv,
    #[command(flatten)]
    pub threads: Threads,
    #[command(flatten)]
    pub positions: Positions,
    #[command(flatten)]
    pub weights: Weights,
}

/// How far the arithmetic that answers are computed with is from f32: next-token distributions over a text
///
/// With --quantize it is how far the quantised model is from the one in the files: the first is read as it answers, the
/// second in f32.
#[derive(Debug, Args)]
pub struct Divergence {
    /// A GGUF file, a folder of safetensors, or an installed model's id
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// A text file; what is past --tokens is left out
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub text: PathBuf,
    /// Read this many tokens
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = positive)]
    pub tokens: usize,
    /// Compare every N-th position
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive)]
    pub stride: usize,
    /// Keep keys and values in this way in what is compared with f32
    #[arg(long, value_name = "TYPE", default_value = "i8")]
    pub kv: Kv,
    /// Positions in a row of the table
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = positive)]
    pub bucket: usize,
    #[command(flatten)]
    pub threads: Threads,
    #[command(flatten)]
    pub positions: Positions,
    #[command(flatten)]
    pub weights: Weights,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
