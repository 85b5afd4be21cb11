//! The small PDFs of the fixtures, good and bad, through PDFium and through the real binary: exit
//! codes, passwords, OCR, and what is left out of the text.

mod common;

use assert_cmd::Command;
use common::{fixture, library, read};
use ronbun::Kind;
use ronbun::document::{Document, ReadOptions, TextQuality, forms};
use std::collections::HashSet;
use std::path::Path;
use std::process::Output;

#[test]
fn a_library_that_is_none_is_unavailable() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paper = fixture("plain.pdf");
    for (name, content) in [("missing.so", None), ("text.so", Some("not a library"))] {
        let library = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&library, content).expect("writable");
        }
        let error = read(&library, &paper, None).expect_err("no library");
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.subject.ends_with(name) && error.hint.is_some(), "{error}");
    }
}

#[test]
fn the_kinds_of_bad_files_are_told_apart() {
    let Some(library) = library() else { return };
    for (name, password, kind, part) in [
        ("image_only.pdf", None, Kind::NoText, "its 2 pages"),
        ("encrypted.pdf", None, Kind::Password, "needs a password"),
        ("encrypted.pdf", Some("wrong"), Kind::Password, "password is wrong"),
        ("encrypted.pdf", Some("nul\0"), Kind::Password, "NUL"),
        ("cut_short.pdf", None, Kind::Damaged, "damaged"),
        ("no_header.pdf", None, Kind::Damaged, "header is missing"),
        ("absent.pdf", None, Kind::Input, "no such file"),
    ] {
        let error = read(&library, &fixture(name), password).expect_err(name);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.problem.contains(part), "{error}");
        assert!(error.subject.ends_with(name) && error.hint.is_some(), "{error}");
    }
    let document = read(&library, &fixture("encrypted.pdf"), Some("secret")).expect("the right password");
    assert_eq!(document.text(), "One line of text.\n\nAnd a second line.");
}

/// The text of the fixture of that name, as `ronbun extract` prints it.
const PLAIN: &str = "One line of text.\n\nAnd a second line.\n";

fn extract(library: &Path, args: &[&str]) -> Output {
    extraction(library, args).output().expect("runs")
}

/// `ronbun extract ARGS` with nothing of the user's.
fn extraction(library: &Path, args: &[&str]) -> Command {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-home");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
    command.envs([("HOME", &home), ("RONBUN_CONFIG", &home), ("RONBUN_CACHE", &home)]);
    command.env("LC_ALL", "C.UTF-8").env_remove("RONBUN_PASSWORD").env("RONBUN_PDFIUM", library);
    command.arg("extract").args(args);
    command
}

