//! A secret: read from the environment or from a program that keeps it, sent in one header, and shown nowhere.

use crate::{Error, Kind, Result};
use std::fmt;
use std::process::{Command, Stdio};

/// What stands in a text where the key was.
const HIDDEN: &str = "[key]";

#[derive(Clone)]
pub struct Key(String);

impl Key {
    pub fn new(text: &str) -> Option<Key> {
        let text = text.trim();
        (!text.is_empty()).then(|| Key(text.to_string()))
    }

    /// From a variable of the environment; none where it is not set or empty.
    pub fn of_environment(variable: &str) -> Option<Key> {
        Key::new(&std::env::var(variable).ok()?)
    }

    /// The first line that a program prints: a keyring's own tool, such as `secret-tool lookup service openai`, `pass show
    /// openai` or `security find-generic-password -w -s openai`.
    pub fn of_command(words: &[String]) -> Result<Key> {
        let subject = "key-command";
        let (program, arguments) =
            words.split_first().ok_or_else(|| Error::new(Kind::Usage, subject, "names no program"))?;
        let refuse = |problem: String| {
            Error::new(Kind::Usage, subject, problem).hint("run it by hand: its first line must be the key")
        };
        let run = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = run.map_err(|error| refuse(format!("`{program}` cannot be run: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let key = text.lines().next().filter(|_| output.status.success()).and_then(Key::new);
        key.ok_or_else(|| refuse(format!("`{program}` gave no key ({})", output.status)))
    }

    /// For the one header that carries it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` without the key, should a server have sent it back.
    pub(super) fn hide(&self, text: &str) -> String {
        text.replace(&self.0, HIDDEN)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_nowhere() {
        let key = Key::new(" sk-secret\n").unwrap();
        assert_eq!((key.reveal(), format!("{key:?}").as_str()), ("sk-secret", "[key]"));
        assert_eq!(key.hide("wrong key sk-secret!"), "wrong key [key]!");
        assert!(Key::new(" \n").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_keyrings_own_tool_is_asked() {
        let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        assert_eq!(Key::of_command(&words("printf k1\\nk2")).unwrap().reveal(), "k1");
        for (command, part) in
            [("false", "gave no key"), ("/nonexistent/tool", "cannot be run"), ("true", "gave no key")]
        {
            let error = Key::of_command(&words(command)).unwrap_err();
            assert!(error.kind == Kind::Usage && error.problem.contains(part), "{error}");
        }
    }
}
