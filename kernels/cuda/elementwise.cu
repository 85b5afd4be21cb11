// What lies between products: norms, gated activations, sums, the rotary embedding with the append to the cache,
// rounding of the cache to bytes, the merge of partial results, and short convolutions.
#include "arguments.h"
#include "machine.cuh"

constexpr int THREADS = 128;

/// Calls `each` with the numbers below `count` that are this thread's.
template <class Each>
DEVICE void for_each(long long count, Each each) {
    const long long first = static_cast<long long>(block_x()) * threads_in_block() + thread();
    for (long long i = first; i < count; i += threads_in_grid()) each(i);
}

/// One block for each part of a row. `x` may be `y`: a thread reads an element for the last time as it writes it.
template <class From, class To>
DEVICE void rms_norm(const RmsNorm& a) {
    float* sums = reinterpret_cast<float*>(shared_memory());
    const int row = block_x() / a.parts, part = block_x() % a.parts;
    const long long at = static_cast<long long>(row) * a.stride + part * a.width;
    const From* x = static_cast<const From*>(a.x) + at;
    To* y = static_cast<To*>(a.y) + at;
    float sum = 0.0f;
    for (int i = thread(); i < a.width; i += THREADS) sum += widen(x[i]) * widen(x[i]);
    sum = warp_sum(sum);
    if (thread() % tiles::WARP == 0) sums[thread() / tiles::WARP] = sum;
    barrier();
    float whole = 0.0f;
    for (int warp = 0; warp < THREADS / tiles::WARP; warp++) whole += sums[warp];
    const float factor = 1.0f / sqrtf(whole / a.width + a.eps);
    for (int i = thread(); i < a.width; i += THREADS) y[i] = narrow<To>(widen(x[i]) * factor * a.weight[i]);
}

/// x / (1 + e⁻ˣ), or GELU by its approximation with tanh.
DEVICE float silu(float x) { return x / (1.0f + expf(-x)); }
DEVICE float gelu(float x) {
    const float y = 0.7978845608028654f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (1.0f + tanhf(y));
}

/// A thread for each element: blocks are numbered by rows, and by stretches of a row.
template <class T, float (*ACTIVATION)(float)>
DEVICE void gate(const Gate& a) {
    const int column = block_y() * THREADS + thread();
    if (column >= a.width) return;
    const long long at = static_cast<long long>(block_x()) * a.stride + column;
    T* x = static_cast<T*>(a.x) + at;
    *x = narrow<T>(ACTIVATION(widen(*x)) * widen(static_cast<const T*>(a.y)[at]));
}

/// Adds to the residual stream, which is in f32.
template <class T>
DEVICE void add(const Add& a) {
    float* x = static_cast<float*>(a.x);
    const T* y = static_cast<const T*>(a.y);
    for_each(a.count, [&](long long i) { x[i] += widen(y[i]); });
}

template <class T>
DEVICE void add_bias(const Bias& a) {
    T* y = static_cast<T*>(a.y);
    for_each(a.count, [&](long long i) { y[i] = narrow<T>(widen(y[i]) + a.bias[i % a.width]); });
}

/// Keys past f16's range would become infinite; they are kept at its end instead.
DEVICE float within(bf16, float x) { return x; }
DEVICE float within(f16, float x) { return x > 65504.0f ? 65504.0f : (x < -65504.0f ? -65504.0f : x); }

/// Two elements of a head of a token, turned; `to(element)` is where an element goes.
template <class T, class To>
DEVICE void turn(const Append& a, const T* from, int token, int pair, To to) {
    const int first = tiles::pair_first(pair, a.half, a.interleaved),
              second = tiles::pair_second(pair, a.half, a.interleaved);
    const float x = widen(from[first]), y = widen(from[second]);
    float cos = 1.0f, sin = 0.0f;
    if (pair < a.half) {
        const long long at = static_cast<long long>(token) * a.half + pair;
        cos = a.cos[at], sin = a.sin[at];
    }
    *to(first) = narrow<T>(within(T{}, x * cos - y * sin));
    *to(second) = narrow<T>(within(T{}, y * cos + x * sin));
}

