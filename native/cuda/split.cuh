// The second stage of products whose k is split: sums of the splits, added in ascending order, no atomics.
#pragma once

#include "cuda/elementwise.cuh"
#include "cuda/operand.cuh"

namespace nf4j::cuda {

// What a kernel does with the sum of element (i, j) over its split of k.
__device__ inline void store_sum(const Product &p, int64_t split, int64_t i, int64_t j, float sum) {
    if (p.splits == 1) return store_result(p, i, j, sum);
    store_global(p.partial + (split * p.m + i) * p.n + j, sum);
}

struct AddSplits {
    Product p;

    __device__ void operator()(int64_t i, int64_t j) const {
        float sum = load_global<float>(p.partial + i * p.n + j);
        for (int64_t split = 1; split < p.splits; split++) {
            sum += load_global<float>(p.partial + (split * p.m + i) * p.n + j);
        }
        store_result(p, i, j, sum);
    }
};

}  // namespace nf4j::cuda
