//! Title, authors and what stands around them.

use super::reader::Reader;
use super::token::{Token, trimmed};
use crate::document::sources::inline::Inline;
use crate::document::{BlockKind, Part};

/// A name is not longer than this, in characters.
const LONGEST_NAME: usize = 50;

/// What the title page will hold.
#[derive(Debug, Default)]
pub struct Front {
    pub title: Option<Inline>,
    /// Blocks of names and affiliations.
    pub authors: Vec<Inline>,
    pub names: Vec<String>,
    /// Notes to them.
    pub notes: Vec<Inline>,
}

impl Reader<'_> {
    pub(super) fn front_command(&mut self, name: &str) -> bool {
        match name {
            "title" | "icmltitle" | "Title" => {
                self.gullet.optional();
                let words = self.front_text();
                if !words.is_empty() {
                    self.aux.front.title = Some(words);
                }
            }
            "subtitle" => {
                let words = self.front_text();
                if let Some(title) = &mut self.aux.front.title {
                    title.push_str(": ");
                    title.append(&words);
                }
            }
            "author" | "Author" | "icmlauthor" | "AuthorNames" => {
                self.gullet.optional();
                let tokens = self.gullet.argument();
                if name == "icmlauthor" {
                    self.gullet.argument();
                }
                self.authors(tokens);
            }
            "affiliation"
            | "institute"
            | "address"
            | "email"
            | "affil"
            | "institution"
            | "icmlaffiliation"
            | "emailAdd"
            | "icmlcorrespondingauthor"
            | "orcidlink"
            | "affiliations" => {
                // Inside of another the argument is read on as its text.
                if self.depth > 0 {
                    self.separate();
                    return true;
                }
                self.gullet.optional();
                if self.in_title_page() {
                    let words = self.front_text();
                    self.aux.front.authors.push(words);
                }
            }
            "city" | "state" | "country" | "postcode" | "department" | "streetaddress" | "position" => self.separate(),
            "thanks" => {
                let note = self.inline_argument();
                match self.depth {
                    0 => self.aux.front.notes.push(note),
                    _ => self.after.push((BlockKind::Footnote, note)),
                }
            }
            "maketitle" | "IEEEtitleabstractindextext" if self.depth == 0 => {
                self.paragraph();
                if name == "maketitle" {
                    self.print_front();
                }
            }
            "abstract" => {
                let words = self.gullet.argument();
                self.paragraph();
                let mut text = vec![Token::command("begin"), Token::Open];
                text.extend("abstract".chars().map(Token::Char));
                text.push(Token::Close);
                text.extend(words);
                text.extend([Token::command("end"), Token::Open]);
                text.extend("abstract".chars().map(Token::Char));
                text.push(Token::Close);
                match self.in_preamble {
                    // Printed with the title.
                    true => self.preamble_abstract = Some(text),
                    false => drop(self.gullet.mouth.push(text)),
                }
            }
            "keywords" | "keyword" | "IEEEkeywords" | "icmlkeywords" => {
                let words = self.inline_argument();
                self.paragraph();
                self.put("Keywords: ");
                self.text.append(&words);
                self.paragraph();
            }
            "and" | "And" | "AND" | "IEEEauthorrefmark" | "IEEEmembership" => {
                if name.starts_with("IEEE") {
                    self.gullet.argument();
                }
                self.put(if name == "and" && self.depth == 0 { ", " } else { " " });
                if name == "and" && self.depth > 0 {
                    self.text.take(' ');
                    self.put(", ");
                }
            }
            _ => return false,
        }
        true
    }

    /// A comma between the parts of an address.
    fn separate(&mut self) {
        if !self.text.is_empty() && !self.text.as_str().trim_end().ends_with([',', '.', ':']) {
            self.text.take(' ');
            self.put(", ");
        }
    }

    /// Whether the text of the paper did not begin yet.
    fn in_title_page(&self) -> bool {
        self.in_preamble || self.draft.part() == Part::Front
    }

    /// An argument whose notes go to the title page.
    fn front_text(&mut self) -> Inline {
        let tokens = self.gullet.argument();
        self.front_inline(tokens)
    }

    fn front_inline(&mut self, tokens: Vec<Token>) -> Inline {
        let after = self.after.len();
        let words = self.inline(tokens);
        let notes = self.after.split_off(after.min(self.after.len()));
        self.aux.front.notes.extend(notes.into_iter().map(|(_, note)| note));
        words
    }

    fn authors(&mut self, tokens: Vec<Token>) {
        let tokens = self.gullet.expanded(tokens);
        for name in split_names(&tokens) {
            let text = self.plain(name);
            let parts = text.replace(" and ", ",").replace(" & ", ",");
            for name in parts.split([',', ';', '·']) {
                let name =
                    name.trim().trim_start_matches("and ").trim_matches(|c: char| !c.is_alphanumeric() && c != '.');
                if is_name(name) && !self.aux.front.names.iter().any(|known| known == name) {
                    self.aux.front.names.push(name.to_string());
                }
            }
        }
        let block = self.front_inline(tokens);
        self.aux.front.authors.push(block);
    }

    /// Prints title and authors once, as the run before knows them.
    pub(super) fn print_front(&mut self) {
        if std::mem::replace(&mut self.front_done, true) || self.depth > 0 {
            return;
        }
        let front = &self.known.front;
        if let Some(title) = &front.title {
            self.draft.title(title.clone());
        }
        front.authors.iter().for_each(|authors| self.draft.authors(authors.clone()));
        front.names.iter().for_each(|name| self.draft.add_author(name));
        for note in &front.notes {
            self.draft.push(BlockKind::Footnote, note.clone());
        }
        if let Some(text) = self.preamble_abstract.take() {
            self.gullet.mouth.push(text);
        }
    }
}

