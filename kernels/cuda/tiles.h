// Where things are: tiles, fragments of tensor-core products, shared memory, ragged rows.
//
// Every index that a kernel computes beyond plain arithmetic is a function of this file. Device code and plain C++
// compile it alike, and tests/cuda.rs checks all functions over all of their arguments for the shipped tile sizes.
#pragma once

#ifdef __CUDACC__
#define INDEX __host__ __device__ constexpr
#else
#define INDEX constexpr
#endif

#include <cstdint>

namespace tiles {

constexpr int WARP = 32;
/// Elements of 16 bits in the 16 bytes that one copy moves, which are a row of the 8×8 matrices that `ldmatrix` loads.
constexpr int CHUNK = 8;
/// Rows and depth of one tensor-core product, and its columns.
constexpr int MMA = 16;
constexpr int MMA_COLUMNS = 8;
/// Keys in a block of a cache that is rounded to bytes.
constexpr int BLOCK = 64;

/// First element of a chunk of a tile in shared memory. Rows are turned against each other, so that the eight rows
/// which one phase of `ldmatrix` reads at the same chunk lie in different banks.
INDEX int swizzled(int row, int chunk, int chunks) { return (row * chunks + (chunk ^ (row & 7))) * CHUNK; }

/// What one block of threads works on: `ROWS` queries against `KEYS` keys at a time, both of up to `HEAD` elements.
/// Wide tiles share the rows among four warps, so that each key is loaded once for many queries. Narrow ones are for
/// few queries: all warps look at the same rows and share the keys, and merge what they found at the end.
template <int HEAD_, bool WIDE_>
struct Tile {
    static constexpr int HEAD = HEAD_;
    static constexpr bool WIDE = WIDE_;
    /// 16-row fragments of a warp. Two halve the loads of keys and values; heads of 256 leave no registers for that.
    static constexpr int FRAGMENTS = WIDE && HEAD <= 128 ? 2 : 1;
    static constexpr int ROW_WARPS = WIDE ? 4 : 1;
    static constexpr int KEY_WARPS = WIDE ? 1 : (HEAD <= 128 ? 4 : 2);
    static constexpr int THREADS = ROW_WARPS * KEY_WARPS * WARP;
    static constexpr int ROWS = ROW_WARPS * FRAGMENTS * MMA;
    static constexpr int KEYS = HEAD <= 128 ? 64 : 32;
    static constexpr int WARP_KEYS = KEYS / KEY_WARPS;
    static constexpr int CHUNKS = HEAD / CHUNK;
    /// Elements of a tile of keys, or of values.
    static constexpr int KV = KEYS * HEAD;
    /// The threads that copy, which are all.
    static constexpr int FIRST_COPIER = 0, COPIERS = THREADS;
    /// Queries, then two stages of keys and values in 16 bits (or one, and two in 8 bits), then the rows' limits.
    static constexpr int LIMITS_AT = 2 * (ROWS * HEAD + 4 * KV);
    static constexpr int SHARED = LIMITS_AT + 2 * 4 * ROWS;
    static INDEX int place(int row, int chunk, int) { return swizzled(row, chunk, CHUNKS); }
    static_assert(WARP_KEYS % MMA == 0, "a warp's keys are whole products deep");
    static_assert(KEY_WARPS * ROWS * (HEAD + 2) * 4 <= LIMITS_AT, "what warps merge fits where the tiles were");
};

// Tiles that Hopper's products read from shared memory by themselves (PTX ISA, "Asynchronous Warpgroup Level Matrix
// Shared Memory Layout", 128-byte swizzle): blocks of 64 columns, rows of 128 bytes, and within eight rows (1024 bytes,
// where an address of that alignment begins) the 16-byte chunks of a row are turned by its number.
constexpr int LINE = 128;
constexpr int ATOM = 8 * LINE;
constexpr int LINE_ELEMENTS = LINE / 2;
constexpr int LINE_CHUNKS = LINE_ELEMENTS / CHUNK;

/// First element of a chunk of such a tile of `rows` rows.
INDEX int blocked(int row, int chunk, int rows) {
    return (chunk / LINE_CHUNKS * rows + row) * LINE_ELEMENTS + ((chunk % LINE_CHUNKS) ^ (row & 7)) * CHUNK;
}
/// Bytes before the operand whose depth, 16 columns, is the number `depth`: of queries and keys.
INDEX int by_columns(int depth, int rows) {
    return depth * MMA / LINE_ELEMENTS * rows * LINE + depth * MMA % LINE_ELEMENTS * 2;
}
/// Bytes before the operand whose depth, 16 rows, is the number `depth`, from the column `column` on: of values.
INDEX int by_rows(int column, int depth, int rows) { return (column / LINE_ELEMENTS * rows + depth * MMA) * LINE; }
/// Tells a product where an operand is. Its rows lie `LINE` bytes apart and each eight of them `ATOM`; `leading` is the
/// distance of blocks of columns, for operands whose depth is their rows. Bits 62-63 say how chunks are turned.
INDEX uint64_t matrix(uint32_t address, int leading) {
    return (address & 0x3ffff) >> 4 | static_cast<uint64_t>(leading >> 4) << 16 | uint64_t{ATOM >> 4} << 32 |
           uint64_t{1} << 62;
}

/// The same `bytes` further on; all of shared memory is within what a matrix can tell of.
INDEX uint64_t further(uint64_t matrix, int bytes) { return matrix + bytes / 16; }

/// What a block works on by Hopper's products: two groups of four warps have 64 rows each, a third one copies the queries,
/// and its first warp then keys and values into a ring of slots, each for a tile of either. Heads are `HEAD` elements long,
/// so that a tile is whole lines of a cache.
template <int HEAD_>
struct Hopper {
    static constexpr int HEAD = HEAD_;
    static constexpr int FRAGMENTS = 1, KEY_WARPS = 1;
    static constexpr int GROUP = 4 * WARP;
    static constexpr int GROUP_ROWS = 4 * MMA;
    static constexpr int FIRST_COPIER = 2 * GROUP, COPIERS = GROUP;
    static constexpr int THREADS = FIRST_COPIER + COPIERS;
    static constexpr int ROWS = 2 * GROUP_ROWS;
    static constexpr int KEYS = HEAD <= 128 ? 128 : 64;
    static constexpr int WARP_KEYS = KEYS;
    static constexpr int CHUNKS = HEAD / CHUNK;
    static constexpr int KV = KEYS * HEAD;
    /// Copies of a whole tile, each of a line of all its keys.
    static constexpr int LINES = HEAD / LINE_ELEMENTS;
    static constexpr int SLOTS = 4;
    /// Registers of a thread that copies, and of one that multiplies.
    static constexpr int FEW = 40, MANY = 232;
    /// Columns of one product with values.
    static constexpr int COLUMNS = HEAD < 128 ? HEAD : 128;
    /// Queries, then the slots, the rows' limits, two barriers a slot and the queries' own, from the first multiple of `ATOM`
    /// on.
    static constexpr int LIMITS_AT = 2 * (ROWS * HEAD + SLOTS * KV);
    static constexpr int BARRIERS_AT = LIMITS_AT + 2 * 4 * ROWS;
    static constexpr int SHARED = ATOM + BARRIERS_AT + 8 * (2 * SLOTS + 1);
    static INDEX int place(int row, int chunk, int rows) { return blocked(row, chunk, rows); }
    static_assert(HEAD % LINE_ELEMENTS == 0, "a tile is whole lines");
    static_assert(COPIERS * FEW + FIRST_COPIER * MANY <= 65536, "a processor has so many registers");
};

/// The slot of a ring that its `item`th tile lies in, and the parity of the times that the slot was filled before.
INDEX int slot_of(int item, int slots) { return item % slots; }
INDEX int round_of(int item, int slots) { return item / slots % 2; }

/// The row and the chunk that a thread copies in a step.
INDEX int copied(int thread, int step, int threads) { return step * threads + thread; }
INDEX int copied_row(int copy, int chunks) { return copy / chunks; }
INDEX int copied_chunk(int copy, int chunks) { return copy % chunks; }

// Fragments of `mma.m16n8k16`, as PTX defines them. A lane holds of A (16×16) the elements 0-7, of B (16×8) 0-3 and of
// the sums (16×8) 0-3.
INDEX int a_row(int lane, int i) { return lane / 4 + (i / 2 % 2) * 8; }
INDEX int a_column(int lane, int i) { return lane % 4 * 2 + i % 2 + i / 4 * 8; }
INDEX int b_row(int lane, int i) { return lane % 4 * 2 + i % 2 + i / 2 * 8; }
INDEX int b_column(int lane, int) { return lane / 4; }
INDEX int sum_row(int lane, int i) { return lane / 4 + i / 2 * 8; }
INDEX int sum_column(int lane, int i) { return lane % 4 * 2 + i % 2; }

// Which row and chunk a lane names to `ldmatrix.x4`, which gives four 8×8 matrices in this order: of queries, A's
// quarters; of keys, B of two products, eight keys each; of values, transposed, B of two products, eight dimensions
// each.
INDEX int query_row(int lane) { return lane % 16; }
INDEX int query_chunk(int lane) { return lane / 16; }
INDEX int key_row(int lane) { return lane % 8 + lane / 16 * 8; }
INDEX int key_chunk(int lane) { return lane / 8 % 2; }
INDEX int value_row(int lane) { return lane % 16; }
INDEX int value_chunk(int lane) { return lane / 16; }

// Stacked rows: the heads that share a key head stand below each other, token by token.
INDEX int token_of(int row, int group) { return row / group; }
INDEX int head_of(int row, int group, int kv_head) { return kv_head * group + row % group; }

// Keys that a query at `position` sees, of `length` keys whose first stands at `base`: those up to itself, the last
// `window` of them where that is not 0.
INDEX int visible_end(int position, int base, int length) {
    int end = position - base + 1;
    return end < 0 ? 0 : (end < length ? end : length);
}
INDEX int visible_start(int position, int base, int length, int window) {
    int start = window == 0 ? 0 : position - base + 1 - window;
    return start < 0 ? 0 : (start < length ? start : length);
}

/// Elements of a head that lie behind each other in a cache of 16 bits (kv_heads, head_dim / line, capacity, line): those
/// that Hopper's products want so, or the whole head where it is not so many times as long.
INDEX int line_of(int head_dim) { return head_dim % LINE_ELEMENTS == 0 ? LINE_ELEMENTS : head_dim; }

/// First element of a chunk of a key, or value, in such a cache. The chunks of a line are turned by the key's number, as
/// `blocked` has them: what is copied piece by piece is then a tile as it should be.
INDEX long long exact_at(int kv_head, int key, int chunk, int capacity, int head_dim) {
    if (line_of(head_dim) != LINE_ELEMENTS) {
        return (static_cast<long long>(kv_head) * capacity + key) * head_dim + chunk * CHUNK;
    }
    const int line = kv_head * (head_dim / LINE_ELEMENTS) + chunk / LINE_CHUNKS;
    return (static_cast<long long>(line) * capacity + key) * LINE_ELEMENTS + ((chunk % LINE_CHUNKS) ^ (key & 7)) * CHUNK;
}
/// An element of a key, or value, in such a cache.
INDEX long long element_at(int kv_head, int key, int element, int capacity, int head_dim) {
    return exact_at(kv_head, key, element / CHUNK, capacity, head_dim) + element % CHUNK;
}

/// First code of a key, or value, in a cache of bytes (kv_heads, capacity, head_dim).
INDEX long long codes_at(int kv_head, int key, int capacity, int head_dim) {
    return (static_cast<long long>(kv_head) * capacity + key) * head_dim;
}

// Factors of a block of a key head that is rounded to bytes: scales of keys (BLOCK), their mean (head_dim), scales of
// values (head_dim).
INDEX int factors(int head_dim) { return BLOCK + 2 * head_dim; }
INDEX int mean_at(int head_dim) { return BLOCK + 0 * head_dim; }
INDEX int value_scales_at(int head_dim) { return BLOCK + head_dim; }
INDEX long long factors_at(int kv_head, int block, int capacity, int head_dim) {
    return (static_cast<long long>(kv_head) * (capacity / BLOCK) + block) * factors(head_dim);
}

// The two elements of a head that are turned together, or copied together behind the `half` pairs that are turned:
// (i, i + half), or (2i, 2i + 1) where they are interleaved.
INDEX int pair_first(int pair, int half, bool interleaved) { return interleaved || pair >= half ? 2 * pair : pair; }
INDEX int pair_second(int pair, int half, bool interleaved) {
    return interleaved || pair >= half ? 2 * pair + 1 : pair + half;
}

}  // namespace tiles
