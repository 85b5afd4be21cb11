//! The one place of the command line that knows which engine runs a model.

use super::args::{Device, Generation, Positions};
use super::context::usage;
use crate::device::{self, Place};
use crate::generator::local::{LocalGenerator, ModelSource};
use crate::generator::{FileFact, Generator, ModelFacts, Plan, Prompt, Question, Reply, Sampling, Trial, Usage};
use crate::hub::{Hub, LocalModel, Weights};
use crate::model::PackedCache;
use crate::rope::{Factors, Method, Policy, Published};
use crate::{Error, Kind, Result};
use indicatif::{DecimalBytes, HumanCount};
use std::path::Path;

fn load_local(
    model: LocalModel,
    packed: PackedCache,
    generation: &Generation,
    place: Place,
) -> Result<Box<dyn Generator>> {
    limit_threads(generation.threads)?;
    let extension = policy(&generation.positions, Some(&model))?;
    let path = match model.weights {
        Weights::Gguf(file) => file,
        Weights::Safetensors { config, .. } => config.parent().unwrap_or(Path::new(".")).to_path_buf(),
    };
    let files = model.files.into_iter().map(|(name, bytes, sha256)| FileFact { name, bytes, sha256 }).collect();
    let chat_template = model.chat_template_override;
    let packed = Some(packed);
    let (id, tokenizer) = (model.id, model.tokenizer);
    let quantize = generation.weights.quantize;
    let source = ModelSource { id, path, tokenizer, chat_template, files, packed, quantize, extension, place };
    Ok(Box::new(LocalGenerator::load(source)?))
}

/// What the options ask for beside what the model's card tells.
pub fn policy(positions: &Positions, model: Option<&LocalModel>) -> Result<Policy> {
    let method = positions.rope.clone().unwrap_or_default();
    let searched = match (&method, model.and_then(|model| model.rope_factors.as_ref())) {
        (Method::LongRope(file), _) => {
            Some(Factors::read(file).map_err(|problem| bad_factors(file.display(), problem))?)
        }
        (_, Some((name, text))) => Some(Factors::parse(text).map_err(|problem| bad_factors(name, problem))?),
        (_, None) => None,
    };
    let published = model.and_then(|model| model.extension.clone()).map(|extension| Published {
        factor: extension.factor,
        original_context: extension.original_context as usize,
        source: extension.source,
    });
    let policy = Policy { reach: positions.context.unwrap_or_default(), method, published, searched };
    policy.check().map_err(|problem| usage("--context and --rope", &problem, "leave one of them out"))?;
    Ok(policy)
}

fn bad_factors(file: impl std::fmt::Display, problem: String) -> Error {
    Error::new(Kind::Usage, file, problem)
        .hint("the README shows the form of a file of factors; `ronbun rope show` tells a model's pairs and base")
}

/// The kernels' threads; all cores where the user named no number.
pub fn limit_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| usage("--threads", &error.to_string(), "set it once, at the start"))?;
    ronbun_kernels::pool::set_threads(threads);
    Ok(())
}

/// Asking for a device that this build knows nothing of is an error rather than a slow surprise.
pub fn check_device(device: Option<Device>) -> Result<()> {
    let name = match device {
        None | Some(Device::Auto | Device::Cpu) => return Ok(()),
        Some(Device::Cuda) if device::CUDA => return Ok(()),
        Some(Device::Cuda) => "--device cuda",
        Some(Device::Metal) => "--device metal",
    };
    let problem = match device::CUDA {
        true => "this build of ronbun computes on the CPU and on NVIDIA's GPUs",
        false => "this build of ronbun computes on the CPU only",
    };
    Err(usage(name, problem, "leave --device out, or write --device cpu"))
}

/// Where a model is to compute: without being asked on a GPU, where this build and this machine have one.
pub fn place(device: Option<Device>) -> Result<Place> {
    check_device(device)?;
    match device {
        Some(Device::Cuda) => Place::cuda(),
        None | Some(Device::Auto) => Ok(Place::cuda().unwrap_or_default()),
        Some(Device::Cpu | Device::Metal) => Ok(Place::Cpu),
    }
}

/// Loads `model`. `available` is the free memory before that, in bytes, of the CPU; on a GPU its own counts. A model whose
/// files exceed it is refused before loading, a paper whose cache does not fit beside it before prefill.
pub fn load(hub: &Hub, model: LocalModel, generation: &Generation, available: u64) -> Result<Box<dyn Generator>> {
    let place = place(generation.device)?;
    let available = place.free_memory()?.unwrap_or(available);
    let files = model.files.iter().map(|(_, bytes, _)| bytes).sum();
    let needed = generation.weights.quantize.map_or(files, |quantize| quantize.bytes_of(files));
    check_memory(&model.id, needed, "its files", available)?;
    let inner = load_local(model, packed_cache(hub), generation, place)?;
    Ok(Box::new(WithinMemory { inner, available }))
}

/// Where packed weights are kept, beside the models.
pub fn packed_cache(hub: &Hub) -> PackedCache {
    PackedCache { folder: hub.settings.cache_dir.join("packed"), progress: hub.settings.progress.clone() }
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

    fn answer_trials(
        &mut self,
        prompt: &Prompt,
        trials: &[Trial],
        watch: &mut dyn FnMut(crate::generator::Event),
        keep: &mut dyn FnMut(usize, Vec<Reply>, Usage) -> Result<()>,
    ) -> Result<()> {
        self.inner.answer_trials(prompt, trials, watch, keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_this_build_knows_nothing_of_is_refused() {
        for device in [None, Some(Device::Auto), Some(Device::Cpu)] {
            assert_eq!(check_device(device), Ok(()));
        }
        assert_eq!(check_device(Some(Device::Cuda)).is_ok(), device::CUDA);
        assert_eq!(check_device(Some(Device::Metal)).expect_err("in no build").kind, Kind::Usage);
        assert!(place(Some(Device::Cpu)).expect("is there").gpu().is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert_eq!(check_memory("m", 10, "itself", 10), Ok(()));
        let error = check_memory("m", 3_000_000_000, "itself", 2_000_000_000).expect_err("too large");
        assert_eq!(error.kind, Kind::Memory);
        assert!(error.problem.contains("3.00 GB") && error.problem.contains("2.00 GB"), "{error}");
    }
}
