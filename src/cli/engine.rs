//! The one place of the command line that knows which engine runs a model.

use super::args::{Computing, Device, GpuKv, Local, Positions, Threads};
use super::context::usage;
use crate::device::{self, Devices, GpuLayers};
use crate::generator::local::{LocalGenerator, ModelSource};
use crate::generator::{FileFact, Generator, ModelFacts, Plan, Prompt, Question, Reply, Sampling, Trial, Usage};
use crate::hub::{Hub, LocalModel, Weights};
use crate::model::PackedCache;
use crate::rope::{Factors, Method, Policy, Published};
use crate::{Error, Kind, Result};
use indicatif::{DecimalBytes, HumanCount};
use std::path::Path;

fn load_local(model: LocalModel, packed: PackedCache, local: &Local, devices: Devices) -> Result<Box<dyn Generator>> {
    let extension = policy(&local.positions, Some(&model))?;
    let path = match model.weights {
        Weights::Gguf(file) => file,
        Weights::Safetensors { config, .. } => config.parent().unwrap_or(Path::new(".")).to_path_buf(),
    };
    let files = model.files.into_iter().map(|(name, bytes, sha256)| FileFact { name, bytes, sha256 }).collect();
    let chat_template = model.chat_template_override;
    let packed = Some(packed);
    let (id, tokenizer) = (model.id, model.tokenizer);
    let quantize = local.weights.quantize;
    let source = ModelSource { id, path, tokenizer, chat_template, files, packed, quantize, extension, devices };
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

/// Before anything is read or fetched: refuses what the options cannot have, and limits the kernels' threads.
pub fn prepare(local: &Local) -> Result<()> {
    check_device(local.computing)?;
    policy(&local.positions, None)?;
    limit_threads(local.threads)
}

/// The kernels' threads; all cores where the user named no number.
pub fn limit_threads(threads: Threads) -> Result<()> {
    let Some(threads) = threads.threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| usage("--threads", &error.to_string(), "set it once, at the start"))?;
    ronbun_kernels::pool::set_threads(threads);
    Ok(())
}

/// Asking for a device that this build knows nothing of is an error rather than a slow surprise.
fn check_device(computing: Computing) -> Result<()> {
    let Computing { device, gpu_layers, gpu_kv } = computing;
    let problem = match (device::CUDA, device::METAL) {
        (true, _) => "this build of ronbun computes on the CPU and on NVIDIA's GPUs",
        (_, true) => "this build of ronbun computes on the CPU and on a Mac's GPU",
        _ => "this build of ronbun computes on the CPU only",
    };
    let refuse = |name: &str| Err(usage(name, problem, "leave --device out, or write --device cpu"));
    match device {
        Some(Device::Metal) if !device::METAL => refuse("--device metal"),
        Some(Device::Cuda) if !device::CUDA => refuse("--device cuda"),
        Some(Device::Cpu) if wants_gpu(gpu_layers) => Err(no_gpu("--device cpu computes without a GPU")),
        Some(Device::Cpu) if gpu_kv == Some(GpuKv::I8) => Err(no_bytes("--device cpu computes without a GPU")),
        _ if wants_gpu(gpu_layers) && !device::CUDA && !device::METAL => Err(no_gpu(problem)),
        _ if gpu_kv == Some(GpuKv::I8) && !device::CUDA => Err(no_bytes(problem)),
        _ => Ok(()),
    }
}

fn wants_gpu(layers: Option<GpuLayers>) -> bool {
    layers.is_some_and(GpuLayers::need_gpu)
}

fn no_gpu(problem: &str) -> Error {
    usage("--gpu-layers", problem, "leave it out; `ronbun doctor` tells what there is to compute on")
}

fn no_bytes(problem: &str) -> Error {
    usage("--gpu-kv i8", problem, "leave it out: the CPU keeps keys and values as bytes by itself")
}

/// What a model is to compute on beside the CPU: without being asked a GPU, where this build and this machine have one.
pub fn devices(computing: Computing) -> Result<Devices> {
    let Computing { device, gpu_layers, gpu_kv } = computing;
    check_device(computing)?;
    let layers = gpu_layers.unwrap_or_default();
    let found = match device {
        Some(Device::Cuda | Device::Metal) => Devices::gpus(layers)?,
        None | Some(Device::Auto) => Devices::auto(layers),
        Some(Device::Cpu) => Devices::default(),
    };
    if wants_gpu(gpu_layers) && found.gpu().is_none() {
        return Err(no_gpu("no GPU can be used here"));
    }
    if gpu_kv == Some(GpuKv::I8) && found.gpu().is_none() {
        return Err(no_bytes("no GPU can be used here"));
    }
    Ok(found.with_kv_as_bytes(gpu_kv == Some(GpuKv::I8)))
}

/// Loads `model`, as was prepared for. `available` is the main memory that was free before, in bytes; GPUs tell their own.
/// A model whose files exceed it is refused before loading, where no GPU takes a part of it, and a paper whose cache does
/// not fit beside the model before prefill.
pub fn load(hub: &Hub, model: LocalModel, local: &Local, available: u64) -> Result<Box<dyn Generator>> {
    let devices = devices(local.computing)?;
    let files = model.files.iter().map(|(_, bytes, _)| bytes).sum();
    let needed = local.weights.quantize.map_or(files, |quantize| quantize.bytes_of(files));
    if devices.gpu().is_none() {
        check_memory(&model.id, needed, "its files", available)?;
    }
    let inner = load_local(model, packed_cache(hub), local, devices)?;
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

/// A generator that refuses what does not fit the main memory that was free before it was loaded.
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
        // A Mac's GPU has the main memory.
        let elsewhere = if device::METAL { 0 } else { plan.gpu_bytes };
        let needed = (plan.weight_bytes + plan.cache_bytes).saturating_sub(elsewhere);
        check_memory(&self.facts().id, needed, &what, self.available)?;
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
        let check = |device| check_device(Computing { device, ..Computing::default() });
        for device in [None, Some(Device::Auto), Some(Device::Cpu)] {
            assert_eq!(check(device), Ok(()));
        }
        for (device, there) in [(Device::Cuda, device::CUDA), (Device::Metal, device::METAL)] {
            assert_eq!(check(Some(device)).map_err(|error| error.kind), if there { Ok(()) } else { Err(Kind::Usage) });
        }
    }

    #[test]
    fn layers_for_a_gpu_need_one() {
        let on_cpu = |gpu_layers| devices(Computing { device: Some(Device::Cpu), gpu_layers, gpu_kv: None });
        assert!(on_cpu(None).expect("is there").gpu().is_none());
        assert!(on_cpu(Some(GpuLayers::Exactly(0))).is_ok() && on_cpu(Some(GpuLayers::Auto)).is_ok());
        assert_eq!(on_cpu(Some(GpuLayers::Exactly(3))).expect_err("no GPU").kind, Kind::Usage);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert_eq!(check_memory("m", 10, "itself", 10), Ok(()));
        let error = check_memory("m", 3_000_000_000, "itself", 2_000_000_000).expect_err("too large");
        assert_eq!(error.kind, Kind::Memory);
        assert!(error.problem.contains("3.00 GB") && error.problem.contains("2.00 GB"), "{error}");
    }
}
