//! The command line as clap reads it. Every option that a configuration file may hold is an `Option` here, so that
//! `config` can tell what was asked for from what was not.

use crate::template::{MOST_TOKENS, TEMPERATURES};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use serde::Deserialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  ronbun summarize paper.pdf                        eight questions, answered in Markdown
  ronbun summarize papers/ --out notes              every PDF of a folder, one file each
  ronbun summarize arxiv:1706.03762v7 --lang ja     a paper from arXiv, answered in Japanese
  ronbun ask paper.pdf 'Which data sets were used?' 'Is there code?'
  ronbun extract paper.pdf                          what ronbun reads, before any model
  ronbun models recommend                           what this machine can run
  ronbun doctor                                     what is here, what is missing, how to get it
";

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  a defect of ronbun itself
    2  the command line, the configuration or a template asks for something that cannot be
    3  an input cannot be opened: missing, unreadable, empty, not a PDF, a folder without PDFs
    4  a PDF needs a password, or another one
    5  a PDF is damaged
    6  a PDF has no text layer
    7  a model file, its tokenizer or its chat template is not what it should be
    8  a paper is longer than the model's context
    9  not enough memory
   10  something is not on this machine and could not be fetched
   11  the output cannot be written
   12  some papers of several failed; the others are answered
  130  stopped by Ctrl-C; finished papers are kept (a second Ctrl-C stops at once)
";

