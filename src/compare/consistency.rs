//! How alike the texts of several trials are: the cosine of their embeddings, over all pairs.

use crate::Result;

/// Texts as vectors; two that mean the same point the same way.
pub trait Embedder {
    fn name(&self) -> String;

    /// Whether texts in the language with this tag (none where it is not clear) are understood. What is not is not
    /// measured.
    fn knows(&self, language: Option<&str>) -> bool;

    /// One vector for each text, in their order.
    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;
}

/// 1 where two vectors point the same way; 0 where one of them is 0.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

/// The cosines of all pairs.
pub fn pairs(vectors: &[Vec<f32>]) -> Vec<f64> {
    let with_later = |index: usize| vectors[index + 1..].iter().map(move |other| cosine(&vectors[index], other));
    (0..vectors.len()).flat_map(with_later).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_of_all_pairs() {
        let found = pairs(&[vec![1.0, 0.0], vec![2.0, 0.0], vec![3.0, 4.0]]);
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip([1.0, 0.6, 0.6]) {
            assert!((found - expected).abs() < 1e-9);
        }
        assert_eq!(cosine(&[0.0], &[1.0]), 0.0);
    }
}