/// A thread for each pair of elements of each head of queries, keys and values.
template <class T>
DEVICE void append(const Append& a) {
    const int pairs = a.head_dim / 2, heads = a.heads + 2 * a.kv_heads;
    for_each(static_cast<long long>(a.tokens) * heads * pairs, [&](long long i) {
        const int pair = i % pairs, head = i / pairs % heads, token = i / pairs / heads;
        const long long row = static_cast<long long>(token) * a.stride;
        if (head < a.heads) {
            T* to = static_cast<T*>(a.turned) + (static_cast<long long>(token) * a.heads + head) * a.head_dim;
            const T* q = static_cast<const T*>(a.q) + row + head * a.head_dim;
            return turn(a, q, token, pair, [&](int element) { return to + element; });
        }
        const int kv_head = (head - a.heads) % a.kv_heads;
        const long long from = row + kv_head * a.head_dim;
        const Job& job = a.jobs[a.job_of[token]];
        const int slot = job.length - job.tokens + token - job.first_token;
        const bool is_key = head < a.heads + a.kv_heads;
        T* cache = static_cast<T*>(const_cast<void*>(is_key ? job.keys : job.values));
        auto to = [&](int element) {
            return cache + tiles::element_at(kv_head, slot, element, job.capacity, a.head_dim);
        };
        if (is_key) return turn(a, static_cast<const T*>(a.k) + from, token, pair, to);
        const T* v = static_cast<const T*>(a.v) + from;
        *to(2 * pair) = v[2 * pair], *to(2 * pair + 1) = v[2 * pair + 1];
    });
}

DEVICE int8_t code(float x, float most) {
    return static_cast<int8_t>(nearbyintf(x * (most > 0.0f ? 127.0f / most : 0.0f)));
}

/// Rounds a block of a key head: keys around the block's mean with a scale each, values with a scale for each
/// dimension.
template <class T>
DEVICE void round_block(const Round& a) {
    const int kv_head = block_y(), first = a.first + block_x() * tiles::BLOCK, dim = a.head_dim;
    const int exact_first = a.exact_first + block_x() * tiles::BLOCK;
    const long long to = tiles::codes_at(kv_head, first, a.capacity, dim);
    auto exact = [&](const void* cache, int key, int element) {
        const long long at = tiles::element_at(kv_head, exact_first + key, element, a.exact_capacity, dim);
        return widen(static_cast<const T*>(cache)[at]);
    };
    float* factors = a.factors + tiles::factors_at(kv_head, first / tiles::BLOCK, a.capacity, dim);
    float *means = factors + tiles::mean_at(dim), *scales = factors + tiles::value_scales_at(dim);
    for (int i = thread(); i < dim; i += THREADS) {
        float sum = 0.0f, most = 0.0f;
        for (int key = 0; key < tiles::BLOCK; key++) {
            sum += exact(a.exact_keys, key, i);
            most = fmaxf(most, fabsf(exact(a.exact_values, key, i)));
        }
        means[i] = sum / tiles::BLOCK;
        scales[i] = most / 127.0f;
        for (int key = 0; key < tiles::BLOCK; key++) {
            a.values[to + key * dim + i] = code(exact(a.exact_values, key, i), most);
        }
    }
    barrier();
    for (int key = thread(); key < tiles::BLOCK; key += THREADS) {
        float most = 0.0f;
        for (int i = 0; i < dim; i++) most = fmaxf(most, fabsf(exact(a.exact_keys, key, i) - means[i]));
        factors[key] = most / 127.0f;
        for (int i = 0; i < dim; i++) {
            a.keys[to + key * dim + i] = code(exact(a.exact_keys, key, i) - means[i], most);
        }
    }
}

