//! What is finished of a long measurement, kept line by line so that it can be taken up again.

use crate::{Error, Kind, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Finished samples by their names; nothing is kept without a file.
pub struct Journal {
    path: Option<PathBuf>,
    done: HashMap<String, Value>,
}

impl Journal {
    /// The one beside `out`. One that was made with other `settings` is refused: its samples answer another question.
    pub fn open(out: Option<&Path>, settings: &Value) -> Result<Journal> {
        let Some(out) = out else { return Ok(Journal { path: None, done: HashMap::new() }) };
        let mut name = out.as_os_str().to_owned();
        name.push(".samples.jsonl");
        let path = PathBuf::from(name);
        let fail = |error: std::io::Error| Error::new(Kind::Output, path.display(), error);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fail(error)),
        };
        // A line that was being written when the work was stopped has no end.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut lines = whole.lines().map(serde_json::from_str::<Value>);
        match lines.next() {
            None => fs::write(&path, format!("{}\n", json!({ "settings": settings }))).map_err(fail)?,
            Some(Ok(first)) if first["settings"] == *settings => fs::write(&path, whole).map_err(fail)?,
            Some(_) => {
                return Err(Error::new(Kind::Usage, path.display(), "holds samples made with other settings")
                    .hint("remove the file, or write to another --out"));
            }
        }
        let mut done = HashMap::new();
        for line in lines {
            let line = line.map_err(|error| {
                Error::new(Kind::Input, path.display(), format!("is damaged: {error}")).hint("remove the file")
            })?;
            if let Some(name) = line["sample"].as_str() {
                done.insert(name.to_string(), line["result"].clone());
            }
        }
        Ok(Journal { path: Some(path), done })
    }

    pub fn done(&self, name: &str) -> Option<&Value> {
        self.done.get(name)
    }

    /// The result of a sample: what is kept of it, else what `measure` gives, which is kept from then on.
    pub fn measured<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        measure: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(kept) = self.done(name) else {
            let result = measure()?;
            self.add(name, json!(result))?;
            return Ok(result);
        };
        let damaged = |error| Error::new(Kind::Input, name, format!("what was kept of it is damaged: {error}"));
        serde_json::from_value(kept.clone()).map_err(damaged)
    }

    pub fn add(&mut self, name: &str, result: Value) -> Result<()> {
        if let Some(path) = &self.path {
            let line = format!("{}\n", json!({ "sample": name, "result": result }));
            let file = OpenOptions::new().append(true).open(path);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.map_err(|error| Error::new(Kind::Output, path.display(), error))?;
        }
        self.done.insert(name.to_string(), result);
        Ok(())
    }
}

/// Tells one text from another in a journal's settings: FNV-1a.
pub fn checksum(bytes: impl Iterator<Item = u8>) -> String {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finished_is_found_again_and_other_settings_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("r.json");
        let settings = json!({ "seed": 1 });
        let mut journal = Journal::open(Some(&out), &settings).expect("opens");
        journal.add("a", json!(1)).expect("is written");
        let path = folder.path().join("r.json.samples.jsonl");
        let cut = fs::read_to_string(&path).expect("is there") + "{\"sample\": \"b\", \"res";
        fs::write(&path, cut).expect("is written");
        let mut journal = Journal::open(Some(&out), &settings).expect("opens");
        assert_eq!((journal.done("a"), journal.done("b")), (Some(&json!(1)), None));
        assert_eq!(journal.measured("b", || Ok(2)).expect("is written"), 2);
        assert_eq!(journal.measured("b", || Ok(3)).expect("is kept"), 2);
        assert_eq!(journal.measured("b", || Ok(String::new())).expect_err("is a number").kind, Kind::Input);
        assert_eq!(Journal::open(Some(&out), &settings).expect("opens").done("b"), Some(&json!(2)));
        assert_eq!(Journal::open(Some(&out), &json!({ "seed": 2 })).err().expect("differs").kind, Kind::Usage);
    }
}
