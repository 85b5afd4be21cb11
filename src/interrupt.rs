//! Ctrl-C as a flag that long work looks at, so that finished results are kept and nothing is left half written.

use crate::{Error, Kind, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Called by the signal handler.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// An error of kind [`Kind::Interrupted`] once Ctrl-C was pressed. Long loops call it at every step.
pub fn check() -> Result<()> {
    if requested() {
        return Err(Error::new(Kind::Interrupted, "interrupted", "stopped by Ctrl-C; finished papers are kept"));
    }
    Ok(())
}
