// The second stage of products whose k is split: sums of the splits, added in ascending order, no atomics. The first
// stage stores the sums of split s as rows s * m ... of a result of its own.
#pragma once

#include "cuda/elementwise.cuh"
#include "cuda/operand.cuh"

namespace nf4j::cuda {

struct AddSplits {
    Product p;
    const float *partial;  // [splits][m][n]
    int64_t splits;

    __device__ void operator()(int64_t i, int64_t j) const {
        float sum = load_global<float>(partial + i * p.n + j);
        for (int64_t split = 1; split < splits; split++) {
            sum += load_global<float>(partial + (split * p.m + i) * p.n + j);
        }
        store_result(p, i, j, sum);
    }
};

}  // namespace nf4j::cuda
