//! The families of models: small differences over one decoder.

use ronbun_kernels::elementwise::Pairing;

/// Architectures that the decoder stack runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Phi3,
    Gemma3,
    SmolLm3,
    Lfm2,
}

impl Family {
    const NAMES: [(&str, Family); 9] = [
        ("llama", Family::Llama),
        ("mistral", Family::Mistral),
        ("qwen2", Family::Qwen2),
        ("qwen3", Family::Qwen3),
        ("phi3", Family::Phi3),
        ("gemma3", Family::Gemma3),
        ("gemma3_text", Family::Gemma3),
        ("smollm3", Family::SmolLm3),
        ("lfm2", Family::Lfm2),
    ];

    /// The families' names, for messages.
    pub const KNOWN: &str = "llama, mistral, qwen2, qwen3, phi3, gemma3, smollm3, lfm2";

    /// By the name that checkpoints use (`model_type`, `general.architecture`).
    pub fn from_name(name: &str) -> Option<Family> {
        Family::NAMES.iter().find(|(known, _)| *known == name).map(|(_, family)| *family)
    }

    pub fn name(self) -> &'static str {
        Family::NAMES.iter().find(|(_, family)| *family == self).map_or("", |(name, _)| name)
    }

    /// Whether each head's queries and keys are normed before they are rotated.
    pub fn norms_heads(self) -> bool {
        matches!(self, Family::Qwen3 | Family::Gemma3 | Family::Lfm2)
    }

    /// Whether what attention and MLP give is normed before it is added.
    pub fn norms_results(self) -> bool {
        self == Family::Gemma3
    }

    /// Whether queries, keys and values always have a bias; in other families the tensors tell.
    pub fn needs_biases(self) -> bool {
        self == Family::Qwen2
    }

    /// Whether queries, keys and values lie in one matrix, and gate and up projection in another.
    pub fn fuses_projections(self) -> bool {
        self == Family::Phi3
    }

    /// Whether the head is the embedding where config.json does not tell.
    pub fn tied_by_default(self) -> bool {
        matches!(self, Family::Gemma3 | Family::SmolLm3 | Family::Lfm2)
    }

    /// The rotary base where config.json does not tell.
    pub fn default_theta(self) -> f64 {
        match self {
            Family::Gemma3 | Family::Lfm2 => 1_000_000.0,
            Family::SmolLm3 => 2_000_000.0,
            _ => 10_000.0,
        }
    }

    /// llama.cpp's converter permutes the rows of Q and K where it takes an architecture for a llama.
    pub fn gguf_pairing(self) -> Pairing {
        match self {
            Family::Llama | Family::Mistral | Family::SmolLm3 => Pairing::Interleaved,
            Family::Qwen2 | Family::Qwen3 | Family::Phi3 | Family::Gemma3 | Family::Lfm2 => Pairing::HalfSplit,
        }
    }
}
