//! HTML → blocks: what browsers show of an article, with what LaTeXML (ar5iv, arXiv's HTML) says of its parts.

mod front;
mod maths;
mod references;
mod tables;
mod tree;

use super::draft::Draft;
use super::encoding;
use super::inline::Inline;
use crate::document::{BlockKind, Document, Part, Source, pattern};
use encoding_rs::Encoding;
use regex::Regex;
use std::sync::LazyLock;
use tree::{Content, Tree};

/// Elements are followed no deeper than this; the text below stays in the line.
const DEEPEST: usize = 120;

/// The text of a page: in the encoding that it names, unless it is UTF-8 all the same.
pub fn decode(bytes: &[u8]) -> String {
    static CHARSET: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"(?i)<meta[^>\u{fffd}]{1,200}charset\s*=\s*["']?([\w-]{2,30})"#));
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let named = CHARSET.captures(&start).and_then(|parts| Encoding::for_label(parts[1].as_bytes()));
    match named {
        Some(named) if std::str::from_utf8(bytes).is_err() => named.decode(bytes).0.into_owned(),
        _ => encoding::decode(bytes).0,
    }
}

pub fn read(text: &str) -> Document {
    let tree = Tree::parse(text);
    let mut reader = Reader::new(&tree, Draft::new(Source::Html));
    reader.metadata();
    let root = reader.root();
    reader.titled = tree.below(root).filter(|at| tree.name(*at) == "h1").count() == 1;
    reader.element(root, 0);
    reader.paragraph();
    if tree.cut {
        reader.draft.warn("the page's elements are nested beyond all measure: the rest is left out".into());
    }
    reader.draft.finish()
}

/// A piece of HTML inside of another text.
pub fn read_into(draft: &mut Draft, text: &str) {
    let tree = Tree::parse(text);
    let own = std::mem::replace(draft, Draft::new(Source::Html));
    let mut reader = Reader::new(&tree, own);
    reader.element(0, 0);
    reader.paragraph();
    *draft = reader.draft;
}

struct Reader<'a> {
    tree: &'a Tree,
    draft: Draft,
    text: Inline,
    /// Notes that follow the paragraph.
    notes: Vec<Inline>,
    /// Marks of open lists: numbers, or none for bullets.
    lists: Vec<Option<u64>>,
    /// What the next paragraph of an item starts with.
    marker: Option<Inline>,
    /// How many elements are open whose blocks stay in the line: headings, cells, captions.
    inlines: usize,
    /// One heading of the first level is the title.
    titled: bool,
    /// An element that the entry being read is not printed with.
    unprinted: Option<usize>,
}

impl<'a> Reader<'a> {
    fn new(tree: &'a Tree, draft: Draft) -> Reader<'a> {
        Reader {
            tree,
            draft,
            text: Inline::default(),
            notes: Vec::new(),
            lists: Vec::new(),
            marker: None,
            inlines: 0,
            titled: false,
            unprinted: None,
        }
    }

    /// The article: the one element that says so, else the page.
    fn root(&self) -> usize {
        let tree = self.tree;
        let article = tree.first(|at| tree.has_class(at, "ltx_document"));
        let main = || tree.first(|at| tree.name(at) == "main");
        let only = || {
            let mut articles = tree.below(0).filter(|at| tree.name(*at) == "article");
            articles.next().filter(|_| articles.next().is_none())
        };
        article.or_else(main).or_else(only).or_else(|| tree.first(|at| tree.name(at) == "body")).unwrap_or(0)
    }

    fn children(&mut self, at: usize, depth: usize) {
        let tree = self.tree;
        if depth >= DEEPEST {
            return self.text.push_str(&tree.text(at));
        }
        for &child in &tree.node(at).children {
            match &tree.node(child).content {
                Content::Text(text) => self.text.push_str(text),
                Content::Element { .. } => self.element(child, depth + 1),
                Content::Other => {}
            }
        }
    }

    /// The text of an element on its own.
    fn inline(&mut self, at: usize, depth: usize) -> Inline {
        let outer = std::mem::take(&mut self.text);
        self.inlines += 1;
        self.children(at, depth);
        self.inlines -= 1;
        std::mem::replace(&mut self.text, outer)
    }

    fn in_line(&self) -> bool {
        self.inlines > 0
    }

    /// Ends the paragraph.
    fn paragraph(&mut self) {
        if self.in_line() {
            return self.text.push(' ');
        }
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            match self.marker.take() {
                Some(mut item) => {
                    item.push(' ');
                    item.append(&text);
                    self.draft.push(BlockKind::ListItem, item);
                }
                None => self.draft.paragraph(text),
            }
        }
        for note in std::mem::take(&mut self.notes) {
            self.draft.push(BlockKind::Footnote, note);
        }
    }

