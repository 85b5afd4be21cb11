//! What judges said, kept beside the answers: each judgement once, as it comes.

use super::Store;
use crate::Result;
use crate::compare::judge::{Judgement, Matter};
use crate::compare::types::{Failure, Model};
use rusqlite::params;
use std::collections::HashSet;

/// Older files have no such tables, and lose nothing by having them.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS judges (id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS judgements (
    judge TEXT NOT NULL, matter TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (judge, matter));
";

/// What a judge goes by where it could be taken for a model whose answers are compared.
pub fn as_judge(id: &str) -> String {
    format!("{id} (judge)")
}

impl Store {
    /// A judge, or what is newly known of it.
    pub fn put_judge(&self, judge: &Model) -> Result<()> {
        let sql = "INSERT INTO judges VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record";
        self.run(sql, params![judge.id, self.json(judge)?])
    }

    pub fn judges(&self) -> Result<Vec<Model>> {
        self.records("SELECT record FROM judges ORDER BY rowid")
    }

    /// One that is here already stays as it is. Tells how many were new.
    pub fn keep_judgement(&self, judgement: &Judgement) -> Result<usize> {
        let Judgement { judge, matter, .. } = judgement;
        let (name, record) = (self.json(matter)?, self.json(judgement)?);
        self.write(|transaction| {
            let sql = "INSERT OR IGNORE INTO judgements VALUES (?1, ?2, ?3)";
            let new = transaction.prepare_cached(sql)?.execute(params![judge, name, record])?;
            let solved = "DELETE FROM failures WHERE model = ?1 AND paper = ?2 AND trial = ?3 AND call = ?4";
            transaction.execute(solved, params![as_judge(judge), matter.paper, matter.trial, matter.title()])?;
            Ok(new)
        })
    }

    /// In the order in which they came.
    pub fn judgements(&self) -> Result<Vec<Judgement>> {
        self.records("SELECT record FROM judgements ORDER BY rowid")
    }

    /// What a judge need not be asked again.
    pub fn judged(&self, judge: &str) -> Result<HashSet<Matter>> {
        let all = self.judgements()?.into_iter().filter(|judgement| judgement.judge == judge);
        Ok(all.map(|judgement| judgement.matter).collect())
    }

    /// Those that another comparison has. Tells how many were new.
    pub(super) fn take_judgements(&self, theirs: &Store) -> Result<usize> {
        theirs.judges()?.iter().try_for_each(|judge| self.put_judge(judge))?;
        theirs.judgements()?.iter().map(|judgement| self.keep_judgement(judgement)).sum()
    }

    /// Failures that were not made good here.
    pub(super) fn take_failures(&self, theirs: &Store) -> Result<()> {
        let mut answered: HashSet<(String, String, u32, String)> =
            self.calls()?.into_iter().map(|call| (call.model, call.paper, call.trial, call.call)).collect();
        let judged = self.judgements()?.into_iter();
        answered.extend(judged.map(|Judgement { judge, matter, .. }| {
            let title = matter.title();
            (as_judge(&judge), matter.paper, matter.trial, title)
        }));
        theirs.failures()?.into_iter().try_for_each(|failure| {
            let Failure { model, paper, trial, call, .. } = failure.clone();
            if answered.contains(&(model, paper, trial, call)) { Ok(()) } else { self.fail(&failure) }
        })
    }
}
