// Hopper's instructions on the CPU, from what the PTX ISA says of them and not from how kernels use them:
// - products are taken when they are asked for, or when they are waited for and nobody else can do anything, as the seed
//   says; until then their sums are what they were, and what they read, registers too, must stay;
// - they see of shared memory what the thread that copied it has shown them, and what copies brought that tell a barrier;
// - each of a warpgroup's warps goes on by itself;
// - a barrier's phase ends with the last arrival that it was told to expect, and with the last byte;
// - copies that tell a barrier arrive at once, or one by one when nobody can do anything without them.
#pragma once

#include "emulated.h"
#include "matrix.h"

namespace emulated {

/// Where the block's shared memory begins as products see it: seldom at a multiple of 1024.
inline uint32_t window() { return 1024 + 128 * (block().seed % 8); }

/// Whether products are taken late: with copies that are, and with others.
inline bool late() { return block().seed / 2 % 2 == 0; }

/// An element as products see it.
template <class T>
float element(const manual::Matrix& matrix, bool depth_first, int i, int k) {
    const uint32_t at = matrix.address(depth_first, i, k) - window();
    if (at + 2 > block().shown.size()) fail("a product reads beyond shared memory");
    T held;
    std::memcpy(&held, block().shown.data() + at, 2);
    return widen(held);
}

/// A lane's part of m64nNk16: its warp's rows are 16 · (warp % 4) and following; of these it has lane / 4 and that + 8.
template <class T>
struct Product {
    float (*sums)[4];
    int columns;
    bool add;
    /// Each lane's registers of A; null where a matrix in shared memory tells of it.
    const uint32_t* registers[tiles::WARP];
    manual::Matrix a, b;
    bool b_depth_first;

    float a_element(int row, int k) const {
        if (registers[0] == nullptr) return element<T>(a, true, block().current / 32 % 4 * 16 + row, k);
        // Registers 0 and 2 have rows 0-7, 1 and 3 rows 8-15; 0 and 1 have depths 0-7, 2 and 3 depths 8-15.
        const uint32_t both = registers[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
        return widen(T{static_cast<uint16_t>(both >> k % 2 * 16)});
    }

    void take() const {
        float rows[2][16];
        for (int k = 0; k < 16; k++) {
            for (int half = 0; half < 2; half++) rows[half][k] = a_element(lane() / 4 + 8 * half, k);
        }
        for (int column = 0; column < columns; column++) {
            if (column % 8 / 2 != lane() % 4) continue;
            float both[2] = {0.0f, 0.0f};
            for (int k = 0; k < 16; k++) {
                const float other = element<T>(b, b_depth_first, column, k);
                for (int half = 0; half < 2; half++) both[half] += rows[half][k] * other;
            }
            for (int half = 0; half < 2; half++) {
                float& sum = sums[column / 8][2 * half + column % 2];
                sum = add ? sum + both[half] : both[half];
            }
        }
    }
};

template <class T>
void multiply(Product<T> product, const uint32_t* registers) {
    if (!fiber().fenced) fail("a product without a fence since registers were free");
    if (!product.b.known() || (registers == nullptr && !product.a.known())) fail("a matrix that is none");
    show(registers);
    for (int other = 0; other < tiles::WARP; other++) product.registers[other] = seen<const uint32_t*>(other);
    fiber().products.back().push_back([product] { product.take(); });
    if (!late()) {
        fiber().products.back().back()();
        fiber().products.back().pop_back();
    }
    wait(Waits::Warp);
}

inline Phases& phases(const uint64_t* barrier) {
    auto found = block().barriers.find(barrier);
    if (found == block().barriers.end()) fail("a barrier that was not begun");
    return found->second;
}

}  // namespace emulated

inline uint32_t shared_address(const void* at) {
    return static_cast<uint32_t>(static_cast<const unsigned char*>(at) - shared_memory()) + emulated::window();
}

inline void barrier_begin(uint64_t* barrier, int count) {
    if (reinterpret_cast<uintptr_t>(barrier) % 8) emulated::fail("a barrier where none can be");
    emulated::block().barriers[barrier] = {count, count, 0, 0, false};
}
inline void barriers_begun() {
    for (auto& [_, phases] : emulated::block().barriers) phases.shown = true;
}
inline void barrier_arrive(uint64_t* barrier) {
    auto& phases = emulated::phases(barrier);
    phases.missing--;
    phases.arrived();
}
inline void barrier_expect(uint64_t* barrier, int bytes) {
    emulated::phases(barrier).bytes += bytes;
    barrier_arrive(barrier);
}
inline void barrier_await(uint64_t* barrier, int parity) {
    auto& phases = emulated::phases(barrier);
    emulated::fiber().awaits = [&phases, parity] { return phases.number % 2 != parity; };
    emulated::wait(emulated::Waits::Phase);
}

inline void copy_bulk(void* to, const void* from, int bytes, uint64_t* barrier) {
    auto begins = [](const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; };
    if (!begins(to) || !begins(from) || bytes % 16 || bytes <= 0) emulated::fail("a copy of what is no 16 bytes");
    auto& phases = emulated::phases(barrier);
    if (!phases.shown) emulated::fail("a copy that does not know of its barrier");
    const emulated::Bulk bulk{{to, from, bytes}, &phases};
    if (emulated::block().seed % 2) return emulated::land(bulk);
    // What is there from now on until it arrives is neither one thing nor the other.
    std::memset(to, 0xff, bytes);
    std::memset(emulated::shown_at(to), 0xff, bytes);
    emulated::block().bulks.push_back(bulk);
}

inline void show_products() {
    for (void* at : emulated::fiber().arrived) std::memcpy(emulated::shown_at(at), at, 16);
    emulated::fiber().arrived.clear();
}

template <int REGISTERS>
void registers_down_to() {}
template <int REGISTERS>
void registers_up_to() {}

template <class... Registers>
void products_begin(Registers&...) {
    emulated::fiber().fenced = true;
}
inline void products_end() { emulated::fiber().products.emplace_back(); }
template <int PENDING, class... Registers>
void products_done(Registers&...) {
    // As late as it may be is when all other warps have come as far as they can without this one.
    if (emulated::late()) emulated::wait(emulated::Waits::Others);
    // All lanes have come here before the first one's registers may change, and one goes on only when all are done.
    emulated::wait(emulated::Waits::Warp);
    auto& groups = emulated::fiber().products;
    for (size_t i = 0; i + 1 + PENDING < groups.size(); i++) {
        for (const auto& product : groups[i]) product();
        groups[i].clear();
    }
    emulated::fiber().fenced = false;
    emulated::wait(emulated::Waits::Warp);
}

template <class T, int N>
void multiply_columns(float (*sums)[4], uint64_t a, uint64_t b, bool add) {
    emulated::multiply<T>({sums, N, add, {}, {a}, {b}, true}, nullptr);
}
template <class T, int N>
void multiply_rows(float (*sums)[4], const uint32_t (&a)[4], uint64_t b) {
    emulated::multiply<T>({sums, N, true, {}, {}, {b}, false}, a);
}
