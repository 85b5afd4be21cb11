//! A model's layers as parts, each of which computes in one place.

use super::{
    GPUS, Gpu, METAL, Place, failed,
    split::{Demand, GpuLayers, split},
};
use crate::{Error, Kind, Result};
use indicatif::DecimalBytes;
use ronbun_kernels::attention::KvType;
use std::{ops::Range, sync::Arc};

/// Layers that compute in one place.
#[derive(Debug, Clone)]
pub struct Part {
    pub place: Place,
    pub layers: Range<usize>,
    /// Bytes of weights there, those of the head among them.
    pub weights: u64,
    /// Those of the head, where the part ends with it.
    head: u64,
    /// Bytes that were free there before; on a GPU only.
    free: u64,
    /// Whether a GPU keeps keys and values as bytes.
    kv_bytes: bool,
}

/// What there is to compute on beside the CPU, and how much of a model is to go there.
#[derive(Debug, Clone, Default)]
pub struct Devices {
    first: Option<Arc<Gpu>>,
    layers: GpuLayers,
    /// Whether GPUs keep keys and values as bytes, rather than in 16 bits.
    kv_bytes: bool,
}

impl Devices {
    /// The GPUs that this build has kernels for. Fails where it has none, or none can be used.
    pub fn gpus(layers: GpuLayers) -> Result<Devices> {
        Ok(Devices::with(open(0)?, layers))
    }

    /// This GPU first.
    pub fn with(first: Arc<Gpu>, layers: GpuLayers) -> Devices {
        Devices { first: Some(first), layers, kv_bytes: false }
    }

    /// A GPU where this build and this machine have one.
    pub fn auto(layers: GpuLayers) -> Devices {
        Devices::gpus(layers).unwrap_or_default()
    }

    /// Whether nobody has said how many layers are to be on GPUs.
    pub fn layers_may_move(&self) -> bool {
        self.layers == GpuLayers::Auto
    }

    pub fn with_kv_as_bytes(self, kv_bytes: bool) -> Devices {
        Devices { kv_bytes, ..self }
    }

    /// The first GPU, if GPUs are to be used.
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        self.first.as_ref()
    }

    /// Where each layer of a model computes. GPUs after the first are opened where that has no room for all.
    pub fn parts(&self, demand: &Demand) -> Result<Vec<Part>> {
        let Some(first) = &self.first else { return Ok(vec![Part::cpu(0..demand.layers)]) };
        let wanted = match self.layers {
            GpuLayers::Auto => demand.layers,
            GpuLayers::Exactly(layers) => layers.min(demand.layers),
        };
        // A byte for each element, and the factors of blocks, in place of two.
        let token = if self.kv_bytes { demand.token * 9 / 16 } else { demand.token };
        let demand = &Demand { token, ..*demand };
        let mut gpus = vec![first.clone()];
        let mut free = vec![first.memory().map_err(failed)?.0];
        let mut shares = split(demand, self.layers, &free);
        if !shares.as_ref().is_ok_and(|shares| shares.iter().sum::<usize>() == wanted) {
            for number in 1..Gpu::count() {
                let gpu = open(number)?;
                free.push(gpu.memory().map_err(failed)?.0);
                gpus.push(gpu);
            }
            shares = split(demand, self.layers, &free);
        }
        let shares = shares.map_err(|most| too_many(wanted, most, demand, &free))?;
        let places = gpus.into_iter().map(Place::Gpu).zip(free).collect();
        let kept = |part: Part| Part { kv_bytes: self.kv_bytes && part.place.gpu().is_some(), ..part };
        Ok(lay_out(demand, places, &shares).into_iter().map(kept).collect())
    }
}

fn open(number: usize) -> Result<Arc<Gpu>> {
    let hint = "`ronbun doctor` tells what is missing; --device cpu computes without a GPU";
    let subject = format!("--device {GPUS}");
    let gpu = Gpu::open(number).map_err(|error| Error::new(Kind::Unavailable, subject, error).hint(hint))?;
    Ok(Arc::new(gpu))
}

