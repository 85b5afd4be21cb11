//! Memory that a decoder's layers take turns in.

use super::{Config, joined::Columns};
use crate::{Result, device::Place};
use candle_core::Tensor;

/// Room for what a layer computes, (rows, width) each: used by one layer after the other.
pub struct Room {
    pub normed: Tensor,
    pub qkv: Columns<3>,
    pub attended: Tensor,
    /// Two gates and the inputs of a convolution, side by side, where a layer convolves.
    bcx: Option<Tensor>,
    /// What the mixer or the MLP adds to the residual stream.
    pub hidden: Tensor,
    pub gate_up: Columns<2>,
}

impl Room {
    /// All layers are of the same shape.
    pub fn new(place: &Place, config: &Config, rows: usize) -> Result<Room> {
        let empty = |width: usize| place.empty(rows, width);
        let [queries, keys] =
            [config.num_attention_heads, config.num_key_value_heads].map(|heads| heads * config.head_dim);
        let convolves = config.attending() < config.num_hidden_layers;
        Ok(Room {
            normed: empty(config.hidden_size)?,
            qkv: Columns::new(place, rows, [queries, keys, keys])?,
            attended: empty(queries)?,
            bcx: convolves.then(|| empty(3 * config.hidden_size)).transpose()?,
            hidden: empty(config.hidden_size)?,
            gate_up: Columns::new(place, rows, [config.intermediate_size; 2])?,
        })
    }

    pub fn bcx(&self) -> &Tensor {
        self.bcx.as_ref().expect("a layer that convolves")
    }
}
