//! What the user named, file, folder, glob or address, as a list of papers. One that cannot be had stays in the list
//! with its error, so that the others go on.

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
        Ok(sources) => sources.into_iter().map(named).collect(),
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

fn expand_one(word: &str) -> Result<Vec<Source>> {
    let path = Path::new(word);
    if path.is_dir() {
        return folder(path);
    }
    if path.exists() {
        return Ok(vec![Source::File(path.to_path_buf())]);
    }
    if is_paper_address(word) {
        return Ok(vec![Source::Address(word.to_string())]);
    }
    if let Some(paths) = word.contains(['*', '?', '[']).then(|| glob::glob(word).ok()).flatten() {
        return matches(word, paths);
    }
    // Tells a missing file from one in a folder that may not be entered.
    let problem = match path.metadata() {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => format!("cannot be read: {error}"),
        _ => "no such file".into(),
    };
    Err(Error::new(Kind::Input, word, problem))
}

/// The PDFs directly inside `dir`, by name.
fn folder(dir: &Path) -> Result<Vec<Source>> {
    let unreadable = |error| Error::new(Kind::Input, dir.display(), format!("cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf")) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::new(Kind::Input, dir.display(), "the folder holds no PDF")
            .hint(format!("for folders inside it write '{}'", dir.join("**/*.pdf").display())));
    }
    files.sort();
    Ok(files.into_iter().map(Source::File).collect())
}

fn matches(pattern: &str, paths: glob::Paths) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    for entry in paths {
        let path = entry.map_err(|error| {
            Error::new(Kind::Input, error.path().display(), format!("cannot be read: {}", error.error()))
        })?;
        if path.is_file() {
            files.push(Source::File(path));
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
