//! Tables of a page: rows and cells, spans filled with empty ones.

use super::Reader;
use super::tree::Tree;
use crate::document::BlockKind;

/// A row has no more cells than this.
const MOST_COLUMNS: usize = 500;
/// A cell reaches over no more rows than this.
const MOST_ROWS: usize = 1_000;

impl Reader<'_> {
    pub(super) fn table(&mut self, at: usize, depth: usize) {
        let tree = self.tree;
        let inner = inner_tables(tree, at);
        let layout = tree.attribute(at, "role") == Some("presentation")
            || (!inner.is_empty() && !tree.has_class(at, "ltx_tabular"));
        if layout || self.in_line() {
            self.paragraph();
            self.children(at, depth);
            return self.paragraph();
        }
        self.paragraph();
        let captions: Vec<usize> = tree.below(at).filter(|node| tree.name(*node) == "caption").collect();
        for caption in captions {
            let text = self.inline(caption, depth);
            self.draft.push(BlockKind::Caption, text);
        }
        let rows = self.rows(at, depth);
        self.draft.table(rows);
        // Notes inside of it.
        self.paragraph();
    }

    fn rows(&mut self, at: usize, depth: usize) -> Vec<Vec<String>> {
        let tree = self.tree;
        let mut rows: Vec<Vec<String>> = Vec::new();
        // For each column, how many rows more a cell from above reaches.
        let mut reached: Vec<usize> = Vec::new();
        for row in parts(tree, at, &["tr"], "ltx_tr") {
            let mut cells: Vec<String> = Vec::new();
            let from_above = |cells: &mut Vec<String>, reached: &mut Vec<usize>| {
                while let Some(left) = reached.get_mut(cells.len()).filter(|left| **left > 0) {
                    *left -= 1;
                    cells.push(String::new());
                }
            };
            for cell in parts(tree, row, &["td", "th"], "ltx_td") {
                from_above(&mut cells, &mut reached);
                if cells.len() >= MOST_COLUMNS {
                    break;
                }
                let span =
                    |name: &str| tree.attribute(cell, name).and_then(|span| span.trim().parse().ok()).unwrap_or(1);
                let (columns, more) = (span("colspan").clamp(1, MOST_COLUMNS), span("rowspan").clamp(1, MOST_ROWS) - 1);
                let text = self.inline(cell, depth).finish().0;
                let start = cells.len();
                cells.push(text);
                cells.resize((start + columns).min(MOST_COLUMNS), String::new());
                if more > 0 {
                    reached.resize(reached.len().max(cells.len()), 0);
                    reached[start..cells.len()].fill(more);
                }
            }
            from_above(&mut cells, &mut reached);
            if cells.iter().any(|cell| !cell.is_empty()) {
                rows.push(cells);
            }
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        rows.iter_mut().for_each(|row| row.resize(width, String::new()));
        rows
    }
}

/// Elements below `at` by name or class, but not those inside of each other or of another table.
fn parts(tree: &Tree, at: usize, names: &[&str], class: &str) -> Vec<usize> {
    let mut parts = Vec::new();
    let mut open: Vec<usize> = tree.node(at).children.iter().rev().copied().collect();
    while let Some(node) = open.pop() {
        if names.contains(&tree.name(node)) || tree.has_class(node, class) {
            parts.push(node);
        } else if tree.name(node) != "table" {
            open.extend(tree.node(node).children.iter().rev());
        }
    }
    parts
}

fn inner_tables(tree: &Tree, at: usize) -> Vec<usize> {
    tree.below(at).skip(1).filter(|node| tree.name(*node) == "table").collect()
}
