// Sums and maxima over a block, in an order that depends on nothing but the number of threads.
#pragma once

#include "cuda/ptx.cuh"

namespace nf4j::cuda {

struct Plus {
    template <typename T>
    __device__ T operator()(T a, T b) const {
        return a + b;
    }
};

struct Maximum {
    __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Every lane gets the result.
template <typename T, class Operation>
__device__ inline T reduce_warp(T value, Operation operation) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) value = operation(value, shuffle_xor(value, mask));
    return value;
}

// Every thread gets the result. scratch has an element for each warp and may be used again at once.
template <int Threads, typename T, class Operation>
__device__ inline T reduce_block(T value, Shared<T> scratch, Operation operation) {
    value = reduce_warp(value, operation);
    if (lane_id() == 0) scratch.store(warp_id(), value);
    sync_threads();
    T result = scratch.load(0);
#pragma unroll
    for (int w = 1; w < Threads / warp_size; w++) result = operation(result, scratch.load(w));
    sync_threads();
    return result;
}

template <int Threads, typename T>
constexpr int64_t reduce_bytes() {
    return SharedArena::bytes_of(Threads / warp_size * static_cast<int64_t>(sizeof(T)));
}

}  // namespace nf4j::cuda
