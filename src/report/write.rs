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
    let mut file = temporary_file(path, folder).map_err(refuse)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(refuse)?;
    file.persist(path).map_err(|error| refuse(error.error))?;
    Ok(())
}

/// As readable as the file that it will replace, or as any new file of this user; temporary files are private otherwise.
#[cfg(unix)]
fn temporary_file(path: &Path, folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let any_new_file = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(".ronbun-").permissions(any_new_file).tempfile_in(folder)?;
    if let Ok(old) = std::fs::metadata(path) {
        file.as_file().set_permissions(Permissions::from_mode(old.permissions().mode() & 0o777))?;
    }
    Ok(file)
}

#[cfg(not(unix))]
fn temporary_file(_path: &Path, folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".ronbun-").tempfile_in(folder)
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

    #[cfg(unix)]
    #[test]
    fn reports_are_as_readable_as_other_new_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        std::fs::write(folder.path().join("other"), b"x").unwrap();
        write(&folder.path().join("report"), b"x").unwrap();
        assert_eq!(mode("report"), mode("other"));
        std::fs::set_permissions(folder.path().join("report"), std::fs::Permissions::from_mode(0o600)).unwrap();
        write(&folder.path().join("report"), b"y").unwrap();
        assert_eq!(mode("report") & 0o777, 0o600);
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
