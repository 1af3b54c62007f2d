// RMSNorm of x [m, n]: y = x * rstd * weight [n], with rstd [m] = 1 / sqrt(mean(x^2) + eps).
//
//   y, dx     a block has a row: thread t the 16 bytes t, t + 256, ... of it
//
//             | 0 | 1 | ... | 255 | 0 | 1 | ...      its sum: of each thread, then of lanes, then of warps (reduce.cuh)
//
//   dweight   a block has 128 rows (a chunk) and 512 bytes of them, 16 for each lane
//
//             warp 0: rows 0, 8, ...  |  sums of its columns  |  in shared memory they are added in the warps' order, to
//             warp 1: rows 1, 9, ...  |                       |  partial [chunks, n]; add_rows adds those of the chunks in
//             ...                     |                       |  theirs
//
// Floor: the bytes of x and y (forward), of x, dy and dx (backward) over the bandwidth of memory. A row is read twice, the
// second time from L1 or L2.
//
//     make simt-run OP=norm_forward M=16 N=1000
//     make simt-run OP=norm_backward M=200 N=520
//
// aligned: all rows begin at multiples of 16 bytes.
#pragma once

#include "cuda/global.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

constexpr int norm_threads = 256;
constexpr int norm_warps = norm_threads / warp_size;
constexpr int64_t norm_chunk = 128;  // rows whose share of dweight one block adds up

template <typename T>
constexpr int norm_dweight_cols = warp_size * width_of<T>;  // whose sums one block has

template <typename T>
__global__ void __launch_bounds__(norm_threads)
    norm_forward_kernel(Matrix<T> x, AnyVector weight, float eps, float *rstd, Matrix<T> y, int64_t n, bool aligned) {
    constexpr int width = width_of<T>;
    SharedArena arena;
    const Shared<float> scratch = arena.take<float>(norm_threads / warp_size);
    const int64_t t = block_id();
    float squares = 0;
    for_row<norm_threads, width>(n, aligned, [&](const auto &columns) {
        float values[width];
        x.load(values, t, columns);
#pragma unroll
        for (int e = 0; e < width; e++) squares = multiply_add(values[e], values[e], squares);
    });
    squares = reduce_block<norm_threads>(squares, scratch, Plus());
    const float r = 1 / sqrtf(squares / static_cast<float>(n) + eps);
    if (thread_id() == 0) rstd[t] = r;
    for_row<norm_threads, width>(n, aligned, [&](const auto &columns) {
        float values[width], w[width];
        x.load(values, t, columns);
        weight.load(w, columns);
#pragma unroll
        for (int e = 0; e < width; e++) values[e] = values[e] * r * w[e];
        y.store(t, columns, values);
    });
}

// dx may be dy: an element is read by the thread that writes it.
template <typename T>
__global__ void __launch_bounds__(norm_threads)
    norm_backward_kernel(Matrix<T> dy, Matrix<T> x, AnyVector weight, const float *rstd, bool accumulate, Matrix<T> dx,
                         int64_t n, bool aligned) {
    constexpr int width = width_of<T>;
    SharedArena arena;
    const Shared<float> scratch = arena.take<float>(norm_threads / warp_size);
    const int64_t t = block_id();
    const float r = rstd[t];
    float sum = 0;
    for_row<norm_threads, width>(n, aligned, [&](const auto &columns) {
        float gradients[width], values[width], w[width];
        dy.load(gradients, t, columns);
        x.load(values, t, columns);
        weight.load(w, columns);
#pragma unroll
        for (int e = 0; e < width; e++) sum = multiply_add(gradients[e] * w[e], values[e] * r, sum);
    });
    const float mean = reduce_block<norm_threads>(sum, scratch, Plus()) / static_cast<float>(n);
    for_row<norm_threads, width>(n, aligned, [&](const auto &columns) {
        float gradients[width], values[width], w[width], sums[width] = {};
        dy.load(gradients, t, columns);
        x.load(values, t, columns);
        weight.load(w, columns);
        if (accumulate) dx.load(sums, t, columns);
#pragma unroll
        for (int e = 0; e < width; e++) {
            const float gradient = r * (gradients[e] * w[e] - values[e] * r * mean);
            sums[e] = accumulate ? sums[e] + gradient : gradient;
        }
        dx.store(t, columns, sums);
    });
}

// partial [chunks, n]: sums of dy * x * rstd over the rows of each chunk. Block (chunk, piece of the columns): a lane has
// neighbouring columns of it, a warp every eighth row of the chunk; the sums of the warps are added in their order.
template <typename T>
__global__ void __launch_bounds__(norm_threads)
    norm_dweight_kernel(Matrix<T> dy, Matrix<T> x, const float *rstd, int64_t m, int64_t n, float *partial,
                        bool aligned) {
    constexpr int width = width_of<T>, cols = norm_dweight_cols<T>;
    SharedArena arena;
    const Shared<float> scratch = arena.take<float>(norm_warps * cols);
    const int64_t pieces = ceil_div(n, cols);
    const int64_t chunk = block_id() / pieces, first = block_id() % pieces * cols;
    const int64_t end = (chunk + 1) * norm_chunk < m ? (chunk + 1) * norm_chunk : m;
    const Columns<width> columns(first + lane_id() * width, n, aligned);
    float sums[width] = {};
    for (int64_t t = chunk * norm_chunk + warp_id(); t < end; t += norm_warps) {
        const float r = rstd[t];
        float gradients[width], values[width];
        dy.load(gradients, t, columns);
        x.load(values, t, columns);
#pragma unroll
        for (int e = 0; e < width; e++) sums[e] = multiply_add(gradients[e], values[e] * r, sums[e]);
    }
#pragma unroll
    for (int e = 0; e < width; e += 4) {
        const Vector<float, 4> quad = {{sums[e], sums[e + 1], sums[e + 2], sums[e + 3]}};
        scratch.store(warp_id() * cols + lane_id() * width + e, quad);
    }
    sync_threads();
    const int64_t j = first + thread_id();
    if (thread_id() >= cols || j >= n) return;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < norm_warps; w++) sum += scratch.load(w * cols + thread_id());
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
