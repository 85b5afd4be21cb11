//! Formulas: kept as they are written, the paper's own macros expanded.

use super::reader::Reader;
use super::sections::Anchor;
use super::token::{Token, tokens, trimmed, written};
use crate::document::BlockKind;

impl Reader<'_> {
    /// After a dollar: a formula in the line, or after two a displayed one.
    pub(super) fn math(&mut self) {
        if self.gullet.mouth.peek() == Some(Token::Math) {
            self.gullet.mouth.next();
            let math = self.formula(&|token| *token == Token::Math);
            if self.gullet.mouth.peek() == Some(Token::Math) {
                self.gullet.mouth.next();
            }
            return self.print_display(&math, "");
        }
        let math = self.formula(&|token| *token == Token::Math);
        self.print_inline(&math);
    }

    pub(super) fn math_until(&mut self, end: &str) {
        let math = self.formula(&|token| token.is(end));
        self.print_inline(&math);
    }

    pub(super) fn display_until(&mut self, end: &str) {
        let math = self.formula(&|token| token.is(end));
        self.print_display(&math, "");
    }

    fn print_inline(&mut self, math: &[Token]) {
        let math = written(trimmed(math));
        if !math.is_empty() {
            self.put(&format!("${math}$"));
        }
    }

    /// Tokens up to one that ends the formula; an empty line ends what was never closed.
    fn formula(&mut self, is_end: &dyn Fn(&Token) -> bool) -> Vec<Token> {
        let (mut math, mut depth) = (Vec::new(), 0_usize);
        while let Some(token) = self.gullet.next() {
            match token {
                Token::Open => depth += 1,
                Token::Close if depth == 0 => {
                    self.gullet.mouth.push(vec![token]);
                    break;
                }
                Token::Close => depth -= 1,
                Token::Par => break,
                _ if depth == 0 && is_end(&token) => break,
                _ => {}
            }
            math.push(token);
        }
        math
    }

    /// An environment of one formula, or of one in each row.
    pub(super) fn display(&mut self, name: &str, rows: bool, numbered: bool) {
        if name.starts_with("alignat") {
            self.gullet.argument();
        }
        let math = self.environment_tokens(name);
        let mut parts = Vec::new();
        for row in if rows { split_rows(&math) } else { vec![math.as_slice()] } {
            parts.push(self.row(row, numbered));
        }
        let environment = if rows || name.starts_with("multline") { name } else { "" };
        let math = parts.join(&[Token::command("\\"), Token::Space][..]);
        self.print_display(&math, environment);
    }

    /// A row without its labels; one that something refers to shows its number.
    fn row(&mut self, row: &[Token], numbered: bool) -> Vec<Token> {
        let mut result = Vec::new();
        let mut labels = Vec::new();
        let (mut tag, mut unnumbered) = (None, !numbered);
        let mut rest = row;
        while let [token, tail @ ..] = rest {
            rest = tail;
            match token {
                Token::Command(name) if &**name == "label" || &**name == "tag" => {
                    let (argument, after) = argument(tail);
                    rest = after;
                    match &**name {
                        "label" => labels.push(written(argument)),
                        _ => tag = Some(argument.to_vec()),
                    }
                }
                Token::Command(name) if matches!(&**name, "nonumber" | "notag") => unnumbered = true,
                token => result.push(token.clone()),
            }
        }
        let number = match tag {
            Some(tag) => Some(self.plain(tag)),
            None if unnumbered || trimmed(&result).is_empty() => None,
            None => Some(self.step_equation()),
        };
        if let Some(number) = number {
            for label in &labels {
                let anchor = Anchor { number: number.clone(), name: "Equation".into(), title: String::new() };
                self.aux.anchors.insert(label.trim().to_string(), anchor);
            }
            if !labels.is_empty() {
                let end = trimmed(&result).len();
                let start = result.len() - trimmed_start(&result).len();
                result.truncate(start + end);
                result.extend(tokens(&format!(" \\tag{{{number}}}")));
            }
        }
        result
    }

    fn step_equation(&mut self) -> String {
        match &mut self.subequation {
            Some((number, letter)) => {
                *letter += 1;
                let letter = super::counters::printed("alph", *letter).unwrap_or_default();
                format!("{number}{letter}")
            }
            None => {
                self.counters.step("equation");
                self.plain(super::counters::the("equation"))
            }
        }
    }

    pub(super) fn begin_subequations(&mut self) {
        self.counters.step("equation");
        let number = self.plain(super::counters::the("equation"));
        self.anchor = Anchor { number: number.clone(), name: "Equation".into(), title: String::new() };
        self.subequation = Some((number, 0));
    }

    fn print_display(&mut self, math: &[Token], environment: &str) {
        let math = written(trimmed(math));
        let math = math.split_whitespace().collect::<Vec<_>>().join(" ");
        if math.is_empty() {
            return;
        }
        let text = match environment {
            "" => math,
            name => format!("\\begin{{{name}}} {math} \\end{{{name}}}"),
        };
        match self.depth {
            0 => self.block(BlockKind::Formula, &text),
            _ => self.put(&format!(" $${text}$$ ")),
        }
    }
}

fn trimmed_start(tokens: &[Token]) -> &[Token] {
    let start = tokens.iter().position(|token| !matches!(token, Token::Space | Token::Par)).unwrap_or(tokens.len());
    &tokens[start..]
}

/// The argument that comes next, and what follows it.
pub fn argument(tokens: &[Token]) -> (&[Token], &[Token]) {
    let tokens = trimmed_start(tokens);
    let [Token::Open, rest @ ..] = tokens else {
        return tokens.split_at(tokens.len().min(1));
    };
    let mut depth = 0;
    for (at, token) in rest.iter().enumerate() {
        match token {
            Token::Open => depth += 1,
            Token::Close if depth == 0 => return (&rest[..at], &rest[at + 1..]),
            Token::Close => depth -= 1,
            _ => {}
        }
    }
    (rest, &[])
}

/// Parts between `\\` that are inside neither a group nor another environment.
pub fn split_rows(tokens: &[Token]) -> Vec<&[Token]> {
    let mut rows = Vec::new();
    let (mut depth, mut from) = (0_i64, 0);
    for (at, token) in tokens.iter().enumerate() {
        depth += match token {
            Token::Open => 1,
            Token::Close => -1,
            token if token.is("begin") => 1,
            token if token.is("end") => -1,
            _ => 0,
        };
        if depth == 0 && ["\\", "tabularnewline", "cr"].iter().any(|end| token.is(end)) {
            rows.push(&tokens[from..at]);
            from = at + 1;
        }
    }
    if !trimmed(&tokens[from..]).is_empty() {
        rows.push(&tokens[from..]);
    }
    rows
}
