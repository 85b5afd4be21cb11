//! What is remembered of a sequence that can be cut at some places only.

/// Something after a sequence's last token, and the same after each so many tokens, where the sequence can be cut.
pub struct Marks<T> {
    stride: usize,
    /// Tokens of the sequence.
    len: usize,
    /// Nothing where the sequence starts.
    last: Option<T>,
    marks: Vec<T>,
}

impl<T: Clone> Marks<T> {
    /// Of a sequence that can be cut after each `stride` tokens.
    pub fn new(stride: usize) -> Marks<T> {
        Marks { stride, len: 0, last: None, marks: Vec::new() }
    }

    /// All that is remembered, what comes last at the end.
    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.marks.iter().chain(&self.last)
    }

    /// Tokens of the sequence.
    #[cfg(test)]
    pub fn tokens(&self) -> usize {
        self.len
    }

    pub fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    /// Takes in new tokens; `after` gives what there is to remember after so many of them.
    pub fn advance<E>(&mut self, tokens: usize, after: impl Fn(usize) -> Result<T, E>) -> Result<(), E> {
        let first = (self.len / self.stride + 1) * self.stride;
        for mark in (first..=self.len + tokens).step_by(self.stride) {
            self.marks.push(after(mark - self.len)?);
        }
        self.last = Some(after(tokens)?);
        self.len += tokens;
        Ok(())
    }

    /// Keeps the first `len` tokens, or fewer: those up to a mark. Returns how many are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            self.marks.truncate(len / self.stride);
            self.len = self.marks.len() * self.stride;
            self.last = self.marks.last().cloned();
        }
        self.len
    }
}
