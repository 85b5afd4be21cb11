//! Commands about papers: `summarize`, `ask`, `extract`, and the options that they share.

use super::values::{AskMode, Format, Local, Only, When, max_tokens, temperature};
use crate::document::{Pages, Selection};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueHint};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Paper")]
pub struct Reading {
    /// Password of an encrypted PDF
    #[arg(long, env = "RONBUN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Read only these pages, such as 1-3,7 or 5- for all from 5 on [default: all]
    #[arg(long, env = "RONBUN_PAGES", value_name = "PAGES", value_parser = Pages::from_str)]
    pub pages: Option<Pages>,
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

// The whole paper goes to the model, unless one of these is given; what they leave out is told on stderr and in the
// report. (A doc comment here would take the place of the commands' own words.)
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Paper")]
pub struct LeaveOut {
    /// Leave the reference list out of what the model reads
    #[arg(long, env = "RONBUN_NO_REFERENCES", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub no_references: Option<bool>,
    /// Leave out what follows the references
    #[arg(long, env = "RONBUN_NO_APPENDIX", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub no_appendix: Option<bool>,
    /// Leave out the tables of the appendix only
    #[arg(long, env = "RONBUN_NO_APPENDIX_TABLES", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    pub no_appendix_tables: Option<bool>,
}

impl LeaveOut {
    pub fn selection(&self) -> Selection {
        Selection {
            references: self.no_references != Some(true),
            appendix: self.no_appendix != Some(true),
            appendix_tables: self.no_appendix_tables != Some(true),
        }
    }
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct Generation {
    /// Model: a card's id, a hub repository, a GGUF file or a folder of safetensors [default: auto]
    #[arg(long, short, env = "RONBUN_MODEL", value_name = "MODEL")]
    pub model: Option<String>,
    /// Language of the answers, such as en or ja [default: the locale's, ja or en]
    #[arg(long, short, env = "RONBUN_LANG", value_name = "LANG")]
    pub lang: Option<String>,
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
    #[command(flatten)]
    pub local: Local,
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
/// The paper is read whole, unless you leave parts out; one longer than the model's context is refused before any work,
/// never cut (`ronbun extract --plan` tells how long each part is). Several papers
/// are answered one after the other with the model loaded once; a bad one among them does not stop the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ronbun summarize paper.pdf
  ronbun summarize papers/*.pdf --out notes --format html
  ronbun summarize 1706.03762v7 --model qwen2.5-1.5b-q4_k_m --lang ja")]
pub struct Summarize {
    /// Papers: files, folders, globs, arXiv ids or arXiv addresses
    ///
    /// A file is a PDF, LaTeX (a .tex file, or an e-print of arXiv's as .tar.gz, .tar or .gz),
    /// HTML, Markdown or plain text, told apart by its content. A folder stands for the PDFs
    /// directly in it. It is one paper in LaTeX where it holds a .tex file with \documentclass and
    /// no PDF but that paper's own and its figures; name the .tex file or write 'folder/*.pdf' to
    /// say which is meant.
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
    #[command(flatten)]
    pub leave_out: LeaveOut,
}

/// Answer your own questions about one paper
///
/// The paper is read once, however many questions follow. Without a QUESTION they are read from stdin, one a line, and
/// each is answered as it comes.
#[derive(Debug, Args)]
pub struct Ask {
    /// A paper: PDF, LaTeX (.tex, .tar.gz, a folder), HTML, Markdown or text file, arXiv id or arXiv address
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
    #[command(flatten)]
    pub leave_out: LeaveOut,
}

/// Show what ronbun reads in a paper, without any model
///
/// A paper is read in a process of its own, with limits of memory and time and without network or write access: a file that
/// is damaged or made to do harm costs one error. What was dropped (running heads, page numbers) and where each block stands
/// is in the JSON.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ronbun extract paper.pdf                              the text, as the model gets it
  ronbun extract paper.pdf --pages 1-3,7                of these pages only
  ronbun extract paper.pdf --only references            the reference list, an entry a line
  ronbun extract paper.pdf --plan                       each part's length, and what the model gets
  ronbun extract paper.pdf --plan --no-appendix         what leaving the appendix out would save
  ronbun extract paper.pdf --format json --out p.json   blocks with kind, part, page and box")]
pub struct Extract {
    /// A paper: PDF, LaTeX (.tex, .tar.gz, a folder), HTML, Markdown or text file, arXiv id or arXiv address
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: String,
    /// Plain text, Markdown, the whole document as JSON, or a page that shows what was recognised over the paper's pages
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Only one part of what was read
    #[arg(long, value_name = "PART", conflicts_with = "plan")]
    pub only: Option<Only>,
    /// Show the parts of the paper with their lengths, and which of them go to the model
    #[arg(long)]
    pub plan: bool,
    /// With --plan: the installed model whose tokens are counted [default: the best installed one]
    #[arg(long, short, value_name = "MODEL", requires = "plan")]
    pub model: Option<String>,
    /// Write to this file; - is stdout [default: stdout]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub leave_out: LeaveOut,
}
