//! What options may hold.

use crate::device::GpuLayers;
use crate::model::Quantization;
use crate::rope::{Method, Reach};
use crate::template::{MOST_TOKENS, TEMPERATURES};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Deserializer, de};
use std::str::FromStr;

/// How a text beyond the model's own context is read.
#[derive(Debug, Clone, Default, Args)]
pub struct Positions {
    /// The longest sequence, prompt and answer: auto extends the model's own context where a text needs it, native
    /// never does; above the model's own, N tokens are planned for whatever the text [default: auto]
    #[arg(long, env = "RONBUN_CONTEXT", value_name = "auto|native|N", value_parser = Reach::from_str)]
    pub context: Option<Reach>,
    /// How a context is extended: auto, native, linear:F, ntk[:F], dynamic, yarn[:F] or longrope:FILE [default: auto]
    ///
    /// Without F the smallest multiple of 1/16 that fits is taken. auto takes what the model's publisher names, then
    /// factors that its card names, then YaRN up to a factor of 4.
    #[arg(long, env = "RONBUN_ROPE", value_name = "HOW", value_parser = Method::from_str)]
    pub rope: Option<Method>,
}

/// Where a model computes.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Computing {
    /// Where to compute [default: auto]
    #[arg(long, env = "RONBUN_DEVICE", value_name = "DEVICE")]
    pub device: Option<Device>,
    /// The model's last N layers compute on the GPU, those before them on the CPU, with their keys and values; auto takes
    /// as many as there is room for [default: auto]
    #[arg(long, env = "RONBUN_GPU_LAYERS", value_name = "auto|N", value_parser = GpuLayers::from_str)]
    pub gpu_layers: Option<GpuLayers>,
    /// How a GPU keeps keys and values; as bytes they take half the room [default: bf16]
    #[arg(long, env = "RONBUN_GPU_KV", value_name = "bf16|i8", hide_possible_values = true)]
    pub gpu_kv: Option<GpuKv>,
}

/// How a GPU keeps keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuKv {
    Bf16,
    /// All but the first block and the newest tokens as bytes, each block around its mean
    I8,
}

/// How a model of this machine runs.
#[derive(Debug, Clone, Default, Args)]
pub struct Local {
    #[command(flatten)]
    pub computing: Computing,
    #[command(flatten)]
    pub threads: Threads,
    #[command(flatten)]
    pub weights: Weights,
    #[command(flatten)]
    pub positions: Positions,
}

/// How much of the CPU computes.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Threads {
    /// CPU threads [default: all cores]
    #[arg(long, env = "RONBUN_THREADS", value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
}

/// In what a model's matrices are kept.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Weights {
    /// Quantise a model's matrices of f32, f16 or bf16 as it is loaded, once, into ronbun's cache: q8_0, or q4_k
    /// (embedding and head q6_k; q5_0 and q8_0 where rows are no whole blocks of 256, as they are where they are none
    /// of 32)
    #[arg(long, env = "RONBUN_QUANTIZE", value_name = "TYPE", value_parser = Quantization::from_str)]
    pub quantize: Option<Quantization>,
}

/// `quantize` in a configuration file.
pub fn quantization<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Quantization>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|problem| de::Error::custom(format!("quantize '{text}' {problem}")))
}

/// `context` in a configuration file.
pub fn reach<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reach>, D::Error> {
    word_or_number(from, "context")
}

/// `gpu-layers` in a configuration file.
pub fn gpu_layers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<GpuLayers>, D::Error> {
    word_or_number(from, "gpu-layers")
}

/// What a key of a configuration file holds, read as on the command line.
fn word_or_number<'de, D: Deserializer<'de>, T>(from: D, key: &str) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err = String>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Number(i64),
        Word(String),
    }
    let text = match Value::deserialize(from)? {
        Value::Number(number) => number.to_string(),
        Value::Word(word) => word,
    };
    text.parse().map(Some).map_err(|problem| de::Error::custom(format!("{key} '{text}' {problem}")))
}

/// `rope` in a configuration file.
pub fn method<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Method>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|problem| de::Error::custom(format!("rope '{text}' {problem}")))
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Md,
    Json,
    Html,
    Text,
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kv {
    /// As answers are computed: as bytes
    I8,
    F16,
    F32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    Text,
    Json,
}

/// A part of what was read in a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Headings, paragraphs and lists, from the abstract to the references
    Body,
    /// The entries of the reference list, one a line
    References,
    /// URLs with their pages and kinds, one a line
    Links,
    /// Tables with their captions, in Markdown
    Tables,
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

/// What a judge is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JudgedThing {
    /// Which of two answers is better
    Answers,
    /// Whether the nearest passage entails a sentence
    Sentences,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskMode {
    /// Each question on its own over the shared paper: one answer per question
    Each,
    /// All questions in one prompt: one text for all
    Together,
}

pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a whole number".into()),
    }
}

/// A number of tokens: 8192 or 8k.
pub fn size(text: &str) -> Result<usize, String> {
    let (digits, times) = text.strip_suffix(['k', 'K']).map_or((text, 1), |digits| (digits, 1024));
    let number = positive(digits)?;
    number.checked_mul(times).filter(|size| *size <= 1 << 24).ok_or_else(|| format!("is above {}", 1 << 24))
}

pub fn temperature(text: &str) -> Result<f32, String> {
    check_temperature(text.parse().map_err(|_| "is not a number".to_string())?)
}

pub fn check_temperature(value: f32) -> Result<f32, String> {
    let (least, most) = (TEMPERATURES.start(), TEMPERATURES.end());
    if TEMPERATURES.contains(&value) { Ok(value) } else { Err(format!("must lie between {least} and {most}")) }
}

pub fn max_tokens(text: &str) -> Result<usize, String> {
    check_max_tokens(text.parse().map_err(|_| format!("is not a whole number up to {MOST_TOKENS}"))?)
}

pub fn check_max_tokens(value: usize) -> Result<usize, String> {
    if (1..=MOST_TOKENS).contains(&value) { Ok(value) } else { Err(format!("must lie between 1 and {MOST_TOKENS}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_a_k() {
        assert_eq!((size("8k"), size("100")), (Ok(8192), Ok(100)));
        for bad in ["0", "k", "-1", "99999999k", "1.5k"] {
            assert!(size(bad).is_err(), "{bad}");
        }
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
