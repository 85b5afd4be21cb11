//! The one place of the command line that knows which engine runs a model.

use super::args::Device;
use super::context::usage;
use crate::generator::{Generator, ModelFacts, Plan, Prompt, Question, Reply, Sampling, Usage};
use crate::hub::LocalModel;
use crate::progress::Progress;
use crate::{Error, Kind, Result};
use indicatif::{DecimalBytes, HumanCount};
use std::path::Path;

/// One step of a greedy continuation.
#[derive(Debug, Clone, serde::Serialize)]
pub struct GreedyStep {
    pub id: u32,
    pub logit: f32,
    /// The second likeliest token.
    pub runner_up: u32,
    pub runner_up_logit: f32,
}

// TEMPORARY until the engine is merged: the three functions below take their final arguments and refuse.

fn load_local(model: LocalModel, _threads: Option<usize>, _progress: Progress) -> Result<Box<dyn Generator>> {
    Err(Error::new(Kind::Internal, model.id, "the engine is not in this build yet"))
}

/// The logits after the last of `ids`.
pub fn logits(path: &Path, _ids: &[u32], _chunk: Option<usize>) -> Result<Vec<f32>> {
    Err(Error::new(Kind::Internal, path.display(), "the engine is not in this build yet"))
}

/// The likeliest `tokens` tokens after `ids`.
pub fn greedy(path: &Path, _ids: &[u32], _tokens: usize, _chunk: Option<usize>) -> Result<Vec<GreedyStep>> {
    Err(Error::new(Kind::Internal, path.display(), "the engine is not in this build yet"))
}

// End of what is temporary.

/// This build computes on the CPU only; asking for another device is an error rather than a slow surprise.
pub fn check_device(device: Option<Device>) -> Result<()> {
    let name = match device {
        None | Some(Device::Auto | Device::Cpu) => return Ok(()),
        Some(Device::Cuda) => "--device cuda",
        Some(Device::Metal) => "--device metal",
    };
    Err(usage(name, "this build of ronbun computes on the CPU only", "leave --device out, or write --device cpu"))
}

/// Loads `model`. `available` is the free memory before that, in bytes: a model whose files exceed it is refused before
/// loading, a paper whose cache does not fit beside it before prefill.
pub fn load(
    model: LocalModel,
    threads: Option<usize>,
    available: u64,
    progress: &Progress,
) -> Result<Box<dyn Generator>> {
    let needed = model.files.iter().map(|(_, bytes, _)| bytes).sum();
    check_memory(&model.id, needed, "its files", available)?;
    let inner = load_local(model, threads, progress.clone())?;
    Ok(Box::new(WithinMemory { inner, available }))
}

fn check_memory(model: &str, needed: u64, what: &str, available: u64) -> Result<()> {
    if needed <= available {
        return Ok(());
    }
    let problem = format!("needs {} for {what}, and {} are free", DecimalBytes(needed), DecimalBytes(available));
    Err(Error::new(Kind::Memory, model, problem).hint("`ronbun models recommend` tells what fits this machine"))
}

/// A generator that refuses what does not fit the memory that was free before it was loaded.
struct WithinMemory {
    inner: Box<dyn Generator>,
    available: u64,
}

impl Generator for WithinMemory {
    fn facts(&self) -> &ModelFacts {
        self.inner.facts()
    }

    fn plan(&self, prompt: &Prompt, questions: &[Question]) -> Result<Plan> {
        let plan = self.inner.plan(prompt, questions)?;
        let what = format!("itself and the cache of {} tokens", HumanCount(plan.longest_tokens as u64));
        check_memory(&self.facts().id, plan.weight_bytes + plan.cache_bytes, &what, self.available)?;
        Ok(plan)
    }

    fn answer(
        &mut self,
        prompt: &Prompt,
        questions: &[Question],
        sampling: &Sampling,
        watch: &mut dyn FnMut(crate::generator::Event),
    ) -> Result<(Vec<Reply>, Usage)> {
        self.inner.answer(prompt, questions, sampling, watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cpu_computes_here() {
        for device in [None, Some(Device::Auto), Some(Device::Cpu)] {
            assert_eq!(check_device(device), Ok(()));
        }
        for device in [Device::Cuda, Device::Metal] {
            assert_eq!(check_device(Some(device)).expect_err("not in this build").kind, Kind::Usage);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert_eq!(check_memory("m", 10, "itself", 10), Ok(()));
        let error = check_memory("m", 3_000_000_000, "itself", 2_000_000_000).expect_err("too large");
        assert_eq!(error.kind, Kind::Memory);
        assert!(error.problem.contains("3.00 GB") && error.problem.contains("2.00 GB"), "{error}");
    }
}
