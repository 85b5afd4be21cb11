//! `models verify`: reads everything that is installed again and compares it with what it ought to be.

use super::{
    Hub, cache,
    install::{Contents, Entry, blob_hash, relative},
    pins,
};
use crate::{Error, Kind, Result};
use serde::Serialize;
use std::{fs, path::PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As the card pins it.
    Pinned,
    /// No pin is known; as the model hub named it when it was fetched.
    Hub,
    /// No pin is known; as it was when it was first seen here.
    Unchanged,
    /// Nobody knew its hash before; recorded now.
    Recorded,
    /// Another hash.
    Wrong,
    /// Belongs to an installed model, and is not there.
    Missing,
}

/// One file, read again.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The model's id, or `pdfium`.
    pub id: String,
    pub file: PathBuf,
    pub bytes: u64,
    /// Found.
    pub sha256: Option<String>,
    pub expected: Option<String>,
    pub status: Status,
}

impl Check {
    pub fn ok(&self) -> bool {
        !matches!(self.status, Status::Wrong | Status::Missing)
    }
}

impl Hub {
    /// Re-reads the files of one model, or (without an id) of all that are installed and of PDFium in the cache. A file
    /// that is wrong is a result, not an error.
    ///
    /// # Errors
    /// `Usage` if the model is not installed, `Input` if a file cannot be read.
    pub fn verify(&self, id: Option<&str>) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for (model, sources, here) in self.all_here() {
            if id.is_none_or(|id| id == model) {
                for (path, _, sha256) in here.files {
                    let name = relative(&path, &here.folder);
                    let pinned = sha256.as_deref().is_some_and(|sha256| pins::pins(&sources, &name).contains(&sha256));
                    let good = match (pinned, blob_hash(&path) == sha256) {
                        (true, _) => Status::Pinned,
                        (false, true) => Status::Hub,
                        (false, false) => Status::Unchanged,
                    };
                    checks.push(self.reread(&model, path, sha256, good)?);
                }
            }
        }
        checks.extend(self.missing(id));
        if let (Some(id), true) = (id, checks.is_empty()) {
            return Err(Error::new(Kind::Usage, id, "is not installed").hint("`ronbun models list` shows what is"));
        }
        if let (None, Some((library, sha256))) = (id, self.pdfium_cached()) {
            checks.push(self.reread("pdfium", library, Some(sha256.into()), Status::Pinned)?);
        }
        Ok(checks)
    }

    /// Files of folders in the cache that are not there any more.
    fn missing(&self, id: Option<&str>) -> Vec<Check> {
        let folders = fs::read_dir(self.settings.cache_dir.join("models")).into_iter().flatten();
        let folders = folders.filter_map(|entry| entry.ok()).map(|entry| entry.path());
        let contents = folders.filter_map(|folder| Contents::read(&folder).map(|contents| (folder, contents)));
        let asked = contents.filter(|(_, contents)| id.is_none_or(|id| id == contents.id));
        let files = asked.flat_map(|(folder, contents)| {
            let Contents { id, files, .. } = contents;
            let check = move |entry: Entry| Check {
                id: id.clone(),
                file: folder.join(&entry.name),
                bytes: 0,
                sha256: None,
                expected: Some(entry.sha256),
                status: Status::Missing,
            };
            files.into_iter().map(check)
        });
        files.filter(|check| !check.file.exists()).collect()
    }

    /// `good` is what to say of it where it is as `known` says.
    fn reread(&self, id: &str, file: PathBuf, known: Option<String>, good: Status) -> Result<Check> {
        let receipts = self.receipts();
        let good = if known.is_some() { good } else { Status::Unchanged };
        let expected = known.or_else(|| receipts.read(&file).map(|receipt| receipt.sha256));
        let (bytes, sha256) = cache::hash_file(&file, &self.settings.progress)?;
        let status = match &expected {
            Some(expected) if *expected == sha256 => good,
            Some(_) => Status::Wrong,
            None => Status::Recorded,
        };
        match status {
            // A stale receipt must not vouch for a file that was found wrong.
            Status::Wrong | Status::Missing => receipts.distrust(&file),
            _ => receipts.write(&file, &sha256),
        }
        Ok(Check { id: id.into(), file, bytes, sha256: Some(sha256), expected, status })
    }
}
