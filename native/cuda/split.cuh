// The second stage of products whose k is split: sums of the splits, added in ascending order, no atomics. The first
// stage stores the sums of split s as rows s * m ... of a result of its own.
//
//     make simt-run OP=nf4_matmul M=70 N=64 K=1024
#pragma once

#include "cuda/elementwise.cuh"
#include "cuda/operand.cuh"

namespace nf4j::cuda {

// Sums of one row over all splits: partial is [splits * m, n].
__device__ inline Vector<float, 4> add_splits(const Matrix<float> &partial, int64_t splits, int64_t m, int64_t i,
                                              const Columns<4> &columns) {
    float sums[4], next[4];
    partial.load(sums, i, columns);
    for (int64_t split = 1; split < splits; split++) {
        partial.load(next, split * m + i, columns);
#pragma unroll
        for (int e = 0; e < 4; e++) sums[e] += next[e];
    }
    return {{sums[0], sums[1], sums[2], sums[3]}};
}

struct AddSplits {
    Output p;
    Matrix<float> partial;  // [splits * m, n]
    int64_t splits;

    static constexpr int width = width_of<float>;
    bool aligned() const { return are_aligned(partial); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        store_results(p, i, columns.first, add_splits(partial, splits, p.m, i, columns));
    }
};

}  // namespace nf4j::cuda
