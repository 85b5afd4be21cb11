//! The kernels' results in naive f64: what the tests hold every instruction set to.

use crate::attention::{Shape, Visible};

/// `x[m × columns] · Wᵀ` with `w` (rows, columns).
pub fn linear(x: &[f32], w: &[f32], columns: usize, bias: Option<&[f32]>) -> Vec<f64> {
    let mut y = Vec::new();
    for x in x.chunks_exact(columns) {
        for (row, w) in w.chunks_exact(columns).enumerate() {
            let dot: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            y.push(dot + bias.map_or(0.0, |bias| f64::from(bias[row])));
        }
    }
    y
}

/// Attention of `q` (rows, heads, head_dim) over `keys` and `values` (tokens, kv_heads, head_dim): outputs
/// (rows, heads, head_dim) and the scores' log-sum-exp (rows, heads).
pub fn attention(shape: Shape, q: &[f32], keys: &[f32], values: &[f32], visible: Visible) -> (Vec<f64>, Vec<f64>) {
    let Shape { heads, kv_heads, head_dim, scale, window, softcap } = shape;
    let tokens = keys.len() / (kv_heads * head_dim);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for (row, q) in q.chunks_exact(heads * head_dim).enumerate() {
        let sees = |token: usize| {
            let position = match visible {
                Visible::All => return true,
                Visible::Causal { first } => first + row,
                Visible::Behind { at } => at[row],
            };
            token <= position && window.is_none_or(|window| position - token < window)
        };
        let seen: Vec<usize> = (0..tokens).filter(|token| sees(*token)).collect();
        for (head, q) in q.chunks_exact(head_dim).enumerate() {
            let kv_head = head / (heads / kv_heads);
            let at = |token: usize| (token * kv_heads + kv_head) * head_dim;
            let scores: Vec<f64> = seen
                .iter()
                .map(|&token| {
                    let key = &keys[at(token)..at(token) + head_dim];
                    let dot: f64 = q.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                    let score = dot * f64::from(scale);
                    softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                })
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            lse.push(if seen.is_empty() { f64::NEG_INFINITY } else { top + sum.ln() });
            out.extend((0..head_dim).map(|i| {
                let weighted = |(&token, s): (&usize, &f64)| (s - top).exp() / sum * f64::from(values[at(token) + i]);
                seen.iter().zip(&scores).map(weighted).sum::<f64>()
            }));
        }
    }
    (out, lse)
}
