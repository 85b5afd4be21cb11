//! Where a convolution keeps what it remembers of a sequence: numbers of slots, each of which has room for the inputs of the
//! few tokens before a place in the text.
//!
//! What came last is in one of two slots in turns, so that no launch writes what it reads. The slots behind hold marks: the
//! same after each so many tokens, where the sequence can be cut.

use super::arguments::Remembered;

/// The first slot of marks.
pub const MARKS: usize = 2;

#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// Tokens from a mark to the next.
    pub stride: usize,
    /// Tokens of the sequence.
    len: usize,
    /// What came last; none where a text starts.
    last: Option<usize>,
}

impl Slots {
    pub fn new(stride: usize) -> Slots {
        Slots { stride, len: 0, last: None }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot of what came last.
    pub fn last(&self) -> Option<usize> {
        self.last
    }

    /// Slots for `len` tokens.
    pub fn count(stride: usize, len: usize) -> usize {
        MARKS + len / stride
    }

    /// What a kernel is told of `tokens` new tokens. `slot` gives a slot's address; `before` is where a prefix keeps what
    /// came last, which a sequence starts from.
    pub fn remembered(
        &self,
        slot: impl Fn(usize) -> u64,
        before: Option<u64>,
        (first_token, tokens): (usize, usize),
    ) -> Remembered {
        Remembered {
            past: self.last.map(&slot).or(before).unwrap_or(0),
            last: slot(self.next()),
            marks: slot(MARKS),
            first_token: first_token as i32,
            tokens: tokens as i32,
            held: self.len as i32,
            unused: 0,
        }
    }

    /// Takes in the new tokens that a kernel was told of.
    pub fn advance(&mut self, tokens: usize) {
        if tokens > 0 {
            self.last = Some(self.next());
            self.len += tokens;
        }
    }

    /// Keeps the first `len` tokens, or fewer: those up to a mark. Returns how many are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            let marks = len / self.stride;
            self.len = marks * self.stride;
            self.last = marks.checked_sub(1).map(|mark| MARKS + mark);
        }
        self.len
    }

    /// Where what comes last goes next.
    fn next(&self) -> usize {
        usize::from(self.last == Some(0))
    }
}
