// Attention of a wide tile by Hopper's own means: the same tables, masks and results as attention.cuh's, whose softmax
// and stores it takes. One warpgroup copies: the queries, and one thread of it keys and values into a ring of slots, a line
// of a tile at a time. Two others, which have 64 rows each, multiply, and while the weights of a tile are multiplied by its
// values they make those of the next tile.
#pragma once

#include "attention.cuh"
#include "warpgroup.cuh"

/// The slots of keys and values and who may use them. Tiles come in the order in which they are used: keys, then by turns
/// the next keys and the values that belong to the last.
template <class T, class Tile>
struct Ring {
    T* room;
    /// Of each slot: whether a tile is there, and whether it is no longer needed; and whether the queries are there.
    uint64_t *full, *empty, *queries;

    DEVICE Ring(T* room, uint64_t* barriers)
        : room(room), full(barriers), empty(barriers + Tile::SLOTS), queries(barriers + 2 * Tile::SLOTS) {}

    /// One thread does this before all others may use the ring.
    DEVICE void begin() {
        for (int slot = 0; slot < Tile::SLOTS; slot++) {
            barrier_begin(full + slot, 1);
            barrier_begin(empty + slot, Tile::FIRST_COPIER / tiles::WARP);
        }
        barrier_begin(queries, Tile::COPIERS);
        barriers_begun();
    }

    DEVICE T* tile(int item) const { return room + tiles::slot_of(item, Tile::SLOTS) * Tile::KV; }

    /// Waits for the room of an item; before a slot is used first this is no wait.
    DEVICE void await_room(int item) const {
        barrier_await(empty + tiles::slot_of(item, Tile::SLOTS), 1 - tiles::round_of(item, Tile::SLOTS));
    }
    DEVICE void await(int item) const {
        barrier_await(full + tiles::slot_of(item, Tile::SLOTS), tiles::round_of(item, Tile::SLOTS));
    }
    /// A warp's part of what was read is read when its products are done.
    DEVICE void release(int item) const {
        if (thread() % tiles::WARP == 0) barrier_arrive(empty + tiles::slot_of(item, Tile::SLOTS));
    }
};

/// A warp copies the tile number `tile` of keys, or of values, into the room of an item.
template <class T, class Tile>
DEVICE void copy_lines(const Ring<T, Tile>& ring, int item, const void* from, int tile, const Job& job) {
    T* to = ring.tile(item);
    const int lane = thread() % tiles::WARP, first = tile * Tile::KEYS;
    const int rows = job.length - first < Tile::KEYS ? job.length - first : Tile::KEYS;
    // One lane waits for all: another that came late would wait for the phase after the next.
    if (lane == 0) ring.await_room(item);
    if (rows < Tile::KEYS) {
        warp_barrier();
        // No key has a weight there, but what lies there could be no number.
        for (int copy = rows * Tile::CHUNKS + lane; copy < Tile::KEYS * Tile::CHUNKS; copy += tiles::WARP) {
            const int row = tiles::copied_row(copy, Tile::CHUNKS), chunk = tiles::copied_chunk(copy, Tile::CHUNKS);
            copy_16(to + Tile::place(row, chunk, Tile::KEYS), from, 0);
        }
        copies_end();
        copies_done<0>();
        show_products();
        warp_barrier();
    }
    if (lane != 0) return;
    uint64_t* full = ring.full + tiles::slot_of(item, Tile::SLOTS);
    barrier_expect(full, rows * Tile::LINES * tiles::LINE);
    for (int line = 0; line < Tile::LINES; line++) {
        const int chunk = line * tiles::LINE_CHUNKS;
        const long long at = tiles::exact_at(block_y(), first, chunk, job.capacity, Tile::HEAD);
        copy_bulk(to + Tile::place(0, chunk, Tile::KEYS), static_cast<const T*>(from) + at, rows * tiles::LINE, full);
    }
}

/// The warpgroup that copies: queries and, by its first warp, the tiles [first, end).
template <class T, class Tile>
DEVICE void fill(const Ring<T, Tile>& ring, T* queries, int first, int end, const Attention& problem, const Job& job,
                 const Task& task) {
    load_queries<T, Tile>(queries, problem, job, task);
    copies_end();
    copies_done<0>();
    show_products();
    barrier_arrive(ring.queries);
    if (thread() >= Tile::FIRST_COPIER + tiles::WARP) return;
    int items = 0;
    copy_lines(ring, items++, job.keys, first, job);
    for (int tile = first; tile < end; tile++) {
        if (tile + 1 < end) copy_lines(ring, items++, job.keys, tile + 1, job);
        copy_lines(ring, items++, job.values, tile, job);
    }
}

/// A warpgroup that multiplies.
template <class T, class Tile>
struct Multiplier {
    using Own = Rows<T, Tile>;
    static constexpr int DEPTHS = Tile::KEYS / tiles::MMA;

    const Ring<T, Tile>& ring;
    /// The warpgroup's first query.
    const T* queries;
    const Attention& problem;
    Own& rows;
    int items = 0;
    /// Scores, then weights, and these as operands.
    float scores[1][Own::SCORES][4];
    uint32_t weights[DEPTHS][4];

