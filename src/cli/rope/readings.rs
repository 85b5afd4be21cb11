//! What candidates are judged by: long texts as token ids, with a needle where one is asked for.

use crate::cli::args::Objective;
use crate::eval::Needle;
use crate::generator::local::TextSide;
use crate::random::Random;
use crate::{Error, Kind, Result};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A text that is long enough, and the names of the files that it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    pub name: String,
    pub ids: Vec<u32>,
}

/// A text as it is read, and whose losses count.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub name: String,
    pub ids: Vec<u32>,
    /// Empty where the text itself does not count.
    pub text: Range<usize>,
    /// Empty without a needle.
    pub answer: Range<usize>,
}

/// Up to `most` texts of `tokens` tokens each. A file that is shorter is joined to those that follow it; what is left
/// of a file is not used.
pub fn long_texts(paths: &[PathBuf], tokens: usize, most: usize, text: &TextSide) -> Result<Vec<Text>> {
    let mut texts: Vec<Text> = Vec::new();
    let mut open = Text { name: String::new(), ids: Vec::new() };
    for file in files(paths)? {
        if texts.len() == most {
            break;
        }
        let read = fs::read_to_string(&file).map_err(|error| Error::new(Kind::Input, file.display(), error))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        open.name = if open.name.is_empty() { name.into_owned() } else { format!("{} + {name}", open.name) };
        let between = if open.ids.is_empty() { "" } else { "\n\n" };
        open.ids.extend(text.tokenizer.encode(&format!("{between}{}", text.tokenizer.defuse(&read)))?);
        if open.ids.len() >= tokens {
            open.ids.truncate(tokens);
            texts.push(std::mem::replace(&mut open, Text { name: String::new(), ids: Vec::new() }));
        }
    }
    if texts.is_empty() {
        let problem = format!("hold {} tokens together, and a target of {tokens} needs more", open.ids.len());
        return Err(Error::new(Kind::Input, "the texts", problem).hint("give more or longer texts with --text"));
    }
    Ok(texts)
}

/// Files as they are; of folders the .txt and .md files, by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let is_text = |path: &Path| path.extension().is_some_and(|kind| kind == "txt" || kind == "md");
        let entries = fs::read_dir(path).map_err(|error| Error::new(Kind::Input, path.display(), error))?;
        let mut inside: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_text(path)).collect();
        if inside.is_empty() {
            return Err(Error::new(Kind::Input, path.display(), "holds no .txt or .md file")
                .hint("`ronbun extract FILE --out FILE.txt` makes a text of a paper"));
        }
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

/// As much of each text as `tokens` tokens have room for, with the token that begins a text where the model has one.
pub fn readings(
    texts: &[Text],
    tokens: usize,
    objective: Objective,
    seed: u64,
    side: &TextSide,
) -> Result<Vec<Reading>> {
    texts.iter().map(|text| reading(text, tokens, objective, seed, side)).collect()
}

fn reading(text: &Text, tokens: usize, objective: Objective, seed: u64, side: &TextSide) -> Result<Reading> {
    let mut ids: Vec<u32> = side.tokenizer.bos().into_iter().collect();
    let (mut behind, mut answer) = (Vec::new(), Vec::new());
    if objective != Objective::Perplexity {
        let needle = Needle::new(&mut Random::new(seed, &text.name));
        ids.extend(side.tokenizer.encode(&needle.before)?);
        behind = side.tokenizer.encode(&needle.after)?;
        answer = side.tokenizer.encode(&needle.answer)?;
    }
    let room = tokens.saturating_sub(ids.len() + behind.len() + answer.len()).min(text.ids.len());
    if room == 0 {
        let problem = format!("{tokens} tokens have no room for a text and its needle");
        return Err(Error::new(Kind::Usage, "--tokens", problem).hint("take a greater number"));
    }
    let start = ids.len();
    ids.extend(&text.ids[..room]);
    let of_text = if objective == Objective::Needle { start..start } else { start..ids.len() };
    ids.extend(behind);
    let of_answer = ids.len()..ids.len() + answer.len();
    ids.extend(answer);
    Ok(Reading { name: text.name.clone(), ids, text: of_text, answer: of_answer })
}
