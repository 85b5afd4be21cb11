//! The vocabulary inside a GGUF file, turned into the description that the tokenizers crate reads.

use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// What a GGUF file says under `tokenizer.ggml.*`.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    pub model: String,
    /// The rule that cuts text before BPE.
    pub pre: String,
    pub tokens: Vec<String>,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Vec<u32>,
    pub merges: Vec<String>,
    pub scores: Vec<f64>,
    pub unknown: Option<u32>,
    pub add_space_prefix: bool,
}

const CONTROL: u32 = 3;
const USER_DEFINED: u32 = 4;

impl Vocabulary {
    /// A tokenizer.json. The error says what is malformed or not known.
    pub(super) fn to_tokenizer_json(&self) -> Result<Value, String> {
        if self.tokens.is_empty() {
            return Err("the GGUF file holds no vocabulary (tokenizer.ggml.tokens)".into());
        }
        if self.token_types.len() != self.tokens.len() && !self.token_types.is_empty() {
            return Err(format!("{} tokens, but {} token types", self.tokens.len(), self.token_types.len()));
        }
        if let Some(bad) = self.unknown.filter(|id| *id as usize >= self.tokens.len()) {
            return Err(format!("the unknown token {bad} is past the vocabulary of {}", self.tokens.len()));
        }
        let mut json = match self.model.as_str() {
            "gpt2" => self.byte_level()?,
            "llama" => self.sentence_piece()?,
            other => return Err(format!("unknown tokenizer model '{other}' (known: gpt2, llama)")),
        };
        json["version"] = json!("1.0");
        json["added_tokens"] = self.added_tokens();
        Ok(json)
    }

    /// Control tokens are special: never written into an answer's text. User-defined ones are matched whole.
    fn added_tokens(&self) -> Value {
        let kinds = self.token_types.iter().enumerate().filter(|(_, kind)| matches!(**kind, CONTROL | USER_DEFINED));
        kinds
            .map(|(id, kind)| {
                json!({
                    "id": id, "content": self.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": *kind == CONTROL,
                })
            })
            .collect()
    }

    fn vocab(&self) -> Value {
        // Of tokens that are written alike the first counts.
        let mut map = serde_json::Map::new();
        for (id, token) in self.tokens.iter().enumerate() {
            map.entry(token.clone()).or_insert_with(|| json!(id));
        }
        Value::Object(map)
    }

    fn byte_level(&self) -> Result<Value, String> {
        let merges: Option<Vec<[&str; 2]>> =
            self.merges.iter().map(|merge| merge.split_once(' ').map(|(a, b)| [a, b])).collect();
        let merges = merges.ok_or("a merge of the vocabulary is not two tokens")?;
        let known: HashSet<&str> = self.tokens.iter().map(String::as_str).collect();
        if let Some([a, b]) = merges.iter().find(|[a, b]| !known.contains(a) || !known.contains(b)) {
            return Err(format!("a merge joins '{a}' and '{b}', which are not both in the vocabulary"));
        }
        let (normalizer, cut) = pre_tokenizer(&self.pre)?;
        Ok(json!({
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": cut},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": self.vocab(), "merges": merges, "ignore_merges": WHOLE_WORDS.contains(&self.pre.as_str())},
        }))
    }

    /// SentencePiece keeps a score per piece; a pair is merged in the order of its whole's score.
    fn sentence_piece(&self) -> Result<Value, String> {
        if self.scores.len() != self.tokens.len() {
            return Err(format!("{} tokens, but {} scores", self.tokens.len(), self.scores.len()));
        }
        let ids: HashMap<&str, usize> =
            self.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
        let mut merges: Vec<(usize, usize, usize, [&str; 2])> = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if self.token_types.get(id).is_some_and(|kind| *kind != 1 && *kind != USER_DEFINED) {
                continue;
            }
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                    merges.push((id, l, r, [left, right]));
                }
            }
        }
        merges
            .sort_by(|a, b| self.scores[b.0].total_cmp(&self.scores[a.0]).then((a.0, a.1, a.2).cmp(&(b.0, b.1, b.2))));
        let merges: Vec<[&str; 2]> = merges.into_iter().map(|(.., pair)| pair).collect();
        let prepend = json!({"type": "Prepend", "prepend": "▁"});
        let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let normalizers = if self.add_space_prefix { vec![prepend, replace] } else { vec![replace] };
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.add_space_prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(json!({
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": null,
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE", "vocab": self.vocab(), "merges": merges, "fuse_unk": true, "byte_fallback": true,
                "unk_token": self.unknown.map(|id| self.tokens[id as usize].clone()),
            },
        }))
    }
}

