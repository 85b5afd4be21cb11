//! The configuration file, and how it yields to the environment and to the command line.

use super::args::{
    self, Ask, AskMode, Bench, Common, Computing, Device, Extract, Format, Generation, GpuKv, LeaveOut, Local, Output,
    Positions, Reading, Summarize, Threads, Weights, When, check_max_tokens, check_temperature,
};
use crate::device::GpuLayers;
use crate::document::Pages;
use crate::hub::default_config_dir;
use crate::model::Quantization;
use crate::rope::{Method, Reach};
use crate::{Error, Kind, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The keys of `config.toml`: the long options without their dashes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    pub model: Option<String>,
    pub template: Option<String>,
    pub lang: Option<String>,
    pub format: Option<Format>,
    pub out: Option<PathBuf>,
    pub offline: Option<bool>,
    pub device: Option<Device>,
    #[serde(deserialize_with = "args::gpu_layers")]
    pub gpu_layers: Option<GpuLayers>,
    pub gpu_kv: Option<GpuKv>,
    pub threads: Option<usize>,
    pub temperature: Option<f32>,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    #[serde(deserialize_with = "args::reach")]
    pub context: Option<Reach>,
    #[serde(deserialize_with = "args::method")]
    pub rope: Option<Method>,
    #[serde(deserialize_with = "args::quantization")]
    pub quantize: Option<Quantization>,
    pub ask: Option<AskMode>,
    pub password: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ocr: Option<When>,
    pub ocr_lang: Option<String>,
    pub pdfium: Option<PathBuf>,
    pub pages: Option<Pages>,
    pub no_references: Option<bool>,
    pub no_appendix: Option<bool>,
    pub no_appendix_tables: Option<bool>,
    pub quiet: Option<bool>,
    pub verbose: Option<bool>,
}

impl Config {
    /// The file that `--config` names, else the user's `config.toml`, else nothing.
    pub fn load(explicit: Option<&Path>) -> Result<Config> {
        if let Some(path) = explicit {
            return Config::read(path);
        }
        let folder = default_config_dir();
        if folder.is_file() {
            return Err(Error::new(Kind::Usage, folder.display(), "is a file, and RONBUN_CONFIG must name a folder")
                .hint("name the folder that holds config.toml, or give the file as --config FILE"));
        }
        let path = Config::usual_path();
        if path.exists() { Config::read(&path) } else { Ok(Config::default()) }
    }

    /// Where the file is looked for unless `--config` names one.
    pub fn usual_path() -> PathBuf {
        default_config_dir().join("config.toml")
    }

    fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::new(Kind::Usage, path.display(), format!("cannot be read: {error}")))?;
        Config::parse(&text).map_err(|problem| Error::new(Kind::Usage, path.display(), problem))
    }

    /// What is wrong, in one line, on failure.
    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1);
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{at}{}", error.message())
        })?;
        if let Some(temperature) = config.temperature {
            check_temperature(temperature).map_err(|problem| format!("temperature {problem}"))?;
        }
        if config.threads == Some(0) {
            return Err("threads must be at least 1".into());
        }
        if let Some(tokens) = config.max_tokens {
            check_max_tokens(tokens).map_err(|problem| format!("max-tokens {problem}"))?;
        }
        Ok(config)
    }
}

/// Fills what the command line and the environment left open.
pub trait Over {
    fn over(self, config: &Config) -> Self;
}

impl Over for Common {
    fn over(self, config: &Config) -> Self {
        Common {
            config: self.config,
            offline: self.offline.or(config.offline),
            quiet: self.quiet.or(config.quiet),
            verbose: self.verbose.or(config.verbose),
        }
    }
}

impl Over for Reading {
    fn over(self, config: &Config) -> Self {
        Reading {
            // Either way of giving it on the command line wins over both in the file.
            password: if self.password_file.is_none() {
                self.password.or_else(|| config.password.clone())
            } else {
                self.password
            },
            password_file: self.password_file.or_else(|| config.password_file.clone()),
            ocr: self.ocr.or(config.ocr),
            ocr_lang: self.ocr_lang.or_else(|| config.ocr_lang.clone()),
            pdfium: self.pdfium.or_else(|| config.pdfium.clone()),
            pages: self.pages.or_else(|| config.pages.clone()),
        }
    }
}

impl Over for LeaveOut {
    fn over(self, config: &Config) -> Self {
        LeaveOut {
            no_references: self.no_references.or(config.no_references),
            no_appendix: self.no_appendix.or(config.no_appendix),
            no_appendix_tables: self.no_appendix_tables.or(config.no_appendix_tables),
        }
    }
}

impl Over for Generation {
    fn over(self, config: &Config) -> Self {
        Generation {
            model: self.model.or_else(|| config.model.clone()),
            lang: self.lang.or_else(|| config.lang.clone()),
            temperature: self.temperature.or(config.temperature),
            seed: self.seed.or(config.seed),
            max_tokens: self.max_tokens.or(config.max_tokens),
            local: self.local.over(config),
        }
    }
}

impl Over for Local {
    fn over(self, config: &Config) -> Self {
        Local {
            computing: self.computing.over(config),
            threads: Threads { threads: self.threads.threads.or(config.threads) },
            weights: Weights { quantize: self.weights.quantize.or(config.quantize) },
            positions: self.positions.over(config),
        }
    }
}

impl Over for Bench {
    fn over(self, config: &Config) -> Self {
        let model = self.model.or_else(|| config.model.clone());
        Bench { model, local: self.local.over(config), ..self }
    }
}

