//! Matrices of f32, f16 or bf16 quantised as a checkpoint is opened, in the types of GGUF files, as candle quantises
//! them. Made once, kept in the cache, mapped.

use super::gguf::ggml_type;
use super::store::{Failure, PackedCache, Sizes};
use super::{Checkpoint, TensorView, internal};
use crate::progress::Bar;
use crate::{Error, Kind, Result, interrupt};
use candle_core::{Device, Tensor, quantized::QTensor};
use rayon::prelude::*;
use ronbun_kernels::{
    Isa,
    blocks::{self, BlockType},
};
use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Elements quantised by one thread at a time, about.
const PIECE: usize = 1 << 18;

/// What matrices are quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// All matrices Q8_0.
    Q8_0,
    /// Those of the layers Q4_K, the embedding and the head Q6_K, as llama.cpp takes more bits for these.
    Q4K,
}

impl Quantization {
    /// The type of a matrix; the one that llama.cpp falls back to where its rows are no whole blocks of 256; none, so
    /// that it stays as it is, where they are none of 32 either.
    fn kind_of(self, name: &str, columns: usize) -> Option<BlockType> {
        let layer = name.starts_with("model.layers.");
        match self {
            _ if columns == 0 || !columns.is_multiple_of(32) => None,
            Quantization::Q4K if !columns.is_multiple_of(256) => {
                Some(if layer { BlockType::Q5_0 } else { BlockType::Q8_0 })
            }
            Quantization::Q4K => Some(if layer { BlockType::Q4K } else { BlockType::Q6K }),
            Quantization::Q8_0 => Some(BlockType::Q8_0),
        }
    }

    /// The most bytes that a model's files of so many bytes become.
    pub fn bytes_of(self, bytes: u64) -> u64 {
        // Of 16 bits an element; what was 32 becomes less.
        match self {
            Quantization::Q8_0 => bytes / 16 * 9,
            Quantization::Q4K => bytes / 16 * 7,
        }
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Quantization::Q8_0 => "q8_0",
            Quantization::Q4K => "q4_k",
        })
    }
}

impl FromStr for Quantization {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantization, String> {
        let known = [Quantization::Q8_0, Quantization::Q4K];
        known.into_iter().find(|known| known.to_string() == text).ok_or_else(|| "is neither q8_0 nor q4_k".into())
    }
}

impl Checkpoint {
    /// As [`Checkpoint::open`], its matrices quantised where that is asked for. Also returns what they lie in, which is
    /// what [`super::Decoder::load`] packs: `path` itself, or a file of the cache.
    pub fn open_as(path: &Path, to: Option<Quantization>, cache: &PackedCache) -> Result<(Checkpoint, PathBuf)> {
        let mut checkpoint = Checkpoint::open(path)?;
        let Some(to) = to else { return Ok((checkpoint, path.to_path_buf())) };
        let kinds = kinds(&checkpoint, to)?;
        let sizes: Sizes = kinds
            .iter()
            .map(|(name, kind)| (name.clone(), kind.size_of(checkpoint.tensors[name].shape.iter().product())))
            .collect();
        let write = |file: &mut dyn Write, name: &str, bar: &Bar| {
            write_matrix(file, &checkpoint.tensors[name], kinds[name], bar)
        };
        let label = format!("quantising the weights to {to}, once");
        let stored = cache.found_or_made(path, &to.to_string(), &label, &sizes, write);
        let (file, stored) = stored.map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Io(error) => Error::new(Kind::Output, cache.folder.display(), error)
                .hint("quantised weights are kept there; RONBUN_CACHE names another folder"),
        })?;
        for (name, range) in stored.ranges {
            if let (Some(view), Some(&kind)) = (checkpoint.tensors.get_mut(&name), kinds.get(&name)) {
                *view = TensorView { file: stored.file.clone(), range, kind, shape: view.shape.clone() };
            }
        }
        Ok((checkpoint, file))
    }
}

