//! Keys and values on the device, and a batch over them: its tables are made and sent once for all layers.

use super::{
    Plan, Span,
    arguments::{Append, Attention, Job, Merge, Task},
    extent::{CHUNK, Extent, Stretch, line_of},
    gpu::{DTYPE, FLOAT, Gpu},
    launch,
    plan::BLOCK,
    store::{Form, Store, exact_forms, rounded_forms},
};
use crate::{
    attention::{Shape, cut_alike},
    elementwise::Pairing,
};
use candle_core::{
    DType, Result, Tensor, bail,
    cuda_backend::cudarc::driver::{CudaSlice, DevicePtr},
};
use std::sync::Arc;

/// Tokens that come at a time at most, with a block before them and one that is not full: so many are kept in 16 bits.
const AT_ONCE: usize = CHUNK + 2 * BLOCK;

/// Keys and values of one sequence in all layers, in the 16-bit type of the device; where they are to be kept as bytes,
/// all but what its [`Extent`] tells.
pub struct Cache {
    gpu: Arc<Gpu>,
    kv_heads: usize,
    head_dim: usize,
    as_bytes: bool,
    layers: Vec<Layer>,
}

/// Keys and values that queries look at, and whether they are bytes.
type Kept = (Job, bool);

#[derive(Default)]
struct Layer {
    extent: Extent,
    /// Keys and values, 16-bit.
    exact: Store,
    /// Keys and values as bytes, and the factors of blocks.
    rounded: Store,
}

impl Cache {
    pub fn new(gpu: Arc<Gpu>, layers: usize, kv_heads: usize, head_dim: usize, as_bytes: bool) -> Cache {
        let layers = (0..layers).map(|_| Layer::default()).collect();
        Cache { gpu, kv_heads, head_dim, as_bytes, layers }
    }

