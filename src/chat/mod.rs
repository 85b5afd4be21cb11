//! Tokenizer and chat template: text ↔ token ids.

mod template;
mod tokenizer;
mod vocabulary;

pub use template::{CHATML, ChatSettings, ChatTemplate, Message};
pub use tokenizer::Tokenizer;
pub use vocabulary::Vocabulary;
