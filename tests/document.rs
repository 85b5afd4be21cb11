//! Real papers and bad files through PDFium, which is fetched once (`RONBUN_PDFIUM` names another). The papers are looked
//! for in `../shared` (or `RONBUN_SHARED`). What cannot be had is skipped, saying so.

mod common;

use assert_cmd::Command;
use common::{fixture, library, papers};
use ronbun::document::{Document, LinkKind, ReadOptions, TextQuality};
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
            "unmapped glyphs" | "bad OCR layer" | "shifted alphabet" => Some(Kind::NoText),
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
    /// The text is kept, with a warning that holds these words.
    Warned(&'static str),
}

#[test]
fn bad_text_layers_are_flagged_and_good_papers_are_not() {
    let (Some(library), Some(papers)) = (library(), papers()) else { return };
    let flags = [
        ("docling_invisible_text_layer.pdf", Flag::Warned("invisible")),
        ("enc_encrypted_doc_no_id.pdf", Flag::Refused("empty")),
        ("damaged_scan_bad.pdf", Flag::Refused("next to no text")),
        ("issue791_non_unicode_cmap.pdf", Flag::Refused("which letters its glyphs are")),
        ("llama2_first4pages_broken_tounicode.pdf", Flag::Warned("letters are not known")),
        ("mineru_small_ocr.pdf", Flag::Refused("images fill it")),
        ("notext_medium_llama2_howto_17p.pdf", Flag::Refused("outlines")),
        ("olmocr_dolma-page-1.pdf", Flag::Refused("which letters its glyphs are")),
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
            (Flag::Warned(part), Ok(document)) => {
                assert!(document.warnings.iter().any(|text| text.contains(part)), "{name}: {:?}", document.warnings);
            }
            (_, Ok(document)) => panic!("{name} is not refused: {:?}", document.warnings),
            (_, Err(error)) => panic!("{name}: {error}"),
        }
    }
    for row in index(&papers).iter().filter(|row| row["expect"] == "good") {
        let document = read(&library, &papers.join(&row["file"]), None).expect("a good paper");
        for page in &document.pages {
            assert_eq!(
                page.text_quality,
                TextQuality::Good,
                "{}, page {}: {:?}",
                row["file"],
                page.number,
                page.reason
            );
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

/// Runs `ronbun extract ARGS` with nothing of the user's.
fn extract(library: &Path, args: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronbun"));
    command.envs([("HOME", home.path()), ("RONBUN_CONFIG", home.path()), ("RONBUN_CACHE", home.path())]);
    command.env("LC_ALL", "C.UTF-8").env_remove("RONBUN_PASSWORD").env("RONBUN_PDFIUM", library);
    command.arg("extract").args(args).output().expect("runs")
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
        (fixture("absent.pdf"), 3, "no such file"),
        (note, 3, "give the paper's PDF file"),
        (fixture("encrypted.pdf"), 4, "give the right one with --password"),
        (fixture("bomb.pdf"), 5, "made to do harm"),
        (fixture("cut_short.pdf"), 5, "fetch it again, or repair it"),
        (fixture("no_header.pdf"), 5, "fetch it again, or repair it"),
        (fixture("image_only.pdf"), 6, "ocrmypdf --force-ocr"),
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
