// Attention of a tile of queries over a range of keys with an online softmax: prefill, decoding and cascade decoding
// are this one kernel with other tables of jobs and tasks.
//
// Products are those of tensor cores on 16-bit operands with f32 sums. The rows of a tile are the queries of all heads
// that share a key head, of several positions or several branches. Tiles of keys come through two stages of
// asynchronous copies. Results are (out, log-sum-exp), so that those of disjoint ranges of keys can be merged exactly.
#pragma once

#include "arguments.h"
#include "loader.cuh"
#include "machine.cuh"

/// The part of a tile that one warp works on.
template <class T, class Tile>
struct Rows {
    static constexpr int F = Tile::FRAGMENTS;
    static constexpr int SCORES = Tile::WARP_KEYS / tiles::MMA_COLUMNS;
    static constexpr int OUTPUTS = Tile::HEAD / tiles::MMA_COLUMNS;

    int lane, first_row, first_key;
    /// Of each row of the tile, in shared memory: the first key that is seen and the end.
    const int* limits;
    /// Of the two rows of each fragment that this lane holds elements of: the largest score, in powers of two, and this
    /// lane's part of the sum of weights.
    float top[F][2], sum[F][2];
    /// Sums of weighted values.
    float out[F][OUTPUTS][4];

    DEVICE Rows(const int* limits) : limits(limits) {
        const int warp = thread() / tiles::WARP;
        lane = thread() % tiles::WARP;
        first_row = warp / Tile::KEY_WARPS * F * tiles::MMA;
        first_key = warp % Tile::KEY_WARPS * Tile::WARP_KEYS;
        UNROLL
        for (int f = 0; f < F; f++) {
            UNROLL
            for (int half = 0; half < 2; half++) {
                top[f][half] = -INFINITY;
                sum[f][half] = 0.0f;
            }
            UNROLL
            for (int i = 0; i < OUTPUTS; i++) {
                UNROLL
                for (int j = 0; j < 4; j++) out[f][i][j] = 0.0f;
            }
        }
    }

    /// A row of the tile, of which this lane holds elements.
    DEVICE int row(int f, int half) const { return first_row + f * tiles::MMA + tiles::sum_row(lane, 2 * half); }

    /// Takes a tile of keys and values, the first of which is the key number `at`, into account.
    DEVICE void look(const T* queries, const T* keys, const T* values, int at, bool whole, const Attention& problem) {
        float scores[F][SCORES][4], factors[F][2];
        products(scores, queries, keys);
        weigh(scores, factors, at, whole, problem);
        scale(factors);
        add_values(scores, values);
    }

    /// A tile's scores become weights; `factors` is what sums of values that were weighed before have to be scaled by.
    DEVICE void weigh(float (&scores)[F][SCORES][4], float (&factors)[F][2], int at, bool whole,
                      const Attention& problem) {
        UNROLL
        for (int f = 0; f < F; f++) {
            UNROLL
            for (int half = 0; half < 2; half++) {
                shape(scores[f], half, problem);
                if (!whole) hide(scores[f], half, limits[2 * row(f, half)] - at, limits[2 * row(f, half) + 1] - at);
                factors[f][half] = weigh(scores[f], f, half);
            }
        }
    }

    DEVICE void scale(const float (&factors)[F][2]) {
        UNROLL
        for (int f = 0; f < F; f++) {
            UNROLL
            for (int i = 0; i < OUTPUTS; i++) {
                UNROLL
                for (int j = 0; j < 4; j++) out[f][i][j] *= factors[f][j / 2];
            }
        }
    }

    /// Queries times keys.
    DEVICE void products(float (&scores)[F][SCORES][4], const T* queries, const T* keys) {
        UNROLL
        for (int f = 0; f < F; f++) {
            UNROLL
            for (int i = 0; i < SCORES; i++) {
                UNROLL
                for (int j = 0; j < 4; j++) scores[f][i][j] = 0.0f;
            }
        }
        UNROLL
        for (int depth = 0; depth < Tile::HEAD / tiles::MMA; depth++) {
            uint32_t a[F][4];
            UNROLL
            for (int f = 0; f < F; f++) {
                const int row = first_row + f * tiles::MMA + tiles::query_row(lane);
                load_matrices(a[f], queries + tiles::swizzled(row, 2 * depth + tiles::query_chunk(lane), Tile::CHUNKS));
            }
            UNROLL
            for (int i = 0; i < SCORES; i += 2) {
                const int key = first_key + i * tiles::MMA_COLUMNS + tiles::key_row(lane);
                uint32_t b[4];
                load_matrices(b, keys + tiles::swizzled(key, 2 * depth + tiles::key_chunk(lane), Tile::CHUNKS));
                UNROLL
                for (int f = 0; f < F; f++) {
                    multiply(T{}, scores[f][i], a[f], b[0], b[1]);
                    multiply(T{}, scores[f][i + 1], a[f], b[2], b[3]);
                }
            }
        }
    }

