//! What names stand for: macros with their parameters, and what they expand to.

use super::token::{Token, tokens, trimmed};
use std::rc::Rc;

/// The most tokens that macros may stand for in one paper.
pub const MOST_EXPANDED: usize = 1_000_000;

#[derive(Debug, Clone)]
pub enum Meaning {
    Macro(Rc<Macro>),
    /// Another name of a command or a character.
    Alias(Token),
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct Macro {
    pub parameters: Vec<Parameter>,
    pub body: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// A token or a group.
    Plain,
    /// Between brackets, with what stands for it where it is missing.
    Optional(Vec<Token>),
    /// A star or none.
    Star,
    /// Tokens that have to stand there, of `\def`.
    Literal(Vec<Token>),
    /// Up to these tokens, of `\def`.
    Until(Vec<Token>),
}

/// An environment of the paper's own: what stands for its begin, with its parameters, and for its end.
#[derive(Debug, Clone)]
pub struct Environment {
    pub begin: Rc<Macro>,
    pub end: Vec<Token>,
}

/// A macro's body with its arguments in their places.
pub fn substitute(body: &[Token], arguments: &[Vec<Token>]) -> Vec<Token> {
    let mut result = Vec::with_capacity(body.len());
    for token in body {
        match token {
            Token::Param(number) if *number > 0 => {
                result.extend(arguments.get(usize::from(*number) - 1).into_iter().flatten().cloned());
            }
            token => result.push(token.clone()),
        }
        if result.len() > MOST_EXPANDED {
            break;
        }
    }
    result
}

/// The parameters of `\def\name#1,#2{`.
pub fn parameters_of(pattern: &[Token]) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut literal = Vec::new();
    let mut pending = false;
    for token in pattern.iter().chain([&Token::Param(9)]) {
        let Token::Param(_) = token else {
            literal.push(token.clone());
            continue;
        };
        let before = std::mem::take(&mut literal);
        match (pending, before.is_empty()) {
            (true, true) => parameters.push(Parameter::Plain),
            (true, false) => parameters.push(Parameter::Until(before)),
            (false, false) => parameters.push(Parameter::Literal(before)),
            (false, true) => {}
        }
        pending = true;
    }
    parameters
}

/// A macro without parameters.
pub fn constant(text: &str) -> Meaning {
    Meaning::Macro(Rc::new(Macro { parameters: Vec::new(), body: trimmed(&tokens(text)).to_vec() }))
}
