// fill, cast, add. Floor: the bytes read and written over the copy bandwidth.
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

template <typename T>
struct Fill {
    T *data;
    int64_t ld;
    T value;

    __device__ void operator()(int64_t i, int64_t j) const { store_global(data + i * ld + j, value); }
};

template <typename From, typename To>
struct Cast {
    Matrix<From> x;
    Matrix<To> y;

    __device__ void operator()(int64_t i, int64_t j) const { y.store(i, j, x.load(i, j)); }
};

template <typename T>
struct Add {
    Matrix<T> a;
    Matrix<T> b;
    Matrix<T> y;

    __device__ void operator()(int64_t i, int64_t j) const { y.store(i, j, a.load(i, j) + b.load(i, j)); }
};

}  // namespace nf4j::cuda
