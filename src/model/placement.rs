//! What a model takes of a GPU, from its shape and its files, and what a decoder's caches take of each device.

use super::{Checkpoint, Config, Decoder, PackedCache, PackedWeights, TensorView, layer::Tensors};
use crate::{
    Result,
    attention::{KvCache, KvType, Memory},
    device::{Demand, Part, Place},
};
use ronbun_kernels::blocks::BlockType;
use std::path::PathBuf;

pub use ronbun_kernels::cuda::extent::CHUNK as GPU_CHUNK;

/// Tokens whose keys and values there is to be room for on a GPU, however many of its layers that leaves to the CPU: more
/// than most papers have.
const ROOM: usize = 16_384;
/// Bytes that CUDA, cuBLAS and small things take, or on a Mac blocks of scores and of widened keys.
const LIBRARIES: u64 = 512 << 20;

impl Checkpoint {
    /// What splits the layers between GPUs and the CPU.
    pub fn demand(&self) -> Demand {
        let config = &self.config;
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            self.tensors.iter().filter(|(name, _)| wanted(name)).map(|(_, view)| bytes_on_gpu(view)).sum::<u64>()
        };
        let head = match sum(&|name| name == "lm_head.weight") {
            // The embedding's other use.
            0 => sum(&|name| name == "model.embed_tokens.weight"),
            own => own,
        };
        let layers = config.num_hidden_layers;
        // Keys and values are those of the layers that attend, whatever a layer's share.
        let attending = (2 * 2 * config.num_key_value_heads * config.head_dim * config.attending()) as u64;
        let convolved = if config.attending() < layers { 3 * config.hidden_size } else { 0 };
        let inner = 2 * config.intermediate_size + 3 * config.hidden_size + convolved;
        let attention = (3 * config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim;
        Demand {
            layers,
            layer: sum(&|name| name.starts_with("model.layers.")).div_ceil(layers.max(1) as u64),
            head,
            token: attending.div_ceil(layers.max(1) as u64),
            tokens: ROOM.min(config.context_length) as u64,
            // In 16 bits, and twice that for what a quantised product turns its operands into.
            working: LIBRARIES + (3 * 2 * GPU_CHUNK * (inner + attention)) as u64,
        }
    }
}

/// Quantised matrices stay as they are, all others are kept in 16 bits.
fn bytes_on_gpu(view: &TensorView) -> u64 {
    let elements: usize = view.shape.iter().product();
    match view.kind {
        BlockType::F32 | BlockType::F16 | BlockType::BF16 => 2 * elements as u64,
        _ => view.range.len() as u64,
    }
}

impl Decoder {
    /// A cache for one sequence; `kind` is how the CPU keeps keys and values.
    pub fn new_cache(&self, kind: KvType) -> KvCache {
        let parts = self.parts.iter().map(|part| (&part.place, part.kept(kind), self.attending(part)));
        let keys = KvCache::new(parts, self.config.num_key_value_heads, self.config.head_dim);
        let channels = self.config.hidden_size;
        let memories = |part| self.convolutions(part).map(|length| Memory::new(&part.place, length, channels));
        keys.with_convolutions(self.parts.iter().flat_map(memories).collect())
    }

    /// Bytes of a cache for `tokens` tokens, on all devices.
    pub fn cache_bytes(&self, kind: KvType, tokens: usize) -> u64 {
        self.parts.iter().map(|part| self.part_bytes(part, kind, tokens)).sum()
    }

    fn part_bytes(&self, part: &Part, kind: KvType, tokens: usize) -> u64 {
        let Config { num_key_value_heads, head_dim, hidden_size, .. } = self.config;
        let keys = KvCache::bytes_for(
            &part.place,
            part.kept(kind),
            self.attending(part),
            num_key_value_heads,
            head_dim,
            tokens,
        );
        let memories = self.convolutions(part);
        keys + memories.map(|length| Memory::bytes_for(&part.place, length, hidden_size, tokens)).sum::<u64>()
    }

    /// Bytes of a token's keys and values that attention reads, in all layers; on GPUs, where those that are kept as bytes are
    /// counted without their factors.
    pub fn token_bytes(&self) -> u64 {
        let of_part = |part: &Part| {
            let element = if part.kept(KvType::F16) == KvType::I8 { 1 } else { 2 };
            2 * self.config.num_key_value_heads * self.config.head_dim * element * self.attending(part)
        };
        self.parts.iter().map(of_part).sum::<usize>() as u64
    }

