//! What the user named, file, folder, glob or address, as a list of papers. One that cannot be had stays in the list
//! with its error, so that the others go on.

use crate::document::Document;
use crate::hub::is_paper_address;
use crate::{Error, Kind, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where a paper comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// An arXiv id or an address, as [`is_paper_address`] takes them.
    Address(String),
}

/// One paper, or what became of the word that was to name one.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// As the user knows it.
    pub name: String,
    pub source: Result<Source>,
}

/// All papers that `words` name, in their order, each once.
pub fn expand(words: &[String]) -> Vec<Input> {
    let mut seen = HashSet::new();
    let all = words.iter().flat_map(|word| match expand_one(word) {
        Ok(inputs) => inputs,
        Err(error) => vec![Input { name: word.clone(), source: Err(error) }],
    });
    all.filter(|input| match &input.source {
        Ok(Source::File(path)) => seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())),
        Ok(Source::Address(address)) => seen.insert(PathBuf::from(address)),
        Err(_) => true,
    })
    .collect()
}

/// The one paper that `word` names.
pub fn expand_one_paper(word: &str) -> Result<Input> {
    let mut inputs = expand(&[word.to_string()]);
    match inputs.pop() {
        Some(input) if inputs.is_empty() => Ok(input),
        _ => Err(Error::new(Kind::Usage, word, "names several papers, and this command takes one")),
    }
}

fn named(source: Source) -> Input {
    let name = match &source {
        Source::File(path) => path.display().to_string(),
        Source::Address(address) => address.clone(),
    };
    Input { name, source: Ok(source) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Input {
    let name = path.display().to_string();
    let source = Err(Error::new(Kind::Input, &name, format!("cannot be read: {error}")));
    Input { name, source }
}

/// Addresses at arXiv as people copy them, with `http` or without any scheme.
fn arxiv_address(word: &str) -> Option<String> {
    let rest = word.strip_prefix("http://").unwrap_or(word);
    let host = rest.split('/').next()?;
    let address = format!("https://{rest}");
    let known = ["arxiv.org", "www.arxiv.org", "export.arxiv.org"].contains(&host);
    (known && is_paper_address(&address)).then_some(address)
}

fn expand_one(word: &str) -> Result<Vec<Input>> {
    let path = Path::new(word);
    if path.is_dir() && Document::is_folder(path) {
        // With a name of its own, which `.` has not: results are named after it.
        let named_path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        return Ok(vec![Input { name: word.to_string(), source: Ok(Source::File(named_path)) }]);
    }
    if path.is_dir() {
        return folder(path);
    }
    if path.exists() {
        return Ok(vec![named(Source::File(path.to_path_buf()))]);
    }
    if is_paper_address(word) {
        return Ok(vec![named(Source::Address(word.to_string()))]);
    }
    if let Some(address) = arxiv_address(word) {
        return Ok(vec![named(Source::Address(address))]);
    }
    if let Some(paths) = word.contains(['*', '?', '[']).then(|| glob::glob(word).ok()).flatten() {
        return matches(word, paths);
    }
    // Tells a missing file from one in a folder that may not be entered.
    let problem = match path.metadata() {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => format!("cannot be read: {error}"),
        _ => "no such file".into(),
    };
    let hint = match word.starts_with("http://") {
        true => "papers are fetched from https addresses only",
        false => {
            "give a PDF, a LaTeX, HTML, Markdown or text file, a folder of PDFs or of one paper's LaTeX, a glob in quotes, \
             an arXiv id (arxiv:1706.03762) or an https address"
        }
    };
    Err(Error::new(Kind::Input, word, problem).hint(hint))
}

/// The PDFs directly inside `dir`, by name, then what could not be read of it.
fn folder(dir: &Path) -> Result<Vec<Input>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return Ok(vec![unreadable(dir, &error)]),
    };
    let (mut files, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                failed.push(unreadable(dir, &error));
                continue;
            }
        };
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf")) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() && failed.is_empty() {
        return Err(Error::new(Kind::Input, dir.display(), "the folder holds no PDF and no LaTeX paper").hint(
            format!(
                "for folders inside it write '{}', for other files name them or write '{}'",
                dir.join("**/*.pdf").display(),
                dir.join("*.md").display()
            ),
        ));
    }
    files.sort();
    Ok(files.into_iter().map(|path| named(Source::File(path))).chain(failed).collect())
}

