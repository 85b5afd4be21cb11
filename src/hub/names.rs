//! What a model's name means: a card's id, a repository, a GGUF file, a folder of safetensors.

use super::{Hub, LocalModel, Weights, card::is_relative_path, card::is_repository, receipt::Receipts};
use crate::{Error, Kind, Result};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Of a repository with several GGUF files, the first of these is taken.
const QUANTISATIONS: [&str; 6] = ["q4_k_m", "q5_k_m", "q4_k_s", "q8_0", "q4_0", "q4_1"];

/// Small files that belong to a safetensors checkpoint.
const COMPANIONS: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json", INDEX];

/// Without these there is no safetensors checkpoint; the weights may be in shards instead.
pub(super) const REQUIRED: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

const INDEX: &str = "model.safetensors.index.json";

/// A model's name as the user wrote it, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Auto,
    Card(String),
    Repository { repository: String, file: Option<String> },
    Gguf(PathBuf),
    Folder(PathBuf),
}

impl Hub {
    /// # Errors
    /// `Usage` for a name that is nothing of these, with the ids that come closest.
    pub(super) fn understand(&self, name: &str) -> Result<Name> {
        if name == "auto" {
            return Ok(Name::Auto);
        }
        if let Some(card) = self.cards.iter().find(|card| card.id.eq_ignore_ascii_case(name)) {
            return Ok(Name::Card(card.id.clone()));
        }
        let path = Path::new(name);
        if path.is_dir() {
            return Ok(Name::Folder(path.into()));
        }
        if path.is_file() {
            return Ok(Name::Gguf(path.into()));
        }
        let looks_like_path = name.starts_with(['.', '/', '~', '\\']) || Path::new(name).is_absolute();
        let (repository, file) = match name.split_once(':') {
            Some((repository, file)) => (repository, Some(file)),
            None => (name, None),
        };
        let file_fits = file.is_none_or(|file| file.ends_with(".gguf") && is_relative_path(file));
        if !looks_like_path && !repository.ends_with(".gguf") && is_repository(repository) && file_fits {
            return Ok(Name::Repository { repository: repository.into(), file: file.map(String::from) });
        }
        if looks_like_path || name.ends_with(".gguf") {
            return Err(Error::new(Kind::Input, name, "no such model file or folder").hint(
                "--model takes a GGUF file, a folder of safetensors, owner/name, or an id of `ronbun models list`",
            ));
        }
        Err(self.no_such_model(name))
    }

    /// Whether `name` can be a model, told before any work; nothing is fetched or loaded.
    ///
    /// # Errors
    /// As those of [`Hub::model`] that come from the name alone.
    pub fn check_name(&self, name: &str) -> Result<()> {
        match self.understand(name)? {
            Name::Gguf(path) if path.extension().is_some_and(|extension| extension == "safetensors") => {
                Err(Error::new(Kind::Usage, name, "is one file of a safetensors model").hint("name its folder"))
            }
            Name::Gguf(path) => check_magic(&path),
            _ => Ok(()),
        }
    }

    pub(super) fn no_such_model(&self, name: &str) -> Error {
        let ids: Vec<&str> = self.cards.iter().map(|card| card.id.as_str()).collect();
        let close = closest(name, &ids);
        let hint = match close.is_empty() {
            true => {
                "`ronbun models list` shows them; a hub repository (owner/name), a GGUF file or a folder will do too"
                    .into()
            }
            false => format!("did you mean {}?", close.join(" or ")),
        };
        Error::new(Kind::Usage, name, "is no model that ronbun knows").hint(hint)
    }

    /// A GGUF file of the user's own.
    pub(super) fn gguf(&self, path: &Path) -> Result<LocalModel> {
        check_magic(path)?;
        let file = hashed(path, &self.receipts())?;
        let card = file.2.as_deref().and_then(|hash| self.cards.iter().find(|card| card.has_hash(hash)));
        let mut model = local(&path.display().to_string(), Weights::Gguf(path.into()), None, vec![file]);
        if let Some(card) = card {
            self.tell(&mut model, card)?;
        }
        Ok(model)
    }

    /// A folder of safetensors of the user's own.
    pub(super) fn folder(&self, folder: &Path) -> Result<LocalModel> {
        let mut model = checkpoint(&folder.display().to_string(), folder)?;
        if let Weights::Safetensors { files, .. } = &model.weights {
            model.files = files.iter().map(|path| hashed(path, &self.receipts())).collect::<Result<_>>()?;
        }
        Ok(model)
    }
}

fn local(
    id: &str,
    weights: Weights,
    tokenizer: Option<PathBuf>,
    files: Vec<(String, u64, Option<String>)>,
) -> LocalModel {
    let (extension, rope_factors) = (None, None);
    let (id, chat_template_override, parameters) = (id.into(), None, None);
    LocalModel { id, weights, tokenizer, chat_template_override, parameters, extension, rope_factors, files }
}

