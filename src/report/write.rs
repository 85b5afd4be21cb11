//! Files that appear whole or not at all.

use crate::{Error, Kind, Result};
use std::io::Write;
use std::path::Path;

/// Writes `bytes` to `path` by way of a temporary file in the same folder, so that a crash or a full disk leaves either
/// the old file or the new one. Errors: `Output`, naming `path`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let refuse = |error: std::io::Error| {
        let error = Error::new(Kind::Output, path.display(), format!("cannot be written: {}", reason(&error)));
        error.hint("choose another place with --out")
    };
    if path.is_dir() {
        return Err(Error::new(Kind::Output, path.display(), "is a folder, not a file"));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".ronbun-").tempfile_in(folder).map_err(refuse)?;
    file.write_all(bytes)
        .and_then(|()| set_permissions(path, &file))
        .and_then(|()| file.as_file().sync_all())
        .map_err(refuse)?;
    file.persist(path).map_err(|error| refuse(error.error))?;
    Ok(())
}

/// Temporary files are private; a report is as readable as the file it replaces, or as any new file.
#[cfg(unix)]
fn set_permissions(path: &Path, file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = match std::fs::metadata(path) {
        Ok(old) => old.permissions().mode() & 0o777,
        Err(_) => 0o644,
    };
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_permissions(_path: &Path, _file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    Ok(())
}

/// The system's reason without its number, and the plain word for the commonest.
fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".into(),
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only".into(),
        ErrorKind::PermissionDenied => "no permission".into(),
        ErrorKind::NotFound => "its folder does not exist".into(),
        ErrorKind::NotADirectory => "its folder is a file".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing/summary.md"), folder.path().to_path_buf()] {
            let error = write(&path, b"x").unwrap_err();
            assert_eq!(error.kind, Kind::Output);
            assert_eq!(error.subject, path.display().to_string());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_failed_write_leaves_the_old_file() {
        // /proc takes no new files, whoever asks.
        let error = write(Path::new("/proc/summary.md"), b"x").unwrap_err();
        assert_eq!(error.kind, Kind::Output);
        assert!(!Path::new("/proc/summary.md").exists());
    }
}
