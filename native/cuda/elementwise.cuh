// Operations that compute each element by itself: a functor f(i, columns), run for all columns of every row of a matrix,
// `width` neighbours at a time. It says how many that are and whether the rows of all its tensors are aligned.
//
//   rows of 20 columns,     row 0   | thread 0 | thread 1 | thread 2 |     the last columns of a row go one by one
//   width 8                 row 1   | thread 3 | thread 4 | thread 5 |
//
//     make simt-run OP=memory_add M=4 N=20
#pragma once

#include "cuda/global.cuh"
#include "cuda/launch.h"

namespace nf4j::cuda {

constexpr int elementwise_threads = 256;

// Threads go through the neighbours of row after row, so that short rows leave none of them idle.
template <class F>
__global__ void __launch_bounds__(elementwise_threads)
    elementwise_kernel(F f, int64_t rows, int64_t cols, int64_t threads_of_row, bool aligned) {
    const int64_t thread = block_id() * elementwise_threads + thread_id();
    const int64_t i = thread / threads_of_row, first = (thread - i * threads_of_row) * F::width;
    if (i < rows) f(i, Columns<F::width>(first, cols, aligned));
}

template <class F>
int32_t for_each_element(nf4j_stream *stream, const char *name, int64_t rows, int64_t cols, const F &f) {
    const int64_t threads_of_row = ceil_div(cols, F::width);
    return launch(stream, name, ceil_div(rows * threads_of_row, elementwise_threads), elementwise_threads, 0,
                  elementwise_kernel<F>, f, rows, cols, threads_of_row, f.aligned());
}

}  // namespace nf4j::cuda
