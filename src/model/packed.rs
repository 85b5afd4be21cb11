//! A checkpoint's quantised matrices packed for this program's integer kernels: made once, kept in a file, mapped.
//!
//! The file: `RONBUNPK`, the layout's version and the length of a table (each a little-endian u32), the table as JSON, and
//! from the next multiple of [`ALIGNMENT`] on the matrices, each on such a multiple.

use super::{Checkpoint, TensorView};
use crate::progress::{Progress, Unit};
use crate::{Error, Result, interrupt};
use ronbun_kernels::{mapping::Mapping, packed};
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
/// Bytes packed at a time, about, so that packing needs little memory beside the files.
const SLAB: usize = 32 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    /// The file that was packed; a packed copy whose source is gone is of no use.
    source: PathBuf,
    /// Offset of each matrix behind the table's end.
    offsets: BTreeMap<String, usize>,
}

/// Where packed copies are kept, and who hears of the packing.
#[derive(Clone)]
pub struct PackedCache {
    pub folder: PathBuf,
    pub progress: Progress,
}

/// A matrix in a packed file.
#[derive(Debug, Clone)]
pub struct PackedView {
    file: Arc<Mapping>,
    range: Range<usize>,
}

impl PackedView {
    pub fn bytes(&self) -> &[u8] {
        &self.file[self.range.clone()]
    }
}

/// A packed file.
pub struct PackedWeights {
    file: Arc<Mapping>,
    ranges: BTreeMap<String, Range<usize>>,
}

impl PackedWeights {
    /// The packed copy of `checkpoint` in the cache; made now where there is none. `None` where nothing in it is quantised.
    pub fn of(checkpoint: &Checkpoint, source: &Path, cache: &PackedCache) -> Result<Option<PackedWeights>> {
        let matrices = matrices(checkpoint);
        if matrices.is_empty() {
            return Ok(None);
        }
        match found_or_made(source, &matrices, cache) {
            Ok(packed) => Ok(Some(packed)),
            Err(Failure::Interrupted(error)) => Err(error),
            Err(Failure::Io(error)) => {
                let folder = cache.folder.display();
                cache
                    .progress
                    .warn(format!("{folder}: packed weights cannot be kept ({error}); computing will be slower"));
                Ok(None)
            }
        }
    }

    /// The packed form of the matrix `name`, if it has one.
    pub fn view(&self, name: &str) -> Option<PackedView> {
        Some(PackedView { file: self.file.clone(), range: self.ranges.get(name)?.clone() })
    }

    pub fn bytes(&self) -> u64 {
        self.file.len() as u64
    }
}

fn found_or_made(
    source: &Path,
    matrices: &BTreeMap<&str, (&TensorView, usize)>,
    cache: &PackedCache,
) -> std::result::Result<PackedWeights, Failure> {
    let path = path_of(source, cache)?;
    if let Some(packed) = open(&path, matrices) {
        return Ok(packed);
    }
    make(&path, source, matrices, cache)?;
    open(&path, matrices).ok_or_else(|| io::Error::other("what was written there reads back otherwise").into())
}

/// Matrices that can be packed, with their packed sizes.
fn matrices(checkpoint: &Checkpoint) -> BTreeMap<&str, (&TensorView, usize)> {
    let packable = |(name, view)| {
        let (name, view): (&String, &TensorView) = (name, view);
        let &[rows, columns] = view.shape.as_slice() else { return None };
        Some((name.as_str(), (view, packed::size(view.kind, rows, columns)?)))
    };
    checkpoint.tensors.iter().filter_map(packable).collect()
}

/// Named by the model's file, its length and its time of change, so that another file never finds it.
fn path_of(source: &Path, cache: &PackedCache) -> io::Result<PathBuf> {
    let metadata = fs::metadata(source)?;
    let whole = fs::canonicalize(source)?;
    let mut hash = Sha256::new();
    hash.update(whole.as_os_str().as_encoded_bytes());
    hash.update(metadata.len().to_le_bytes());
    let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    hash.update(changed.as_nanos().to_le_bytes());
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    Ok(cache.folder.join(format!("{stem}-{hash}.packed")))
}

/// `None` for a file that is missing, of another version, or not made of these matrices.
fn open(path: &Path, matrices: &BTreeMap<&str, (&TensorView, usize)>) -> Option<PackedWeights> {
    let file = Mapping::open(path).ok()?;
    let (table, start) = table(&file)?;
    let mut ranges = BTreeMap::new();
    for (name, (_, size)) in matrices {
        let from = start.checked_add(*table.offsets.get(*name)?)?;
        let range = from..from.checked_add(*size)?;
        if range.end > file.len() {
            return None;
        }
        ranges.insert((*name).to_string(), range);
    }
    Some(PackedWeights { file: Arc::new(file), ranges })
}

/// The table of a packed file, and where its matrices begin.
fn table(file: &[u8]) -> Option<(Table, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..at + 4)?.first_chunk()?));
    if !file.starts_with(MAGIC) || word(8)? != VERSION {
        return None;
    }
    let end = 16usize.checked_add(word(12)? as usize)?;
    let table = serde_json::from_slice(file.get(16..end)?).ok()?;
    Some((table, end.next_multiple_of(ALIGNMENT)))
}

