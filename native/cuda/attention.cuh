// What every attention kernel knows: the call, the sequences of a launch cut into tiles, and which keys a query sees.
//
//   attention_f32.cuh, attention_f32_backward.cuh    FFMA: F32, and BF16 heads of more than 128
//   attention_bf16.cuh, attention_bf16_backward.cuh  tensor cores: BF16
//   attention_tiles.cuh                              which of them a head takes, with which tiles
#pragma once

#include "cuda/global.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

// The call, and the sequences of one launch. The caller has them in host memory, so they go by value, as parameters,
// which a graph keeps; with the rest they stay below the 4 KB that every launch may have.
struct AttentionProblem {
    static constexpr int capacity = 128;

    int heads;
    int kv_heads;
    int group;  // query heads of a key-value head
    int head_dim;
    int window;
    float scale;
    int sequences;
    int first_tile[capacity + 1];
    int q_begin[capacity];
    int queries[capacity];
    int kv_begin[capacity];
    int keys[capacity];
};

// A tile of one sequence.
struct AttentionTile {
    int64_t q_begin;  // of the sequence, in q
    int64_t kv_begin;
    int queries;
    int keys;
    int first;  // row of the tile, within the sequence
};

// Which the tile of number `tile` is.
__device__ inline AttentionTile attention_tile(const AttentionProblem &p, int64_t tile, int rows) {
    int s = 0;
    for (int end = p.sequences; end - s > 1;) {
        const int middle = (s + end) / 2;
        (tile < p.first_tile[middle] ? end : s) = middle;
    }
    return {p.q_begin[s], p.kv_begin[s], p.queries[s], p.keys[s], (static_cast<int>(tile) - p.first_tile[s]) * rows};
}

// Query i of a sequence sees the keys up to its own, which the last query has last, and with a window no others but the
// last `window` of them.
struct Visibility {
    int shift;  // query i's own key is i + shift
    int window;

    __device__ Visibility(const AttentionProblem &p, const AttentionTile &t)
        : shift(t.keys - t.queries), window(p.window > 0 ? p.window : INT32_MAX) {}

    // Whether a query of i0 ... i1 sees a key of j0 ... j1.
    __device__ bool any(int i0, int i1, int j0, int j1) const { return j0 <= i1 + shift && j1 > i0 + shift - window; }
    // Whether each of them sees them all.
    __device__ bool all(int i0, int i1, int j0, int j1) const { return j1 <= i0 + shift && j0 > i1 + shift - window; }
    __device__ bool sees(int i, int j) const { return all(i, i, j, j); }
    // The keys that query i sees: first ... last.
    __device__ int first(int i) const {
        const int before = i + shift - window;
        return before >= 0 ? before + 1 : 0;
    }
    __device__ int last(int i) const { return i + shift; }
    // The last of `queries` that sees key j or one before it.
    __device__ int last_query(int j, int queries) const {
        return j - shift < queries - window ? j - shift + window - 1 : queries - 1;
    }
};

}  // namespace nf4j::cuda
