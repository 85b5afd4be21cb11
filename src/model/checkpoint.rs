//! What lies on the disk: a configuration, and tensors as mapped bytes.

use super::{Config, Metadata, gguf, safetensors};
use crate::{Error, Kind, Result};
use ronbun_kernels::{blocks::BlockType, mapping::Mapping};
use std::{collections::HashMap, ops::Range, path::Path, sync::Arc};

/// A tensor's bytes in a mapped file.
#[derive(Debug, Clone)]
pub struct TensorView {
    pub file: Arc<Mapping>,
    pub range: Range<usize>,
    pub kind: BlockType,
    /// Row-major, outputs first.
    pub shape: Vec<usize>,
}

impl TensorView {
    pub fn bytes(&self) -> &[u8] {
        &self.file[self.range.clone()]
    }
}

/// A model's files, opened and checked for their form; nothing is computed yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// What messages call it.
    pub name: String,
    pub config: Config,
    /// By the names that Hugging Face gives them (`model.layers.0.self_attn.q_proj.weight`).
    pub tensors: HashMap<String, TensorView>,
    /// Tokenizer and chat template of a GGUF file.
    pub metadata: Option<Metadata>,
}

impl Checkpoint {
    /// A GGUF file, or a folder with config.json and safetensors.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        if !path.exists() {
            return Err(Error::new(Kind::Model, path.display(), "no such file or folder"));
        }
        if path.is_dir() { safetensors::open(path) } else { gguf::open(path) }
    }

    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
    }

    /// Bytes of all tensors.
    pub fn weight_bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.range.len() as u64).sum()
    }

    /// The types that the matrices are stored in, most bytes first: `Q4_K, Q6_K`.
    pub fn quantization(&self) -> String {
        let mut bytes: HashMap<String, usize> = HashMap::new();
        for tensor in self.tensors.values().filter(|tensor| tensor.shape.len() > 1) {
            *bytes.entry(name_of(tensor.kind)).or_default() += tensor.range.len();
        }
        let mut kinds: Vec<_> = bytes.into_iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        kinds.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::new(Kind::Model, &self.name, problem).hint(
            "the file is not a complete model of its family; fetch it again (ronbun models verify tells which files)",
        )
    }
}

fn name_of(kind: BlockType) -> String {
    match kind {
        BlockType::Q2K => "Q2_K".into(),
        BlockType::Q3K => "Q3_K".into(),
        BlockType::Q4K => "Q4_K".into(),
        BlockType::Q5K => "Q5_K".into(),
        BlockType::Q6K => "Q6_K".into(),
        other => format!("{other:?}"),
    }
}
