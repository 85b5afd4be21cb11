// What kernels ask of the machine: 16-bit floats, tensor-core products, asynchronous copies, barriers, shuffles.
//
// nvcc takes PTX instructions (compute capability 8.0 and above). Any other C++ compiler takes host/emulated.h, in
// which a block's threads are run one after the other between barriers: the tests run the very same kernels without a
// GPU.
#pragma once

#include "tiles.h"

#include <cmath>
#include <cstdint>

struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

#ifdef __CUDACC__

#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define UNROLL_BY(steps) RONBUN_PRAGMA(unroll steps)
#define RONBUN_PRAGMA(text) _Pragma(#text)
/// A kernel by a name that the host finds: `body` is called with the arguments, a struct passed by value. It is always
/// launched with `threads` threads and `shared` bytes of shared memory a block.
#define KERNEL(name, Arguments, threads, shared, ...) \
    RONBUN_KERNEL(name, Arguments, __launch_bounds__(threads), __VA_ARGS__)
/// One of whose blocks a processor has all of its registers for.
#define KERNEL_ALONE(name, Arguments, threads, shared, ...) \
    RONBUN_KERNEL(name, Arguments, __launch_bounds__(threads, 1), __VA_ARGS__)
#define RONBUN_KERNEL(name, Arguments, bounds, ...)                                             \
    extern "C" __global__ void bounds name(const __grid_constant__ Arguments arguments) { \
        __VA_ARGS__(arguments);                                                                 \
    }

DEVICE int thread() { return threadIdx.x; }
DEVICE int block_x() { return blockIdx.x; }
DEVICE int block_y() { return blockIdx.y; }
DEVICE long long threads_in_grid() { return static_cast<long long>(gridDim.x) * blockDim.x; }
DEVICE int threads_in_block() { return blockDim.x; }
DEVICE void barrier() { __syncthreads(); }
DEVICE void warp_barrier() { __syncwarp(); }

DEVICE unsigned char* shared_memory() {
    extern __shared__ __align__(128) unsigned char shared[];
    return shared;
}

DEVICE float widen(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
DEVICE float widen(f16 x) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
}
DEVICE float widen(float x) { return x; }

/// Two floats, rounded to 16 bits each: the first in the lower half.
template <class T>
DEVICE uint32_t pack(float first, float second);
template <>
DEVICE uint32_t pack<bf16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
template <>
DEVICE uint32_t pack<f16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}

/// 16 bytes from global to shared memory, of which the first `bytes` are read and the others become 0; there after
/// `copies_done` and a barrier.
DEVICE void copy_16(void* to, const void* from, int bytes) {
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}
/// Closes a group of copies.
DEVICE void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for this thread's groups of copies, but for the last `PENDING`.
template <int PENDING>
DEVICE void copies_done() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/// Four 8×8 matrices of 16-bit elements from shared memory: lane 8m + r names row r of matrix m, and gets of each
/// matrix two neighbouring elements.
DEVICE void load_matrices(uint32_t (&to)[4], const void* row) {
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}
DEVICE void load_matrices_transposed(uint32_t (&to)[4], const void* row) {
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

/// sums (16×8) += a (16×16) · b (16×8)
#define RONBUN_PRODUCT(T, name)                                                                   \
    DEVICE void multiply(T, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { \
        asm("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                \
            ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                          \
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                          \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                      \
    }
RONBUN_PRODUCT(bf16, "bf16")
RONBUN_PRODUCT(f16, "f16")
#undef RONBUN_PRODUCT

/// What the lane whose number differs in the bits of `mask` passes.
DEVICE float exchanged(float x, int mask) { return __shfl_xor_sync(0xffffffff, x, mask); }
DEVICE float power_of_two(float x) { return exp2f(x); }

#else
#include "host/emulated.h"
#endif

/// Rounds to the nearest.
template <class T>
DEVICE T narrow(float x) {
    return T{static_cast<uint16_t>(pack<T>(x, 0.0f))};
}
template <>
DEVICE float narrow<float>(float x) {
    return x;
}

/// The sum, or the largest, of what all threads of a warp pass.
DEVICE float warp_sum(float x) {
    UNROLL
    for (int mask = tiles::WARP / 2; mask > 0; mask /= 2) x += exchanged(x, mask);
    return x;
}

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;
