// RMSNorm. A block has one row [n], which it reads twice: the second time from L2. Floor: the bytes of x and y
// (forward), of x, dy and dx (backward) over the copy bandwidth.
#pragma once

#include "cuda/global.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

constexpr int norm_threads = 256;
constexpr int64_t norm_chunk = 128;  // rows whose share of dweight one block adds up

template <typename T>
__global__ void __launch_bounds__(norm_threads)
    norm_forward_kernel(Matrix<T> x, AnyVector weight, float eps, float *rstd, Matrix<T> y, int64_t n) {
    SharedArena arena;
    const Shared<float> scratch = arena.take<float>(norm_threads / warp_size);
    const int64_t t = block_id();
    float squares = 0;
    for (int64_t j = thread_id(); j < n; j += norm_threads) {
        const float value = x.load(t, j);
        squares = multiply_add(value, value, squares);
    }
    squares = reduce_block<norm_threads>(squares, scratch, Plus());
    const float r = 1 / sqrtf(squares / static_cast<float>(n) + eps);
    if (thread_id() == 0) rstd[t] = r;
    for (int64_t j = thread_id(); j < n; j += norm_threads) y.store(t, j, x.load(t, j) * r * weight.load(j));
}

// dx may be dy: an element is read by the thread that writes it.
template <typename T>
__global__ void __launch_bounds__(norm_threads)
    norm_backward_kernel(Matrix<T> dy, Matrix<T> x, AnyVector weight, const float *rstd, bool accumulate, Matrix<T> dx,
                         int64_t n) {
    SharedArena arena;
    const Shared<float> scratch = arena.take<float>(norm_threads / warp_size);
    const int64_t t = block_id();
    const float r = rstd[t];
    float sum = 0;
    for (int64_t j = thread_id(); j < n; j += norm_threads)
        sum = multiply_add(dy.load(t, j) * weight.load(j), x.load(t, j) * r, sum);
    const float mean = reduce_block<norm_threads>(sum, scratch, Plus()) / static_cast<float>(n);
    for (int64_t j = thread_id(); j < n; j += norm_threads) {
        const float gradient = r * (dy.load(t, j) * weight.load(j) - x.load(t, j) * r * mean);
        dx.store(t, j, accumulate ? dx.load(t, j) + gradient : gradient);
    }
}

// partial [chunks, n]: sums of dy * x * rstd over the rows of each chunk. Block (chunk, 256 columns).
template <typename T>
__global__ void __launch_bounds__(norm_threads)
    norm_dweight_kernel(Matrix<T> dy, Matrix<T> x, const float *rstd, int64_t m, int64_t n, float *partial) {
    const int64_t pieces = ceil_div(n, norm_threads);
    const int64_t chunk = block_id() / pieces;
    const int64_t j = block_id() % pieces * norm_threads + thread_id();
    if (j >= n) return;
    const int64_t end = (chunk + 1) * norm_chunk < m ? (chunk + 1) * norm_chunk : m;
    float sum = 0;
    for (int64_t t = chunk * norm_chunk; t < end; t++) sum = multiply_add(dy.load(t, j), x.load(t, j) * rstd[t], sum);
    partial[chunk * n + j] = sum;
}

// to [n] += the sum over the rows of partial [rows, n], first to last.
static __global__ void __launch_bounds__(norm_threads)
    add_rows_kernel(const float *partial, int64_t rows, int64_t n, float *to) {
    const int64_t j = block_id() * norm_threads + thread_id();
    if (j >= n) return;
    float sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += partial[i * n + j];
    to[j] += sum;
}

}  // namespace nf4j::cuda
