// What the host hands to kernels. src/cuda/arguments.rs has the same structs, and a test compares their sizes.
#pragma once

#include <cstdint>

/// Keys and values that some queries look at, which are those of one sequence in one layer, or a part of it.
struct Job {
    /// 16-bit, as `tiles::exact_at` says, or bytes (kv_heads, capacity, head_dim).
    const void* keys;
    const void* values;
    /// Of blocks that are rounded to bytes; see `tiles::factors_at`.
    const float* factors;
    /// Keys that are there, and that there is room for.
    int length, capacity;
    /// Position of the first key.
    int base;
    /// The tokens whose queries look at them.
    int first_token, tokens;
    int unused;
};

/// What a block of threads does for each key head: a tile of a job's stacked rows over some of its keys.
struct Task {
    int job;
    /// First of the rows.
    int row;
    /// The keys; the first is a tile's.
    int first_key, end_key;
    /// The partial result of the job's first token.
    int partial;
    int unused;
};

struct Attention {
    /// (tokens, heads, head_dim), rotated.
    const void* q;
    const Job* jobs;
    const Task* tasks;
    /// (tokens)
    const int* positions;
    /// (partial results, heads, head_dim) and (partial results, heads).
    float* partial_out;
    float* partial_lse;
    /// (tokens, heads, head_dim), where each token has but one partial result; else null.
    void* out;
    int heads, kv_heads, head_dim;
    /// 0 where all keys are seen.
    int window;
    float scale;
    /// 0 where there is none.
    float softcap;
};

/// Adds up the partial results of each token: those whose numbers are list[starts[token]..starts[token + 1]].
struct Merge {
    const float* partial_out;
    const float* partial_lse;
    const int* starts;
    const int* list;
    void* out;
    int tokens, heads, head_dim, unused;
};

/// Turns queries and keys by their positions and puts keys and values at the end of their caches.
struct Append {
    /// (tokens, heads, head_dim), and (tokens, kv_heads, head_dim) each: `stride` elements from a token to the next.
    const void* q;
    const void* k;
    const void* v;
    /// (tokens, heads, head_dim), in one piece: the queries, turned.
    void* turned;
    /// (tokens, half); null where nothing is turned.
    const float* cos;
    const float* sin;
    const Job* jobs;
    /// Each token's own job.
    const int* job_of;
    int tokens, heads, kv_heads, head_dim;
    /// Pairs that are turned.
    int half;
    int interleaved;
    int stride;
    int unused;
};

/// Rounds whole blocks of a cache to bytes.
struct Round {
    /// 16-bit, as `tiles::exact_at` says.
    const void* exact_keys;
    const void* exact_values;
    /// (kv_heads, capacity, head_dim)
    int8_t* keys;
    int8_t* values;
    float* factors;
    /// First key of the first block, where it is exact and where it goes.
    int exact_first, first;
    int exact_capacity, capacity;
    int kv_heads, head_dim;
};

/// y = x / rms(x) · weight, of parts of `width` elements: so many in a row, `stride` elements from a row to the next.
struct RmsNorm {
    const void* x;
    const float* weight;
    void* y;
    long long rows;
    int parts, width;
    int stride;
    float eps;
};

/// x = activation(x) · y, of rows of `width` elements, `stride` elements from a row to the next.
struct Gate {
    void* x;
    const void* y;
    int rows, width, stride, unused;
};

/// x = x + y, element by element, where x is in f32.
struct Add {
    void* x;
    const void* y;
    long long count;
};

/// What a convolution remembers of a sequence before some new tokens, and where it puts what comes after.
struct Remembered {
    /// (length - 1, channels): inputs of the tokens before the first; null where a text starts, before which there are
    /// zeros.
    const float* past;
    /// The same after the last token, and (marks, length - 1, channels) after each `stride` tokens of the sequence.
    float* last;
    float* marks;
    int first_token, tokens;
    /// Tokens of the sequence before the first.
    int held;
    int unused;
};

/// A gated convolution over each channel: out = C · (weights ∗ B · x + bias).
struct Convolve {
    /// (tokens, 3, channels): B, C and x.
    const void* bcx;
    /// (length, channels), of the oldest token first.
    const float* weights;
    /// (channels), or null.
    const float* bias;
    const Remembered* sequences;
    /// Each token's own.
    const int* sequence_of;
    /// (tokens, channels)
    void* out;
    int tokens, channels, length, stride;
};

/// y = y + bias, of rows of `width` elements.
struct Bias {
    void* y;
    const float* bias;
    long long count;
    long long width;
};