enum Failure {
    Io(io::Error),
    Interrupted(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

fn make(
    path: &Path,
    source: &Path,
    matrices: &BTreeMap<&str, (&TensorView, usize)>,
    cache: &PackedCache,
) -> std::result::Result<(), Failure> {
    fs::create_dir_all(&cache.folder)?;
    cache.sweep();
    let mut offsets = BTreeMap::new();
    let mut total = 0;
    for (name, (_, size)) in matrices {
        offsets.insert((*name).to_string(), total);
        total += size.next_multiple_of(ALIGNMENT);
    }
    let table = Table { source: fs::canonicalize(source)?, offsets };
    let table = serde_json::to_vec(&table).map_err(io::Error::other)?;
    let mut file = tempfile::NamedTempFile::new_in(&cache.folder)?;
    file.write_all(MAGIC)?;
    file.write_all(&VERSION.to_le_bytes())?;
    file.write_all(&u32::try_from(table.len()).map_err(io::Error::other)?.to_le_bytes())?;
    file.write_all(&table)?;
    pad(&mut file, 16 + table.len())?;
    let bar = cache.progress.bar("packing the weights, once", total as u64, Unit::Bytes);
    for (view, size) in matrices.values() {
        write_matrix(&mut file, view, &bar)?;
        pad(&mut file, *size)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn pad(file: &mut impl Write, written: usize) -> io::Result<()> {
    file.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
}

/// Some rows at a time. The model's own pages are let go as soon as they are packed.
fn write_matrix(
    file: &mut impl Write,
    view: &TensorView,
    bar: &crate::progress::Bar,
) -> std::result::Result<(), Failure> {
    let (rows, columns) = (view.shape[0], view.shape[1]);
    let row_bytes = view.kind.size_of(columns);
    let step = (SLAB / row_bytes.max(1)).next_multiple_of(packed::TILE).max(packed::TILE);
    for first in (0..rows).step_by(step) {
        interrupt::check().map_err(Failure::Interrupted)?;
        let count = step.min(rows - first);
        let bytes = &view.bytes()[first * row_bytes..(first + count) * row_bytes];
        let mut out = vec![0; packed::size(view.kind, count, columns).unwrap_or(0)];
        packed::pack(view.kind, bytes, count, columns, &mut out);
        file.write_all(&out)?;
        bar.advance(out.len() as u64);
        let start = view.range.start + first * row_bytes;
        view.file.let_go(start..start + count * row_bytes);
    }
    Ok(())
}

impl PackedCache {
    /// Removes the packed copies whose model is gone.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let packed =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "packed"));
        for path in packed {
            let file = Mapping::open(&path).ok();
            let gone = file.and_then(|file| table(&file)).is_none_or(|(table, _)| !table.source.exists());
            if gone {
                // What cannot be removed now is looked at again next time.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> (PathBuf, Checkpoint) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/gguf-llama-q8_0/model.gguf");
        let checkpoint = Checkpoint::open(&path).expect("a fixture");
        (path, checkpoint)
    }

    #[test]
    fn a_packed_copy_is_made_once_and_made_again_where_it_is_damaged() {
        let (path, checkpoint) = checkpoint();
        let folder = tempfile::tempdir().expect("a folder");
        let cache = PackedCache { folder: folder.path().join("packed"), progress: Progress::silent() };
        let first = PackedWeights::of(&checkpoint, &path, &cache).expect("packs").expect("is quantised");
        let name = "model.layers.0.mlp.down_proj.weight";
        let bytes = first.view(name).expect("is packed").bytes().to_vec();
        assert!(bytes.iter().any(|byte| *byte != 0));
        let file = path_of(&path, &cache).expect("a name");
        let made = fs::metadata(&file).expect("is there").modified().expect("a time");
        PackedWeights::of(&checkpoint, &path, &cache).expect("opens");
        assert_eq!(fs::metadata(&file).expect("is there").modified().expect("a time"), made);
        for damaged in [&b"RONBUNPK"[..], b"", &fs::read(&file).expect("is there")[..4000]] {
            fs::write(&file, damaged).expect("writes");
            let again = PackedWeights::of(&checkpoint, &path, &cache).expect("packs").expect("is quantised");
            assert_eq!(again.view(name).expect("is packed").bytes(), bytes);
        }
    }

    #[test]
    fn copies_of_models_that_are_gone_are_removed() {
        let (path, checkpoint) = checkpoint();
        let folder = tempfile::tempdir().expect("a folder");
        let cache = PackedCache { folder: folder.path().to_path_buf(), progress: Progress::silent() };
        let copy = folder.path().join("copy.gguf");
        fs::copy(&path, &copy).expect("copies");
        PackedWeights::of(&checkpoint, &copy, &cache).expect("packs");
        let orphan = path_of(&copy, &cache).expect("a name");
        fs::remove_file(&copy).expect("removes");
        PackedWeights::of(&checkpoint, &path, &cache).expect("packs");
        assert!(!orphan.exists());
    }
}