#[test]
fn the_program_has_an_exit_code_and_a_hint_for_each_kind_of_file() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let note = folder.path().join("note.pdf");
    std::fs::write(&note, "not a PDF").expect("writable");
    let expected = [
        (fixture("plain.pdf"), 0, ""),
        (fixture("two_columns.pdf"), 0, ""),
        (fixture("some_pages_empty.pdf"), 0, ""),
        (fixture("hidden.pdf"), 0, ""),
        (fixture("absent.pdf"), 3, "no such file"),
        (note, 3, "give the paper's PDF file"),
        (fixture("encrypted.pdf"), 4, "give the right one with --password or --password-file"),
        (fixture("bomb.pdf"), 5, "made to do harm"),
        (fixture("cut_short.pdf"), 5, "fetch it again, or repair it"),
        (fixture("no_header.pdf"), 5, "fetch it again, or repair it"),
        (fixture("image_only.pdf"), 6, "ocrmypdf --force-ocr"),
        (fixture("scan.pdf"), 6, "install Tesseract"),
        (fixture("no_copying.pdf"), 4, "--password-file"),
    ];
    for (file, code, hint) in &expected {
        let output = extract(&library, &[&file.to_string_lossy()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{}: {stderr}", file.display());
        assert!(stderr.contains(hint), "{}: {stderr}", file.display());
        assert_eq!(output.stdout.is_empty(), *code != 0, "{}", file.display());
    }
    let known: HashSet<&Path> = expected.iter().map(|(file, _, _)| file.as_path()).collect();
    for entry in fixture("").read_dir().expect("fixtures") {
        let path = fixture("").join(entry.expect("an entry").file_name());
        assert!(known.contains(path.as_path()), "no exit code is expected of {}", path.display());
    }
}

#[test]
fn the_program_opens_an_encrypted_file_with_its_password_alone() {
    let Some(library) = library() else { return };
    let file = fixture("encrypted.pdf").display().to_string();
    let output = extract(&library, &[&file, "--password", "secret"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "One line of text.\n\nAnd a second line.\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(extract(&library, &[&file, "--password", "wrong"]).status.code(), Some(4));
}

#[test]
fn pages_without_text_are_named_beside_pages_with_it() {
    let Some(library) = library() else { return };
    let document = read(&library, &fixture("some_pages_empty.pdf"), None).expect("text on two pages");
    assert_eq!(document.warnings, ["page 2: no text, only figures", "page 3: empty"]);
    assert_eq!(
        document.blocks_by_page().map(|(_, blocks)| blocks.is_empty()).collect::<Vec<_>>(),
        [false, true, true, false]
    );
}

#[test]
fn words_that_no_reader_sees_are_left_out_and_told() {
    let Some(library) = library() else { return };
    let document = read(&library, &fixture("hidden.pdf"), None).expect("a page of text");
    assert_eq!(document.pages[0].dropped, ["White words to a machine.", "Words without ink to a machine."]);
    let text = document.text();
    assert!(text.contains("White words on black.") && text.contains("What the picture says."), "{text}");
    assert!(!text.contains("machine"), "{text}");
    assert!(document.warnings.iter().any(|warning| warning.contains("invisible")), "{:?}", document.warnings);
}

#[test]
fn a_small_paper_in_two_columns_is_read_whole_and_in_order() {
    let Some(library) = library() else { return };
    let document = read(&library, &fixture("two_columns.pdf"), None).expect("a good paper");
    assert_eq!(document.title.as_deref(), Some("A Paper in Two Columns"));
    assert_eq!(document.sha256.len(), 64);
    assert_eq!(document.file, "two_columns.pdf");
    assert_eq!(document.pages[1].dropped, ["Journal of Fixtures, page 2", "2"]);
    let text = document.text();
    assert!(text.contains("a word that is broken, and line 4"), "{text}");
    assert!(text.contains("goes on with the very same sentence on page 2."), "{text}");
    for page in 0..3 {
        let text = &document
            .blocks_by_page()
            .nth(page)
            .expect("a page")
            .1
            .iter()
            .map(|block| block.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let places: Vec<usize> = ["Left line 0", "Left line 19", "Right line 0", "Right line 18"]
            .iter()
            .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is missing: {text}")))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }
    let urls: Vec<&str> = document.links.iter().map(|link| link.url.as_str()).collect();
    assert_eq!(urls, ["https://github.com/example/fixtures", "https://example.org/col-umns/paper.html"]);
    let json = serde_json::to_string(&document).expect("serialisable");
    assert_eq!(serde_json::from_str::<Document>(&json).expect("readable again"), document);
}

#[test]
fn reading_twice_gives_the_same() {
    let Some(library) = library() else { return };
    let file = fixture("two_columns.pdf");
    let documents: Vec<Document> = std::thread::scope(|scope| {
        let reads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| read(&library, &file, None).expect("a good paper"))).collect();
        reads.into_iter().map(|read| read.join().expect("no panic")).collect()
    });
    assert!(documents.windows(2).all(|pair| pair[0] == pair[1]));
}

/// What Tesseract prints, from a script in its place: one line of two words, in dots.
#[cfg(unix)]
fn tesseract_that_reads(words: [&str; 2]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("temporary folder");
    let [first, second] = words;
    let table = format!(
        "4\\t1\\t1\\t1\\t1\\t0\\t300\\t600\\t900\\t50\\t-1\\t\\n\
         5\\t1\\t1\\t1\\t1\\t1\\t300\\t600\\t400\\t50\\t96\\t{first}\\n\
         5\\t1\\t1\\t1\\t1\\t2\\t750\\t600\\t450\\t50\\t95\\t{second}\\n"
    );
    let script = format!(
        "#!/bin/sh\ncase $1 in --list-langs) printf 'Languages\\neng\\njpn\\n';; *) cat > /dev/null; printf '{table}';; esac\n"
    );
    let program = folder.path().join("tesseract");
    std::fs::write(&program, script).expect("writable");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

#[test]
#[cfg(unix)]
fn pages_without_text_are_read_by_ocr_where_tesseract_is() {
    let Some(library) = library() else { return };
    let folder = tesseract_that_reads(["Recognised", "words"]);
    let search = std::env::join_paths([folder.path(), Path::new("/usr/bin"), Path::new("/bin")]).expect("a path");
    let empty = tempfile::tempdir().expect("temporary folder");
    let run = |name: &str, search: &std::ffi::OsStr, args: &[&str]| {
        let mut command = extraction(&library, &[&[fixture(name).to_str().expect("a path")], args].concat());
        command.env("PATH", search).output().expect("runs")
    };
    let scan = run("scan.pdf", &search, &["--format", "json"]);
    let stderr = String::from_utf8_lossy(&scan.stderr);
    assert!(scan.status.success(), "{stderr}");
    assert!(stderr.contains("page 1 repaired: read by OCR (Tesseract, eng)"), "{stderr}");
    let document: Document = serde_json::from_slice(&scan.stdout).expect("a document");
    assert_eq!(document.text(), "Recognised words");
    assert_eq!(document.pages[0].text_quality, TextQuality::Repaired);
    let bbox = document.blocks[0].spans[0].bbox;
    assert!((bbox[0] - 72.0).abs() < 1.0 && (bbox[2] - 288.0).abs() < 1.0, "{bbox:?}");

    assert_eq!(run("scan.pdf", &search, &["--ocr", "never"]).status.code(), Some(6));
    assert_eq!(run("scan.pdf", empty.path().as_os_str(), &[]).status.code(), Some(6));
    assert_eq!(run("scan.pdf", empty.path().as_os_str(), &["--ocr", "always"]).status.code(), Some(10));
    let unknown = run("scan.pdf", &search, &["--ocr-lang", "deu"]);
    assert_eq!(unknown.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("tesseract-ocr-deu"));
    assert_eq!(run("scan.pdf", &search, &["--ocr-lang", "-c"]).status.code(), Some(2));
    let always = run("plain.pdf", &search, &["--ocr", "always", "--ocr-lang", "eng+jpn"]);
    assert_eq!(String::from_utf8_lossy(&always.stdout), "Recognised words\n");
    assert_eq!(String::from_utf8_lossy(&run("plain.pdf", &search, &[]).stdout), PLAIN);
}

#[test]
fn a_password_comes_from_a_file_too_and_what_the_owner_forbids_is_told() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\r\n").expect("writable");
    let (file, password) = (fixture("no_copying.pdf").display().to_string(), password.display().to_string());
    let output = extract(&library, &[&file, "--password-file", &password]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), PLAIN, "{stderr}");
    assert!(stderr.contains("its owner forbids copying"), "{stderr}");
    let absent = extract(&library, &[&file, "--password-file", "absent"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("password file"));
    let document = read(&library, &fixture("encrypted.pdf"), Some("secret")).expect("the right password");
    assert!(document.warnings.is_empty(), "{:?}", document.warnings);
}

#[test]
fn the_html_of_a_paper_shows_its_pages_and_stays_small() {
    let Some(library) = library() else { return };
    let (file, options) = (fixture("two_columns.pdf"), ReadOptions { library, ..ReadOptions::default() });
    let pictures = Document::pictures(&file, &options, 800).expect("pictures");
    let document = Document::read(&file, &options).expect("a good paper");
    assert_eq!(pictures.iter().map(|picture| picture.page).collect::<Vec<_>>(), [1, 2, 3]);
    let html = forms::html(&document, &pictures);
    assert!(html.matches("<img alt=").count() == 3 && html.len() < 3 * 100_000, "{} bytes", html.len());
    assert!(document.blocks.len() <= html.matches("<a class=\"box ").count());
}
