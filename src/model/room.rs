//! Memory that a decoder's layers take turns in.

use super::Config;
use crate::{Result, device::Place};
use candle_core::Tensor;

/// Room for what a layer computes, (rows, width) each: used by one layer after the other.
pub struct Room {
    pub normed: Tensor,
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub attended: Tensor,
    /// What the mixer or the MLP adds to the residual stream.
    pub hidden: Tensor,
    pub gate: Tensor,
    pub up: Tensor,
}

impl Room {
    /// All layers are of the same shape.
    pub fn new(place: &Place, config: &Config, rows: usize) -> Result<Room> {
        let empty = |width: usize| place.empty(rows, width);
        let (queries, keys) = (config.num_attention_heads, config.num_key_value_heads);
        Ok(Room {
            normed: empty(config.hidden_size)?,
            q: empty(queries * config.head_dim)?,
            k: empty(keys * config.head_dim)?,
            v: empty(keys * config.head_dim)?,
            attended: empty(queries * config.head_dim)?,
            hidden: empty(config.hidden_size)?,
            gate: empty(config.intermediate_size)?,
            up: empty(config.intermediate_size)?,
        })
    }
}
