//! Running text as it is put together: white space once, citations at their places.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A citation inside an [`Inline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// In bytes of the text.
    pub start: usize,
    pub text: String,
    pub keys: Vec<String>,
}

/// A line of text with the citations in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inline {
    text: String,
    marks: Vec<Mark>,
}

impl Inline {
    pub fn of(text: &str) -> Inline {
        let mut inline = Inline::default();
        inline.push_str(text);
        inline
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    pub fn push(&mut self, c: char) {
        match c {
            // Nothing to see: soft hyphens, zero width spaces and joiners of words, byte order marks.
            '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' => {}
            c if c.is_whitespace() => {
                if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                    self.text.push(' ');
                }
            }
            c if c.is_control() => {}
            c => self.text.push(c),
        }
    }

    pub fn push_str(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    /// Ends the line inside the block.
    pub fn newline(&mut self) {
        self.trim_end();
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// Drops the last character, if it is `c`.
    pub fn take(&mut self, c: char) -> bool {
        let taken = self.text.ends_with(c) && self.marks.last().is_none_or(|mark| mark.end() < self.text.len());
        if taken {
            self.text.pop();
        }
        taken
    }

    pub fn cite(&mut self, text: &str, keys: Vec<String>) {
        let start = self.text.len();
        self.push_str(text);
        // The space in front may be there already.
        let text = self.text[start..].to_string();
        self.marks.push(Mark { start, text, keys });
    }

    pub fn append(&mut self, other: &Inline) {
        let mut from = 0;
        for mark in &other.marks {
            self.push_str(&other.text[from..mark.start]);
            self.cite(&mark.text, mark.keys.clone());
            from = mark.end();
        }
        let (last, rest) = other.text[from..].split_once('\n').unwrap_or((&other.text[from..], ""));
        self.push_str(last);
        for line in rest.split('\n').filter(|line| !line.is_empty()) {
            self.newline();
            self.push_str(line);
        }
    }

    fn trim_end(&mut self) {
        self.text.truncate(self.text.trim_end().len());
    }

    /// The text without white space around it, composed (NFC), and its citations.
    pub fn finish(mut self) -> (String, Vec<Mark>) {
        self.trim_end();
        if !is_nfc(&self.text) {
            self.compose();
        }
        (self.text, self.marks)
    }

    /// Composes stretch by stretch, so that citations keep their places.
    fn compose(&mut self) {
        let mut text = String::with_capacity(self.text.len());
        let mut from = 0;
        for mark in &mut self.marks {
            text.extend(self.text[from..mark.start].nfc());
            from = mark.end();
            mark.start = text.len();
            mark.text = mark.text.nfc().collect();
            text.push_str(&mark.text);
        }
        text.extend(self.text[from..].nfc());
        self.text = text;
    }
}

impl Mark {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_stands_once() {
        let mut inline = Inline::of(" a \n\t b\u{200b}\u{a0}");
        inline.push_str(" c  ");
        assert_eq!(inline.finish().0, "a b c");
    }

    #[test]
    fn citations_keep_their_places() {
        let mut inner = Inline::of("so e\u{301} ");
        inner.cite("[1]", vec!["a".into()]);
        inner.push_str(" and");
        let mut inline = Inline::of("They say ");
        inline.append(&inner);
        let (text, marks) = inline.finish();
        assert_eq!(text, "They say so é [1] and");
        assert_eq!(&text[marks[0].start..][..3], "[1]");
    }

    #[test]
    fn only_a_character_of_the_text_is_taken_back() {
        let mut inline = Inline::of("a-");
        assert!(inline.take('-') && !inline.take('-'));
        inline.cite("b-", Vec::new());
        assert!(!inline.take('-'));
    }
}
