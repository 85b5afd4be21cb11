//! New tokens of some sequences behind a prefix: their keys into the caches, their queries over them.

use super::{
    attention::{self, Blocks, Seen},
    cache::{Cache, Layer},
    gpu::{Gpu, put},
};
use candle_core::{DType, Result, Tensor, bail};
use ronbun_kernels::{attention::Shape, elementwise::Pairing};
use std::{ops::Range, sync::Arc};

/// Head sizes that candle's fused attention has for many tokens.
const FUSED: [usize; 7] = [32, 64, 72, 80, 96, 128, 256];
/// Rows of its tiles; its tiles of keys divide them.
const TILE: usize = 32;

/// Cosines and sines of a batch's positions, (tokens, pairs) in f32 each.
pub type Angles<'a> = (&'a Tensor, &'a Tensor, Pairing);

pub struct Batch {
    gpu: Arc<Gpu>,
    /// New tokens of each tail.
    rows: Vec<usize>,
    tokens: usize,
    layers: Vec<Kept>,
    /// A layer's queries, turned: (tokens, heads, head_dim) in f32.
    queries: Tensor,
}

/// What was kept of a layer when the batch was made.
struct Kept {
    prefix: Option<Layer>,
    tails: Vec<Layer>,
}

impl Batch {
    /// `tails` are new tokens and the cache that they are appended to; `heads` is the number of query heads.
    pub fn new(
        gpu: Arc<Gpu>,
        heads: usize,
        prefix: Option<&Cache>,
        tails: &mut [(usize, &mut Cache)],
    ) -> Result<Batch> {
        let Some((_, first)) = tails.first() else { bail!("a batch without sequences") };
        let (layers, head_dim) = (first.layers(), first.head_dim());
        for (rows, cache) in tails.iter_mut() {
            cache.reserve(*rows)?;
        }
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let kept = |layer: usize| Kept {
            prefix: prefix.map(|prefix| prefix.layer(layer)),
            tails: tails.iter().map(|(_, cache)| cache.layer(layer)).collect(),
        };
        let rows: Vec<usize> = tails.iter().map(|(rows, _)| *rows).collect();
        let tokens = rows.iter().sum();
        let queries = Tensor::zeros((tokens, heads, head_dim), DType::F32, &gpu.device())?;
        Ok(Batch { gpu, tokens, rows, layers: (0..layers).map(kept).collect(), queries })
    }

    /// Puts keys, turned, and values (tokens, kv_heads · head_dim) of a layer at the end of the tails' caches, which are those
    /// that the batch was made of, and keeps the queries (tokens, heads · head_dim), turned, for [`Batch::attend`].
    pub fn append(
        &self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        turn: Option<Angles>,
        tails: &mut [&mut Cache],
    ) -> Result<()> {
        let head_dim = self.queries.dim(2)?;
        put(&self.turned(q, head_dim, turn)?, &self.queries)?;
        let k = self.turned(k, head_dim, turn)?.to_dtype(self.gpu.dtype())?;
        let mut first = 0;
        for (cache, rows) in tails.iter_mut().zip(&self.rows) {
            cache.append(layer, &k.narrow(0, first, *rows)?, &v.narrow(0, first, *rows)?)?;
            first += rows;
        }
        Ok(())
    }

    /// Attends from the queries that [`Batch::append`] was last given, which were this layer's, into `out` (tokens, heads ·
    /// head_dim).
    pub fn attend(&self, layer: usize, shape: Shape, out: &Tensor) -> Result<()> {
        let q = &self.queries;
        let fused = self.fused_tokens(layer, shape);
        let mut found = Vec::new();
        if fused > 0 {
            found.push(self.fused(layer, shape, &q.narrow(0, 0, fused)?)?);
        }
        if fused < self.tokens {
            let q = q.narrow(0, fused, self.tokens - fused)?;
            found.push(attention::attend(shape, &q, &self.seen(layer, shape.window, fused)?, Blocks::default())?);
        }
        put(&Tensor::cat(&found, 0)?, out)
    }

    /// Queries or keys (tokens, heads · head_dim) as (tokens, heads, head_dim) in f32, turned.
    fn turned(&self, x: &Tensor, head_dim: usize, turn: Option<Angles>) -> Result<Tensor> {
        let x = x.to_dtype(DType::F32)?.reshape((self.tokens, (), head_dim))?;
        turn.map_or(Ok(x.clone()), |angles| turned(&x, angles))
    }

    /// How many of the first tokens candle's fused attention computes: on Metal, those of one sequence alone.
    fn fused_tokens(&self, layer: usize, shape: Shape) -> usize {
        match (&self.layers[layer], self.rows.as_slice()) {
            (Kept { prefix: None, tails }, [rows]) if self.gpu.device().is_metal() => {
                fused_rows(shape, tails[0].len(), *rows)
            }
            _ => 0,
        }
    }

    fn fused(&self, layer: usize, shape: Shape, q: &Tensor) -> Result<Tensor> {
        let own = &self.layers[layer].tails[0];
        let (keys, values) = own.first(own.len() + q.dim(0)?)?;
        let heads_first = |x: &Tensor| x.transpose(0, 1)?.unsqueeze(0); // (1, heads, tokens, head_dim)
        let (q, keys, values) = (heads_first(&q.to_dtype(keys.dtype())?)?, heads_first(&keys)?, heads_first(&values)?);
        let found = candle_nn::ops::sdpa(&q, &keys, &values, None, true, shape.scale, 1.0)?;
        found.squeeze(0)?.transpose(0, 1)?.to_dtype(DType::F32)?.contiguous()
    }