fn hashed(path: &Path, receipts: &Receipts) -> Result<(String, u64, Option<String>)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    receipts.hash(path).map(|(bytes, sha256)| (name, bytes, Some(sha256)))
}

/// # Errors
/// `Model` unless the file begins like a GGUF file; what is inside is the loader's matter.
pub(super) fn check_magic(path: &Path) -> Result<()> {
    let unreadable =
        |error: std::io::Error| Error::new(Kind::Model, path.display(), format!("cannot be read: {error}"));
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(unreadable)?;
    match start.as_slice() {
        b"GGUF" => Ok(()),
        [] => Err(Error::new(Kind::Model, path.display(), "is empty")),
        other => {
            let found = String::from_utf8_lossy(other).escape_default().to_string();
            Err(Error::new(Kind::Model, path.display(), format!("is no GGUF file: it begins with \"{found}\"")))
        }
    }
}

/// The model in a folder that holds one GGUF file, or `config.json` and safetensors (whole, or in the shards that
/// `model.safetensors.index.json` names). Hashes are not computed.
///
/// # Errors
/// `Model`: something that belongs to it is missing, named.
pub(super) fn checkpoint(id: &str, folder: &Path) -> Result<LocalModel> {
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let mut ggufs = with_extension(folder, "gguf");
    if let (Some(path), true) = (ggufs.pop(), ggufs.is_empty()) {
        check_magic(&path)?;
        return Ok(local(id, Weights::Gguf(path), None, Vec::new()));
    }
    if !ggufs.is_empty() {
        return Err(Error::new(Kind::Usage, folder.display(), "holds several GGUF files").hint("name the one you mean"));
    }
    let config = there("config.json")
        .ok_or_else(|| Error::new(Kind::Model, folder.display(), "holds neither a GGUF file nor a config.json"))?;
    let files = match (there(INDEX), there("model.safetensors")) {
        (Some(index), _) => shards(&index, folder)?,
        (None, Some(whole)) => vec![whole],
        (None, None) => return Err(Error::new(Kind::Model, folder.display(), "holds no model.safetensors")),
    };
    Ok(local(id, Weights::Safetensors { config, files }, there("tokenizer.json"), Vec::new()))
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok()).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension) && path.is_file());
    paths.sort();
    paths
}

/// The files that an index of shards names, each once.
fn shards(index: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let fault = |problem: String| Error::new(Kind::Model, index.display(), problem);
    let json = fs::read(index).map_err(|error| fault(error.to_string()))?;
    let json: serde_json::Value = serde_json::from_slice(&json).map_err(|error| fault(error.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| fault("has no `weight_map`".into()))?;
    let mut names: Vec<&str> = map.values().filter_map(|name| name.as_str()).collect();
    names.sort();
    names.dedup();
    let path = |name: &str| match is_relative_path(name) && name.ends_with(".safetensors") {
        false => Err(fault(format!("names {name:?}, which is no safetensors file beside it"))),
        true if folder.join(name).is_file() => Ok(folder.join(name)),
        true => Err(fault(format!("names {name}, which is not there"))),
    };
    match names.is_empty() {
        true => Err(fault("names no files".into())),
        false => names.into_iter().map(path).collect(),
    }
}

/// Of a repository's files, those to fetch: one GGUF file, else the safetensors checkpoint with its tokenizer. Weights
/// come last, so that a checkpoint whose fetching was stopped is not taken for a whole one.
pub(super) fn wanted(files: &[String]) -> Option<Vec<String>> {
    let lower: Vec<_> = files.iter().map(|file| file.to_lowercase()).collect();
    let whole = |file: &str| file.ends_with(".gguf") && !["/", "-of-", "mmproj"].iter().any(|part| file.contains(part));
    let pick = |quantisation: &str| lower.iter().position(|file| whole(file) && file.contains(quantisation));
    if let Some(index) = QUANTISATIONS.iter().find_map(|quantisation| pick(quantisation)) {
        return Some(vec![files[index].clone()]);
    }
    let shard = |file: &str| file.starts_with("model") && file.ends_with(".safetensors");
    let belongs = |file: &&String| *file == "config.json" || shard(file) || COMPANIONS.contains(&file.as_str());
    let mut checkpoint: Vec<_> = files.iter().filter(belongs).cloned().collect();
    checkpoint.sort_by_key(|file| shard(file));
    let has = |name: &str| checkpoint.iter().any(|file| file == name);
    let complete = has("config.json") && has("tokenizer.json") && checkpoint.iter().any(|file| shard(file));
    complete.then_some(checkpoint)
}

/// Up to three of `ids` that look like `name`.
fn closest(name: &str, ids: &[&str]) -> Vec<String> {
    let name = name.to_lowercase();
    let mut scored: Vec<_> = ids
        .iter()
        .filter_map(|id| {
            let inside = name.len() >= 3 && (id.contains(&name) || name.contains(id));
            let distance = if inside { 0 } else { edits(&name, id) };
            (distance <= name.len() / 3).then_some((distance, id.to_string()))
        })
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, id)| id).collect()
}

