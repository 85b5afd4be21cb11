//! What LaTeX stands for, and what hostile LaTeX may not do.

use super::project::Project;
use crate::document::{Document, Part};
use std::path::Path;

fn read(text: &str) -> Document {
    super::read(&Project::of_file(Path::new("/no/such/folder/main.tex"), text.as_bytes()))
}

/// The blocks of a body.
fn body(text: &str) -> Vec<String> {
    read(&format!("\\begin{{document}}{text}\\end{{document}}")).blocks.into_iter().map(|block| block.text).collect()
}

#[test]
fn accents_and_characters() {
    for (latex, expected) in [
        (
            "Erd\\H{o}s, G\\\"odel, Fr\\'echet, {\\L}ukasz, \\c{C}a\\u{g}lar, na\\\"{\\i}ve",
            "Erdős, Gödel, Fréchet, Łukasz, Çağlar, naïve",
        ),
        ("``quoted'' -- and --- it's 50\\% \\& \\#1~x", "“quoted” – and — it’s 50% & #1 x"),
        ("a\\_b \\$5 \\{x\\} \\textbackslash{} \\S3 \\ldots\\ end", "a_b $5 {x} \\ §3 … end"),
        ("so $x_1 % hidden\n + \\alpha$ and \\(y\\)", "so $x_1 + \\alpha$ and $y$"),
        ("\\textbf{bold} {\\em it} \\unknown{kept} \\verb|a_%b| x\\footnote{A note.}", "bold it kept a_%b x"),
    ] {
        assert_eq!(body(latex)[0], expected, "{latex}");
    }
}

#[test]
fn macros_expand_and_end() {
    let paper = "\\newcommand{\\us}[2][we]{#1 and #2}\\def\\pair#1/#2;{(#2,#1)}\\DeclareMathOperator{\\soft}{softmax}\
        \\newif\\ifdraft \\us{you} \\us[they]{you} \\pair a/b; $\\soft(x)$ \\ifdraft hidden\\else shown\\fi\\iffalse x\\fi";
    assert_eq!(body(paper), ["we and you they and you (b,a) $\\operatorname{softmax}(x)$ shown"]);
    for bomb in [
        "\\def\\a{\\a\\a}\\a x",
        "\\def\\a{\\b\\b\\b\\b\\b\\b\\b\\b}\\def\\b{\\c\\c\\c\\c\\c\\c\\c\\c}\\def\\c{\\d\\d\\d\\d\\d\\d\\d\\d}\\def\\d{\\e\\e\\e\\e\\e\\e\\e\\e}\
         \\def\\e{\\f\\f\\f\\f\\f\\f\\f\\f}\\def\\f{\\g\\g\\g\\g\\g\\g\\g\\g}\\def\\g{\\h\\h\\h\\h\\h\\h\\h\\h}\\def\\h{xxxxxxxx}\\a",
        "\\newcommand{\\a}[1]{\\a{#1#1}}\\a{x}",
        "\\let\\a\\b\\let\\b\\a\\a x",
        "\\newenvironment{e}{\\begin{e}}{\\end{e}}\\begin{e}x\\end{e}",
    ] {
        body(bomb);
    }
}

#[test]
fn hostile_files_are_read() {
    for piece in [
        "{",
        "\\textbf{",
        "\\footnote{",
        "\\begin{x}",
        "\\begin{itemize}\\item ",
        "\\begin{tabular}{c}",
        "$",
        "\\cite{",
        "\\if",
        "\\[",
    ] {
        body(&piece.repeat(800));
    }
}

#[test]
fn environments_open_no_deeper_than_anyone_writes() {
    let document = read(&format!("\\begin{{document}}{}x", "\\begin{theorem}".repeat(2_000)));
    assert_eq!(document.blocks.iter().filter(|block| block.text.starts_with("Theorem")).count(), 500);
    assert!(document.warnings.iter().any(|warning| warning.contains("nested")), "{:?}", document.warnings);
}

#[test]
fn files_cut_anywhere_are_read() {
    let paper = include_str!("../../../../tests/fixtures/sources/paper.tex");
    for at in (0..paper.len()).step_by(37).filter(|at| paper.is_char_boundary(*at)) {
        read(&paper[..at]);
        read(&paper[at..]);
    }
}

#[test]
fn parts_follow_from_the_structure() {
    let document = read(
        "\\documentclass{article}\\begin{document}\\section{One}x\\begin{thebibliography}{9}\\bibitem{a} A. B.\\end{thebibliography}\
         \\appendix\\section{More}y \\cite{a}\\end{document}",
    );
    let parts: Vec<_> = document.blocks.iter().map(|block| (block.part, block.text.as_str())).collect();
    let expected = [
        (Part::Body, "1 One"),
        (Part::Body, "x"),
        (Part::References, "References"),
        (Part::References, "[1] A. B."),
        (Part::Appendix, "A More"),
        (Part::Appendix, "y [1]"),
    ];
    assert_eq!(parts, expected);
    assert_eq!((document.citations[0].block, document.citations[0].start), (5, 2));
    assert_eq!(document.citations[0].references, [0]);
}