fn too_many(wanted: usize, most: usize, demand: &Demand, free: &[u64]) -> Error {
    let [layer, free] = [demand.layer, free.iter().sum()].map(DecimalBytes);
    let problem = format!("{wanted} layers of {layer} each do not fit the {free} that are free on the GPU");
    Error::new(Kind::Memory, "--gpu-layers", problem).hint(format!("--gpu-layers {most}, or auto"))
}

/// Parts of the places' shares of the last layers, behind one of the CPU for those that nobody has taken.
fn lay_out(demand: &Demand, places: Vec<(Place, u64)>, shares: &[usize]) -> Vec<Part> {
    let mut next = demand.layers - shares.iter().sum::<usize>();
    let mut parts = vec![Part::cpu(0..next)];
    for ((place, free), share) in places.into_iter().zip(shares) {
        let layers = next..next + share;
        next = layers.end;
        let head = if next == demand.layers { demand.head } else { 0 };
        parts.push(Part { place, weights: demand.layer * *share as u64 + head, layers, head, free, kv_bytes: false });
    }
    parts.retain(|part| !part.layers.is_empty());
    parts
}

impl Part {
    pub fn cpu(layers: Range<usize>) -> Part {
        Part { place: Place::Cpu, layers, weights: 0, head: 0, free: 0, kv_bytes: false }
    }

    /// On a GPU that had only so many bytes free.
    #[cfg(test)]
    pub fn with_free(self, free: u64) -> Part {
        Part { free, ..self }
    }

    fn describe(&self) -> String {
        let kept = if self.kv_bytes { ", keys and values as bytes" } else { "" };
        format!("{}{kept}", self.place.describe())
    }

    /// How keys and values are kept there: by the CPU as `on_cpu` says.
    pub fn kept(&self, on_cpu: KvType) -> KvType {
        match (&self.place, self.kv_bytes) {
            (Place::Cpu, _) => on_cpu,
            (Place::Gpu(_), true) => KvType::I8,
            (Place::Gpu(_), false) => KvType::F16,
        }
    }

    /// How many of its layers there is room for with keys and values of `cache` bytes altogether.
    pub fn has_room_for(&self, demand: &Demand, cache: u64) -> usize {
        let layers = self.layers.len();
        match self.place {
            Place::Cpu => layers,
            Place::Gpu(_) => {
                let each = (self.weights - self.head + cache).div_ceil(layers.max(1) as u64).max(1);
                let room = self.free.saturating_sub(demand.working + self.head) / each;
                usize::try_from(room).unwrap_or(usize::MAX).min(layers)
            }
        }
    }

    /// Bytes of the weights of so many of its layers, and of their part of all layers' `cache`; with them those of the head.
    pub fn bytes_with(&self, cache: u64, layers: usize) -> u64 {
        self.head + (self.weights - self.head + cache) * layers as u64 / self.layers.len().max(1) as u64
    }

    /// Its last `staying` layers, and behind which of its first ones the CPU has to compute.
    pub fn cut(self, staying: usize) -> [Part; 2] {
        let Range { start, end } = self.layers;
        let weights = self.bytes_with(0, staying);
        [Part::cpu(start..end - staying), Part { layers: end - staying..end, weights, ..self }]
    }

    /// Refuses tokens whose keys and values, of `cache` bytes altogether, have no room beside the weights on a GPU.
    pub fn check_room(&self, demand: &Demand, cache: u64, tokens: usize) -> Result<()> {
        if self.weights + cache + demand.working <= self.free {
            return Ok(());
        }
        let [kept, weights, working, free] = [cache, self.weights, demand.working, self.free].map(DecimalBytes);
        let problem = format!(
            "keys and values of {tokens} tokens take {kept} of the GPU's memory, beside {weights} of weights and \
             {working} to compute with; {free} are free"
        );
        // As many tokens as this cache is of, in each layer.
        let held = cache / (demand.token * self.layers.len() as u64).max(1);
        let hint = match demand.fits(self.free, held) {
            0 => "--device cpu; a shorter text; or fewer questions at a time".to_string(),
            layers => format!("--gpu-layers {layers} keeps the others, with their keys and values, in main memory"),
        };
        let hint = if self.kv_bytes || METAL { hint } else { format!("--gpu-kv i8 halves them; or {hint}") };
        Err(Error::new(Kind::Memory, self.place.describe(), problem).hint(hint))
    }
}

