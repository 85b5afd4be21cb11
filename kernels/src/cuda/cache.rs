//! Keys and values on the device, and a batch over them: its tables are made and sent once for all layers.

use super::{
    Plan, Span,
    arguments::{Append, Attention, Job, Merge, Task},
    gpu::{DTYPE, FLOAT, Gpu},
    launch,
};
use crate::{attention::Shape, elementwise::Pairing};
use candle_core::{
    DType, Result, Tensor, bail,
    cuda_backend::cudarc::driver::{CudaSlice, DevicePtr},
};
use std::sync::Arc;

/// Room that nobody has told the end of is made for this many tokens at a time, and for an eighth of what is there.
const STEP: usize = 256;

/// Keys and values of one sequence in all layers, in the 16-bit type of the device.
pub struct Cache {
    gpu: Arc<Gpu>,
    kv_heads: usize,
    head_dim: usize,
    layers: Vec<Layer>,
}

struct Layer {
    /// (kv_heads, capacity, head_dim), or nothing yet.
    kv: Option<(Tensor, Tensor)>,
    capacity: usize,
    length: usize,
}

impl Cache {
    pub fn new(gpu: Arc<Gpu>, layers: usize, kv_heads: usize, head_dim: usize) -> Cache {
        let layers = (0..layers).map(|_| Layer { kv: None, capacity: 0, length: 0 }).collect();
        Cache { gpu, kv_heads, head_dim, layers }
    }

    /// Tokens held by all layers.
    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.length)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `len` tokens at most. Returns how many.
    pub fn truncate(&mut self, len: usize) -> usize {
        let kept = self.layers.iter().map(|layer| layer.length).min().unwrap_or(0).min(len);
        self.layers.iter_mut().for_each(|layer| layer.length = kept);
        kept
    }

    /// Bytes that `tokens` tokens take in all layers, without the room that is made ahead.
    pub fn bytes_for(layers: usize, kv_heads: usize, head_dim: usize, tokens: usize) -> u64 {
        (layers * 2 * kv_heads * head_dim * DTYPE.size_in_bytes() * tokens) as u64
    }

    /// Makes room for `tokens` tokens altogether, where it is known that so many will come.
    pub fn make_room(&mut self, tokens: usize) -> Result<()> {
        self.grow(|_| (tokens, 0))
    }

    /// Makes room for `more` tokens, and some ahead.
    fn reserve(&mut self, more: usize) -> Result<()> {
        self.grow(|layer| (layer.length + more, layer.length / 8))
    }

    /// Makes room a layer after the other: two copies are there of one layer only. `wanted` gives how many tokens a layer
    /// must have room for, and for how many more it is made where it has not.
    fn grow(&mut self, wanted: impl Fn(&Layer) -> (usize, usize)) -> Result<()> {
        let (gpu, heads, dim) = (self.gpu.clone(), self.kv_heads, self.head_dim);
        for layer in &mut self.layers {
            let (wanted, ahead) = wanted(layer);
            if wanted <= layer.capacity {
                continue;
            }
            let capacity = (wanted + ahead).next_multiple_of(STEP);
            let grown = |old: Option<&Tensor>| {
                let new = Tensor::zeros((heads, capacity, dim), DTYPE, &gpu.device())?;
                if let Some(old) = old {
                    new.slice_set(old, 1, 0)?;
                }
                Ok::<_, candle_core::Error>(new)
            };
            let (keys, values) = layer.kv.as_ref().map(|(keys, values)| (Some(keys), Some(values))).unwrap_or_default();
            layer.kv = Some((grown(keys)?, grown(values)?));
            layer.capacity = capacity;
        }
        Ok(())
    }

    fn job(&self, layer: usize) -> Result<Job> {
        let Some((keys, values)) = &self.layers[layer].kv else { return Ok(Job::default()) };
        Ok(Job {
            keys: self.gpu.address(keys, DTYPE)?,
            values: self.gpu.address(values, DTYPE)?,
            length: self.layers[layer].length as i32,
            capacity: self.layers[layer].capacity as i32,
            ..Job::default()
        })
    }
}

/// Cosines and sines of a batch's positions, on the device.
pub struct Turn {
    /// (tokens, pairs)
    cos: Tensor,
    sin: Tensor,
    pairing: Pairing,
}

impl Turn {
    pub fn new(gpu: &Gpu, cos: &[f32], sin: &[f32], tokens: usize, pairing: Pairing) -> Result<Turn> {
        let sent = |values: &[f32]| Tensor::from_slice(values, (tokens, values.len() / tokens.max(1)), &gpu.device());
        Ok(Turn { cos: sent(cos)?, sin: sent(sin)?, pairing })
    }
}

