//! The files of one paper in LaTeX: a folder, one file among others, or what an archive holds.

use crate::document::pattern;
use crate::document::sources::archive::{self, Members, inner_name};
use crate::document::sources::encoding;
use crate::{Error, Kind, Result};
use regex::Regex;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The most that is read of a folder, in bytes.
const MOST_READ: u64 = archive::MOST_TEXT as u64;
/// The most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 5_000;

pub struct Project {
    place: Place,
    /// The root file's path in its place, with `/` between its parts.
    root: String,
    /// What is left of [`MOST_READ`].
    left: Cell<u64>,
}

enum Place {
    /// With no links left in its path.
    Folder(PathBuf),
    Members(Members),
}

impl Project {
    /// The paper whose sources lie directly in `folder`.
    pub fn in_folder(folder: &Path) -> Result<Project> {
        let place = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
        let names = entries(folder)?.into_iter().filter(|name| name.to_lowercase().ends_with(".tex"));
        let project = Project { place: Place::Folder(place), root: String::new(), left: Cell::new(MOST_READ) };
        let texts = names.filter_map(|name| Some((name.clone(), project.text(&name)?))).collect();
        let root = root_of(texts).ok_or_else(|| {
            Error::new(Kind::Input, folder.display(), "the folder holds no LaTeX file with \\documentclass")
                .hint("name the file to read")
        })?;
        Ok(Project { root, left: Cell::new(MOST_READ), ..project })
    }

    /// The paper whose root is `file`; what it includes is looked for beside it.
    pub fn of_file(file: &Path, bytes: &[u8]) -> Project {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let place = match folder.canonicalize() {
            Ok(folder) => Place::Folder(folder),
            Err(_) => Place::Members(Members::from([(name.clone(), bytes.to_vec())])),
        };
        Project { place, root: name, left: Cell::new(MOST_READ) }
    }

    pub fn in_archive(file: &Path, bytes: &[u8]) -> Result<Project> {
        let members = archive::members(file, bytes)?;
        let is_tex = |name: &str| name.to_lowercase().ends_with(".tex") || name.to_lowercase().ends_with(".ltx");
        let texts: Vec<_> = members
            .iter()
            .filter(|(name, _)| is_tex(name))
            .map(|(name, bytes)| (name.clone(), encoding::decode(bytes).0))
            .collect();
        let only = (texts.len() == 1).then(|| texts[0].0.clone());
        let root = root_of(texts).or(only).ok_or_else(|| {
            Error::new(Kind::Input, file.display(), "the archive holds no LaTeX file with \\documentclass")
                .hint("give the paper's PDF instead")
        })?;
        Ok(Project { place: Place::Members(members), root, left: Cell::new(MOST_READ) })
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    /// The text of the file `name`, relative to the root file's folder; none where there is no such file inside.
    pub fn text(&self, name: &str) -> Option<String> {
        let bytes = match &self.place {
            Place::Folder(folder) => self.read(folder, name)?,
            Place::Members(members) => members.get(&self.inner(name)?)?.clone(),
        };
        encoding::is_text(&bytes).then(|| encoding::decode(&bytes).0)
    }

    fn inner(&self, name: &str) -> Option<String> {
        let folder = self.root.rsplit_once('/').map_or("", |(folder, _)| folder);
        inner_name(&Path::new(folder).join(name))
    }

    /// A file below `folder`: neither dots nor links lead out of it.
    fn read(&self, folder: &Path, name: &str) -> Option<Vec<u8>> {
        let path = folder.join(inner_name(Path::new(name))?).canonicalize().ok()?;
        let size = path.metadata().ok().filter(|metadata| metadata.is_file())?.len();
        let left = self.left.get().checked_sub(size).filter(|_| path.starts_with(folder))?;
        self.left.set(left);
        std::fs::read(path).ok()
    }

    /// The bibliography that BibTeX or Biber made: named like the root file, or the only one.
    pub fn bbl(&self) -> Option<String> {
        let own = self.root.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(stem, _)| stem);
        let named = own.and_then(|stem| self.text(&format!("{stem}.bbl")));
        named.or_else(|| {
            let mut all = match &self.place {
                Place::Folder(folder) => entries(folder).ok()?,
                Place::Members(members) => members.keys().cloned().collect(),
            };
            all.retain(|name| name.ends_with(".bbl"));
            match (&self.place, all.as_slice()) {
                (Place::Folder(_), [only]) => self.text(only),
                (Place::Members(members), [only]) => members.get(only).map(|bytes| encoding::decode(bytes).0),
                _ => None,
            }
        })
    }

