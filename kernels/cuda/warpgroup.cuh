// What kernels ask of Hopper beyond machine.cuh: products of warpgroups (four warps, of which the first's number is a
// multiple of four), barriers that count arrivals and bytes, copies of many bytes that tell them, and registers moved from
// threads that copy to those that multiply.
//
// nvcc takes PTX instructions that only sm_90a has; other compilers take host/warpgroup.h.
#pragma once

#include "machine.cuh"

#ifdef __CUDACC__

/// The address that a product is told. The compiler is kept from making ahead, and keeping in registers, what follows
/// from it.
DEVICE uint32_t shared_address(const void* at) {
    uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(at));
    asm volatile("" : "+r"(address));
    return address;
}

/// A barrier's phase ends when `count` threads have arrived. No thread arrives before all threads know of it.
DEVICE void barrier_begin(uint64_t* barrier, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
/// Shows copies the barriers that this thread has begun.
DEVICE void barriers_begun() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void barrier_arrive(uint64_t* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
/// Arrives, and tells that so many bytes will: the phase does not end without them.
DEVICE void barrier_expect(uint64_t* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
/// Copies bytes, in sixteens, from global to shared memory, where products see them once the barrier's phase has ended.
DEVICE void copy_bulk(void* to, const void* from, int bytes, uint64_t* barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}
/// Waits for the end of a phase, of the current one or of the one before, by its number's parity.
DEVICE void barrier_await(uint64_t* barrier, int parity) {
    uint32_t ended;
    do {
        asm volatile(
            "{\n"
            ".reg .pred ended;\n"
            "mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2;\n"
            "selp.u32 %0, 1, 0, ended;\n"
            "}"
            : "=r"(ended)
            : "r"(shared_address(barrier)), "r"(parity)
            : "memory");
    } while (ended == 0);
}

/// Shows what this thread has written to shared memory to products, which read it another way.
DEVICE void show_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// All threads of a warpgroup give registers back, or wait until there are so many for them.
template <int REGISTERS>
DEVICE void registers_down_to() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
template <int REGISTERS>
DEVICE void registers_up_to() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

/// Keeps the compiler from moving work on registers over this place.
template <int N>
DEVICE void settle(float (&registers)[N][4]) {
    UNROLL
    for (int i = 0; i < N; i++) {
        asm volatile("" : "+f"(registers[i][0]), "+f"(registers[i][1]), "+f"(registers[i][2]), "+f"(registers[i][3]));
    }
}
template <int N>
DEVICE void settle(uint32_t (&registers)[N][4]) {
    UNROLL
    for (int i = 0; i < N; i++) {
        asm volatile("" : "+r"(registers[i][0]), "+r"(registers[i][1]), "+r"(registers[i][2]), "+r"(registers[i][3]));
    }
}

/// Before products, whose operands and sums in registers are `registers`: these must not be touched any more until
/// `products_done`.
template <class... Registers>
DEVICE void products_begin(Registers&... registers) {
    (settle(registers), ...);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
/// Closes a group of products.
DEVICE void products_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits for all groups of products but the last `PENDING`. What they read is free, what they gave is in `registers`.
template <int PENDING, class... Registers>
DEVICE void products_done(Registers&... registers) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
    (settle(registers), ...);
}

/// sums (64×N) = a (64×16) · bᵀ (N×16), or += where `add`; `a` and `b` are told by `tiles::matrix`.
template <class T, int N>
DEVICE void multiply_columns(float (*sums)[4], uint64_t a, uint64_t b, bool add);
/// sums (64×N) += a (64×16) · b (16×N); `b` is told by `tiles::matrix`. A warp has 16 rows of sums and of `a` as it has
/// them of `mma.m16n8k16`, every eight columns of sums behind each other.
template <class T, int N>
DEVICE void multiply_rows(float (*sums)[4], const uint32_t (&a)[4], uint64_t b);

#define RONBUN_SUMS_4(i)                                                                                  \
    "+f"(sums[i][0]), "+f"(sums[i][1]), "+f"(sums[i][2]), "+f"(sums[i][3]), "+f"(sums[i + 1][0]),         \
        "+f"(sums[i + 1][1]), "+f"(sums[i + 1][2]), "+f"(sums[i + 1][3]), "+f"(sums[i + 2][0]),           \
        "+f"(sums[i + 2][1]), "+f"(sums[i + 2][2]), "+f"(sums[i + 2][3]), "+f"(sums[i + 3][0]),           \
        "+f"(sums[i + 3][1]), "+f"(sums[i + 3][2]), "+f"(sums[i + 3][3])
#define RONBUN_SUMS_64 RONBUN_SUMS_4(0), RONBUN_SUMS_4(4)
#define RONBUN_SUMS_128 RONBUN_SUMS_64, RONBUN_SUMS_4(8), RONBUN_SUMS_4(12)
#define RONBUN_NAMES_64                                                                                     \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
    "%27,%28,%29,%30,%31}"
#define RONBUN_NAMES_128                                                                                    \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
    "%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,"     \
    "%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"
#define RONBUN_PRODUCTS(T, name, N, NAMES, SUMS, o0, o1, o2, o3, o4)                                      \
    template <>                                                                                           \
    DEVICE void multiply_columns<T, N>(float (*sums)[4], uint64_t a, uint64_t b, bool add) {              \
        asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " o2 ", 0;\n"                                  \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." name "." name " " NAMES ", " o0    \
                     ", " o1 ", add, 1, 1, 0, 0;\n}"                                                      \
                     : SUMS                                                                               \
                     : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                       \
    }                                                                                                     \
    template <>                                                                                           \
    DEVICE void multiply_rows<T, N>(float (*sums)[4], const uint32_t (&a)[4], uint64_t b) {               \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." name "." name " " NAMES ", {" o0   \
                     "," o1 "," o2 "," o3 "}, " o4 ", 1, 1, 1, 1;"                                        \
                     : SUMS                                                                               \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                               \
    }
#define RONBUN_PRODUCTS_OF(T, name)                                                                    \
    RONBUN_PRODUCTS(T, name, 64, RONBUN_NAMES_64, RONBUN_SUMS_64, "%32", "%33", "%34", "%35", "%36")   \
    RONBUN_PRODUCTS(T, name, 128, RONBUN_NAMES_128, RONBUN_SUMS_128, "%64", "%65", "%66", "%67", "%68")
RONBUN_PRODUCTS_OF(bf16, "bf16")
RONBUN_PRODUCTS_OF(f16, "f16")

#else
#include "host/warpgroup.h"
#endif