/// One block for each token and head: o = Σ e^(lᵢ - l) oᵢ with l = log Σ e^lᵢ.
template <class T>
DEVICE void merge(const Merge& a) {
    const int token = block_x(), head = block_y();
    const int first = a.starts[token], end = a.starts[token + 1];
    auto lse = [&](int i) { return a.partial_lse[static_cast<long long>(a.list[i]) * a.heads + head]; };
    float top = -INFINITY, sum = 0.0f;
    for (int i = first; i < end; i++) top = fmaxf(top, lse(i));
    // Of a query that saw nothing all weights are 0.
    const float around = top == -INFINITY ? 0.0f : top;
    for (int i = first; i < end; i++) sum += expf(lse(i) - around);
    T* out = static_cast<T*>(a.out) + (static_cast<long long>(token) * a.heads + head) * a.head_dim;
    for (int column = thread(); column < a.head_dim; column += THREADS) {
        float x = 0.0f;
        for (int i = first; i < end; i++) {
            const long long row = static_cast<long long>(a.list[i]) * a.heads + head;
            x += expf(lse(i) - around) * a.partial_out[row * a.head_dim + column];
        }
        out[column] = narrow<T>(sum > 0.0f ? x / sum : 0.0f);
    }
}

/// A thread for each channel of each token: blocks are numbered by tokens, and by stretches of channels.
template <class T>
DEVICE void convolve(const Convolve& a) {
    const int token = block_x(), channel = block_y() * THREADS + thread();
    if (channel >= a.channels) return;
    const Remembered& own = a.sequences[a.sequence_of[token]];
    const int row = token - own.first_token;
    const T* bcx = static_cast<const T*>(a.bcx) + static_cast<long long>(token) * 3 * a.channels + channel;
    // What the token so many before was given.
    auto input = [&](int back) {
        if (back <= row) {
            const T* other = bcx - static_cast<long long>(back) * 3 * a.channels;
            return widen(other[0]) * widen(other[2 * a.channels]);
        }
        return own.past ? own.past[(row - back + a.length - 1) * a.channels + channel] : 0.0f;
    };
    float sum = a.bias ? a.bias[channel] : 0.0f;
    for (int i = 0; i < a.length; i++) sum += a.weights[i * a.channels + channel] * input(a.length - 1 - i);
    T* out = static_cast<T*>(a.out) + static_cast<long long>(token) * a.channels + channel;
    *out = narrow<T>(sum * widen(bcx[a.channels]));
    auto remember = [&](float* to) {
        for (int i = 0; i < a.length - 1; i++) to[i * a.channels + channel] = input(a.length - 2 - i);
    };
    if (row + 1 == own.tokens) remember(own.last);
    const int after = own.held + row + 1;
    const long long size = static_cast<long long>(a.length - 1) * a.channels;
    if (after % a.stride == 0) remember(own.marks + (after / a.stride - 1) * size);
}

[[maybe_unused]] constexpr int NORM_SHARED = THREADS / tiles::WARP * 4;
#define TYPE(T, name)                                                               \
    KERNEL(rms_norm_f32_##name, RmsNorm, THREADS, NORM_SHARED, rms_norm<float, T>)  \
    KERNEL(rms_norm_##name##_##name, RmsNorm, THREADS, NORM_SHARED, rms_norm<T, T>) \
    KERNEL(silu_##name, Gate, THREADS, 0, gate<T, silu>)                            \
    KERNEL(gelu_##name, Gate, THREADS, 0, gate<T, gelu>)                            \
    KERNEL(add_##name, Add, THREADS, 0, add<T>)                                     \
    KERNEL(bias_##name, Bias, THREADS, 0, add_bias<T>)                              \
    KERNEL(append_##name, Append, THREADS, 0, append<T>)                            \
    KERNEL(round_##name, Round, THREADS, 0, round_block<T>)                         \
    KERNEL(merge_##name, Merge, THREADS, 0, merge<T>)                               \
    KERNEL(convolve_##name, Convolve, THREADS, 0, convolve<T>)
TYPE(bf16, bf16)
TYPE(f16, f16)
