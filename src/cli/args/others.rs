//! Commands about models, templates and the machine.

use super::values::{PlainFormat, max_tokens, positive};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

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

#[derive(Debug, Subcommand)]
pub enum Eval {
    /// The logits after the last of the given tokens, as JSON
    Logits(EvalInput),
    /// The likeliest continuation of the given tokens, as JSON
    Greedy {
        #[command(flatten)]
        input: EvalInput,
        /// How many tokens to add
        #[arg(long, value_name = "N", value_parser = max_tokens)]
        tokens: usize,
    },
    /// The token ids of a text, special tokens inside it taken as such, as JSON
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
    #[arg(long, required = true, value_delimiter = ',', value_name = "1,2,3")]
    pub ids: Vec<u32>,
    /// Prefill in chunks of this many tokens [default: the engine's]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub chunk: Option<usize>,
}
