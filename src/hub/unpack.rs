//! `models unpack`: installs a pack. Every member is checked against the manifest in a folder of its own before anything
//! gets its final name; a pack with anything wrong installs nothing.

use super::{
    Card, Hub, Origin, Source, cache,
    cache::{Lock, Stopped, model_folder, unwritable},
    card::is_relative_path,
    install::{Contents, Entry},
    pack::{FORMAT, MANIFEST, Manifest, Watched},
    pdfium, pins,
};
use crate::{Error, Kind, Result, progress::Unit};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

/// A manifest is no larger, in bytes.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// What `models unpack` installed.
#[derive(Debug, Clone, Serialize)]
pub struct Unpacked {
    pub models: Vec<String>,
    pub pdfium: Option<PathBuf>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Hub {
    /// Installs the models, cards and PDFium of a pack in ronbun's cache. PDFium for another platform is left out, with
    /// a note.
    ///
    /// # Errors
    /// `Input` if the file is no pack, `Model` if anything in it is not as its manifest says (named with what was
    /// expected and found), `Output` if the cache cannot be written.
    pub fn unpack(&self, file: &Path) -> Result<Unpacked> {
        let cache_dir = &self.settings.cache_dir;
        cache::make_folder(cache_dir)?;
        let _lock = Lock::take(cache_dir, "unpack", &self.settings.progress)?;
        cache::sweep(cache_dir);
        let stage = tempfile::Builder::new().prefix(".unpack-").tempdir_in(cache_dir);
        let stage = stage.map_err(|error| unwritable(cache_dir, error))?;
        let manifest = self.stage(file, stage.path())?;
        let (cards, mut notes) = self.examine(&manifest, stage.path(), file)?;
        for contents in &manifest.models {
            self.install_model(contents, stage.path())?;
        }
        for card in &cards {
            notes.push(self.install_card(card)?);
        }
        let models = manifest.models.iter().map(|contents| contents.id.clone()).collect();
        let mut unpacked = Unpacked { models, pdfium: None, notes };
        self.install_pdfium(&manifest, stage.path(), &mut unpacked)?;
        Ok(unpacked)
    }

    /// Extracts the archive into `stage` and returns its manifest, once all of it is checked.
    fn stage(&self, file: &Path, stage: &Path) -> Result<Manifest> {
        let unreadable =
            |error: std::io::Error| Error::new(Kind::Input, file.display(), format!("is no pack: {error}"));
        let broken = |problem: String| Error::new(Kind::Model, file.display(), problem);
        let opened = File::open(file).map_err(|error| Error::new(Kind::Input, file.display(), error))?;
        let size = opened.metadata().map_or(0, |metadata| metadata.len());
        let bar = self.settings.progress.bar("unpacking", size, Unit::Bytes);
        let decoder = zstd::Decoder::new(Watched { from: opened, bar: &bar }).map_err(unreadable)?;
        let mut archive = tar::Archive::new(BufReader::new(decoder));
        let mut members = archive.entries().map_err(unreadable)?;
        let first = members.next().ok_or_else(|| unreadable(std::io::ErrorKind::UnexpectedEof.into()))?;
        let manifest = read_manifest(first.map_err(unreadable)?, file)?;
        let mut waiting: HashMap<&str, &Entry> =
            manifest.files.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        for member in members {
            crate::interrupt::check()?;
            let mut member = member.map_err(|error| broken(format!("is damaged: {error}")))?;
            let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
            let entry = match waiting.remove(name.as_str()) {
                Some(entry) if member.header().entry_type().is_file() => entry,
                _ => return Err(broken(format!("holds {name:?}, which its manifest does not name as a file"))),
            };
            let target = stage.join(&entry.name);
            cache::make_folder(target.parent().unwrap_or(stage))?;
            let mut out = File::create_new(&target).map_err(|error| unwritable(&target, error))?;
            let (bytes, sha256) =
                cache::copy_hashed(&mut member, &mut out, entry.bytes, |_| ()).map_err(|stopped| match stopped {
                    Stopped::Interrupted(error) => error,
                    Stopped::Write(error) => unwritable(&target, error),
                    Stopped::Read(error) => broken(format!("{name} is damaged: {error}")),
                    Stopped::TooLong => {
                        broken(format!("{name} has more than the {} bytes of its manifest", entry.bytes))
                    }
                })?;
            if bytes != entry.bytes {
                return Err(broken(format!("{name} is cut short: {bytes} bytes, expected {}", entry.bytes)));
            }
            if sha256 != entry.sha256 {
                return Err(broken(format!("{name}: wrong SHA-256: expected {}, found {sha256}", entry.sha256)));
            }
            out.sync_all().map_err(|error| unwritable(&target, error))?;
        }
        if let Some(name) = waiting.keys().min() {
            return Err(broken(format!("is cut short: {name} is missing")));
        }
        Ok(manifest)
    }

    /// The cards that the pack brings for models that are unknown here, once every model in it agrees with its card and
    /// lies ready in `stage`; with notes on what no pin vouches for.
    fn examine(&self, manifest: &Manifest, stage: &Path, file: &Path) -> Result<(Vec<Card>, Vec<String>)> {
        let broken = |problem: String| Error::new(Kind::Model, file.display(), problem);
        let (mut cards, mut notes, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for contents in &manifest.models {
            let id = &contents.id;
            if !seen.insert(cache::folder_name(id)) {
                return Err(broken(format!("names {id} twice")));
            }
            let folder = model_folder(stage, id);
            if let Some(entry) = contents.files.iter().find(|entry| !folder.join(&entry.name).is_file()) {
                return Err(broken(format!("names {} of {id}, which is not in it", entry.name)));
            }
            let packed = match self.card(id) {
                Some(_) => None,
                None => packed_card(manifest, id, stage, file)?,
            };
            let sources = self.card(id).or(packed.as_ref()).map(|card| &*card.sources).unwrap_or_default();
            notes.extend(agree(sources, contents, file)?);
            cards.extend(packed);
        }
        Ok((cards, notes))
    }

    /// Adds a card to the user's.
    fn install_card(&self, card: &Card) -> Result<String> {
        let text = toml::to_string(card).map_err(|error| Error::new(Kind::Internal, &card.id, error))?;
        let target = self.settings.cards_dir.join(format!("{}.toml", card.id));
        cache::write_whole(&target, text.as_bytes())?;
        Ok(format!("the card of {} was added: {}", card.id, target.display()))
    }

    fn install_model(&self, contents: &Contents, stage: &Path) -> Result<()> {
        let packed = model_folder(stage, &contents.id);
        let folder = model_folder(&self.settings.cache_dir, &contents.id);
        let _lock = Lock::take(&self.settings.cache_dir, &contents.id, &self.settings.progress)?;
        for entry in &contents.files {
            let (from, to) = (packed.join(&entry.name), folder.join(&entry.name));
            cache::make_folder(to.parent().unwrap_or(&folder))?;
            fs::rename(&from, &to).map_err(|error| unwritable(&to, error))?;
            self.receipts().write(&to, &entry.sha256);
        }
        contents.write(&folder)?;
        let licence = format!("licences/{}.txt", contents.id);
        if let Ok(text) = fs::read(stage.join(licence)) {
            cache::write_whole(&folder.join("LICENCE.txt"), &text)?;
        }
        Ok(())
    }

    fn install_pdfium(&self, manifest: &Manifest, stage: &Path, unpacked: &mut Unpacked) -> Result<()> {
        let Some(platform) = &manifest.pdfium else { return Ok(()) };
        let here = pdfium::platform();
        if *platform != here {
            unpacked.notes.push(format!("the PDFium in the pack is for {platform}, this is {here}: it was left out"));
            return Ok(());
        }
        let packed = stage.join("pdfium").join(platform).join(pdfium::library_name());
        let name = format!("pdfium/{platform}/{}", pdfium::library_name());
        let entry = manifest.files.iter().find(|entry| entry.name == name);
        let Some(sha256) =
            entry.map(|entry| &entry.sha256).filter(|hash| pdfium::build().is_some_and(|build| build.sha256 == **hash))
        else {
            unpacked
                .notes
                .push("the PDFium in the pack is another build than this ronbun uses: it was left out".into());
            return Ok(());
        };
        let folder = pdfium::folder(&self.settings.cache_dir);
        cache::make_folder(&folder.join("licences"))?;
        for licence in fs::read_dir(stage.join("licences/pdfium")).into_iter().flatten().filter_map(|entry| entry.ok())
        {
            let to = folder.join("licences").join(licence.file_name());
            fs::rename(licence.path(), &to).map_err(|error| unwritable(&to, error))?;
        }
        let library = folder.join(pdfium::library_name());
        fs::rename(&packed, &library).map_err(|error| unwritable(&library, error))?;
        self.receipts().write(&library, sha256);
        unpacked.pdfium = Some(library);
        Ok(())
    }
}

fn read_manifest(mut member: tar::Entry<impl Read>, file: &Path) -> Result<Manifest> {
    let no_pack = |problem: String| Error::new(Kind::Input, file.display(), format!("is no pack: {problem}"));
    if &*member.path_bytes() != MANIFEST.as_bytes() || member.size() > MANIFEST_LIMIT {
        return Err(no_pack(format!("it does not begin with {MANIFEST}")));
    }
    let mut json = Vec::new();
    member.read_to_end(&mut json).map_err(|error| no_pack(error.to_string()))?;
    let form: serde_json::Value = serde_json::from_slice(&json).map_err(|error| no_pack(error.to_string()))?;
    if form["format"] != FORMAT {
        return Err(no_pack(format!("its format is {}, this ronbun reads {FORMAT}", form["format"])));
    }
    let manifest: Manifest = serde_json::from_value(form).map_err(|error| no_pack(format!("{MANIFEST}: {error}")))?;
    let broken =
        |name: &str| Error::new(Kind::Model, file.display(), format!("names {name:?}, which is no place for a file"));
    let folders = ["models/", "cards/", "pdfium/", "licences/"];
    for Entry { name, .. } in &manifest.files {
        let known = name == super::pack::CHECKSUMS || folders.iter().any(|folder| name.starts_with(folder));
        if !known || !is_relative_path(name) {
            return Err(broken(name));
        }
    }
    for contents in &manifest.models {
        let folder = cache::folder_name(&contents.id);
        if !is_relative_path(&folder) || folder.starts_with('.') {
            return Err(broken(&contents.id));
        }
        // What a model is said to hold must be the very members that were checked.
        for entry in &contents.files {
            let name = format!("models/{folder}/{}", entry.name);
            let same = |other: &Entry| other.name == name && other.sha256 == entry.sha256 && other.bytes == entry.bytes;
            if !is_relative_path(&entry.name) || !manifest.files.iter().any(same) {
                return Err(broken(&name));
            }
        }
    }
    Ok(manifest)
}

/// The card of a model in the pack, if it brings one. What a pack says of itself makes nothing `auto`'s first choice.
fn packed_card(manifest: &Manifest, id: &str, stage: &Path, file: &Path) -> Result<Option<Card>> {
    let name = format!("cards/{id}.toml");
    if !manifest.files.iter().any(|entry| entry.name == name) {
        return Ok(None);
    }
    let broken = |problem: String| Error::new(Kind::Model, file.display(), problem);
    let text = fs::read_to_string(stage.join(&name)).map_err(|error| broken(format!("{name}: {error}")))?;
    let card = Card::parse(&text, &name)?;
    if card.id != id {
        return Err(broken(format!("{name} is the card of {}", card.id)));
    }
    Ok(Some(Card { preference: 0, ..card }))
}

/// Holds a packed model against its sources: its files are those of one of them, and have a pinned hash where there is
/// any. Returns a note where nothing is pinned.
fn agree(sources: &[Source], contents: &Contents, file: &Path) -> Result<Option<String>> {
    let broken = |problem: String| Err(Error::new(Kind::Model, file.display(), problem));
    let id = &contents.id;
    if contents.origin == Origin::Installed {
        return broken(format!("does not say where the files of {id} came from"));
    }
    let names: Vec<&str> = contents.files.iter().map(|entry| entry.name.as_str()).collect();
    if !pins::held(sources, &names) {
        return broken(format!("holds {} as {id}, which are not the files that its card names", names.join(", ")));
    }
    let mut loose = Vec::new();
    for entry in &contents.files {
        let pinned = pins::pins(sources, &entry.name);
        if !pinned.is_empty() && !pinned.contains(&entry.sha256.as_str()) {
            let (name, found) = (&entry.name, &entry.sha256);
            return broken(format!(
                "{name}: wrong SHA-256: the card says {}, the pack has {found}",
                pinned.join(" or ")
            ));
        }
        if pinned.is_empty() {
            loose.push(entry.name.as_str());
        }
    }
    Ok((!loose.is_empty()).then(|| format!("{id}: not compared with any pinned hash: {}", loose.join(", "))))
}
