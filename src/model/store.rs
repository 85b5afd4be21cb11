//! Matrices in a form of our own, kept in a file of the cache: made once, then mapped.
//!
//! The file: `RONBUNPK`, the layout's version and the length of a table (each a little-endian u32), the table as JSON,
//! and from the next multiple of [`ALIGNMENT`] on the matrices, each on such a multiple.

use crate::progress::{Bar, Progress, Unit};
use crate::{Error, interrupt};
use ronbun_kernels::mapping::Mapping;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

const MAGIC: &[u8; 8] = b"RONBUNPK";
/// Changes whenever the kernels' layout does.
const VERSION: u32 = 2;
const ALIGNMENT: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    /// What the matrices were made of; a copy whose source is gone is of no use.
    source: PathBuf,
    /// Offset of each matrix behind the table's end.
    offsets: BTreeMap<String, usize>,
}

/// Where packed and quantised copies are kept, and who hears of their making.
#[derive(Clone)]
pub struct PackedCache {
    pub folder: PathBuf,
    pub progress: Progress,
}

/// Bytes of each matrix by its name.
pub type Sizes = BTreeMap<String, usize>;

/// A file of the cache.
pub struct Stored {
    pub file: Arc<Mapping>,
    pub ranges: BTreeMap<String, Range<usize>>,
}

/// Why there is no file.
pub enum Failure {
    Io(io::Error),
    Other(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl PackedCache {
    /// The copy of `source` that is of some `kind`, which is also its file's extension; where there is none, or one
    /// that is damaged or not made of these matrices, `write` makes each of them, under a bar with a label.
    pub fn found_or_made(
        &self,
        source: &Path,
        kind: &str,
        label: &str,
        sizes: &Sizes,
        write: impl FnMut(&mut dyn Write, &str, &Bar) -> Result<(), Failure>,
    ) -> Result<(PathBuf, Stored), Failure> {
        let path = self.path_of(source, kind)?;
        if let Some(stored) = open(&path, sizes) {
            return Ok((path, stored));
        }
        self.make(&path, source, label, sizes, write)?;
        let stored =
            open(&path, sizes).ok_or_else(|| io::Error::other("what was written there reads back otherwise"))?;
        Ok((path, stored))
    }

    /// Named by the model's files, their lengths and their times of change, so that others never find it.
    pub fn path_of(&self, source: &Path, kind: &str) -> io::Result<PathBuf> {
        let whole = fs::canonicalize(source)?;
        let mut hash = Sha256::new();
        hash.update(whole.as_os_str().as_encoded_bytes());
        for file in files(&whole)? {
            let metadata = fs::metadata(&file)?;
            hash.update(metadata.len().to_le_bytes());
            let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            hash.update(changed.as_nanos().to_le_bytes());
        }
        let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        Ok(self.folder.join(format!("{stem}-{hash}.{kind}")))
    }

    fn make(
        &self,
        path: &Path,
        source: &Path,
        label: &str,
        sizes: &Sizes,
        mut write: impl FnMut(&mut dyn Write, &str, &Bar) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder)?;
        self.sweep();
        let mut offsets = BTreeMap::new();
        let mut total = 0;
        for (name, size) in sizes {
            offsets.insert(name.clone(), total);
            total += size.next_multiple_of(ALIGNMENT);
        }
        let table = Table { source: fs::canonicalize(source)?, offsets };
        let table = serde_json::to_vec(&table).map_err(io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&u32::try_from(table.len()).map_err(io::Error::other)?.to_le_bytes())?;
        file.write_all(&table)?;
        pad(&mut file, 16 + table.len())?;
        let bar = self.progress.bar(label, total as u64, Unit::Bytes);
        for (name, size) in sizes {
            interrupt::check()?;
            write(&mut file, name, &bar)?;
            pad(&mut file, *size)?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the copies whose model is gone.
    pub fn sweep(&self) {
        // A packed copy may be one of a quantised copy, which goes first.
        while self.sweep_once() {}
    }

    /// Whether anything was removed.
    fn sweep_once(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.folder) else { return false };
        let is_ours =
            |path: &PathBuf| path.extension().is_some_and(|kind| ["packed", "q8_0", "q4_k"].iter().any(|k| *k == kind));
        let mut removed = false;
        for path in entries.flatten().map(|entry| entry.path()).filter(is_ours) {
            let file = Mapping::open(&path).ok();
            let gone = file.and_then(|file| table(&file)).is_none_or(|(table, _)| !table.source.exists());
            // What cannot be removed now is looked at again next time.
            removed |= gone && fs::remove_file(&path).is_ok();
        }
        removed
    }
}

/// The file itself; of a folder its weights.
fn files(source: &Path) -> io::Result<Vec<PathBuf>> {
    if !source.is_dir() {
        return Ok(vec![source.to_path_buf()]);
    }
    let entries = fs::read_dir(source)?.flatten().map(|entry| entry.path());
    let mut weights: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "safetensors")).collect();
    weights.sort();
    Ok(weights)
}

/// `None` for a file that is missing, of another version, or not made of these matrices.
fn open(path: &Path, sizes: &Sizes) -> Option<Stored> {
    let file = Mapping::open(path).ok()?;
    let (table, start) = table(&file)?;
    let mut ranges = BTreeMap::new();
    for (name, size) in sizes {
        let from = start.checked_add(*table.offsets.get(name)?)?;
        let range = from..from.checked_add(*size)?;
        if range.end > file.len() {
            return None;
        }
        ranges.insert(name.clone(), range);
    }
    Some(Stored { file: Arc::new(file), ranges })
}

/// The table of a file, and where its matrices begin.
fn table(file: &[u8]) -> Option<(Table, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..at + 4)?.first_chunk()?));
    if !file.starts_with(MAGIC) || word(8)? != VERSION {
        return None;
    }
    let end = 16usize.checked_add(word(12)? as usize)?;
    let table = serde_json::from_slice(file.get(16..end)?).ok()?;
    Some((table, end.next_multiple_of(ALIGNMENT)))
}

fn pad(file: &mut impl Write, written: usize) -> io::Result<()> {
    file.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
}
