//! A model's chat template (Jinja): messages → the prompt's text.

use super::tokenizer::token_text;
use crate::{Error, Kind, Result};
use minijinja::{Environment, ErrorKind, Value as JinjaValue, context, syntax::SyntaxConfig};
use serde_json::Value;
use std::{fs, path::Path};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

impl Message {
    pub fn new(role: &str, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// A template that was parsed, with the tokens it may name.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    name: String,
}

/// What a folder's tokenizer_config.json and chat_template.jinja say about chats; empty where there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatSettings {
    pub template: Option<String>,
    pub bos_token: Option<String>,
    pub eos_token: Option<String>,
    /// Whether a prompt begins with the BOS token even where the template does not write it; none where nothing says so.
    pub add_bos_token: Option<bool>,
}

impl ChatSettings {
    pub fn of_folder(folder: &Path) -> Result<ChatSettings> {
        let config = folder.join("tokenizer_config.json");
        let json: Value = match fs::read(&config) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::new(Kind::Model, config.display(), format!("is not JSON: {error}")))?,
            Err(_) => Value::Null,
        };
        let file = fs::read_to_string(folder.join("chat_template.jinja")).ok();
        let template = file.or_else(|| match json.get("chat_template")? {
            Value::String(source) => Some(source.clone()),
            // Several named templates: the default one.
            Value::Array(list) => {
                let default = list.iter().find(|t| t.get("name").is_some_and(|n| n == "default"))?;
                default.get("template").and_then(Value::as_str).map(str::to_string)
            }
            _ => None,
        });
        Ok(ChatSettings {
            template,
            bos_token: token_text(json.get("bos_token")),
            eos_token: token_text(json.get("eos_token")),
            add_bos_token: json.get("add_bos_token").and_then(Value::as_bool),
        })
    }
}

/// For models that come without a template but know ChatML's tokens.
pub const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const TEMPLATE: &str = "chat";

/// Steps that a template may take; those of known models need some hundred. One that never ends is an error.
const FUEL: u64 = 1_000_000;

impl ChatTemplate {
    /// `name` is what messages call the model. A template that cannot be parsed is an error of kind `Model`.
    pub fn new(source: &str, bos_token: &str, eos_token: &str, name: &str) -> Result<ChatTemplate> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        // As transformers sets Jinja up.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| malformed(name, &error))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        // Templates print today's date with it; a prompt that changes by the day could not be repeated.
        environment.add_function("strftime_now", |_: String| "1 January 2026".to_string());
        // Tags by which transformers marks what a model is trained on; Jinja does not know them.
        let source = ["{% generation %}", "{% endgeneration %}", "{%- generation -%}", "{%- endgeneration -%}"]
            .iter()
            .fold(source.to_string(), |source, tag| source.replace(tag, ""));
        environment.add_template_owned(TEMPLATE, source).map_err(|error| malformed(name, &error))?;
        Ok(ChatTemplate { environment, bos_token: bos_token.into(), eos_token: eos_token.into(), name: name.into() })
    }

    /// The prompt, ready for the assistant's answer.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        let template = self.environment.get_template(TEMPLATE).map_err(|error| malformed(&self.name, &error))?;
        let render = |messages: &[Message]| {
            let pairs =
                |m: &Message| JinjaValue::from_pairs([("role", m.role.as_str()), ("content", m.content.as_str())]);
            template.render(context! {
                messages => messages.iter().map(pairs).collect::<Vec<_>>(),
                add_generation_prompt => true,
                bos_token => &self.bos_token,
                eos_token => &self.eos_token,
                tools => JinjaValue::from(()),
                enable_thinking => false,
            })
        };
        let rendered = match (render(messages), messages) {
            // Some templates refuse a system message: it becomes the beginning of the user's.
            (Err(_), [system, user, rest @ ..]) if system.role == "system" && user.role == "user" => {
                let joined = Message::new("user", format!("{}\n\n{}", system.content, user.content));
                render(&[&[joined], rest].concat())
            }
            (result, _) => result,
        };
        rendered.map_err(|error| malformed(&self.name, &error))
    }
}

fn malformed(name: &str, error: &minijinja::Error) -> Error {
    Error::new(Kind::Model, name, format!("malformed chat template: {error}"))
        .hint("a model card can override it (chat_template), see `ronbun models list --help`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> [Message; 2] {
        [Message::new("system", "Be brief."), Message::new("user", "Why?")]
    }

    #[test]
    fn chatml() {
        let template = ChatTemplate::new(CHATML, "", "", "m").unwrap();
        assert_eq!(
            template.render(&messages()).unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn pythons_methods_and_a_template_without_system_messages() {
        let source = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                      {{ bos_token }}{% for m in messages %}[{{ m['role'].upper() }}] {{ m['content'].strip() }}{% endfor %}";
        let template = ChatTemplate::new(source, "<s>", "</s>", "m").unwrap();
        assert_eq!(template.render(&messages()).unwrap(), "<s>[USER] Be brief.\n\nWhy?");
    }

    #[test]
    fn malformed_templates_are_named() {
        let error = ChatTemplate::new("{% for %}", "", "", "tiny.gguf").err().unwrap();
        assert_eq!((error.kind, error.subject.as_str()), (Kind::Model, "tiny.gguf"));
        assert!(error.problem.contains("chat template"), "{error}");
        let template = ChatTemplate::new("{{ raise_exception('never') }}", "", "", "tiny.gguf").unwrap();
        assert!(template.render(&messages()).unwrap_err().problem.contains("never"));
        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        let template = ChatTemplate::new(endless, "", "", "tiny.gguf").unwrap();
        assert_eq!(template.render(&messages()).unwrap_err().kind, Kind::Model);
    }
}
