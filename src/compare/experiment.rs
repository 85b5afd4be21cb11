//! An experiment as a file: the same papers, models, questions and trials for everybody who runs it.

use crate::generator::Sampling;
use crate::generator::remote::Server;
use crate::template::Ask;
use crate::{Error, Kind, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The keys of an experiment's TOML; what the command line says wins over it. Paths are relative to the working folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct File {
    /// Files, folders, globs, arXiv ids or addresses.
    pub papers: Vec<String>,
    /// Names of local models, `vendor:model`, or `name` of a `[[model]]`.
    pub models: Vec<String>,
    /// Servers that take more than a word to describe.
    pub model: Vec<Server>,
    pub template: Option<String>,
    pub lang: Option<String>,
    pub ask: Option<Ask>,
    pub trials: Option<u32>,
    pub max_tokens: Option<usize>,
    pub no_references: Option<bool>,
    pub no_appendix: Option<bool>,
    pub no_appendix_tables: Option<bool>,
    pub out: Option<PathBuf>,
    /// What the template's own sampling is changed to.
    sampling: toml::Table,
}

/// A model to ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// As `--model` of `summarize` takes it.
    Local(String),
    Server(Box<Server>),
}

impl Named {
    pub fn id(&self) -> &str {
        match self {
            Named::Local(id) => id,
            Named::Server(server) => &server.name,
        }
    }
}

impl File {
    /// Errors: `Input` if it cannot be read, `Usage` naming what is wrong in it.
    pub fn read(path: &Path) -> Result<File> {
        let unreadable = |error| Error::new(Kind::Input, path.display(), format!("cannot be read: {error}"));
        File::parse(&path.display().to_string(), &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    fn parse(origin: &str, text: &str) -> Result<File> {
        let file: File = toml::from_str(text).map_err(|error| {
            Error::new(Kind::Usage, origin, error.to_string().trim().replace('\n', ", "))
                .hint("docs/compare/experiment.toml shows the form")
        })?;
        file.model.iter().try_for_each(Server::check)?;
        Ok(file)
    }

    /// The models that `words` name, or all of the file where there are none. Errors: `Usage` where two have one name.
    pub fn models(&self, words: &[String]) -> Result<Vec<Named>> {
        let mut named: Vec<Named> = match words {
            [] => self.models.iter().map(|word| self.named(word)).collect::<Result<_>>()?,
            words => words.iter().map(|word| self.named(word)).collect::<Result<_>>()?,
        };
        if words.is_empty() {
            let more = self.model.iter().filter(|server| !self.models.contains(&server.name));
            named.extend(more.map(|server| Named::Server(Box::new(server.clone()))));
        }
        for (index, model) in named.iter().enumerate() {
            if named[..index].iter().any(|other| other.id() == model.id()) {
                return Err(
                    Error::new(Kind::Usage, model.id(), "is named twice").hint("each model has a name of its own")
                );
            }
        }
        Ok(named)
    }

    fn named(&self, word: &str) -> Result<Named> {
        let server = self.model.iter().find(|server| server.name == word).cloned().or_else(|| Server::named(word));
        match server {
            Some(server) => server.check().map(|()| Named::Server(Box::new(server))),
            None => Ok(Named::Local(word.to_string())),
        }
    }

    /// `sampling` as the file changes it. Errors: `Usage` naming an unknown key.
    pub fn sampling(&self, sampling: &Sampling) -> Result<Sampling> {
        let wrong = |error: String| Error::new(Kind::Usage, "[sampling]", error.trim().replace('\n', ", "));
        let mut table = toml::Table::try_from(sampling).map_err(|error| wrong(error.to_string()))?;
        table.extend(self.sampling.clone());
        table.try_into().map_err(|error: toml::de::Error| wrong(error.to_string()))
    }
}

/// A paper's name in a comparison: its file's without what kind of file it is.
pub fn paper_key(file: &str) -> String {
    const KINDS: [&str; 9] = [".pdf", ".tar.gz", ".tex", ".tar", ".gz", ".html", ".htm", ".md", ".txt"];
    let lower = file.to_ascii_lowercase();
    let kind = KINDS.iter().find(|kind| lower.ends_with(**kind) && lower.len() > kind.len());
    file[..file.len() - kind.map_or(0, |kind| kind.len())].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        papers = ["papers/*.pdf"]
        models = ["smollm2-135m-q4_1", "openai:gpt-4o"]
        ask = "each"
        trials = 5

        [sampling]
        temperature = 0.2

        [[model]]
        name = "cluster"
        vendor = "openai"
        model = "Qwen/Qwen2.5-7B-Instruct"
        base-url = "http://node1:8000/v1"
        requests-per-minute = 120
    "#;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[test]
    fn models_are_local_named_in_a_word_or_described() {
        let file = File::parse("e.toml", FILE).unwrap();
        let ids = |words: &[String]| file.models(words).unwrap().iter().map(|m| m.id().to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&[]), ["smollm2-135m-q4_1", "openai:gpt-4o", "cluster"]);
        assert_eq!(ids(&words(&["cluster"])), ["cluster"]);
        let models = file.models(&[]).unwrap();
        assert!(matches!(&models[0], Named::Local(_)));
        assert!(matches!(&models[2], Named::Server(server) if server.requests_per_minute == 120));
        assert_eq!(file.models(&words(&["a", "a"])).unwrap_err().kind, Kind::Usage);
        assert!(file.models(&words(&["openai:"])).unwrap_err().problem.contains("no model"));
    }

    #[test]
    fn the_documented_file_is_understood() {
        let file = File::parse("e.toml", include_str!("../../docs/compare/experiment.toml")).unwrap();
        let models = file.models(&[]).unwrap();
        assert_eq!(models.len(), 3);
        assert!(matches!(&models[2], Named::Server(server) if server.concurrency == 8));
    }

    #[test]
    fn sampling_changes_what_it_names() {
        let file = File::parse("e.toml", FILE).unwrap();
        let sampling = file.sampling(&Sampling::default()).unwrap();
        assert_eq!((sampling.temperature, sampling.top_k), (0.2, Sampling::default().top_k));
        let file = File::parse("e.toml", "[sampling]\nheat = 1").unwrap();
        assert!(file.sampling(&Sampling::default()).unwrap_err().problem.contains("heat"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("colour = 1", "unknown field `colour`"),
            ("[[model]]\nname = \"a\"\nvendor = \"aol\"\nmodel = \"b\"", "aol"),
            ("[[model]]\nname = \"a\"\nvendor = \"openai\"\nmodel = \"b\"\nbase-url = \"x\"", "neither http"),
        ] {
            let error = File::parse("e.toml", text).unwrap_err();
            assert!(error.kind == Kind::Usage && error.problem.contains(part), "{error}");
        }
    }

    #[test]
    fn papers_are_named_by_their_files() {
        for (file, key) in
            [("1706.03762v7.pdf", "1706.03762v7"), ("1706.03762", "1706.03762"), ("a.tar.gz", "a"), (".md", ".md")]
        {
            assert_eq!(paper_key(file), key);
        }
    }
}
