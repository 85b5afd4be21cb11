//! A formula's lines → one text: `softmax((QK^T)/(√d_k))V`. Scripts are marked as in TeX, fractions by their bar.

use super::super::fragments::Fragment;
use super::super::lines::Line;

/// Fragments with a gap narrower than this (in font sizes) are one numerator, denominator or limit.
const GAP: f32 = 0.8;
/// A script is smaller than this share of what it belongs to.
const SCRIPT: f32 = 0.86;

/// `lines`: of one formula, by baseline; `is_core`: whether the line of that index is a row of it, and no part of one.
pub fn text(lines: &[Line], is_core: impl Fn(usize) -> bool) -> String {
    let cores: Vec<usize> = (0..lines.len()).filter(|index| is_core(*index)).collect();
    let mut rows: Vec<Row> = cores.iter().map(|index| Row::new(&lines[*index])).collect();
    for (index, line) in lines.iter().enumerate().filter(|(index, _)| !cores.contains(index)) {
        let distance = |row: &Row| (row.baseline - line.baseline).abs();
        let nearest = rows.iter_mut().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        match nearest {
            Some(row) => row.attach(line),
            None => rows.push(Row::new(&lines[index])),
        }
    }
    rows.iter_mut().for_each(Row::set_roots);
    rows.iter().map(Row::text).collect::<Vec<_>>().join("\n")
}

/// A row of a formula with what stands above and below it.
struct Row {
    baseline: f32,
    items: Vec<Item>,
    above: Vec<Item>,
    below: Vec<Item>,
}

/// A stretch of a row.
struct Item {
    text: String,
    left: f32,
    right: f32,
}

impl Row {
    fn new(line: &Line) -> Row {
        let items = pieces(&line.fragments, 0.25, line);
        Row { baseline: line.baseline, items, above: Vec::new(), below: Vec::new() }
    }

    fn attach(&mut self, line: &Line) {
        let pieces = pieces(&line.fragments, GAP, line);
        // Large operators hang from a baseline of their own.
        let (large, pieces): (Vec<Item>, Vec<Item>) =
            pieces.into_iter().partition(|item| item.text.starts_with(is_large));
        self.items.extend(large);
        if line.baseline < self.baseline { self.above.extend(pieces) } else { self.below.extend(pieces) }
    }

    /// A root's sign stands before the denominator that it is drawn over.
    fn set_roots(&mut self) {
        for below in &mut self.below {
            let over = |root: &Item| {
                root.text == "√" && root.left <= below.left && below.left - root.right < below.right - below.left
            };
            if let Some(index) = self.items.iter().position(over) {
                below.left = self.items.remove(index).left;
                below.text.insert(0, '√');
            }
        }
    }

    fn text(&self) -> String {
        let mut below: Vec<&Item> = self.below.iter().collect();
        let mut parts: Vec<(f32, String)> = self.items.iter().map(|item| (item.left, item.text.clone())).collect();
        for above in &self.above {
            let partner = below.iter().position(|below| overlap(above, below) > 0.5);
            let over = self.items.iter().any(|item| overlap(item, above) > 0.5);
            match partner.filter(|_| !over) {
                Some(index) => {
                    let denominator = below.remove(index);
                    let left = above.left.min(denominator.left);
                    parts.push((left, format!("({})/({})", above.text, denominator.text)));
                }
                None => parts.push(self.script('^', above)),
            }
        }
        parts.extend(below.into_iter().map(|below| self.script('_', below)));
        parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ").replace(" _", "_").replace(" ^", "^")
    }

    /// A limit above or below an operator, right behind it; of nothing, where it stands.
    fn script(&self, mark: char, item: &Item) -> (f32, String) {
        let of = self.items.iter().find(|other| overlap(other, item) > 0.3);
        match of {
            Some(of) => (of.left + 0.01, format!("{mark}{{{}}}", item.text)),
            None => (item.left, item.text.clone()),
        }
    }
}

