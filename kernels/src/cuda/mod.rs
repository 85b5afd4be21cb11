//! Kernels for NVIDIA's GPUs: what they are given, how their work is planned, and (with the feature `cuda`) their launch on
//! the device that candle opened.
//!
//! The sources are `cuda/*.cu`. The tests compile the same sources for the CPU, with a slow stand-in for a block of threads,
//! and hold them to the f64 reference; what that cannot tell is told by `scripts/gpu-check` on a machine with a GPU.

pub mod arguments;
pub mod launch;
pub mod plan;

pub use launch::{Float, Launch, Tile};
pub use plan::{Part, Plan, Span};
