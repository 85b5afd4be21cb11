//! The KV cache, and attention over it: a shared prefix that every sequence sees whole, and each sequence's own tail. Layers
//! that convolve instead keep there what they remember.

mod batch;
mod convolution;

pub use batch::GpuBatch;
pub use convolution::{Kernel, Memory, convolve};

use crate::{
    Result,
    device::{self, Place},
};
pub use ronbun_kernels::attention::{KvType, Shape};
use ronbun_kernels::{
    Isa,
    attention::{self as kernel, Job, KvBlocks, Partial, Visible, cut_alike},
};

/// Keys and values of one sequence in all layers that attend. Positions are the holder's business: a tail's first token
/// stands right after the prefix that it is used with.
pub struct KvCache {
    /// As the model's own parts; a decoder makes all caches that it is given.
    parts: Vec<Kept>,
    /// Of the layers that convolve, in their order.
    convolutions: Vec<Memory>,
}

/// Keys and values of the layers that compute in one place; of one at least.
struct Kept {
    /// The first of the layers, among all that attend.
    first: usize,
    layers: Layers,
}

enum Layers {
    Cpu(Vec<KvBlocks>),
    /// In 16 bits, or as bytes.
    Gpu(device::Cache),
}

impl KvCache {
    /// Of layers that attend, so many in each place, one after the other, and how each place keeps them.
    pub fn new<'a>(
        parts: impl IntoIterator<Item = (&'a Place, KvType, usize)>,
        kv_heads: usize,
        head_dim: usize,
    ) -> Self {
        let mut first = 0;
        let mut kept = |(place, kind, count): (&Place, KvType, usize)| {
            let as_bytes = kind == KvType::I8;
            let on_gpu = place.gpu().map(|gpu| device::Cache::new(gpu.clone(), count, kv_heads, head_dim, as_bytes));
            let on_cpu = || Layers::Cpu(vec![KvBlocks::new(kind, kv_heads, head_dim); count]);
            let kept = Kept { first, layers: on_gpu.map_or_else(on_cpu, Layers::Gpu) };
            first += count;
            kept
        };
        let parts = parts.into_iter().filter(|(.., count)| *count > 0);
        KvCache { parts: parts.map(&mut kept).collect(), convolutions: Vec::new() }
    }

    /// With what other layers remember, which convolve.
    pub fn with_convolutions(self, convolutions: Vec<Memory>) -> KvCache {
        KvCache { convolutions, ..self }
    }

    /// The same once more; `None` where it cannot be copied: on a GPU, and where layers convolve.
    pub fn copy(&self) -> Option<KvCache> {
        let copied = |part: &Kept| match &part.layers {
            Layers::Cpu(layers) => Some(Kept { first: part.first, layers: Layers::Cpu(layers.clone()) }),
            Layers::Gpu(_) => None,
        };
        let parts = self.parts.iter().map(copied).collect::<Option<_>>()?;
        self.convolutions.is_empty().then_some(KvCache { parts, convolutions: Vec::new() })
    }

