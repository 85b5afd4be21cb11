//! What options may hold.

use crate::template::{MOST_TOKENS, TEMPERATURES};
use clap::ValueEnum;
use serde::Deserialize;

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