/// Letters to insert, delete or replace to get from one word to the other (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{super::tests::hub, *};

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn names_are_understood() {
        let home = tempfile::tempdir().unwrap();
        let hub = hub(home.path());
        let gguf = home.path().join("a.gguf");
        fs::write(&gguf, "GGUF").unwrap();
        let id = "qwen2.5-coder-1.5b-q4_k_m";
        let repository =
            |file: Option<&str>| Name::Repository { repository: "owner/name".into(), file: file.map(String::from) };
        for (name, meaning) in [
            ("auto", Name::Auto),
            (id, Name::Card(id.into())),
            (&id.to_uppercase(), Name::Card(id.into())),
            (gguf.to_str().unwrap(), Name::Gguf(gguf.clone())),
            (home.path().to_str().unwrap(), Name::Folder(home.path().into())),
            ("owner/name", repository(None)),
            ("owner/name:sub/file.gguf", repository(Some("sub/file.gguf"))),
        ] {
            assert_eq!(hub.understand(name).unwrap(), meaning, "{name}");
        }
    }

    #[test]
    fn other_names_list_what_comes_close() {
        let home = tempfile::tempdir().unwrap();
        let hub = hub(home.path());
        for (name, close) in [
            ("qwen2.5-codr-1.5b-q4_k_m", "qwen2.5-coder-1.5b-q4_k_m"),
            ("smollm2", "smollm2-135m-q4_1"),
            ("zzzzzzzz", "models list"),
        ] {
            let error = hub.understand(name).unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.hint.as_ref().unwrap().contains(close), "{error}");
        }
        for name in ["./missing.gguf", "missing.gguf"] {
            assert_eq!(hub.understand(name).unwrap_err().kind, Kind::Input, "{name}");
        }
        for name in ["owner/name:../x.gguf", "owner/name:x.bin", "a/b/c", ""] {
            assert!(matches!(hub.understand(name).unwrap_err().kind, Kind::Usage | Kind::Input), "{name}");
        }
    }

    #[test]
    fn picks_files_of_a_repository() {
        let pick = |names: &[&str]| wanted(&strings(names));
        let several = ["README.md", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "mmproj-Q4_K_M.gguf"];
        assert_eq!(pick(&several), Some(strings(&["m-Q4_K_M.gguf"])));
        assert_eq!(pick(&["m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf"]), None);
        let whole = ["config.json", "consolidated.safetensors", "model.safetensors", "tokenizer.json", "LICENSE"];
        assert_eq!(pick(&whole), Some(strings(&["config.json", "tokenizer.json", "model.safetensors"])));
        assert_eq!(pick(&["config.json", "model.safetensors"]), None);
        assert_eq!(pick(&["config.json"]), None);
    }

    #[test]
    fn a_folder_must_be_complete() {
        let home = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        let problem = || checkpoint("m", home.path()).unwrap_err().problem;
        assert!(problem().contains("config.json"));
        put("config.json", "{}");
        assert!(problem().contains("no model.safetensors"));
        put(INDEX, r#"{"weight_map": {"a": "../../etc/x.safetensors"}}"#);
        assert!(problem().contains("no safetensors file beside it"));
        put(
            INDEX,
            r#"{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}"#,
        );
        put("model-1.safetensors", "1");
        assert!(problem().contains("names model-2.safetensors, which is not there"));
        put("model-2.safetensors", "2");
        let model = checkpoint("m", home.path()).unwrap();
        let Weights::Safetensors { files, .. } = model.weights else { panic!("no safetensors") };
        assert_eq!(files.len(), 2);
        assert!(model.tokenizer.is_none());
    }

    #[test]
    fn what_is_no_gguf_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.gguf");
        fs::write(&path, "PK\x03\x04 zip").unwrap();
        let error = hub(home.path()).gguf(&path).unwrap_err();
        assert_eq!(error.kind, Kind::Model);
        assert!(error.problem.contains("PK\\u{3}\\u{4}"), "{error}");
        fs::write(&path, "").unwrap();
        assert!(check_magic(&path).unwrap_err().problem.contains("empty"));
    }

    #[test]
    fn distances() {
        assert_eq!(
            [edits("abc", "abc"), edits("abc", "abd"), edits("", "ab"), edits("kitten", "sitting")],
            [0, 1, 2, 3]
        );
    }
}