/// What cuts text into words in LLaMA 3 and Qwen2; `digits` is how many digits stay together.
fn words(digits: &str) -> String {
    format!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
}

/// As [`words`], but a word also ends before a capital: OpenAI's o200k, Mistral's Tekken. `suffix` stays with its word.
fn words_by_case(suffix: &str, digits: &str) -> String {
    let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
    let start = r"[^\r\n\p{L}\p{N}]?";
    format!(
        r"{start}{upper}*{lower}+{suffix}|{start}{upper}+{lower}*{suffix}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
}

impl Vocabulary {
    /// Whether prompts begin with BOS where a file does not say: of SentencePiece's vocabularies and of Llama 3's kin, as
    /// llama.cpp has it.
    pub fn begins_prompts(model: &str, pre: &str) -> bool {
        model == "llama" || WHOLE_WORDS.contains(&pre)
    }
}

/// The names whose rule takes a word as it is where it is a token, whatever its merges.
const WHOLE_WORDS: [&str; 5] = ["llama-bpe", "llama3", "llama-v3", "lfm2", "tekken"];

/// Normaliser and pre-tokenizers by the name that GGUF gives the rule.
fn pre_tokenizer(name: &str) -> Result<(Value, Vec<Value>), String> {
    let split =
        |regex: String| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let digits = || json!({"type": "Digits", "individual_digits": true});
    let three = r"\p{N}{1,3}";
    match name {
        "qwen2" => Ok((json!({"type": "NFC"}), vec![split(words(r"\p{N}")), bytes(false)])),
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" | "lfm2" => {
            Ok((Value::Null, vec![split(words(three)), bytes(false)]))
        }
        "gpt-4o" => {
            let suffix = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
            Ok((Value::Null, vec![split(words_by_case(suffix, three)), bytes(false)]))
        }
        "tekken" => Ok((Value::Null, vec![split(words_by_case("", r"\p{N}")), bytes(false)])),
        "smollm" | "starcoder" | "refact" | "command-r" => Ok((Value::Null, vec![digits(), bytes(true)])),
        "gpt-2" => Ok((Value::Null, vec![bytes(true)])),
        other => Err(format!(
            "unknown pre-tokenizer '{other}' (known: qwen2, llama-bpe, lfm2, gpt-4o, tekken, smollm, starcoder, refact, command-r, gpt-2)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

    fn pieces(name: &str, text: &str) -> Vec<String> {
        let (_, cuts) = pre_tokenizer(name).unwrap();
        let mut cut = PreTokenizedString::from(text);
        for one in cuts {
            let one: PreTokenizerWrapper = serde_json::from_value(one).unwrap();
            one.pre_tokenize(&mut cut).unwrap();
        }
        let places = cut.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter();
        places.map(|(_, (from, to), _)| text[from..to].to_string()).collect()
    }

    /// Against the patterns that the models' publishers give, as another engine of regular expressions reads them.
    #[test]
    fn text_is_cut_as_the_published_patterns_cut_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/pre-tokenizers.json");
        let fixture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut compared = 0;
        for (name, rows) in fixture["pieces"].as_object().unwrap() {
            for (text, expected) in fixture["texts"].as_array().unwrap().iter().zip(rows.as_array().unwrap()) {
                let expected: Vec<String> = serde_json::from_value(expected.clone()).unwrap();
                assert_eq!(pieces(name, text.as_str().unwrap()), expected, "{name}");
                compared += 1;
            }
        }
        assert!(compared >= 60, "{compared}");
    }

    #[test]
    fn words_that_are_tokens_stay_whole_where_the_rule_says_so() {
        let tokens = ["a", "b", "c", "bc", "abc"].map(String::from).to_vec();
        let ids = |pre: &str| {
            let (tokens, pre) = (tokens.clone(), pre.to_string());
            let vocabulary =
                Vocabulary { model: "gpt2".into(), pre, tokens, merges: vec!["b c".into()], ..Default::default() };
            crate::chat::Tokenizer::from_vocabulary(&vocabulary, "x").unwrap().encode("abc").unwrap()
        };
        assert_eq!(["tekken", "lfm2", "llama-bpe"].map(ids), [[4], [4], [4]]);
        assert_eq!(["gpt-4o", "qwen2", "smollm"].map(ids), [[0, 3], [0, 3], [0, 3]]);
    }

    #[test]
    fn an_unknown_rule_is_named() {
        assert!(pre_tokenizer("deepseek-llm").unwrap_err().contains("'deepseek-llm' (known: qwen2"));
    }
}