    /// Tokens held by all layers.
    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.extent.length)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `len` tokens, or some fewer where they are kept in blocks that cannot be cut. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        let cut = |layer: &mut Layer, len| {
            layer.extent = layer.extent.cut(len);
            layer.extent.length
        };
        cut_alike(&mut self.layers, len, cut, |layer| layer.extent.length)
    }

    /// Bytes that `tokens` tokens take in all layers, without the room that is made ahead; where they are kept as bytes, with
    /// as many in 16 bits as there may be.
    pub fn bytes_for(layers: usize, kv_heads: usize, head_dim: usize, tokens: usize, as_bytes: bool) -> u64 {
        let row = |forms: &[Form]| {
            let bytes = forms.iter().map(|(dtype, of, width)| (dtype.size_in_bytes() * width) as f64 / *of as f64);
            bytes.sum::<f64>()
        };
        let (exact, rounded) = if as_bytes { Self::rooms(tokens) } else { (tokens, 0) };
        let lines = (head_dim / line_of(head_dim)) as f64;
        let a_head =
            lines * row(&exact_forms(head_dim)) * exact as f64 + row(&rounded_forms(head_dim)) * rounded as f64;
        (a_head * (layers * kv_heads) as f64) as u64
    }

    /// Makes room for `tokens` tokens altogether, where it is known that so many will come.
    pub fn make_room(&mut self, tokens: usize) -> Result<()> {
        match self.as_bytes {
            true => {
                let (exact, rounded) = Self::rooms(tokens);
                self.grow(|_| (exact, rounded, 0))
            }
            false => self.grow(|_| (tokens, 0, 0)),
        }
    }

    /// Room in 16 bits and as bytes for `tokens` tokens that come in chunks: what came last may be little, and is then bytes
    /// with the next.
    fn rooms(tokens: usize) -> (usize, usize) {
        (tokens.min(AT_ONCE), tokens.saturating_sub(2 * BLOCK))
    }

    /// Makes room for `more` tokens, and some ahead.
    fn reserve(&mut self, more: usize) -> Result<()> {
        self.round()?;
        self.grow(|extent| (extent.exact() + more, 0, extent.exact() / 8))
    }

    /// Makes room a layer after the other: two copies are there of one layer only. `wanted` gives how many tokens a layer
    /// must have room for in 16 bits and as bytes, and for how many more it is made where it has not.
    fn grow(&mut self, wanted: impl Fn(&Extent) -> (usize, usize, usize)) -> Result<()> {
        let lines = self.kv_heads * (self.head_dim / line_of(self.head_dim));
        for layer in &mut self.layers {
            let (exact, rounded, ahead) = wanted(&layer.extent);
            layer.exact.grow(exact, ahead, lines, &exact_forms(self.head_dim), &self.gpu)?;
            layer.rounded.grow(rounded, ahead, self.kv_heads, &rounded_forms(self.head_dim), &self.gpu)?;
        }
        Ok(())
    }

    /// Keeps whole blocks as bytes from now on, where all are to be kept so.
    fn round(&mut self) -> Result<()> {
        if !self.as_bytes {
            return Ok(());
        }
        self.grow(|extent| match extent.to_round() {
            0 => (0, 0, 0),
            blocks => (0, extent.rounded + blocks * BLOCK, extent.rounded / 8),
        })?;
        for layer in &mut self.layers {
            let blocks = layer.extent.to_round();
            if blocks == 0 {
                continue;
            }
            let (exact, rounded) = (layer.exact.memory(&self.gpu)?, layer.rounded.memory(&self.gpu)?);
            let round = layer.extent.round(exact, rounded, (self.kv_heads, self.head_dim));
            self.gpu.run(&launch::round(FLOAT, &round, blocks), &round)?;
            let (from, extent) = (BLOCK + blocks * BLOCK, layer.extent.with_rounded(blocks));
            let left = extent.exact() - BLOCK;
            for tensor in layer.exact.tensors.iter().filter(|_| left > 0) {
                tensor.slice_set(&tensor.narrow(1, from, left)?.force_contiguous()?, 1, BLOCK)?;
            }
            layer.extent = extent;
        }
        Ok(())
    }

    /// A layer's stretches as jobs, without what looks at them; new tokens come behind the last.
    fn jobs(&self, layer: usize) -> Result<Vec<Kept>> {
        let Layer { extent, exact, rounded } = &self.layers[layer];
        if *extent != self.layers[0].extent {
            bail!("a cache whose layers are filled unevenly");
        }
        let (exact, rounded) = (exact.memory(&self.gpu)?, rounded.memory(&self.gpu)?);
        let job = |stretch: Stretch| {
            let memory = if stretch.rounded { rounded } else { exact };
            (stretch.job(memory, self.head_dim), stretch.rounded)
        };
        Ok(extent.stretches().into_iter().map(job).collect())
    }
}

/// Cosines and sines of a batch's positions on the device, (tokens, pairs) in f32 each.
pub type Angles<'a> = (&'a Tensor, &'a Tensor, Pairing);

/// A layer's jobs, each with whether its keys are bytes: those of the prefix for all tokens, and each tail's for its own,
/// with room for these behind the last. With them each token's own job, where its key goes.
fn jobs_of(layer: usize, prefix: Option<&Cache>, tails: &[(usize, &mut Cache)]) -> Result<(Vec<Kept>, Vec<i32>)> {
    let tokens: usize = tails.iter().map(|(rows, _)| rows).sum();
    let behind = prefix.map_or(0, Cache::len) as i32;
    let mut jobs: Vec<Kept> = prefix.map_or(Ok(Vec::new()), |prefix| prefix.jobs(layer))?;
    jobs.iter_mut().for_each(|(job, _)| job.tokens = tokens as i32);
    let mut job_of = Vec::with_capacity(tokens);
    for (rows, cache) in tails {
        let first_token = job_of.len() as i32;
        let own = cache.jobs(layer)?.into_iter();
        jobs.extend(own.map(|(job, rounded)| {
            (Job { base: behind + job.base, first_token, tokens: *rows as i32, ..job }, rounded)
        }));
        if let Some((last, _)) = jobs.last_mut() {
            last.length += *rows as i32;
        }
        job_of.extend(vec![jobs.len() as i32 - 1; *rows]);
    }
    Ok((jobs, job_of))
}

