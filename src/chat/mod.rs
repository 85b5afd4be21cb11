//! Tokenizer and chat template: text ↔ token ids.
