//! Tokens → tokens without the paper's own macros: definitions are taken in, macros expanded, conditionals decided, files
//! included. All of it bounded.

use super::macros::{Environment, MOST_EXPANDED, Macro, Meaning, Parameter, substitute};
use super::mouth::Mouth;
use super::project::Project;
use super::token::{Token, written};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The most macros that are expanded in one paper.
const MOST_EXPANSIONS: usize = 100_000;
/// The most files that are included.
const MOST_FILES: usize = 2_000;

pub struct Gullet<'a> {
    pub mouth: Mouth,
    pub project: &'a Project,
    meanings: HashMap<Rc<str>, Meaning>,
    pub environments: HashMap<String, Environment>,
    /// What names meant before the open groups changed them; `None` starts a group.
    undo: Vec<Option<(Rc<str>, Option<Meaning>)>>,
    /// Names that were defined globally inside a group.
    globals: HashSet<Rc<str>>,
    /// Options of packages: `natbib` → `numbers`.
    pub options: Vec<(String, String)>,
    pub warnings: Vec<String>,
    expansions: usize,
    expanded: usize,
    files: usize,
    /// How many primitives wait for others inside their arguments.
    pub(super) nested: usize,
    /// Conditionals that were never closed.
    pub(super) unclosed: usize,
}

