//! Text → token ids → text.

use super::{Letters, Vocabulary};
use crate::{Error, Kind, Result};
use rayon::prelude::*;
use serde_json::Value;
use std::{fs, ops::Range, path::Path};

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The texts of the tokens that steer a model, longest first.
    special: Vec<String>,
    /// The token that every prompt begins with.
    bos: Option<u32>,
}

impl Tokenizer {
    /// From a tokenizer.json.
    pub fn from_file(path: &Path) -> Result<Tokenizer> {
        let fail = |problem: String| {
            Error::new(Kind::Model, path.display(), problem).hint("fetch the model's tokenizer.json again")
        };
        let bytes = fs::read(path).map_err(|error| fail(error.to_string()))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes);
        inner.map(Tokenizer::new).map_err(|error| fail(format!("is no valid tokenizer.json: {error}")))
    }

    /// From a GGUF file's own vocabulary; `name` is what messages call the file.
    pub fn from_vocabulary(vocabulary: &Vocabulary, name: &str) -> Result<Tokenizer> {
        let fail = |problem: String| {
            Error::new(Kind::Model, name, format!("malformed tokenizer: {problem}"))
                .hint("put the model's tokenizer.json beside the GGUF file, or fetch the file again")
        };
        let json = vocabulary.to_tokenizer_json().map_err(fail)?;
        let inner: Result<tokenizers::Tokenizer, _> = serde_json::from_value::<tokenizers::Tokenizer>(json);
        inner.map(Tokenizer::new).map_err(|error| fail(error.to_string()))
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Tokenizer {
        // A prompt is never cut or padded, whatever the file says.
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        let added = inner.get_added_tokens_decoder();
        let steers = |token: &&tokenizers::AddedToken| token.special || token.content.starts_with("<|");
        let mut special: Vec<String> = added.values().filter(steers).map(|token| token.content.clone()).collect();
        special.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Tokenizer { inner, special, bos: None }
    }

    /// With the token that every prompt begins with, for models that have one.
    pub fn begin_with(self, bos: Option<u32>) -> Tokenizer {
        Tokenizer { bos, ..self }
    }

    /// The token that a tokenizer.json itself puts first, where it puts one.
    pub fn puts_first(&self) -> Option<u32> {
        self.inner.encode("", true).ok()?.get_ids().first().copied()
    }

    /// The token that every prompt begins with.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Ids of a whole prompt, behind the token that it begins with where it does not bring that itself.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        if let Some(bos) = self.bos.filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// Ids of `text`; special tokens inside it are taken as such, and none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        encoding.map(|e| e.get_ids().to_vec()).map_err(|error| Error::new(Kind::Model, "tokenizer", error))
    }

    /// As [`Tokenizer::encode`], with the bytes of `text` that each token stands for.
    pub fn encode_with_places(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let encoding = self.inner.encode(text, false);
        let encoding = encoding.map_err(|error| Error::new(Kind::Model, "tokenizer", error))?;
        let places = encoding.get_offsets().iter().map(|(from, to)| *from..*to).collect();
        Ok((encoding.get_ids().to_vec(), places))
    }

    /// Text of `ids`; special tokens are left out unless `special`.
    pub fn decode(&self, ids: &[u32], special: bool) -> Result<String> {
        self.inner.decode(ids, !special).map_err(|error| Error::new(Kind::Model, "tokenizer", error))
    }

    /// The id of a token by its exact text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Tokens that have a text.
    pub fn len(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `id` is a token that steers the model rather than text.
    pub fn is_special(&self, id: u32) -> bool {
        self.token(id).is_some_and(|token| self.special.contains(&token))
    }

    /// `text` from outside (a paper, a question) with a zero-width space put into whatever it holds that would be taken for
    /// a special token, so that a document cannot end its own message and speak as somebody else.
    pub fn defuse(&self, text: &str) -> String {
        let mut text = text.to_string();
        for special in &self.special {
            let mut characters = special.chars();
            if let Some(first) = characters.next()
                && text.contains(special.as_str())
            {
                text = text.replace(special.as_str(), &format!("{first}\u{200b}{}", characters.as_str()));
            }
        }
        text
    }

    /// The tokens with letters that are not among `letters`, ascending. Tokens that steer the model are never among them.
    pub fn foreign_to(&self, letters: &Letters) -> Vec<u32> {
        let is_foreign = |id: &u32| self.decode(&[*id], false).is_ok_and(|text| !letters.allow(&text));
        (0..self.len() as u32).into_par_iter().filter(is_foreign).collect()
    }

    /// Text of tokens as they come: a character that is still incomplete waits for its last token.
    pub fn stream(&self) -> impl FnMut(u32) -> Option<String> + '_ {
        let mut stream = self.inner.decode_stream(true);
        move |id| stream.step(id).ok().flatten()
    }
}

/// A tokenizer_config.json's token: a string, or an object with its content.
pub(super) fn token_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        value => value.get("content").and_then(Value::as_str).map(str::to_string),
    }
}
