// Operations that compute each element by itself: a functor f(i, j), run for every element of a matrix.
#pragma once

#include "cuda/global.cuh"
#include "cuda/launch.h"

namespace nf4j::cuda {

constexpr int elementwise_threads = 256;
constexpr int elements_per_thread = 4;

// A block has one piece of 1024 columns of a row; its threads take every 256th of them, so that warps access
// neighbours.
template <class F>
__global__ void __launch_bounds__(elementwise_threads) elementwise_kernel(F f, int64_t cols, int64_t pieces) {
    const int64_t i = block_id() / pieces;
    const int64_t first = block_id() % pieces * (elementwise_threads * elements_per_thread) + thread_id();
#pragma unroll
    for (int e = 0; e < elements_per_thread; e++) {
        const int64_t j = first + e * elementwise_threads;
        if (j < cols) f(i, j);
    }
}

template <class F>
int32_t for_each_element(nf4j_stream *stream, const char *name, int64_t rows, int64_t cols, const F &f) {
    const int64_t pieces = ceil_div(cols, elementwise_threads * elements_per_thread);
    return launch(stream, name, rows * pieces, elementwise_threads, 0, elementwise_kernel<F>, f, cols, pieces);
}

}  // namespace nf4j::cuda
