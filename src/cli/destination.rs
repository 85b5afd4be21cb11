//! Where results go: stdout, one file, or a folder with a file for each paper.

use super::args::Format;
use super::context::usage;
use super::output::{self, Reader};
use crate::report::{self, Form, Summary};
use crate::{Error, Kind, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

enum Place {
    Stdout,
    File(PathBuf),
    Folder(PathBuf),
}

pub struct Destination {
    place: Place,
    form: Form,
    /// Several papers share stdout.
    several: bool,
    /// Names used in this run, in lower case: some file systems do not tell cases apart.
    taken: HashSet<String>,
    written: usize,
}

impl Destination {
    /// Decides, and makes the folder, before any work.
    pub fn new(out: Option<&Path>, format: Option<Format>, several: bool) -> Result<Destination> {
        let place = match out {
            None => Place::Stdout,
            Some(path) if several || path.is_dir() || names_a_folder(path) => Place::Folder(make_folder(path)?),
            Some(path) => Place::File(check_parent(path)?),
        };
        let form = match (format, &place) {
            (Some(format), _) => form_of(format),
            (None, Place::File(path)) => form_of_name(path),
            (None, _) => Form::Markdown,
        };
        if several && form == Form::Html && matches!(place, Place::Stdout) {
            return Err(usage("--format html", "several HTML pages cannot share stdout", "add --out FOLDER"));
        }
        Ok(Destination { place, form, several, taken: HashSet::new(), written: 0 })
    }

    /// Refuses to write over one of the papers themselves.
    pub fn spare<'p>(&self, mut papers: impl Iterator<Item = &'p Path>) -> Result<()> {
        match &self.place {
            Place::File(out) => papers.try_for_each(|paper| spare(out, paper)),
            _ => Ok(()),
        }
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Writes the result of the PDF at `paper`, whole or not at all, and says where it went.
    pub fn write(&mut self, paper: &Path, summary: &Summary) -> Result<(String, Reader)> {
        let text = summary.render(self.form)?;
        let done = match &self.place {
            Place::Stdout => ("stdout".into(), output::print(&self.joined(&text))?),
            Place::File(path) => save(path, &text)?,
            Place::Folder(folder) => {
                let stem = paper.file_stem().unwrap_or_default().to_string_lossy();
                let path = folder.join(free_name(&mut self.taken, &stem, self.form.extension()));
                save(&path, &text)?
            }
        };
        self.written += 1;
        Ok(done)
    }

    /// `text` with what stands between it and the result before it.
    fn joined(&self, text: &str) -> String {
        let first = self.written == 0;
        match self.form {
            _ if !self.several => text.into(),
            Form::Json if first => format!("[\n{}", text.trim_end()),
            Form::Json => format!(",\n{}", text.trim_end()),
            _ if first => text.into(),
            Form::Text => format!("\n{}\n\n{text}", "=".repeat(80)),
            Form::Markdown | Form::Html => format!("\n---\n\n{text}"),
        }
    }

    /// Ends a JSON array. To be called also where work stops early, so that what was finished can be read.
    pub fn close(&self) -> Result<()> {
        match self.place {
            Place::Stdout => output::finish(self.ending()),
            _ => Ok(()),
        }
    }

    fn ending(&self) -> &'static str {
        match (self.form, self.several, self.written) {
            (Form::Json, true, 0) => "[]\n",
            (Form::Json, true, _) => "\n]\n",
            _ => "",
        }
    }
}

fn save(path: &Path, text: &str) -> Result<(String, Reader)> {
    report::write(path, text.as_bytes())?;
    Ok((path.display().to_string(), Reader::Here))
}

/// Refuses to write `out` over `paper`.
pub fn spare(out: &Path, paper: &Path) -> Result<()> {
    match (out.canonicalize(), paper.canonicalize()) {
        (Ok(out_there), Ok(paper)) if out_there == paper => {
            let name = format!("--out {}", out.display());
            Err(usage(&name, "would write over the paper itself", "name another file"))
        }
        _ => Ok(()),
    }
}