    /// Layers of a part that attend.
    fn attending(&self, part: &Part) -> usize {
        self.config.numbers(part.layers.clone())[0].len()
    }

    /// The lengths of the convolutions of a part's layers.
    fn convolutions(&self, part: &Part) -> impl Iterator<Item = usize> {
        self.config.layers[part.layers.clone()].iter().filter_map(|layer| layer.convolution)
    }

    fn on_gpus(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.place.gpu().is_some())
    }

    /// Whether a GPU computes a part of it.
    pub fn uses_gpu(&self) -> bool {
        self.on_gpus().next().is_some()
    }

    /// Bytes on GPUs of weights and of caches, one for each number of tokens, without those of layers that
    /// [`Decoder::leave_room`] would take from them, and whether there are such. Caches that have no room there even so are
    /// refused, and all that have none where no layer may leave.
    pub fn gpu_bytes(&self, kind: KvType, caches: &[usize], may_leave: bool) -> Result<(u64, bool)> {
        let (mut all, mut leave) = (0, false);
        for part in self.on_gpus() {
            let cache = self.bytes_of(part, kind, caches);
            let (layers, staying) = (part.layers.len(), part.has_room_for(&self.demand, cache));
            if staying == 0 || (staying < layers && !may_leave) {
                part.check_room(&self.demand, cache, caches.iter().sum())?;
            }
            all += part.bytes_with(cache, staying);
            leave |= staying < layers;
        }
        Ok((all, leave))
    }

    /// Bytes of a part's caches, one for each number of tokens.
    fn bytes_of(&self, part: &Part, kind: KvType, caches: &[usize]) -> u64 {
        caches.iter().map(|tokens| self.part_bytes(part, kind, *tokens)).sum()
    }

    /// Has the CPU compute layers whose weights and caches, one for each number of tokens, have no room on a GPU. `open` opens
    /// the model again where there are such, and tells its file; matrices are multiplied as [`Decoder::load`] says. Returns
    /// whether there were: then caches that were made before are of no use.
    pub fn leave_room(
        &mut self,
        kind: KvType,
        caches: &[usize],
        open: impl FnOnce() -> Result<(Checkpoint, PathBuf)>,
        cache: Option<&PackedCache>,
    ) -> Result<bool> {
        let staying = |part: &Part| part.has_room_for(&self.demand, self.bytes_of(part, kind, caches)).max(1);
        let staying: Vec<usize> = self.parts.iter().map(staying).collect();
        if self.parts.iter().zip(&staying).all(|(part, staying)| part.layers.len() == *staying) {
            return Ok(false);
        }
        let (checkpoint, source) = open()?;
        let packed = cache.map_or(Ok(None), |cache| PackedWeights::of(&checkpoint, &source, cache))?;
        let tensors = Tensors { checkpoint: &checkpoint, packed: packed.as_ref(), place: &Place::Cpu };
        let cut = self.parts.iter().cloned().zip(staying).flat_map(|(part, staying)| part.cut(staying));
        let parts: Vec<Part> = cut.filter(|part| !part.layers.is_empty()).collect();
        let on_gpus = |parts: &[Part], number: usize| {
            parts.iter().any(|part| part.place.gpu().is_some() && part.layers.contains(&number))
        };
        let moving = (0..self.layers.len()).filter(|number| on_gpus(&self.parts, *number) && !on_gpus(&parts, *number));
        // All or none: a file that cannot be read any more leaves everything where it is.
        let moved = moving.map(|number| Ok((number, tensors.layer(number)?))).collect::<Result<Vec<_>>>()?;
        moved.into_iter().for_each(|(number, layer)| self.layers[number] = layer);
        self.parts = joined(parts);
        Ok(true)
    }

    /// Waits until what was begun on any device is done, so that it can be timed.
    pub fn finish(&self) -> Result<()> {
        self.parts.iter().try_for_each(|part| part.place.finish())
    }
}

