//! A GGUF file: its metadata become a [`Config`], its tensors get Hugging Face's names.

mod config;
mod metadata;
mod names;

pub use metadata::Metadata;

use super::{Checkpoint, Family, TensorView, fused};
use crate::{Error, Kind, Result, rope};
use candle_core::quantized::{GgmlDType, gguf_file::Content};
use ronbun_kernels::{blocks::BlockType, mapping::Mapping};
use std::{collections::HashMap, io::Cursor, path::Path, sync::Arc};

pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let name = path.display().to_string();
    let fail = |problem: String| Error::new(Kind::Model, &name, problem);
    let damaged = |problem: String| fail(problem).hint("fetch the file again");
    let (file, mut content) = read(path)?;
    let metadata = Metadata(std::mem::take(&mut content.metadata));
    let family = config::family(&metadata).map_err(fail)?;
    let mut tensors = tensors(family, &content, &file).map_err(damaged)?;
    let config = config::config(family, &metadata, &tensors).map_err(|problem| match problem.starts_with("rope") {
        true => rope::model_error(&name, problem),
        false => fail(problem),
    })?;
    fused::split(&config, &mut tensors).map_err(damaged)?;
    Ok(Checkpoint { name, config, tensors, metadata: Some(metadata) })
}

/// The file, and its header parsed.
fn read(path: &Path) -> Result<(Arc<Mapping>, Content)> {
    let fail = |problem: String| Error::new(Kind::Model, path.display(), problem);
    let file = super::map(path)?;
    if !file.starts_with(b"GGUF") {
        let found = file[..file.len().min(4)].escape_ascii();
        return Err(fail(format!("is not a GGUF file (it begins with '{found}')")).hint(
            "--model takes a GGUF file, a folder with config.json and safetensors, a hub repository, or an id of `ronbun models list`",
        ));
    }
    if alignment_is_zero(&file) {
        return Err(fail("cannot be read as GGUF: its alignment is 0".into()).hint("fetch the file again"));
    }
    let content = Content::read(&mut Cursor::new(&file[..])).map_err(|error| {
        fail(format!("cannot be read as GGUF: {}", first_line(&error))).hint(
            "the file is cut short or damaged, or holds a tensor type that is not known (F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K are)",
        )
    })?;
    Ok((file, content))
}

/// Whether the header sets `general.alignment` to 0, by which candle would divide.
fn alignment_is_zero(file: &[u8]) -> bool {
    const KEY: &[u8] = b"general.alignment";
    let header = &file[..file.len().min(1 << 26)];
    let at = header.windows(KEY.len()).position(|window| window == KEY);
    // After the key comes the value's type (four bytes), then the value, little-endian.
    let value = at.and_then(|at| header.get(at + KEY.len() + 4..at + KEY.len() + 8));
    value == Some(&[0; 4])
}

/// candle's errors carry a backtrace after the first line.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

fn tensors(family: Family, content: &Content, file: &Arc<Mapping>) -> Result<HashMap<String, TensorView>, String> {
    let mut tensors = HashMap::new();
    for (name, info) in &content.tensor_infos {
        let kind = block_type(info.ggml_dtype)
            .ok_or_else(|| format!("tensor {name} is of unknown type {:?}", info.ggml_dtype))?;
        let shape = info.shape.dims().to_vec();
        let count = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).ok_or("a tensor's shape overflows")?;
        if !shape.last().unwrap_or(&0).is_multiple_of(kind.elements()) {
            return Err(format!("tensor {name}: rows of {shape:?} are not whole blocks of {kind:?}"));
        }
        let start = content.tensor_data_offset.checked_add(info.offset).ok_or("a tensor's offset overflows")?;
        let bytes = kind.checked_size_of(count).ok_or("a tensor's size overflows")?;
        let end = start.checked_add(bytes as u64).ok_or("a tensor's offset overflows")?;
        if end > file.len() as u64 {
            return Err(format!("cut short: tensor {name} ends at byte {end}, the file at {}", file.len()));
        }
        let view = TensorView { file: file.clone(), range: start as usize..end as usize, kind, shape };
        tensors.insert(names::hugging_face(family, name), view);
    }
    Ok(tensors)
}

/// What candle calls a type.
pub(super) fn ggml_type(kind: BlockType) -> GgmlDType {
    match kind {
        BlockType::F32 => GgmlDType::F32,
        BlockType::F16 => GgmlDType::F16,
        BlockType::BF16 => GgmlDType::BF16,
        BlockType::Q4_0 => GgmlDType::Q4_0,
        BlockType::Q4_1 => GgmlDType::Q4_1,
        BlockType::Q5_0 => GgmlDType::Q5_0,
        BlockType::Q5_1 => GgmlDType::Q5_1,
        BlockType::Q8_0 => GgmlDType::Q8_0,
        BlockType::Q2K => GgmlDType::Q2K,
        BlockType::Q3K => GgmlDType::Q3K,
        BlockType::Q4K => GgmlDType::Q4K,
        BlockType::Q5K => GgmlDType::Q5K,
        BlockType::Q6K => GgmlDType::Q6K,
    }
}

fn block_type(kind: GgmlDType) -> Option<BlockType> {
    BlockType::ALL.into_iter().find(|known| ggml_type(*known) == kind)
}