fn matches(pattern: &str, paths: glob::Paths) -> Result<Vec<Input>> {
    let mut files = Vec::new();
    for entry in paths {
        match entry {
            Ok(path) if path.is_file() => files.push(named(Source::File(path))),
            Ok(_) => {}
            Err(error) => files.push(unreadable(error.path(), error.error())),
        }
    }
    if files.is_empty() {
        return Err(Error::new(Kind::Input, pattern, "no file matches"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[test]
    fn folders_and_globs_give_each_pdf_once() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["b.pdf", "a.PDF", "c.txt"] {
            std::fs::write(dir.path().join(name), "%PDF-1.7").expect("written");
        }
        let folder = dir.path().display().to_string();
        let found = expand(&words(&[&folder, &format!("{folder}/*.pdf")]));
        let names: Vec<_> = found.iter().map(|input| input.name.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(names, ["a.PDF", "b.pdf"]);
        assert!(found.iter().all(|input| input.source.is_ok()));
    }

    #[test]
    fn a_folder_of_latex_is_one_paper_and_its_figures_are_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let tex = "\\documentclass{article}\\begin{document}\\includegraphics{figure}\\end{document}";
        for (name, text) in [("main.tex", tex), ("main.pdf", "%PDF-1.7"), ("figure.pdf", "%PDF-1.7")] {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        let folder = dir.path().display().to_string();
        let found = expand(&words(&[&folder]));
        assert_eq!((found.len(), found[0].name.as_str()), (1, folder.as_str()));
        std::fs::write(dir.path().join("other.pdf"), "%PDF-1.7").expect("written");
        assert_eq!(expand(&words(&[&folder])).len(), 3, "a folder of PDFs, in which somebody writes");
        let paper = format!("{folder}/main.tex");
        assert_eq!(expand(&words(&[&paper]))[0].name, paper);
    }

    #[test]
    fn arxiv_addresses_are_known_however_they_are_copied() {
        for word in
            ["arxiv.org/abs/1706.03762v7", "http://arxiv.org/abs/1706.03762v7", "www.arxiv.org/pdf/1706.03762v7"]
        {
            let found = expand(&words(&[word]));
            assert!(
                matches!(&found[0].source, Ok(Source::Address(address)) if address.starts_with("https://")),
                "{word}"
            );
        }
        let found = expand(&words(&["http://example.org/a.pdf"]));
        assert!(found[0].source.as_ref().expect_err("http").hint.as_ref().expect("a hint").contains("https"));
    }

    #[cfg(unix)]
    #[test]
    fn one_unreadable_folder_does_not_lose_the_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a", "b"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
            std::fs::write(dir.path().join(name).join("x.pdf"), "%PDF-1.7").expect("written");
        }
        let locked = dir.path().join("a");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("permissions");
        if std::fs::read_dir(&locked).is_ok() {
            eprintln!("skipped: root may read everything");
            return;
        }
        let found = expand(&words(&[&format!("{}/*/*.pdf", dir.path().display())]));
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        assert_eq!(found.iter().filter(|input| input.source.is_ok()).count(), 1);
        assert_eq!(found.iter().filter(|input| input.source.is_err()).count(), 1);
    }

    #[test]
    fn what_cannot_be_had_stays_in_the_list() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().display().to_string();
        let found = expand(&words(&["none.pdf", &folder, "no*thing", "arxiv:1706.03762v7"]));
        assert_eq!(found.len(), 4);
        for input in &found[..3] {
            let error = input.source.as_ref().expect_err(&input.name);
            assert_eq!(error.kind, Kind::Input, "{error}");
            assert_eq!(error.subject, input.name);
        }
        assert_eq!(found[3].source, Ok(Source::Address("arxiv:1706.03762v7".into())));
    }
}
