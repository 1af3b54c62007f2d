// Causal softmax attention, memory linear in length (Dao et al., "FlashAttention", 2022), in F32 on FFMA.
//
// A block has Shape::rows queries (forward, dq) or keys (dk, dv) of one head, eight threads to a row:
//
//                        Shape::cols keys                results, head_dim columns
//                  t =   0 1 2 ... 7 0 1 2 ... 7         0 0 0 0 1 1 1 1 ... 7 7 7 7 0 0 0 0 ...
//   row r, threads |     scores                     |    sums                               |      8 r ... 8 r + 7
//
// Tiles of the other side begin at multiples of Shape::cols within the sequence, and rows that a query does not see change
// nothing, so a query's bits do not depend on the queries beside it. dk and dv go through the queries, no atomics.
//
// Floor: 4 head_dim FLOPs for each query, head and key seen, over the rate of FFMA.
//
//     make simt-run OP=attention_forward M=50 N=2 K=32 DTYPE=f32
#pragma once

#include "cuda/attention.cuh"

namespace nf4j::cuda {

// D: the head dimension, rounded up.
template <int D, int Rows, int Cols>
struct F32AttentionShape {
    static constexpr int dim = D;
    static constexpr int rows = Rows;
    static constexpr int cols = Cols;
    static constexpr int threads = Rows * 8;
    static constexpr int pitch = D + 4;          // rows begin four banks apart
    static constexpr int per_thread = Cols / 8;  // scores
    static constexpr int quads = D / 32;         // of results
    static constexpr int score_pitch = Cols + 8;
};

// Rows of one head in shared memory, as F32; those behind the end and columns behind the head's are 0.
template <class S, typename T>
__device__ inline void load_rows(Shared<float> to, int count, Matrix<T> x, int64_t row, int64_t end, int64_t col,
                                 int head_dim) {
    for (int i = thread_id(); i < count * S::dim; i += S::threads) {
        const int r = i / S::dim, c = i % S::dim;
        to.store(r * S::pitch + c, row + r < end && c < head_dim ? x.load(row + r, col + c) : 0);
    }
}

// The products of this thread's row of `a` with rows t, t + 8, ... of `b`.
template <class S>
__device__ inline void dot_rows(Shared<float> a, Shared<float> b, float (&dots)[S::per_thread]) {
    const int r = thread_id() / 8, t = thread_id() % 8;
#pragma unroll
    for (int e = 0; e < S::per_thread; e++) dots[e] = 0;
#pragma unroll 4
    for (int c = 0; c < S::dim; c += 4) {
        const Vector<float, 4> x = a.load<4>(r * S::pitch + c);
#pragma unroll
        for (int e = 0; e < S::per_thread; e++) {
            const Vector<float, 4> y = b.load<4>((t + 8 * e) * S::pitch + c);
#pragma unroll
            for (int i = 0; i < 4; i++) dots[e] = multiply_add(x.v[i], y.v[i], dots[e]);
        }
    }
}

// This thread's columns of one row of results.
template <class S>
struct RowSums {
    float v[S::quads][4] = {};

    // += the weights of this thread's row times the rows of x.
    __device__ void add(Shared<float> weights, Shared<float> x) {
        const int r = thread_id() / 8, t = thread_id() % 8;
        for (int j = 0; j < S::cols; j++) {
            const float w = weights.load(r * S::score_pitch + j);
#pragma unroll
            for (int q = 0; q < S::quads; q++) {
                const Vector<float, 4> y = x.load<4>(j * S::pitch + 32 * q + 4 * t);
#pragma unroll
                for (int e = 0; e < 4; e++) v[q][e] = multiply_add(w, y.v[e], v[q][e]);
            }
        }
    }
    __device__ void multiply(float factor) {
#pragma unroll
        for (int q = 0; q < S::quads; q++) {
#pragma unroll
            for (int e = 0; e < 4; e++) v[q][e] *= factor;
        }
    }
    template <typename T>
    __device__ void store(Matrix<T> to, int64_t row, int64_t col, int head_dim) const {
#pragma unroll
        for (int q = 0; q < S::quads; q++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int c = 32 * q + thread_id() % 8 * 4 + e;
                if (c < head_dim) to.store(row, col + c, v[q][e]);
            }
        }
    }
};

