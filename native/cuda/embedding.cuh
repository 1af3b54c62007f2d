// Rows of a table by number, and the sum of gradients into it without atomics: the first token of each id adds up all
// of that id.
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

    __device__ void operator()(int64_t t, int64_t j) const {
        const int32_t id = ids[t];
        const bool inside = id >= 0 && id < vocabulary;
        y.store(t, j, inside ? table.load(id, j) : bits_to_float(0x7fc00000u));
    }
};

// Block t goes on only when no token before t has its id. Then it takes, in steps of 256 tokens, those with its id,
// ascending.
template <typename T>
__global__ void __launch_bounds__(embedding_threads)
    embedding_backward_kernel(const int32_t *ids, int64_t tokens, int64_t vocabulary, Matrix<T> dy,
                              Matrix<float> dtable, int64_t n) {
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
                for (int64_t j = thread_id(); j < n; j += embedding_threads)
                    dtable.store(id, j, dtable.load(id, j) + dy.load(token, j));
            }
        }
        sync_threads();
    }
}

}  // namespace nf4j::cuda
