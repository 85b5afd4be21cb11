//! The command line as clap reads it. Every option that a configuration file may hold is an `Option` here, so that
//! `config` can tell what was asked for from what was not.

mod compare;
mod evals;
mod others;
mod papers;
mod rope;
mod values;

pub use compare::{Compare, CompareCommand, Costs, Experiment, Findings, Judge};
pub use evals::{Extended, LongPpl, Nll, Passkey, Qa, Results, Ruler, Sampled};
pub use others::{Bench, Divergence, Doctor, Eval, EvalInput, Models, Template};
pub use papers::{Ask, Extract, Generation, LeaveOut, Output, Reading, Summarize};
pub use rope::{Objective, Rope, Search, Show};
pub use values::{
    AskMode, Computing, Device, Format, GpuKv, JudgedThing, Kv, Local, Only, PlainFormat, Positions, Threads, Weights,
    When, check_max_tokens, check_temperature, gpu_layers, method, quantization, reach,
};

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  ronbun summarize paper.pdf                        eight questions, answered in Markdown
  ronbun summarize papers/ --out notes              every PDF of a folder, one file each
  ronbun summarize arxiv:1706.03762v7 --lang ja     a paper from arXiv, answered in Japanese
  ronbun ask paper.pdf 'Which data sets were used?' 'Is there code?'
  ronbun extract paper.pdf                          what ronbun reads, before any model
  ronbun extract paper.pdf --plan                   each part's length, and what the model gets
  ronbun models recommend                           what this machine can run
  ronbun compare a.pdf b.pdf --models A,B --out cmp  models side by side, with what each costs
  ronbun bench                                      how fast this machine reads and writes
  ronbun doctor                                     what is here, what is missing, how to get it
";

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  a defect of ronbun itself
    2  the command line, the configuration or a template asks for something that cannot be
    3  an input cannot be opened: missing, unreadable, empty, no paper, a folder without papers
    4  a PDF needs a password, or another one
    5  a PDF or an archive is damaged
    6  a paper holds no text: a PDF without a text layer, an empty page
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
/// A paper goes in, as PDF, LaTeX, HTML, Markdown or plain text, and a template of questions comes
/// back answered by a local open-weights model. The model reads the whole paper. Nothing leaves the
/// machine, unless `compare` is told to ask a server; what is fetched on first use (a PDF library, a
/// model) is announced and its hash is checked. Every option can also be set in a configuration file
/// (`ronbun doctor` tells where) or as RONBUN_OPTION in the environment; the command line wins over
/// the environment, the environment over the file.
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
    // These bring their own words; a comment here would take their place.
    Summarize(Summarize),
    Ask(Ask),
    Extract(Extract),
    /// List, fetch, check, remove and carry models
    #[command(subcommand)]
    Models(Models),
    /// List, show and check templates of questions
    #[command(subcommand)]
    Template(Template),
    /// Tell what was found on this machine, what is missing and how to get it
    Doctor(Doctor),
    // As above.
    Bench(Bench),
    /// Measure a model: on long texts, and on token ids for comparison with other engines
    #[command(subcommand)]
    Eval(Eval),
    // As above.
    Compare(Box<Compare>),
    /// Look at the positions of a model, and search what extends them
    #[command(subcommand)]
    Rope(Rope),
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
}
