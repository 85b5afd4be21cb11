//! A matrix as it lies in a GGUF file → its tiles.

use super::{Form, HEADER, TILE, VECTOR, size};
use crate::{
    Isa,
    blocks::{self, BlockType},
    pool,
};
use half::f16;

/// Packs `bytes`, a matrix of `rows` × `columns` as it lies in a GGUF file, into `out`. Panics on wrong lengths and where
/// [`size`] gives none.
pub fn pack(kind: BlockType, bytes: &[u8], rows: usize, columns: usize, out: &mut [u8]) {
    let form = Form::of(kind).expect("a quantised type");
    assert_eq!(Some(out.len()), size(kind, rows, columns), "bytes of the packed matrix");
    assert_eq!(bytes.len(), rows * kind.size_of(columns), "bytes of the matrix");
    let isa = Isa::current();
    pool::chunks_mut(out, form.tile_bytes(columns), |tile, out| {
        pack_tile(isa, kind, form, bytes, tile * TILE..rows.min((tile + 1) * TILE), columns, out);
    });
}

fn pack_tile(
    isa: Isa,
    kind: BlockType,
    form: Form,
    bytes: &[u8],
    rows: std::ops::Range<usize>,
    columns: usize,
    out: &mut [u8],
) {
    let row_bytes = kind.size_of(columns);
    let groups = columns / form.group;
    // (group, row) scales and offsets; (group, step, row, 4) codes.
    let mut factors = vec![(0f32, 0f32); groups * TILE];
    let mut codes = vec![form.zero; TILE * columns];
    for (lane, row) in rows.enumerate() {
        let blocks = bytes[row * row_bytes..(row + 1) * row_bytes].chunks_exact(kind.bytes());
        for (index, block) in blocks.enumerate() {
            let decoded = blocks::codes(isa, kind, block);
            let first = index * kind.elements();
            for (i, &q) in decoded.q[..kind.elements()].iter().enumerate() {
                let column = first + i;
                codes[column / 4 * (4 * TILE) + 4 * lane + column % 4] = (q as u8).wrapping_add(form.shift);
            }
            for i in 0..kind.elements() / form.group {
                let (scale, offset) = decoded.groups[i];
                let zero = f32::from(form.zero) - f32::from(form.shift);
                factors[(first / form.group + i) * TILE + lane] = (scale, offset + zero * scale);
            }
        }
    }
    // Halves hold the factors best where the largest is near their top.
    let largest = factors.iter().map(|(scale, offset)| scale.abs().max(offset.abs())).fold(0.0, f32::max);
    let unit = if largest > 0.0 { (largest.log2().ceil() - 15.0).exp2() } else { 1.0 };
    out[..4].copy_from_slice(&unit.to_le_bytes());
    let code_groups = codes.chunks_exact(TILE * form.group).zip(factors.chunks_exact(TILE));
    for (out, (codes, factors)) in out[HEADER..].chunks_exact_mut(form.group_bytes()).zip(code_groups) {
        let (packed, halves) = out.split_at_mut(form.code_bytes());
        put_codes(form, codes, packed);
        let scales = factors.iter().map(|factors| factors.0);
        let offsets = factors.iter().map(|factors| factors.1).filter(|_| form.offset);
        for (out, factor) in halves.chunks_exact_mut(2).zip(scales.chain(offsets)) {
            out.copy_from_slice(&f16::from_f32(factor / unit).to_le_bytes());
        }
    }
}

/// Packs a group's codes, a byte each.
fn put_codes(form: Form, codes: &[u8], packed: &mut [u8]) {
    if form.bits == 8 {
        packed.copy_from_slice(codes);
        return;
    }
    let (low, plane) = packed.split_at_mut(form.low_bytes());
    for (pair, low) in codes.chunks_exact(2 * VECTOR).zip(low.chunks_exact_mut(VECTOR)) {
        for (i, low) in low.iter_mut().enumerate() {
            *low = pair[i] & 15 | (pair[VECTOR + i] << 4);
        }
    }
    plane.fill(0);
    for (number, codes) in codes.chunks_exact(VECTOR).enumerate() {
        for (plane, code) in plane.iter_mut().zip(codes) {
            *plane |= (code >> 4) << (number as u8 * (form.bits - 4));
        }
    }
}
