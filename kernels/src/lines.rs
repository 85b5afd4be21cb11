//! Buffers that begin at a cache line, so that no vector that is loaded or stored lies across two.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// What buffers are made of.
///
/// # Safety
/// All bytes zero is a value, and no alignment is above a cache line's.
pub(crate) unsafe trait Element: Copy {}
// SAFETY: zero is zero.
unsafe impl Element for u8 {}
// SAFETY: as above.
unsafe impl Element for i8 {}
// SAFETY: as above.
unsafe impl Element for i32 {}
// SAFETY: as above.
unsafe impl Element for f32 {}

#[derive(Debug, Clone, Default)]
pub(crate) struct Lines<T> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Lines<T> {
    pub(crate) fn zeros(len: usize) -> Lines<T> {
        let lines = vec![Line([0; 64]); (len * size_of::<T>()).div_ceil(64)];
        Lines { lines, len, element: PhantomData }
    }

    pub(crate) fn filled(value: T, len: usize) -> Lines<T> {
        let mut lines = Lines::zeros(len);
        lines.fill(value);
        lines
    }
}

impl<T: Element> Deref for Lines<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold `len` elements, aligned, which were zero or have been written as such.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_a_line_and_are_as_long_as_asked() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut buffer = Lines::<f32>::filled(1.5, len);
            assert!(buffer.iter().all(|x| *x == 1.5) && buffer.len() == len);
            assert!(buffer.as_ptr().addr().is_multiple_of(64));
            buffer.fill(2.0);
            assert_eq!(buffer.clone().iter().sum::<f32>(), 2.0 * len as f32);
        }
    }
}
