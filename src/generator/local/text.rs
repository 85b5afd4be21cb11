//! What a model's files say about text: tokenizer, chat template, and the tokens that begin and end things.

use super::ModelSource;
use crate::{
    Error, Kind, Result,
    chat::{CHATML, ChatSettings, ChatTemplate, Tokenizer, Vocabulary},
    model::{Checkpoint, Metadata},
};
use std::path::Path;

/// Text ↔ token ids of one model.
pub struct TextSide {
    pub tokenizer: Tokenizer,
    /// A base model has none, which is an error only for who wants to chat with it.
    pub template: Result<ChatTemplate>,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
}

/// Tokens that end a turn in one family or another; those that the model's vocabulary has as special tokens stop it.
const TURN_ENDS: [&str; 8] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<|end|>", "</s>", "<|eom_id|>"];

impl TextSide {
    pub fn of(source: &ModelSource, checkpoint: &Checkpoint) -> Result<TextSide> {
        let metadata = checkpoint.metadata.as_ref();
        let (tokenizer, mut chat) = begun(&source.path, source.tokenizer.as_deref(), metadata)?;
        if source.chat_template.is_some() {
            chat.template = source.chat_template.clone();
        }
        if chat.template.is_none() && tokenizer.id("<|im_start|>").is_some() {
            chat.template = Some(CHATML.to_string());
        }
        let template = load_template(&chat, &checkpoint.name);
        let mut stop = checkpoint.config.eos_token_ids.clone();
        stop.extend(TURN_ENDS.iter().filter_map(|text| tokenizer.id(text)).filter(|&id| tokenizer.is_special(id)));
        Ok(TextSide { tokenizer, template, stop })
    }
}

/// The tokenizer of a GGUF file or of a folder.
pub fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let metadata = if path.is_dir() { None } else { Some(Metadata::of_file(path)?) };
    Ok(begun(path, None, metadata.as_ref())?.0)
}

/// With the token that the model's prompts begin with.
fn begun(path: &Path, given: Option<&Path>, metadata: Option<&Metadata>) -> Result<(Tokenizer, ChatSettings)> {
    let tokenizer = load_tokenizer(path, given, metadata)?;
    let chat = chat_settings(path, metadata, &tokenizer)?;
    let bos = chat.bos_token.as_ref().and_then(|text| tokenizer.id(text));
    let begins = chat.add_bos_token.unwrap_or_else(|| tokenizer.puts_first() == bos);
    Ok((tokenizer.begin_with(bos.filter(|_| begins)), chat))
}

/// The one given; else the GGUF file's own, or the tokenizer.json beside it where that cannot be used and the two agree.
fn load_tokenizer(path: &Path, given: Option<&Path>, metadata: Option<&Metadata>) -> Result<Tokenizer> {
    let beside = if path.is_dir() { path.join("tokenizer.json") } else { path.with_file_name("tokenizer.json") };
    match (given, metadata) {
        (Some(given), _) => Tokenizer::from_file(given),
        (None, Some(metadata)) => {
            let vocabulary = vocabulary(metadata);
            Tokenizer::from_vocabulary(&vocabulary, &path.display().to_string()).or_else(|error| {
                let neighbour = Tokenizer::from_file(&beside).map_err(|_| error.clone())?;
                let agrees = |(id, text): (usize, &String)| neighbour.token(id as u32).as_ref() == Some(text);
                let agree = !vocabulary.tokens.is_empty() && vocabulary.tokens.iter().enumerate().all(agrees);
                if agree { Ok(neighbour) } else { Err(error) }
            })
        }
        (None, None) if beside.exists() => Tokenizer::from_file(&beside),
        (None, None) => Err(Error::new(Kind::Model, path.display(), "has no tokenizer.json")
            .hint("fetch the model's tokenizer.json into the folder")),
    }
}

fn vocabulary(metadata: &Metadata) -> Vocabulary {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let numbers = |name: &str| metadata.numbers(&key(name)).unwrap_or_default();
    let model = metadata.string(&key("model")).unwrap_or("none").to_string();
    Vocabulary {
        pre: metadata.string(&key("pre")).unwrap_or("none").to_string(),
        tokens: metadata.strings(&key("tokens")).unwrap_or_default(),
        token_types: numbers("token_type").into_iter().map(|kind| kind as u32).collect(),
        merges: metadata.strings(&key("merges")).unwrap_or_default(),
        scores: numbers("scores"),
        unknown: metadata.integer(&key("unknown_token_id")).map(|id| id as u32),
        add_space_prefix: metadata.boolean(&key("add_space_prefix")).unwrap_or(model == "llama"),
        model,
    }
}

/// Template and BOS as the GGUF file or a folder's own files give them. What lies beside a GGUF file may belong to another
/// model and is not looked at.
fn chat_settings(path: &Path, metadata: Option<&Metadata>, tokenizer: &Tokenizer) -> Result<ChatSettings> {
    match metadata {
        Some(metadata) => {
            let token = |name: &str| {
                let id = metadata.integer(&format!("tokenizer.ggml.{name}_token_id"))?;
                tokenizer.token(id as u32)
            };
            let [model, pre] = ["model", "pre"].map(|name| metadata.string(&format!("tokenizer.ggml.{name}")));
            let begins = Vocabulary::begins_prompts(model.unwrap_or_default(), pre.unwrap_or_default());
            Ok(ChatSettings {
                template: metadata.string("tokenizer.chat_template").map(str::to_string),
                bos_token: token("bos"),
                eos_token: token("eos"),
                add_bos_token: metadata.boolean("tokenizer.ggml.add_bos_token").or(Some(begins)),
            })
        }
        None => ChatSettings::of_folder(path),
    }
}

fn load_template(chat: &ChatSettings, name: &str) -> Result<ChatTemplate> {
    let Some(template) = &chat.template else {
        return Err(Error::new(Kind::Model, name, "has no chat template").hint(
            "it may be a base model, which cannot answer questions; take its instruct version, or give a template in a model card",
        ));
    };
    let text = |token: &Option<String>| token.clone().unwrap_or_default();
    ChatTemplate::new(template, &text(&chat.bos_token), &text(&chat.eos_token), name)
}
