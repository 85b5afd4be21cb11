//! How much there is to compute, counted from a decoder's shape.

use super::{Config, LayerKind};

impl Config {
    /// Elements of all layers' matrices: what a token is multiplied with, without the embedding and the head.
    pub fn layer_elements(&self) -> u64 {
        self.layers.iter().map(|layer| self.elements_of(layer)).sum()
    }

    fn elements_of(&self, layer: &LayerKind) -> u64 {
        let queries = self.num_attention_heads * self.head_dim;
        let own = if layer.convolution.is_some() { self.hidden_size } else { 2 * queries };
        let mlp = 3 * self.hidden_size * self.intermediate_size;
        (self.hidden_size * own + mlp) as u64 + self.elements_to_remember(layer)
    }

    /// Elements of the matrices that give what a layer remembers of a token: keys and values, or a convolution's input.
    fn elements_to_remember(&self, layer: &LayerKind) -> u64 {
        let outputs = match layer.convolution {
            Some(_) => 3 * self.hidden_size,
            None => 2 * self.num_key_value_heads * self.head_dim,
        };
        (self.hidden_size * outputs) as u64
    }

    /// Floating-point operations (or those of integers in their place) of the layers' linears for `tokens` tokens: two
    /// for each element.
    pub fn linear_flops(&self, tokens: u64) -> f64 {
        2.0 * self.layer_elements() as f64 * tokens as f64
    }

    /// As [`Config::linear_flops`], where of the last layer only what it remembers is wanted.
    pub fn extend_linear_flops(&self, tokens: u64) -> f64 {
        let unwanted = |last| self.elements_of(last) - self.elements_to_remember(last);
        self.linear_flops(tokens) - 2.0 * self.layers.last().map_or(0, unwanted) as f64 * tokens as f64
    }

    /// As [`Config::attention_flops`], without the last layer.
    pub fn extend_attention_flops(&self, first: u64, tokens: u64) -> f64 {
        self.flops_of(self.layers.split_last().map_or(&[], |(_, layers)| layers), first, tokens)
    }

    /// Those of attention from `tokens` tokens behind `first` others: two for each element of a key and of a value that
    /// a token sees.
    pub fn attention_flops(&self, first: u64, tokens: u64) -> f64 {
        self.flops_of(&self.layers, first, tokens)
    }

    fn flops_of(&self, layers: &[LayerKind], first: u64, tokens: u64) -> f64 {
        let attending = layers.iter().filter(|layer| layer.convolution.is_none());
        let keys: f64 = attending.map(|layer| keys_seen(first, tokens, layer.window)).sum();
        4.0 * (self.num_attention_heads * self.head_dim) as f64 * keys
    }
}

/// Keys that `tokens` tokens see altogether behind `first` others: each those before it and itself, or the last of them
/// that a window leaves.
fn keys_seen(first: u64, tokens: u64, window: Option<usize>) -> f64 {
    let window = window.map_or(u64::MAX, |window| window as u64);
    // So many see less than a window.
    let growing = tokens.min(window.saturating_sub(first));
    let (first, growing, full) = (first as f64, growing as f64, (tokens - growing) as f64);
    let full = if full > 0.0 { full * window as f64 } else { 0.0 };
    growing * first + growing * (growing + 1.0) / 2.0 + full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_counted_once_for_each_token_that_sees_it() {
        let slow =
            |first: u64, tokens: u64, window: u64| (0..tokens).map(|i| (first + i + 1).min(window)).sum::<u64>() as f64;
        for (first, tokens) in [(0, 0), (0, 1), (0, 5), (7, 3), (100, 64)] {
            assert_eq!(keys_seen(first, tokens, None), slow(first, tokens, u64::MAX));
            for window in [1, 4, 9, 120, 1000] {
                assert_eq!(keys_seen(first, tokens, Some(window as usize)), slow(first, tokens, window));
            }
        }
    }
}
