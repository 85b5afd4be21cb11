//! `models pack`: one archive (`.tar.zst`) with models, PDFium, cards, licences and checksums, for a machine without
//! network. Its first member, `manifest.json`, names every other with its size and SHA-256.

use super::{
    Card, Hub, Origin, cache,
    cache::unwritable,
    install::{Contents, Entry, relative},
    pdfium,
    receipt::Expected,
};
use crate::{
    Error, Kind, Result, interrupt,
    progress::{Bar, Unit},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

pub(super) const FORMAT: u32 = 1;
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const CHECKSUMS: &str = "SHA256SUMS";

/// Weights hardly compress; more than this only takes time.
const LEVEL: i32 = 1;

/// What `models pack` wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Packed {
    pub file: PathBuf,
    pub bytes: u64,
    pub models: Vec<String>,
    /// Whether PDFium for this platform is in it.
    pub pdfium: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub format: u32,
    /// The version of ronbun that wrote it.
    pub ronbun: String,
    pub models: Vec<Contents>,
    /// The platform that the PDFium library in it is for.
    pub pdfium: Option<String>,
    /// Every other member, in order; names are paths in the archive.
    pub files: Vec<Entry>,
}

/// A member before it is written.
struct Member {
    entry: Entry,
    from: From,
}

enum From {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Member {
    fn text(name: String, bytes: Vec<u8>) -> Member {
        let sha256 = cache::hexadecimal(&Sha256::digest(&bytes));
        Member { entry: Entry { name, bytes: bytes.len() as u64, sha256 }, from: From::Bytes(bytes) }
    }
}

impl Hub {
    /// Writes models (all that are installed if none is named; fetched where they are missing), PDFium and what belongs
    /// to them into one archive.
    ///
    /// # Errors
    /// As [`Hub::pull`] and [`Hub::pdfium`]; `Output` if the archive cannot be written.
    pub fn pack(&self, ids: &[String], out: &Path) -> Result<Packed> {
        let ids = match ids {
            [] => self.installed().into_iter().map(|model| model.id).collect(),
            ids => ids.to_vec(),
        };
        if ids.is_empty() {
            return Err(Error::new(Kind::Usage, "models pack", "no model is installed, and none was named"));
        }
        let (mut models, mut members) = (Vec::new(), Vec::new());
        for name in &ids {
            let (contents, files) = self.packable(&self.pull(name)?.id)?;
            members.extend(files);
            if let Some(card) = self.card(&contents.id) {
                members.extend(card_members(card)?);
            }
            models.push(contents);
        }
        let pdfium = self.pdfium_members()?;
        let platform = (!pdfium.is_empty()).then(pdfium::platform);
        members.extend(pdfium);
        let sums: String =
            members.iter().map(|member| format!("{}  {}\n", member.entry.sha256, member.entry.name)).collect();
        members.insert(0, Member::text(CHECKSUMS.into(), sums.into_bytes()));
        let files = members.iter().map(|member| member.entry.clone()).collect();
        let ids = models.iter().map(|contents: &Contents| contents.id.clone()).collect();
        let manifest =
            Manifest { format: FORMAT, ronbun: env!("CARGO_PKG_VERSION").into(), models, pdfium: platform, files };
        let json = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::new(Kind::Internal, "pack", error))?;
        members.insert(0, Member::text(MANIFEST.into(), json));
        let bytes = self.write_pack(&members, out)?;
        Ok(Packed { file: out.into(), bytes, models: ids, pdfium: manifest.pdfium.is_some() })
    }

