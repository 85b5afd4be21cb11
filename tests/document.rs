//! Real papers and bad files through PDFium, which is fetched once (`RONBUN_PDFIUM` names another). The papers are looked
//! for in `../shared` (or `RONBUN_SHARED`). What cannot be had is skipped, saying so.

mod common;

use assert_cmd::Command;
use common::{fixture, library, papers};
use ronbun::document::{Block, BlockKind, Document, LinkKind, Part, ReadOptions, TextQuality, forms};
use ronbun::{Error, Kind};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Output;

fn read(library: &Path, file: &Path, password: Option<&str>) -> Result<Document, Error> {
    let password = password.map(str::to_string);
    Document::read(file, &ReadOptions { library: library.to_path_buf(), password, ..ReadOptions::default() })
}

/// A row of the papers' index, by its columns' names.
fn index(papers: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(papers.join("INDEX.tsv")).expect("readable index");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split('\t').collect();
    lines
        .map(|line| names.iter().map(|name| name.to_string()).zip(line.split('\t').map(str::to_string)).collect())
        .collect()
}

fn characters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

#[test]
fn every_paper_of_the_collection_does_what_the_index_says() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let mut wrong = Vec::new();
    for row in index(&papers) {
        let (name, expect) = (row["file"].as_str(), row["expect"].as_str());
        let file = papers.join(name);
        let password = row["note"].split("password=").nth(1);
        let result = read(&library, &file, None);
        let kind = result.as_ref().map_or_else(|error| Some(error.kind), |_| None);
        let expected = match expect {
            _ if password.is_some() => Some(Kind::Password),
            "image only" | "no text: outline paths" | "encrypted, opens, no text" => Some(Kind::NoText),
            "unmapped glyphs" | "bad OCR layer" => Some(Kind::NoText),
            // "pdf.js" in invisible letters over a picture of a page.
            _ if name == "damaged_scan_bad.pdf" => Some(Kind::NoText),
            // Five bytes that say "oops": nothing of a PDF is in them.
            _ if name == "qpdf_bad1.pdf" => Some(Kind::Input),
            "damaged: refused" => Some(Kind::Damaged),
            _ => None,
        };
        if kind != expected {
            wrong.push(format!("{name} ({expect}): {kind:?} instead of {expected:?}"));
            continue;
        }
        let result = match password {
            Some(password) => {
                let error = read(&library, &file, Some("not the password")).expect_err("a wrong password");
                assert_eq!(error.kind, Kind::Password, "{name}");
                read(&library, &file, Some(password))
            }
            None => result,
        };
        let Ok(document) = result else {
            if password.is_some() {
                wrong.push(format!("{name}: does not open with its password"));
            }
            continue;
        };
        let bad = document.pages.iter().find(|page| page.text_quality != TextQuality::Good);
        if let Some(page) = bad.filter(|_| expect == "good") {
            wrong.push(format!("{name}, page {}: {:?}, {:?}", page.number, page.text_quality, page.reason));
        }
        let pages: usize = row["pages"].parse().expect("a number");
        assert!(pages == document.pages.len(), "{name}: {} pages", document.pages.len());
        let (got, all): (usize, usize) = (characters(&document.text()), row["chars_pdfium"].parse().expect("a number"));
        let kept =
            got + document.pages.iter().flat_map(|page| &page.dropped).map(|line| characters(line)).sum::<usize>();
        // The index counts white space too, of which a paper has less than a third.
        if kept * 10 < all * 6 {
            wrong.push(format!("{name}: {got} characters of {all}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What becomes of a text layer that is none.
enum Flag {
    /// The whole document is refused, for a reason that holds these words.
    Refused(&'static str),
    /// A page is marked repaired, and its text holds these words.
    Repaired(&'static str),
    /// The text is kept, with a warning that holds these words.
    Warned(&'static str),
}

#[test]
fn bad_text_layers_are_flagged() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let flags = [
        ("docling_invisible_text_layer.pdf", Flag::Warned("invisible")),
        ("enc_encrypted_doc_no_id.pdf", Flag::Refused("empty")),
        ("damaged_scan_bad.pdf", Flag::Refused("next to no text")),
        ("issue791_non_unicode_cmap.pdf", Flag::Refused("which letters its glyphs are")),
        ("llama2_first4pages_broken_tounicode.pdf", Flag::Warned("letters are not known")),
        ("mineru_small_ocr.pdf", Flag::Refused("images fill it")),
        ("notext_medium_llama2_howto_17p.pdf", Flag::Refused("outlines")),
        ("olmocr_dolma-page-1.pdf", Flag::Repaired("Information about pretraining corpora used to train")),
        ("olmocr_edgar_image.pdf", Flag::Refused("an image fills it")),
        ("olmocr_handwriting_bad_ocr.pdf", Flag::Refused("misread")),
        ("scan_backus1977_p21.pdf", Flag::Warned("OCR layer")),
        ("scan_docling_ocr_test.pdf", Flag::Refused("an image fills it")),
        ("scan_loremipsum_flat.pdf", Flag::Refused("an image fills it")),
        ("scan_with_ocr_layer.pdf", Flag::Warned("OCR layer")),
    ];
    for (name, flag) in &flags {
        let result = read(&library, &papers.join(name), None);
        match (flag, &result) {
            (Flag::Refused(part), Err(error)) => {
                assert!(error.kind == Kind::NoText && error.problem.contains(part), "{name}: {error}");
            }
            (Flag::Repaired(part), Ok(document)) => {
                let repaired = document.pages.iter().any(|page| page.text_quality == TextQuality::Repaired);
                assert!(repaired && document.text().contains(part), "{name}: {:?}", document.warnings);
            }
            (Flag::Warned(part), Ok(document)) => {
                assert!(document.warnings.iter().any(|text| text.contains(part)), "{name}: {:?}", document.warnings);
            }
            (_, Ok(document)) => panic!("{name} is not refused: {:?}", document.warnings),
            (_, Err(error)) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn two_columns_are_read_in_order() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1810.04805.pdf"), None).expect("a good paper");
    let expected = "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding";
    assert_eq!(document.title.as_deref(), Some(expected));
    assert_eq!(document.pages[0].dropped, ["arXiv:1810.04805v2 [cs.CL] 24 May 2019"]);
    let text = document.text();
    let places: Vec<usize> = [
        "We introduce a new language representation model called BERT",
        "MultiNLI accuracy to 86.7%",
        "Language model pre-training has been shown to be effective",
        "Unlike left-to-right language model pre-training",
        "There is a long history of pre-training general language representations",
        "BERT’s model architecture is a multi-layer bidirectional Transformer encoder",
        "we have demonstrated",
    ]
    .iter()
    .filter_map(|part| text.find(part))
    .collect();
    assert!(places.len() >= 6 && places.is_sorted(), "{places:?}");
    let code = document.links.iter().find(|link| link.kind == LinkKind::Code).expect("a link to its code");
    assert_eq!(code.url, "https://github.com/google-research/bert");
}

#[test]
fn blocks_say_what_they_are_and_where_they_stand() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1706.03762.pdf"), None).expect("a good paper");
    assert_eq!(document.authors.len(), 8);
    assert_eq!((document.authors[0].as_str(), document.authors[6].as_str()), ("Ashish Vaswani", "Łukasz Kaiser"));
    let block = |start: &str| document.blocks.iter().find(|block| block.text.starts_with(start)).expect(start);
    let heading = |level, number: Option<&str>| BlockKind::Heading { level, number: number.map(str::to_string) };
    for (start, kind, part, pages) in [
        ("Attention Is All", BlockKind::Title, Part::Front, &[1][..]),
        ("Ashish Vaswani", BlockKind::Authors, Part::Front, &[1]),
        ("Abstract", heading(1, None), Part::Body, &[1]),
        ("3.2.1 Scaled", heading(3, Some("3.2.1")), Part::Body, &[4]),
        ("An attention function", BlockKind::Paragraph, Part::Body, &[3, 4]),
        ("• The encoder contains", BlockKind::ListItem, Part::Body, &[5]),
        ("Table 1: Maximum", BlockKind::Caption, Part::Body, &[6]),
        ("⁴To illustrate", BlockKind::Footnote, Part::Body, &[4]),
        ("References", heading(1, None), Part::References, &[10]),
        ("[40] Muhua", BlockKind::Reference, Part::References, &[12]),
    ] {
        let block = block(start);
        assert_eq!((&block.kind, block.part), (&kind, part), "{start}");
        assert_eq!(block.spans.iter().map(|span| span.page).collect::<Vec<_>>(), pages, "{start}");
    }
    let place = |start: &str| document.blocks.iter().position(|block| block.text.starts_with(start)).expect(start);
    assert!(place("An attention function") < place("Figure 2") && place("Figure 2") < place("3.2.1 Scaled"));
}

#[test]
fn papers_of_other_kinds_have_their_parts_too() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    for (name, authors, sections, appendix) in [
        ("1810.04805.pdf", 4, 6, true),
        ("2103.13630.pdf", 6, 7, false),
        ("multi_column.pdf", 8, 8, true),
        ("ja_dbs157.pdf", 1, 7, false),
        ("olmocr_not_parsing.pdf", 3, 4, false),
    ] {
        let document = read(&library, &papers.join(name), None).expect(name);
        assert!(document.authors.len() >= authors, "{name}: {:?}", document.authors);
        let is_section = |block: &&Block| match &block.kind {
            BlockKind::Heading { level: 1, number: Some(_) } => block.part == Part::Body,
            _ => false,
        };
        assert_eq!(document.blocks.iter().filter(is_section).count(), sections, "{name}");
        let has = |part| document.blocks.iter().any(|block| block.part == part);
        assert!(has(Part::Front) && has(Part::References), "{name}");
        assert_eq!(has(Part::Appendix), appendix, "{name}");
    }
}

#[test]
fn japanese_lines_are_joined_without_spaces() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("ja_ipsj_jsample_luatex.pdf"), None).expect("a good paper");
    let text = document.text();
    let is_kana = |c: char| ('\u{3041}'..='\u{30FF}').contains(&c);
    let letters: Vec<char> = text.chars().collect();
    let spaced = letters.windows(3).filter(|three| is_kana(three[0]) && three[1] == ' ' && is_kana(three[2])).count();
    let kana = letters.iter().filter(|c| is_kana(**c)).count();
    assert!(kana > 3000 && spaced * 200 < kana, "{spaced} spaces among {kana} kana");
}

#[test]
fn vertical_japanese_is_read_from_the_right() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("ja_jo_vertical.pdf"), None).expect("a good page");
    let text = document.text();
    let places: Vec<Option<usize>> = [
        "わたくしといふ現象は",
        "假定された有機交流電燈の",
        "ひとつの青い照明です",
        "因果交流電燈の",
        "大正十三年一月廿日",
    ]
    .iter()
    .map(|line| text.find(line))
    .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {text}");
}

#[test]
fn the_stated_gold_is_reached_on_the_attention_paper() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1706.03762.pdf"), None).expect("a good paper");
    assert_eq!(document.title.as_deref(), Some("Attention Is All You Need"));
    let text = document.text();
    for sentence in [
        "The dominant sequence transduction models are based on complex recurrent or convolutional neural networks that \
         include an encoder and a decoder.",
        "We propose a new simple network architecture, the Transformer, based solely on attention mechanisms, dispensing with \
         recurrence and convolutions entirely.",
        "The encoder is composed of a stack of N = 6 identical layers.",
        "Most competitive neural sequence transduction models have an encoder-decoder structure",
    ] {
        assert!(text.contains(sentence), "{sentence}");
    }
    assert!(document.links.iter().any(|link| link.url.contains("github.com/tensorflow/tensor2tensor")));
}

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

/// The blocks of one kind on a page.
fn blocks_of(document: &Document, page: u32, wanted: fn(&BlockKind) -> bool) -> Vec<&Block> {
    document.blocks.iter().filter(|block| block.page() == page && wanted(&block.kind)).collect()
}

#[test]
fn tables_and_formulas_of_the_attention_paper_are_read_as_such() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let document = read(&library, &papers.join("1706.03762.pdf"), None).expect("a good paper");
    let formulas: Vec<&str> = document
        .blocks
        .iter()
        .filter(|block| block.kind == BlockKind::Formula)
        .map(|block| block.text.as_str())
        .collect();
    assert!(formulas.contains(&"Attention(Q, K, V ) = softmax( (QK^T)/(√d_k) )V (1)"), "{formulas:?}");
    let table = blocks_of(&document, 10, |kind| matches!(kind, BlockKind::Table { .. }));
    let [Block { kind: BlockKind::Table { rows }, .. }] = table[..] else { panic!("{table:?}") };
    assert_eq!(rows[0], ["Parser", "Training", "WSJ 23 F1"]);
    assert!(rows.contains(&vec!["Transformer (4 layers)".into(), "semi-supervised".into(), "92.7".into()]), "{rows:?}");
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
