//! What a run took of a GPU, beside what that can do at most.

use super::row;
use crate::Result;
use crate::device::Facts;
use crate::engine::Engine;
use crate::engine::bench::Bench;
use indicatif::DecimalBytes;
use serde::Serialize;

#[derive(Serialize)]
pub struct OnGpu {
    #[serde(flatten)]
    facts: Facts,
    /// Of the model's layers; the others were computed elsewhere.
    layers: usize,
    weight_bytes: u64,
    /// Held for tensors at a time; the context and libraries take some beside. Absent where the driver does not tell.
    peak_memory_bytes: Option<u64>,
    /// Shares of the rates above, where all layers are on this GPU.
    #[serde(flatten)]
    shares: Option<Shares>,
}

#[derive(Serialize)]
struct Shares {
    /// Operations of the layers' matrices and of attention, against the rate of products.
    prefill_mfu: f64,
    /// Bytes that decoding has to read at least: weights and the prefix once a step, each branch's own keys and values;
    /// against the rate of a copy.
    decode_bandwidth_use: f64,
}

impl OnGpu {
    /// Of the GPU that the last layers are on; nothing where none computed. Looks at the GPU, which is idle now.
    pub fn of(engine: &Engine, measured: &Bench, branches: usize) -> Result<Option<OnGpu>> {
        let decoder = &engine.decoder;
        let Some((part, gpu)) = decoder.parts.last().and_then(|part| Some((part, part.place.gpu()?))) else {
            return Ok(None);
        };
        let peak_memory_bytes = gpu.peak_memory();
        let facts = Facts::of(gpu)?;
        let alone = decoder.parts.len() == 1;
        let token = decoder.token_bytes();
        let prefix = token * measured.prefill.tokens as u64;
        let bytes = decode_bytes(part.weights + prefix, token, branches, measured.decode.tokens);
        let Bench { prefill, decode, .. } = measured;
        let shares = alone.then(|| Shares {
            prefill_mfu: share(
                prefill.linear_flops + prefill.attention_flops,
                prefill.wall.as_secs_f64(),
                facts.matrix_flops_per_second,
            ),
            decode_bandwidth_use: share(bytes, decode.wall.as_secs_f64(), facts.copy_bytes_per_second),
        });
        let (layers, weight_bytes) = (part.layers.len(), part.weights);
        Ok(Some(OnGpu { facts, layers, weight_bytes, peak_memory_bytes, shares }))
    }

    pub fn rows(&self) -> Vec<Vec<String>> {
        let Facts { name, memory_bytes, copy_bytes_per_second, matrix_flops_per_second, .. } = &self.facts;
        let peak = self.peak_memory_bytes.map_or("not told".into(), |bytes| DecimalBytes(bytes).to_string());
        let mut rows = vec![
            row("GPU", format!("{name}, {}; {} layers on it", DecimalBytes(*memory_bytes), self.layers)),
            row("GPU memory", format!("{peak} at most for tensors: weights {}", DecimalBytes(self.weight_bytes))),
            row(
                "GPU ceilings",
                format!(
                    "products of 16-bit matrices {:.0} TFLOP/s, copies {:.0} GB/s read and written",
                    matrix_flops_per_second / 1e12,
                    copy_bytes_per_second / 1e9
                ),
            ),
        ];
        if let Some(Shares { prefill_mfu, decode_bandwidth_use }) = self.shares {
            let [mfu, bandwidth] = [prefill_mfu, decode_bandwidth_use].map(|share| 100.0 * share);
            rows.push(row("GPU use", format!("prefill MFU {mfu:.0} %, decode {bandwidth:.0} % of the bandwidth")));
        }
        rows
    }
}

/// Bytes that `tokens` tokens of `branches` branches have read when all are written: in each step what is `shared`, and of
/// each branch's own tokens, of `tail` bytes each, all that are there by then.
fn decode_bytes(shared: u64, tail: u64, branches: usize, tokens: usize) -> f64 {
    let steps = (tokens / branches.max(1)) as f64;
    steps * shared as f64 + (branches as u64 * tail) as f64 * steps * (steps + 1.0) / 2.0
}

fn share(amount: f64, seconds: f64, rate: f64) -> f64 {
    if seconds > 0.0 { amount / seconds / rate } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decoding_reads_is_counted_step_by_step() {
        let slow: u64 = (1..=5).map(|step| 1000 + 3 * 10 * step).sum();
        assert_eq!(decode_bytes(1000, 10, 3, 15), slow as f64);
        assert_eq!(decode_bytes(1000, 10, 3, 0), 0.0);
    }

    #[test]
    fn shares_are_of_the_rate() {
        assert_eq!(share(50.0, 2.0, 100.0), 0.25);
        assert_eq!(share(50.0, 0.0, 100.0), 0.0);
    }
}