    /// An installed model's files as members.
    fn packable(&self, id: &str) -> Result<(Contents, Vec<Member>)> {
        let here = self.here(id, &self.sources_of(id)?).ok_or_else(|| {
            Error::new(Kind::Usage, id, "cannot be packed: only cards and hub repositories can")
                .hint("a GGUF file or a folder of your own can be copied as it is")
        })?;
        let folder = format!("models/{}", cache::folder_name(id));
        let (mut entries, mut members) = (Vec::new(), Vec::new());
        for (path, bytes, sha256) in here.files {
            let expected = Expected { bytes, sha256: sha256.as_deref() };
            let (bytes, sha256) = self.receipts().check(&path, expected)?;
            let entry = Entry { name: relative(&path, &here.folder), bytes, sha256 };
            let name = format!("{folder}/{}", entry.name);
            members.push(Member { entry: Entry { name, ..entry.clone() }, from: From::File(path) });
            entries.push(entry);
        }
        let origin = if here.origin == Origin::Wheels { Origin::Wheels } else { Origin::Hub };
        Ok((Contents { id: id.into(), origin, files: entries }, members))
    }

    /// PDFium from the cache, fetched if it is not there. Offline, a pack can do without.
    fn pdfium_members(&self) -> Result<Vec<Member>> {
        if pdfium::build().is_none() || (self.settings.offline && self.pdfium_cached().is_none()) {
            self.settings.progress.warn("PDFium is not in ronbun's cache, so it is not in the pack");
            return Ok(Vec::new());
        }
        let library = match self.pdfium_cached() {
            Some((library, sha256)) => {
                self.receipts().check(&library, Expected { bytes: None, sha256: Some(sha256) })?;
                library
            }
            None => self.fetch_pdfium()?,
        };
        let (bytes, sha256) = self.receipts().hash(&library)?;
        let name = format!("pdfium/{}/{}", pdfium::platform(), pdfium::library_name());
        let mut members = vec![Member { entry: Entry { name, bytes, sha256 }, from: From::File(library) }];
        for path in pdfium::cached_licences(&self.settings.cache_dir) {
            let text = std::fs::read(&path).map_err(|error| Error::new(Kind::Input, path.display(), error))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            members.push(Member::text(format!("licences/pdfium/{name}"), text));
        }
        Ok(members)
    }

    fn write_pack(&self, members: &[Member], out: &Path) -> Result<u64> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |error: io::Error| interrupt::check().err().unwrap_or_else(|| unwritable(out, error));
        let file = cache::temporary(folder)?;
        let total = members.iter().map(|member| member.entry.bytes).sum();
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let bar = self.settings.progress.bar(&format!("packing {name}"), total, Unit::Bytes);
        let encoder = zstd::Encoder::new(file.as_file(), LEVEL).map_err(failed)?;
        let mut archive = tar::Builder::new(encoder);
        for member in members {
            match &member.from {
                From::Bytes(bytes) => append(&mut archive, &member.entry, bytes.as_slice(), &bar).map_err(failed)?,
                From::File(path) => {
                    let file = File::open(path).map_err(|error| Error::new(Kind::Input, path.display(), error))?;
                    append(&mut archive, &member.entry, file, &bar).map_err(failed)?;
                }
            }
        }
        let encoder = archive.into_inner().map_err(failed)?;
        encoder.finish().map_err(failed)?;
        let bytes = file.as_file().metadata().map_err(failed)?.len();
        cache::place(file, out)?;
        Ok(bytes)
    }
}

fn append<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry, from: impl Read, bar: &Bar) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(entry.bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, &entry.name, Watched { from: from.take(entry.bytes), bar })
}

/// A reader that a bar and Ctrl-C follow.
pub(super) struct Watched<'a, R> {
    pub from: R,
    pub bar: &'a Bar,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.from.read(buffer)?;
        self.bar.advance(read as u64);
        Ok(read)
    }
}

fn card_members(card: &Card) -> Result<[Member; 2]> {
    let text = toml::to_string(card).map_err(|error| Error::new(Kind::Internal, &card.id, error))?;
    let licence = format!("{}: {}\n{}\n", card.name, card.licence.name, card.licence.url);
    Ok([
        Member::text(format!("cards/{}.toml", card.id), text.into_bytes()),
        Member::text(format!("licences/{}.txt", card.id), licence.into_bytes()),
    ])
}