// Over the eight threads of a row.
template <class Operation>
__device__ inline float reduce_row(float value, Operation operation) {
#pragma unroll
    for (int mask = 4; mask > 0; mask /= 2) value = operation(value, shuffle_xor(value, mask));
    return value;
}

template <class S>
constexpr int64_t attention_f32_forward_bytes() {
    return SharedArena::bytes_of(S::rows * S::pitch * 4) + 2 * SharedArena::bytes_of(S::cols * S::pitch * 4) +
           SharedArena::bytes_of(S::rows * S::score_pitch * 4);
}

template <class S, typename T>
__global__ void __launch_bounds__(S::threads, 1)
    attention_f32_forward_kernel(AttentionProblem p, Matrix<T> q, Matrix<T> k, Matrix<T> v, Matrix<float> lse,
                                 Matrix<T> out) {
    SharedArena arena;
    const Shared<float> queries = arena.take<float>(S::rows * S::pitch);
    const Shared<float> keys = arena.take<float>(S::cols * S::pitch), values = arena.take<float>(S::cols * S::pitch);
    const Shared<float> weights = arena.take<float>(S::rows * S::score_pitch);
    const int head = static_cast<int>(block_id() % p.heads), kv_col = head / (p.heads / p.kv_heads) * p.head_dim;
    const AttentionTile tile = attention_tile(p, block_id() / p.heads, S::rows);
    const Visibility visible(p, tile);
    const int r = thread_id() / 8, t = thread_id() % 8;
    const int64_t i = tile.first + r;
    const int64_t end = tile.first + S::rows < tile.queries ? tile.first + S::rows : tile.queries;
    int64_t j0 = visible.first(tile.first) / S::cols * S::cols;

    load_rows<S>(queries, S::rows, q, tile.q_begin + tile.first, tile.q_begin + tile.queries,
                 int64_t{head} * p.head_dim, p.head_dim);
    RowSums<S> sums;
    float largest = -INFINITY, total = 0;
    for (; j0 <= visible.last(end - 1); j0 += S::cols) {
        sync_threads();
        load_rows<S>(keys, S::cols, k, tile.kv_begin + j0, tile.kv_begin + tile.keys, kv_col, p.head_dim);
        load_rows<S>(values, S::cols, v, tile.kv_begin + j0, tile.kv_begin + tile.keys, kv_col, p.head_dim);
        sync_threads();
        float scores[S::per_thread];
        dot_rows<S>(queries, keys, scores);
        float top = largest;
#pragma unroll
        for (int e = 0; e < S::per_thread; e++) {
            scores[e] = i < tile.queries && visible.sees(i, j0 + t + 8 * e) ? scores[e] * p.scale : -INFINITY;
            top = fmaxf(top, scores[e]);
        }
        top = reduce_row(top, Maximum());
        const float base = top == -INFINITY ? 0 : top;  // a row that has seen no key yet
        const float correction = expf(largest - base);
        float sum = 0;
#pragma unroll
        for (int e = 0; e < S::per_thread; e++) {
            const float weight = expf(scores[e] - base);
            weights.store(r * S::score_pitch + t + 8 * e, weight);
            sum += weight;
        }
        total = total * correction + reduce_row(sum, Plus());
        largest = top;
        sync_warp();  // the four rows of a warp are its own
        sums.multiply(correction);
        sums.add(weights, values);
        sync_warp();
    }
    if (i >= tile.queries) return;
    sums.multiply(1 / total);
    sums.store(out, tile.q_begin + i, int64_t{head} * p.head_dim, p.head_dim);
    if (t == 0) lse.store(tile.q_begin + i, head, largest + logf(total));
}

}  // namespace nf4j::cuda
