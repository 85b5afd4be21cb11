//! Characters → tokens, as TeX's own eyes see them.

use std::rc::Rc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `\name`, without the backslash; of `\%` it is `%`.
    Command(Rc<str>),
    Char(char),
    /// Any white space but an empty line.
    Space,
    /// An empty line.
    Par,
    Open,
    Close,
    /// `$`
    Math,
    /// `&`
    Align,
    /// `~`
    Tie,
    /// `#1` of a definition; `#` alone is 0.
    Param(u8),
}

impl Token {
    pub fn command(name: &str) -> Token {
        Token::Command(name.into())
    }

    pub fn is(&self, name: &str) -> bool {
        matches!(self, Token::Command(own) if &**own == name)
    }
}

/// The token at `at` and where the next one starts; none at the end. With `at_letters`, `@` is part of names.
pub fn lex(text: &str, mut at: usize, at_letters: bool) -> (Option<Token>, usize) {
    while text[at..].starts_with('%') {
        let next;
        (at, next) = after_comment(text, at);
        if next {
            return (Some(Token::Par), at);
        }
    }
    let Some(c) = text[at..].chars().next() else { return (None, at) };
    let after = at + c.len_utf8();
    let token = match c {
        '\\' => return command(text, after, at_letters),
        '{' => Token::Open,
        '}' => Token::Close,
        '$' => Token::Math,
        '&' => Token::Align,
        '~' => Token::Tie,
        '#' => match text[after..].bytes().next() {
            Some(digit @ b'1'..=b'9') => return (Some(Token::Param(digit - b'0')), after + 1),
            _ => Token::Param(0),
        },
        c if c.is_ascii_whitespace() => {
            let end = at + blanks(&text[at..]);
            let lines = text[at..end].matches('\n').count();
            return (Some(if lines > 1 { Token::Par } else { Token::Space }), end);
        }
        c => Token::Char(c),
    };
    (Some(token), after)
}

/// Where the text goes on after a comment and its line's end, and whether an empty line follows there.
fn after_comment(text: &str, at: usize) -> (usize, bool) {
    let Some(end) = text[at..].find('\n') else { return (text.len(), false) };
    let line = at + end + 1;
    let blank = blanks(&text[line..]);
    (line + blank, text[line..line + blank].contains('\n'))
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches(|c: char| c.is_ascii_whitespace()).len()
}

fn command(text: &str, at: usize, at_letters: bool) -> (Option<Token>, usize) {
    let Some(c) = text[at..].chars().next() else { return (None, at) };
    let is_letter =
        |c: char| c.is_ascii_alphabetic() || (at_letters && c == '@') || (c.is_alphabetic() && !c.is_ascii());
    if !is_letter(c) {
        let name = if c.is_ascii_whitespace() { " ".into() } else { Rc::from(&text[at..at + c.len_utf8()]) };
        return (Some(Token::Command(name)), at + c.len_utf8());
    }
    let end = text[at..].find(|c| !is_letter(c)).map_or(text.len(), |length| at + length);
    let name = Rc::from(&text[at..end]);
    let blank = blanks(&text[end..]);
    // An empty line after a command is still one.
    let skipped = if text[end..end + blank].matches('\n').count() > 1 { 0 } else { blank };
    (Some(Token::Command(name)), end + skipped)
}

/// All tokens of a text.
pub fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let (Some(token), next) = lex(text, at, true) {
        tokens.push(token);
        at = next;
    }
    tokens
}

/// Tokens as somebody would have written them.
pub fn written(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut after_name = false;
    for token in tokens {
        let was_name = std::mem::replace(&mut after_name, false);
        match token {
            Token::Command(name) => {
                text.push('\\');
                text.push_str(name);
                after_name = name.starts_with(char::is_alphabetic);
            }
            Token::Char(c) => {
                if was_name && c.is_alphanumeric() {
                    text.push(' ');
                }
                text.push(*c);
            }
            Token::Space | Token::Par => text.push(' '),
            Token::Open => text.push('{'),
            Token::Close => text.push('}'),
            Token::Math => text.push('$'),
            Token::Align => text.push('&'),
            Token::Tie => text.push('~'),
            Token::Param(0) => text.push('#'),
            Token::Param(number) => text.push_str(&format!("#{number}")),
        }
    }
    text
}

/// Tokens without white space around them.
pub fn trimmed(tokens: &[Token]) -> &[Token] {
    let blank = |token: &Token| matches!(token, Token::Space | Token::Par);
    let start = tokens.iter().position(|token| !blank(token)).unwrap_or(tokens.len());
    let end = tokens.iter().rposition(|token| !blank(token)).map_or(start, |last| last + 1);
    &tokens[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_white_space_are_as_tex_has_them() {
        let text = |source: &str| written(&tokens(source)).replace(' ', "_");
        assert_eq!(text("a%c\n  b"), "ab");
        assert_eq!(tokens("a%c\n\n b"), [Token::Char('a'), Token::Par, Token::Char('b')]);
        assert_eq!(tokens("\\x  \n a"), [Token::command("x"), Token::Char('a')]);
        assert_eq!(tokens("\\x\n\na"), [Token::command("x"), Token::Par, Token::Char('a')]);
        assert_eq!(tokens("\\%\\ \\\\"), [Token::command("%"), Token::command(" "), Token::command("\\")]);
        assert_eq!(tokens("%"), []);
        assert_eq!(tokens("\\"), []);
    }

    #[test]
    fn tokens_are_written_as_they_were() {
        for source in ["\\frac{QK^T}{\\sqrt{d_k}}V", "\\alpha x\\beta 1", "a&b~c\\\\ #1$x$"] {
            assert_eq!(written(&tokens(source)), source);
        }
    }
}