/// New tokens of some sequences behind a prefix, in tables on the device.
pub struct Batch {
    gpu: Arc<Gpu>,
    /// Of queries.
    heads: usize,
    tokens: usize,
    /// Tokens of each tail.
    rows: Vec<usize>,
    /// (layers, jobs of a layer)
    jobs: CudaSlice<Job>,
    jobs_of_layer: usize,
    /// Each token's own job among its layer's.
    job_of: CudaSlice<i32>,
    positions: CudaSlice<i32>,
    plan: Plan,
    tasks: Vec<CudaSlice<Task>>,
    starts: CudaSlice<i32>,
    list: CudaSlice<i32>,
    /// Room for a layer's queries, turned: (tokens, heads · head_dim).
    queries: Tensor,
    /// Room for partial results, where there are any.
    partial_out: CudaSlice<f32>,
    partial_lse: CudaSlice<f32>,
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
        let (layers, kv_heads, head_dim) = (first.layers.len(), first.kv_heads, first.head_dim);
        let rows: Vec<usize> = tails.iter().map(|(rows, _)| *rows).collect();
        let tokens = rows.iter().sum();
        for (rows, cache) in tails.iter_mut() {
            cache.reserve(*rows)?;
        }
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let behind = prefix.map_or(0, Cache::len);
        let at = |(rows, cache): &(usize, &mut Cache)| behind + cache.len()..behind + cache.len() + rows;
        let positions: Vec<i32> = tails.iter().flat_map(at).map(|position| position as i32).collect();
        let (first_jobs, job_of) = jobs_of(0, prefix, tails)?;
        let span = |(job, rounded): &Kept| {
            let [length, first_token, tokens] = [job.length, job.first_token, job.tokens].map(|count| count as usize);
            Span { length, first_token, tokens, rounded: *rounded }
        };
        let spans: Vec<Span> = first_jobs.iter().map(span).collect();
        let jobs_of_layer = spans.len();
        let mut jobs = Vec::with_capacity(layers * jobs_of_layer);
        for layer in 0..layers {
            jobs.extend(jobs_of(layer, prefix, tails)?.0.into_iter().map(|(job, _)| job));
        }
        let Some(plan) = Plan::new((heads, kv_heads, head_dim), &spans, tokens, gpu.chip) else {
            bail!("no kernel takes heads of {head_dim} elements")
        };
        let cuda = gpu.cuda();
        let partials = if plan.direct() { 0 } else { plan.partials * heads };
        let tasks = plan.parts.iter().map(|part| cuda.clone_htod(&part.tasks)).collect::<Result<_>>()?;
        Ok(Batch {
            heads,
            tokens,
            rows,
            jobs: cuda.clone_htod(&jobs)?,
            jobs_of_layer,
            job_of: cuda.clone_htod(&job_of)?,
            positions: cuda.clone_htod(&positions)?,
            tasks,
            starts: cuda.clone_htod(&plan.starts)?,
            list: cuda.clone_htod(&plan.list)?,
            queries: Tensor::zeros((tokens, heads * head_dim), DTYPE, &gpu.device())?,
            partial_out: cuda.alloc_zeros((partials * head_dim).max(1))?,
            partial_lse: cuda.alloc_zeros(partials.max(1))?,
            plan,
            gpu,
        })
    }

    /// Puts keys, turned, and values (tokens, kv_heads · head_dim) of a layer at the end of the tails' caches, which are those
    /// that the batch was made of, and keeps the queries (tokens, heads · head_dim), turned, for [`Batch::attend`]. The rows of
    /// all three are parts of the rows of one tensor, or just as far apart.
    pub fn append(
        &self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        turn: Option<Angles>,
        tails: &mut [&mut Cache],
    ) -> Result<()> {
        let [cache, ..] = &*tails else { return Ok(()) };
        let (kv_heads, head_dim) = (cache.kv_heads, cache.head_dim);
        let [(q_at, stride), (k_at, k_stride), (v_at, v_stride)] =
            [self.gpu.rows(q, DTYPE)?, self.gpu.rows(k, DTYPE)?, self.gpu.rows(v, DTYPE)?];
        let keys = [self.tokens, kv_heads * head_dim];
        let fit = q.dims() == self.queries.dims() && k.dims() == keys && v.dims() == keys;
        if tails.len() != self.rows.len() || !fit || k_stride != stride || v_stride != stride {
            bail!("{:?}, {:?} and {:?} for {} tokens", q.layout(), k.layout(), v.layout(), self.tokens);
        }
        let append = Append {
            q: q_at,
            k: k_at,
            v: v_at,
            turned: self.gpu.address(&self.queries, DTYPE)?,
            jobs: self.jobs_at(layer),
            job_of: self.at(&self.job_of),
            tokens: self.tokens as i32,
            heads: self.heads as i32,
            kv_heads: kv_heads as i32,
            head_dim: head_dim as i32,
            stride: stride as i32,
            ..self.angles(turn)?
        };
        self.gpu.run(&launch::append(FLOAT, &append), &append)?;
        for (cache, rows) in tails.iter_mut().zip(&self.rows) {
            cache.layers[layer].extent.length += rows;
        }
        Ok(())
    }

    /// Attends from the queries that [`Batch::append`] was last given, which were this layer's, into `out` (tokens, heads ·
    /// head_dim).
    pub fn attend(&self, layer: usize, shape: Shape, out: &Tensor) -> Result<()> {
        let Shape { heads, kv_heads, head_dim, scale, window, softcap } = shape;
        if heads != self.heads || out.dims() != self.queries.dims() {
            bail!("queries of {:?} and {heads} heads into {:?}", self.queries.shape(), out.shape());
        }
        let (q, out) = (self.gpu.address(&self.queries, DTYPE)?, self.gpu.address(out, DTYPE)?);
        let direct = self.plan.direct();
        let (partial_out, partial_lse) = (self.at(&self.partial_out), self.at(&self.partial_lse));
        for (part, tasks) in self.plan.parts.iter().zip(&self.tasks) {
            let attention = Attention {
                q,
                jobs: self.jobs_at(layer),
                tasks: self.at(tasks),
                positions: self.at(&self.positions),
                partial_out,
                partial_lse,
                out: if direct { out } else { 0 },
                heads: heads as i32,
                kv_heads: kv_heads as i32,
                head_dim: head_dim as i32,
                window: window.unwrap_or(0) as i32,
                scale,
                softcap: softcap.unwrap_or(0.0),
            };
            self.gpu.run(&launch::attention(FLOAT, part, kv_heads), &attention)?;
        }
        if direct {
            return Ok(());
        }
        let (starts, list) = (self.at(&self.starts), self.at(&self.list));
        let (tokens, heads, head_dim) = (self.tokens as i32, heads as i32, head_dim as i32);
        let merge = Merge { partial_out, partial_lse, starts, list, out, tokens, heads, head_dim, unused: 0 };
        self.gpu.run(&launch::merge(FLOAT, &merge), &merge)
    }

    /// What turns queries and keys; nothing without a turn.
    fn angles(&self, turn: Option<Angles>) -> Result<Append> {
        let Some((cos, sin, pairing)) = turn else { return Ok(Append::default()) };
        Ok(Append {
            cos: self.gpu.address(cos, DType::F32)?,
            sin: self.gpu.address(sin, DType::F32)?,
            half: cos.dim(1)? as i32,
            interleaved: i32::from(pairing == Pairing::Interleaved),
            ..Append::default()
        })
    }

    fn at<V>(&self, slice: &CudaSlice<V>) -> u64 {
        slice.device_ptr(&self.gpu.cuda().cuda_stream()).0
    }

    fn jobs_at(&self, layer: usize) -> u64 {
        self.at(&self.jobs) + (layer * self.jobs_of_layer * size_of::<Job>()) as u64
    }
}