/// Reads research papers on your own machine
///
/// A PDF goes in, a template of questions comes back answered by a local open-weights model. The model reads the whole
/// paper. Nothing leaves the machine; what is fetched on first use (a PDF library, a model) is announced and its hash is
/// checked. Every option can also be set in a configuration file (`ronbun doctor` tells where) or as RONBUN_OPTION in
/// the environment; the command line wins over the environment, the environment over the file.
#[derive(Debug, Parser)]
#[command(name = "ronbun", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// Read this configuration file instead of the user's
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Open no network connection; say what is missing instead
    #[arg(long, global = true, env = "RONBUN_OFFLINE", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub offline: Option<bool>,
    /// Only errors on stderr
    #[arg(long, short, global = true, env = "RONBUN_QUIET", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        action = ArgAction::Set)]
    pub quiet: Option<bool>,
    /// More detail on stderr
    #[arg(long, short, global = true, env = "RONBUN_VERBOSE", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        action = ArgAction::Set)]
    pub verbose: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a template of questions about papers
    Summarize(Summarize),
    /// Answer your own questions about one paper
    Ask(Ask),
    /// Show the text that ronbun reads in a PDF
    Extract(Extract),
    /// List, fetch, check, remove and carry models
    #[command(subcommand)]
    Models(Models),
    /// List, show and check templates of questions
    #[command(subcommand)]
    Template(Template),
    /// Tell what was found on this machine, what is missing and how to get it
    Doctor(Doctor),
    /// Run a model on token ids, for comparison with other engines
    #[command(subcommand)]
    Eval(Eval),
    /// Print a completion script for a shell
    Completions {
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages into a folder
    Man {
        /// Write ronbun.1 and a page for each command into this folder
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Md,
    Json,
    Html,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The fastest that this build and machine have
    Auto,
    Cpu,
    Cuda,
    Metal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskMode {
    /// Each question on its own over the shared paper: one answer per question
    Each,
    /// All questions in one prompt: one text for all
    Together,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Pages whose text cannot be read otherwise, or only in part, if Tesseract is installed
    Auto,
    Never,
    /// All pages, whatever text they have
    Always,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Paper")]
pub struct Reading {
    /// Password of an encrypted PDF
    #[arg(long, env = "RONBUN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// File whose first line is the password of an encrypted PDF
    #[arg(long, env = "RONBUN_PASSWORD_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
        conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// Read pages that have no text by OCR, with an installed Tesseract [default: auto]
    #[arg(long, env = "RONBUN_OCR", value_name = "WHEN")]
    pub ocr: Option<When>,
    /// Languages of the OCR by Tesseract's names, such as eng+jpn [default: eng]
    #[arg(long, env = "RONBUN_OCR_LANG", value_name = "LANGS")]
    pub ocr_lang: Option<String>,
    /// PDFium library to read PDFs with [default: found, else fetched]
    #[arg(long, env = "RONBUN_PDFIUM", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub pdfium: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct Generation {
    /// Model: a card's id, a hub repository, a GGUF file or a folder of safetensors [default: auto]
    #[arg(long, short, env = "RONBUN_MODEL", value_name = "MODEL")]
    pub model: Option<String>,
    /// Language of the answers, such as en or ja [default: the locale's, ja or en]
    #[arg(long, short, env = "RONBUN_LANG", value_name = "LANG")]
    pub lang: Option<String>,
    /// Where to compute [default: auto]
    #[arg(long, env = "RONBUN_DEVICE", value_name = "DEVICE")]
    pub device: Option<Device>,
    /// CPU threads [default: all cores]
    #[arg(long, env = "RONBUN_THREADS", value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
    /// 0 always takes the likeliest token [default: the template's]
    #[arg(long, env = "RONBUN_TEMPERATURE", value_name = "T", value_parser = temperature,
        allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Seed of the random draws [default: the template's]
    #[arg(long, env = "RONBUN_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// The most tokens of one answer [default: each question's own]
    #[arg(long, env = "RONBUN_MAX_TOKENS", value_name = "N", value_parser = max_tokens)]
    pub max_tokens: Option<usize>,
}

impl Generation {
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("auto")
    }
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Result")]
pub struct Output {
    /// Form of the result [default: md, or as --out is named]
    #[arg(long, short, env = "RONBUN_FORMAT", value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Write to this file, or into this folder; - is stdout [default: stdout]
    #[arg(long, short, env = "RONBUN_OUT", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub out: Option<PathBuf>,
}

/// Answer a template of questions about papers
///
/// The paper is read whole; one longer than the model's context is refused before any work, never cut. Several papers
/// are answered one after the other with the model loaded once; a bad one among them does not stop the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ronbun summarize paper.pdf
  ronbun summarize papers/*.pdf --out notes --format html
  ronbun summarize 1706.03762v7 --model qwen2.5-1.5b-q4_k_m --lang ja")]
pub struct Summarize {
    /// PDF files, folders of PDFs, globs, arXiv ids or arXiv addresses
    #[arg(required = true, value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<String>,
    /// Template of questions: an id or a TOML file [default: the built-in one]
    #[arg(long, short, env = "RONBUN_TEMPLATE", value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// How the questions are put [default: each]
    #[arg(long, env = "RONBUN_ASK", value_name = "HOW")]
    pub ask: Option<AskMode>,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub generation: Generation,
    #[command(flatten)]
    pub reading: Reading,
}

/// Answer your own questions about one paper
///
/// The paper is read once, however many questions follow. Without a QUESTION they are read from stdin, one a line, and
/// each is answered as it comes.
#[derive(Debug, Args)]
pub struct Ask {
    /// PDF file, arXiv id or arXiv address
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: String,
    /// What you want to know; quote each question
    #[arg(value_name = "QUESTION")]
    pub questions: Vec<String>,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub generation: Generation,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Debug, Args)]
pub struct Extract {
    /// PDF file, arXiv id or arXiv address
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: String,
    /// Plain text, or pages, paragraphs and links as JSON
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub format: PlainFormat,
    /// Write to this file; - is stdout [default: stdout]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
}

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

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a whole number".into()),
    }
}

fn temperature(text: &str) -> Result<f32, String> {
    check_temperature(text.parse().map_err(|_| "is not a number".to_string())?)
}

pub fn check_temperature(value: f32) -> Result<f32, String> {
    let (least, most) = (TEMPERATURES.start(), TEMPERATURES.end());
    if TEMPERATURES.contains(&value) { Ok(value) } else { Err(format!("must lie between {least} and {most}")) }
}

fn max_tokens(text: &str) -> Result<usize, String> {
    check_max_tokens(text.parse().map_err(|_| format!("is not a whole number up to {MOST_TOKENS}"))?)
}

pub fn check_max_tokens(value: usize) -> Result<usize, String> {
    if (1..=MOST_TOKENS).contains(&value) { Ok(value) } else { Err(format!("must lie between 1 and {MOST_TOKENS}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_tells_every_exit_code() {
        use crate::Kind::*;
        let kinds = [
            Internal,
            Usage,
            Input,
            Password,
            Damaged,
            NoText,
            Model,
            Context,
            Memory,
            Unavailable,
            Output,
            Partial,
            Interrupted,
        ];
        for kind in kinds {
            let code = format!("{:>5}  ", kind.exit_code());
            assert!(EXIT_CODES.lines().any(|line| line.starts_with(&code)), "{kind:?}");
        }
    }

    #[test]
    fn flags_can_be_given_a_value() {
        let offline = |args: &[&str]| Cli::try_parse_from(args).expect("parses").common.offline;
        assert_eq!(offline(&["ronbun", "doctor"]), None);
        assert_eq!(offline(&["ronbun", "doctor", "--offline"]), Some(true));
        assert_eq!(offline(&["ronbun", "--offline=no", "doctor"]), Some(false));
    }

    #[test]
    fn temperature_is_bounded() {
        for bad in ["-1", "nan", "inf", "11", "warm"] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
        assert_eq!(temperature("0.7"), Ok(0.7));
    }

    #[test]
    fn answers_are_bounded() {
        for bad in ["0", "-1", "1048577", "18446744073709551615", "18446744073709551616", "many"] {
            assert!(max_tokens(bad).is_err(), "{bad}");
        }
        assert_eq!(max_tokens("1048576"), Ok(1 << 20));
    }
}
