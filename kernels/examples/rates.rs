//! Rates of the kernels beside what the machine can do at most: `cargo run --release -p ronbun-kernels --example rates`.

use ronbun_kernels::{
    Isa,
    attention::{self, KvBlocks, KvType, Shape, Visible},
    blocks::BlockType,
    ceiling::{self, Look, Unit},
    linear,
    packed::{self, Activations, Packed},
};
use std::time::Instant;

/// The best of some runs, in seconds: machines are shared.
fn best(mut work: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..7).map(|_| time(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Bytes that are no pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn floats(len: usize) -> Vec<f32> {
    noise(len).into_iter().map(|byte| f32::from(byte) / 128.0 - 1.0).collect()
}

fn main() {
    let isa = Isa::current();
    let at_best = |unit| ceiling::rate(unit, isa, Look::Best);
    let [int8, f32] = [Unit::Bytes, Unit::F32].map(|unit| at_best(unit).expect("every processor has it"));
    let bandwidth = ceiling::bandwidth();
    println!("{isa}: int8 {:.0} Gop/s, f32 {:.0} GFLOP/s, memory {:.1} GB/s", int8 / 1e9, f32 / 1e9, bandwidth / 1e9);
    let tiles = at_best(Unit::Bf16Tiles);
    if let Some(tiles) = tiles {
        println!("bf16 in tiles {:.0} GFLOP/s", tiles / 1e9);
    }
    println!("linears, (rows of x, outputs, inputs): Gop/s, share of the ceiling, GB/s of weights");
    for kind in [BlockType::Q4_1, BlockType::Q4K, BlockType::Q6K, BlockType::Q5_0, BlockType::Q8_0] {
        for (m, n, k) in [(1024, 1536, 1536), (1024, 1536, 8960), (1, 8960, 1536), (8, 8960, 1536), (24, 8960, 1536)] {
            let bytes = noise(n * kind.size_of(k));
            let mut packed = vec![0; packed::size(kind, n, k).expect("a quantised type")];
            packed::pack(kind, &bytes, n, k, &mut packed);
            let x = floats(m * k);
            let mut y = vec![0f32; m * n];
            let weights = Packed { kind, bytes: &packed, rows: n, columns: k };
            let seconds = best(|| packed::linear(isa, &Activations::of_prompt(isa, &x, k), weights, None, &mut y));
            let operations = 2.0 * (m * n * k) as f64;
            let unit = tiles.filter(|_| m >= packed::FROM_ROWS).unwrap_or(int8);
            let raw = linear::Weights { kind, bytes: &bytes, rows: n, columns: k };
            let exact = best(|| linear::linear(isa, &x, raw, None, &mut y));
            println!(
                "  {kind:?} {:?}: {:.0} Gop/s, {:.0} %, {:.1} GB/s; {:.1} times the f32 path",
                (m, n, k),
                operations / seconds / 1e9,
                100.0 * operations / seconds / unit,
                packed.len() as f64 / seconds / 1e9,
                exact / seconds
            );
        }
    }
    println!("attention, (rows of q, heads, key heads, head size) over 8,192 keys: GFLOP/s, share of the ceiling");
    for (rows, heads, kv_heads, head_dim) in
        [(512, 9, 3, 64), (512, 14, 2, 64), (512, 12, 2, 128), (1, 12, 2, 128), (8, 12, 2, 128)]
    {
        let tokens = 8192;
        let shape = Shape::new(heads, kv_heads, head_dim);
        let (keys, values) = (floats(tokens * kv_heads * head_dim), floats(tokens * kv_heads * head_dim));
        let q = floats(rows * heads * head_dim);
        for kind in [KvType::I8, KvType::F16] {
            let mut kv = KvBlocks::new(kind, kv_heads, head_dim);
            kv.append(isa, &keys, &values);
            let seconds = best(|| drop(attention::attend(isa, shape, &q, &kv, Visible::All)));
            let operations = 4.0 * (rows * heads * head_dim * tokens) as f64;
            let unit = if kind == KvType::I8 { int8 } else { f32 };
            println!(
                "  {:?} {kind:?}: {:.0} GFLOP/s, {:.0} %",
                (rows, heads, kv_heads, head_dim),
                operations / seconds / 1e9,
                100.0 * operations / seconds / unit
            );
        }
    }
}
