//! Where a decoder's time goes.

use crate::device::Part;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Embedding,
    /// Projections of attention and MLP.
    Linears,
    /// Rotary embedding, and keys and values put into the cache.
    Cache,
    Attention,
    /// Norms, gated activation, residual sums.
    Elementwise,
    /// The final norm and the logits.
    Head,
}

impl Stage {
    pub const ALL: [Stage; 6] =
        [Stage::Embedding, Stage::Linears, Stage::Cache, Stage::Attention, Stage::Elementwise, Stage::Head];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Embedding => "embedding",
            Stage::Linears => "linears",
            Stage::Cache => "cache",
            Stage::Attention => "attention",
            Stage::Elementwise => "elementwise",
            Stage::Head => "head",
        }
    }
}

/// Time by stage since the last [`Profile::take`].
#[derive(Debug, Default)]
pub struct Profile {
    nanoseconds: [AtomicU64; Stage::ALL.len()],
    /// Whose work each stage waits for: without that a GPU's stages take the time of their beginning only.
    waits_for: Vec<Part>,
}

impl Profile {
    pub(super) fn time<R>(&self, stage: Stage, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        // What fails here fails where the result is used.
        let _ = self.waits_for.iter().try_for_each(|part| part.place.finish());
        let passed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(passed, Ordering::Relaxed);
        result
    }

    /// Has each stage wait until these parts' devices have done it, which makes the whole slower.
    pub fn wait_for(&mut self, parts: &[Part]) {
        self.waits_for = parts.to_vec();
    }

    /// The time by stage, which is counted from zero again.
    pub fn take(&self) -> [(Stage, Duration); Stage::ALL.len()] {
        Stage::ALL.map(|stage| {
            let passed = self.nanoseconds[stage as usize].swap(0, Ordering::Relaxed);
            (stage, Duration::from_nanos(passed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_by_stage_and_taken_once() {
        let profile = Profile::default();
        let answer = profile.time(Stage::Attention, || {
            std::thread::sleep(Duration::from_millis(1));
            42
        });
        assert_eq!(answer, 42);
        for (stage, time) in profile.take() {
            assert_eq!(time > Duration::ZERO, stage == Stage::Attention, "{}", stage.name());
        }
        assert!(profile.take().iter().all(|(_, time)| time.is_zero()));
    }
}
