//! Everything that comes from elsewhere: model cards, downloads, packs, the cache. The only module that may open a socket.

use crate::{Result, progress::Progress};
use std::path::{Path, PathBuf};

/// Where files are looked for and kept.
#[derive(Clone)]
pub struct Settings {
    /// Open no socket.
    pub offline: bool,
    /// ronbun's own cache (PDFium, models from wheels, papers); the hub's cache stays where hf-hub keeps it.
    pub cache_dir: PathBuf,
    /// The user's model cards.
    pub cards_dir: PathBuf,
    pub progress: Progress,
}

pub struct Hub {
    pub settings: Settings,
}

/// A model that is on this machine and was checked.
#[derive(Debug, Clone)]
pub struct LocalModel {
    /// The card's id, or the repository or path that the user named.
    pub id: String,
    pub weights: Weights,
    /// `tokenizer.json`, where it is not inside the GGUF file.
    pub tokenizer: Option<PathBuf>,
    /// `tokenizer_config.json` or `chat_template.jinja`, where there is one.
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

impl Hub {
    pub fn new(settings: Settings) -> Result<Hub> {
        Ok(Hub { settings })
    }

    /// The PDFium library: `explicit`, beside the executable, in the cache, in the system; else fetched.
    pub fn pdfium(&self, explicit: Option<&Path>) -> Result<PathBuf> {
        let _ = explicit;
        Err(crate::Error::new(crate::Kind::Internal, "hub", "skeleton"))
    }

    /// The model that `name` means: `auto`, a card's id, a hub repository (`owner/name`, `owner/name:file.gguf`), a
    /// GGUF file or a folder of safetensors. Fetched and checked where it is not here yet.
    pub fn model(&self, name: &str) -> Result<LocalModel> {
        let _ = name;
        Err(crate::Error::new(crate::Kind::Internal, "hub", "skeleton"))
    }

    /// A paper from arXiv, by id (`1706.03762v7`) or address.
    pub fn paper(&self, address: &str) -> Result<PathBuf> {
        let _ = address;
        Err(crate::Error::new(crate::Kind::Internal, "hub", "skeleton"))
    }
}
