//! Quantised linears in integers: weights packed once into the shape that the multiplying instructions want, activations
//! as signed bytes.
//!
//! A weight of a quantised type is `scale · u + offset` with an unsigned code u and a scale and an offset for each group of
//! 16 or 32 inputs; an activation becomes `s · a` with a signed byte a and a scale s for each 32. Then a group's part of a
//! dot product is `scale · s · Σ u·a + offset · s · Σ a`, of which `Σ u·a` is one instruction for 64 products. Weights lie
//! around zero: the sum starts at `-zero · Σ a`, so that types with a fixed code for zero need no offsets, and those of the
//! others are small beside the scales.
//!
//! Long prompts have ways of their own, for which weights are unpacked for all rows at once. Where the machine multiplies
//! tiles of bf16 (AMX) they are, and activations keep more of their bits; elsewhere weights and activations are turned by
//! Hadamard matrices, and a scale serves more of them.
//!
//! Packed, 16 rows (outputs) are a tile, and a tile is its groups one after the other, so that decoding reads memory in
//! order and a long prompt's product keeps what it unpacks of a tile in its caches.

mod activations;
mod pack;
mod panels;
mod product;
mod turned;
mod wide;

pub use activations::Activations;
pub use pack::pack;
pub use product::{gated, linear};
pub use wide::FROM_ROWS;

use crate::blocks::BlockType;
use std::ops::Range;

/// Rows of a tile.
pub const TILE: usize = 16;
/// Activations that share a scale.
const SPAN: usize = 32;
/// Bytes before a tile's groups: the factor of its scales.
const HEADER: usize = 64;
/// Codes of a tile for four inputs.
const VECTOR: usize = 4 * TILE;
/// Bytes that hold a group's bits above the low four: byte i has those of code i of each [`VECTOR`].
const PLANE: usize = VECTOR;

/// How the groups of a type are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Form {
    /// Inputs of a group: 16 or 32.
    group: usize,
    /// Of a code: 4, two in a byte; 5 or 6, so with the bits above in bytes of their own; or 8.
    bits: u8,
    /// The code that stands for zero, or is nearest to where zero mostly lies.
    zero: u8,
    /// Each group has an offset, besides that of the code for zero.
    offset: bool,
    /// Added to the codes as the file has them.
    shift: u8,
}

impl Form {
    fn of(kind: BlockType) -> Option<Form> {
        let (group, bits, zero, offset, shift) = match kind {
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => return None,
            BlockType::Q4_0 => (32, 4, 8, false, 0),
            BlockType::Q4_1 | BlockType::Q4K => (32, 4, 8, true, 0),
            BlockType::Q5_0 => (32, 5, 16, false, 0),
            BlockType::Q5_1 | BlockType::Q5K => (32, 5, 16, true, 0),
            BlockType::Q8_0 => (32, 8, 128, false, 128),
            BlockType::Q2K => (16, 4, 2, true, 0),
            BlockType::Q3K => (16, 4, 4, false, 0),
            BlockType::Q6K => (16, 6, 32, false, 32),
        };
        Some(Form { group, bits, zero, offset, shift })
    }

    /// Bytes of a group's codes in a tile, or of their low four bits.
    fn low_bytes(self) -> usize {
        TILE * self.group / if self.bits == 8 { 1 } else { 2 }
    }

    /// Bytes of a group's codes in a tile.
    fn code_bytes(self) -> usize {
        self.low_bytes() + if self.has_plane() { PLANE } else { 0 }
    }

    /// The bits above four are in bytes of their own: all bits of them, the first vector's lowest.
    fn has_plane(self) -> bool {
        matches!(self.bits, 5 | 6)
    }

    /// Bytes of a group in a tile: codes, scales, offsets.
    fn group_bytes(self) -> usize {
        self.code_bytes() + 2 * TILE * if self.offset { 2 } else { 1 }
    }

    fn tile_bytes(self, columns: usize) -> usize {
        HEADER + columns / self.group * self.group_bytes()
    }

    /// The factor of a tile's scales.
    fn unit_of(self, weights: Packed, tile: usize) -> f32 {
        let tile = &weights.bytes[tile * self.tile_bytes(weights.columns)..];
        f32::from_le_bytes(*tile.first_chunk().expect("a header"))
    }

    /// Some groups of a tile.
    fn groups_of<'a>(self, weights: Packed<'a>, tile: usize, groups: Range<usize>) -> &'a [u8] {
        let start = tile * self.tile_bytes(weights.columns) + HEADER;
        &weights.bytes[start + groups.start * self.group_bytes()..start + groups.end * self.group_bytes()]
    }
}

/// Bytes of a packed matrix; `None` for types that are not quantised, and for widths that are not whole blocks of 32.
pub fn size(kind: BlockType, rows: usize, columns: usize) -> Option<usize> {
    let form = Form::of(kind)?;
    (columns.is_multiple_of(kind.elements()) && columns > 0)
        .then(|| form.tile_bytes(columns).checked_mul(rows.div_ceil(TILE)))?
}

/// A packed matrix.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    pub kind: BlockType,
    pub bytes: &'a [u8],
    pub rows: usize,
    pub columns: usize,
}

#[cfg(test)]
#[path = "../../tests/common/by_candle.rs"]
mod by_candle;

#[cfg(test)]
const QUANTISED: [BlockType; 10] = {
    use BlockType::*;
    [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_a_group_stay_within_what_is_scaled_exactly() {
        for form in QUANTISED.map(|kind| Form::of(kind).expect("quantised")) {
            let (zero, most) = (i32::from(form.zero), (1 << form.bits) - 1);
            let largest = form.group as i32 * 127 * zero.max(most - zero);
            assert!(largest < 1 << 22, "{form:?}");
        }
    }
}
