//! A file as a slice of memory.

use std::{fs::File, io, ops::Deref, path::Path};

/// A read-only view of a whole file. Pages are read when they are touched.
#[derive(Debug)]
pub struct Mapping(memmap2::Mmap);

impl Mapping {
    /// Fails as opening the file does. An empty file is an empty slice.
    pub fn open(path: &Path) -> io::Result<Mapping> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only. Should another process shorten the file meanwhile, the kernel ends this one with
        // SIGBUS; model files are placed by renaming and never written in place.
        unsafe { memmap2::Mmap::map(&file) }.map(Mapping)
    }

    /// Lets go of the memory that holds these bytes; they are read from the file again if they are touched again.
    pub fn let_go(&self, range: std::ops::Range<usize>) {
        #[cfg(unix)]
        if range.start < range.end && range.end <= self.0.len() {
            // SAFETY: the map is of a file, read-only and shared: its pages come back with the same bytes. A failure leaves
            // the pages where they are, which does no harm.
            let _ = unsafe {
                self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.end - range.start)
            };
        }
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