    /// What the tokens from `first` on see: the prefix, and the tails side by side.
    fn seen(&self, layer: usize, window: Option<usize>, first: usize) -> Result<Vec<Seen>> {
        let Kept { prefix, tails } = &self.layers[layer];
        let behind = prefix.as_ref().map_or(0, Layer::len);
        let lengths: Vec<(usize, usize)> = tails.iter().map(Layer::len).zip(self.rows.iter().copied()).collect();
        let mut seen = Vec::new();
        if let Some(prefix) = prefix {
            let (keys, values) = prefix.first(behind)?;
            seen.push(Seen { keys, values, by: of_prefix(behind, &lengths, window).split_off(first) });
        }
        let own = tails.iter().zip(&lengths).map(|(tail, (held, rows))| tail.first(held + rows));
        let (keys, values): (Vec<Tensor>, Vec<Tensor>) = own.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let side_by_side = |mut all: Vec<Tensor>| if all.len() == 1 { Ok(all.remove(0)) } else { Tensor::cat(&all, 0) };
        let by = of_tails(behind, &lengths, window).split_off(first);
        seen.push(Seen { keys: side_by_side(keys)?, values: side_by_side(values)?, by });
        Ok(seen)
    }
}

/// Heads (tokens, heads, head_dim), in f32, turned by their tokens' positions; elements behind the pairs stay.
fn turned(x: &Tensor, (cos, sin, pairing): Angles) -> Result<Tensor> {
    let (tokens, heads, dim) = x.dims3()?;
    let pairs = cos.dim(1)?;
    if pairs == 0 {
        return Ok(x.clone());
    }
    // A pair's two elements lie along one axis, the pairs along the other.
    let (axis, elements, angles) = match pairing {
        Pairing::HalfSplit => (2, (tokens, heads, 2, pairs), (tokens, 1, 1, pairs)),
        Pairing::Interleaved => (3, (tokens, heads, pairs, 2), (tokens, 1, pairs, 1)),
    };
    let elements = x.narrow(2, 0, 2 * pairs)?.reshape(elements)?;
    let (a, b) = (elements.narrow(axis, 0, 1)?, elements.narrow(axis, 1, 1)?);
    let (cos, sin) = (cos.reshape(angles)?, sin.reshape(angles)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (a.broadcast_mul(&sin)? + b.broadcast_mul(&cos)?)?;
    let turned = Tensor::cat(&[first, second], axis)?.reshape((tokens, heads, 2 * pairs))?;
    match dim - 2 * pairs {
        0 => Ok(turned),
        rest => Tensor::cat(&[turned, x.narrow(2, 2 * pairs, rest)?], 2),
    }
}

/// The first key of a sequence that the token at `position` sees.
fn start(position: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| (position + 1).saturating_sub(window))
}

/// Keys of a prefix of `behind` tokens that each token of the tails sees, which are (held before, new) tokens long.
fn of_prefix(behind: usize, tails: &[(usize, usize)], window: Option<usize>) -> Vec<Range<usize>> {
    let positions = tails.iter().flat_map(|(held, rows)| behind + held..behind + held + rows);
    positions.map(|position| start(position, window).min(behind)..behind).collect()
}

/// Keys of the tails, one after the other, that each of their new tokens sees.
fn of_tails(behind: usize, tails: &[(usize, usize)], window: Option<usize>) -> Vec<Range<usize>> {
    let mut before = 0;
    let mut of_tail = |(held, rows): &(usize, usize)| {
        let base = before;
        before += held + rows;
        let own = move |token: usize| base + start(behind + token, window).saturating_sub(behind)..base + token + 1;
        (*held..held + rows).map(own)
    };
    tails.iter().flat_map(&mut of_tail).collect()
}

/// How many of `rows` tokens behind `held` others candle's fused attention takes. It knows no window and no soft cap of many
/// tokens; and of tiles that are not full, or do not begin where a tile of keys does, its version 0.11 reads keys behind the
/// last one and leaves out a part of what hides later tokens.
fn fused_rows(shape: Shape, held: usize, rows: usize) -> usize {
    let plain = shape.window.is_none() && shape.softcap.is_none() && FUSED.contains(&shape.head_dim);
    match plain && held.is_multiple_of(TILE) {
        true => rows / TILE * TILE,
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_sees_the_prefix_and_its_own_tail_up_to_itself() {
        let tails = [(0, 1), (4, 2)];
        assert_eq!(of_prefix(10, &tails, None), [0..10, 0..10, 0..10]);
        assert_eq!(of_tails(10, &tails, None), [0..1, 1..6, 1..7]);
        // At the positions 10, 14 and 15.
        assert_eq!(of_prefix(10, &tails, Some(6)), [5..10, 9..10, 10..10]);
        assert_eq!(of_tails(10, &tails, Some(6)), [0..1, 1..6, 1..7]);
        assert_eq!(of_tails(10, &tails, Some(2)), [0..1, 4..6, 5..7]);
    }

    #[test]
    fn the_fused_attention_is_given_whole_tiles_of_plain_attention_only() {
        let shape = Shape::new(8, 2, 64);
        let of = |shape, held, rows| fused_rows(shape, held, rows);
        assert_eq!([of(shape, 0, 4096), of(shape, 4096, 1000), of(shape, 32, 31)], [4096, 992, 0]);
        assert_eq!(of(shape, 33, 4096), 0, "later tokens would be seen");
        assert_eq!(of(Shape { window: Some(9), ..shape }, 0, 64), 0);
        assert_eq!(of(Shape { softcap: Some(9.0), ..shape }, 0, 64), 0);
        assert_eq!(of(Shape::new(8, 2, 48), 0, 64), 0);
    }
}
