//! Texts as vectors that point the same way where the texts mean the same: BERT with its last layer's states averaged, as
//! the sentence encoders of the MiniLM and E5 families are used. The network itself is candle's.

use crate::{Error, Kind, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rayon::prelude::*;
use std::path::Path;
use tokenizers::Tokenizer;

pub struct Encoder {
    model: BertModel,
    tokenizer: Tokenizer,
    /// Tokens that are read at once, the two marks around them included.
    window: usize,
    prefix: String,
}

impl Encoder {
    /// From `config.json`, `model.safetensors` and `tokenizer.json` in `folder`. Errors: `Model`, naming the file.
    pub fn load(folder: &Path, window: usize, prefix: &str) -> Result<Encoder> {
        let file = |name: &str| folder.join(name);
        let fault = |name: &str, problem: String| {
            Error::new(Kind::Model, file(name).display(), problem).hint("remove the folder, and have it fetched anew")
        };
        let read =
            |name: &str| std::fs::read(file(name)).map_err(|error| fault(name, format!("cannot be read: {error}")));
        let config: Config = serde_json::from_slice(&read("config.json")?)
            .map_err(|error| fault("config.json", format!("is no BERT: {error}")))?;
        let mut tokenizer = Tokenizer::from_bytes(read("tokenizer.json")?)
            .map_err(|error| fault("tokenizer.json", error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| fault("tokenizer.json", error.to_string()))?;
        let weights = VarBuilder::from_buffered_safetensors(read("model.safetensors")?, DType::F32, &Device::Cpu);
        let model = weights.and_then(|weights| BertModel::load(weights, &config));
        let model = model.map_err(|error| fault("model.safetensors", error.to_string()))?;
        let window = window.clamp(3, config.max_position_embeddings.max(3));
        Ok(Encoder { model, tokenizer, window, prefix: prefix.to_string() })
    }

    /// One vector of length 1 for each text. A text longer than the window is read in several, whose vectors are added up by
    /// their tokens.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        texts.par_iter().map(|text| self.encode_one(text)).collect()
    }

    fn encode_one(&self, text: &str) -> Result<Vec<f32>> {
        let fault =
            |error: tokenizers::Error| Error::new(Kind::Model, "encoder", format!("cannot read a text: {error}"));
        let text = format!("{}{text}", self.prefix);
        let encoding = self.tokenizer.encode(text, true).map_err(fault)?;
        let ids = encoding.get_ids();
        // The marks at both ends stand around every window.
        let (Some((&first, rest)), true) = (ids.split_first(), ids.len() > 2) else {
            return self.states(ids).map(normalised);
        };
        let (inner, last) = (&rest[..rest.len() - 1], rest[rest.len() - 1]);
        let mut sum: Vec<f32> = Vec::new();
        for window in inner.chunks(self.window - 2) {
            let states = self.states(&[&[first], window, &[last]].concat())?;
            sum.resize(states.len(), 0.0);
            sum.iter_mut().zip(states).for_each(|(sum, state)| *sum += state * window.len() as f32);
        }
        Ok(normalised(sum))
    }

    /// The mean of the last layer's states.
    fn states(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mean = || {
            let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?; // (1, tokens)
            let states = self.model.forward(&ids, &ids.zeros_like()?, None)?; // (1, tokens, hidden)
            states.mean(1)?.squeeze(0)?.to_vec1()
        };
        mean().map_err(|error: candle_core::Error| Error::new(Kind::Model, "encoder", error))
    }
}

/// Of length 1; 0 stays 0.
fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one() {
        assert_eq!(normalised(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalised(vec![0.0]), [0.0]);
    }

    #[test]
    fn a_folder_that_is_no_encoder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Encoder::load(folder.path(), 256, "").err().expect("nothing there");
        assert!(error.kind == Kind::Model && error.subject.ends_with("config.json"), "{error}");
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let error = Encoder::load(folder.path(), 256, "").err().expect("no BERT");
        assert!(error.problem.contains("is no BERT"), "{error}");
    }
}
