// The gradients of attention_f32.cuh, with p = exp(scale q.k - lse), ds = p (dout.v - delta) and delta = dout.out of the
// row: dq = scale sum(ds k), dk = scale sum(ds q), dv = sum(p dout). Its picture holds. Floor: 14
// head_dim FLOPs (dq 6, dk and dv 8) for each query, head and key seen, over the rate of FFMA.
//
//     make simt-run OP=attention_backward M=50 N=2 K=32 DTYPE=f32
#pragma once

#include "cuda/attention_f32.cuh"

namespace nf4j::cuda {

template <class S>
constexpr int64_t attention_f32_backward_bytes() {
    return 2 * SharedArena::bytes_of(S::rows * S::pitch * 4) + 2 * SharedArena::bytes_of(S::cols * S::pitch * 4) +
           2 * SharedArena::bytes_of(S::rows * S::score_pitch * 4);
}

// What both kernels have in shared memory: this block's rows and the tile beside them, of two matrices each.
template <class S>
struct F32BackwardTiles {
    Shared<float> row1, row2, col1, col2, p, ds;

    __device__ explicit F32BackwardTiles(SharedArena &arena)
        : row1(arena.take<float>(S::rows * S::pitch)),
          row2(arena.take<float>(S::rows * S::pitch)),
          col1(arena.take<float>(S::cols * S::pitch)),
          col2(arena.take<float>(S::cols * S::pitch)),
          p(arena.take<float>(S::rows * S::score_pitch)),
          ds(arena.take<float>(S::rows * S::score_pitch)) {}
};

template <typename T>
struct F32AttentionTensors {
    Matrix<T> q;
    Matrix<T> k;
    Matrix<T> v;
    Matrix<float> lse;
    Matrix<T> dout;
    const float *delta;  // [m, heads]
};

// Rows are queries.
template <class S, typename T>
__global__ void __launch_bounds__(S::threads, 1)
    attention_f32_dq_kernel(AttentionProblem p, F32AttentionTensors<T> x, Matrix<T> dq) {
    SharedArena arena;
    const F32BackwardTiles<S> tiles(arena);  // q, dout; k, v
    const int head = static_cast<int>(block_id() % p.heads);
    const int64_t col = int64_t{head} * p.head_dim, kv_col = int64_t{head / (p.heads / p.kv_heads)} * p.head_dim;
    const AttentionTile tile = attention_tile(p, block_id() / p.heads, S::rows);
    const Visibility visible(p, tile);
    const int r = thread_id() / 8, t = thread_id() % 8;
    const int64_t i = tile.first + r, row = tile.q_begin + i, sequence_end = tile.q_begin + tile.queries;
    const int64_t end = tile.first + S::rows < tile.queries ? tile.first + S::rows : tile.queries;
    int64_t j0 = visible.first(tile.first) / S::cols * S::cols;

    load_rows<S>(tiles.row1, S::rows, x.q, tile.q_begin + tile.first, sequence_end, col, p.head_dim);
    load_rows<S>(tiles.row2, S::rows, x.dout, tile.q_begin + tile.first, sequence_end, col, p.head_dim);
    const float lse = i < tile.queries ? x.lse.load(row, head) : 0,
                delta = i < tile.queries ? x.delta[row * p.heads + head] : 0;
    RowSums<S> sums;
    for (; j0 < end; j0 += S::cols) {
        sync_threads();
        load_rows<S>(tiles.col1, S::cols, x.k, tile.q_begin + j0, sequence_end, kv_col, p.head_dim);
        load_rows<S>(tiles.col2, S::cols, x.v, tile.q_begin + j0, sequence_end, kv_col, p.head_dim);
        sync_threads();
        float scores[S::per_thread], dp[S::per_thread];
        dot_rows<S>(tiles.row1, tiles.col1, scores);
        dot_rows<S>(tiles.row2, tiles.col2, dp);
#pragma unroll
        for (int e = 0; e < S::per_thread; e++) {
            const bool seen = i < tile.queries && visible.sees(i, j0 + t + 8 * e);
            const float ds = seen ? expf(scores[e] * p.scale - lse) * (dp[e] - delta) : 0;
            tiles.ds.store(r * S::score_pitch + t + 8 * e, ds);
        }
        sync_warp();
        sums.add(tiles.ds, tiles.col1);
        sync_warp();
    }
    if (i >= tile.queries) return;
    sums.multiply(p.scale);
    sums.store(dq, row, col, p.head_dim);
}

// Rows are keys; the queries of all heads that use this key-value head, head after head.
template <class S, typename T>
__global__ void __launch_bounds__(S::threads, 1)
    attention_f32_dkv_kernel(AttentionProblem p, F32AttentionTensors<T> x, Matrix<T> dk, Matrix<T> dv) {
    SharedArena arena;
    const F32BackwardTiles<S> tiles(arena);  // k, v; q, dout
    const int kv_head = static_cast<int>(block_id() % p.kv_heads), group = p.heads / p.kv_heads;
    const int64_t kv_col = int64_t{kv_head} * p.head_dim;
    const AttentionTile tile = attention_tile(p, block_id() / p.kv_heads, S::rows);
    const Visibility visible(p, tile);
    const int r = thread_id() / 8, t = thread_id() % 8;
    const int64_t j = tile.first + r, sequence_end = tile.q_begin + tile.queries;
    const int64_t end = visible.last_query(tile.first + S::rows - 1, tile.queries) + 1;

    load_rows<S>(tiles.row1, S::rows, x.k, tile.q_begin + tile.first, sequence_end, kv_col, p.head_dim);
    load_rows<S>(tiles.row2, S::rows, x.v, tile.q_begin + tile.first, sequence_end, kv_col, p.head_dim);
    RowSums<S> key_sums, value_sums;
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        const int64_t col = int64_t{head} * p.head_dim;
        for (int64_t i0 = tile.first - tile.first % S::cols; i0 < end; i0 += S::cols) {
            sync_threads();
            load_rows<S>(tiles.col1, S::cols, x.q, tile.q_begin + i0, sequence_end, col, p.head_dim);
            load_rows<S>(tiles.col2, S::cols, x.dout, tile.q_begin + i0, sequence_end, col, p.head_dim);
            sync_threads();
            float scores[S::per_thread], dp[S::per_thread];
            dot_rows<S>(tiles.row1, tiles.col1, scores);
            dot_rows<S>(tiles.row2, tiles.col2, dp);
#pragma unroll
            for (int e = 0; e < S::per_thread; e++) {
                const int64_t i = i0 + t + 8 * e, row = tile.q_begin + i;
                const bool seen = i < tile.queries && visible.sees(i, j);
                const float weight = seen ? expf(scores[e] * p.scale - x.lse.load(row, head)) : 0;
                tiles.p.store(r * S::score_pitch + t + 8 * e, weight);
                tiles.ds.store(r * S::score_pitch + t + 8 * e,
                               seen ? weight * (dp[e] - x.delta[row * p.heads + head]) : 0);
            }
            sync_warp();
            value_sums.add(tiles.p, tiles.col2);
            key_sums.add(tiles.ds, tiles.col1);
            sync_warp();
        }
    }
    if (j >= tile.keys) return;
    key_sums.multiply(p.scale);
    key_sums.store(dk, tile.q_begin + j, kv_col, p.head_dim);
    value_sums.store(dv, tile.q_begin + j, kv_col, p.head_dim);
}

}  // namespace nf4j::cuda
