//! `--model auto` and `models recommend`: the best model that fits this machine's memory and can be had here.

use super::{Card, Hub, LocalModel, Source, cache};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// Where a model is, or would come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Installed,
    Hub,
    Wheels,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Installed => "on this machine",
            Origin::Hub => "model hub",
            Origin::Wheels => "wheels through pip",
        })
    }
}

/// A card, judged for this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    pub id: String,
    pub name: String,
    pub parameters: u64,
    pub licence: String,
    /// Whether somebody has read papers with it here.
    pub tried: bool,
    pub preference: i32,
    /// Whether the engine runs its family.
    pub supported: bool,
    /// Whether weights, cache for a long paper and working memory fit the memory that is free.
    pub fits: bool,
    /// Where it can be had here; none if it cannot.
    pub origin: Option<Origin>,
    /// What would be downloaded; absent where the card does not know.
    pub download_bytes: Option<u64>,
    pub memory_bytes: u64,
    pub reason: String,
}

impl Candidate {
    /// Whether `--model auto` may take it.
    pub fn usable(&self) -> bool {
        self.supported && self.fits && self.origin.is_some()
    }
}

/// What can be had here.
#[derive(Debug, Clone, Copy)]
struct Reach {
    memory: u64,
    offline: bool,
    hub: bool,
    token: bool,
    pip: bool,
}

impl Hub {
    /// All cards, judged: those that can be used here first, of these the tried ones, then by
    /// preference. Asks the hub once whether it answers.
    pub fn recommend(&self) -> Vec<Candidate> {
        let online = !self.settings.offline;
        let reach = Reach {
            offline: !online,
            memory: self.available_memory(),
            hub: self.hub_reachable(),
            token: has_token(),
            pip: online && self.pip.command().is_some(),
        };
        rank(&self.cards, reach, |card| self.here(&card.id, &card.sources).is_some())
    }

    /// Bytes of memory that are free for a model, the limit of a container included.
    pub fn available_memory(&self) -> u64 {
        available_memory()
    }

    /// How pip is called here (`python3 -m pip`), if there is one.
    pub fn python(&self) -> Option<String> {
        self.pip.command().map(|words| words.join(" "))
    }

    /// The best candidate; the next one where its sources fail.
    pub(super) fn auto(&self) -> Result<LocalModel> {
        let candidates = self.recommend();
        let mut last = None;
        for candidate in candidates.iter().filter(|candidate| candidate.usable()) {
            let Some(card) = self.card(&candidate.id) else { continue };
            self.settings.progress.line(format!("model {}: {}", candidate.id, candidate.reason));
            match self.obtain(&card.id, Some(card), &card.sources) {
                Err(error) if error.kind == Kind::Unavailable => {
                    self.settings.progress.warn(format!("{}: {}; trying the next model", error.subject, error.problem));
                    last = Some(error);
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| self.nothing(&candidates)))
    }

    fn nothing(&self, candidates: &[Candidate]) -> Error {
        let here = candidates.iter().filter(|candidate| candidate.supported && candidate.origin.is_some());
        if let Some(smallest) = here.min_by_key(|candidate| candidate.memory_bytes) {
            let (need, free) = (cache::human(smallest.memory_bytes), cache::human(self.available_memory()));
            let problem = format!(
                "no model fits: the smallest that can be had here, {}, needs {need}, {free} is free",
                smallest.id
            );
            return Error::new(Kind::Memory, "model auto", problem)
                .hint("close other programs, or name a model: --model ID");
        }
        let problem = match self.settings.offline {
            true => "no model is on this machine, and --offline fetches nothing",
            false => "no model is on this machine, the model hub does not answer, and there is no pip for the wheels",
        };
        Error::new(Kind::Unavailable, "model auto", problem).hint(
            "on a machine with network `ronbun models pull qwen2.5-coder-1.5b-q4_k_m` and \
             `ronbun models pack qwen2.5-coder-1.5b-q4_k_m --out pack.tar.zst`, then here `ronbun models unpack pack.tar.zst`",
        )
    }
}

/// Bytes of memory that are free: the machine's, or what a container's limit leaves beside the memory in use there. Files
/// that the system only keeps at hand count as free.
pub fn available_memory() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let limit = system.cgroup_limits().filter(|limit| limit.total_memory > 0);
    free(system.available_memory(), limit.map(|limit| (limit.total_memory, limit.rss)))
}

/// `limit` is a container's total and what its processes hold, in bytes.
fn free(available: u64, limit: Option<(u64, u64)>) -> u64 {
    limit.map_or(available, |(total, held)| available.min(total.saturating_sub(held)))
}

/// Whether a token for gated repositories is set, as hf-hub finds it.
fn has_token() -> bool {
    let set = |variable| std::env::var(variable).is_ok_and(|value| !value.is_empty());
    set("HF_TOKEN") || set("HF_TOKEN_PATH") || hf_hub::hf_home().join("token").is_file()
}

fn rank(cards: &[Card], reach: Reach, installed: impl Fn(&Card) -> bool) -> Vec<Candidate> {
    let mut candidates: Vec<_> = cards.iter().map(|card| judge(card, reach, installed(card))).collect();
    let key =
        |candidate: &Candidate| (!candidate.usable(), !candidate.tried, -candidate.preference, candidate.id.clone());
    candidates.sort_by_key(key);
    candidates
}

