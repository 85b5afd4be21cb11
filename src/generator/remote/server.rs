//! A server as the user names it: `openai:gpt-4o`, `openai:qwen2.5-7b@http://localhost:8000/v1`, `anthropic:…`, `gemini:…`,
//! or a `[[model]]` of an experiment's file.

use super::Key;
use super::dialect::Dialect;
use super::{anthropic::Anthropic, gemini::Gemini, openai::OpenAi};
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// Whose protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Vendor {
    const ALL: [Vendor; 3] = [Vendor::OpenAi, Vendor::Anthropic, Vendor::Gemini];

    pub fn name(self) -> &'static str {
        match self {
            Vendor::OpenAi => "openai",
            Vendor::Anthropic => "anthropic",
            Vendor::Gemini => "gemini",
        }
    }

    /// The vendor's own address.
    fn address(self) -> &'static str {
        match self {
            Vendor::OpenAi => "https://api.openai.com/v1",
            Vendor::Anthropic => "https://api.anthropic.com/v1",
            Vendor::Gemini => "https://generativelanguage.googleapis.com/v1beta",
        }
    }

    fn key_variable(self) -> &'static str {
        match self {
            Vendor::OpenAi => "OPENAI_API_KEY",
            Vendor::Anthropic => "ANTHROPIC_API_KEY",
            Vendor::Gemini => "GEMINI_API_KEY",
        }
    }

    pub(super) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Vendor::OpenAi => &OpenAi,
            Vendor::Anthropic => &Anthropic,
            Vendor::Gemini => &Gemini,
        }
    }
}

/// A key that is meant for any server of one's own. A vendor's key goes to that vendor only.
const OWN_KEY_VARIABLE: &str = "RONBUN_SERVER_KEY";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// What the comparison calls it.
    pub name: String,
    pub vendor: Vendor,
    /// What the server calls it.
    pub model: String,
    /// With its version: `http://localhost:8000/v1`; the vendor's own where none is named.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The environment's variable that holds the key.
    #[serde(default)]
    pub key_env: Option<String>,
    /// A program that prints the key.
    #[serde(default)]
    pub key_command: Option<Vec<String>>,
    /// Its name in the list of prices, if not `model`.
    #[serde(default)]
    pub price: Option<String>,
    /// Conversations at a time.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// No faster than this; 0 is as fast as it goes.
    #[serde(default)]
    pub requests_per_minute: u32,
    /// How long the server may be silent.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// How often a conversation is begun in all.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Keys of the request that this server does not take, such as `temperature`.
    #[serde(default)]
    pub omit: Vec<String>,
    /// What else goes into the request.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

fn concurrency() -> usize {
    4
}

fn timeout_seconds() -> u64 {
    600
}

fn attempts() -> u32 {
    6
}

impl Server {
    /// The server that `vendor:model` or `vendor:model@address` names; none where it is no such name.
    pub fn named(text: &str) -> Option<Server> {
        let (vendor, rest) = text.split_once(':')?;
        let vendor = Vendor::ALL.into_iter().find(|known| known.name() == vendor)?;
        let (model, base_url) = match rest.rsplit_once("@http") {
            Some((model, address)) => (model, Some(format!("http{address}"))),
            None => (rest, None),
        };
        Some(Server {
            name: text.to_string(),
            vendor,
            model: model.to_string(),
            base_url,
            key_env: None,
            key_command: None,
            price: None,
            concurrency: concurrency(),
            requests_per_minute: 0,
            timeout_seconds: timeout_seconds(),
            attempts: attempts(),
            omit: Vec::new(),
            extra: Map::new(),
        })
    }

    /// Refuses what cannot be, before anything is asked.
    pub fn check(&self) -> Result<()> {
        let refuse = |problem: &str, hint: &str| Err(Error::new(Kind::Usage, &self.name, problem).hint(hint));
        if self.model.is_empty() || self.name.is_empty() {
            return refuse("names no model", "write openai:MODEL, or openai:MODEL@http://HOST:PORT/v1");
        }
        let address = self.address();
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        if !["http", "https"].contains(&scheme) || host.is_empty() {
            return refuse("its address is neither http:// nor https://", "such as http://localhost:8000/v1");
        }
        if host.contains('@') || address.contains(['?', '#']) {
            return refuse("its address holds a user or a query", "give the key by `key-env` or `key-command`");
        }
        let bounds = [self.concurrency as u64, u64::from(self.attempts), self.timeout_seconds];
        if bounds.contains(&0) {
            return refuse("`concurrency`, `attempts` and `timeout-seconds` must be at least 1", "leave them out");
        }
        Ok(())
    }

    /// Without a slash at the end.
    pub(super) fn address(&self) -> &str {
        self.base_url.as_deref().unwrap_or(self.vendor.address()).trim_end_matches('/')
    }

    /// Whether it is the vendor itself.
    pub(super) fn is_vendors_own(&self) -> bool {
        self.address() == self.vendor.address()
    }

    /// The address as reports show it.
    pub fn destination(&self) -> String {
        self.address().to_string()
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// The key that the user named, else the vendor's for the vendor, else the one for servers of one's own. A server of
    /// one's own may have none. Errors: `Usage`, naming the variable that is missing.
    pub(super) fn key(&self) -> Result<Option<Key>> {
        if let Some(command) = &self.key_command {
            return Key::of_command(command).map(Some);
        }
        let variable = match (&self.key_env, self.is_vendors_own()) {
            (Some(named), _) => named.as_str(),
            (None, true) => self.vendor.key_variable(),
            (None, false) => return Ok(Key::of_environment(OWN_KEY_VARIABLE)),
        };
        let key = Key::of_environment(variable);
        key.map(Some).ok_or_else(|| {
            Error::new(Kind::Usage, &self.name, format!("needs a key, and {variable} is not set"))
                .hint("set it in the environment, or name a `key-command` in the experiment's file")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_a_word() {
        let server = Server::named("openai:Qwen/Qwen2.5-7B@http://localhost:8000/v1/").unwrap();
        assert_eq!((server.model.as_str(), server.address()), ("Qwen/Qwen2.5-7B", "http://localhost:8000/v1"));
        assert!(!server.is_vendors_own() && server.check().is_ok());
        let server = Server::named("anthropic:claude-sonnet-5-5").unwrap();
        assert!(server.is_vendors_own() && server.model == "claude-sonnet-5-5");
        for local in ["qwen2.5-coder-0.5b-q4_k_m", "C:model.gguf", "owner/name:file.gguf", "models/a.gguf"] {
            assert_eq!(Server::named(local), None, "{local}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut Server)| {
            let mut server = Server::named("openai:m").unwrap();
            change(&mut server);
            server.check().unwrap_err().problem
        };
        assert!(refused(|server| server.model.clear()).contains("no model"));
        assert!(refused(|server| server.base_url = Some("ftp://x".into())).contains("neither"));
        assert!(refused(|server| server.base_url = Some("http://me:sk-1@x/v1".into())).contains("user or a query"));
        assert!(refused(|server| server.base_url = Some("http://x/v1?key=1".into())).contains("user or a query"));
        assert!(refused(|server| server.concurrency = 0).contains("at least 1"));
    }
}
