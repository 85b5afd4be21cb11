//! The KV cache, and attention over it: a shared prefix that every sequence sees whole, and each sequence's own tail.

pub use ronbun_kernels::attention::{KvType, Shape};
use ronbun_kernels::{
    Isa,
    attention::{self as kernel, KvBlocks, Partial, Visible},
};

use rayon::prelude::*;

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
        self.layers.iter_mut().map(|layer| layer.truncate(len)).last().unwrap_or(0)
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
    let rows: usize = tails.iter().map(|tail| tail.rows).sum();
    let width = k.len() / rows.max(1);
    let mut first = 0;
    for tail in tails {
        let part = first * width..(first + tail.rows) * width;
        tail.cache.layers[layer].append(&k[part.clone()], &v[part]);
        first += tail.rows;
    }
}

/// Attends from `q` (rows of all tails, heads, head_dim), rotated, whose keys were appended: each row sees the whole prefix
/// and its own tail up to itself. Returns (rows, heads, head_dim).
pub fn attend(shape: Shape, layer: usize, q: &[f32], prefix: Option<&KvCache>, tails: &[Tail]) -> Vec<f32> {
    let isa = Isa::current();
    let q_row = shape.heads * shape.head_dim;
    let starts = tails.iter().scan(0, |next, tail| {
        *next += tail.rows;
        Some(*next - tail.rows)
    });
    let starts: Vec<usize> = starts.collect();
    let own = |(tail, &start): (&Tail, &usize)| {
        let kv = &tail.cache.layers[layer];
        let q = &q[start * q_row..(start + tail.rows) * q_row];
        kernel::attend(isa, shape, q, kv, Visible::Causal { first: kv.len() - tail.rows })
    };
    let mut parts: Vec<Partial> = tails.par_iter().zip(&starts).map(own).collect();
    let mut whole = match parts.len() {
        1 => parts.remove(0),
        _ => Partial {
            out: parts.iter().map(|part| part.out.as_slice()).collect::<Vec<_>>().concat(),
            lse: parts.iter().map(|part| part.lse.as_slice()).collect::<Vec<_>>().concat(),
        },
    };
    if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
        whole.merge(&kernel::attend(isa, shape, q, &prefix.layers[layer], Visible::All));
    }
    whole.out
}