/// The first line of each author, without marks and notes.
fn split_names(tokens: &[Token]) -> Vec<Vec<Token>> {
    const SEPARATORS: [&str; 7] = ["and", "And", "AND", "qquad", "quad", "IEEEauthorblockA", "hspace"];
    /// Commands whose argument is no part of a name.
    const MARKS: [&str; 16] = [
        "thanks",
        "footnotemark",
        "footnote",
        "inst",
        "orcidID",
        "orcid",
        "textsuperscript",
        "samethanks",
        "IEEEauthorrefmark",
        "email",
        "texttt",
        "thanksref",
        "corref",
        "fnref",
        "IEEEmembership",
        "href",
    ];
    let mut names = vec![Vec::new()];
    let mut skipping = false;
    let mut rest = tokens;
    while let [token, tail @ ..] = rest {
        rest = tail;
        match token {
            Token::Command(name) if SEPARATORS.contains(&&**name) => {
                names.push(Vec::new());
                // What follows is an affiliation.
                skipping = &**name == "IEEEauthorblockA";
                if &**name == "hspace" {
                    (_, rest) = super::maths::argument(tail);
                    names.pop();
                    skipping = skipping && names.last().is_some_and(|name| !name.is_empty());
                }
            }
            Token::Command(name) if &**name == "IEEEauthorblockN" => skipping = false,
            // Lines of the same author follow, until the next separator.
            Token::Command(name) if &**name == "\\" => {
                skipping = skipping || names.last().is_some_and(|name| !trimmed(name).is_empty());
            }
            Token::Command(name) if MARKS.contains(&&**name) => rest = after_arguments(tail),
            Token::Math => {
                let end = tail.iter().position(|token| *token == Token::Math).map_or(tail.len(), |end| end + 1);
                rest = &tail[end..];
            }
            token if !skipping => {
                if let Some(name) = names.last_mut() {
                    name.push(token.clone());
                }
            }
            _ => {}
        }
    }
    // Braces may have been cut in two.
    names
        .into_iter()
        .map(|name| name.into_iter().filter(|token| !matches!(token, Token::Close | Token::Open)).collect())
        .collect()
}

fn after_arguments(tokens: &[Token]) -> &[Token] {
    let tokens = match tokens {
        [Token::Char('['), rest @ ..] => {
            let end = rest.iter().position(|token| *token == Token::Char(']')).map_or(rest.len(), |end| end + 1);
            &rest[end..]
        }
        tokens => tokens,
    };
    match tokens {
        [Token::Open, ..] => super::maths::argument(tokens).1,
        tokens => tokens,
    }
}

fn is_name(text: &str) -> bool {
    let words = text.split_whitespace().count();
    text.chars().count() <= LONGEST_NAME
        && (1..=7).contains(&words)
        && text.chars().filter(|c| c.is_alphabetic()).count() >= 2
        && !text.contains(['@', '/', ':', '{', '$'])
        && !text.chars().any(|c| c.is_ascii_digit())
        && text.starts_with(|c: char| !c.is_lowercase() || words > 1)
}
