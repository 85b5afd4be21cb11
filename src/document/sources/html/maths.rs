//! Formulas of a page: the LaTeX that they were made from, where the page still has it.

use super::Reader;
use super::tree::Tree;
use crate::document::BlockKind;

impl Reader<'_> {
    pub(super) fn math(&mut self, at: usize) {
        let math = latex(self.tree, at);
        if self.tree.attribute(at, "display") == Some("block") && !self.in_line() {
            self.formula(&math);
        } else if !math.is_empty() {
            self.text.push_str(&format!("${math}$"));
        }
    }

    /// A script that MathJax makes a formula of.
    pub(super) fn tex_script(&mut self, at: usize) {
        let math = self.tree.text(at);
        match self.tree.attribute(at, "type").is_some_and(|kind| kind.contains("display")) && !self.in_line() {
            true => self.formula(math.trim()),
            false => self.text.push_str(&format!("${}$", math.trim())),
        }
    }

    fn formula(&mut self, math: &str) {
        self.paragraph();
        self.draft.push_lines(BlockKind::Formula, math);
    }

    /// Displayed formulas as LaTeXML sets them: a table with a row for each.
    pub(super) fn equations(&mut self, at: usize) {
        let tree = self.tree;
        let mut rows: Vec<String> = vec![String::new()];
        let mut inside_math = Vec::new();
        for node in tree.below(at) {
            if tree.name(node) == "tr" || tree.has_class(node, "ltx_eqn_row") {
                rows.push(String::new());
            }
            let Some(row) = rows.last_mut() else { continue };
            if tree.name(node) == "math" {
                inside_math.push(node);
                let math = latex(tree, node);
                let space = if row.is_empty() || math.is_empty() { "" } else { " " };
                row.push_str(&format!("{space}{math}"));
            } else if tree.has_class(node, "ltx_tag_equation") {
                let number = tree.text(node);
                row.push_str(&format!(" \\tag{{{}}}", number.trim().trim_matches(['(', ')'])));
            }
        }
        rows.retain(|row| !row.trim().is_empty());
        if rows.is_empty() {
            return self.text.push_str(&tree.text(at));
        }
        let math = rows.iter().map(|row| row.trim()).collect::<Vec<_>>().join(" \\\\ ");
        match self.in_line() {
            true => self.text.push_str(&format!(" $${math}$$ ")),
            false => self.formula(&math),
        }
    }
}

/// The LaTeX of a `math` element: its `alttext`, or the annotation in it; else its characters.
fn latex(tree: &Tree, at: usize) -> String {
    let annotation = || {
        let annotated = tree.below(at).find(|inner| {
            tree.name(*inner) == "annotation"
                && tree.attribute(*inner, "encoding").is_some_and(|encoding| encoding.contains("tex"))
        });
        annotated.map(|annotation| tree.text(annotation))
    };
    let math = tree.attribute(at, "alttext").map(str::to_string).or_else(annotation).unwrap_or_else(|| tree.text(at));
    let math = math.split_whitespace().collect::<Vec<_>>().join(" ");
    // Line ends that LaTeXML escapes, and the size that it says first.
    let math = math.replace("%\n", "").replace("% ", "");
    math.trim_start_matches("\\displaystyle").trim().to_string()
}
