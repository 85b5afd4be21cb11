//! ronbun's cache: its folders, locks between processes, hashing, and files that appear under their name only when whole.

use crate::{
    Error, Kind, Result, interrupt,
    progress::{Progress, Unit},
};
use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::NamedTempFile;

/// Files smaller than this are hashed without a bar.
const BAR_FROM: u64 = 200 << 20;

/// `$RONBUN_CACHE`, else `ronbun` in the platform's folder for caches.
pub fn default_cache_dir() -> PathBuf {
    folder_of("RONBUN_CACHE", |base| base.cache_dir())
}

/// `$RONBUN_CONFIG`, else `ronbun` in the platform's folder for settings. Model cards are in its `models`.
pub fn default_config_dir() -> PathBuf {
    folder_of("RONBUN_CONFIG", |base| base.config_dir())
}

/// Where hf-hub keeps its files: `$HF_HUB_CACHE`, `$HF_HOME/hub`, else its default.
pub fn hub_cache_dir() -> PathBuf {
    hf_hub::resolve_cache_dir()
}

fn folder_of(variable: &str, folder: fn(&dyn Base) -> PathBuf) -> PathBuf {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return path.into();
    }
    match etcetera::choose_base_strategy() {
        Ok(base) => folder(&base).join("ronbun"),
        Err(_) => std::env::temp_dir().join("ronbun"),
    }
}

/// What is needed of `BaseStrategy`, which cannot be a trait object.
trait Base {
    fn cache_dir(&self) -> PathBuf;
    fn config_dir(&self) -> PathBuf;
}

impl<T: BaseStrategy> Base for T {
    fn cache_dir(&self) -> PathBuf {
        BaseStrategy::cache_dir(self)
    }
    fn config_dir(&self) -> PathBuf {
        BaseStrategy::config_dir(self)
    }
}

/// The folder of a model in ronbun's cache.
pub(super) fn model_folder(cache: &Path, id: &str) -> PathBuf {
    cache.join("models").join(folder_name(id))
}

/// A model's id, or a repository's `owner/name:file`, as the name of one folder or file.
pub(super) fn folder_name(id: &str) -> String {
    id.replace(['/', '\\', ':'], "--")
}

/// A write that failed, in words. Full disks and missing rights get a hint.
pub(super) fn unwritable(path: &Path, error: io::Error) -> Error {
    let problem = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "cannot be written: the disk is full".to_string(),
        io::ErrorKind::PermissionDenied => "cannot be written: no permission".to_string(),
        _ => format!("cannot be written: {error}"),
    };
    Error::new(Kind::Output, path.display(), problem)
        .hint("free some space or mend the permissions, or let RONBUN_CACHE name a folder elsewhere")
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))
}

/// A temporary file in `folder` that vanishes unless it is placed.
pub(super) fn temporary(folder: &Path) -> Result<NamedTempFile> {
    make_folder(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ronbun-").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(folder).map_err(|error| unwritable(folder, error))
}

/// Gives a finished temporary file its name, replacing what is there.
pub(super) fn place(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(|error| unwritable(path, error))?;
    file.persist(path).map(drop).map_err(|error| unwritable(path, error.error))
}

/// Writes a small file whole.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = temporary(folder)?;
    file.write_all(bytes).map_err(|error| unwritable(path, error))?;
    place(file, path)
}

/// Deletes what runs that were killed left in a folder; to be called only while its lock is held.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && (name.starts_with(".wheels-") || name.starts_with(".unpack-")) => {
                let _ = fs::remove_dir_all(entry.path());
            }
            Ok(kind) if kind.is_file() && name.starts_with(".ronbun-") && name.ends_with(".partial") => {
                let _ = fs::remove_file(entry.path());
            }
            _ => {}
        }
    }
}

/// What stopped a copy.
pub(super) enum Stopped {
    Read(io::Error),
    Write(io::Error),
    /// The source has more than the limit.
    TooLong,
    Interrupted(Error),
}

