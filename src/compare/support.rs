//! Whether a passage of the paper is near to what an answer's sentence says, by their embeddings, and where it stands.
//!
//! Nearness is no proof: a sentence that says the opposite of a passage is near to it too.

use super::consistency::{Embedder, cosine};
use crate::Result;
use crate::document::{Block, Document, Part};
use crate::pipeline;
use serde::Serialize;

/// A sentence is supported by a passage at least this near. Chosen by hand for all-MiniLM-L6-v2, and not calibrated.
pub const NEAR: f64 = 0.55;
/// Sentences with fewer letters say too little to be looked up.
const TELLING_LETTERS: usize = 20;
/// Of a passage, so many characters are shown.
const SHOWN: usize = 160;

/// The paragraphs of a paper as vectors.
pub struct Passages<'a> {
    blocks: Vec<&'a Block>,
    vectors: Vec<Vec<f32>>,
}

/// A sentence of an answer, and the passage nearest to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Supported {
    pub sentence: String,
    pub supported: bool,
    pub similarity: f64,
    /// From 1.
    pub page: u32,
    /// How it begins.
    pub passage: String,
    /// All of it, for a judge.
    #[serde(skip)]
    pub whole: String,
}

impl Passages<'_> {
    /// None where the embedder does not know the paper's language.
    pub fn of<'a>(document: &'a Document, embedder: &mut dyn Embedder) -> Result<Option<Passages<'a>>> {
        let is_passage = |block: &&Block| block.part != Part::References && !block.is_heading() && tells(&block.text);
        let blocks: Vec<&Block> = document.blocks.iter().filter(is_passage).collect();
        let texts: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
        if texts.is_empty() || !embedder.knows(pipeline::language(&texts.join("\n"))) {
            return Ok(None);
        }
        let vectors = embedder.embed(&texts)?;
        Ok(Some(Passages { blocks, vectors }))
    }

    /// For each sentence that says enough; none of a text in a language that the embedder does not know.
    pub fn support(&self, text: &str, embedder: &mut dyn Embedder) -> Result<Vec<Supported>> {
        if !embedder.knows(pipeline::language(text)) {
            return Ok(Vec::new());
        }
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let sentences: Vec<&str> =
            lines.flat_map(pipeline::sentences).map(str::trim).filter(|sentence| tells(sentence)).collect();
        let vectors = embedder.embed(&sentences)?;
        Ok(sentences.iter().zip(&vectors).filter_map(|(sentence, vector)| self.nearest(sentence, vector)).collect())
    }

    fn nearest(&self, sentence: &str, vector: &[f32]) -> Option<Supported> {
        let near = self.blocks.iter().zip(&self.vectors).map(|(block, passage)| (cosine(vector, passage), block));
        let (similarity, block) = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Supported {
            sentence: sentence.to_string(),
            supported: similarity >= NEAR,
            similarity,
            page: block.page(),
            passage: block.text.chars().take(SHOWN).collect(),
            whole: block.text.clone(),
        })
    }
}

fn tells(text: &str) -> bool {
    text.chars().filter(|c| c.is_alphabetic()).count() >= TELLING_LETTERS
}