    /// Scales scores, caps them softly, and makes them exponents of two.
    DEVICE static void shape(float (&scores)[SCORES][4], int half, const Attention& problem) {
        float factor = problem.scale * LOG2_E;
        // One branch for all of them: nearly no model has a cap.
        if (problem.softcap != 0.0f) {
            const float inner = problem.scale / problem.softcap;
            factor = problem.softcap * LOG2_E;
            UNROLL
            for (int i = 0; i < SCORES; i++) {
                UNROLL
                for (int j = 2 * half; j < 2 * half + 2; j++) scores[i][j] = tanhf(scores[i][j] * inner);
            }
        }
        UNROLL
        for (int i = 0; i < SCORES; i++) {
            UNROLL
            for (int j = 2 * half; j < 2 * half + 2; j++) scores[i][j] *= factor;
        }
    }

    /// Takes out the keys before `from` and from `to` on, which count from the tile's first.
    DEVICE void hide(float (&scores)[SCORES][4], int half, int from, int to) const {
        UNROLL
        for (int i = 0; i < SCORES; i++) {
            UNROLL
            for (int j = 2 * half; j < 2 * half + 2; j++) {
                const int key = first_key + i * tiles::MMA_COLUMNS + tiles::sum_column(lane, j);
                if (key < from || key >= to) scores[i][j] = -INFINITY;
            }
        }
    }

    /// Scores become weights around the largest so far. Returns what was weighed around a smaller one is scaled by.
    DEVICE float weigh(float (&scores)[SCORES][4], int f, int half) {
        float most = top[f][half];
        UNROLL
        for (int i = 0; i < SCORES; i++) most = fmaxf(most, fmaxf(scores[i][2 * half], scores[i][2 * half + 1]));
        // The four lanes that hold a row are neighbours.
        most = fmaxf(most, exchanged(most, 1));
        most = fmaxf(most, exchanged(most, 2));
        // Where nothing was seen yet all scores are -∞, and none of them may be subtracted from another.
        const float around = most == -INFINITY ? 0.0f : most;
        const float before = power_of_two(top[f][half] - around);
        top[f][half] = most;
        sum[f][half] *= before;
        UNROLL
        for (int i = 0; i < SCORES; i++) {
            UNROLL
            for (int j = 2 * half; j < 2 * half + 2; j++) {
                scores[i][j] = power_of_two(scores[i][j] - around);
                sum[f][half] += scores[i][j];
            }
        }
        return before;
    }

    /// Weights of 16 keys as an operand: sums of two products lie in a lane as the operand of the next.
    DEVICE static void pack_weights(uint32_t (&a)[4], const float (&weights)[SCORES][4], int depth) {
        UNROLL
        for (int i = 0; i < 4; i++) {
            const float* two = &weights[2 * depth + i / 2][i % 2 * 2];
            a[i] = pack<T>(two[0], two[1]);
        }
    }

    /// Weights times values.
    DEVICE void add_values(const float (&weights)[F][SCORES][4], const T* values) {
        UNROLL
        for (int depth = 0; depth < Tile::WARP_KEYS / tiles::MMA; depth++) {
            uint32_t a[F][4];
            UNROLL
            for (int f = 0; f < F; f++) pack_weights(a[f], weights[f], depth);
            const int key = first_key + depth * tiles::MMA + tiles::value_row(lane);
            UNROLL
            for (int i = 0; i < OUTPUTS; i += 2) {
                uint32_t b[4];
                load_matrices_transposed(b, values + tiles::swizzled(key, i + tiles::value_chunk(lane), Tile::CHUNKS));
                UNROLL
                for (int f = 0; f < F; f++) {
                    multiply(T{}, out[f][i], a[f], b[0], b[1]);
                    multiply(T{}, out[f][i + 1], a[f], b[2], b[3]);
                }
            }
        }
    }

    /// The whole row's sum of weights.
    DEVICE float whole_sum(int f, int half) const {
        float whole = sum[f][half] + exchanged(sum[f][half], 1);
        return whole + exchanged(whole, 2);
    }
};