fn is_large(c: char) -> bool {
    matches!(c, '∑' | '∏' | '∫' | '⋃' | '⋂' | '√')
}

/// The part of the narrower one that lies within the other.
fn overlap(a: &Item, b: &Item) -> f32 {
    (a.right.min(b.right) - a.left.max(b.left)) / (a.right - a.left).min(b.right - b.left).max(0.1)
}

/// Fragments joined up to gaps of `gap` font sizes, their scripts marked.
fn pieces(fragments: &[Fragment], gap: f32, line: &Line) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut script = None;
    let mut base: Option<&Fragment> = None;
    for fragment in fragments {
        let mark = base.and_then(|base| script_of(fragment, base));
        let joined = items.last_mut().filter(|item| mark.is_some() || fragment.left - item.right < gap * line.size);
        match joined {
            Some(item) => {
                close(item, &mut script, mark);
                if fragment.space_before && mark.is_none() {
                    item.text.push(' ');
                }
                if let Some(mark) = mark.filter(|_| script.is_none()) {
                    item.text.push(mark);
                    item.text.push('{');
                    script = Some(mark);
                }
                item.text.push_str(&fragment.text);
                item.right = item.right.max(fragment.right);
            }
            None => {
                if let Some(item) = items.last_mut() {
                    close(item, &mut script, None);
                }
                items.push(Item { text: fragment.text.clone(), left: fragment.left, right: fragment.right });
            }
        }
        if mark.is_none() {
            base = Some(fragment);
        }
    }
    if let Some(item) = items.last_mut() {
        close(item, &mut script, None);
    }
    items.iter_mut().for_each(|item| item.text = without_needless_braces(&item.text));
    items
}

/// Ends the open script, unless what comes is part of it.
fn close(item: &mut Item, script: &mut Option<char>, mark: Option<char>) {
    if script.is_some() && *script != mark {
        item.text.push('}');
        *script = None;
    }
}

fn script_of(fragment: &Fragment, base: &Fragment) -> Option<char> {
    let near = fragment.left - base.right < 3.0 * base.size;
    let shift = fragment.baseline - base.baseline;
    let small = fragment.size < SCRIPT * base.size && near;
    (small && shift.abs() > 0.08 * base.size).then_some(if shift > 0.0 { '_' } else { '^' })
}

/// `x_{i}` is `x_i`.
fn without_needless_braces(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    while index < chars.len() {
        match chars[index..] {
            [mark @ ('_' | '^'), '{', only, '}', ..] => {
                out.extend([mark, only]);
                index += 4;
            }
            [c, ..] => {
                out.push(c);
                index += 1;
            }
            [] => break,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::faces::Face;
    use super::super::tests::line;
    use super::*;

    fn shifted(mut line: Line, by: f32) -> Line {
        line.baseline += by;
        line.fragments.iter_mut().for_each(|fragment| fragment.baseline += by);
        line
    }

    #[test]
    fn a_fraction_stands_where_its_bar_is() {
        let main = line(1, &[("y", 100.0), ("=", 110.0), ("+", 140.0), ("z", 150.0)], Face::Math);
        let over = shifted(line(1, &[("ab", 122.0)], Face::Math), -7.0);
        let under = shifted(line(1, &[("c", 124.0)], Face::Math), 7.0);
        assert_eq!(text(&[over, main, under], |index| index == 1), "y = (ab)/(c) + z");
    }

    #[test]
    fn limits_stand_behind_their_operator_and_scripts_are_marked() {
        let mut main = line(1, &[("∑", 100.0), ("x", 110.0), ("ij", 115.0), ("2", 125.0)], Face::Math);
        for (index, shift) in [(2, 1.5), (3, -4.0)] {
            let script = &mut main.fragments[index];
            (script.size, script.space_before) = (7.0, false);
            script.baseline += shift;
        }
        let below = shifted(line(1, &[("i", 100.0)], Face::Math), 8.0);
        assert_eq!(text(&[main, below], |index| index == 0), "∑_{i} x_{ij}^2");
    }
}
