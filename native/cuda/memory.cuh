// fill, cast, add of matrices [rows, cols], 16 bytes a thread (elementwise.cuh). Floor: the bytes that are read and written
// over the bandwidth of memory.
//
//     make simt-run OP=memory_add M=16 N=1000
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

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
