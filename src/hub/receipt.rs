//! Receipts: what a large file's hash was, with its size and time, so that a start does not read a gigabyte again.

use super::cache;
use crate::{Error, Kind, Result, progress::Progress};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub path: PathBuf,
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub modified: u64,
    pub sha256: String,
}

/// What a file ought to be, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected<'a> {
    pub bytes: Option<u64>,
    pub sha256: Option<&'a str>,
}

/// The receipts of a cache, one JSON file each, named by the path that they are about.
pub(super) struct Receipts<'a> {
    pub cache: &'a Path,
    pub progress: &'a Progress,
}

impl Receipts<'_> {
    fn place(&self, path: &Path) -> PathBuf {
        use sha2::{Digest, Sha256};
        let name = cache::hexadecimal(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..16]);
        self.cache.join("receipts").join(format!("{name}.json"))
    }

    pub fn read(&self, path: &Path) -> Option<Receipt> {
        let path = path.canonicalize().ok()?;
        let receipt: Receipt = serde_json::from_slice(&fs::read(self.place(&path)).ok()?).ok()?;
        (receipt.path == path).then_some(receipt)
    }

    /// Records a hash that was just computed or checked. A cache that cannot be written only costs time later.
    pub fn write(&self, path: &Path, sha256: &str) {
        let Ok(path) = path.canonicalize() else { return };
        let Some((bytes, modified)) = stamp(&path) else { return };
        let place = self.place(&path);
        let receipt = Receipt { path, bytes, modified, sha256: sha256.into() };
        let written = serde_json::to_vec(&receipt).map(|json| cache::write_whole(&place, &json));
        if !matches!(written, Ok(Ok(()))) {
            self.progress.detail(format!("{}: the receipt could not be written", place.display()));
        }
    }

    /// Keeps the hash but not the trust: the file is read again before it is used.
    pub fn distrust(&self, path: &Path) {
        if let Some(receipt) = self.read(path) {
            let place = self.place(&receipt.path);
            if let Ok(json) = serde_json::to_vec(&Receipt { modified: 0, ..receipt }) {
                let _ = cache::write_whole(&place, &json);
            }
        }
    }

    pub fn remove(&self, path: &Path) {
        if let Ok(path) = path.canonicalize() {
            let _ = fs::remove_file(self.place(&path));
        }
    }

    /// Size and hash of a file that the user brought: from its receipt while size and time are the same.
    pub fn hash(&self, path: &Path) -> Result<(u64, String)> {
        match (self.read(path), stamp(path)) {
            (Some(receipt), Some(now)) if now == (receipt.bytes, receipt.modified) => Ok((now.0, receipt.sha256)),
            _ => {
                let (bytes, sha256) = cache::hash_file(path, self.progress)?;
                self.write(path, &sha256);
                Ok((bytes, sha256))
            }
        }
    }

    /// Size and hash of a file that was fetched. It must be as the card says, or as it was when it was fetched.
    ///
    /// # Errors
    /// `Model`: cut short, grown, or with another hash; the file is named with what was expected and what was found.
    pub fn check(&self, path: &Path, expected: Expected) -> Result<(u64, String)> {
        let receipt = self.read(path);
        let (bytes, modified) = stamp(path).ok_or_else(|| missing(path))?;
        let known = expected.bytes.or(receipt.as_ref().map(|receipt| receipt.bytes));
        if let Some(known) = known.filter(|&known| known != bytes) {
            return Err(wrong_size(path, bytes, known));
        }
        let trusted = receipt.as_ref().filter(|receipt| receipt.modified == modified);
        let sha256 = match trusted {
            Some(receipt) => receipt.sha256.clone(),
            None => cache::hash_file(path, self.progress)?.1,
        };
        let known = expected.sha256.or(receipt.as_ref().map(|receipt| receipt.sha256.as_str()));
        if let Some(known) = known.filter(|&known| known != sha256) {
            return Err(wrong_hash(path, known, &sha256));
        }
        if trusted.is_none() {
            self.write(path, &sha256);
        }
        Ok((bytes, sha256))
    }
}

/// Size and time of last change.
fn stamp(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((metadata.len(), u64::try_from(modified.as_nanos()).ok()?))
}

const AGAIN: &str = "`ronbun models pull` with the model's id fetches it anew";

fn missing(path: &Path) -> Error {
    Error::new(Kind::Model, path.display(), "is not there any more").hint(AGAIN)
}

fn wrong_size(path: &Path, found: u64, expected: u64) -> Error {
    let how = if found < expected { "is cut short" } else { "has grown" };
    Error::new(Kind::Model, path.display(), format!("{how}: {found} bytes, expected {expected}")).hint(AGAIN)
}

pub(super) fn wrong_hash(path: &Path, expected: &str, found: &str) -> Error {
    Error::new(Kind::Model, path.display(), format!("wrong SHA-256: expected {expected}, found {found}")).hint(AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn touch(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_receipt_is_trusted_while_size_and_time_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::silent();
        let receipts = Receipts { cache: folder.path(), progress: &progress };
        let file = folder.path().join("file");
        fs::write(&file, "abc").unwrap();
        touch(&file, 1_000);
        assert_eq!(receipts.check(&file, Expected::default()).unwrap(), (3, ABC.to_string()));
        // Same size and time, other content: a start trusts the receipt (`verify` would not).
        fs::write(&file, "abd").unwrap();
        touch(&file, 1_000);
        assert_eq!(receipts.check(&file, Expected::default()).unwrap().1, ABC);
        // Another time: hashed again, and found to be different.
        touch(&file, 2_000);
        let error = receipts.check(&file, Expected::default()).unwrap_err();
        assert_eq!(error.kind, Kind::Model);
        assert!(error.problem.contains(ABC), "{error}");
        // A file of the user's own may change.
        assert_ne!(receipts.hash(&file).unwrap().1, ABC);
    }

    #[test]
    fn a_file_cut_short_is_named_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::silent();
        let receipts = Receipts { cache: folder.path(), progress: &progress };
        let file = folder.path().join("model.gguf");
        fs::write(&file, "abc").unwrap();
        let error = receipts.check(&file, Expected { bytes: Some(9), sha256: None }).unwrap_err();
        assert_eq!(error.problem, "is cut short: 3 bytes, expected 9");
        receipts.check(&file, Expected { bytes: Some(3), sha256: Some(ABC) }).unwrap();
        fs::write(&file, "ab").unwrap();
        let error = receipts.check(&file, Expected::default()).unwrap_err();
        assert_eq!(error.problem, "is cut short: 2 bytes, expected 3");
    }
}
