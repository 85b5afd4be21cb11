//! Links of a page, its citations and its reference list.

use super::Reader;
use crate::document::Reference;
use crate::document::sources::inline::Inline;

impl Reader<'_> {
    /// A link, or a reference inside of the page.
    pub(super) fn anchor(&mut self, at: usize, depth: usize) {
        let href = self.tree.attribute(at, "href").unwrap_or_default();
        match href.split_once('#') {
            Some((page, key))
                if !key.is_empty() && (page.is_empty() || !page.contains("://") || key.starts_with("bib.")) =>
            {
                let text = self.inline(at, depth);
                self.text.cite(text.as_str().trim_end(), vec![key.to_string()]);
            }
            _ => {
                self.draft.link(href);
                self.children(at, depth);
            }
        }
    }

    /// One citation of several entries.
    pub(super) fn cite(&mut self, at: usize, depth: usize) {
        let tree = self.tree;
        let links = tree.below(at).filter(|inner| tree.name(*inner) == "a");
        let keys: Vec<String> = links
            .filter_map(|link| tree.attribute(link, "href")?.split_once('#'))
            .map(|(_, key)| key.to_string())
            .filter(|key| !key.is_empty())
            .collect();
        let text = self.inline(at, depth);
        match keys.is_empty() {
            true => self.text.append(&text),
            false => self.text.cite(text.as_str().trim_end(), keys),
        }
    }

    /// An entry of the reference list.
    pub(super) fn entry(&mut self, at: usize, depth: usize) {
        self.paragraph();
        let tree = self.tree;
        let tag = tree.below(at).find(|inner| tree.has_class(*inner, "ltx_tag_bibitem"));
        let label = tag.map(|tag| self.inline(tag, depth).finish().0);
        let label = label.map(|label| label.trim_matches(['[', ']', '.', ' ']).to_string());
        // Names and years are what the text cites by; the entry itself is printed without them.
        let names = label.as_ref().is_some_and(|label| label.contains(' '));
        self.unprinted = tag.filter(|_| names);
        let mut text = self.inline(at, depth);
        self.unprinted = None;
        let number = self.next_number().filter(|_| !text.as_str().starts_with(|c: char| !c.is_alphabetic()));
        if let Some(number) = &number {
            let words = std::mem::replace(&mut text, Inline::of(&format!("{number}. ")));
            text.append(&words);
        }
        let label = label.filter(|label| !label.is_empty() && !names).or(number);
        let key = tree.attribute(at, "id");
        let inner = tree.below(at).find_map(|inner| tree.attribute(inner, "id"));
        self.draft.reference(key.or(inner), Reference { label, ..Reference::default() }, text);
    }
}
