//! RoPE frequencies and tables, in f64, once for all models.