    /// Whether each PDF of `folder` is the paper itself or named in its sources, as figures are.
    pub fn owns_pdfs_of(&self, folder: &Path) -> bool {
        let Ok(names) = entries(folder) else { return false };
        let (pdfs, sources): (Vec<_>, Vec<_>) = names
            .into_iter()
            .filter(|name| name.to_lowercase().ends_with(".pdf") || name.ends_with(".tex"))
            .partition(|name| name.to_lowercase().ends_with(".pdf"));
        if pdfs.is_empty() {
            return true;
        }
        let sources: Vec<String> = sources.iter().filter_map(|name| self.text(name)).collect();
        let own = self.root.rsplit_once('.').map_or(self.root.as_str(), |(stem, _)| stem);
        pdfs.iter().all(|pdf| {
            let stem = &pdf[..pdf.len() - ".pdf".len()];
            stem == own || sources.iter().any(|source| source.contains(stem))
        })
    }
}

/// Names of the files directly in `folder`, in order.
fn entries(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let files = entries.take(MOST_ENTRIES).flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn unreadable(folder: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Input, folder.display(), format!("cannot be read: {error}")).hint("check that you may enter it")
}

/// The file that starts a document; of several the one with most claims to be the paper.
fn root_of(texts: Vec<(String, String)>) -> Option<String> {
    static CLASS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^[^%\n]*\\document(class|style)\b"));
    static SUBFILE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?m)^[^%\n]*\\documentclass\s*(\[[^\]]*\])?\s*\{(subfiles|standalone)\}"));
    let has = |text: &str, word: &str| text.contains(word);
    let score = |name: &str, text: &str| {
        let stem = name.rsplit('/').next().unwrap_or(name).to_lowercase();
        let claims = [
            has(text, "\\begin{document}"),
            has(text, "\\bibliography") || has(text, "\\begin{thebibliography}") || has(text, "\\printbibliography"),
            has(text, "\\begin{abstract}") || has(text, "\\abstract") || has(text, "abstract}"),
            has(text, "\\title"),
            ["main.tex", "paper.tex", "ms.tex", "article.tex", "root.tex"].contains(&stem.as_str()),
            !["supp", "appendix", "response", "template", "rebuttal", "cover"].iter().any(|word| stem.contains(word)),
        ];
        // The file with the longest text of those with equal claims.
        (claims.iter().filter(|claim| **claim).count(), text.len())
    };
    let roots = texts.iter().filter(|(_, text)| CLASS.is_match(text) && !SUBFILE.is_match(text));
    roots.max_by_key(|(name, text)| score(name, text)).map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    const PAPER: &str = "\\documentclass{article}\\begin{document}\\title{T}\\includegraphics{fig1}\\end{document}";

    #[test]
    fn the_root_is_the_file_with_most_claims() {
        let files = [
            ("a_part.tex", "text"),
            ("old.tex", "%\\documentclass{article}\n"),
            ("paper.tex", PAPER),
            ("sub.tex", "\\documentclass[paper]{subfiles}\\begin{document}\\title\\abstract\\bibliography"),
            ("supplement.tex", "\\documentclass{article}\\begin{document}"),
        ];
        let folder = folder(&files);
        assert_eq!(Project::in_folder(folder.path()).expect("a paper").root(), "paper.tex");
        let parts = self::folder(&files[..2]);
        assert_eq!(Project::in_folder(parts.path()).err().expect("no root").kind, Kind::Input);
    }

    #[test]
    fn a_folder_is_a_paper_unless_it_holds_other_pdfs() {
        let own = folder(&[("paper.tex", PAPER), ("paper.pdf", ""), ("fig1.pdf", "")]);
        let others = folder(&[("notes.tex", PAPER), ("fig1.pdf", ""), ("vaswani2017.pdf", "")]);
        let is_paper = |folder: &Path| Project::in_folder(folder).expect("a root").owns_pdfs_of(folder);
        assert!(is_paper(own.path()) && !is_paper(others.path()));
    }

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let outer = folder(&[("secret.tex", "secret"), ("paper/main.tex", PAPER), ("paper/sec/a.tex", "a")]);
        let project = Project::in_folder(&outer.path().join("paper")).expect("a paper");
        assert_eq!(project.text("sec/../sec/a.tex").as_deref(), Some("a"));
        let secret = outer.path().join("secret.tex").display().to_string();
        for name in ["../secret.tex", "sec/../../secret.tex", secret.as_str(), "sec"] {
            assert_eq!(project.text(name), None, "{name}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&secret, outer.path().join("paper/link.tex")).expect("a link");
            assert_eq!(project.text("link.tex"), None);
        }
    }
}
