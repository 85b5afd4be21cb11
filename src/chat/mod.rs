//! Tokenizer and chat template: text ↔ token ids.

mod letters;
mod template;
mod tokenizer;
mod vocabulary;

pub use letters::Letters;
pub use template::{CHATML, ChatSettings, ChatTemplate, Message};
pub use tokenizer::Tokenizer;
pub use vocabulary::Vocabulary;
