//! Large buffers in large pages.
//!
//! A matrix of activations is written some columns at a time, and each of its rows lies on pages of its own: more pages than a
//! processor remembers the places of. On pages of 2 MiB it remembers all of them. Buffers that begin at such a page begin at a
//! cache line, too, so that no row of a tile lies across two.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr::null_mut,
};

/// Bytes of a large page.
const PAGE: usize = 2 << 20;
/// From this many bytes on a buffer gets pages of its own.
const FROM: usize = 2 * PAGE;

/// The system's allocator, but for large buffers: these begin at a large page, and Linux is asked to hold all of them that are
/// whole in such pages. It need not, where it has none.
struct LargePages;

#[global_allocator]
static ALLOCATOR: LargePages = LargePages;

fn is_large(layout: Layout) -> bool {
    layout.size() >= FROM && layout.align() <= PAGE
}

// SAFETY: small buffers are the system's in every call, large ones mappings of their own in every call; which they are follows
// from the layout, which callers must give as they gave it first.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        if is_large(layout) { map(layout.size()) } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's. Mappings are zeros.
        if is_large(layout) { map(layout.size()) } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's; what is large was mapped so.
        unsafe {
            if is_large(layout) {
                libc::munmap(start.cast(), layout.size().next_multiple_of(PAGE));
            } else {
                System.dealloc(start, layout);
            }
        }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's: a size that is valid with this alignment, and what is copied is there in both.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            if !is_large(layout) && !is_large(wanted) {
                return System.realloc(start, layout, size);
            }
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(start, size.min(layout.size()));
                self.dealloc(start, layout);
            }
            moved
        }
    }
}

/// Zeros that begin at a large page: `size` bytes, rounded up to whole large pages. Null where the system has no room.
fn map(size: usize) -> *mut u8 {
    let whole = size.next_multiple_of(PAGE);
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, of which what lies before and behind the whole pages is given back; advice changes no bytes, and
    // does no harm where it is not taken.
    unsafe {
        let mapped = libc::mmap(null_mut(), whole + PAGE, access, kind, -1, 0);
        if mapped == libc::MAP_FAILED {
            return null_mut();
        }
        let before = mapped.addr().next_multiple_of(PAGE) - mapped.addr();
        let start = mapped.byte_add(before);
        if before > 0 {
            libc::munmap(mapped, before);
        }
        if before < PAGE {
            libc::munmap(start.byte_add(whole), PAGE - before);
        }
        // The last page only where it is needed whole: the rest of it would count as used.
        libc::madvise(start, size / PAGE * PAGE, libc::MADV_HUGEPAGE);
        start.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_begin_at_large_pages_and_keep_what_they_hold() {
        let mut bytes = vec![1u8; FROM - 1];
        for len in [FROM, FROM + 1, 3 * PAGE + 12_345, 9 * PAGE, FROM, 77] {
            bytes.resize(len, 2);
            bytes.shrink_to_fit();
            assert!(len < FROM || bytes.as_ptr().addr().is_multiple_of(PAGE), "{len} bytes at {:p}", bytes.as_ptr());
            let ones = len.min(FROM - 1);
            assert!(bytes[..ones].iter().all(|byte| *byte == 1) && bytes.len() == len);
        }
        let zeros = vec![0f32; PAGE];
        assert!(zeros.as_ptr().addr().is_multiple_of(PAGE) && zeros.iter().all(|x| *x == 0.0));
    }

    #[test]
    fn more_than_there_is_is_refused() {
        assert!(Vec::<u8>::new().try_reserve_exact(isize::MAX as usize - PAGE).is_err());
    }
}
