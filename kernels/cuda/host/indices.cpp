// Checks the index functions of tiles.h over all of their arguments for the shipped tile sizes; prints what does not
// hold and exits with 1.
#include "../tiles.h"
#include "matrix.h"

#include <cstdio>
#include <set>
#include <utility>
#include <vector>

namespace {

bool good = true;

void hold(bool holds, const char* what, long long a = 0, long long b = 0) {
    if (holds) return;
    std::printf("does not hold: %s (%lld, %lld)\n", what, a, b);
    good = false;
}

/// Each chunk of `rows` rows is copied by one thread in one step, to a place of its own within the tile.
template <class TILE>
void copies(int rows) {
    const int chunks = TILE::CHUNKS, threads = TILE::COPIERS;
    std::vector<int> copied(rows * chunks), filled(rows * chunks * tiles::CHUNK);
    for (int step = 0; step * threads < rows * chunks; step++) {
        for (int thread = 0; thread < threads; thread++) {
            const int copy = tiles::copied(thread, step, threads);
            if (copy >= rows * chunks) continue;
            const int row = tiles::copied_row(copy, chunks), chunk = tiles::copied_chunk(copy, chunks);
            hold(row >= 0 && row < rows && chunk >= 0 && chunk < chunks, "a copy is within the tile", row, chunk);
            copied[row * chunks + chunk]++;
            for (int i = 0; i < tiles::CHUNK; i++) {
                const int at = TILE::place(row, chunk, rows) + i;
                hold(at >= 0 && at < static_cast<int>(filled.size()), "a chunk's place is within the tile", row, chunk);
                filled[at]++;
            }
        }
    }
    for (int count : copied) hold(count == 1, "each chunk is copied once", count);
    for (int count : filled) hold(count == 1, "each place is filled once", count);
}

/// The eight lanes that name the rows of one matrix touch all 32 banks of four bytes.
template <class Row, class Chunk>
void banks(int chunks, Row row, Chunk chunk) {
    for (int first_chunk = 0; first_chunk + 1 < chunks; first_chunk += 2) {
        for (int matrix = 0; matrix < 4; matrix++) {
            std::set<int> touched;
            for (int lane = 8 * matrix; lane < 8 * matrix + 8; lane++) {
                const int bytes = 2 * tiles::swizzled(row(lane), first_chunk + chunk(lane), chunks);
                for (int word = 0; word < 4; word++) touched.insert((bytes / 4 + word) % 32);
            }
            hold(touched.size() == 32, "a phase of ldmatrix touches each bank once", first_chunk, matrix);
        }
    }
}

template <class TILE>
void tile() {
    copies<TILE>(TILE::ROWS), copies<TILE>(TILE::KEYS);
    banks(TILE::CHUNKS, tiles::query_row, tiles::query_chunk);
    banks(TILE::CHUNKS, tiles::key_row, tiles::key_chunk);
    banks(TILE::CHUNKS, tiles::value_row, tiles::value_chunk);
    hold(TILE::SHARED <= 99 << 10, "a tile fits the shared memory of every chip from 8.0 on", TILE::HEAD, TILE::SHARED);
    hold(tiles::BLOCK % TILE::KEYS == 0, "a tile of keys is within a block of bytes", TILE::KEYS);
}

/// Hopper's products find the element (row, column) of a tile where it was copied to, wherever that lies.
template <class TILE>
void hopper() {
    copies<TILE>(TILE::ROWS), copies<TILE>(TILE::KEYS);
    const uint32_t room = TILE::ROWS * TILE::HEAD * 2;
    auto finds = [](const manual::Matrix& found, bool depth_first, int i, int k, uint32_t tile, int rows, int row,
                    int column) {
        const int element = TILE::place(row, column / tiles::CHUNK, rows) + column % tiles::CHUNK;
        hold(found.known() && found.address(depth_first, i, k) == tile + 2 * element, "a product finds an element", row,
             column);
    };
    for (uint32_t tile = 1024; tile + room <= 227 << 10; tile += room) {
        for (int first : {0, TILE::GROUP_ROWS}) {
            const auto matrix = tiles::matrix(tile + first * tiles::LINE, 2 * tiles::CHUNK);
            for (int row = 0; row < TILE::GROUP_ROWS; row++) {
                for (int column = 0; column < TILE::HEAD; column++) {
                    const manual::Matrix at{tiles::further(matrix, tiles::by_columns(column / 16, TILE::ROWS))};
                    finds(at, true, row, column % 16, tile, TILE::ROWS, first + row, column);
                }
            }
        }
        const auto keys = tiles::matrix(tile, 2 * tiles::CHUNK), values = tiles::matrix(tile, TILE::KEYS * tiles::LINE);
        for (int key = 0; key < TILE::KEYS; key++) {
            for (int column = 0; column < TILE::HEAD; column++) {
                const manual::Matrix of_keys{tiles::further(keys, tiles::by_columns(column / 16, TILE::KEYS))};
                finds(of_keys, true, key, column % 16, tile, TILE::KEYS, key, column);
                const int first = column / TILE::COLUMNS * TILE::COLUMNS;
                const manual::Matrix of_values{tiles::further(values, tiles::by_rows(first, key / 16, TILE::KEYS))};
                finds(of_values, false, column - first, key % 16, tile, TILE::KEYS, key, column);
            }
        }
    }
    // A line of a tile's keys lies in a cache as it does in the tile.
    for (int head : {0, 2}) {
        for (int first : {0, TILE::KEYS, 3 * TILE::KEYS}) {
            for (int row = 0; row < TILE::KEYS; row++) {
                for (int chunk = 0; chunk < TILE::CHUNKS; chunk++) {
                    const int line = chunk / tiles::LINE_CHUNKS * tiles::LINE_CHUNKS, capacity = 4 * TILE::KEYS + 3;
                    const long long begins = tiles::exact_at(head, first, line, capacity, TILE::HEAD);
                    const long long kept = tiles::exact_at(head, first + row, chunk, capacity, TILE::HEAD) - begins;
                    const int placed = TILE::place(row, chunk, TILE::KEYS) - TILE::place(0, line, TILE::KEYS);
                    hold(kept == placed && begins % tiles::CHUNK == 0, "a line is copied in one piece", row, chunk);
                }
            }
        }
    }
    hold(room % tiles::ATOM == 0 && TILE::KV * 2 % tiles::ATOM == 0, "tiles begin where chunks are turned anew");
    hold(TILE::BARRIERS_AT % 8 == 0 && TILE::SHARED <= 227 << 10, "a tile fits Hopper's shared memory", TILE::SHARED);
    for (int item = 0; item < 4 * TILE::SLOTS; item++) {
        const int slot = tiles::slot_of(item, TILE::SLOTS), after = item + TILE::SLOTS;
        hold(slot == tiles::slot_of(after, TILE::SLOTS) && slot != tiles::slot_of(item + 1, TILE::SLOTS), "slots", item);
        hold(tiles::round_of(item, TILE::SLOTS) != tiles::round_of(after, TILE::SLOTS), "a slot's next tile", item);
        hold((item < TILE::SLOTS) <= (tiles::round_of(item, TILE::SLOTS) == 0), "a slot's first tile", item);
    }
}

/// Lanes hold each element of a fragment once.
template <class Row, class Column>
void fragment(int rows, int columns, int elements, Row row, Column column, const char* what) {
    std::set<std::pair<int, int>> held;
    for (int lane = 0; lane < tiles::WARP; lane++) {
        for (int i = 0; i < elements; i++) {
            const int r = row(lane, i), c = column(lane, i);
            hold(r >= 0 && r < rows && c >= 0 && c < columns, what, r, c);
            held.insert({r, c});
        }
    }
    hold(static_cast<int>(held.size()) == rows * columns && rows * columns == elements * tiles::WARP, what,
         held.size());
}

/// What `ldmatrix` gives is what the product takes: lane l gets of matrix m the elements 2 (l % 4) and the next of row
/// l / 4.
void matrices() {
    for (int lane = 0; lane < tiles::WARP; lane++) {
        for (int m = 0; m < 4; m++) {
            for (int i = 0; i < 2; i++) {
                // The lanes that name the rows which hold this lane's elements.
                const int straight = 8 * m + lane / 4, turned = 8 * m + lane % 4 * 2 + i;
                const int minor = lane % 4 * 2 + i;
                hold(tiles::query_row(straight) == tiles::a_row(lane, 2 * m + i), "rows of queries", lane, m);
                hold(tiles::query_chunk(straight) * 8 + minor == tiles::a_column(lane, 2 * m + i), "depth of queries",
                     lane, m);
                // Two products of two registers each.
                const int product = m / 2, element = m % 2 * 2 + i;
                hold(tiles::key_row(straight) == product * 8 + tiles::b_column(lane, element), "keys", lane, m);
                hold(tiles::key_chunk(straight) * 8 + minor == tiles::b_row(lane, element), "depth of keys", lane, m);
                hold(tiles::value_row(turned) == tiles::b_row(lane, element), "depth of values", lane, m);
                hold(tiles::value_chunk(turned) * 8 + lane / 4 == product * 8 + tiles::b_column(lane, element),
                     "values", lane, m);
            }
        }
        // Sums of two products are the rows and the depth of the next one's first operand.
        for (int i = 0; i < 8; i++) {
            const int product = i / 4, element = i % 4;
            hold(tiles::a_row(lane, i) == tiles::sum_row(lane, element), "rows of weights", lane, i);
            hold(tiles::a_column(lane, i) == product * 8 + tiles::sum_column(lane, element), "depth of weights", lane,
                 i);
        }
    }
}

/// Limits against their definition.
void visible() {
    for (int length = 0; length < 12; length++) {
        for (int base = 0; base < 9; base++) {
            for (int position = 0; position < 24; position++) {
                for (int window = 0; window < 14; window++) {
                    const int start = tiles::visible_start(position, base, length, window);
                    const int end = tiles::visible_end(position, base, length);
                    for (int key = 0; key < length; key++) {
                        const int at = base + key;
                        const bool seen = at <= position && (window == 0 || position - at < window);
                        hold(seen == (key >= start && key < end), "a key is seen as its definition says", position,
                             key);
                    }
                    hold(start >= 0 && start <= length && end >= 0 && end <= length, "limits are within the keys",
                         start, end);
                }
            }
        }
    }
}

/// Stacked rows are all heads of all tokens, each once.
void stacked() {
    for (int group = 1; group <= 12; group++) {
        for (int kv_heads = 1; kv_heads <= 3; kv_heads++) {
            std::set<std::pair<int, int>> all;
            for (int kv_head = 0; kv_head < kv_heads; kv_head++) {
                for (int row = 0; row < 5 * group; row++) {
                    const int head = tiles::head_of(row, group, kv_head);
                    hold(head / group == kv_head, "a head is of its key head", head, kv_head);
                    all.insert({tiles::token_of(row, group), head});
                }
            }
            hold(static_cast<int>(all.size()) == 5 * group * kv_heads, "each head of each token is one row", group,
                 kv_heads);
        }
    }
}

/// Caches and their factors do not overlap, and fill what there is room for.
void caches() {
    for (int dim : {64, 80, 96, 128, 256}) {
        const int capacity = 2 * tiles::BLOCK, heads = 3;
        std::set<long long> rows, elements, blocks;
        for (int head = 0; head < heads; head++) {
            for (int key = 0; key < capacity; key++) {
                rows.insert(tiles::codes_at(head, key, capacity, dim) / dim);
                for (int i = 0; i < dim; i++) elements.insert(tiles::element_at(head, key, i, capacity, dim));
            }
            for (int block = 0; block < 2; block++)
                blocks.insert(tiles::factors_at(head, block, capacity, dim) / tiles::factors(dim));
        }
        hold(static_cast<int>(rows.size()) == heads * capacity && *rows.rbegin() == heads * capacity - 1,
             "rows of a cache of bytes", dim);
        hold(static_cast<int>(elements.size()) == heads * capacity * dim &&
                 *elements.rbegin() == heads * capacity * dim - 1,
             "elements of a cache", dim);
        hold(blocks.size() == 6 && *blocks.rbegin() == 5, "factors of a cache", dim);
        hold(tiles::mean_at(dim) == tiles::BLOCK && tiles::value_scales_at(dim) == tiles::mean_at(dim) + dim,
             "factors' order", dim);
        hold(tiles::value_scales_at(dim) + dim == tiles::factors(dim), "factors' number", dim);
    }
}

/// Pairs are all elements of a head, each once, and those that are turned are the first 2 · half.
void pairs() {
    for (int dim : {64, 96, 128}) {
        for (int half = 0; half <= dim / 2; half++) {
            for (bool interleaved : {false, true}) {
                std::set<int> all;
                for (int pair = 0; pair < dim / 2; pair++) {
                    const int first = tiles::pair_first(pair, half, interleaved);
                    const int second = tiles::pair_second(pair, half, interleaved);
                    const bool turned = first < 2 * half && second < 2 * half;
                    hold(turned == (pair < half), "the first pairs are turned", pair, half);
                    if (pair < half)
                        hold(second - first == (interleaved ? 1 : half), "what is turned together", pair, half);
                    all.insert(first), all.insert(second);
                }
                hold(static_cast<int>(all.size()) == dim && *all.rbegin() == dim - 1, "pairs are all elements", dim,
                     half);
            }
        }
    }
}

}  // namespace

int main() {
    tile<tiles::Tile<64, true>>(), tile<tiles::Tile<64, false>>();
    tile<tiles::Tile<128, true>>(), tile<tiles::Tile<128, false>>();
    tile<tiles::Tile<256, true>>(), tile<tiles::Tile<256, false>>();
    hopper<tiles::Hopper<64>>(), hopper<tiles::Hopper<128>>(), hopper<tiles::Hopper<256>>();
    fragment(16, 16, 8, tiles::a_row, tiles::a_column, "the fragment of A");
    fragment(16, 8, 4, tiles::b_row, tiles::b_column, "the fragment of B");
    fragment(16, 8, 4, tiles::sum_row, tiles::sum_column, "the fragment of sums");
    matrices();
    visible();
    stacked();
    caches();
    pairs();
    return good ? 0 : 1;
}
