//! What commands share: where lines and bars go, and the hub with the user's folders.

use super::args::Common;
use crate::hub::{Hub, Settings, default_cache_dir, default_config_dir};
use crate::progress::Progress;
use crate::{Error, Kind, Result};
use std::path::PathBuf;

pub struct Context {
    pub progress: Progress,
    pub offline: bool,
}

impl Context {
    pub fn new(common: Common) -> Context {
        let progress = Progress::new(common.quiet.unwrap_or(false), common.verbose.unwrap_or(false));
        Context { progress, offline: common.offline.unwrap_or(false) }
    }

    /// Reads the model cards, so a broken one of the user's is an error here.
    pub fn hub(&self) -> Result<Hub> {
        Hub::new(Settings {
            offline: self.offline,
            cache_dir: default_cache_dir(),
            cards_dir: default_config_dir().join("models"),
            progress: self.progress.clone(),
        })
    }
}

/// Where the user's own templates lie.
pub fn templates_dir() -> PathBuf {
    default_config_dir().join("templates")
}

/// An error about the command line itself.
pub fn usage(subject: &str, problem: &str, hint: &str) -> Error {
    Error::new(Kind::Usage, subject, problem).hint(hint)
}