/// What a report calls the parts' places.
pub fn describe(parts: &[Part]) -> String {
    if let [only] = parts {
        return only.describe();
    }
    let words = |part: &Part| {
        let Range { start, end } = part.layers;
        let weights = match part.place {
            Place::Cpu => String::new(),
            Place::Gpu(_) => format!(" with {} of weights", DecimalBytes(part.weights)),
        };
        format!("layers {start}-{} on {}{weights}", end - 1, part.describe())
    };
    parts.iter().map(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand { layers: 6, layer: 10, head: 7, token: 1, tokens: 4, working: 100 };

    #[test]
    fn the_cpu_takes_the_layers_before_those_of_gpus() {
        let places = || vec![(Place::Cpu, 0), (Place::Cpu, 0)];
        let of = |shares: &[usize]| {
            let parts = lay_out(&DEMAND, places(), shares);
            parts.into_iter().map(|part| (part.layers, part.weights)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[2, 1]), [(0..3, 0), (3..5, 20), (5..6, 17)]);
        assert_eq!(of(&[6, 0]), [(0..6, 67)]);
        assert_eq!(of(&[0, 0]), [(0..6, 0)]);
    }

    #[test]
    fn nothing_but_the_cpu_where_no_gpu_is_to_be_used() {
        let parts = Devices::default().parts(&DEMAND).expect("no GPU is asked");
        assert!(parts.len() == 1 && parts[0].layers == (0..6) && parts[0].place.gpu().is_none());
        assert!(describe(&parts).starts_with("cpu ("));
    }

    #[test]
    fn the_places_of_several_parts_are_told_with_their_layers() {
        let words = describe(&[Part::cpu(0..2), Part::cpu(2..6)]);
        assert!(words.starts_with("layers 0-1 on cpu (") && words.contains(", layers 2-5 on cpu ("), "{words}");
    }

    #[test]
    fn more_layers_than_fit_are_refused_with_how_many_would() {
        let error = too_many(6, 4, &DEMAND, &[3_000_000_000]);
        assert!(error.kind == Kind::Memory && error.problem.contains("3.00 GB"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("--gpu-layers 4")));
    }

    #[test]
    fn keys_and_values_that_do_not_fit_are_refused_with_what_would() {
        let part = Part { weights: 67, free: 200, ..Part::cpu(0..6) };
        assert_eq!(part.check_room(&DEMAND, 33, 5), Ok(()));
        let error = part.check_room(&DEMAND, 60, 10).expect_err("too much");
        // Each layer takes 10 bytes, and 10 more of keys and values; 93 are left of 200.
        assert!(error.kind == Kind::Memory && error.hint.as_ref().is_some_and(|hint| hint.contains("--gpu-layers 4")));
        let error = part.check_room(&DEMAND, 6000, 1000).expect_err("far too much");
        assert!(error.hint.is_some_and(|hint| hint.contains("--gpu-kv i8") && hint.contains("--device cpu")));
        let error = Part { kv_bytes: true, ..part }.check_room(&DEMAND, 6000, 1000).expect_err("far too much");
        assert!(error.hint.is_some_and(|hint| !hint.contains("--gpu-kv")), "they are bytes already");
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn a_build_without_kernels_says_so() {
        let error = Devices::gpus(GpuLayers::Auto).expect_err("no kernels");
        assert!(error.kind == Kind::Unavailable && error.problem.contains("this build"), "{error}");
    }
}
