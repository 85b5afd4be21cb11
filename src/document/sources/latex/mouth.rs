//! Where tokens come from: files, and what macros stand for, each inside the other.

use super::token::{Token, lex, written};
use std::rc::Rc;

/// The most inputs that are open inside each other.
const DEEPEST: usize = 2_000;

enum Input {
    Source {
        text: Rc<str>,
        at: usize,
        is_style: bool,
    },
    Tokens {
        tokens: Rc<[Token]>,
        at: usize,
    },
    /// Nothing below it is read until it is lifted.
    Barrier,
}

#[derive(Default)]
pub struct Mouth {
    inputs: Vec<Input>,
    /// `@` is a letter in names: between `\makeatletter` and `\makeatother`.
    pub at_letters: bool,
}

impl Mouth {
    /// Reads `text` before what is left; of a style file `@` is a letter. False where too many are open.
    pub fn open(&mut self, text: &str, is_style: bool) -> bool {
        let fits = self.sources() < 40;
        if fits {
            self.inputs.push(Input::Source { text: text.into(), at: 0, is_style });
        }
        fits
    }

    fn sources(&self) -> usize {
        self.inputs.iter().filter(|input| matches!(input, Input::Source { .. })).count()
    }

    /// Whether the innermost file is a style.
    pub fn in_style(&self) -> bool {
        let source = self.inputs.iter().rev().find(|input| matches!(input, Input::Source { .. }));
        matches!(source, Some(Input::Source { is_style: true, .. }))
    }

    /// Ends the innermost file, as `\endinput` does.
    pub fn end_source(&mut self) {
        if let Some(Input::Source { text, at, .. }) =
            self.inputs.iter_mut().rev().find(|input| matches!(input, Input::Source { .. }))
        {
            *at = text.len();
        }
    }

    /// Reads `tokens` before what is left. False where too many are open.
    pub fn push(&mut self, tokens: impl Into<Rc<[Token]>>) -> bool {
        self.drop_exhausted();
        let tokens = tokens.into();
        let fits = self.inputs.len() < DEEPEST;
        if fits && !tokens.is_empty() {
            self.inputs.push(Input::Tokens { tokens, at: 0 });
        }
        fits
    }

    /// Hides what is left until [`Mouth::lift`].
    pub fn bar(&mut self) {
        self.inputs.push(Input::Barrier);
    }

    /// Drops what is left above the last barrier, and the barrier.
    pub fn lift(&mut self) {
        while let Some(input) = self.inputs.pop() {
            if matches!(input, Input::Barrier) {
                break;
            }
        }
    }

    fn drop_exhausted(&mut self) {
        while let Some(input) = self.inputs.last() {
            let exhausted = match input {
                Input::Source { text, at, .. } => *at >= text.len(),
                Input::Tokens { tokens, at } => *at >= tokens.len(),
                Input::Barrier => false,
            };
            if !exhausted {
                break;
            }
            self.inputs.pop();
        }
    }

    pub fn next(&mut self) -> Option<Token> {
        loop {
            self.drop_exhausted();
            match self.inputs.last_mut()? {
                Input::Barrier => return None,
                Input::Tokens { tokens, at } => {
                    *at += 1;
                    return tokens.get(*at - 1).cloned();
                }
                Input::Source { text, at, is_style } => {
                    let (token, next) = lex(text, *at, self.at_letters || *is_style);
                    *at = next;
                    match token {
                        Some(token) => return Some(token),
                        None => *at = text.len(),
                    }
                }
            }
        }
    }

    pub fn peek(&mut self) -> Option<Token> {
        loop {
            self.drop_exhausted();
            match self.inputs.last_mut()? {
                Input::Barrier => return None,
                Input::Tokens { tokens, at } => return tokens.get(*at).cloned(),
                Input::Source { text, at, is_style } => match lex(text, *at, self.at_letters || *is_style) {
                    (Some(token), _) => return Some(token),
                    (None, _) => *at = text.len(),
                },
            }
        }
    }

    /// Characters as they stand in a file up to `end`, which is dropped; all that is left of the file where it is missing.
    /// From a macro, its tokens as they would be written.
    pub fn raw_until(&mut self, end: &str) -> String {
        self.drop_exhausted();
        if let Some(Input::Source { text, at, .. }) = self.inputs.last_mut() {
            let rest = &text[*at..];
            let (raw, next) = match rest.find(end) {
                Some(length) => (rest[..length].to_string(), *at + length + end.len()),
                None => (rest.to_string(), text.len()),
            };
            *at = next;
            return raw;
        }
        let mut raw = String::new();
        while let Some(token) = self.next() {
            raw.push_str(&written(&[token]));
            if let Some(kept) = raw.strip_suffix(end) {
                return kept.to_string();
            }
        }
        raw
    }

    /// The next character of a file as it stands there, for `\verb`.
    pub fn raw_char(&mut self) -> Option<char> {
        self.drop_exhausted();
        if let Some(Input::Source { text, at, .. }) = self.inputs.last_mut() {
            let c = text[*at..].chars().next()?;
            *at += c.len_utf8();
            return Some(c);
        }
        written(&[self.next()?]).chars().next()
    }

    /// What stands between braces as it stands there, for addresses.
    pub fn raw_argument(&mut self) -> String {
        while matches!(self.peek(), Some(Token::Space)) {
            self.next();
        }
        if self.peek() != Some(Token::Open) {
            return self.next().map(|token| written(&[token])).unwrap_or_default();
        }
        self.next();
        let (mut raw, mut depth) = (String::new(), 0);
        loop {
            let Some(c) = self.raw_char_of_argument() else { return raw };
            match c.as_str() {
                "{" => depth += 1,
                "}" if depth == 0 => return raw,
                "}" => depth -= 1,
                _ => {}
            }
            raw.push_str(&c);
        }
    }

    fn raw_char_of_argument(&mut self) -> Option<String> {
        self.drop_exhausted();
        match self.inputs.last() {
            Some(Input::Source { .. }) => self.raw_char().map(String::from),
            _ => self.next().map(|token| written(&[token])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn macros_are_read_before_the_file_goes_on() {
        let mut mouth = Mouth::default();
        mouth.open("ab", false);
        assert_eq!(mouth.next(), Some(Token::Char('a')));
        mouth.push(tokens("xy"));
        let rest: Vec<_> = std::iter::from_fn(|| mouth.next()).collect();
        assert_eq!(written(&rest), "xyb");
    }

    #[test]
    fn a_barrier_hides_what_is_left() {
        let mut mouth = Mouth::default();
        mouth.open("ab", false);
        mouth.bar();
        mouth.push(tokens("x"));
        assert_eq!((mouth.next(), mouth.next()), (Some(Token::Char('x')), None));
        mouth.lift();
        assert_eq!(mouth.next(), Some(Token::Char('a')));
    }

    #[test]
    fn addresses_and_listings_are_read_raw() {
        let mut mouth = Mouth::default();
        mouth.open("{a%b_c#{d}}  % x\n\\end{v}z", false);
        assert_eq!(mouth.raw_argument(), "a%b_c#{d}");
        assert_eq!(mouth.raw_until("\\end{v}"), "  % x\n");
        assert_eq!(mouth.next(), Some(Token::Char('z')));
        mouth.push(tokens("{a\\_b}"));
        assert_eq!(mouth.raw_argument(), "a\\_b");
    }
}