/// Where a tile's results go.
template <class T>
struct Results {
    const Attention& problem;
    const Job& job;
    const Task& task;

    /// Stores the log-sum-exp of a stacked row, and tells where its output goes: the element in (rows, heads,
    /// head_dim), or -1 if there is no such row. `top` is in powers of two.
    DEVICE long long place(int row, float top, float sum, bool tells_lse) const {
        const int group = problem.heads / problem.kv_heads;
        const int token = tiles::token_of(task.row + row, group);
        if (token >= job.tokens) return -1;
        const int head = tiles::head_of(task.row + row, group, block_y());
        if (problem.out != nullptr) {
            return (static_cast<long long>(job.first_token + token) * problem.heads + head) * problem.head_dim;
        }
        const long long at = static_cast<long long>(task.partial + token) * problem.heads + head;
        if (tells_lse) problem.partial_lse[at] = sum > 0.0f ? (top + log2f(sum)) * LN_2 : -INFINITY;
        return at * problem.head_dim;
    }

    /// Stores two neighbouring elements of what `place` told.
    DEVICE void store(long long at, int column, float first, float second) const {
        if (at < 0 || column >= problem.head_dim) return;
        if (problem.out != nullptr) {
            *reinterpret_cast<uint32_t*>(static_cast<T*>(problem.out) + at + column) = pack<T>(first, second);
        } else {
            *reinterpret_cast<float2*>(problem.partial_out + at + column) = make_float2(first, second);
        }
    }
};

DEVICE float inverse(float sum) { return sum > 0.0f ? 1.0f / sum : 0.0f; }

/// Each warp has rows of its own: they are stored as they lie.
template <class T, class Tile>
DEVICE void store_rows(const Rows<T, Tile>& rows, const Results<T>& results) {
    UNROLL
    for (int f = 0; f < Tile::FRAGMENTS; f++) {
        UNROLL
        for (int half = 0; half < 2; half++) {
            const float sum = rows.whole_sum(f, half), factor = inverse(sum);
            const long long at = results.place(rows.row(f, half), rows.top[f][half], sum, rows.lane % 4 == 0);
            UNROLL
            for (int i = 0; i < Rows<T, Tile>::OUTPUTS; i++) {
                const int column = i * tiles::MMA_COLUMNS + tiles::sum_column(rows.lane, 0);
                const float* two = &rows.out[f][i][2 * half];
                results.store(at, column, two[0] * factor, two[1] * factor);
            }
        }
    }
}

/// All warps have the same rows and saw other keys: they are merged in shared memory, where no tile is needed any more.
template <class T, class Tile>
DEVICE void merge_warps(const Rows<T, Tile>& rows, const Results<T>& results, float* room) {
    constexpr int WIDTH = Tile::HEAD + 2;
    const int warp = thread() / tiles::WARP;
    UNROLL
    for (int half = 0; half < 2; half++) {
        const float sum = rows.whole_sum(0, half);
        float* row = room + (warp * Tile::ROWS + rows.row(0, half)) * WIDTH;
        if (rows.lane % 4 == 0) row[Tile::HEAD] = rows.top[0][half], row[Tile::HEAD + 1] = sum;
        UNROLL
        for (int i = 0; i < Rows<T, Tile>::OUTPUTS; i++) {
            const int column = i * tiles::MMA_COLUMNS + tiles::sum_column(rows.lane, 0);
            row[column] = rows.out[0][i][2 * half], row[column + 1] = rows.out[0][i][2 * half + 1];
        }
    }
    barrier();
    for (int pair = thread(); pair < Tile::ROWS * Tile::HEAD / 2; pair += Tile::THREADS) {
        const int row = pair / (Tile::HEAD / 2), column = pair % (Tile::HEAD / 2) * 2;
        auto of_warp = [&](int other) { return room + (other * Tile::ROWS + row) * WIDTH; };
        float top = -INFINITY, sum = 0.0f, first = 0.0f, second = 0.0f;
        for (int other = 0; other < Tile::KEY_WARPS; other++) top = fmaxf(top, of_warp(other)[Tile::HEAD]);
        for (int other = 0; other < Tile::KEY_WARPS && top > -INFINITY; other++) {
            const float* found = of_warp(other);
            const float weight = power_of_two(found[Tile::HEAD] - top);
            sum += weight * found[Tile::HEAD + 1];
            first += weight * found[column], second += weight * found[column + 1];
        }
        const long long at = results.place(row, top, sum, column == 0);
        results.store(at, column, first * inverse(sum), second * inverse(sum));
    }
}