    fn element(&mut self, at: usize, depth: usize) {
        let tree = self.tree;
        let name = tree.name(at);
        if self.is_left_out(at) {
            return;
        }
        if self.latexml(at, depth) {
            return;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(at, depth),
            "math" => self.math(at),
            "table" => self.table(at, depth),
            "pre" => self.code(&tree.text(at)),
            "ul" | "ol" | "menu" => self.list(at, depth),
            "li" => self.item(at, depth),
            "figcaption" | "caption" => self.caption(at, depth),
            "cite" => self.cite(at, depth),
            "a" => self.anchor(at, depth),
            "br" | "wbr" => self.text.push_str(if name == "br" { " " } else { "" }),
            "q" => {
                self.text.push('“');
                self.children(at, depth);
                self.text.push('”');
            }
            "script" => self.tex_script(at),
            _ if is_block(name) => {
                self.paragraph();
                self.children(at, depth);
                self.paragraph();
            }
            _ => self.children(at, depth),
        }
    }

    /// What is no part of the text: scripts, forms, navigation, what is not shown.
    fn is_left_out(&mut self, at: usize) -> bool {
        let tree = self.tree;
        let name = tree.name(at);
        let silent =
            ["style", "noscript", "template", "head", "button", "form", "select", "iframe", "object", "svg", "canvas"];
        let classes = [
            "ltx_note_mark",
            "ltx_page_navbar",
            "ltx_page_header",
            "ltx_page_footer",
            "ltx_TOC",
            "ltx_ERROR",
            "ltx_tag_item",
        ];
        let mathjax = tree.attribute(at, "class").is_some_and(|class| class.starts_with("MathJax"));
        let hidden = tree.attribute(at, "hidden").is_some() || tree.attribute(at, "aria-hidden") == Some("true");
        let role = tree.attribute(at, "role").unwrap_or_default();
        let beside =
            ["nav", "footer", "aside"].contains(&name) || ["navigation", "search", "contentinfo"].contains(&role);
        if beside && !tree.text(at).trim().is_empty() && !self.in_line() {
            let what = if role.is_empty() { name } else { role };
            self.draft.drop(&format!("a part beside the text ({what})"));
        }
        let script = name == "script" && !tree.attribute(at, "type").is_some_and(|kind| kind.starts_with("math/tex"));
        beside
            || self.unprinted == Some(at)
            || script
            || mathjax
            || (hidden && name != "math")
            || silent.contains(&name)
            || classes.iter().any(|class| tree.has_class(at, class))
    }

    /// What LaTeXML says by its classes.
    fn latexml(&mut self, at: usize, depth: usize) -> bool {
        let tree = self.tree;
        let has = |class: &str| tree.has_class(at, class);
        if has("ltx_title_document") {
            let title = self.inline(at, depth);
            self.paragraph();
            self.draft.title(title);
        } else if has("ltx_authors") {
            self.authors(at, depth);
        } else if has("ltx_note") && !has("ltx_note_frontmatter") {
            let content = tree.below(at).find(|inner| tree.has_class(*inner, "ltx_note_content")).unwrap_or(at);
            let note = self.inline(content, depth);
            self.notes.push(note);
        } else if has("ltx_tag_note") || has("ltx_listing_data") {
            // Marks of notes, and the listing once more, encoded.
        } else if has("ltx_equation") || has("ltx_equationgroup") || has("ltx_eqn_table") {
            self.equations(at);
        } else if has("ltx_listing") || has("ltx_verbatim") && is_block(tree.name(at)) {
            self.listing(at, depth);
        } else if has("ltx_bibitem") {
            self.entry(at, depth);
        } else if has("ltx_tabular") {
            self.table(at, depth);
        } else if has("ltx_appendix") {
            self.paragraph();
            self.draft.set_part(Part::Appendix);
            self.children(at, depth);
            self.paragraph();
        } else {
            return false;
        }
        true
    }