/// Copies at most `limit` bytes; returns how many there were and their SHA-256. `tick` hears of every piece.
pub(super) fn copy_hashed(
    from: &mut dyn Read,
    to: &mut dyn Write,
    limit: u64,
    mut tick: impl FnMut(u64),
) -> Result<(u64, String), Stopped> {
    let mut buffer = vec![0; 1 << 20];
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    loop {
        interrupt::check().map_err(Stopped::Interrupted)?;
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hexadecimal(&hash.finalize()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stopped::Read(error)),
        };
        bytes += read as u64;
        if bytes > limit {
            return Err(Stopped::TooLong);
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read]).map_err(Stopped::Write)?;
        tick(read as u64);
    }
}

/// The file's size and SHA-256, with a bar where it is large.
pub(super) fn hash_file(path: &Path, progress: &Progress) -> Result<(u64, String)> {
    let unreadable = |error: io::Error| Error::new(Kind::Input, path.display(), format!("cannot be read: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bar = (size >= BAR_FROM).then(|| progress.bar(&format!("checking {name}"), size, Unit::Bytes));
    let tick = |bytes| bar.iter().for_each(|bar| bar.advance(bytes));
    copy_hashed(&mut file, &mut io::sink(), u64::MAX, tick).map_err(|stopped| match stopped {
        Stopped::Interrupted(error) => error,
        Stopped::Read(error) | Stopped::Write(error) => unreadable(error),
        Stopped::TooLong => Error::new(Kind::Internal, path.display(), "is larger than any file can be"),
    })
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as a person reads them: `98.4 MB`.
pub(super) fn human(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Held while one process fetches something, so that a second one waits instead of fetching it again.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(cache: &Path, name: &str, progress: &Progress) -> Result<Lock> {
        let path = cache.join("locks").join(format!("{}.lock", folder_name(name)));
        make_folder(&cache.join("locks"))?;
        let file = File::create(&path).map_err(|error| unwritable(&path, error))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        progress.line(format!("waiting for another ronbun that is busy with {name}"));
                        told = true;
                    }
                    interrupt::check()?;
                    std::thread::sleep(Duration::from_millis(200));
                }
                // Some network file systems know no locks; placing is atomic anyway.
                Err(TryLockError::Error(_)) => return Ok(Lock { _file: file }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_hashes_up_to_the_limit() {
        let mut out = Vec::new();
        let copied = copy_hashed(&mut &b"abc"[..], &mut out, 3, |_| ());
        let (bytes, hash) = copied.unwrap_or_else(|_| panic!("three bytes fit"));
        // The SHA-256 of "abc" in FIPS 180-2.
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((bytes, out.as_slice()), (3, &b"abc"[..]));
        assert!(matches!(copy_hashed(&mut &b"abcd"[..], &mut io::sink(), 3, |_| ()), Err(Stopped::TooLong)));
    }

    #[test]
    fn a_temporary_file_vanishes_unless_placed() {
        let folder = tempfile::tempdir().unwrap();
        drop(temporary(folder.path()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        write_whole(&folder.path().join("a"), b"x").unwrap();
        write_whole(&folder.path().join("a"), b"y").unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"y");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_killed_runs_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".wheels-x", ".unpack-x", "kept"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), "").unwrap();
        }
        for name in [".ronbun-x.partial", "model.gguf.partial", ".ronbun"] {
            fs::write(at(name), "").unwrap();
        }
        sweep(folder.path());
        sweep(&at("none"));
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".ronbun", "kept", "model.gguf.partial"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_output_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = write_whole(&folder.path().join("file/inside/a"), b"x").unwrap_err();
        assert_eq!(error.kind, Kind::Output);
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let cache = tempfile::tempdir().unwrap();
        let first = Lock::take(cache.path(), "a/b", &Progress::silent()).unwrap();
        let path = cache.path().to_path_buf();
        let second = std::thread::spawn(move || Lock::take(&path, "a/b", &Progress::silent()).map(drop));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!([12, 98_362_432, 1_117_320_768].map(human), ["12 bytes", "98.4 MB", "1.12 GB"].map(String::from));
    }
}
