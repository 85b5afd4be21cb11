//! Whole papers of each kind, good and bad.

use crate::document::{Document, ReadOptions, Source};
use crate::{Kind, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sources").join(name)
}

fn read(file: &Path) -> Result<Document> {
    Document::read(file, &ReadOptions::default())
}

#[test]
fn each_kind_is_read_and_comes_back_from_json() {
    for (name, source) in [
        ("paper.tex", Source::Latex),
        ("paper.md", Source::Markdown),
        ("latexml.html", Source::Html),
        ("paper.txt", Source::Text),
    ] {
        let document = read(&fixture(name)).expect(name);
        assert_eq!((document.source, document.title.as_deref()), (source, Some("Small Papers")), "{name}");
        assert_eq!((document.file.as_str(), document.sha256.len()), (name, 64));
        let json = serde_json::to_string(&document).expect("JSON");
        assert_eq!(serde_json::from_str::<Document>(&json).expect("a document"), document, "{name}");
    }
}

#[test]
fn a_folder_an_archive_and_a_file_give_the_same_paper() {
    let folder = tempfile::tempdir().expect("a folder");
    let main =
        "\\documentclass{article}\\begin{document}\\title{T}\\maketitle\\input{sec/a}\\bibliography{x}\\end{document}";
    let part = "\\section{One}See \\cite{k}.";
    let bbl = "\\begin{thebibliography}{1}\\bibitem{k} A. B. 2020.\\end{thebibliography}";
    let files = [("main.tex", main), ("sec/a.tex", part), ("main.bbl", bbl)];
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    std::fs::create_dir(folder.path().join("sec")).expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).expect("appended");
    }
    let packed = archive.into_inner().and_then(GzEncoder::finish).expect("finished");
    let outside = tempfile::tempdir().expect("a folder");
    let eprint = outside.path().join("2001.00001");
    std::fs::write(&eprint, packed).expect("written");
    for path in [folder.path(), &folder.path().join("main.tex"), &eprint] {
        let document = read(path).expect("a paper");
        let expected = "T\n\n1 One\n\nSee [1].\n\nReferences\n\n[1] A. B. 2020.";
        assert_eq!(document.text(), expected, "{}", path.display());
        assert_eq!(document.citations[0].references, [0]);
    }
}

#[test]
fn what_is_no_paper_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"\0\0\0").expect("written");
    let cases: [(&str, Vec<u8>, Kind, &str); 4] = [
        ("a.html", b"<html><script>x</script>".to_vec(), Kind::NoText, "no text"),
        ("a.tex", b"\\documentclass{article}\\begin{document}\\end{document}".to_vec(), Kind::NoText, "no text"),
        ("a.tar.gz", gzip.finish().expect("finished"), Kind::Input, "without LaTeX"),
        ("b.tar.gz", b"\x1f\x8b\x08".to_vec(), Kind::Damaged, "ends too early"),
    ];
    for (name, bytes, kind, part) in cases {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).expect("written");
        let error = read(&file).expect_err(name);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.problem.contains(part) && error.hint.is_some(), "{error}");
    }
}
