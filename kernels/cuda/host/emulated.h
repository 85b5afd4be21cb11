// A block of GPU threads on the CPU: each thread has a stack of its own and runs until it comes to a barrier, alone,
// with its warp or with the block. Slow, and exact about what threads may know of each other:
// - asynchronous copies arrive at once or only when they are waited for, as the seed says;
// - shared memory is full of numbers that are none until it is written;
// - a warp goes on as far as it can before the next one moves, in an order of warps and of their threads that a seed
//   chooses, so that what depends on the order is found.
#pragma once

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#define DEVICE inline
#define UNROLL
#define UNROLL_BY(steps)

namespace emulated {

/// A kernel as it is launched.
struct Kernel {
    int threads;
    int shared;
    int argument_bytes;
    void (*run)(const void* arguments);
};

inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

struct Registered {
    Registered(const char* name, Kernel kernel) { kernels()[name] = kernel; }
};

struct Copy {
    void* to;
    const void* from;
    int bytes;
};

enum class Waits { Nothing, Warp, Block, Phase, Others, Done };

/// A thread of the block.
struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(256 << 10);
    Waits waits = Waits::Nothing;
    std::vector<std::vector<Copy>> groups;
    /// Where copies of 16 bytes have arrived that were not shown to products.
    std::vector<void*> arrived;
    /// Products by groups, and whether registers may be theirs.
    std::vector<std::vector<std::function<void()>>> products;
    bool fenced = false;
    /// Whether a phase has ended that it waits for.
    std::function<bool()> awaits;
    /// What it shows its warp; one is read while the other is written.
    alignas(16) unsigned char shown[2][64];
    int turn = 0;
};

/// A barrier that counts: arrivals of each phase; of the current one those that are missing, bytes of copies that are, and
/// its number.
struct Phases {
    int count, missing;
    long long bytes;
    int number;
    /// Whether copies know of it.
    bool shown;

    void arrived() {
        if (missing > 0 || bytes != 0) return;
        missing = count, number++;
    }
};

/// A copy that arrives by itself and tells a barrier.
struct Bulk {
    Copy copy;
    Phases* tells;
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<unsigned char> memory;
    /// What products see of the memory.
    std::vector<unsigned char> shown;
    std::map<const void*, Phases> barriers;
    /// Copies on their way.
    std::vector<Bulk> bulks;
    /// First aligned byte of the memory.
    unsigned char* shared = nullptr;
    int current = 0, released = 0, x = 0, y = 0, grid_x = 1, seed = 0;
    ucontext_t scheduler;
    const Kernel* kernel = nullptr;
    const void* arguments = nullptr;
};

inline Block& block() {
    static Block only;
    return only;
}

[[noreturn]] inline void fail(const char* problem) {
    std::fprintf(stderr, "emulated block: %s\n", problem);
    std::exit(1);
}

inline Fiber& fiber() { return block().fibers[block().current]; }

inline void wait(Waits what) {
    fiber().waits = what;
    swapcontext(&fiber().context, &block().scheduler);
}

inline void enter() {
    block().kernel->run(block().arguments);
    fiber().waits = Waits::Done;
    swapcontext(&fiber().context, &block().scheduler);
}

/// Lets a group of threads go on if all of them wait for each other.
inline bool release(int first, int count, Waits what) {
    auto& fibers = block().fibers;
    int waiting = 0;
    for (int i = first; i < first + count; i++) waiting += fibers[i].waits == what;
    if (waiting < count) return false;
    for (int i = first; i < first + count; i++) fibers[i].waits = Waits::Nothing;
    return true;
}

/// A way through `count` things that the seed chooses; seven is prime to all numbers of threads and warps.
inline int ordered(int i, int count, int seed) {
    if (seed / 2 == 0) return i;
    if (seed / 2 == 1) return count - 1 - i;
    return (i * 7 + seed) % count;
}

/// What products see of a place in shared memory.
inline unsigned char* shown_at(void* shared) {
    return block().shown.data() + (static_cast<unsigned char*>(shared) - block().shared);
}

/// Runs a warp's threads until each of them has ended or waits for the block. Tells whether anything happened.
inline bool run_warp(int warp) {
    Block& now = block();
    bool moved = false;
    for (bool going = true; going; moved |= going) {
        going = false;
        for (int i = 0; i < tiles::WARP; i++) {
            now.current = warp * tiles::WARP + ordered(i, tiles::WARP, now.seed);
            if (fiber().waits == Waits::Phase && fiber().awaits()) fiber().waits = Waits::Nothing;
            if (fiber().waits != Waits::Nothing) continue;
            swapcontext(&now.scheduler, &fiber().context);
            going = true;
        }
        going |= release(warp * tiles::WARP, tiles::WARP, Waits::Warp);
    }
    return moved;
}

