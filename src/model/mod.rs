//! Weights (GGUF, safetensors) and one decoder stack over them.
//!
//! A [`Checkpoint`] is what lies on the disk: configuration and tensors under the names that Hugging Face gives them,
//! whatever the file's own format. A [`Decoder`] is the network over it. Token ids in, logits out: no text here.

mod checkpoint;
mod config;
mod decoder;
mod gguf;
mod ops;
mod safetensors;

pub use checkpoint::{Checkpoint, TensorView};
pub use config::{Config, Family};
pub use decoder::{Decoder, Sequence};
pub use gguf::Metadata;

use crate::{Error, Kind};

/// A failure inside candle, which no input should be able to cause.
fn internal(error: candle_core::Error) -> Error {
    Error::new(Kind::Internal, "engine", error)
}
