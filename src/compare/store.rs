//! A comparison's answers on disk, in one SQLite file: each call is a transaction of its own, so that whatever ends the
//! process, a finished answer is kept whole, and is there once.

mod judged;

pub use judged::as_judge;

use super::types::{Answer, Call, Failure, Gold, Model, Paper, Question, Sent};
use crate::{Error, Kind, Result};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Grows when a table changes its meaning.
const VERSION: i64 = 1;

/// `record` columns hold JSON.
const SCHEMA: &str = "
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE models (id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE papers (key TEXT PRIMARY KEY, sha256 TEXT NOT NULL, record TEXT NOT NULL);
CREATE TABLE questions (id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE calls (
    model TEXT NOT NULL, paper TEXT NOT NULL, trial INTEGER NOT NULL, call TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (model, paper, trial, call));
CREATE TABLE answers (
    model TEXT NOT NULL, paper TEXT NOT NULL, trial INTEGER NOT NULL, question TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (model, paper, trial, question));
CREATE TABLE failures (
    model TEXT NOT NULL, paper TEXT NOT NULL, trial INTEGER NOT NULL, call TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (model, paper, trial, call));
CREATE TABLE sent (
    destination TEXT NOT NULL, model TEXT NOT NULL, paper TEXT NOT NULL, requests INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (destination, model, paper));
CREATE TABLE gold (paper TEXT NOT NULL, question TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (paper, question, text));
";

pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// The file at `path`, made where there is none. `settings` say what makes answers comparable (questions, language,
    /// sampling, …): a file with others is refused with their names. Errors: `Usage` for those, `Output` where it cannot
    /// be written or another process has it open, `Input` where it is no comparison.
    pub fn open(path: &Path, settings: &Value) -> Result<Store> {
        let store = Store::connect(path)?;
        let version: i64 = store.ask("PRAGMA user_version", &[], |row| row.get(0))?.unwrap_or(0);
        match version {
            0 => store.create(settings)?,
            VERSION => store.check(settings)?,
            other => return Err(store.refuse(format!("has version {other}, and this ronbun knows {VERSION}"))),
        }
        store.with_judgements()
    }

    /// One that is there already. Errors: as [`Store::open`].
    pub fn existing(path: &Path) -> Result<Store> {
        if !path.is_file() {
            return Err(Error::new(Kind::Input, path.display(), "there is no comparison here")
                .hint("name the folder that `ronbun compare … --out` wrote"));
        }
        let store = Store::connect(path)?;
        match store.ask("PRAGMA user_version", &[], |row| row.get::<_, i64>(0))? {
            Some(VERSION) => store.with_judgements(),
            _ => Err(store.refuse("is no comparison of this version of ronbun".into())),
        }
    }

    fn connect(path: &Path) -> Result<Store> {
        let connection = Connection::open(path).map_err(|error| broken(path, error))?;
        // One process at a time: the system takes the lock back from one that is killed.
        let pragmas = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; BEGIN EXCLUSIVE; COMMIT;";
        connection.execute_batch(pragmas).map_err(|error| broken(path, error))?;
        Ok(Store { connection, path: path.to_path_buf() })
    }

    fn with_judgements(self) -> Result<Store> {
        self.connection.execute_batch(judged::SCHEMA).map_err(|error| self.broken(error))?;
        Ok(self)
    }

    fn create(&self, settings: &Value) -> Result<()> {
        self.write(|transaction| {
            transaction.execute_batch(SCHEMA)?;
            for (key, value) in settings.as_object().into_iter().flatten() {
                transaction.execute("INSERT INTO settings VALUES (?1, ?2)", params![key, value.to_string()])?;
            }
            transaction.pragma_update(None, "user_version", VERSION)
        })
    }

    fn check(&self, settings: &Value) -> Result<()> {
        let kept = self.settings()?;
        let keys: HashSet<&String> =
            [&kept, settings].iter().filter_map(|each| each.as_object()).flat_map(|each| each.keys()).collect();
        let mut other: Vec<_> = keys.into_iter().filter(|key| kept[*key] != settings[*key]).collect();
        other.sort();
        match other.is_empty() {
            true => Ok(()),
            false => {
                let names: Vec<&str> = other.iter().map(|key| key.as_str()).collect();
                Err(Error::new(
                    Kind::Usage,
                    self.path.display(),
                    format!("holds answers that were asked for with other settings: {}", names.join(", ")),
                )
                .hint("go on with the same settings, or write to another --out"))
            }
        }
    }

    pub fn settings(&self) -> Result<Value> {
        let rows = self.all("SELECT key, value FROM settings ORDER BY key", |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let parsed = rows.into_iter().map(|(key, text)| (key, serde_json::from_str(&text).unwrap_or(Value::Null)));
        Ok(Value::Object(parsed.collect()))
    }

    /// A model, or what is newly known of it.
    pub fn put_model(&self, model: &Model) -> Result<()> {
        let sql = "INSERT INTO models VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record";
        self.run(sql, params![model.id, self.json(model)?])
    }

    /// A paper; another one under the same key is refused.
    pub fn put_paper(&self, paper: &Paper) -> Result<()> {
        let hash = paper.document.as_ref().map_or("", |document| document.sha256.as_str());
        let kept: Option<String> =
            self.ask("SELECT sha256 FROM papers WHERE key = ?1", &[&paper.key], |row| row.get(0))?;
        match kept.as_deref() {
            None => self.run("INSERT INTO papers VALUES (?1, ?2, ?3)", params![paper.key, hash, self.json(paper)?]),
            // Answers were here before the paper they are about.
            Some("") if !hash.is_empty() => {
                let sql = "UPDATE papers SET sha256 = ?2, record = ?3 WHERE key = ?1";
                self.run(sql, params![paper.key, hash, self.json(paper)?])
            }
            Some(kept) if hash.is_empty() || kept == hash => Ok(()),
            Some(_) => Err(Error::new(
                Kind::Usage,
                &paper.key,
                format!("{} holds another paper of that name", self.path.display()),
            )
            .hint("rename one of the files, or write to another --out")),
        }
    }

    /// Questions that are new.
    pub fn put_questions(&self, questions: &[Question]) -> Result<()> {
        self.many("INSERT OR IGNORE INTO questions VALUES (?1, ?2)", questions, |question| question.id.clone())
    }

    pub fn put_gold(&self, gold: &[Gold]) -> Result<()> {
        self.write(|transaction| {
            for Gold { paper, question, text } in gold {
                transaction
                    .execute("INSERT OR IGNORE INTO gold VALUES (?1, ?2, ?3)", params![paper, question, text])?;
            }
            Ok(())
        })
    }

    /// A call with its answers, in one transaction; those that are here already stay as they are. Tells how many were new.
    pub fn keep(&self, call: Option<&Call>, answers: &[Answer]) -> Result<usize> {
        let call = call.map(|call| Ok::<_, Error>((call, self.json(call)?))).transpose()?;
        let records: Vec<String> = answers.iter().map(|answer| self.json(answer)).collect::<Result<_>>()?;
        self.write(|transaction| {
            let mut new = 0;
            for (answer, record) in answers.iter().zip(&records) {
                let Answer { model, paper, trial, question, .. } = answer;
                let row = params![model, paper, trial, question, record];
                new += transaction
                    .prepare_cached("INSERT OR IGNORE INTO answers VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(row)?;
            }
            if let Some((call, record)) = &call {
                let row = params![call.model, call.paper, call.trial, call.call, record];
                transaction.execute("INSERT OR IGNORE INTO calls VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
                let row = params![call.model, call.paper, call.trial, call.call];
                let solved = "DELETE FROM failures WHERE model = ?1 AND paper = ?2 AND trial = ?3 AND call = ?4";
                transaction.execute(solved, row)?;
            }
            Ok(new)
        })
    }

    pub fn fail(&self, failure: &Failure) -> Result<()> {
        let Failure { model, paper, trial, call, .. } = failure;
        let row = params![model, paper, trial, call, self.json(failure)?];
        self.run("INSERT OR REPLACE INTO failures VALUES (?1, ?2, ?3, ?4, ?5)", row)
    }

    /// Counts a conversation before it leaves this machine.
    pub fn send(&self, sent: &Sent) -> Result<()> {
        let Sent { destination, model, paper, requests, bytes } = sent;
        self.run(
            "INSERT INTO sent VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
             requests = requests + excluded.requests, bytes = bytes + excluded.bytes",
            params![destination, model, paper, requests, bytes],
        )
    }

    /// Trials and questions of a model and paper that are answered.
    pub fn answered(&self, model: &str, paper: &str) -> Result<HashSet<(u32, String)>> {
        let mut found = HashSet::new();
        let sql = "SELECT trial, question FROM answers WHERE model = ?1 AND paper = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.broken(error))?;
        let rows = statement.query_map([model, paper], |row| Ok((row.get(0)?, row.get(1)?)));
        for row in rows.map_err(|error| self.broken(error))? {
            found.insert(row.map_err(|error| self.broken(error))?);
        }
        Ok(found)
    }

    pub fn models(&self) -> Result<Vec<Model>> {
        self.records("SELECT record FROM models ORDER BY rowid")
    }

    pub fn papers(&self) -> Result<Vec<Paper>> {
        self.records("SELECT record FROM papers ORDER BY rowid")
    }

    pub fn questions(&self) -> Result<Vec<Question>> {
        self.records("SELECT record FROM questions ORDER BY rowid")
    }

    /// By model, paper, trial and question.
    pub fn answers(&self) -> Result<Vec<Answer>> {
        self.records("SELECT record FROM answers ORDER BY model, paper, trial, rowid")
    }

    pub fn calls(&self) -> Result<Vec<Call>> {
        self.records("SELECT record FROM calls ORDER BY model, paper, trial, rowid")
    }

    pub fn failures(&self) -> Result<Vec<Failure>> {
        self.records("SELECT record FROM failures ORDER BY model, paper, trial, rowid")
    }

    pub fn sent(&self) -> Result<Vec<Sent>> {
        self.all("SELECT * FROM sent ORDER BY destination, model, paper", |row| {
            let [destination, model, paper] = [row.get(0)?, row.get(1)?, row.get(2)?];
            Ok(Sent { destination, model, paper, requests: row.get(3)?, bytes: row.get(4)? })
        })
    }

    pub fn gold(&self) -> Result<Vec<Gold>> {
        self.all("SELECT * FROM gold ORDER BY rowid", |row| {
            Ok(Gold { paper: row.get(0)?, question: row.get(1)?, text: row.get(2)? })
        })
    }

    /// Takes over what another comparison with the same settings has and this one has not. Tells how many answers, calls and judgements
    /// were new.
    pub fn merge(&self, other: &Path) -> Result<usize> {
        let theirs = Store::existing(other)?;
        self.check(&theirs.settings()?)?;
        for model in theirs.models()? {
            self.put_model(&model)?;
        }
        for paper in theirs.papers()? {
            self.put_paper(&paper)?;
        }
        self.put_questions(&theirs.questions()?)?;
        self.put_gold(&theirs.gold()?)?;
        let mut new = self.keep(None, &theirs.answers()?)?;
        for call in theirs.calls()? {
            new += self.keep(Some(&call), &[])?;
        }
        new += self.take_judgements(&theirs)?;
        self.take_failures(&theirs)?;
        self.take_sent(&theirs)?;
        Ok(new)
    }

    /// The greater counts, so that merging twice counts nothing twice. Shards share no model and paper.
    fn take_sent(&self, theirs: &Store) -> Result<()> {
        theirs.sent()?.iter().try_for_each(|Sent { destination, model, paper, requests, bytes }| {
            self.run(
                "INSERT INTO sent VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                 requests = max(requests, excluded.requests), bytes = max(bytes, excluded.bytes)",
                params![destination, model, paper, requests, bytes],
            )
        })
    }

    fn many<T: Serialize>(&self, sql: &str, items: &[T], key: impl Fn(&T) -> String) -> Result<()> {
        let records: Vec<String> = items.iter().map(|item| self.json(item)).collect::<Result<_>>()?;
        self.write(|transaction| {
            for (item, record) in items.iter().zip(&records) {
                transaction.execute(sql, params![key(item), record])?;
            }
            Ok(())
        })
    }

    /// All of `work` or nothing of it.
    fn write<T>(&self, work: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Result<T> {
        let written = || {
            let transaction = self.connection.unchecked_transaction()?;
            let done = work(&transaction)?;
            transaction.commit().map(|()| done)
        };
        written().map_err(|error| self.broken(error))
    }

    fn run(&self, sql: &str, row: &[&dyn ToSql]) -> Result<()> {
        self.connection.execute(sql, row).map(drop).map_err(|error| self.broken(error))
    }

    fn ask<T>(
        &self,
        sql: &str,
        row: &[&dyn ToSql],
        map: impl FnOnce(&Row) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.connection.query_row(sql, row, map).optional().map_err(|error| self.broken(error))
    }

    fn all<T>(&self, sql: &str, map: impl FnMut(&Row) -> rusqlite::Result<T>) -> Result<Vec<T>> {
        let rows = || self.connection.prepare(sql)?.query_map([], map)?.collect::<rusqlite::Result<_>>();
        rows().map_err(|error| self.broken(error))
    }

    fn records<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        let texts = self.all(sql, |row| row.get::<_, String>(0))?;
        texts.iter().map(|text| self.parsed(text)).collect()
    }

    fn parsed<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| self.refuse(format!("holds what cannot be read: {error}")))
    }

    fn json(&self, value: &impl Serialize) -> Result<String> {
        serde_json::to_string(value).map_err(|error| Error::new(Kind::Internal, self.path.display(), error))
    }

    fn refuse(&self, problem: String) -> Error {
        Error::new(Kind::Input, self.path.display(), problem)
    }

    fn broken(&self, error: rusqlite::Error) -> Error {
        broken(&self.path, error)
    }
}

fn broken(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(Kind::Output, path.display(), "another ronbun is writing to it")
                .hint("wait for it to end; for several at once give each its own --shard i/n")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Error::new(Kind::Input, path.display(), "is no comparison, or is damaged")
        }
        Some(ErrorCode::CannotOpen) => {
            Error::new(Kind::Output, path.display(), "cannot be opened or made").hint("choose another place with --out")
        }
        Some(ErrorCode::DiskFull) => Error::new(Kind::Output, path.display(), "the disk is full"),
        _ => Error::new(Kind::Output, path.display(), error),
    }
}
