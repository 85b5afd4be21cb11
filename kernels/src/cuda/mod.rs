//! Kernels for NVIDIA's GPUs: what they are given, how their work is planned, and (with the feature `cuda`) their launch on
//! the device that candle opened.
//!
//! The sources are `cuda/*.cu`. The tests compile the same sources for the CPU, with a slow stand-in for a block of threads,
//! and hold them to the f64 reference; what that cannot tell is told by `scripts/gpu-check` on a machine with a GPU.

pub mod arguments;
#[cfg(feature = "cuda")]
mod cache;
#[cfg(feature = "cuda")]
mod ceiling;
#[cfg(feature = "cuda")]
mod convolution;
pub mod extent;
#[cfg(feature = "cuda")]
mod gpu;
pub mod launch;
#[cfg(feature = "cuda")]
mod linear;
pub mod plan;
#[cfg(feature = "cuda")]
mod raw;
pub mod slots;
#[cfg(feature = "cuda")]
mod store;

#[cfg(feature = "cuda")]
pub use cache::{Angles, Batch, Cache};
#[cfg(feature = "cuda")]
pub use convolution::{ConvolutionBatch, Memory};
#[cfg(feature = "cuda")]
pub use gpu::{DTYPE, FLOAT, Gpu};
pub use launch::{Float, Kind, Launch, Tile};
#[cfg(feature = "cuda")]
pub use linear::Linear;
pub use plan::{Chip, Part, Plan, Span};
#[cfg(feature = "cuda")]
pub use raw::Piece;