/// Lets one warp go on that waits until no other can do anything, by turns.
inline bool release_one(int warps) {
    int& last = block().released;
    for (int i = 1; i <= warps; i++) {
        const int warp = (last + i) % warps;
        if (release(warp * tiles::WARP, tiles::WARP, Waits::Others)) return last = warp, true;
    }
    return false;
}

/// A copy that nobody waits for arrives, and products see it.
inline void land(const Bulk& bulk) {
    const auto& [to, from, bytes] = bulk.copy;
    std::memcpy(to, from, bytes);
    std::memcpy(shown_at(to), from, bytes);
    bulk.tells->bytes -= bytes;
    bulk.tells->arrived();
}

/// Lets one copy arrive, the first or the last that was asked for.
inline bool land_one() {
    auto& bulks = block().bulks;
    if (bulks.empty()) return false;
    const auto next = block().seed / 4 % 2 ? bulks.begin() : bulks.end() - 1;
    const Bulk bulk = *next;
    bulks.erase(next);
    land(bulk);
    return true;
}

inline void run_block(const Kernel& kernel, const void* arguments, int x, int y, int grid_x, int seed) {
    Block& now = block();
    now.kernel = &kernel, now.arguments = arguments, now.x = x, now.y = y, now.grid_x = grid_x, now.seed = seed;
    now.memory.assign(kernel.shared + 128, 0xff);
    auto start = reinterpret_cast<uintptr_t>(now.memory.data());
    now.shown = std::vector<unsigned char>(kernel.shared, 0xff);
    now.barriers.clear();
    now.bulks.clear();
    now.shared = now.memory.data() + (128 - start % 128) % 128;
    now.fibers.resize(kernel.threads);
    for (Fiber& fiber : now.fibers) {
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        fiber.groups.assign(1, {});
        fiber.products.assign(1, {});
        fiber.arrived.clear();
        fiber.fenced = false;
        fiber.waits = Waits::Nothing;
        makecontext(&fiber.context, enter, 0);
    }
    const int warps = kernel.threads / tiles::WARP;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < warps; i++) moved |= run_warp(ordered(i, warps, seed));
        moved |= release(0, kernel.threads, Waits::Block);
        if (!moved) moved = release_one(warps) || land_one();
    }
    for (const Fiber& fiber : now.fibers) {
        if (fiber.waits != Waits::Done) fail("threads wait for others that do not come");
    }
}

/// What lane `lane` of this thread's warp showed last.
inline const unsigned char* shown_by(int lane) {
    int first = block().current / tiles::WARP * tiles::WARP;
    return block().fibers[first + lane].shown[fiber().turn];
}

/// Shows a value to the warp; all its threads come here before one goes on.
template <class V>
void show(const V& value) {
    static_assert(sizeof(V) <= sizeof(Fiber::shown[0]));
    fiber().turn ^= 1;
    std::memcpy(fiber().shown[fiber().turn], &value, sizeof value);
    wait(Waits::Warp);
}

template <class V>
V seen(int lane) {
    V value;
    std::memcpy(&value, shown_by(lane), sizeof value);
    return value;
}

inline void arrive(const Copy& copy) {
    std::memset(copy.to, 0, 16);
    if (copy.bytes) std::memcpy(copy.to, copy.from, copy.bytes);
    // Until it is shown products see one thing or another.
    std::memset(shown_at(copy.to), 0xff, 16);
    fiber().arrived.push_back(copy.to);
}

inline int lane() { return block().current % tiles::WARP; }

inline void load_matrices(uint32_t (&to)[4], const void* row, bool transposed) {
    show(row);
    for (int matrix = 0; matrix < 4; matrix++) {
        uint16_t pair[2];
        for (int i = 0; i < 2; i++) {
            int major = lane() / 4, minor = lane() % 4 * 2 + i;
            auto from = static_cast<const uint16_t*>(seen<const void*>(8 * matrix + (transposed ? minor : major)));
            pair[i] = from[transposed ? major : minor];
        }
        to[matrix] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
    }
}

}  // namespace emulated

#define KERNEL(name, Arguments, threads, shared, ...) \
    static emulated::Registered name##_registered(    \
        #name, {threads, shared, sizeof(Arguments),   \
                [](const void* arguments) { __VA_ARGS__(*static_cast<const Arguments*>(arguments)); }});

