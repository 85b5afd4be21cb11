//! Buffers that begin at a cache line, so that no vector that is loaded or stored lies across two.

use std::{
    cell::RefCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes that are kept for long, and so come from no thread's buffers.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    lines: Vec<Line>,
    len: usize,
}

impl Kept {
    pub(crate) fn new(bytes: &[i8]) -> Kept {
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64)];
        for (line, bytes) in lines.iter_mut().zip(bytes.chunks(64)) {
            line.0.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte as u8);
        }
        Kept { lines, len: bytes.len() }
    }
}

impl Deref for Kept {
    type Target = [i8];

    fn deref(&self) -> &[i8] {
        // SAFETY: the lines hold so many bytes.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

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
unsafe impl Element for u16 {}
// SAFETY: as above.
unsafe impl Element for u32 {}
// SAFETY: as above.
unsafe impl Element for i32 {}
// SAFETY: as above.
unsafe impl Element for f32 {}

/// A buffer. Its memory comes from the last ones that this thread gave up, and goes back to them: what is needed for each
/// kernel anew is not fetched from the system each time.
#[derive(Debug, Default)]
pub(crate) struct Lines<T: Element> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

/// Buffers that a thread keeps at most.
const KEPT: usize = 16;

thread_local! {
    static GIVEN_UP: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

impl<T: Element> Lines<T> {
    /// Elements with any values.
    pub(crate) fn any(len: usize) -> Lines<T> {
        let needed = (len * size_of::<T>()).div_ceil(64);
        let kept = GIVEN_UP.with_borrow_mut(|kept| {
            // The smallest that is large enough.
            let fitting = kept.iter().enumerate().filter(|(_, lines)| lines.len() >= needed);
            fitting.min_by_key(|(_, lines)| lines.len()).map(|(index, _)| index).map(|index| kept.swap_remove(index))
        });
        let lines = kept.unwrap_or_else(|| vec![Line([0; 64]); needed]);
        Lines { lines, len, element: PhantomData }
    }

    pub(crate) fn zeros(len: usize) -> Lines<T> {
        let mut lines = Lines::any(len);
        let used = (len * size_of::<T>()).div_ceil(64);
        lines.lines[..used].fill(Line([0; 64]));
        lines
    }

    pub(crate) fn filled(value: T, len: usize) -> Lines<T> {
        let mut lines = Lines::any(len);
        lines.fill(value);
        lines
    }
}

impl<T: Element> Drop for Lines<T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // A thread that ends keeps nothing.
        let _ = GIVEN_UP.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() == KEPT {
                let smallest = (0..KEPT).min_by_key(|&index| kept[index].len()).unwrap_or(0);
                kept.swap_remove(smallest);
            }
            kept.push(lines);
        });
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
            assert_eq!(buffer.iter().sum::<f32>(), 2.0 * len as f32);
        }
    }

    #[test]
    fn what_was_given_up_is_used_again_and_zeros_are_zeros() {
        let first = Lines::<u8>::filled(7, 1000);
        let (address, capacity) = (first.as_ptr().addr(), first.lines.len());
        drop(first);
        let again = Lines::<f32>::zeros(200);
        assert_eq!((again.as_ptr().addr(), again.lines.len()), (address, capacity));
        assert!(again.iter().all(|x| *x == 0.0));
        let other = Lines::<i32>::any(250);
        assert_ne!(other.as_ptr().addr(), address, "one buffer has one holder");
    }
}