fn judge(card: &Card, reach: Reach, installed: bool) -> Candidate {
    let memory_bytes = card.memory_bytes();
    let fits = memory_bytes <= reach.memory;
    let from = |source: &&Source| match source {
        Source::Hub { .. } => reach.hub && (!card.licence.gated || reach.token),
        Source::Wheels { .. } => reach.pip,
    };
    let source = card.sources.iter().find(from);
    let origin = match source {
        _ if installed => Some(Origin::Installed),
        Some(Source::Hub { .. }) => Some(Origin::Hub),
        Some(Source::Wheels { .. }) => Some(Origin::Wheels),
        None => None,
    };
    let download_bytes = match source.or(card.sources.first()) {
        _ if installed => Some(0),
        Some(Source::Wheels { packages, .. }) => Some(packages.iter().map(|piece| piece.wheel_bytes).sum()),
        Some(Source::Hub { files, .. }) if !files.is_empty() => files.iter().map(|file| file.bytes).sum(),
        _ => None,
    };
    let (need, free) = (cache::human(memory_bytes), cache::human(reach.memory));
    let reason = match (card.supported, fits, origin) {
        (false, ..) => format!("cannot be run yet: {}", card.unsupported_reason.as_deref().unwrap_or("unknown family")),
        (_, false, _) => format!("does not fit: needs {need}, {free} free"),
        (.., None) if card.licence.gated && reach.hub => "gated: needs a token of the model hub (HF_TOKEN)".into(),
        (.., None) if reach.offline => "not on this machine, and --offline fetches nothing".into(),
        (.., None) if card.sources.iter().any(|source| matches!(source, Source::Wheels { .. })) => {
            "cannot be had here: the model hub does not answer, and there is no pip for its wheels".into()
        }
        (.., None) => "cannot be had here: the model hub does not answer, and no wheels hold it".into(),
        (.., Some(origin)) => format!("{}; fits ({need} of {free} free); {origin}", card.why),
    };
    Candidate {
        id: card.id.clone(),
        name: card.name.clone(),
        parameters: card.parameters,
        licence: card.licence.name.clone(),
        tried: card.tried,
        preference: card.preference,
        supported: card.supported,
        fits,
        origin,
        download_bytes,
        memory_bytes,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Reach = Reach { offline: false, memory: 64 << 30, hub: false, token: false, pip: true };

    fn cards() -> Vec<Card> {
        super::super::card::all(std::path::Path::new("/nonexistent")).unwrap()
    }

    fn best(reach: Reach, installed: &[&str]) -> Option<String> {
        let ranked = rank(&cards(), reach, |card| installed.contains(&card.id.as_str()));
        ranked.into_iter().find(|candidate| candidate.usable()).map(|candidate| candidate.id)
    }

    #[test]
    fn without_the_hub_the_best_of_the_wheels() {
        assert_eq!(best(ALL, &[]).unwrap(), "qwen2.5-coder-1.5b-q4_k_m");
        let needs = |id: &str| cards().into_iter().find(|card| card.id == id).unwrap().memory_bytes();
        let memory = needs("qwen2.5-coder-1.5b-q4_k_m") - 1;
        assert_eq!(best(Reach { memory, ..ALL }, &[]).unwrap(), "qwen2.5-coder-0.5b-q4_k_m");
        let memory = needs("qwen2.5-coder-0.5b-q4_k_m") - 1;
        assert_eq!(best(Reach { memory, ..ALL }, &[]).unwrap(), "smollm2-135m-q4_1");
        assert_eq!(best(Reach { memory: 1 << 20, ..ALL }, &[]), None);
    }

    #[test]
    fn a_container_s_limit_counts_and_its_file_cache_does_not() {
        assert_eq!(free(9, None), 9);
        assert_eq!(free(9, Some((8, 2))), 6);
        assert_eq!(free(3, Some((8, 2))), 3);
        assert_eq!(free(9, Some((8, 8))), 0);
    }

    #[test]
    fn without_anything_what_is_installed() {
        let nothing = Reach { pip: false, ..ALL };
        assert_eq!(best(nothing, &[]), None);
        assert_eq!(best(nothing, &["smollm2-135m-q4_1"]).unwrap(), "smollm2-135m-q4_1");
    }

    #[test]
    fn with_the_hub_larger_ones_and_gated_ones_only_with_a_token() {
        let hub = Reach { hub: true, ..ALL };
        let open = rank(&cards(), hub, |_| false);
        let chosen = open.iter().find(|candidate| candidate.usable()).unwrap();
        assert!(chosen.preference > 20 && chosen.origin == Some(Origin::Hub), "{chosen:?}");
        let gated: Vec<_> = cards().into_iter().filter(|card| card.licence.gated).map(|card| card.id).collect();
        for candidate in open.iter().filter(|candidate| gated.contains(&candidate.id)) {
            assert!(candidate.origin.is_none(), "{candidate:?}");
        }
        for candidate in rank(&cards(), Reach { token: true, ..hub }, |_| false) {
            assert_eq!(candidate.origin, Some(Origin::Hub), "{candidate:?}");
        }
    }

    #[test]
    fn every_candidate_says_why() {
        for candidate in rank(&cards(), Reach { memory: 4 << 30, ..ALL }, |_| false) {
            let word = match &candidate {
                candidate if !candidate.supported => "cannot be run yet",
                candidate if !candidate.fits => "does not fit",
                candidate if candidate.origin.is_none() => "cannot be had",
                _ => "wheels through pip",
            };
            assert!(candidate.reason.contains(word), "{candidate:?}");
        }
    }
}
