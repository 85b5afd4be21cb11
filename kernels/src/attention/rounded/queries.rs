//! Queries as attention over bytes takes them.

use super::{
    block::{key_dim, spread_out},
    products::Order,
    scale::best_of_lanes,
};
use crate::{
    attention::{Shape, Task},
    lines::Lines,
    simd::{MOST_LANES, Simd, side_by_side},
};

/// Queries that are smaller in every element count as this small.
const LEAST_QUERY: f32 = 1e-4;

/// Queries in lanes, `LANES` to a vector.
pub(super) struct Queries {
    pub(super) vectors: usize,
    /// (vectors, head_dim / 4, LANES, 4): rounded, and shifted by 128 where keys are in strips.
    pub(super) codes: Lines<u8>,
    /// (vectors, LANES)
    pub(super) scales: Lines<f32>,
    /// (vectors, head_dim, LANES): not rounded; scores are in units of log₂.
    pub(super) exact: Lines<f32>,
    /// What scores are bent to, in units of log₂ too.
    pub(super) softcap: Option<f32>,
}

impl Queries {
    #[inline(always)]
    pub(super) unsafe fn new<S: Simd>(shape: Shape, q: &[f32], task: Task, order: Order) -> Queries {
        let Shape { heads, head_dim, scale, softcap, .. } = shape;
        let group = shape.group();
        let rows = task.rows * group;
        let vectors = rows.div_ceil(S::LANES);
        let width = key_dim(head_dim);
        let mut queries = Queries {
            vectors,
            codes: Lines::any(vectors * S::LANES * width),
            scales: Lines::any(vectors * S::LANES),
            exact: Lines::any(vectors * S::LANES * head_dim),
            softcap: softcap.map(|cap| cap * std::f32::consts::LOG2_E),
        };
        let scale = scale * std::f32::consts::LOG2_E;
        let mut spread = Lines::<f32>::zeros(S::LANES * width);
        for vector in 0..vectors {
            let exact = &mut queries.exact[vector * head_dim * S::LANES..][..head_dim * S::LANES];
            // Lanes past the last row are like it.
            let mut lanes = [&q[..0]; MOST_LANES];
            for (lane, of_lane) in lanes.iter_mut().enumerate() {
                let row = (vector * S::LANES + lane).min(rows - 1);
                let from = ((task.first_row + row / group) * heads + task.kv_head * group + row % group) * head_dim;
                *of_lane = &q[from..from + head_dim];
            }
            // SAFETY: the instruction set is the caller's; as many queries as lanes, all as long.
            unsafe { side_by_side::<S>(&lanes, scale, exact, S::LANES) };
            spread[..exact.len()].copy_from_slice(exact);
            // SAFETY: the instruction set is the caller's; rows are vectors.
            unsafe { spread_out::<S>(&mut spread[..exact.len()], S::LANES) };
            let scales = &mut queries.scales[vector * S::LANES..][..S::LANES];
            let codes = &mut queries.codes[vector * S::LANES * width..][..S::LANES * width];
            // SAFETY: the instruction set is the caller's.
            unsafe { round_lanes::<S>(&spread, scales, codes) };
            if order == Order::Tiles {
                codes.iter_mut().for_each(|code| *code ^= 128);
            }
        }
        queries
    }
}

/// Rounds a vector of queries (padded head_dim, LANES) to bytes, shifted by 128, four of a lane together.
#[inline(always)]
unsafe fn round_lanes<S: Simd>(queries: &[f32], scales: &mut [f32], codes: &mut [u8]) {
    // SAFETY: `queries` and `codes` are whole vectors, `scales` is one.
    unsafe {
        let mut most = S::splat(LEAST_QUERY);
        for q in queries.chunks_exact(S::LANES) {
            let q = S::load(q.as_ptr());
            most = S::max(most, S::max(q, S::mul(q, S::splat(-1.0))));
        }
        let inverse = best_of_lanes::<S>(queries, S::LANES, most);
        S::store(scales.as_mut_ptr(), S::div(S::splat(1.0), inverse));
        for (four, codes) in queries.chunks_exact(4 * S::LANES).zip(codes.chunks_exact_mut(4 * S::LANES)) {
            let code = |i: usize| {
                // What is cut to an integer later is rounded by the half.
                S::min(S::fma(S::load(four.as_ptr().add(i * S::LANES)), inverse, S::splat(128.5)), S::splat(255.5))
            };
            S::store_bytes(codes.as_mut_ptr(), [code(0), code(1), code(2), code(3)]);
        }
    }
}
