//! Title and authors of a page.

use super::Reader;

impl Reader<'_> {
    /// Title and authors as publishers name them for search engines.
    pub(super) fn metadata(&mut self) {
        let tree = self.tree;
        for at in tree.below(0).filter(|at| tree.name(*at) == "meta") {
            let name = tree.attribute(at, "name").unwrap_or_default().to_lowercase();
            let Some(content) = tree.attribute(at, "content") else { continue };
            match name.as_str() {
                "citation_title" | "dc.title" => self.draft.set_title(content),
                "citation_author" | "dc.creator" => {
                    let name = content.split_once(',').map(|(family, given)| format!("{} {family}", given.trim()));
                    self.draft.add_author(&name.unwrap_or_else(|| content.to_string()));
                }
                _ => {}
            }
        }
    }

    pub(super) fn authors(&mut self, at: usize, depth: usize) {
        let tree = self.tree;
        for person in tree.below(at).filter(|inner| tree.has_class(*inner, "ltx_personname")) {
            // Authors who were set as one block are told apart by their commas.
            let text = self.inline(person, depth);
            let names = text.as_str().replace(" and ", ",");
            for name in names.split([',', ';']) {
                let name = name.trim().trim_matches(|c: char| c.is_ascii_digit() || matches!(c, '*' | '†' | '$' | ' '));
                if (2..=6).contains(&name.split_whitespace().count()) && !name.contains(['@', '$']) && name.len() < 60 {
                    self.draft.add_author(name);
                }
            }
        }
        self.paragraph();
        let text = self.inline(at, depth);
        self.draft.authors(text);
        self.paragraph();
    }
}
