//! BibTeX's files, and what Biber makes of them: entries with their fields, still in LaTeX.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// By their names in small letters.
    fields: BTreeMap<String, String>,
}

/// The entries of a `.bib` file. What cannot be read is passed over.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut strings: BTreeMap<String, String> =
        MONTHS.iter().map(|month| (month.to_lowercase(), (*month).into())).collect();
    let mut entries = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        rest = &rest[at + 1..];
        let Some(open) = rest.find(['{', '(']) else { break };
        let kind = rest[..open].trim().to_lowercase();
        if kind.is_empty() || !kind.chars().all(char::is_alphabetic) {
            continue;
        }
        let body = &rest[open + 1..];
        match kind.as_str() {
            "comment" | "preamble" => {}
            "string" => {
                let (fields, after) = fields(body, &strings);
                strings.extend(fields);
                rest = after;
            }
            _ => {
                let Some(end) = body.find([',', '}', '@', '=']) else { break };
                if body[end..].starts_with(['@', '=']) {
                    continue;
                }
                let (fields, after) = fields(&body[end..], &strings);
                entries.push(Entry { key: body[..end].trim().to_string(), fields });
                rest = after;
            }
        }
    }
    entries
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `, name = value, …}` and what follows it.
fn fields<'a>(text: &'a str, strings: &BTreeMap<String, String>) -> (BTreeMap<String, String>, &'a str) {
    let mut fields = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() || rest.starts_with(['}', ')']) {
            return (fields, rest.get(1..).unwrap_or_default());
        }
        let Some(equals) = rest.find(['=', ',', '}', '@']).filter(|at| rest[*at..].starts_with('=')) else {
            // No field: the entry is broken, and the next one may follow.
            return (fields, rest);
        };
        let name = rest[..equals].trim().to_lowercase();
        let mut value = String::new();
        rest = &rest[equals + 1..];
        loop {
            let (part, after) = part(rest.trim_start(), strings);
            value.push_str(&part);
            rest = after.trim_start();
            match rest.strip_prefix('#') {
                Some(more) => rest = more,
                None => break,
            }
        }
        fields.entry(name).or_insert_with(|| value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

/// A value in braces or quotes, a number, or the name of a string.
fn part<'a>(text: &'a str, strings: &BTreeMap<String, String>) -> (String, &'a str) {
    let delimiter = text.chars().next();
    if !matches!(delimiter, Some('{' | '"')) {
        let end = text.find([',', '}', '#', '\n', ')']).unwrap_or(text.len());
        let word = text[..end].trim();
        return (strings.get(&word.to_lowercase()).cloned().unwrap_or_else(|| word.to_string()), &text[end..]);
    }
    let mut depth = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        let was_escaped = escaped;
        escaped = c == '\\' && !was_escaped;
        match c {
            _ if was_escaped => {}
            '{' => depth += 1,
            '}' if depth == 0 && delimiter == Some('{') => return (text[1..at].to_string(), &text[at + 1..]),
            '}' => depth -= 1,
            '"' if depth == 0 && delimiter == Some('"') => return (text[1..at].to_string(), &text[at + 1..]),
            _ => {}
        }
    }
    (text[1..].to_string(), "")
}

/// The entries of a `.bbl` of Biber's, in their order.
pub fn biblatex(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for part in text.split("\\entry{").skip(1) {
        let part = part.split("\\endentry").next().unwrap_or_default();
        let key = part.split('}').next().unwrap_or_default().to_string();
        let mut fields = BTreeMap::new();
        for (marker, field_end) in [("\\field{", "}{"), ("\\list{", "}{")] {
            for field in part.split(marker).skip(1) {
                let Some((name, rest)) = field.split_once(field_end) else { continue };
                let rest = if marker == "\\list{" { rest.split_once('{').map_or(rest, |(_, rest)| rest) } else { rest };
                fields
                    .entry(name.to_string())
                    .or_insert_with(|| balanced(rest).trim_matches(['{', '}', '%', '\n', ' ']).to_string());
            }
        }
        for verb in part.split("\\verb{").skip(1) {
            let value = verb.split_once("\\verb ").map(|(name, rest)| (name.trim(), rest));
            let Some((name, value)) = value else { continue };
            let value = value.split("\\endverb").next().unwrap_or_default();
            fields.entry(name.trim_end_matches('}').to_string()).or_insert_with(|| value.trim().to_string());
        }
        if let Some(authors) = part.split("\\name{author}").nth(1) {
            let authors = authors.split("\n    }%").next().unwrap_or(authors);
            let value = |person: &str, name: &str| {
                let at = person.find(&format!("{name}={{")).map(|at| at + name.len() + 2)?;
                Some(balanced(&person[at..]).to_string())
            };
            let people = authors.split("{{").skip(1).filter_map(|person| {
                let family = value(person, "family")?;
                Some(value(person, "given").map_or(family.clone(), |given| format!("{family}, {given}")))
            });
            fields.insert(
                "author".into(),
                people.collect::<Vec<_>>().join(" and ").replace("\\bibnamedelima", "").replace("\\bibinitperiod", "."),
            );
        }
        if !entries.iter().any(|entry| entry.key == key) {
            entries.push(Entry { key, fields });
        }
    }
    entries
}

/// Up to the brace that closes what was opened before.
fn balanced(text: &str) -> &str {
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth < 0
    });
    &text[..end.unwrap_or(text.len())]
}

