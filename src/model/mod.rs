//! Weights (GGUF, safetensors) and one decoder stack over them.
