// How queries, keys and values come into shared memory.
#pragma once

#include "arguments.h"
#include "machine.cuh"

/// Copies rows of `head_dim` elements of 16 bits into a tile; what is beyond the rows or the elements becomes 0.
/// `chunk_at(row, chunk)` is where a chunk of a row begins, or null where there is no such row.
template <class T, class Tile, int ROWS, class ChunkAt>
DEVICE void copy_rows(T* to, int head_dim, ChunkAt chunk_at) {
    constexpr int COPIES = ROWS * Tile::CHUNKS;
    static_assert(COPIES % Tile::COPIERS == 0, "all threads that copy do so alike");
    // More of them at once would take registers that products need.
    UNROLL_BY(4)
    for (int step = 0; step < COPIES / Tile::COPIERS; step++) {
        const int copy = tiles::copied(thread() - Tile::FIRST_COPIER, step, Tile::COPIERS);
        const int row = tiles::copied_row(copy, Tile::CHUNKS), chunk = tiles::copied_chunk(copy, Tile::CHUNKS);
        const T* from = chunk * tiles::CHUNK < head_dim ? chunk_at(row, chunk) : nullptr;
        // Nothing is read of no bytes, but the address must be one.
        copy_16(to + Tile::place(row, chunk, ROWS), from ? from : to, from ? 16 : 0);
    }
}

template <class T, class Tile>
DEVICE void load_queries(T* to, const Attention& problem, const Job& job, const Task& task) {
    const int group = problem.heads / problem.kv_heads;
    const T* q = static_cast<const T*>(problem.q);
    copy_rows<T, Tile, Tile::ROWS>(to, problem.head_dim, [&](int row, int chunk) -> const T* {
        const int token = tiles::token_of(task.row + row, group);
        const int head = tiles::head_of(task.row + row, group, block_y());
        if (token >= job.tokens) return nullptr;
        const long long at = static_cast<long long>(job.first_token + token) * problem.heads + head;
        return q + at * problem.head_dim + chunk * tiles::CHUNK;
    });
}

/// Copies the tile number `tile` of keys, or of values, that are kept in 16 bits.
template <class T, class Tile>
DEVICE void copy_tile(T* to, const void* from, int tile, const Job& job, int head_dim) {
    copy_rows<T, Tile, Tile::KEYS>(to, head_dim, [&](int row, int chunk) -> const T* {
        const int key = tile * Tile::KEYS + row;
        if (key >= job.length) return nullptr;
        return static_cast<const T*>(from) + tiles::exact_at(block_y(), key, chunk, job.capacity, head_dim);
    });
}

/// Keys and values as they are kept, 16 bits an element: two stages of each.
template <class T, class Tile>
struct Exact {
    T* room;
    const Job& job;
    int head_dim;

    DEVICE Exact(T* room, const Job& job, int head_dim) : room(room), job(job), head_dim(head_dim) {}

    /// Begins to copy the tile number `tile` into a stage.
    DEVICE void fetch(int tile, int stage) {
        copy_tile<T, Tile>(const_cast<T*>(keys(stage)), job.keys, tile, job, head_dim);
        copy_tile<T, Tile>(const_cast<T*>(values(stage)), job.values, tile, job, head_dim);
    }

    DEVICE void ready(int, int) {}

    DEVICE const T* keys(int stage) const { return room + 2 * stage * Tile::KV; }
    DEVICE const T* values(int stage) const { return room + (2 * stage + 1) * Tile::KV; }
};

/// Keys and values that are kept as bytes, in whole blocks: two stages of bytes, and one tile of each in 16 bits that
/// the products are taken of.
template <class T, class Tile>
struct Rounded {
    /// Codes of 8 bits in what one copy moves.
    static constexpr int CODES = 16;
    static constexpr int COPIES = Tile::KV / CODES;
    static constexpr int COPIES_A_ROW = Tile::HEAD / CODES;

    T* room;
    int8_t* codes;
    const Job& job;
    int head_dim;

    DEVICE Rounded(T* room, const Job& job, int head_dim)
        : room(room), codes(reinterpret_cast<int8_t*>(room + 2 * Tile::KV)), job(job), head_dim(head_dim) {}

    DEVICE void fetch(int tile, int stage) {
        fetch(stage_codes(stage, 0), job.keys, tile);
        fetch(stage_codes(stage, 1), job.values, tile);
    }

    /// Makes 16-bit elements of a stage: a key is its block's mean and its scale times its codes, a dimension of a
    /// value the dimension's scale times its codes.
    DEVICE void ready(int tile, int stage) {
        const int block = tile * Tile::KEYS / tiles::BLOCK, first = tile * Tile::KEYS % tiles::BLOCK;
        const float* factors = job.factors + tiles::factors_at(block_y(), block, job.capacity, head_dim);
        const float *means = factors + tiles::mean_at(head_dim), *scales = factors + tiles::value_scales_at(head_dim);
        const int8_t *key_codes = stage_codes(stage, 0), *value_codes = stage_codes(stage, 1);
        for (int pair = thread(); pair < Tile::KV / 2; pair += Tile::THREADS) {
            const int row = pair / (Tile::HEAD / 2), column = pair % (Tile::HEAD / 2) * 2;
            const int from = row * Tile::HEAD + column;
            const int to = tiles::swizzled(row, column / tiles::CHUNK, Tile::CHUNKS) + column % tiles::CHUNK;
            const bool there = column < head_dim;
            const float scale = factors[first + row];
            const float mean0 = there ? means[column] : 0.0f, mean1 = there ? means[column + 1] : 0.0f;
            const float scale0 = there ? scales[column] : 0.0f, scale1 = there ? scales[column + 1] : 0.0f;
            store(room + to, mean0 + scale * key_codes[from], mean1 + scale * key_codes[from + 1]);
            store(room + Tile::KV + to, scale0 * value_codes[from], scale1 * value_codes[from + 1]);
        }
        barrier();
    }

    DEVICE const T* keys(int) const { return room; }
    DEVICE const T* values(int) const { return room + Tile::KV; }

  private:
    DEVICE int8_t* stage_codes(int stage, int which) const { return codes + (2 * stage + which) * Tile::KV; }

    DEVICE static void store(T* to, float first, float second) {
        *reinterpret_cast<uint32_t*>(to) = pack<T>(first, second);
    }

    DEVICE void fetch(int8_t* to, const void* from, int tile) {
        const int8_t* first =
            static_cast<const int8_t*>(from) + tiles::codes_at(block_y(), tile * Tile::KEYS, job.capacity, head_dim);
        for (int copy = thread(); copy < COPIES; copy += Tile::THREADS) {
            const int row = tiles::copied_row(copy, COPIES_A_ROW),
                      column = tiles::copied_chunk(copy, COPIES_A_ROW) * CODES;
            const bool there = tile * Tile::KEYS + row < job.length && column < head_dim;
            const int8_t* codes = first + static_cast<long long>(row) * head_dim + column;
            copy_16(to + row * Tile::HEAD + column, there ? codes : to, there ? 16 : 0);
        }
    }
};