fn form_of(format: Format) -> Form {
    match format {
        Format::Md => Form::Markdown,
        Format::Json => Form::Json,
        Format::Html => Form::Html,
        Format::Text => Form::Text,
    }
}

fn form_of_name(path: &Path) -> Form {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "json" => Form::Json,
        "html" | "htm" => Form::Html,
        "txt" => Form::Text,
        _ => Form::Markdown,
    }
}

fn names_a_folder(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}

fn make_folder(path: &Path) -> Result<PathBuf> {
    if path.exists() && !path.is_dir() {
        let name = format!("--out {}", path.display());
        return Err(usage(&name, "is no folder, and several papers need one", "name a folder"));
    }
    std::fs::create_dir_all(path)
        .map_err(|error| Error::new(Kind::Output, path.display(), format!("cannot make this folder: {error}")))?;
    Ok(path.to_path_buf())
}

/// `path`, if the folder it is to stand in exists.
pub fn check_parent(path: &Path) -> Result<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.is_dir() {
        return Ok(path.to_path_buf());
    }
    Err(Error::new(Kind::Output, path.display(), format!("no folder {}", parent.display())))
}

/// `stem.extension`, or with the first number after it that nobody in this run has taken.
fn free_name(taken: &mut HashSet<String>, stem: &str, extension: &str) -> String {
    let mut name = format!("{stem}.{extension}");
    let mut number = 2;
    while !taken.insert(name.to_lowercase()) {
        name = format!("{stem}-{number}.{extension}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_paper_of_a_run_takes_anothers_name() {
        let mut taken = HashSet::new();
        let names: Vec<_> = ["a", "A", "b", "a-2", "a"].iter().map(|stem| free_name(&mut taken, stem, "md")).collect();
        assert_eq!(names, ["a.md", "A-2.md", "b.md", "a-2-2.md", "a-3.md"]);
    }

    #[test]
    fn the_place_and_the_form_follow_what_was_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = |name: &str| dir.path().join(name);
        let file = Destination::new(Some(&out("x.html")), None, false).expect("a file");
        assert!(matches!(file.place, Place::File(_)) && file.form == Form::Html);
        let folder = Destination::new(Some(dir.path()), Some(Format::Json), false).expect("a folder");
        assert!(matches!(folder.place, Place::Folder(_)) && folder.form == Form::Json);
        assert!(matches!(Destination::new(Some(&out("new")), None, true).expect("made").place, Place::Folder(_)));
        assert!(out("new").is_dir());
        let error = Destination::new(Some(&out("none/x.md")), None, false).err().expect("no such folder");
        assert_eq!(error.kind, Kind::Output);
        let error = Destination::new(None, Some(Format::Html), true).err().expect("not on stdout");
        assert_eq!(error.kind, Kind::Usage);
        std::fs::write(out("f"), "").expect("written");
        assert_eq!(Destination::new(Some(&out("f")), None, true).err().expect("a file").kind, Kind::Usage);
    }

    #[test]
    fn several_results_share_stdout_in_one_readable_form() {
        let joined = |format, texts: &[&str]| {
            let mut destination = Destination::new(None, Some(format), true).expect("stdout");
            let mut all = String::new();
            for text in texts {
                all += &destination.joined(text);
                destination.written += 1;
            }
            all + destination.ending()
        };
        for texts in [&[][..], &["{}\n"], &["{}\n", "{\"a\": 1}\n", "{}\n"]] {
            let all: Vec<serde_json::Value> = serde_json::from_str(&joined(Format::Json, texts)).expect("an array");
            assert_eq!(all.len(), texts.len());
        }
        assert_eq!(joined(Format::Md, &["# a\n", "# b\n"]), "# a\n\n---\n\n# b\n");
    }

    #[test]
    fn a_paper_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let paper = dir.path().join("x.pdf");
        std::fs::write(&paper, "%PDF-").expect("written");
        let destination = Destination::new(Some(&paper), None, false).expect("a file");
        assert!(destination.spare([paper.as_path()].into_iter()).is_err());
        assert!(destination.spare([dir.path()].into_iter()).is_ok());
    }
}
