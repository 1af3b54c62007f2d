// delta = dout . out of each row and head: what the backward subtracts from dP.
#pragma once

#include "cuda/attention.cuh"

namespace nf4j::cuda {

constexpr int delta_threads = 256;

// delta [m, heads]: a warp has one.
template <typename T>
__global__ void __launch_bounds__(delta_threads)
    attention_delta_kernel(Matrix<T> dout, Matrix<T> out, int64_t rows, int heads, int head_dim, float *delta) {
    const int64_t number = block_id() * (delta_threads / warp_size) + warp_id();
    if (number >= rows * heads) return;
    const int64_t row = number / heads, col = number % heads * head_dim;
    float sum = 0;
    for (int c = lane_id(); c < head_dim; c += warp_size)
        sum = multiply_add(dout.load(row, col + c), out.load(row, col + c), sum);
    sum = reduce_warp(sum, Plus());
    if (lane_id() == 0) delta[number] = sum;
}

}  // namespace nf4j::cuda
