//! Weights (GGUF, safetensors) and one decoder stack over them.
//!
//! A [`Checkpoint`] is what lies on the disk: configuration and tensors under the names that Hugging Face gives them,
//! whatever the file's own format. A [`Decoder`] is the network over it. Token ids in, logits out: no text here.

mod checkpoint;
mod config;
mod decoder;
mod family;
mod fused;
mod gguf;
mod joined;
mod layer;
mod ops;
mod packed;
mod placement;
mod profile;
mod quantize;
mod room;
mod safetensors;
mod store;
mod work;

pub use checkpoint::{Checkpoint, TensorView};
pub use config::{Activation, Config, LayerKind};
pub use decoder::{Decoder, Sequence, plans_extended};
pub use family::Family;
pub use gguf::Metadata;
use packed::PackedWeights;
pub use placement::GPU_CHUNK;
pub use profile::{Profile, Stage};
pub use quantize::Quantization;
pub use store::PackedCache;

use crate::{Error, Kind};
use ronbun_kernels::mapping::Mapping;
use std::{io, path::Path, sync::Arc};

/// The file, read as it is needed.
fn map(path: &Path) -> Result<Arc<Mapping>, Error> {
    Mapping::open(path).map(Arc::new).map_err(|error| unopened(path, &error))
}

/// A file that cannot be opened or mapped.
fn unopened(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::OutOfMemory => Error::new(
            Kind::Memory,
            path.display(),
            "there is no room in memory to map the file",
        )
        .hint("`ronbun models recommend` tells what fits this machine; a limit may be set on this process (ulimit -v)"),
        _ => Error::new(Kind::Model, path.display(), error),
    }
}

use crate::device::failed as internal;
