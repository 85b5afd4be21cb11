//! The model hub, through hf-hub: its cache layout and its environment variables (`HF_HOME`, `HF_HUB_CACHE`,
//! `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`).

use super::arxiv::without_secrets;
use super::{
    Card, Hub, HubFile, Source,
    arxiv::words,
    cache,
    card::{is_relative_path, is_repository},
    hub_cache_dir,
    install::{bare, blob_hash},
    receipt::{Expected, wrong_hash},
};
use crate::{
    Error, Kind, Result, interrupt,
    progress::{Bar, Unit},
};
use hf_hub::{
    HFClient, HFClientSync, HFError, HFRepositorySync, RepoTypeModel,
    progress::{DownloadEvent, ProgressEvent, ProgressHandler},
    repository::RepoTreeEntry,
    split_id,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{OnceLock, mpsc},
    time::Duration,
};

/// How long the hub may take to answer before the wheels are taken.
const PROBE: Duration = Duration::from_secs(5);

/// The hub as the environment names it, and whether it answers, asked once.
pub(super) struct Remote {
    /// Without a slash at the end.
    pub endpoint: String,
    pub cache: PathBuf,
    reach: OnceLock<Result<(), String>>,
}

impl Remote {
    pub fn of_environment() -> Remote {
        let named = env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
        Remote::new(&named.unwrap_or_else(|| "https://huggingface.co".into()), hub_cache_dir())
    }

    pub fn new(endpoint: &str, cache: PathBuf) -> Remote {
        Remote { endpoint: endpoint.trim_end_matches('/').into(), cache, reach: OnceLock::new() }
    }

    /// The folder of a revision in the hub's cache, if it was ever fetched. Opens no socket.
    pub fn snapshot(&self, repository: &str, revision: &str) -> Option<PathBuf> {
        let folder = self.cache.join(format!("models--{}", repository.replace('/', "--")));
        let is_commit = |text: &str| text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit());
        let commit = match is_commit(revision) {
            true => revision.to_string(),
            false => fs::read_to_string(folder.join("refs").join(revision)).ok()?.trim().to_string(),
        };
        let snapshot = folder.join("snapshots").join(&commit);
        (is_commit(&commit) && snapshot.is_dir()).then_some(snapshot)
    }

    /// What is in the hub's cache, whoever fetched it: each repository at its main branch, and each GGUF file in it.
    pub fn repositories(&self) -> Vec<(String, Source)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.cache).into_iter().flatten().filter_map(|entry| entry.ok()) {
            let folder = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = folder.strip_prefix("models--").map(|name| name.replacen("--", "/", 1)) else { continue };
            let Some(snapshot) = self.snapshot(&name, "main").filter(|_| is_repository(&name)) else { continue };
            found.push((name.clone(), bare(name.clone(), None)));
            for file in ggufs(&snapshot, "") {
                found.push((format!("{name}:{file}"), bare(name.clone(), Some(file))));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn probe(&self) -> Result<(), String> {
        let client = reqwest::blocking::Client::builder().timeout(PROBE).build();
        let answer = client.and_then(|client| client.head(&self.endpoint).send());
        match answer.map_err(|error| words(&error))?.status() {
            // A hub or mirror that refuses its front page can still serve files.
            status if !status.is_server_error() => Ok(()),
            status => Err(format!("answers {status}")),
        }
    }
}

/// Paths of the GGUF files below a folder, `before` in front of each.
fn ggufs(folder: &Path, before: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()) {
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(ggufs(&entry.path(), &format!("{name}/"))),
            _ if name.ends_with(".gguf") => found.push(name),
            _ => {}
        }
    }
    found
}

/// `HF_HUB_OFFLINE` as the hub's own tools read it.
pub(super) fn offline_by_environment() -> bool {
    let value = env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
    matches!(value.as_str(), "1" | "true" | "yes" | "on")
}

impl Hub {
    /// Whether the model hub answers within seconds; asked once. Never asked when offline.
    pub fn hub_reachable(&self) -> bool {
        self.hub_reach().is_ok()
    }

    /// As [`Hub::hub_reachable`], with the reason.
    pub(super) fn hub_reach(&self) -> Result<(), String> {
        if self.settings.offline {
            return Err("--offline".into());
        }
        self.remote.reach.get_or_init(|| self.remote.probe()).clone()
    }

