//! Citations: printed as the bibliography's labels ask for.

use super::reader::Reader;
use super::token::Token;
use crate::document::pattern;
use regex::Regex;
use std::sync::LazyLock;

/// How an entry of the bibliography is cited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// `3`, `Vas17`
    pub mark: String,
    /// Where the label names them.
    pub author_year: Option<(String, String)>,
}

impl Label {
    /// Of the text that `\bibitem` gives, in the forms of natbib, apalike and their like.
    pub fn of(text: &str, number: usize) -> Label {
        static NAMED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(.+?)\s*\((\d{4}[a-z]?|[^()]{0,20})\)"));
        static COMMA: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(.+?),?\s+(\d{4}[a-z]?)$"));
        let named = NAMED.captures(text).or_else(|| COMMA.captures(text));
        let author_year = named.map(|parts| (parts[1].to_string(), parts[2].trim().to_string()));
        let mark = match text {
            "" => number.to_string(),
            _ if author_year.is_some() => number.to_string(),
            text => text.to_string(),
        };
        Label { mark, author_year }
    }
}

/// How a command cites.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `(Vaswani et al., 2017)`
    Parenthesised,
    /// `Vaswani et al. (2017)`
    Textual,
    /// `Vaswani et al., 2017`
    Bare,
    Author,
    Year,
}

fn form(command: &str) -> Option<Form> {
    let command = command.to_lowercase();
    Some(match command.as_str() {
        "cite" | "citep" | "parencite" | "autocite" | "supercite" | "footcite" | "cites" | "citenum" | "onlinecite"
        | "shortcite" | "citealtp" | "smartcite" | "fullcite" | "footfullcite" | "citepalias" => Form::Parenthesised,
        "citet" | "textcite" | "citeasnoun" | "newcite" | "shortciteauthor" | "citeta" | "citetalias" | "citen" => {
            Form::Textual
        }
        "citealp" | "citealt" => Form::Bare,
        "citeauthor" | "citeauthorp" => Form::Author,
        "citeyear" | "citeyearpar" | "citedate" => Form::Year,
        _ => return None,
    })
}