    /// Tokens held by all layers.
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, Kept::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room on GPUs for `tokens` tokens altogether; on the CPU it is made as they come.
    pub fn make_room(&mut self, tokens: usize) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| match &mut part.layers {
            Layers::Cpu(_) => Ok(()),
            Layers::Gpu(cache) => cache.make_room(tokens).map_err(device::failed),
        })
    }

    /// Keeps the first `len` tokens, or some fewer where they are kept in blocks that cannot be cut. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        let mut kept = len;
        loop {
            let keys = cut_alike(&mut self.parts, kept, Kept::truncate, Kept::len);
            kept = self.convolutions.iter_mut().map(|memory| memory.truncate(keys)).min().unwrap_or(keys);
            if kept == keys {
                return kept;
            }
        }
    }

    /// Bytes that `tokens` tokens' keys and values take in so many layers of one place.
    pub fn bytes_for(
        place: &Place,
        kind: KvType,
        layers: usize,
        kv_heads: usize,
        head_dim: usize,
        tokens: usize,
    ) -> u64 {
        match place {
            Place::Cpu => layers as u64 * KvBlocks::bytes_for(kind, kv_heads, head_dim, tokens) as u64,
            Place::Gpu(_) => device::Cache::bytes_for(layers, kv_heads, head_dim, tokens, kind == KvType::I8),
        }
    }

    /// Where a layer's part stands among the parts.
    fn part_of(&self, layer: usize) -> usize {
        self.parts.partition_point(|part| part.first <= layer).saturating_sub(1)
    }

    /// A layer of those on the CPU.
    fn blocks(&self, layer: usize) -> &KvBlocks {
        match &self.parts[self.part_of(layer)] {
            Kept { first, layers: Layers::Cpu(layers) } => &layers[layer - first],
            _ => panic!("{MIXED}"),
        }
    }

    fn blocks_mut(&mut self, layer: usize) -> &mut KvBlocks {
        let part = self.part_of(layer);
        match &mut self.parts[part] {
            Kept { first, layers: Layers::Cpu(layers) } => &mut layers[layer - *first],
            _ => panic!("{MIXED}"),
        }
    }

    /// The cache on a GPU that a layer is kept in.
    fn on_gpu(&self, layer: usize) -> &device::Cache {
        match &self.parts[self.part_of(layer)].layers {
            Layers::Cpu(_) => panic!("{MIXED}"),
            Layers::Gpu(cache) => cache,
        }
    }

    fn on_gpu_mut(&mut self, layer: usize) -> &mut device::Cache {
        let part = self.part_of(layer);
        match &mut self.parts[part].layers {
            Layers::Cpu(_) => panic!("{MIXED}"),
            Layers::Gpu(cache) => cache,
        }
    }
}

impl Kept {
    fn len(&self) -> usize {
        match &self.layers {
            Layers::Cpu(layers) => layers.last().map_or(0, KvBlocks::len),
            Layers::Gpu(cache) => cache.len(),
        }
    }

    fn truncate(&mut self, len: usize) -> usize {
        match &mut self.layers {
            Layers::Cpu(layers) => cut_alike(layers, len, KvBlocks::truncate, KvBlocks::len),
            Layers::Gpu(cache) => cache.truncate(len),
        }
    }
}

/// A decoder makes all caches that it is given.
const MIXED: &str = "a cache of the CPU and one of a GPU in one batch";

/// The rows of one sequence in a batch, in order, and the cache they are appended to.
pub struct Tail<'a> {
    pub rows: usize,
    pub cache: &'a mut KvCache,
}

/// Appends the tails' keys and values of one layer, `k` and `v` (rows of all tails, kv_heads, head_dim), keys already
/// rotated.
pub fn append(layer: usize, k: &[f32], v: &[f32], tails: &mut [Tail]) {
    let isa = Isa::current();
    let rows: usize = tails.iter().map(|tail| tail.rows).sum();
    let width = k.len() / rows.max(1);
    let (k, v) = (split(k, width, tails), split(v, width, tails));
    for ((tail, k), v) in tails.iter_mut().zip(k).zip(v) {
        tail.cache.blocks_mut(layer).append(isa, k, v);
    }
}

/// Each tail's rows of `x`, of `width` elements each.
fn split<'a>(mut x: &'a [f32], width: usize, tails: &[Tail]) -> Vec<&'a [f32]> {
    let mut take = |tail: &Tail| {
        let (own, rest) = x.split_at(tail.rows * width);
        x = rest;
        own
    };
    tails.iter().map(&mut take).collect()
}

/// As [`split`], to be written to.
fn split_mut<'a>(mut x: &'a mut [f32], width: usize, tails: &[Tail]) -> Vec<&'a mut [f32]> {
    let mut take = |tail: &Tail| {
        let (own, rest) = std::mem::take(&mut x).split_at_mut(tail.rows * width);
        x = rest;
        own
    };
    tails.iter().map(&mut take).collect()
}

