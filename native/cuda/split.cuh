// The second stage of products whose k is split: sums of the splits, added in ascending order, no atomics. The first
// stage stores the sums of split s as rows s * m ... of a result of its own.
#pragma once

#include "cuda/elementwise.cuh"
#include "cuda/operand.cuh"

namespace nf4j::cuda {

struct AddSplits {
    Product p;
    Matrix<float> partial;  // [splits * m, n]
    int64_t splits;

    static constexpr int width = width_of<float>;
    bool aligned() const { return are_aligned(partial); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        float sums[width], next[width];
        partial.load(sums, i, columns);
        for (int64_t split = 1; split < splits; split++) {
            partial.load(next, split * p.m + i, columns);
#pragma unroll
            for (int e = 0; e < width; e++) sums[e] += next[e];
        }
        store_results(p, i, columns.first, {{sums[0], sums[1], sums[2], sums[3]}});
    }
};

}  // namespace nf4j::cuda
