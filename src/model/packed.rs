//! A checkpoint's quantised matrices packed for this program's integer kernels.

use super::store::{Failure, PackedCache, Sizes, Stored};
use super::{Checkpoint, TensorView};
use crate::progress::Bar;
use crate::{Error, Kind, Result, interrupt};
use ronbun_kernels::{mapping::Mapping, packed};
use std::{io::Write, ops::Range, path::Path, sync::Arc};

/// Bytes packed at a time, about, so that packing needs little memory beside the files.
const SLAB: usize = 32 << 20;

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
pub struct PackedWeights(Stored);

impl PackedWeights {
    /// The packed copy of `checkpoint` in the cache; made now where there is none. `None` where nothing in it is
    /// quantised.
    pub fn of(checkpoint: &Checkpoint, source: &Path, cache: &PackedCache) -> Result<Option<PackedWeights>> {
        let sizes = sizes(checkpoint);
        if sizes.is_empty() {
            return Ok(None);
        }
        let write = |file: &mut dyn Write, name: &str, bar: &Bar| match checkpoint.tensors.get(name) {
            Some(view) => write_matrix(file, view, bar),
            None => Err(Error::new(Kind::Internal, name, "is no tensor").into()),
        };
        match cache.found_or_made(source, "packed", "packing the weights, once", &sizes, write) {
            Ok((_, stored)) => Ok(Some(PackedWeights(stored))),
            Err(Failure::Other(error)) => Err(error),
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
        Some(PackedView { file: self.0.file.clone(), range: self.0.ranges.get(name)?.clone() })
    }

    pub fn bytes(&self) -> u64 {
        self.0.file.len() as u64
    }
}

/// Packed sizes of the matrices that can be packed.
fn sizes(checkpoint: &Checkpoint) -> Sizes {
    let packable = |(name, view): (&String, &TensorView)| {
        let &[rows, columns] = view.shape.as_slice() else { return None };
        Some((name.clone(), packed::size(view.kind, rows, columns)?))
    };
    checkpoint.tensors.iter().filter_map(packable).collect()
}

/// Some rows at a time. The model's own pages are let go as soon as they are packed.
fn write_matrix(file: &mut dyn Write, view: &TensorView, bar: &Bar) -> std::result::Result<(), Failure> {
    let (rows, columns) = (view.shape[0], view.shape[1]);
    let row_bytes = view.kind.size_of(columns);
    let step = (SLAB / row_bytes.max(1)).next_multiple_of(packed::TILE).max(packed::TILE);
    for first in (0..rows).step_by(step) {
        interrupt::check()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use std::{fs, path::PathBuf};

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
        let file = cache.path_of(&path, "packed").expect("a name");
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
        let orphan = cache.path_of(&copy, "packed").expect("a name");
        fs::remove_file(&copy).expect("removes");
        PackedWeights::of(&checkpoint, &path, &cache).expect("packs");
        assert!(!orphan.exists());
    }
}
