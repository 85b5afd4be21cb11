//! Where the results of a product go.

/// A matrix of f32 that several tasks fill, each some columns of its own.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) start: *mut f32,
    /// Elements between rows.
    pub(crate) stride: usize,
}

// SAFETY: tasks write disjoint columns of the same matrix.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}