impl Over for Computing {
    fn over(self, config: &Config) -> Self {
        Computing {
            device: self.device.or(config.device),
            gpu_layers: self.gpu_layers.or(config.gpu_layers),
            gpu_kv: self.gpu_kv.or(config.gpu_kv),
        }
    }
}

impl Over for Positions {
    fn over(self, config: &Config) -> Self {
        Positions { context: self.context.or(config.context), rope: self.rope.or_else(|| config.rope.clone()) }
    }
}

impl Over for Output {
    fn over(self, config: &Config) -> Self {
        let out = self.out.or_else(|| config.out.clone());
        Output { format: self.format.or(config.format), out: out.filter(|out| not_stdout(out)) }
    }
}

impl Over for Summarize {
    fn over(self, config: &Config) -> Self {
        Summarize {
            inputs: self.inputs,
            template: self.template.or_else(|| config.template.clone()),
            ask: self.ask.or(config.ask),
            output: self.output.over(config),
            generation: self.generation.over(config),
            reading: self.reading.over(config),
            leave_out: self.leave_out.over(config),
        }
    }
}

impl Over for Ask {
    fn over(self, config: &Config) -> Self {
        Ask {
            input: self.input,
            questions: self.questions,
            output: self.output.over(config),
            generation: self.generation.over(config),
            reading: self.reading.over(config),
            leave_out: self.leave_out.over(config),
        }
    }
}

impl Over for Extract {
    fn over(self, config: &Config) -> Self {
        let (reading, leave_out) = (self.reading.over(config), self.leave_out.over(config));
        Extract { reading, leave_out, out: self.out.filter(|out| not_stdout(out)), ..self }
    }
}

/// `-` is stdout, which is where results go without `--out`.
fn not_stdout(out: &Path) -> bool {
    out.as_os_str() != "-"
}

/// `ja` where the user's locale is Japanese, else `en`.
pub fn locale_language() -> &'static str {
    language_of(sys_locale::get_locale().as_deref())
}

fn language_of(locale: Option<&str>) -> &'static str {
    let language = locale.unwrap_or_default().split(['-', '_', '.']).next().unwrap_or_default();
    if language.eq_ignore_ascii_case("ja") { "ja" } else { "en" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let text = "model = 'm'\ntemplate = 't'\nlang = 'ja'\nformat = 'html'\nout = 'o'\noffline = true\n\
            device = 'cpu'\ngpu-layers = 12\ngpu-kv = 'i8'\nthreads = 2\ntemperature = 0\nseed = 7\nmax-tokens = 9\ncontext = 40000\nrope = 'yarn:2'\nask = 'together'\n\
            quantize = 'q4_k'\npassword = 'p'\npassword-file = 'w'\nocr = 'never'\nocr-lang = 'eng'\npdfium = 'f'\npages = '1-3,7'\nno-references = true\nno-appendix = true\n\
            no-appendix-tables = true\nquiet = true\nverbose = false\n";
        let config = Config::parse(text).expect("parses");
        assert_eq!(config.max_tokens, Some(9));
        assert_eq!(config.temperature, Some(0.0));
        assert_eq!((config.context, config.rope), (Some(Reach::Tokens(40_000)), Some(Method::Yarn(Some(2.0)))));
        assert_eq!(config.quantize, Some(Quantization::Q4K));
        assert_eq!((config.gpu_layers, config.gpu_kv), (Some(GpuLayers::Exactly(12)), Some(GpuKv::I8)));
        assert_eq!(Config::parse("context = 'native'").expect("parses").context, Some(Reach::Native));
        assert_eq!(config.ask, Some(AskMode::Together));
        assert_eq!(config.format, Some(Format::Html));
        assert_eq!(config.verbose, Some(false));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
        let problem = Config::parse("lang = 'ja'\nmodle = 'x'\n").expect_err("unknown key");
        for part in ["line 2", "modle", "`model`", "`max-tokens`"] {
            assert!(problem.contains(part), "{problem}");
        }
        assert!(!problem.contains('\n'), "{problem}");
    }

    #[test]
    fn values_are_checked() {
        for (text, part) in [
            ("threads = 0", "threads"),
            ("max-tokens = 0", "max-tokens"),
            ("max-tokens = 9223372036854775807", "1048576"),
            ("temperature = -1", "temperature"),
            ("format = 'pdf'", "html"),
            ("seed = -4", "line 1"),
            ("pages = '0'", "1-3,7"),
            ("context = 'wide'", "auto, native"),
            ("context = 0", "between 1 and"),
            ("quantize = 'q3'", "neither q8_0 nor q4_k"),
            ("rope = 'spiral'", "longrope:FILE"),
            ("rope = 'yarn:0.5'", "0.5"),
            ("= 3", "line 1"),
        ] {
            let problem = Config::parse(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        let config = Config { offline: Some(true), quiet: Some(true), ..Config::default() };
        let given = Common { config: None, offline: Some(false), quiet: None, verbose: None };
        let common = given.over(&config);
        assert_eq!((common.offline, common.quiet, common.verbose), (Some(false), Some(true), None));
    }

    #[test]
    fn japanese_locales_ask_for_japanese() {
        for (locale, language) in [("ja-JP", "ja"), ("ja_JP.UTF-8", "ja"), ("JA", "ja"), ("jam", "en"), ("de-DE", "en")]
        {
            assert_eq!(language_of(Some(locale)), language, "{locale}");
        }
        assert_eq!(language_of(None), "en");
    }
}