    fn heading(&mut self, at: usize, depth: usize) {
        let name = self.tree.name(at);
        let words = self.inline(at, depth);
        if self.in_line() {
            return self.text.append(&words);
        }
        self.paragraph();
        let printed: u8 = name[1..].parse().unwrap_or(1);
        let level = ["ltx_title_section", "ltx_title_subsection", "ltx_title_subsubsection", "ltx_title_paragraph"]
            .iter()
            .zip(1..)
            .find(|(class, _)| self.tree.has_class(at, class))
            .map(|(_, level)| level);
        let top = ["ltx_title_abstract", "ltx_title_bibliography", "ltx_title_appendix", "ltx_title_acknowledgements"];
        match level {
            Some(level) => self.draft.heading(level, None, words),
            None if top.iter().any(|class| self.tree.has_class(at, class)) => self.draft.heading(1, None, words),
            None if printed == 1 && self.titled => self.draft.title(words),
            None => self.draft.heading(printed.saturating_sub(u8::from(self.titled)), None, words),
        }
    }

    fn list(&mut self, at: usize, depth: usize) {
        self.paragraph();
        let start = self.tree.attribute(at, "start").and_then(|start| start.parse().ok()).unwrap_or(1);
        self.lists.push((self.tree.name(at) == "ol").then_some(start));
        self.children(at, depth);
        self.paragraph();
        self.lists.pop();
    }

    fn item(&mut self, at: usize, depth: usize) {
        if self.draft.part() == Part::References && !self.in_line() {
            return self.entry(at, depth);
        }
        self.paragraph();
        let tree = self.tree;
        let tag = tree.node(at).children.iter().find(|child| tree.has_class(**child, "ltx_tag"));
        let marker = match tag {
            Some(&tag) => Inline::of(&tree.text(tag)),
            None => self.next_number().map_or_else(|| Inline::of("•"), |number| Inline::of(&format!("{number}."))),
        };
        if self.in_line() {
            self.text.append(&marker);
            self.text.push(' ');
        } else {
            self.marker = Some(marker);
        }
        self.children(at, depth);
        self.paragraph();
        self.marker = None;
    }

    /// What the innermost list counts its next item as; bullets count nothing.
    fn next_number(&mut self) -> Option<String> {
        let number = self.lists.last_mut()?.as_mut()?;
        let printed = number.to_string();
        *number = number.saturating_add(1);
        Some(printed)
    }

    fn caption(&mut self, at: usize, depth: usize) {
        let text = self.inline(at, depth);
        match self.in_line() {
            true => self.text.append(&text),
            false => {
                self.paragraph();
                self.draft.push(BlockKind::Caption, text);
            }
        }
    }

    fn code(&mut self, lines: &str) {
        if self.in_line() {
            return self.text.push_str(lines);
        }
        self.paragraph();
        self.draft.push_lines(BlockKind::Code, lines);
    }

    /// Code or an algorithm, whose lines are elements.
    fn listing(&mut self, at: usize, depth: usize) {
        let tree = self.tree;
        let of_lines: Vec<usize> = tree.below(at).filter(|inner| tree.has_class(*inner, "ltx_listingline")).collect();
        if of_lines.is_empty() {
            return self.code(&tree.text(at));
        }
        let lines: Vec<String> = of_lines.into_iter().map(|line| self.inline(line, depth).finish().0).collect();
        self.code(&lines.join("\n"));
    }
}

fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 26] = [
        "p",
        "div",
        "section",
        "article",
        "main",
        "body",
        "html",
        "header",
        "figure",
        "blockquote",
        "address",
        "dl",
        "dt",
        "dd",
        "details",
        "summary",
        "fieldset",
        "hr",
        "center",
        "tr",
        "td",
        "th",
        "tbody",
        "thead",
        "tfoot",
        "hgroup",
    ];
    BLOCKS.contains(&name)
}

#[cfg(test)]
mod tests;