/// The keys that rows of a tile see: from the first that one sees to the last, and those that all see.
struct Span {
    int start, end, all_start, all_end;
};

/// Writes each row's limits to shared memory and finds those of all.
template <class Tile>
DEVICE Span find_limits(int* limits, const Attention& problem, const Job& job, const Task& task) {
    const int group = problem.heads / problem.kv_heads;
    for (int row = thread(); row < Tile::ROWS; row += Tile::THREADS) {
        const int token = tiles::token_of(task.row + row, group);
        const bool there = token < job.tokens;
        const int position = there ? problem.positions[job.first_token + token] : 0;
        limits[2 * row] = there ? tiles::visible_start(position, job.base, job.length, problem.window) : 0;
        limits[2 * row + 1] = there ? tiles::visible_end(position, job.base, job.length) : 0;
    }
    barrier();
    Span span = {task.end_key, task.first_key, 0, task.end_key};
    for (int row = 0; row < Tile::ROWS; row++) {
        // What rows beyond the job's tokens see does not matter.
        if (tiles::token_of(task.row + row, group) >= job.tokens) break;
        const int start = limits[2 * row], end = limits[2 * row + 1];
        span.all_start = start > span.all_start ? start : span.all_start;
        span.all_end = end < span.all_end ? end : span.all_end;
        if (start >= end) continue;
        span.start = start < span.start ? start : span.start;
        span.end = end > span.end ? end : span.end;
    }
    span.start = span.start > task.first_key ? span.start : task.first_key;
    span.end = span.end < task.end_key ? span.end : task.end_key;
    return span;
}

/// A task's tile of queries over its keys.
template <class T, class Tile, template <class, class> class Loader>
DEVICE void attend(const Attention& problem) {
    const Task& task = problem.tasks[block_x()];
    const Job& job = problem.jobs[task.job];
    unsigned char* shared = shared_memory();
    T* queries = reinterpret_cast<T*>(shared);
    int* limits = reinterpret_cast<int*>(shared + Tile::LIMITS_AT);
    const Span span = find_limits<Tile>(limits, problem, job, task);
    Loader<T, Tile> loader(queries + Tile::ROWS * Tile::HEAD, job, problem.head_dim);
    const int first = span.start / Tile::KEYS, end = (span.end + Tile::KEYS - 1) / Tile::KEYS;
    Rows<T, Tile> rows(limits);
    if (first < end) {
        load_queries<T, Tile>(queries, problem, job, task);
        loader.fetch(first, 0);
    }
    copies_end();
    for (int tile = first; tile < end; tile++) {
        const int stage = (tile - first) % 2, at = tile * Tile::KEYS;
        if (tile + 1 < end) loader.fetch(tile + 1, 1 - stage);
        copies_end();
        copies_done<1>();
        barrier();
        loader.ready(tile, stage);
        // A task's keys end with a tile or with the job's, and all limits are within these.
        const bool whole = span.all_start <= at && at + Tile::KEYS <= span.all_end;
        rows.look(queries, loader.keys(stage), loader.values(stage), at, whole, problem);
        barrier();
    }
    const Results<T> results{problem, job, task};
    if constexpr (Tile::KEY_WARPS == 1) {
        store_rows<T, Tile>(rows, results);
    } else {
        merge_warps<T, Tile>(rows, results, reinterpret_cast<float*>(shared));
    }
}

#define ATTENTION_TILE(T, name, HEAD, wide, WIDE, Loader, suffix)                                  \
    KERNEL(attend_##name##_##HEAD##_##wide##suffix, Attention, (tiles::Tile<HEAD, WIDE>::THREADS), \
           (tiles::Tile<HEAD, WIDE>::SHARED), attend<T, tiles::Tile<HEAD, WIDE>, Loader>)
#define ATTENTION_TYPE(T, name, HEAD)                       \
    ATTENTION_TILE(T, name, HEAD, wide, true, Exact, )      \
    ATTENTION_TILE(T, name, HEAD, narrow, false, Exact, )   \
    ATTENTION_TILE(T, name, HEAD, wide, true, Rounded, _i8) \
    ATTENTION_TILE(T, name, HEAD, narrow, false, Rounded, _i8)
/// The kernels for heads of up to HEAD elements: attend_{bf16,f16}_HEAD_{wide,narrow}[_i8].
#define ATTENTION(HEAD)              \
    ATTENTION_TYPE(bf16, bf16, HEAD) \
    ATTENTION_TYPE(f16, f16, HEAD)
