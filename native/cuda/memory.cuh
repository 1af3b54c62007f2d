// fill, cast, add of matrices [rows, cols], 16 bytes a thread (elementwise.cuh), and copies of much memory at once. Floor:
// the bytes that are read and written over the bandwidth of memory.
//
//     make simt-run OP=memory_add M=16 N=1000
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

// A thread of a copy has four times 16 bytes, so that enough are on their way; those of a block are next to each other.
constexpr int copy_threads = 256, copy_accesses = 4, copy_stride = copy_threads * 16;
constexpr int64_t copy_block_bytes = copy_accesses * copy_stride;

// Both from a multiple of 16 bytes on.
static __global__ void __launch_bounds__(copy_threads) copy_kernel(const uint8_t *from, uint8_t *to, int64_t bytes) {
    const int64_t first = block_id() * copy_block_bytes + thread_id() * 16;
    Vector<uint32_t, 4> values[copy_accesses];
#pragma unroll
    for (int i = 0; i < copy_accesses; i++) {
        const int64_t at = first + i * copy_stride;
        if (at + 16 <= bytes) values[i] = load_global_once(from + at);
    }
#pragma unroll
    for (int i = 0; i < copy_accesses; i++) {
        const int64_t at = first + i * copy_stride;
        if (at + 16 <= bytes) store_global(to + at, values[i]);
    }
    const int64_t last = bytes / 16 * 16 + thread_id();
    if (block_id() == 0 && last < bytes) store_global(to + last, load_global<uint8_t>(from + last));
}

template <typename T>
struct Fill {
    Matrix<T> x;
    T value;

    static constexpr int width = width_of<T>;
    bool aligned() const { return are_aligned(x); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        T values[width];
#pragma unroll
        for (int e = 0; e < width; e++) values[e] = value;
        store_columns(x.at(i, 0), columns, values);
    }
};

template <typename From, typename To>
struct Cast {
    Matrix<From> x;
    Matrix<To> y;

    static constexpr int width = width_of<From, To>;
    bool aligned() const { return are_aligned(x, y); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        float values[width];
        x.load(values, i, columns);
        y.store(i, columns, values);
    }
};

template <typename T>
struct Add {
    Matrix<T> a;
    Matrix<T> b;
    Matrix<T> y;

    static constexpr int width = width_of<T>;
    bool aligned() const { return are_aligned(a, b, y); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        float left[width], right[width];
        a.load(left, i, columns);
        b.load(right, i, columns);
#pragma unroll
        for (int e = 0; e < width; e++) left[e] += right[e];
        y.store(i, columns, left);
    }
};

}  // namespace nf4j::cuda
