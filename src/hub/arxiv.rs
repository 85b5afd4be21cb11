//! Papers by arXiv id or by address, kept in the cache.

use super::{
    Hub, Settings,
    cache::{self, Stopped, unwritable},
};
use crate::{
    Error, Kind, Result,
    progress::{Progress, Unit},
};
use regex::Regex;
use reqwest::{Url, blocking::Client, redirect::Policy};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

/// No paper is larger; more than this is not kept.
const LIMIT: u64 = 200 << 20;

const PATIENCE: Duration = Duration::from_secs(600);

/// `1706.03762`, `1706.03762v7`, `hep-th/9901001v2`, `math.GT/0309136`
static ID: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7})(v[1-9]\d?)?$").ok());

/// Whether [`Hub::paper`] takes this: an arXiv id (with or without `arxiv:`) or an `https` address.
pub fn is_paper_address(text: &str) -> bool {
    locate(text).is_some()
}

/// Name in the cache, and address.
fn locate(text: &str) -> Option<(String, String)> {
    let id = |id: &str| {
        let id = id.strip_suffix(".pdf").unwrap_or(id);
        let known = ID.as_ref().is_some_and(|form| form.is_match(id));
        known.then(|| (format!("{}.pdf", id.replace('/', "_")), format!("https://arxiv.org/pdf/{id}")))
    };
    let prefix = text.get(..6).filter(|prefix| prefix.eq_ignore_ascii_case("arxiv:"));
    if let Some(prefix) = prefix {
        return id(&text[prefix.len()..]);
    }
    if let Some(found) = id(text).filter(|_| !text.ends_with(".pdf")) {
        return Some(found);
    }
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host())?;
    if matches!(url.host_str(), Some("arxiv.org" | "www.arxiv.org" | "export.arxiv.org")) {
        let path = url.path().trim_end_matches('/');
        let paper = path.strip_prefix("/abs/").or(path.strip_prefix("/pdf/"));
        if let Some(found) = paper.and_then(id) {
            return Some(found);
        }
    }
    let hash = cache::hexadecimal(&Sha256::digest(url.as_str().as_bytes())[..8]);
    let stem = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let stem: String = stem.trim_end_matches(".pdf").chars().filter(plain).take(60).collect();
    Some((format!("{}-{hash}.pdf", stem.trim_start_matches('.')), url.into()))
}

impl Hub {
    /// A paper by arXiv id (`1706.03762v7`, `arxiv:…`), by its page at arXiv, or by the `https` address of a PDF.
    ///
    /// # Errors
    /// `Usage` if it is none of these, `Unavailable` if it is not in the cache and cannot be fetched, `Input` if what
    /// came is no PDF.
    pub fn paper(&self, address: &str) -> Result<PathBuf> {
        let Some((name, url)) = locate(address) else {
            return Err(Error::new(Kind::Usage, address, "is neither an arXiv id nor an https address")
                .hint("1706.03762v7, arxiv:1706.03762v7 or https://arxiv.org/abs/1706.03762v7"));
        };
        let Settings { cache_dir, progress, offline, .. } = &self.settings;
        let path = cache_dir.join("papers").join(&name);
        if path.is_file() {
            return Ok(path);
        }
        let by_hand = format!("download {} by hand and give the file", without_secrets(&url));
        if *offline {
            let problem = format!("not in the cache ({}), and --offline fetches nothing", path.display());
            return Err(Error::new(Kind::Unavailable, without_secrets(address), problem).hint(by_hand));
        }
        let _lock = cache::Lock::take(cache_dir, &name, progress)?;
        if !path.is_file() {
            fetch(&url, &path, progress).map_err(|error| match error.kind {
                Kind::Unavailable | Kind::Input => error.hint(by_hand),
                _ => error,
            })?;
        }
        Ok(path)
    }
}

/// An address without user, password and query, which can hold secrets: fit for messages.
pub(super) fn without_secrets(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit('@').next().unwrap_or_default();
            path.map_or(format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
        }
        None => address.to_string(),
    }
}