/// The types of the matrices that are quantised.
fn kinds(checkpoint: &Checkpoint, to: Quantization) -> Result<BTreeMap<String, BlockType>> {
    let unused_head = checkpoint.config.tied == Some(true);
    let is_float = |view: &TensorView| matches!(view.kind, BlockType::F32 | BlockType::F16 | BlockType::BF16);
    let float = checkpoint
        .tensors
        .iter()
        .filter(|(name, view)| is_float(view) && view.shape.len() == 2 && !(unused_head && *name == "lm_head.weight"));
    let mut found = BTreeMap::new();
    let mut left: Vec<&str> = Vec::new();
    for (name, view) in float {
        match to.kind_of(name, view.shape[1]) {
            Some(kind) => drop(found.insert(name.clone(), kind)),
            None => left.push(name),
        }
    }
    let refuse = |problem: String, hint: &str| Err(Error::new(Kind::Usage, "--quantize", problem).hint(hint));
    let name = &checkpoint.name;
    match (found.is_empty(), left.first()) {
        (false, _) => Ok(found),
        (true, Some(first)) => refuse(
            format!("{name}: no matrix has rows of whole blocks of 32 elements ({first} has {:?})", {
                &checkpoint.tensors[*first].shape
            }),
            "leave --quantize out for this model",
        ),
        (true, None) => {
            refuse(format!("{name}: its matrices are {} already", checkpoint.quantization()), "leave --quantize out")
        }
    }
}

/// Some rows at a time, on all threads. The model's own pages are let go as soon as they are quantised.
fn write_matrix(file: &mut dyn Write, view: &TensorView, kind: BlockType, bar: &Bar) -> Result<(), Failure> {
    let (rows, columns) = (view.shape[0], view.shape[1]);
    let piece = (PIECE / columns).max(1);
    let slab = piece * rayon::current_num_threads();
    let row_bytes = view.kind.size_of(columns);
    for first in (0..rows).step_by(slab) {
        interrupt::check()?;
        let bytes = &view.bytes()[first * row_bytes..(first + slab).min(rows) * row_bytes];
        let pieces = bytes.par_chunks(piece * row_bytes).map(|bytes| quantized(bytes, view.kind, columns, kind));
        for piece in pieces.collect::<Result<Vec<_>>>()? {
            file.write_all(&piece)?;
            bar.advance(piece.len() as u64);
        }
        let start = view.range.start + first * row_bytes;
        view.file.let_go(start..start + bytes.len());
    }
    Ok(())
}

/// Whole rows of `columns` elements in another type.
fn quantized(bytes: &[u8], from: BlockType, columns: usize, to: BlockType) -> Result<Vec<u8>> {
    let rows = bytes.len() / from.size_of(columns);
    let mut values = vec![0f32; rows * columns];
    blocks::dequantize(Isa::current(), from, bytes, &mut values);
    let rows = Tensor::from_vec(values, (rows, columns), &Device::Cpu).map_err(internal)?;
    let quantized = QTensor::quantize(&rows, ggml_type(to)).map_err(internal)?;
    Ok(quantized.data().map_err(internal)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use BlockType::*;

    #[test]
    fn types_are_those_that_rows_have_room_for() {
        let of = |to: Quantization, name, columns| to.kind_of(name, columns);
        let (layer, head) = ("model.layers.3.mlp.up_proj.weight", "lm_head.weight");
        assert_eq!([256, 576, 48].map(|columns| of(Quantization::Q4K, layer, columns)), [Some(Q4K), Some(Q5_0), None]);
        assert_eq!([256, 576, 0].map(|columns| of(Quantization::Q4K, head, columns)), [Some(Q6K), Some(Q8_0), None]);
        assert_eq!([256, 32].map(|columns| of(Quantization::Q8_0, layer, columns)), [Some(Q8_0), Some(Q8_0)]);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for one in [Quantization::Q8_0, Quantization::Q4K] {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        assert!("q4_0".parse::<Quantization>().is_err());
        assert_eq!(Quantization::Q4K.bytes_of(1600), 700);
    }
}
