//! What kernels are given: the structs of `cuda/arguments.h`, field by field. Pointers are addresses on the device.

/// Keys and values that some queries look at, which are those of one sequence in one layer, or a part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub struct Job {
    /// 16-bit, (kv_heads, head_dim / line, capacity, line) with chunks turned, or bytes (kv_heads, capacity, head_dim).
    pub keys: u64,
    pub values: u64,
    /// Of blocks that are rounded to bytes, for each key head and block: scales of keys, their mean, scales of values.
    pub factors: u64,
    pub length: i32,
    pub capacity: i32,
    /// Position of the first key.
    pub base: i32,
    /// The tokens whose queries look at them.
    pub first_token: i32,
    pub tokens: i32,
    pub unused: i32,
}

/// What a block of threads does for each key head: a tile of a job's stacked rows over some of its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub struct Task {
    pub job: i32,
    /// First of the rows.
    pub row: i32,
    pub first_key: i32,
    pub end_key: i32,
    /// The partial result of the job's first token.
    pub partial: i32,
    pub unused: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Attention {
    /// (tokens, heads, head_dim), rotated.
    pub q: u64,
    pub jobs: u64,
    pub tasks: u64,
    /// (tokens)
    pub positions: u64,
    /// (partial results, heads, head_dim) and (partial results, heads), f32.
    pub partial_out: u64,
    pub partial_lse: u64,
    /// (tokens, heads, head_dim), where each token has but one partial result; else 0.
    pub out: u64,
    pub heads: i32,
    pub kv_heads: i32,
    pub head_dim: i32,
    /// 0 where all keys are seen.
    pub window: i32,
    pub scale: f32,
    /// 0 where there is none.
    pub softcap: f32,
}

/// Adds up each token's partial results, whose numbers are `list[starts[token]..starts[token + 1]]`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Merge {
    pub partial_out: u64,
    pub partial_lse: u64,
    pub starts: u64,
    pub list: u64,
    pub out: u64,
    pub tokens: i32,
    pub heads: i32,
    pub head_dim: i32,
    pub unused: i32,
}

/// Turns queries and keys by their positions and puts keys and values at the end of their caches.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Append {
    /// (tokens, heads, head_dim), and (tokens, kv_heads, head_dim) each: `stride` elements from a token to the next.
    pub q: u64,
    pub k: u64,
    pub v: u64,
    /// (tokens, heads, head_dim), in one piece: the queries, turned.
    pub turned: u64,
    /// (tokens, half); 0 where nothing is turned.
    pub cos: u64,
    pub sin: u64,
    pub jobs: u64,
    /// Each token's own job.
    pub job_of: u64,
    pub tokens: i32,
    pub heads: i32,
    pub kv_heads: i32,
    pub head_dim: i32,
    /// Pairs that are turned.
    pub half: i32,
    pub interleaved: i32,
    pub stride: i32,
    pub unused: i32,
}

/// Rounds whole blocks of a cache to bytes.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Round {
    /// 16-bit, (kv_heads, head_dim / line, exact_capacity, line) with chunks turned.
    pub exact_keys: u64,
    pub exact_values: u64,
    /// (kv_heads, capacity, head_dim)
    pub keys: u64,
    pub values: u64,
    pub factors: u64,
    /// First key of the first block, where it is exact and where it goes.
    pub exact_first: i32,
    pub first: i32,
    pub exact_capacity: i32,
    pub capacity: i32,
    pub kv_heads: i32,
    pub head_dim: i32,
}

/// y = x / rms(x) · weight, of parts of `width` elements: so many in a row, `stride` elements from a row to the next.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct RmsNorm {
    pub x: u64,
    pub weight: u64,
    pub y: u64,
    pub rows: i64,
    pub parts: i32,
    pub width: i32,
    pub stride: i32,
    pub eps: f32,
}

/// x = activation(x) · y, of rows of `width` elements, `stride` elements from a row to the next.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Gate {
    pub x: u64,
    pub y: u64,
    pub rows: i32,
    pub width: i32,
    pub stride: i32,
    pub unused: i32,
}

/// x = x + y, element by element, where x is in f32.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Add {
    pub x: u64,
    pub y: u64,
    pub count: i64,
}

/// What a convolution remembers of a sequence before some new tokens, and where it puts what comes after.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub struct Remembered {
    /// (length - 1, channels), f32: inputs of the tokens before the first; 0 where a text starts, before which there are
    /// zeros.
    pub past: u64,
    /// The same after the last token, and (marks, length - 1, channels) after each `stride` tokens of the sequence.
    pub last: u64,
    pub marks: u64,
    pub first_token: i32,
    pub tokens: i32,
    /// Tokens of the sequence before the first.
    pub held: i32,
    pub unused: i32,
}

/// A gated convolution over each channel: out = C · (weights ∗ B · x + bias).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Convolve {
    /// (tokens, 3, channels): B, C and x.
    pub bcx: u64,
    /// (length, channels), f32, of the oldest token first.
    pub weights: u64,
    /// (channels), f32, or 0.
    pub bias: u64,
    pub sequences: u64,
    /// Each token's own.
    pub sequence_of: u64,
    /// (tokens, channels)
    pub out: u64,
    pub tokens: i32,
    pub channels: i32,
    pub length: i32,
    pub stride: i32,
}

/// y = y + bias, of rows of `width` elements.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Bias {
    pub y: u64,
    pub bias: u64,
    pub count: i64,
    pub width: i64,
}