impl<'a> Gullet<'a> {
    pub fn new(project: &'a Project, prelude: &str) -> Gullet<'a> {
        let mut gullet = Gullet {
            mouth: Mouth::default(),
            project,
            meanings: HashMap::new(),
            environments: HashMap::new(),
            undo: Vec::new(),
            globals: HashSet::new(),
            options: Vec::new(),
            warnings: Vec::new(),
            expansions: 0,
            expanded: 0,
            files: 0,
            nested: 0,
            unclosed: 0,
        };
        gullet.mouth.open(prelude, false);
        while gullet.next().is_some() {}
        gullet
    }

    pub fn meaning(&self, name: &str) -> Option<&Meaning> {
        self.meanings.get(name)
    }

    pub fn define(&mut self, name: &Rc<str>, meaning: Option<Meaning>) {
        let before = match meaning {
            Some(meaning) => self.meanings.insert(name.clone(), meaning),
            None => self.meanings.remove(name),
        };
        if !self.undo.is_empty() {
            self.undo.push(Some((name.clone(), before)));
        }
    }

    /// A definition that outlives the open groups.
    pub fn define_globally(&mut self, name: &Rc<str>, meaning: Meaning) {
        self.globals.insert(name.clone());
        self.meanings.insert(name.clone(), meaning);
    }

    pub fn begin_group(&mut self) {
        self.undo.push(None);
    }

    pub fn end_group(&mut self) {
        while let Some(Some((name, before))) = self.undo.pop() {
            match before {
                _ if self.globals.contains(&name) => None,
                Some(meaning) => self.meanings.insert(name, meaning),
                None => self.meanings.remove(&name),
            };
        }
    }

    /// The next token that is no macro of the paper's own.
    pub fn next(&mut self) -> Option<Token> {
        loop {
            let token = self.mouth.next()?;
            let Token::Command(name) = &token else { return Some(token) };
            let known = self.meanings.get(name).cloned();
            match known {
                Some(Meaning::Macro(definition)) => {
                    if !self.expand(&definition) {
                        return Some(token);
                    }
                }
                // What the command meant before the paper gave it another meaning.
                Some(Meaning::Alias(Token::Command(other))) if self.may_expand(1) => {
                    if !self.primitive(&other) {
                        return Some(Token::Command(other));
                    }
                }
                Some(Meaning::Alias(other)) => return Some(other),
                None => {
                    if !self.primitive(&name.clone()) {
                        return Some(token);
                    }
                }
            }
        }
    }

    /// Counts an expansion. False once there were too many: macros are then left as they stand.
    fn may_expand(&mut self, length: usize) -> bool {
        self.expansions += 1;
        self.expanded += length;
        let may = self.expansions <= MOST_EXPANSIONS && self.expanded <= MOST_EXPANDED;
        if !may {
            self.warn("its macros expand without end: they are left as they stand from there on".into());
        }
        may
    }

    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn expand(&mut self, definition: &Macro) -> bool {
        if self.expansions > MOST_EXPANSIONS || self.expanded > MOST_EXPANDED {
            return false;
        }
        let arguments = self.arguments(&definition.parameters);
        let body = substitute(&definition.body, &arguments);
        self.may_expand(body.len()) && self.mouth.push(body)
    }

    fn arguments(&mut self, parameters: &[Parameter]) -> Vec<Vec<Token>> {
        let mut arguments = Vec::new();
        for parameter in parameters {
            match parameter {
                Parameter::Plain => arguments.push(self.argument()),
                Parameter::Optional(default) => arguments.push(self.optional().unwrap_or_else(|| default.clone())),
                Parameter::Star => arguments.push(if self.star() { vec![Token::Char('*')] } else { Vec::new() }),
                Parameter::Literal(expected) => {
                    for token in expected {
                        if self.mouth.peek().as_ref() == Some(token) {
                            self.mouth.next();
                        }
                    }
                }
                Parameter::Until(end) => arguments.push(self.until(end)),
            }
        }
        arguments
    }

    /// Expands the begin of an environment of the paper's own.
    pub fn begin_environment(&mut self, environment: &Environment) {
        let begin = environment.begin.clone();
        self.expand(&begin);
    }

    pub fn skip_spaces(&mut self) {
        while matches!(self.mouth.peek(), Some(Token::Space | Token::Par)) {
            self.mouth.next();
        }
    }

    /// The next group without its braces, or the next token.
    pub fn argument(&mut self) -> Vec<Token> {
        self.skip_spaces();
        match self.mouth.peek() {
            Some(Token::Open) => {
                self.mouth.next();
                self.group()
            }
            // A group ends here: the argument is missing.
            Some(Token::Close) | None => Vec::new(),
            Some(_) => self.mouth.next().into_iter().collect(),
        }
    }

    /// Up to the brace that closes what was opened.
    fn group(&mut self) -> Vec<Token> {
        let (mut tokens, mut depth) = (Vec::new(), 0);
        while let Some(token) = self.mouth.next() {
            match token {
                Token::Open => depth += 1,
                Token::Close if depth == 0 => break,
                Token::Close => depth -= 1,
                _ => {}
            }
            tokens.push(token);
        }
        tokens
    }

    /// What stands in brackets, if brackets come next.
    pub fn optional(&mut self) -> Option<Vec<Token>> {
        let spaced = self.mouth.peek() == Some(Token::Space);
        if spaced {
            self.mouth.next();
        }
        if self.mouth.peek() != Some(Token::Char('[')) {
            if spaced {
                self.mouth.push(vec![Token::Space]);
            }
            return None;
        }
        self.mouth.next();
        let (mut tokens, mut depth) = (Vec::new(), 0);
        while let Some(token) = self.mouth.peek() {
            match token {
                Token::Open => depth += 1,
                // The brackets were never closed.
                Token::Close if depth == 0 => break,
                Token::Close => depth -= 1,
                Token::Par if depth == 0 => break,
                Token::Char(']') if depth == 0 => {
                    self.mouth.next();
                    break;
                }
                _ => {}
            }
            self.mouth.next();
            tokens.push(token);
        }
        Some(tokens)
    }

    pub fn star(&mut self) -> bool {
        let star = self.mouth.peek() == Some(Token::Char('*'));
        if star {
            self.mouth.next();
        }
        star
    }

    fn until(&mut self, end: &[Token]) -> Vec<Token> {
        let (mut tokens, mut depth) = (Vec::new(), 0_usize);
        while let Some(token) = self.mouth.next() {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            tokens.push(token);
            if depth == 0 && tokens.ends_with(end) {
                tokens.truncate(tokens.len() - end.len());
                break;
            }
        }
        match tokens.as_slice() {
            [Token::Open, inner @ .., Token::Close] if !inner.contains(&Token::Close) => inner.to_vec(),
            _ => tokens,
        }
    }

    /// An argument that is a name: of a file, a label, an environment.
    pub fn name(&mut self) -> String {
        let tokens = self.argument();
        written(&self.expanded(tokens)).trim().to_string()
    }

    /// Tokens with all macros in them expanded.
    pub fn expanded(&mut self, tokens: Vec<Token>) -> Vec<Token> {
        if !tokens.iter().any(|token| matches!(token, Token::Command(_))) {
            return tokens;
        }
        self.mouth.bar();
        self.mouth.push(tokens);
        let expanded = std::iter::from_fn(|| self.next()).collect();
        self.mouth.lift();
        expanded
    }

    /// Reads a file of the paper in place; `.tex` may be left out.
    pub fn include(&mut self, name: &str) {
        let name = name.trim().trim_matches('"');
        self.files += 1;
        let text = match self.files <= MOST_FILES {
            true => self.project.text(&format!("{name}.tex")).or_else(|| self.project.text(name)),
            false => None,
        };
        match text {
            Some(text) => {
                // What a part says before its own \begin{document} was said by the root already.
                let body = text.find("\\begin{document}").filter(|_| text.contains("\\documentclass"));
                let text = body.map_or(text.as_str(), |at| &text[at + "\\begin{document}".len()..]);
                let text = text.split("\\end{document}").next().unwrap_or_default();
                if !self.mouth.open(text, false) {
                    self.warn(format!("{name}: included inside itself, left out"));
                }
            }
            None => self.warn(format!("{name}: included, but not among the sources")),
        }
    }

    /// Loads a style file of the paper's own for its macros.
    pub fn load_style(&mut self, name: &str) {
        const LARGEST: usize = 200_000;
        self.files += 1;
        let text = (self.files <= MOST_FILES).then(|| self.project.text(&format!("{name}.sty"))).flatten();
        if let Some(text) = text.filter(|text| text.len() <= LARGEST) {
            self.mouth.open(&text, true);
        }
    }

    pub fn has_option(&self, package: &str, option: &str) -> bool {
        self.options
            .iter()
            .any(|(name, options)| name == package && options.split(',').any(|each| each.trim() == option))
    }
}
