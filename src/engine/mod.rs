//! Prefill, batched decode and sampling over token ids.
