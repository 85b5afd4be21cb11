//! HTML → a tree, as browsers build it (html5ever), in one list of nodes.

use html5ever::interface::{ElemName, ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{Attribute, LocalName, Namespace, ParseOpts, QualName, parse_document};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};

/// Elements inside each other are read no deeper than this; nothing that a person made comes near.
const DEEPEST: usize = 1_000;
/// Bytes that are given to the parser at a time.
const PIECE: usize = 1 << 14;

#[derive(Debug)]
pub enum Content {
    Element {
        name: QualName,
        attributes: Vec<(String, String)>,
    },
    Text(String),
    /// The document, a comment.
    Other,
}

#[derive(Debug)]
pub struct Node {
    pub content: Content,
    pub children: Vec<usize>,
    parent: Option<usize>,
    depth: usize,
}

/// Nodes; the first is the document.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// The rest of the text was left out: it is nested beyond all measure.
    pub cut: bool,
}

impl Tree {
    pub fn parse(text: &str) -> Tree {
        let sink = Sink { nodes: RefCell::new(vec![Node::new(Content::Other)]), deepest: Cell::new(0) };
        let mut parser = parse_document(sink, ParseOpts::default());
        let (mut rest, mut cut) = (text, false);
        while !rest.is_empty() && !cut {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE.min(rest.len())));
            parser.process(StrTendril::from(piece));
            rest = after;
            cut = parser.tokenizer.sink.sink.deepest.get() > DEEPEST && !rest.is_empty();
        }
        Tree { nodes: parser.finish(), cut }
    }

    pub fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// The name of an element; empty for anything else.
    pub fn name(&self, at: usize) -> &str {
        match &self.node(at).content {
            Content::Element { name, .. } => &name.local,
            _ => "",
        }
    }

    pub fn attribute(&self, at: usize, wanted: &str) -> Option<&str> {
        match &self.node(at).content {
            Content::Element { attributes, .. } => {
                attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
            }
            _ => None,
        }
    }

    pub fn has_class(&self, at: usize, class: &str) -> bool {
        self.attribute(at, "class").is_some_and(|classes| classes.split_ascii_whitespace().any(|each| each == class))
    }

    /// All nodes below `at`, itself first, in the order of the text.
    pub fn below(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let mut open = vec![at];
        std::iter::from_fn(move || {
            let next = open.pop()?;
            open.extend(self.node(next).children.iter().rev());
            Some(next)
        })
    }

    /// All text below `at`, as it stands there.
    pub fn text(&self, at: usize) -> String {
        self.below(at)
            .filter_map(|node| match &self.node(node).content {
                Content::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub fn first(&self, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        self.below(0).find(|node| wanted(*node))
    }
}

impl Node {
    fn new(content: Content) -> Node {
        Node { content, children: Vec::new(), parent: None, depth: 0 }
    }
}

/// Takes what the parser makes.
struct Sink {
    nodes: RefCell<Vec<Node>>,
    deepest: Cell<usize>,
}

#[derive(Debug)]
struct Name(QualName);

impl ElemName for Name {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl Sink {
    fn add(&self, content: Content) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node::new(content));
        nodes.len() - 1
    }

    fn detach(&self, child: usize) {
        let mut nodes = self.nodes.borrow_mut();
        if let Some(parent) = nodes[child].parent.take()
            && let Some(at) = nodes[parent].children.iter().rposition(|each| *each == child)
        {
            nodes[parent].children.remove(at);
        }
    }

    /// Puts `child` below `parent`, at `at` of its children.
    fn insert(&self, parent: usize, at: usize, child: NodeOrText<usize>) {
        let child = match child {
            NodeOrText::AppendNode(child) => child,
            NodeOrText::AppendText(text) => {
                let mut nodes = self.nodes.borrow_mut();
                let before = at.checked_sub(1).and_then(|before| nodes[parent].children.get(before)).copied();
                if let Some(Node { content: Content::Text(known), .. }) = before.map(|before| &mut nodes[before]) {
                    known.push_str(&text);
                    return;
                }
                drop(nodes);
                self.add(Content::Text(text.to_string()))
            }
        };
        self.detach(child);
        let mut nodes = self.nodes.borrow_mut();
        let at = at.min(nodes[parent].children.len());
        nodes[parent].children.insert(at, child);
        nodes[child].parent = Some(parent);
        nodes[child].depth = nodes[parent].depth + 1;
        self.deepest.set(self.deepest.get().max(nodes[child].depth));
    }
}

impl TreeSink for Sink {
    type Handle = usize;
    type Output = Vec<Node>;
    type ElemName<'a> = Name;

    fn finish(self) -> Vec<Node> {
        self.nodes.into_inner()
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> usize {
        0
    }

    fn elem_name<'a>(&'a self, target: &'a usize) -> Name {
        match &self.nodes.borrow()[*target].content {
            Content::Element { name, .. } => Name(name.clone()),
            _ => Name(QualName::new(None, Namespace::default(), LocalName::default())),
        }
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> usize {
        let attributes =
            attributes.into_iter().map(|each| (each.name.local.to_string(), each.value.to_string())).collect();
        self.add(Content::Element { name, attributes })
    }

    fn create_comment(&self, _: StrTendril) -> usize {
        self.add(Content::Other)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        self.add(Content::Other)
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        let at = self.nodes.borrow()[*parent].children.len();
        self.insert(*parent, at, child);
    }

    fn append_based_on_parent_node(&self, element: &usize, before: &usize, child: NodeOrText<usize>) {
        let has_parent = self.nodes.borrow()[*element].parent.is_some();
        match has_parent {
            true => self.append_before_sibling(element, child),
            false => self.append(before, child),
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    /// Templates are not shown: what is in them may hang anywhere outside of the document.
    fn get_template_contents(&self, target: &usize) -> usize {
        *target
    }

    fn same_node(&self, one: &usize, other: &usize) -> bool {
        one == other
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &usize, child: NodeOrText<usize>) {
        if let NodeOrText::AppendNode(child) = &child {
            self.detach(*child);
        }
        let place = {
            let nodes = self.nodes.borrow();
            let parent = nodes[*sibling].parent;
            parent.and_then(|parent| Some((parent, nodes[parent].children.iter().rposition(|each| each == sibling)?)))
        };
        if let Some((parent, at)) = place {
            self.insert(parent, at, child);
        }
    }

    fn add_attrs_if_missing(&self, target: &usize, more: Vec<Attribute>) {
        if let Content::Element { attributes, .. } = &mut self.nodes.borrow_mut()[*target].content {
            for each in more {
                let name = each.name.local.to_string();
                if !attributes.iter().any(|(known, _)| *known == name) {
                    attributes.push((name, each.value.to_string()));
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &usize) {
        self.detach(*target);
    }

    fn reparent_children(&self, node: &usize, new_parent: &usize) {
        let children = std::mem::take(&mut self.nodes.borrow_mut()[*node].children);
        for child in children {
            self.nodes.borrow_mut()[child].parent = None;
            self.append(new_parent, NodeOrText::AppendNode(child));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_as_browsers_build_them() {
        let tree = Tree::parse("<title>T</title><p class='a b'>x<b>y</b>z<p>w<table>out<tr><td>in</table>");
        assert_eq!(tree.text(0), "Txyzwoutin");
        let p = tree.first(|at| tree.name(at) == "p").expect("a paragraph");
        assert_eq!((tree.text(p), tree.has_class(p, "b"), tree.attribute(p, "id")), ("xyz".to_string(), true, None));
    }

    #[test]
    fn hostile_nesting_ends() {
        let tree = Tree::parse(&"<div>".repeat(10_000));
        assert!(tree.cut);
        assert!(!Tree::parse(&"<p><b>x".repeat(300)).cut);
        Tree::parse(&"<table><a>x".repeat(500));
    }
}
