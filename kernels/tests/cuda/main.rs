//! The sources of the GPU's kernels, compiled for the CPU: index functions over all of their arguments, and whole kernels,
//! a block of threads after the other, held to the f64 reference. Linux only: other systems lack what the stand-in needs.
//!
//! Built with the feature `cuda` and run with RONBUN_TEST_DEVICE=cuda, the same tests run the kernels on the first GPU.
#![cfg(target_os = "linux")]

mod attention;
mod cache;
#[path = "../common/mod.rs"]
mod common;
mod convolution;
#[cfg(feature = "cuda")]
mod device;
mod elementwise;
mod memory;
mod program;
mod rounded;

use common::{Random, assert_close};
use half::{bf16, f16};
use memory::Memory;
use program::kernels;
use ronbun_kernels::cuda::{Float, Kind, Launch, Tile, arguments, launch};
use std::mem::size_of;

impl Random {
    /// Numbers that the type holds exactly.
    fn exact(&mut self, float: Float, len: usize) -> Vec<f32> {
        wide(float, &bits(float, &self.vec(len)))
    }
}

/// Elements in 16 bits.
fn bits(float: Float, values: &[f32]) -> Vec<u16> {
    let bits = |x: &f32| match float {
        Float::Bf16 => bf16::from_f32(*x).to_bits(),
        Float::F16 => f16::from_f32(*x).to_bits(),
    };
    values.iter().map(bits).collect()
}

fn wide(float: Float, bits: &[u16]) -> Vec<f32> {
    let wide = |bits: &u16| match float {
        Float::Bf16 => bf16::from_bits(*bits).to_f32(),
        Float::F16 => f16::from_bits(*bits).to_f32(),
    };
    bits.iter().map(wide).collect()
}

/// Relative error of a number that was rounded once.
fn rounding(float: Float) -> f64 {
    match float {
        Float::Bf16 => 2f64.powi(-8),
        Float::F16 => 2f64.powi(-11),
    }
}

/// Where a cache of 16 bits has an element: lines of 64 elements by keys, whose eight chunks are turned by the key's number;
/// heads that are not whole lines as they are.
fn kept_at(dim: usize, capacity: usize, head: usize, key: usize, element: usize) -> usize {
    if !dim.is_multiple_of(64) {
        return (head * capacity + key) * dim + element;
    }
    let line = head * dim / 64 + element / 64;
    (line * capacity + key) * 64 + ((element % 64 / 8) ^ (key % 8)) * 8 + element % 8
}

const FLOATS: [Float; 2] = [Float::Bf16, Float::F16];

#[test]
fn index_functions_hold_over_all_of_their_arguments() {
    let told = program::indices();
    assert!(told.is_empty(), "{told}");
}

#[test]
fn kernels_are_what_the_host_launches() {
    let kernels = kernels();
    let mut launched: Vec<(Launch, usize)> = Vec::new();
    for float in FLOATS {
        for head in [64, 128, 256] {
            let both = |kind| [(kind, false), (kind, true)];
            for (kind, rounded) in
                [both(Kind::Narrow), both(Kind::Wide)].concat().into_iter().chain([(Kind::Hopper, false)])
            {
                let tile = Tile::new(head, kind).expect("a tile");
                let part = ronbun_kernels::cuda::Part { tile, rounded, tasks: Vec::new() };
                launched.push((launch::attention(float, &part, 1), size_of::<arguments::Attention>()));
            }
        }
        launched.push((launch::merge(float, &Default::default()), size_of::<arguments::Merge>()));
        launched.push((launch::append(float, &Default::default()), size_of::<arguments::Append>()));
        launched.push((launch::round(float, &Default::default(), 1), size_of::<arguments::Round>()));
        launched.push((launch::bias(float, &Default::default()), size_of::<arguments::Bias>()));
        for from_f32 in [true, false] {
            launched.push((launch::rms_norm(float, from_f32, &Default::default()), size_of::<arguments::RmsNorm>()));
        }
        launched.push((launch::convolve(float, &Default::default()), size_of::<arguments::Convolve>()));
        for activation in ["silu", "gelu"] {
            let launch = launch::gate(float, activation, &Default::default());
            launched.push((launch, size_of::<arguments::Gate>()));
        }
        launched.push((launch::add(float, &Default::default()), size_of::<arguments::Add>()));
    }
    assert_eq!(launched.len(), kernels.len(), "each kernel has a launch: {kernels:?}");
    for (launch, bytes) in launched {
        let expected = (launch.threads as usize, launch.shared as usize, bytes);
        assert_eq!(kernels.get(&launch.kernel), Some(&expected), "{}", launch.kernel);
    }
}
