//! document + template + generator → summary. Knows no tensors and no PDF library.