impl Entry {
    /// A field in LaTeX; empty where it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// As it is given; of a date `2017-06-12` its first part.
    pub fn year(&self) -> &str {
        match self.field("year") {
            "" => self.field("date").split(['-', '/']).next().unwrap_or_default(),
            year => year,
        }
    }

    pub fn authors(&self) -> Vec<&str> {
        let names = if self.field("author").is_empty() { self.field("editor") } else { self.field("author") };
        names.split(" and ").map(str::trim).filter(|name| !name.is_empty()).collect()
    }

    /// What the entry is sorted by.
    pub fn sorting_name(&self) -> String {
        let names: Vec<String> = self.authors().iter().map(|name| family(name).to_lowercase()).collect();
        let letters = if names.is_empty() { self.field("title").to_lowercase() } else { names.join(" ") };
        letters.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect()
    }

    /// The entry as a line of LaTeX, as most styles print it.
    pub fn latex(&self) -> String {
        let names: Vec<String> = self.authors().iter().map(|name| given_first(name)).collect();
        let names = match names.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [most @ .., last] if last.as_str() == "others" => format!("{} et~al", most.join(", ")),
            [most @ .., last] => format!("{}, and {last}", most.join(", ")),
        };
        let venue = ["journal", "journaltitle", "booktitle", "howpublished"].iter().map(|name| self.field(name));
        let venue = venue.into_iter().find(|venue| !venue.is_empty()).unwrap_or_default();
        let volume = match (self.field("volume"), self.field("number")) {
            ("", _) => String::new(),
            (volume, "") => volume.to_string(),
            (volume, number) => format!("{volume}({number})"),
        };
        let rest = [venue, &volume, self.field("pages"), self.field("publisher"), self.field("school"), self.year()];
        let rest: Vec<&str> = rest.into_iter().filter(|part| !part.is_empty()).collect();
        let eprint = match self.field("eprint") {
            "" => String::new(),
            eprint if self.field("archiveprefix").is_empty() && self.field("eprinttype").is_empty() => {
                eprint.to_string()
            }
            eprint => format!("arXiv:{eprint}"),
        };
        let doi =
            if self.field("doi").is_empty() { String::new() } else { format!("doi:\\url{{{}}}", self.field("doi")) };
        let url = if self.field("url").is_empty() { String::new() } else { format!("\\url{{{}}}", self.field("url")) };
        let parts = [names.as_str(), self.field("title"), &rest.join(", "), &eprint, self.field("note"), &doi, &url];
        let parts: Vec<String> =
            parts.iter().filter(|part| !part.is_empty()).map(|part| part.trim_end_matches('.').to_string()).collect();
        parts.join(". ") + "."
    }
}

/// The family name of `Family, Given` or `Given Family`.
pub fn family(name: &str) -> &str {
    match name.split_once(',') {
        Some((family, _)) => family.trim(),
        None if name.ends_with('}') => name.rfind(" {").map_or(name, |at| &name[at + 1..]),
        None => name.rsplit(' ').next().unwrap_or(name),
    }
}

pub fn given_first(name: &str) -> String {
    match name.split_once(',') {
        Some((family, given)) => format!("{} {}", given.trim(), family.trim()),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIB: &str = r#"
        @string{nips = "NeurIPS"}
        @comment{nothing}
        @inproceedings{vaswani2017,
          author = {Vaswani, Ashish and Noam Shazeer},
          title  = "Attention Is {All} You Need",
          booktitle = nips # { 2017},
          year = 2017,
        }
        @broken{
        @misc{second, title={A {"} quote}, url = {http://a.b/c_d}, date = {2018-05}}
    "#;

    #[test]
    fn entries_have_their_fields() {
        let entries = entries(BIB);
        assert_eq!(entries[0].key, "vaswani2017");
        assert_eq!(entries[0].authors(), ["Vaswani, Ashish", "Noam Shazeer"]);
        assert_eq!((entries[0].field("booktitle"), entries[0].field("year")), ("NeurIPS 2017", "2017"));
        assert_eq!(
            entries[0].latex(),
            "Ashish Vaswani, and Noam Shazeer. Attention Is {All} You Need. NeurIPS 2017, 2017."
        );
        assert_eq!(entries[0].year(), "2017");
        let second = entries.last().expect("an entry");
        assert_eq!((second.key.as_str(), second.field("title")), ("second", "A {\"} quote"));
        assert_eq!(second.year(), "2018");
    }

    #[test]
    fn broken_files_end() {
        for at in 0..BIB.len() {
            if BIB.is_char_boundary(at) {
                entries(&BIB[..at]);
                entries(&BIB[at..]);
            }
        }
    }

    #[test]
    fn what_biber_makes_is_read() {
        let bbl = "\\entry{v17}{inproceedings}{}\n    \\name{author}{2}{}{%\n      {{hash=1}{%\n family={Vaswani},\n given={Ashish},\n}}%\n      \
            {{hash=2}{%\n family={Shazeer},\n given={Noam},\n}}%\n    }%\n \\field{title}{Attention {Is} All}\n \\field{year}{2017}\n \
            \\verb{doi}\n \\verb 10.1/x\n \\endverb\n\\endentry";
        let entries = biblatex(bbl);
        assert_eq!(entries[0].authors(), ["Vaswani, Ashish", "Shazeer, Noam"]);
        assert_eq!((entries[0].field("title"), entries[0].field("doi")), ("Attention {Is} All", "10.1/x"));
    }
}