/// Attends from `q` (rows of all tails, heads, head_dim), rotated, whose keys were appended: each row sees the whole prefix
/// and its own tail up to itself, or as much of both as a window leaves. Fills `out` (rows, heads, head_dim).
pub fn attend(shape: Shape, layer: usize, q: &[f32], prefix: Option<&KvCache>, tails: &[Tail], out: &mut [f32]) {
    let isa = Isa::current();
    let width = shape.heads * shape.head_dim;
    let mut lse = vec![0f32; q.len() / shape.head_dim];
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let own = |tail: &Tail| {
        let len = tail.cache.blocks(layer).len();
        len - tail.rows..len
    };
    let behind = prefix.map_or(0, KvCache::len);
    let at: Vec<usize> = tails.iter().flat_map(own).map(|position| behind + position).collect();
    let len = if prefix.is_some() { q.len() } else { 0 };
    let mut found = Partial { out: vec![0.0; len], lse: vec![0.0; len / shape.head_dim] };
    // The long one first: the short ones fill up what its threads leave.
    let long = prefix.map(|prefix| {
        let Partial { out, lse } = &mut found;
        Job { q, kv: prefix.blocks(layer), visible: Visible::Behind { at: &at }, out, lse }
    });
    let parts = tails.iter().zip(split(q, width, tails));
    let parts = parts.zip(split_mut(out, width, tails)).zip(split_mut(&mut lse, shape.heads, tails));
    let short = parts.map(|(((tail, q), out), lse)| {
        let kv = tail.cache.blocks(layer);
        Job { q, kv, visible: Visible::Causal { first: kv.len() - tail.rows }, out, lse }
    });
    kernel::attend_all(isa, shape, &mut long.into_iter().chain(short).collect::<Vec<_>>());
    if len > 0 {
        kernel::merge(out, &mut lse, &found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(parts: &[usize], lengths: [usize; 3]) -> KvCache {
        let mut cache = KvCache::new(parts.iter().map(|count| (&Place::Cpu, KvType::I8, *count)), 1, 16);
        for (layer, tokens) in lengths.into_iter().enumerate() {
            cache.blocks_mut(layer).append(Isa::current(), &vec![1.0; tokens * 16], &vec![2.0; tokens * 16]);
        }
        cache
    }

    #[test]
    fn layers_that_were_filled_unevenly_are_cut_alike() {
        for parts in [&[3][..], &[1, 2], &[2, 1], &[0, 2, 0, 1, 0]] {
            let mut cache = filled(parts, [300, 300, 150]);
            assert_eq!((cache.len(), cache.truncate(290)), (150, 128));
            assert!((0..3).all(|layer| cache.blocks(layer).len() == 128));
            assert_eq!(cache.truncate(500), 128);
            // The first block is in bytes, too.
            assert_eq!(cache.truncate(100), 0);
        }
    }

    #[test]
    fn each_layer_is_found_in_its_part() {
        let cache = filled(&[2, 1], [64, 128, 192]);
        assert_eq!([0, 1, 2].map(|layer| cache.blocks(layer).len()), [64, 128, 192]);
    }

    #[test]
    fn what_convolutions_remember_is_cut_with_keys_and_values() {
        let memories = [0; 2].map(|_| Memory::new(&Place::Cpu, 3, 4)).into();
        let mut cache = KvCache::new([(&Place::Cpu, KvType::F32, 1)], 1, 16).with_convolutions(memories);
        let kernel = Kernel::new(4, vec![1.0; 12], None, &Place::Cpu).expect("a kernel");
        // The work was stopped before the second convolution.
        cache.blocks_mut(0).append(Isa::current(), &vec![1.0; 600 * 16], &vec![2.0; 600 * 16]);
        for (layer, rows) in [(0, 600), (1, 300)] {
            let (bcx, mut out) = (vec![1.0; rows * 12], vec![0.0; rows * 4]);
            convolve(layer, &kernel, &bcx, None, &mut [Tail { rows, cache: &mut cache }], &mut out);
        }
        assert_eq!((cache.truncate(590), cache.len()), (256, 256));
        assert_eq!(cache.truncate(600), 256);
    }
}
