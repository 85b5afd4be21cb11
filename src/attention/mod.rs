//! The KV cache, and attention over it: a shared prefix that every sequence sees whole, and each sequence's own tail.

pub use ronbun_kernels::attention::{KvType, Shape};
use ronbun_kernels::{
    Isa,
    attention::{self as kernel, Job, KvBlocks, Partial, Visible},
};

/// Keys and values of one sequence in all layers. Positions are the holder's business: a tail's first token stands right
/// after the prefix that it is used with.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<KvBlocks>,
}

impl KvCache {
    pub fn new(kind: KvType, layers: usize, kv_heads: usize, head_dim: usize) -> Self {
        KvCache { layers: vec![KvBlocks::new(kind, kv_heads, head_dim); layers] }
    }

    /// Tokens held by all layers.
    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, KvBlocks::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `len` tokens, or some fewer where they are kept in blocks that cannot be cut. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        // Work that was stopped has filled some layers further than others, and not every layer can be cut everywhere.
        let mut kept = len;
        loop {
            let shortest = self.layers.iter_mut().map(|layer| layer.truncate(kept)).min().unwrap_or(0);
            if shortest == kept || self.layers.iter().all(|layer| layer.len() == shortest) {
                return shortest;
            }
            kept = shortest;
        }
    }

    /// Bytes that `tokens` tokens take in all layers.
    pub fn bytes_for(kind: KvType, layers: usize, kv_heads: usize, head_dim: usize, tokens: usize) -> u64 {
        layers as u64 * KvBlocks::bytes_for(kind, kv_heads, head_dim, tokens) as u64
    }
}

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
        tail.cache.layers[layer].append(isa, k, v);
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
    let own = |tail: &Tail| tail.cache.layers[layer].len() - tail.rows..tail.cache.layers[layer].len();
    let behind = prefix.map_or(0, KvCache::len);
    let at: Vec<usize> = tails.iter().flat_map(own).map(|position| behind + position).collect();
    let len = if prefix.is_some() { q.len() } else { 0 };
    let mut found = Partial { out: vec![0.0; len], lse: vec![0.0; len / shape.head_dim] };
    // The long one first: the short ones fill up what its threads leave.
    let long = prefix.map(|prefix| {
        let Partial { out, lse } = &mut found;
        Job { q, kv: &prefix.layers[layer], visible: Visible::Behind { at: &at }, out, lse }
    });
    let parts = tails.iter().zip(split(q, width, tails));
    let parts = parts.zip(split_mut(out, width, tails)).zip(split_mut(&mut lse, shape.heads, tails));
    let short = parts.map(|(((tail, q), out), lse)| {
        let kv = &tail.cache.layers[layer];
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

    #[test]
    fn layers_that_were_filled_unevenly_are_cut_alike() {
        let mut cache = KvCache::new(KvType::I8, 3, 1, 16);
        for (layer, tokens) in cache.layers.iter_mut().zip([300, 300, 150]) {
            layer.append(Isa::current(), &vec![1.0; tokens * 16], &vec![2.0; tokens * 16]);
        }
        assert_eq!((cache.len(), cache.truncate(290)), (150, 128));
        assert!(cache.layers.iter().all(|layer| layer.len() == 128));
        assert_eq!(cache.truncate(500), 128);
    }
}
