//! The words of a line with their places: what columns of a table and parts of a formula are told by.

use super::faces::Face;
use super::letters::normalise;

/// A word, or the part of one that stands on one baseline in one size: of `xᵢ₂`, the `x` and the `i2`. Code within a
/// Japanese sentence is a part of its own too.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fragment {
    pub text: String,
    pub left: f32,
    pub right: f32,
    pub baseline: f32,
    pub size: f32,
    /// Of its first character.
    pub face: Face,
    pub bold: bool,
    pub space_before: bool,
}

/// Collects the characters of a run.
#[derive(Debug, Default)]
pub struct Fragments(Vec<Fragment>);

impl Fragments {
    pub fn add(
        &mut self,
        ch: char,
        (face, bold): (Face, bool),
        [left, right]: [f32; 2],
        baseline: f32,
        size: f32,
        spaced: bool,
    ) {
        match self.0.last_mut() {
            Some(last)
                if !spaced
                    && (last.size - size).abs() < 0.1 * size
                    && (last.baseline - baseline).abs() < 0.1 * size =>
            {
                last.text.push(ch);
                last.left = last.left.min(left);
                last.right = last.right.max(right);
            }
            _ => self.0.push(Fragment {
                text: ch.to_string(),
                left,
                right,
                baseline,
                size,
                face,
                bold,
                space_before: spaced && !self.0.is_empty(),
            }),
        }
    }

    pub fn finish(mut self) -> Vec<Fragment> {
        for fragment in &mut self.0 {
            fragment.text = normalise(&fragment.text);
        }
        self.0.retain(|fragment| !fragment.text.is_empty());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_at_spaces_and_where_a_script_begins() {
        let mut fragments = Fragments::default();
        for (ch, x, baseline, size, spaced) in [
            ('o', 0.0, 100.0, 10.0, false),
            ('f', 5.0, 100.0, 10.0, false),
            ('d', 13.0, 100.0, 10.0, true),
            ('k', 18.0, 101.5, 7.0, false),
        ] {
            fragments.add(ch, (Face::Plain, false), [x, x + 5.0], baseline, size, spaced);
        }
        let fragments = fragments.finish();
        let parts: Vec<_> = fragments.iter().map(|part| (part.text.as_str(), part.left, part.space_before)).collect();
        assert_eq!(parts, [("of", 0.0, false), ("d", 13.0, true), ("k", 18.0, false)]);
    }
}