impl Reader<'_> {
    pub(super) fn citation_command(&mut self, name: &str) -> bool {
        if let Some(form) = form(name) {
            self.gullet.star();
            let first = self.gullet.optional();
            let second = self.gullet.optional();
            let (before, after) = match (first, second) {
                (Some(before), Some(after)) => (before, after),
                (Some(after), None) => (Vec::new(), after),
                _ => (Vec::new(), Vec::new()),
            };
            let keys = self.gullet.name();
            self.cite(name, form, &keys, before, after);
            return true;
        }
        match name {
            "nocite" => {
                let keys = self.gullet.name();
                self.remember(&keys);
            }
            "bibitem" => self.bibitem(),
            "bibliography" | "printbibliography" => self.bibliography(name),
            "addbibresource" => {
                self.gullet.optional();
                let file = self.gullet.name();
                self.bib_files.push(file);
            }
            "bibliographystyle" => self.bib_style = self.gullet.name(),
            "citeauthoryear" => self.cite_author_year(),
            _ => return false,
        }
        true
    }

    fn remember(&mut self, keys: &str) {
        for key in keys.split(',').map(str::trim).filter(|key| !key.is_empty()) {
            if !self.aux.cited_keys.contains(key) {
                self.aux.cited_keys.insert(key.to_string());
                self.aux.cited.push(key.to_string());
            }
        }
    }

    fn cite(&mut self, command: &str, form: Form, keys: &str, before: Vec<Token>, after: Vec<Token>) {
        self.remember(keys);
        if self.in_preamble && self.depth == 0 {
            return;
        }
        let (before, after) = (self.plain(before), self.plain(after));
        let keys: Vec<String> =
            keys.split(',').map(|key| key.trim().to_string()).filter(|key| !key.is_empty()).collect();
        let named = self.cites_by_name();
        // \cite of natbib names the authors in the text.
        let natbib = self.gullet.options.iter().any(|(package, _)| package == "natbib");
        let form = if command == "cite" && named && natbib { Form::Textual } else { form };
        let text =
            if named { self.by_name(form, &keys, &before, &after) } else { self.by_mark(form, &keys, &before, &after) };
        self.text.cite(&text, keys);
    }

    /// Whether citations name authors and years: the labels give them, and no package was asked for numbers.
    pub(super) fn cites_by_name(&self) -> bool {
        let numbers = ["numbers", "super", "sort&compress,numbers"];
        let numeric = numbers.iter().any(|option| self.gullet.has_option("natbib", option))
            || self.gullet.options.iter().any(|(_, options)| options.contains("style=numeric"));
        2 * self.known.named > self.known.labels.len() && !numeric
    }

    fn by_name(&self, form: Form, keys: &[String], before: &str, after: &str) -> String {
        let one = |key: &String| {
            let label = self.known.labels.get(key);
            let Some((author, year)) = label.and_then(|label| label.author_year.as_ref()) else {
                return label.map_or(key.clone(), |label| label.mark.clone());
            };
            match form {
                Form::Author => author.clone(),
                Form::Year => year.clone(),
                Form::Textual if after.is_empty() => format!("{author} ({year})"),
                Form::Textual => format!("{author} ({year}, {after})"),
                _ => format!("{author}, {year}"),
            }
        };
        let separator = if form == Form::Textual { ", " } else { "; " };
        let mut text = keys.iter().map(one).collect::<Vec<_>>().join(separator);
        if !before.is_empty() {
            text = format!("{before} {text}");
        }
        if !after.is_empty() && form != Form::Textual {
            text = format!("{text}, {after}");
        }
        if form == Form::Parenthesised { format!("({text})") } else { text }
    }

    fn by_mark(&self, form: Form, keys: &[String], before: &str, after: &str) -> String {
        let label = |key: &String| self.known.labels.get(key);
        let mark = |key: &String| label(key).map_or(key.clone(), |label| label.mark.clone());
        let named = |key: &String| label(key).and_then(|label| label.author_year.clone());
        match form {
            Form::Textual | Form::Author | Form::Year if keys.iter().all(|key| named(key).is_some()) => {
                let each = keys.iter().map(|key| {
                    let (author, year) = named(key).unwrap_or_default();
                    match form {
                        Form::Textual => format!("{author} [{}]", mark(key)),
                        Form::Author => author,
                        _ => year,
                    }
                });
                each.collect::<Vec<_>>().join(", ")
            }
            _ => {
                let mut text = keys.iter().map(mark).collect::<Vec<_>>().join(", ");
                if !before.is_empty() {
                    text = format!("{before} {text}");
                }
                if !after.is_empty() {
                    text = format!("{text}, {after}");
                }
                if form == Form::Bare { text } else { format!("[{text}]") }
            }
        }
    }

    /// `\citeauthoryear{all}{short}{year}` of a label, or without the first.
    fn cite_author_year(&mut self) {
        let mut parts = vec![self.gullet.argument(), self.gullet.argument()];
        if self.gullet.mouth.peek() == Some(Token::Open) {
            parts.remove(0);
            parts.push(self.gullet.argument());
        }
        let mut label = parts[0].clone();
        label.push(Token::Char('('));
        label.extend(parts[1].clone());
        label.push(Token::Char(')'));
        self.gullet.mouth.push(label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_authors_and_years() {
        let named = |text: &str| Label::of(text, 1).author_year;
        let expected = Some(("Vaswani et al.".to_string(), "2017".to_string()));
        assert_eq!(named("Vaswani et al.(2017)Vaswani, Shazeer, and Parmar"), expected);
        assert_eq!(named("Vaswani et al., 2017"), expected);
        assert_eq!(Label::of("Vas17", 4), Label { mark: "Vas17".into(), author_year: None });
        assert_eq!(Label::of("", 4).mark, "4");
    }
}
