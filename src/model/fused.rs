//! Matrices that lie in a file as one (Phi 3) become the ones that the decoder takes: rows of a matrix are whole, so
//! that a part of them is a part of its bytes.

use super::{Config, TensorView};
use std::collections::HashMap;

/// Splits queries, keys and values, and gate and up projection, where the family fuses them; under Hugging Face's
/// names.
pub fn split(config: &Config, tensors: &mut HashMap<String, TensorView>) -> Result<(), String> {
    if !config.family.fuses_projections() {
        return Ok(());
    }
    let (queries, keys) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let inner = config.intermediate_size;
    for number in 0..config.num_hidden_layers {
        let layer = format!("model.layers.{number}");
        let attention = [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)];
        split_rows(tensors, &format!("{layer}.self_attn"), "qkv_proj", &attention)?;
        split_rows(tensors, &format!("{layer}.mlp"), "gate_up_proj", &[("gate_proj", inner), ("up_proj", inner)])?;
    }
    Ok(())
}

/// A matrix that is not there is left to who asks for its parts.
fn split_rows(
    tensors: &mut HashMap<String, TensorView>,
    place: &str,
    whole: &str,
    parts: &[(&str, usize)],
) -> Result<(), String> {
    let Some(view) = tensors.remove(&format!("{place}.{whole}.weight")) else { return Ok(()) };
    let rows: usize = parts.iter().map(|(_, rows)| rows).sum();
    let &[all, columns] = view.shape.as_slice() else {
        return Err(format!("tensor {place}.{whole}.weight is no matrix"));
    };
    if all != rows {
        return Err(format!("tensor {place}.{whole}.weight has {all} rows, not {rows}"));
    }
    let row_bytes = view.range.len() / all;
    let mut start = view.range.start;
    for (part, rows) in parts {
        let range = start..start + rows * row_bytes;
        start = range.end;
        let view = TensorView { range, shape: vec![*rows, columns], ..view.clone() };
        tensors.insert(format!("{place}.{part}.weight"), view);
    }
    Ok(())
}