/// With neighbours on the CPU as one part.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if last.place.gpu().is_none() && part.place.gpu().is_none() => last.layers.end = part.layers.end,
            _ => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{self, Devices, GpuLayers},
        model::Sequence,
    };
    use candle_core::DType;
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    /// A file of a model whose first and last layers convolve.
    const LFM2: &str = "families/lfm2/yarn.gguf";

    fn open(name: &str) -> Checkpoint {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
        Checkpoint::open(&folder).expect("a checkpoint")
    }

    #[test]
    fn a_gpu_is_asked_for_what_it_would_hold() {
        let checkpoint = open("llama-sharded-bf16");
        let demand = checkpoint.demand();
        // Norms too, all of bf16; embedding and head are not the layers'.
        let ends: usize = [2 * 320 * 64, 64].into_iter().sum();
        assert_eq!(2 * demand.layer, checkpoint.weight_bytes() - 2 * ends as u64);
        assert_eq!((demand.layers, demand.head, demand.token), (2, 2 * 320 * 64, 2 * 2 * 2 * 16));
        assert_eq!(open("llama-tied-f32").demand(), demand, "f32 is rounded, and a tied embedding is a head too");
        let lfm2 = open(LFM2);
        let Config { num_key_value_heads, head_dim, .. } = lfm2.config;
        let (demand, two) = (lfm2.demand(), 2 * 2 * 2 * num_key_value_heads * head_dim);
        assert_eq!((demand.layers, demand.token), (4, two as u64 / 4), "two of four layers keep keys");
    }

    #[test]
    fn a_decoder_in_parts_computes_the_same() {
        // Parts that convolve alone hold no keys.
        for (name, ends) in [("llama-tied-f32", &[1][..]), ("qwen2-untied-f32", &[1]), (LFM2, &[1, 2, 3])] {
            let checkpoint = open(name);
            let whole = Decoder::on(&Devices::default(), &checkpoint, Path::new(name), None).expect("loads").0;
            let ends: Vec<usize> = [&[0], ends, &[checkpoint.config.num_hidden_layers]].concat();
            let parts = ends.windows(2).map(|ends| Part::cpu(ends[0]..ends[1])).collect();
            let split = Decoder::at(parts, &checkpoint, None).expect("loads");
            let [expected, got] = [&whole, &split].map(|decoder| {
                let [mut prefix, mut tail] = [(); 2].map(|()| decoder.new_cache(KvType::F32));
                decoder.extend(&[5, 6, 7, 8], &mut prefix).expect("reads");
                let sequence = Sequence { ids: &[9, 10], cache: &mut tail };
                let hidden = decoder.forward(Some(&prefix), &mut [sequence]).expect("computes");
                assert_eq!((prefix.len(), tail.len()), (4, 2));
                let cut = prefix.truncate(2);
                assert_eq!(cut, if name == LFM2 { 0 } else { 2 });
                decoder.logits(&hidden, &[1]).expect("logits")
            });
            assert_eq!(got, expected);
            assert_eq!(split.cache_bytes(KvType::I8, 100), whole.cache_bytes(KvType::I8, 100));
            assert_eq!((split.uses_gpu(), split.gpu_bytes(KvType::I8, &[100], true)), (false, Ok((0, false))));
        }
    }

    /// Logits behind a prefix, of two branches at two steps.
    fn logits(decoder: &Decoder) -> Vec<f32> {
        let [mut prefix, mut first, mut second] = [(); 3].map(|()| decoder.new_cache(KvType::F32));
        prefix.make_room(9).expect("room");
        for ids in [&[5, 6, 7, 8, 9][..], &[10, 11]] {
            decoder.extend(ids, &mut prefix).expect("reads");
        }
        let mut all = Vec::new();
        for (a, b) in [(&[12, 13, 14][..], &[20][..]), (&[15], &[21])] {
            let mut branches = [Sequence { ids: a, cache: &mut first }, Sequence { ids: b, cache: &mut second }];
            let hidden = decoder.forward(Some(&prefix), &mut branches).expect("computes");
            all.extend(decoder.logits(&hidden, &[a.len() - 1, a.len()]).expect("logits").concat());
        }
        assert_eq!((prefix.len(), first.len(), second.len()), (7, 4, 2));
        let convolves = decoder.config.attending() < decoder.config.num_hidden_layers;
        assert_eq!(first.truncate(2), if convolves { 0 } else { 2 });
        all
    }

    /// Tiny models of all types of weights and of all families.
    fn all_models() -> Vec<(PathBuf, Checkpoint)> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        let within = |folder: &Path| {
            let entries = fs::read_dir(folder).expect("fixtures");
            entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
        };
        let folders = [within(&models), within(&models.join("families"))].concat();
        let folders: Vec<PathBuf> = folders.into_iter().filter(|path| path.is_dir()).collect();
        let files = folders.iter().flat_map(|folder| within(folder));
        let files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "gguf")).collect();
        let hub = folders.into_iter().filter(|folder| folder.join("config.json").is_file());
        // One file is a vocabulary alone.
        let open = |path: PathBuf| Checkpoint::open(&path).ok().map(|checkpoint| (path, checkpoint));
        hub.chain(files).filter_map(open).collect()
    }

    #[test]
    fn a_gpu_computes_what_the_cpu_does() {
        let models = all_models();
        assert_eq!(models.len(), 22);
        for (path, checkpoint) in models {
            let expected = logits(&Decoder::new(&checkpoint).expect("loads"));
            let largest = expected.iter().fold(0f32, |most, logit| most.max(logit.abs()));
            for gpu in device::tests::gpus() {
                // Of the largest logit. Tiny models are less even than large ones: 16 bits change some logits by 3 %.
                let tolerance = if gpu.dtype() == DType::F32 { 2e-5 } else { 6e-2 };
                for layers in [GpuLayers::Auto, GpuLayers::Exactly(1)] {
                    let decoder = Decoder::on(&Devices::with(gpu.clone(), layers), &checkpoint, &path, None);
                    let decoder = decoder.expect("loads").0;
                    assert!(
                        decoder.uses_gpu()
                            && decoder
                                .gpu_bytes(KvType::F32, &[100], false)
                                .is_ok_and(|(bytes, leave)| bytes > 0 && !leave)
                    );
                    let got = logits(&decoder);
                    let error = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                    let what = format!("{} with {layers:?} in {:?}", path.display(), gpu.dtype());
                    assert!(error <= tolerance * largest, "{what}: {error} of {largest}");
                }
            }
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_paper_without_room_on_a_gpu_moves_layers_to_the_cpu() {
        const CACHES: [usize; 2] = [900, 20];
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/llama-tied-f32");
        let checkpoint = open("llama-tied-f32");
        let gpu = std::sync::Arc::new(device::Gpu::on(candle_core::Device::Cpu, DType::F32));
        let devices = Devices::with(gpu, GpuLayers::Auto);
        let mut decoder = Decoder::on(&devices, &checkpoint, &path, None).expect("loads").0;
        let expected = logits(&decoder);
        let again = || Ok((Checkpoint::open(&path)?, path.clone()));
        assert_eq!(decoder.leave_room(KvType::F32, &CACHES, || panic!("has room"), None), Ok(false));

        let (whole, _) = decoder.gpu_bytes(KvType::F32, &CACHES, false).expect("has room");
        let tight = decoder.parts.remove(0).with_free(decoder.demand.working + whole * 3 / 4);
        decoder.parts.push(tight);
        let refused = decoder.gpu_bytes(KvType::F32, &CACHES, false).expect_err("no layer may leave");
        assert_eq!(refused.kind, crate::Kind::Memory);
        // The head stays, and one of two layers.
        let head = decoder.demand.head;
        assert_eq!(decoder.gpu_bytes(KvType::F32, &CACHES, true), Ok((head + (whole - head) / 2, true)));
        assert_eq!(decoder.leave_room(KvType::F32, &CACHES, again, None), Ok(true));
        let layers: Vec<_> =
            decoder.parts.iter().map(|part| (part.layers.clone(), part.place.gpu().is_some())).collect();
        assert_eq!(layers, [(0..1, false), (1..2, true)]);
        assert_eq!(decoder.leave_room(KvType::F32, &CACHES, || panic!("has room now"), None), Ok(false));
        let largest = expected.iter().fold(0f32, |most, logit| most.max(logit.abs()));
        let errors = logits(&decoder).into_iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(errors.fold(0f32, f32::max) <= 2e-5 * largest);

        // Not one layer has room: nothing to be done.
        let none = decoder.parts.remove(1).with_free(decoder.demand.working);
        decoder.parts.push(none);
        assert_eq!(decoder.gpu_bytes(KvType::F32, &CACHES, true).expect_err("no room").kind, crate::Kind::Memory);
    }
}
