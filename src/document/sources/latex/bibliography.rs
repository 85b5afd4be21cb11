//! The reference list: from `\bibitem`s, or made from BibTeX's own files where nobody ran BibTeX.

use super::bibtex::{self, Entry};
use super::citations::Label;
use super::reader::Reader;
use super::token::tokens;
use crate::document::sources::inline::Inline;
use crate::document::{Part, Reference};

/// The entry of `\bibitem` that is being read.
#[derive(Debug, Default)]
pub struct OpenEntry {
    key: String,
    label: Label,
}

impl Reader<'_> {
    pub(super) fn print_references_heading(&mut self) {
        if self.draft.part() != Part::References {
            let name = if self.counters.value("chapter") > 0 { "\\bibname" } else { "\\refname" };
            let words = self.plain(tokens(name));
            self.draft.heading(1, None, Inline::of(&words));
            self.draft.set_part(Part::References);
        }
    }

    /// `\bibitem[label]{key}`
    pub(super) fn bibitem(&mut self) {
        self.end_entry();
        let label = self.gullet.optional();
        let key = self.gullet.name();
        let label = label.map(|label| self.plain(label)).unwrap_or_default();
        self.entries += 1;
        self.open_entry = Some(OpenEntry { key, label: Label::of(&label, self.entries) });
    }

    /// Ends the open entry, if there is one; what stands before the first is text.
    pub(super) fn end_entry(&mut self) {
        if self.depth > 0 {
            return;
        }
        let Some(OpenEntry { key, label }) = self.open_entry.take() else {
            return self.paragraph();
        };
        let words = std::mem::take(&mut self.text);
        self.print_entry(&key, label, words, Reference::default());
    }

    fn print_entry(&mut self, key: &str, label: Label, words: Inline, fields: Reference) {
        if words.is_empty() {
            return;
        }
        let printed = if self.cites_by_name() { None } else { Some(label.mark.clone()) };
        let mut text = match &printed {
            Some(mark) => Inline::of(&format!("[{mark}] ")),
            None => Inline::default(),
        };
        text.append(&words);
        self.aux.named += usize::from(label.author_year.is_some());
        self.aux.labels.insert(key.to_string(), label);
        self.draft.reference(Some(key), Reference { label: printed, ..fields }, text);
    }

    /// `\bibliography{files}`: what BibTeX made of them, else the files themselves.
    pub(super) fn bibliography(&mut self, command: &str) {
        if command == "bibliography" {
            let files = self.gullet.name();
            self.bib_files.extend(files.split(',').map(|file| file.trim().to_string()));
        } else {
            self.gullet.optional();
        }
        if self.in_preamble {
            return;
        }
        self.paragraph();
        let made = self.gullet.project.bbl();
        match made {
            Some(bbl) if bbl.contains("\\bibitem") => drop(self.gullet.mouth.open(&bbl, false)),
            Some(bbl) if bbl.contains("\\entry{") => self.print_entries(bibtex::biblatex(&bbl), true),
            _ => {
                let files: Vec<String> = self.bib_files.clone();
                let entries = files.iter().filter_map(|file| {
                    let file = file.trim_end_matches(".bib");
                    self.gullet.project.text(&format!("{file}.bib"))
                });
                let entries: Vec<Entry> = entries.flat_map(|text| bibtex::entries(&text)).collect();
                match entries.is_empty() {
                    true => self.gullet.warn("the reference list is not among the sources".into()),
                    false => self.print_entries(entries, false),
                }
            }
        }
    }

    /// Entries that are cited: as they were sorted already, else in the order that the style asks for.
    fn print_entries(&mut self, mut entries: Vec<Entry>, sorted: bool) {
        let is_cited = |key: &str| self.known.cited_keys.contains(key) || self.aux.cited_keys.contains(key);
        let all = is_cited("*");
        entries.retain(|entry| all || sorted || is_cited(&entry.key));
        let by_citation = ["unsrt", "ieee", "acm", "unsorted", "aps", "nature"];
        if sorted {
        } else if by_citation.iter().any(|style| self.bib_style.to_lowercase().contains(style)) {
            entries.sort_by_cached_key(|entry| self.aux.cited.iter().position(|key| *key == entry.key));
        } else {
            entries.sort_by_cached_key(|entry| (entry.sorting_name(), entry.year().to_string(), entry.key.clone()));
        }
        entries.dedup_by(|one, other| one.key == other.key);
        if !entries.is_empty() {
            self.print_references_heading();
        }
        for (index, entry) in entries.iter().enumerate() {
            let words = self.inline(tokens(&entry.latex()));
            let fields = self.fields(entry);
            let label = Label { mark: (index + 1).to_string(), author_year: self.author_year(entry) };
            self.print_entry(&entry.key, label, words, fields);
        }
        if self.draft.part() == Part::References {
            self.draft.set_part(Part::Appendix);
        }
    }

    fn author_year(&mut self, entry: &Entry) -> Option<(String, String)> {
        let named = [
            "plainnat",
            "abbrvnat",
            "unsrtnat",
            "apalike",
            "acl",
            "iclr",
            "icml",
            "neurips",
            "apa",
            "chicago",
            "agsm",
            "authoryear",
            "harv",
        ];
        let style = self.bib_style.to_lowercase();
        let biblatex = self
            .gullet
            .options
            .iter()
            .any(|(_, options)| options.contains("authoryear") || options.contains("style=apa"));
        if !biblatex && !named.iter().any(|each| style.contains(each)) {
            return None;
        }
        let names: Vec<String> = entry.authors().iter().map(|name| bibtex::family(name).to_string()).collect();
        let names: Vec<String> = names.into_iter().map(|name| self.plain(tokens(&name))).collect();
        let authors = match names.as_slice() {
            [] => return None,
            [one] => one.clone(),
            [one, two] => format!("{one} and {two}"),
            [one, ..] => format!("{one} et al."),
        };
        Some((authors, entry.year().to_string()))
    }

    fn fields(&mut self, entry: &Entry) -> Reference {
        let mut text = |field: &str| {
            let text = self.plain(tokens(entry.field(field)));
            Some(text).filter(|text| !text.is_empty())
        };
        let doi = text("doi").map(|doi| doi.trim_start_matches("https://doi.org/").to_string());
        let title = text("title");
        let year = entry.year().get(..4).and_then(|year| year.parse().ok());
        let venue = ["journal", "journaltitle", "booktitle", "publisher"].iter().find_map(|field| text(field));
        let is_arxiv = entry.field("archiveprefix").eq_ignore_ascii_case("arxiv") || !entry.field("eprint").is_empty();
        let arxiv = text("eprint").filter(|_| is_arxiv);
        let url = Some(entry.field("url").to_string()).filter(|url| !url.is_empty());
        let names = entry.authors().into_iter().filter(|name| *name != "others");
        let authors = names.map(|name| self.plain(tokens(&bibtex::given_first(name)))).collect();
        Reference { authors, title, year, venue, doi, arxiv, url, ..Reference::default() }
    }
}
