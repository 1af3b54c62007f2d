// Rows of a table [vocabulary, n] by number: y [m, n] forward, and backward the sum of gradients dy [m, n] into the table,
// without atomics. The first token of each id adds up all of that id, in their order:
//
//   token    0   1   2   3   4   5         block 0 adds 0, 3, 5 to row 7
//   id       7   2   4   7   2   7         block 1 adds 1, 4 to row 2, block 2 adds 2 to row 4
//                                          blocks 3, 4 and 5 find a token before theirs, and end
//
// Floor: the rows that are copied, twice (forward); dy, and twice the rows of the table that are added to (backward), over the
// bandwidth of memory. Every block of the backward also looks through the ids, 4 bytes each, from L2.
//
//     make simt-run OP=embedding_backward M=300 N=100 K=20
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

constexpr int embedding_threads = 256;

template <typename From, typename To>
struct EmbeddingForward {
    const int32_t *ids;
    int64_t vocabulary;
    Matrix<From> table;
    Matrix<To> y;

    static constexpr int width = width_of<From, To>;
    bool aligned() const { return are_aligned(table, y); }

    __device__ void operator()(int64_t t, const Columns<width> &columns) const {
        const int32_t id = ids[t];
        float values[width];
        if (id >= 0 && id < vocabulary) {
            table.load(values, id, columns);
        } else {
#pragma unroll
            for (int e = 0; e < width; e++) values[e] = bits_to_float(0x7fc00000u);
        }
        y.store(t, columns, values);
    }
};

// Block t goes on only when no token before t has its id. Then it takes, in steps of 256 tokens, those with its id,
// ascending.
template <typename T>
__global__ void __launch_bounds__(embedding_threads)
    embedding_backward_kernel(const int32_t *ids, int64_t tokens, int64_t vocabulary, Matrix<T> dy,
                              Matrix<float> dtable, int64_t n, bool aligned) {
    constexpr int width = width_of<float>;
    SharedArena arena;
    const Shared<uint32_t> votes = arena.take<uint32_t>(embedding_threads / warp_size);
    const int64_t mine = block_id();
    const int32_t id = ids[mine];
    if (id < 0 || id >= vocabulary) return;
    for (int64_t base = 0; base < tokens; base += embedding_threads) {
        const int64_t t = base + thread_id();
        const uint32_t vote = ballot(t < tokens && ids[t] == id);
        if (lane_id() == 0) votes.store(warp_id(), vote);
        sync_threads();
        for (int w = 0; w < embedding_threads / warp_size; w++) {
            for (uint32_t left = votes.load(w); left != 0; left &= left - 1) {
                const int64_t token = base + w * warp_size + first_bit(left);
                if (token < mine) return;  // the whole block: its votes are the same
                for_row<embedding_threads, width>(n, aligned, [&](const auto &columns) {
                    float sum[width], gradient[width];
                    dtable.load(sum, id, columns);
                    dy.load(gradient, token, columns);
#pragma unroll
                    for (int e = 0; e < width; e++) sum[e] += gradient[e];
                    dtable.store(id, columns, sum);
                });
            }
        }
        sync_threads();
    }
}

}  // namespace nf4j::cuda