/// Downloads a PDF to `path`. Redirects are followed within the same scheme only.
fn fetch(url: &str, path: &Path, progress: &Progress) -> Result<()> {
    let place = without_secrets(url);
    let unreachable = |problem: String| Error::new(Kind::Unavailable, &place, problem);
    let policy = Policy::custom(|attempt| {
        let scheme = attempt.previous().first().map(|url| url.scheme().to_string());
        if attempt.previous().len() > 5 {
            attempt.error("too many redirects")
        } else if scheme.as_deref() != Some(attempt.url().scheme()) {
            attempt.error("the redirect leaves https")
        } else {
            attempt.follow()
        }
    });
    let agent = concat!("ronbun/", env!("CARGO_PKG_VERSION"));
    let client = Client::builder().user_agent(agent).redirect(policy).connect_timeout(Duration::from_secs(10));
    let client = client.timeout(PATIENCE).build().map_err(|error| unreachable(words(&error)))?;
    let answer = client.get(url).send().map_err(|error| unreachable(words(&error)))?;
    if !answer.status().is_success() {
        return Err(unreachable(format!("the server says {}", answer.status())));
    }
    let length = answer.content_length();
    let size = length.map_or("size unknown".into(), cache::human);
    progress.line(format!("fetching {place} ({size}); the paper's own licence applies"));
    let bar = progress.bar(&path.file_name().unwrap_or_default().to_string_lossy(), length.unwrap_or(0), Unit::Bytes);
    receive(answer, &place, path, |bytes| bar.advance(bytes))
}

fn receive(mut answer: impl Read, url: &str, path: &Path, tick: impl FnMut(u64)) -> Result<()> {
    let broken = |error: std::io::Error| Error::new(Kind::Unavailable, url, format!("the download broke off: {error}"));
    let mut start = Vec::new();
    // Some bytes before the mark are common, and readers allow them.
    answer.by_ref().take(1024).read_to_end(&mut start).map_err(broken)?;
    if !start.windows(5).any(|window| window == b"%PDF-") {
        return Err(Error::new(Kind::Input, url, "what came is no PDF"));
    }
    let mut file = cache::temporary(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&start).map_err(|error| unwritable(path, error))?;
    match cache::copy_hashed(&mut answer, &mut file, LIMIT, tick) {
        Ok(_) => cache::place(file, path),
        Err(Stopped::Read(error)) => Err(broken(error)),
        Err(Stopped::Write(error)) => Err(unwritable(path, error)),
        Err(Stopped::TooLong) => {
            Err(Error::new(Kind::Input, url, format!("is larger than {}, the most that is taken", cache::human(LIMIT))))
        }
        Err(Stopped::Interrupted(error)) => Err(error),
    }
}

/// An error with its causes, without the address, which the subject names.
pub(super) fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("cannot be reached: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::BufRead, net::TcpListener};

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (address, shown) in [
            ("https://me:word@example.org/a/b.pdf?token=1#p", "https://example.org/a/b.pdf"),
            ("https://example.org", "https://example.org"),
            ("https://example.org/a@b.pdf", "https://example.org/a@b.pdf"),
            ("1706.03762v7", "1706.03762v7"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    #[test]
    fn ids_and_addresses() {
        let arxiv = |text: &str| locate(text).unwrap_or_else(|| panic!("{text}"));
        let attention = ("1706.03762v7.pdf".to_string(), "https://arxiv.org/pdf/1706.03762v7".to_string());
        for text in [
            "1706.03762v7",
            "arxiv:1706.03762v7",
            "arXiv:1706.03762v7",
            "https://arxiv.org/abs/1706.03762v7",
            "https://arxiv.org/pdf/1706.03762v7",
            "https://arxiv.org/pdf/1706.03762v7.pdf",
            "https://export.arxiv.org/abs/1706.03762v7/",
        ] {
            assert_eq!(arxiv(text), attention, "{text}");
        }
        assert_eq!(arxiv("hep-th/9901001").0, "hep-th_9901001.pdf");
        assert!(arxiv("https://example.org/a/../b/paper.pdf").0.starts_with("paper-"));
        assert!(!arxiv("https://example.org/%2e%2e%2fx").0.contains('/'));
        for text in
            ["1706.03762.pdf", "paper.pdf", "http://example.org/a.pdf", "arxiv:nonsense", "", "ftp://x/y", "1706"]
        {
            assert!(!is_paper_address(text), "{text}");
        }
    }

    /// Answers one request, and tells its address.
    fn serve(answer: Vec<u8>) -> (String, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/paper.pdf", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            stream.write_all(&answer).unwrap();
        });
        (address, served)
    }

    fn fetched(answer: &[u8]) -> (Result<()>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (url, served) = serve(answer.to_vec());
        let result = fetch(&url, &folder.path().join("paper.pdf"), &Progress::silent());
        served.join().unwrap();
        (result, folder)
    }

    #[test]
    fn a_pdf_is_placed_and_nothing_else() {
        let (result, folder) = fetched(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n%PDF-1.7 abc");
        result.unwrap();
        assert_eq!(std::fs::read(folder.path().join("paper.pdf")).unwrap(), b"%PDF-1.7 abc");
        for (answer, kind) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"[..], Kind::Input),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Kind::Unavailable),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n%PDF-1.7 abc", Kind::Unavailable),
            (b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", Kind::Unavailable),
        ] {
            let (result, folder) = fetched(answer);
            assert_eq!(result.unwrap_err().kind, kind, "{}", String::from_utf8_lossy(answer));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
