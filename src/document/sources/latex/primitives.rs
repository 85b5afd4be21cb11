//! What the gullet does itself: definitions, conditionals, included files.

use super::commands;
use super::gullet::Gullet;
use super::macros::{Environment, Macro, Meaning, Parameter, constant, parameters_of};
use super::token::{Token, tokens, trimmed, written};
use std::rc::Rc;

/// Primitives inside the arguments of others are followed no deeper than this.
const MOST_NESTED: usize = 16;
/// After so many conditionals without an end, further ones are not looked through.
const MOST_UNCLOSED: usize = 20;
/// Names that start like a conditional and are none.
const NO_CONDITIONALS: [&str; 8] =
    ["iff", "ifthenelse", "ifstrequal", "ifdefempty", "ifblank", "ifnotblank", "ifthispageodd", "ifstrempty"];

impl Gullet<'_> {
    /// Does what `name` asks for, if it is a matter of the gullet. What stands too deep inside of others is left as it is.
    pub(super) fn primitive(&mut self, name: &Rc<str>) -> bool {
        if self.nested >= MOST_NESTED {
            return false;
        }
        self.nested += 1;
        let done = self.do_primitive(name);
        self.nested -= 1;
        done
    }

    fn do_primitive(&mut self, name: &Rc<str>) -> bool {
        match &**name {
            "newcommand" | "renewcommand" | "DeclareRobustCommand" => self.new_command(true),
            "providecommand" => self.new_command(false),
            "NewDocumentCommand" | "RenewDocumentCommand" | "DeclareDocumentCommand" | "ProvideDocumentCommand" => {
                self.document_command();
            }
            "def" | "edef" => self.def(false),
            "gdef" | "xdef" => self.def(true),
            "let" => self.let_name(),
            "futurelet" => self.future_let(),
            "newenvironment" | "renewenvironment" | "provideenvironment" => self.new_environment(),
            "DeclareMathOperator" => self.operator(),
            "newif" => self.new_if(),
            "expandafter" => self.expand_after(),
            "csname" => {
                let named = self.csname();
                self.mouth.push(vec![named]);
            }
            "protect" | "noexpand" | "relax" | "long" | "global" | "outer" | "protected" | "unexpanded"
            | "leavevmode" => {}
            "begingroup" | "bgroup" => self.begin_group(),
            "endgroup" | "egroup" => self.end_group(),
            "makeatletter" => self.mouth.at_letters = true,
            "makeatother" => self.mouth.at_letters = false,
            "endinput" => self.mouth.end_source(),
            "input" | "include" | "subfile" | "subfileinclude" | "InputIfFileExists" => {
                let file = self.file_name();
                self.include(&file);
            }
            "import" | "subimport" | "includefrom" | "inputfrom" => {
                let folder = self.name();
                let file = self.name();
                self.include(&format!("{}/{file}", folder.trim_end_matches('/')));
            }
            "usepackage" | "RequirePackage" => self.use_package(),
            "PassOptionsToPackage" => {
                let options = self.name();
                let package = self.name();
                self.options.push((package, options));
            }
            "setcitestyle" => {
                let options = self.name();
                self.options.push(("natbib".into(), options));
            }
            "documentclass" | "documentstyle" => {
                let options = self.optional().unwrap_or_default();
                let class = self.name();
                self.options.push((class.clone(), written(&options)));
                self.options.push(("class".into(), class));
            }
            "ifthenelse" => self.if_then_else(),
            "IfNoValueTF" | "IfBooleanTF" | "IfValueTF" => self.if_argument(name),
            "@ifundefined" => {
                let name = self.name();
                let (yes, no) = (self.argument(), self.argument());
                let defined = self.meaning(&name).is_some() || commands::is_known(&name);
                self.mouth.push(if defined { no } else { yes });
            }
            "@ifnextchar" => {
                let expected = self.argument();
                let (yes, no) = (self.argument(), self.argument());
                let found = self.mouth.peek().is_some_and(|next| expected.first() == Some(&next));
                self.mouth.push(if found { yes } else { no });
            }
            "else" | "or" => drop(self.skip_branch(false)),
            "fi" => {}
            name if name.starts_with("if") && !NO_CONDITIONALS.contains(&name) => return self.conditional(name),
            _ => return false,
        }
        true
    }

    fn command_name(&mut self) -> Option<Rc<str>> {
        let argument = self.argument();
        match trimmed(&argument) {
            [Token::Command(name)] => Some(name.clone()),
            _ => None,
        }
    }

    /// The paper may give any name a meaning, but not to what its structure is read by.
    fn may_define(&self, name: &str) -> bool {
        !(commands::is_structural(name) || (self.mouth.in_style() && commands::is_known(name)))
    }

    fn new_command(&mut self, again: bool) {
        self.star();
        let name = self.command_name();
        let count = self.optional().and_then(|count| written(&count).trim().parse::<usize>().ok()).unwrap_or(0).min(9);
        let default = self.optional();
        let body = self.argument();
        let Some(name) = name else { return };
        let mut parameters = vec![Parameter::Plain; count];
        if let (Some(default), Some(first)) = (default, parameters.first_mut()) {
            *first = Parameter::Optional(default);
        }
        if self.may_define(&name) && (again || (self.meaning(&name).is_none() && !commands::is_known(&name))) {
            self.define(&name, Some(Meaning::Macro(Rc::new(Macro { parameters, body }))));
        }
    }

    fn document_command(&mut self) {
        let name = self.command_name();
        let specification = self.argument();
        let body = self.argument();
        let Some(name) = name else { return };
        let mut parameters = Vec::new();
        let mut rest = specification.as_slice();
        while let [token, tail @ ..] = rest {
            rest = tail;
            match token {
                Token::Char('m') => parameters.push(Parameter::Plain),
                Token::Char('s') => parameters.push(Parameter::Star),
                Token::Char('o') => parameters.push(Parameter::Optional(tokens("-NoValue-"))),
                Token::Char('O') => {
                    let end = tail.iter().position(|token| *token == Token::Close).unwrap_or(tail.len());
                    parameters.push(Parameter::Optional(tail.get(1..end).unwrap_or_default().to_vec()));
                    rest = tail.get(end + 1..).unwrap_or_default();
                }
                _ => {}
            }
        }
        if self.may_define(&name) {
            self.define(&name, Some(Meaning::Macro(Rc::new(Macro { parameters, body }))));
        }
    }

    fn def(&mut self, globally: bool) {
        let Some(Token::Command(name)) = self.mouth.next() else { return };
        let mut pattern = Vec::new();
        while let Some(token) = self.mouth.peek() {
            // A definition without a body: the file is broken.
            if token == Token::Open || token == Token::Par || pattern.len() > 100 {
                break;
            }
            self.mouth.next();
            pattern.push(token);
        }
        let body = self.argument();
        if !self.may_define(&name) {
            return;
        }
        let meaning = Meaning::Macro(Rc::new(Macro { parameters: parameters_of(&pattern), body }));
        match globally {
            true => self.define_globally(&name, meaning),
            false => self.define(&name, Some(meaning)),
        }
    }

    fn let_name(&mut self) {
        let Some(Token::Command(name)) = self.mouth.next() else { return };
        while matches!(self.mouth.peek(), Some(Token::Space | Token::Char('='))) {
            self.mouth.next();
        }
        if let Some(token) = self.mouth.next() {
            self.let_be(&name, token);
        }
    }

    fn let_be(&mut self, name: &Rc<str>, token: Token) {
        let known = match &token {
            Token::Command(other) => self.meaning(other).cloned(),
            _ => None,
        };
        if self.may_define(name) && !token.is(name) {
            self.define(name, Some(known.unwrap_or(Meaning::Alias(token))));
        }
    }

    fn future_let(&mut self) {
        let (Some(Token::Command(name)), Some(then)) = (self.mouth.next(), self.mouth.next()) else { return };
        let next = self.mouth.peek().unwrap_or(Token::Par);
        self.let_be(&name, next);
        self.mouth.push(vec![then]);
    }

    fn new_environment(&mut self) {
        self.star();
        let name = self.name();
        let count = self.optional().and_then(|count| written(&count).trim().parse::<usize>().ok()).unwrap_or(0).min(9);
        let default = self.optional();
        let (body, end) = (self.argument(), self.argument());
        let mut parameters = vec![Parameter::Plain; count];
        if let (Some(default), Some(first)) = (default, parameters.first_mut()) {
            *first = Parameter::Optional(default);
        }
        let known = commands::is_environment(&name);
        if !name.is_empty() && !known {
            self.environments.insert(name, Environment { begin: Rc::new(Macro { parameters, body }), end });
        }
    }

    fn operator(&mut self) {
        let star = if self.star() { "*" } else { "" };
        let name = self.command_name();
        let text = written(&self.argument());
        if let Some(name) = name {
            self.define(&name, Some(constant(&format!("\\operatorname{star}{{{text}}}"))));
        }
    }

    /// `\newif\iffoo` makes `\footrue` and `\foofalse`.
    fn new_if(&mut self) {
        let Some(name) = self.command_name() else { return };
        let Some(stem) = name.strip_prefix("if") else { return };
        self.define(&name, Some(Meaning::Alias(Token::command("iffalse"))));
        for value in ["true", "false"] {
            let set = constant(&format!("\\let\\{name}\\if{value}"));
            self.define(&format!("{stem}{value}").into(), Some(set));
        }
    }

    fn csname(&mut self) -> Token {
        let mut name = String::new();
        while let Some(token) = self.next() {
            if token.is("endcsname") || name.len() > 200 {
                break;
            }
            name.push_str(&written(&[token]));
        }
        Token::Command(name.into())
    }

    /// The token after the next is looked at first.
    fn expand_after(&mut self) {
        let (Some(first), Some(second)) = (self.mouth.next(), self.mouth.next()) else { return };
        let second = if second.is("csname") { self.csname() } else { second };
        self.mouth.push(vec![first, second]);
    }

    fn file_name(&mut self) -> String {
        self.skip_spaces();
        if self.mouth.peek() == Some(Token::Open) {
            return self.name();
        }
        let mut name = Vec::new();
        while let Some(token @ Token::Char(_)) = self.mouth.peek() {
            self.mouth.next();
            name.push(token);
        }
        written(&name)
    }

    fn use_package(&mut self) {
        let options = written(&self.optional().unwrap_or_default());
        let packages = self.name();
        for package in packages.split(',').map(str::trim).take(50) {
            self.options.push((package.to_string(), options.clone()));
            self.load_style(package);
        }
    }

    fn if_argument(&mut self, name: &str) {
        let value = written(&self.argument());
        let (yes, no) = (self.argument(), self.argument());
        let holds = match name {
            "IfNoValueTF" => value == "-NoValue-",
            "IfValueTF" => value != "-NoValue-",
            _ => !value.is_empty(),
        };
        self.mouth.push(if holds { yes } else { no });
    }

    fn if_then_else(&mut self) {
        let condition = self.argument();
        let (yes, no) = (self.argument(), self.argument());
        let holds = match trimmed(&condition) {
            [Token::Command(name), rest @ ..] if &**name == "equal" => {
                self.mouth.bar();
                self.mouth.push(rest.to_vec());
                let (left, right) = (self.name(), self.name());
                self.mouth.lift();
                left == right
            }
            [Token::Command(name), rest @ ..] if &**name == "boolean" => {
                let flag: String = written(rest).chars().filter(|c| c.is_alphanumeric()).collect();
                matches!(self.meaning(&format!("if{flag}")), Some(Meaning::Alias(token)) if token.is("iftrue"))
            }
            _ => false,
        };
        self.mouth.push(if holds { yes } else { no });
    }

    /// False where the conditional has no end, and then nothing is skipped.
    fn conditional(&mut self, name: &str) -> bool {
        let holds = match name {
            "iftrue" => true,
            "ifx" => {
                let (left, right) = (self.mouth.next(), self.mouth.next());
                self.same_meaning(left, right)
            }
            "if" => {
                let (left, right) = (self.next(), self.next());
                left == right
            }
            "ifnum" | "ifodd" | "ifdim" => self.compares(),
            "ifdefined" => match self.mouth.next() {
                Some(Token::Command(name)) => self.meaning(&name).is_some() || commands::is_known(&name),
                _ => true,
            },
            _ => false,
        };
        holds || self.skip_branch(true)
    }

    fn same_meaning(&self, left: Option<Token>, right: Option<Token>) -> bool {
        let resolved = |token: Option<Token>| match token {
            Some(Token::Command(name)) => match self.meaning(&name) {
                Some(Meaning::Macro(definition)) => (Some(definition.clone()), None),
                Some(Meaning::Alias(token)) => (None, Some(token.clone())),
                // All undefined names mean the same.
                None if !commands::is_known(&name) => (None, None),
                None => (None, Some(Token::Command(name))),
            },
            token => (None, token),
        };
        resolved(left) == resolved(right)
    }

    /// `1<2`, of numbers that stand there.
    fn compares(&mut self) -> bool {
        let mut text = String::new();
        while let Some(token @ (Token::Char('0'..='9' | '<' | '>' | '=' | '-') | Token::Space)) = self.mouth.peek() {
            self.mouth.next();
            text.push_str(&written(&[token]));
        }
        let Some(at) = text.find(['<', '>', '=']) else { return false };
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let (Some(left), Some(right)) = (number(&text[..at]), number(&text[at + 1..])) else { return false };
        match &text[at..=at] {
            "<" => left < right,
            ">" => left > right,
            _ => left == right,
        }
    }

    /// Skips to the `\fi` of an open conditional, or to its `\else` where that may be read.
    fn skip_branch(&mut self, to_else: bool) -> bool {
        if self.unclosed >= MOST_UNCLOSED {
            return false;
        }
        let (mut skipped, mut depth) = (Vec::new(), 0);
        while let Some(token) = self.mouth.next() {
            if let Token::Command(name) = &token {
                match &**name {
                    "fi" if depth == 0 => return true,
                    "fi" => depth -= 1,
                    "else" if depth == 0 && to_else => return true,
                    name if name.starts_with("if") && !NO_CONDITIONALS.contains(&name) => depth += 1,
                    _ => {}
                }
            }
            skipped.push(token);
        }
        self.unclosed += 1;
        self.mouth.push(skipped);
        false
    }
}