    DEVICE Multiplier(const Ring<T, Tile>& ring, const T* queries, const Attention& problem, Own& rows)
        : ring(ring), queries(queries), problem(problem), rows(rows) {}

    /// Begins to multiply the warpgroup's queries by the keys that come next; returns their item.
    DEVICE int multiply_keys() {
        ring.await(items);
        // Rows are this deep throughout: there are no other blocks of columns to tell of.
        const uint64_t a = tiles::matrix(shared_address(queries), tiles::CHUNK * 2);
        const uint64_t b = tiles::matrix(shared_address(ring.tile(items)), tiles::CHUNK * 2);
        products_begin(scores[0]);
        UNROLL
        for (int depth = 0; depth < Tile::HEAD / tiles::MMA; depth++) {
            multiply_columns<T, Tile::KEYS>(scores[0], tiles::further(a, tiles::by_columns(depth, Tile::ROWS)),
                                            tiles::further(b, tiles::by_columns(depth, Tile::KEYS)), depth > 0);
        }
        products_end();
        return items++;
    }

    /// Begins to multiply the weights by the values that come next; returns their item.
    DEVICE int multiply_values() {
        ring.await(items);
        const uint64_t b = tiles::matrix(shared_address(ring.tile(items)), Tile::KEYS * tiles::LINE);
        products_begin(weights, rows.out[0]);
        UNROLL
        for (int depth = 0; depth < DEPTHS; depth++) {
            UNROLL
            for (int column = 0; column < Tile::HEAD; column += Tile::COLUMNS) {
                multiply_rows<T, Tile::COLUMNS>(&rows.out[0][column / tiles::MMA_COLUMNS], weights[depth],
                                                tiles::further(b, tiles::by_rows(column, depth, Tile::KEYS)));
            }
        }
        products_end();
        return items++;
    }

    DEVICE void pack_weights() {
        UNROLL
        for (int depth = 0; depth < DEPTHS; depth++) Own::pack_weights(weights[depth], scores[0], depth);
    }

    /// Looks at the tiles [first, end), of which there is one.
    DEVICE void look(int first, int end, const Span& span) {
        float factors[1][2];
        barrier_await(ring.queries, 0);
        const int keys = multiply_keys();
        products_done<0>(scores[0]);
        ring.release(keys);
        weigh(factors, first, span);
        pack_weights();
        for (int tile = first + 1; tile < end; tile++) {
            const int keys = multiply_keys(), values = multiply_values();
            products_done<1>(scores[0]);
            ring.release(keys);
            weigh(factors, tile, span);
            products_done<0>(rows.out[0], weights);
            ring.release(values);
            rows.scale(factors);
            pack_weights();
        }
        multiply_values();
        products_done<0>(rows.out[0]);
    }

    DEVICE void weigh(float (&factors)[1][2], int tile, const Span& span) {
        const int at = tile * Tile::KEYS;
        const bool whole = span.all_start <= at && at + Tile::KEYS <= span.all_end;
        rows.weigh(scores, factors, at, whole, problem);
    }
};

/// A task's tile of queries over its keys.
template <class T, class Tile>
DEVICE void attend_hopper(const Attention& problem) {
    const Task& task = problem.tasks[block_x()];
    const Job& job = problem.jobs[task.job];
    unsigned char* shared = shared_memory();
    shared += -shared_address(shared) % tiles::ATOM;
    T* queries = reinterpret_cast<T*>(shared);
    int* limits = reinterpret_cast<int*>(shared + Tile::LIMITS_AT);
    Ring<T, Tile> ring(queries + Tile::ROWS * Tile::HEAD, reinterpret_cast<uint64_t*>(shared + Tile::BARRIERS_AT));
    if (thread() == 0) ring.begin();
    // Ends with a barrier of all threads, behind which the ring's are known.
    const Span span = find_limits<Tile>(limits, problem, job, task);
    const int first = span.start / Tile::KEYS, end = (span.end + Tile::KEYS - 1) / Tile::KEYS;
    if (thread() >= Tile::FIRST_COPIER) {
        registers_down_to<Tile::FEW>();
        if (first < end) fill(ring, queries, first, end, problem, job, task);
    } else {
        registers_up_to<Tile::MANY>();
        const int group = thread() / Tile::GROUP;
        Rows<T, Tile> rows(limits);
        Multiplier<T, Tile> multiplier(ring, queries + group * Tile::GROUP_ROWS * tiles::LINE_ELEMENTS, problem, rows);
        if (first < end) multiplier.look(first, end, span);
        store_rows(rows, Results<T>{problem, job, task});
    }
}

#define HOPPER_TILE(T, name, HEAD)                                                               \
    KERNEL_ALONE(attend_##name##_##HEAD##_hopper, Attention, tiles::Hopper<HEAD>::THREADS,       \
                 tiles::Hopper<HEAD>::SHARED, attend_hopper<T, tiles::Hopper<HEAD>>)
/// The kernels for heads of HEAD elements: attend_{bf16,f16}_HEAD_hopper.
#define HOPPER(HEAD)              \
    HOPPER_TILE(bf16, bf16, HEAD) \
    HOPPER_TILE(f16, f16, HEAD)
