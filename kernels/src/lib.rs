//! ronbun's kernels for the CPU: plain slices in, slices out. Every `unsafe` line of the project lives in this crate.
//!
//! | module | what it is for |
//! |---|---|
//! | [`amx`] | products of tiles, where the machine has them |
//! | [`isa`] | which instruction set is used, and how to force one (`RONBUN_CPU`) |
//! | [`mapping`] | a file as a slice of memory |
//! | `pages` | the program's allocator: large buffers in large pages |
//! | [`blocks`] | GGUF's tensor types: bytes → f32 |
//! | [`linear`] | `y = x · Wᵀ` from weights as they lie in the file |
//! | [`attention`] | keys and values in blocks, attention over them with an online softmax |
//! | [`packed`] | quantised linears in integers, over weights packed for them |
//! | [`cuda`] | kernels for NVIDIA's GPUs: their arguments, plans and launch |
//! | [`pool`] | the threads that kernels share |
//! | [`ceiling`] | what the machine can do at most |
//! | [`elementwise`] | norms, rotary embedding, gated activation |
//! | [`reference`](mod@reference) | the same in naive f64: what the tests hold every kernel to |
//!
//! Each kernel of the CPU is written once over a small SIMD trait and compiled for AVX-512, AVX2 with FMA, and portable code;
//! quantised linears over long prompts and attention over bytes are written over tiles of AMX too.

// For what unit tests share with the others.
#[cfg(test)]
extern crate self as ronbun_kernels;

pub mod amx;
pub mod attention;
pub mod blocks;
pub mod ceiling;
pub mod cuda;
pub mod elementwise;
mod gemm;
pub mod isa;
pub mod linear;
mod lines;
pub mod mapping;
mod output;
pub mod packed;
#[cfg(all(target_os = "linux", not(miri)))]
mod pages;
pub mod pool;
pub mod reference;
mod simd;

pub use isa::Isa;
