// Rung 1: a thread for each element of y reads its row of x and its row of W.
//
// Every weight is read m times and every activation n times. A warp has 32 neighbouring columns, so its lanes read 32
// rows of W: 32 sectors of 32 bytes for 2 bytes each.
#pragma once

#include "ladder/ladder.cuh"

namespace nf4j::ladder {

constexpr int naive_threads = 256;

__global__ void naive_kernel(const Matrices p) {
    const int64_t element = block_id() * block_threads() + thread_id();
    const int64_t i = element / p.n, j = element % p.n;
    float sum = 0;
    for (int64_t l = 0; l < p.k; l++) {
        const float x = widen(load_global<bf16>(p.x + i * p.k + l)), w = widen(load_global<bf16>(p.w + j * p.k + l));
        sum = multiply_add(x, w, sum);
    }
    store_global(p.y + i * p.n + j, round_bf16(sum));
}

inline int32_t naive(nf4j_stream *stream, const Matrices &p) {
    return launch(stream, "rung 1, naive", p.m * p.n / naive_threads, naive_threads, 0, naive_kernel, p);
}

}  // namespace nf4j::ladder