    /// Fetches files of a repository into the hub's cache and checks them; all of its checkpoint if none is named.
    pub(super) fn fetch_from_hub(
        &self,
        card: Option<&Card>,
        repository: &str,
        revision: &str,
        files: &[HubFile],
    ) -> Result<Vec<PathBuf>> {
        let Hub { settings, .. } = self;
        let hub = Repository::open(&self.remote, repository, revision)?;
        let listed = hub.list()?;
        let names: Vec<String> = listed.iter().map(|(name, _)| name.clone()).collect();
        let wanted = match files {
            [] => super::names::wanted(&names).ok_or_else(|| {
                Error::new(
                    Kind::Model,
                    repository,
                    "has neither a GGUF file of a known quantisation nor safetensors with a tokenizer.json",
                )
                .hint("name one of its files: owner/name:file.gguf")
            })?,
            files => files.iter().map(|file| file.name.clone()).collect(),
        };
        let licence = card.map_or("as its page on the hub says".to_string(), |card| card.licence.name.clone());
        let mut paths = Vec::new();
        for name in wanted {
            let Some((_, bytes)) = listed.iter().find(|(listed, _)| *listed == name) else {
                return Err(Error::new(Kind::Unavailable, format!("{repository}:{name}"), "the hub has no such file"));
            };
            let pinned = files.iter().find(|file| file.name == name);
            let size = cache::human(*bytes);
            let checked = match pinned.is_some_and(|file| file.sha256.is_some()) {
                true => "",
                false => "; no pinned hash: only the hub's own is checked",
            };
            settings.progress.line(format!(
                "fetching {name}: {size} from the model hub ({}/{repository}, revision {revision}), licence {licence}{checked}",
                without_secrets(&self.remote.endpoint)
            ));
            let path = hub.download(&name, settings.progress.bar(&name, *bytes, Unit::Bytes))?;
            self.check_fetched(&path, pinned)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Compares a fresh download with the card's hash and with the hub's own (large files lie under their SHA-256), and
    /// records it. What is wrong is deleted.
    fn check_fetched(&self, path: &Path, pinned: Option<&HubFile>) -> Result<()> {
        let blob = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let reported = blob_hash(path);
        let pinned_hash = pinned.and_then(|file| file.sha256.as_deref());
        let (_, found) = cache::hash_file(path, &self.settings.progress)?;
        for expected in [pinned_hash, reported.as_deref()].into_iter().flatten() {
            if expected != found {
                let _ = fs::remove_file(path);
                let _ = fs::remove_file(&blob);
                return Err(wrong_hash(path, expected, &found));
            }
        }
        self.receipts().write(path, &found);
        let bytes = pinned.and_then(|file| file.bytes);
        self.receipts().check(path, Expected { bytes, sha256: pinned_hash }).map(drop)
    }
}

/// One repository at one revision.
struct Repository {
    inner: HFRepositorySync<RepoTypeModel>,
    name: String,
    revision: String,
    /// Its address for people.
    page: String,
}

/// Shows hf-hub's events on our bar.
struct Watch(Bar);

impl ProgressHandler for Watch {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                files.iter().for_each(|file| self.0.set(file.bytes_completed));
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, .. }) => {
                self.0.set(*bytes_completed);
            }
            _ => {}
        }
    }
}

impl Repository {
    fn open(remote: &Remote, name: &str, revision: &str) -> Result<Repository> {
        let failed = |problem: String| Error::new(Kind::Unavailable, name, problem);
        // hf-hub's own client would wait for ever on a connection that went silent.
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60))
            .user_agent(concat!("ronbun/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(words(&error)))?;
        let client = HFClient::builder().client(http).endpoint(&remote.endpoint).cache_dir(&remote.cache).build();
        let client = client.and_then(HFClientSync::from_inner).map_err(|error| failed(error.to_string()))?;
        let (owner, repository) = split_id(name);
        let page = format!("{}/{name}", without_secrets(&remote.endpoint));
        let inner = client.model(owner, repository);
        Ok(Repository { inner, name: name.into(), revision: revision.into(), page })
    }

    /// Paths and sizes of its files. Paths that could leave a folder are not listed.
    fn list(&self) -> Result<Vec<(String, u64)>> {
        let (inner, revision) = (self.inner.clone(), self.revision.clone());
        let entries = interruptible(move || inner.list_tree().revision(revision).recursive(true).send())?;
        let file = |entry| match entry {
            RepoTreeEntry::File { path, size, .. } if is_relative_path(&path) => Some((path, size)),
            _ => None,
        };
        entries.map(|entries| entries.into_iter().filter_map(file).collect()).map_err(|error| self.explain(error))
    }

    fn download(&self, file: &str, bar: Bar) -> Result<PathBuf> {
        let (inner, revision, name) = (self.inner.clone(), self.revision.clone(), file.to_string());
        let send = move || inner.download_file().filename(name).revision(revision).progress(Watch(bar)).send();
        interruptible(send)?.map_err(|error| self.explain(error))
    }

    /// hf-hub's error in one line, with what to do.
    fn explain(&self, error: HFError) -> Error {
        let page = &self.page;
        let unavailable = |problem: String| Error::new(Kind::Unavailable, &self.name, problem);
        // Listing a repository reports refusals as plain statuses.
        let status = match &error {
            HFError::Http { context } => context.status.as_u16(),
            HFError::AuthRequired { .. } => 401,
            HFError::Forbidden { .. } => 403,
            _ => 0,
        };
        match error {
            _ if status == 401 => unavailable("the hub asks for a token, or the repository does not exist".into())
                .hint(format!("accept the licence at {page} if it asks for that, then set HF_TOKEN to your token")),
            _ if status == 403 => unavailable("the hub refuses access with this token".into())
                .hint(format!("accept the licence at {page} with the token's account, then try again")),
            _ if status == 404 => unavailable("the hub has no such repository or revision".into()),
            HFError::RepoNotFound { .. } => unavailable("the hub has no such repository".into())
                .hint("check the name; a private repository needs HF_TOKEN"),
            HFError::RevisionNotFound { revision, .. } => unavailable(format!("has no revision {revision}")),
            HFError::EntryNotFound { path, .. } => unavailable(format!("the hub has no such file: {path}")),
            HFError::RateLimited { .. } => {
                unavailable("the hub limits how often it is asked".into()).hint("wait some minutes, or set HF_TOKEN")
            }
            HFError::Request { source, .. } => unavailable(format!("the hub {}", words(&source))),
            HFError::Io(error) => cache::unwritable(&hub_cache_dir(), error)
                .hint("free some space or mend the permissions, or let HF_HUB_CACHE name a folder elsewhere"),
            other => unavailable(other.to_string().lines().next().unwrap_or_default().to_string()),
        }
    }
}

/// Runs network work on a thread of its own, so that Ctrl-C is heard while it waits.
fn interruptible<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(work());
    });
    loop {
        interrupt::check()?;
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(done) => return Ok(done),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Internal, "model hub", "the download stopped without a result"));
            }
        }
    }
}