/// New tokens of some sequences behind a prefix, in tables on the device.
pub struct Batch {
    gpu: Arc<Gpu>,
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
        let (mut jobs, mut job_of, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for layer in 0..layers {
            if let Some(prefix) = prefix {
                jobs.push(Job { tokens: tokens as i32, ..prefix.job(layer)? });
            }
            let mut first_token = 0;
            for (rows, cache) in tails.iter() {
                let job = cache.job(layer)?;
                let (length, base) = (job.length + *rows as i32, behind as i32);
                if layer == 0 {
                    job_of.extend(vec![jobs.len() as i32; *rows]);
                    positions.extend((0..*rows as i32).map(|row| base + job.length + row));
                }
                jobs.push(Job { length, base, first_token, tokens: *rows as i32, ..job });
                first_token += *rows as i32;
            }
        }
        let jobs_of_layer = jobs.len() / layers.max(1);
        let span = |job: &Job| Span {
            length: job.length as usize,
            first_token: job.first_token as usize,
            tokens: job.tokens as usize,
            rounded: false,
        };
        let spans: Vec<Span> = jobs[..jobs_of_layer].iter().map(span).collect();
        let Some(plan) = Plan::new((heads, kv_heads, head_dim), &spans, tokens, gpu.processors) else {
            bail!("no kernel takes heads of {head_dim} elements")
        };
        let cuda = gpu.cuda();
        let partials = if plan.direct() { 0 } else { plan.partials * heads };
        let tasks = plan.parts.iter().map(|part| cuda.clone_htod(&part.tasks)).collect::<Result<_>>()?;
        Ok(Batch {
            tokens,
            rows,
            jobs: cuda.clone_htod(&jobs)?,
            jobs_of_layer,
            job_of: cuda.clone_htod(&job_of)?,
            positions: cuda.clone_htod(&positions)?,
            tasks,
            starts: cuda.clone_htod(&plan.starts)?,
            list: cuda.clone_htod(&plan.list)?,
            partial_out: cuda.alloc_zeros((partials * head_dim).max(1))?,
            partial_lse: cuda.alloc_zeros(partials.max(1))?,
            plan,
            gpu,
        })
    }

    /// Puts keys, turned, and values (tokens, kv_heads · head_dim) of a layer at the end of the tails' caches, which are those
    /// that the batch was made of.
    pub fn append(
        &self,
        layer: usize,
        k: &Tensor,
        v: &Tensor,
        turn: Option<&Turn>,
        tails: &mut [&mut Cache],
    ) -> Result<()> {
        let [cache, ..] = &*tails else { return Ok(()) };
        let (kv_heads, head_dim) = (cache.kv_heads, cache.head_dim);
        if tails.len() != self.rows.len() || k.elem_count() != self.tokens * kv_heads * head_dim || v.dims() != k.dims()
        {
            bail!("keys of {:?} and values of {:?} for {} tokens", k.shape(), v.shape(), self.tokens);
        }
        let (k, v) = (self.gpu.address(k, DTYPE)?, self.gpu.address(v, DTYPE)?);
        let append = Append { k, v, kv_heads: kv_heads as i32, ..self.turned(layer, head_dim, turn)? };
        self.gpu.run(&launch::append(FLOAT, &append), &append)?;
        for (cache, rows) in tails.iter_mut().zip(&self.rows) {
            cache.layers[layer].length += rows;
        }
        Ok(())
    }

    /// Attends from `q` (tokens, heads · head_dim), which is turned where it lies, into `out` of the same shape. The layer's
    /// keys were appended before.
    pub fn attend(&self, layer: usize, shape: Shape, q: &Tensor, turn: Option<&Turn>, out: &Tensor) -> Result<()> {
        let Shape { heads, kv_heads, head_dim, scale, window, softcap } = shape;
        if q.elem_count() != self.tokens * heads * head_dim || out.dims() != q.dims() {
            bail!("queries of {:?} into {:?} for {} tokens", q.shape(), out.shape(), self.tokens);
        }
        let (q, out) = (self.gpu.address(q, DTYPE)?, self.gpu.address(out, DTYPE)?);
        if turn.is_some() {
            let queries = Append { q, heads: heads as i32, ..self.turned(layer, head_dim, turn)? };
            self.gpu.run(&launch::append(FLOAT, &queries), &queries)?;
        }
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

    /// What turns something of a layer.
    fn turned(&self, layer: usize, head_dim: usize, turn: Option<&Turn>) -> Result<Append> {
        let (tokens, head_dim) = (self.tokens as i32, head_dim as i32);
        let common =
            Append { jobs: self.jobs_at(layer), job_of: self.at(&self.job_of), tokens, head_dim, ..Append::default() };
        let Some(Turn { cos, sin, pairing }) = turn else { return Ok(common) };
        Ok(Append {
            cos: self.gpu.address(cos, DType::F32)?,
            sin: self.gpu.address(sin, DType::F32)?,
            half: cos.dim(1)? as i32,
            interleaved: i32::from(*pairing == Pairing::Interleaved),
            ..common
        })
    }

    fn at<V>(&self, slice: &CudaSlice<V>) -> u64 {
        slice.device_ptr(&self.gpu.cuda().cuda_stream()).0
    }

    fn jobs_at(&self, layer: usize) -> u64 {
        self.at(&self.jobs) + (layer * self.jobs_of_layer * size_of::<Job>()) as u64
    }
}
