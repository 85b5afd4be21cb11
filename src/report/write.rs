//! Files that appear whole or not at all; devices and pipes are written as they are.

use crate::{Error, Kind, Result};
use std::io::Write;
use std::path::Path;

/// Writes `bytes` to the file at `path` (where it is a link, to the file that it leads to) by way of a temporary file in
/// the same folder, so that a crash or a full disk leaves either the old file or the new one. What is there and is no
/// file, such as a device or a pipe, is written to and stays what it is. Errors: `Output`, naming `path`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let refuse = |error: std::io::Error| {
        let error = Error::new(Kind::Output, path.display(), format!("cannot be written: {}", reason(&error)));
        error.hint("choose another place with --out")
    };
    let wrong = |problem: &str| Err(Error::new(Kind::Output, path.display(), problem));
    let place = match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => return wrong("is a folder, not a file"),
        Ok(there) if !there.is_file() => {
            let device = std::fs::OpenOptions::new().write(true).open(path);
            return device.and_then(|mut device| device.write_all(bytes)).map_err(refuse);
        }
        Ok(_) => path.canonicalize().map_err(refuse)?,
        Err(_) if path.is_symlink() => return wrong("is a link that leads nowhere"),
        Err(_) => path.to_path_buf(),
    };
    replace(&place, bytes).map_err(refuse)
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = temporary_file(path, folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
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
    fn a_link_is_followed_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        std::fs::remove_file(&file).unwrap();
        let error = write(&link, b"x").unwrap_err();
        assert!(error.problem.contains("leads nowhere"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        if !std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: no mkfifo here");
            return;
        }
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        write(&pipe, b"text").unwrap();
        assert_eq!(reader.join().unwrap(), b"text");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_an_output_error() {
        use std::os::unix::fs::FileTypeExt;
        let error = write(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!((error.kind, error.problem.contains("full")), (Kind::Output, true), "{error}");
        assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device());
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
