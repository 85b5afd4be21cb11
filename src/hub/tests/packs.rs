//! Packs: written, installed elsewhere, and refused when anything in them is wrong.

use super::{super::*, *};

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
    let card = packer.card("small-q8_0").unwrap();
    assert_eq!(hub.card("small-q8_0"), Some(&Card { preference: 0, ..card.clone() }));
    let model = hub.model("small-q8_0").unwrap();
    assert_eq!(fs::read(gguf(&model)).unwrap(), WEIGHTS);
    assert!(hub.verify(None).unwrap().iter().all(Check::ok));
    let places = ["LICENCE.txt", "contents.json", "tiny.gguf"].map(|name| format!("models/small-q8_0/{name}"));
    assert_eq!(files(&hub.settings.cache_dir), places);
}

/// Writes an archive of these members after a manifest that names `entries`.
fn archive(file: &Path, entries: &[(&str, &[u8])], members: &[(&str, &[u8])], change: impl Fn(&mut serde_json::Value)) {
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

/// As [`archive`], of these models.
fn archive_of(file: &Path, members: &[(&str, &[u8])], models: Vec<serde_json::Value>) {
    archive(file, members, members, move |json| json["models"] = models.clone().into());
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
fn no_word_of_a_pack_gets_round_the_pins_of_a_known_card() {
    let evil: &[u8] = b"GGUF and other weight";
    let from_as = |origin: &'static str, name: &'static str, bytes: &'static [u8]| {
        let home = tempfile::tempdir().unwrap();
        let mut hub = online(home.path());
        hub.cards = vec![two_pieces(home.path())];
        let file = home.path().join("pack.tar.zst");
        let model = serde_json::json!({ "id": "small-q8_0", "origin": origin,
            "files": [{ "name": name, "bytes": bytes.len(), "sha256": sha256(bytes) }] });
        archive_of(&file, &[(&format!("models/small-q8_0/{name}"), bytes)], vec![model]);
        (hub.unpack(&file), hub, home)
    };
    for (origin, name, word) in [
        ("wheels", "tiny.gguf", "the card says"),
        ("hub", "tiny.gguf", "the card says"),
        ("installed", "tiny.gguf", "came from"),
        ("installed", "small-q8_0.gguf", "came from"),
        ("wheels", "renamed.gguf", "not the files"),
        ("hub", "renamed.gguf", "not the files"),
    ] {
        let (done, hub, _home) = from_as(origin, name, evil);
        let error = done.unwrap_err();
        assert!(error.kind == Kind::Model && error.problem.contains(word), "{origin} {name}: {error}");
        assert_eq!(files(&hub.settings.cache_dir), [""; 0]);
    }
    // The right file is taken under either origin; one that only the unpinned hub names, with a word.
    for origin in ["wheels", "hub"] {
        assert_eq!(from_as(origin, "tiny.gguf", WEIGHTS).0.unwrap().notes, [""; 0]);
    }
    let (done, hub, _home) = from_as("hub", "small-q8_0.gguf", evil);
    assert!(done.unwrap().notes[0].contains("not compared with any pinned hash"));
    assert_ne!(hub.verify(None).unwrap()[0].status, Status::Pinned);
}

#[test]
fn the_pins_win_over_what_a_folder_says_of_itself() {
    let home = tempfile::tempdir().unwrap();
    let (hub, _) = packed(home.path());
    let folder = hub.settings.cache_dir.join("models/small-q8_0");
    let evil = b"GGUF and other weight";
    fs::write(folder.join("tiny.gguf"), evil).unwrap();
    let contents = fs::read_to_string(folder.join("contents.json")).unwrap();
    let contents = contents.replace(&sha256(WEIGHTS), &sha256(evil));
    fs::write(folder.join("contents.json"), &contents).unwrap();
    assert_eq!(hub.verify(None).unwrap()[0].status, Status::Wrong);
    assert_eq!(hub.model("small-q8_0").unwrap_err().kind, Kind::Model);
    fs::rename(folder.join("tiny.gguf"), folder.join("renamed.gguf")).unwrap();
    fs::write(folder.join("contents.json"), contents.replace("tiny.gguf", "renamed.gguf")).unwrap();
    assert!(hub.installed().is_empty());
}

#[test]
fn a_good_model_and_card_are_not_installed_beside_a_bad_one() {
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path());
    let file = home.path().join("pack.tar.zst");
    let model = |id: &str, origin: &str| {
        let files = [serde_json::json!({ "name": "small-q8_0.gguf", "bytes": 21, "sha256": sha256(WEIGHTS) })];
        serde_json::json!({ "id": id, "origin": origin, "files": files })
    };
    let card = card::tests::SMALL.replace("preference = 1", "preference = 1000");
    let members: [(&str, &[u8]); 3] = [
        ("models/small-q8_0/small-q8_0.gguf", WEIGHTS),
        ("cards/small-q8_0.toml", card.as_bytes()),
        ("models/owner--name/small-q8_0.gguf", WEIGHTS),
    ];
    archive_of(&file, &members, vec![model("small-q8_0", "hub"), model("owner/name", "installed")]);
    assert_eq!(hub.unpack(&file).unwrap_err().kind, Kind::Model);
    assert_eq!(files(home.path()), ["pack.tar.zst"]);
    archive_of(&file, &members, vec![model("small-q8_0", "hub"), model("owner/name", "hub")]);
    hub.unpack(&file).unwrap();
    let cards = card::all(&hub.settings.cards_dir).unwrap();
    assert_eq!(cards.iter().find(|card| card.id == "small-q8_0").unwrap().preference, 0);
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
    assert!(
        unpacked.pdfium.is_none() && unpacked.notes.iter().any(|note| note.contains("plan9-mips")),
        "{:?}",
        unpacked.notes
    );
    // The right platform, but not the pinned library.
    let (name, platform) = (format!("pdfium/{0}/{1}", pdfium::platform(), pdfium::library_name()), pdfium::platform());
    let members = [weights, (name.as_str(), &b"not the pinned one"[..])];
    archive(&file, &members, &members, |json| json["pdfium"] = pdfium::platform().into());
    let unpacked = hub(home.path()).unpack(&file).unwrap();
    assert!(
        unpacked.pdfium.is_none() && unpacked.notes.iter().any(|note| note.contains("another build")),
        "{platform}: {:?}",
        unpacked.notes
    );
}