#define KERNEL_ALONE KERNEL

inline int thread() { return emulated::block().current; }
inline int block_x() { return emulated::block().x; }
inline int block_y() { return emulated::block().y; }
inline int threads_in_block() { return emulated::block().kernel->threads; }
inline long long threads_in_grid() { return static_cast<long long>(emulated::block().grid_x) * threads_in_block(); }
inline void barrier() { emulated::wait(emulated::Waits::Block); }
inline void warp_barrier() { emulated::wait(emulated::Waits::Warp); }
inline unsigned char* shared_memory() { return emulated::block().shared; }

struct alignas(8) float2 {
    float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

inline float widen(float x) { return x; }
inline float widen(bf16 x) {
    uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, 4);
    return wide;
}
inline float widen(f16 x) {
    int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
    float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                      : exponent == 0 ? std::ldexp(float(fraction), -24)
                                      : std::ldexp(float(fraction + 1024), exponent - 25);
    return x.bits & 0x8000 ? -magnitude : magnitude;
}

inline uint16_t rounded(bf16, float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline uint16_t rounded(f16, float x) {
    uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    if (x != x) return 0x7fff;
    float magnitude = std::fabs(x);
    if (magnitude >= 65520.0f) return sign | 0x7c00;
    if (magnitude == 0.0f) return sign;
    int exponent;
    std::frexp(magnitude, &exponent);
    // The last place of a normal number is 11 below its leading one's, of a smaller one 2^-24.
    int place = exponent - 11 < -24 ? -24 : exponent - 11;
    int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -place)));
    return static_cast<uint16_t>(sign | (units + (place + 24) * 1024));
}

template <class T>
uint32_t pack(float first, float second) {
    return rounded(T{}, first) | static_cast<uint32_t>(rounded(T{}, second)) << 16;
}

inline void copy_16(void* to, const void* from, int bytes) {
    if (reinterpret_cast<uintptr_t>(to) % 16) emulated::fail("a copy to where no 16 bytes begin");
    if (bytes && reinterpret_cast<uintptr_t>(from) % 16) emulated::fail("a copy from where no 16 bytes begin");
    const emulated::Copy copy{to, from, bytes};
    if (emulated::block().seed % 2) return emulated::arrive(copy);
    emulated::fiber().groups.back().push_back(copy);
}
inline void copies_end() { emulated::fiber().groups.emplace_back(); }
template <int PENDING>
void copies_done() {
    auto& groups = emulated::fiber().groups;
    // The last is the one that is still open.
    for (size_t i = 0; i + 1 + PENDING < groups.size(); i++) {
        for (const auto& copy : groups[i]) emulated::arrive(copy);
        groups[i].clear();
    }
}

inline void load_matrices(uint32_t (&to)[4], const void* row) { emulated::load_matrices(to, row, false); }
inline void load_matrices_transposed(uint32_t (&to)[4], const void* row) { emulated::load_matrices(to, row, true); }

template <class T>
void multiply(T, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    struct Operands {
        uint32_t a[4], b[2];
    };
    emulated::show(Operands{{a[0], a[1], a[2], a[3]}, {b0, b1}});
    auto half = [](uint32_t both, int i) { return widen(T{static_cast<uint16_t>(both >> i % 2 * 16)}); };
    float rows[2][16], columns[2][16];
    for (int other = 0; other < tiles::WARP; other++) {
        const bool of_rows = other / 4 == emulated::lane() / 4, of_columns = other / 4 / 2 == emulated::lane() % 4;
        if (!of_rows && !of_columns) continue;
        const auto operands = emulated::seen<Operands>(other);
        for (int i = 0; of_rows && i < 8; i++) {
            rows[tiles::a_row(other, i) / 8][tiles::a_column(other, i)] = half(operands.a[i / 2], i);
        }
        for (int i = 0; of_columns && i < 4; i++) {
            columns[tiles::b_column(other, i) % 2][tiles::b_row(other, i)] = half(operands.b[i / 2], i);
        }
    }
    for (int i = 0; i < 4; i++) {
        const float *row = rows[tiles::sum_row(0, i) / 8], *column = columns[tiles::sum_column(0, i) % 2];
        for (int k = 0; k < 16; k++) sums[i] += row[k] * column[k];
    }
}

inline float exchanged(float x, int mask) {
    emulated::show(x);
    return emulated::seen<float>(emulated::lane() ^ mask);
}
inline float power_of_two(float x) { return std::exp2(x); }
