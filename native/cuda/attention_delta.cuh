// delta = dout . out of each row and head: what the backward subtracts from dP. Floor: both tensors once, over the
// bandwidth; eight lanes read a line of 128 bytes.
//
//     make simt-run OP=attention_backward M=40 N=2 K=32
#pragma once

#include "cuda/attention.cuh"

namespace nf4j::cuda {

constexpr int delta_threads = 256;
constexpr int delta_lanes = 8;  // that have one element of delta

// delta [m, heads]. aligned: heads begin at multiples of 16 bytes.
template <typename T>
__global__ void __launch_bounds__(delta_threads)
    attention_delta_kernel(Matrix<T> dout, Matrix<T> out, int64_t rows, int heads, int head_dim, bool aligned,
                           float *delta) {
    constexpr int width = 16 / sizeof(T);
    const int64_t number = block_id() * (delta_threads / delta_lanes) + thread_id() / delta_lanes;
    const int64_t row = number / heads, col = number % heads * head_dim;
    float sum = 0;
    for (int c = thread_id() % delta_lanes * width; c < head_dim && row < rows; c += delta_lanes * width) {
        Vector<T, width> a = {}, b = {};
        if (aligned) {
            a = load_global<Vector<T, width>>(dout.at(row, col + c));
            b = load_global<Vector<T, width>>(out.at(row, col + c));
        } else {
#pragma unroll
            for (int e = 0; e < width; e++) {
                if (c + e >= head_dim) continue;
                a.v[e] = load_global<T>(dout.at(row, col + c + e));
                b.v[e] = load_global<T>(out.at(row, col + c + e));
            }
        }
#pragma unroll
        for (int e = 0; e < width; e++) sum = multiply_add(widen(a.v[e]), widen(b.v[e]), sum);
    }
#pragma unroll
    for (int mask = delta_lanes / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
    if (thread_id() % delta_lanes == 0 && row < rows) delta[number] = sum;
}

}  // namespace nf4j::cuda
