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
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
