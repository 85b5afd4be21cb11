//! A GPU by candle's own operations on tensors: what a Mac computes with, where candle's kernels for Metal are built in.
//!
//! The types are those of `ronbun_kernels::cuda`, and do the same. Only [`mac`] is of Metal alone: on candle's CPU device the
//! same code computes, slowly, which is how it is tested where there is no Mac.

mod attention;
mod batch;
mod cache;
mod convolution;
mod gpu;
mod linear;
mod mac;

pub use batch::Batch;
pub use cache::Cache;
pub use convolution::{ConvolutionBatch, Memory};
pub use gpu::Gpu;
pub use linear::Linear;
