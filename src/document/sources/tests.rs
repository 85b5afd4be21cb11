//! Whole papers of each kind, good and bad.

use crate::document::{Document, Part, ReadOptions, Source};
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

/// What is known of a paper's references: label, authors, title, year; and which its citations name.
fn references(name: &str, text: &str) -> (Vec<String>, Vec<Vec<usize>>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), text).expect("written");
    let document = read(&folder.path().join(name)).expect("a paper");
    let known = document.references.iter().map(|entry| {
        assert_eq!(document.blocks[entry.block].part, Part::References, "{name}");
        let label = entry.label.as_deref().unwrap_or("-");
        let (title, year) = (entry.title.as_deref().unwrap_or("-"), entry.year.unwrap_or(0));
        format!("{label} | {} | {title} | {year}", entry.authors.join(", "))
    });
    (known.collect(), document.citations.iter().map(|citation| citation.references.clone()).collect())
}

#[test]
fn every_form_has_references_with_fields_and_citations() {
    let numbered = ["1 | Ada Lovelace | Notes on engines | 1843", "2 | Alan Turing, Kurt Gödel | On numbers | 1936"];
    let named = numbered.map(|entry| entry.replace("1 |", "- |").replace("2 |", "- |"));
    let (first, second) = ("Ada Lovelace. Notes on engines. 1843.", "Alan Turing and Kurt Gödel. On numbers. 1936.");
    for (name, text) in [
        ("numbered.txt", format!("Title\n\nAs [2] and [1] say.\n\nReferences\n\n[1] {first}\n[2] {second}\n")),
        ("numbered.md", format!("# Title\n\nAs [2] and [1] say.\n\n# References\n\n1. {first}\n2. {second}\n")),
        ("bullets.md", format!("# Title\n\nAs [2] and [1] say.\n\n# References\n\n- [1] {first}\n- [2] {second}\n")),
        ("numbered.html", format!("<html><p>As [2] and [1] say.<h2>References</h2><ol><li>{first}<li>{second}</ol>")),
        ("paragraphs.html", format!("<html><p>As [2] and [1] say.<h2>References</h2><p>[1] {first}<p>[2] {second}")),
        (
            "bbl.tex",
            format!(
                "\\documentclass{{article}}\\begin{{document}}As \\cite{{b}} and \\cite{{a}} say.\\begin{{thebibliography}}{{9}}\
                 \\bibitem{{a}} {first} \\bibitem{{b}} {second}\\end{{thebibliography}}\\end{{document}}"
            ),
        ),
    ] {
        let (known, cited) = references(name, &text);
        assert_eq!(known, numbered, "{name}");
        assert_eq!(cited, [[1], [0]], "{name}");
    }
    let cited = "Turing and Gödel (1936) follow (Lovelace, 1843).";
    for (name, text) in [
        ("named.txt", format!("Title\n\n{cited}\n\nReferences\n\n{first}\n\n{second}\n")),
        ("named.md", format!("# Title\n\n{cited}\n\n# References\n\n{first}\n\n{second}\n")),
        ("named.html", format!("<html><p>{cited}<h2>References</h2><ul><li>{first}<li>{second}</ul>")),
        (
            "latexml.html",
            "<html><p><a href='#b2'>Turing and Gödel (1936)</a> follow (<a href='#b1'>Lovelace, 1843</a>).\
             <h2>References</h2><ul><li class=ltx_bibitem id=b1><span class=ltx_tag_bibitem>Lovelace (1843)</span>FIRST\
             <li class=ltx_bibitem id=b2><span class=ltx_tag_bibitem>Turing and Gödel (1936)</span>SECOND</ul>"
                .replace("FIRST", first)
                .replace("SECOND", second),
        ),
    ] {
        let (known, cited) = references(name, &text);
        assert_eq!(known, named, "{name}");
        assert_eq!(cited, [[1], [0]], "{name}");
    }
}

#[test]
fn cells_of_a_table_cite_too() {
    let (_, cited) = references(
        "a.tex",
        "\\documentclass{article}\\begin{document}As \\cite{a} says.\\begin{tabular}{cc}Ours & 1\\\\Theirs \\cite{b} & 2\\end{tabular}\
         \\begin{thebibliography}{9}\\bibitem{a} A. One. 2001.\\bibitem{b} B. Two. 2002.\\end{thebibliography}\\end{document}",
    );
    assert_eq!(cited, [[0], [1]]);
}
