// The gradients of attention_bf16.cuh on tensor cores. With P = exp(scale Q K^T - lse), dP = dO V^T, delta = dO . O of
// each row and dS = P (dP - delta):
//
//   dQ = scale dS K      by tiles of queries: a block has rows of queries and goes through the keys that they see
//   dV = P^T dO,         by tiles of keys: a block has keys and goes through the queries that see them, those of all
//   dK = scale dS^T Q    heads of the group, in the order of the rows (query, then head)
//
// Two kernels that both compute P and dP cost 7 products where one would take 5, but each sum has one owner and one
// order: no atomics. P and dS are rounded to BF16 for the products that sum them, as FlashAttention-2 does.
//
//   dQ kernel    Q, dO [rows, D] stay; K, V [cols, D] in two stages           S = Q K^T,   dP = dO V^T
//   dK, dV       K, V [rows, D] stay; Q, dO [cols, D] in two stages,          S^T = K Q^T, dP^T = V dO^T
//                with lse and delta of their rows
//
//   step:  the tile landed | copy the next one into the other stage | two products, exp | sums
//
// Floor: 14 head_dim FLOPs (dQ 6, dK and dV 8) for each query, head and key seen, over the rate of tensor cores.
//
//     make simt-run OP=attention_backward M=96 N=2 K=64
#pragma once

#include "cuda/attention_bf16.cuh"

namespace nf4j::cuda {

// What a block keeps (`rows`) and what it goes through (`cols` at a time).
template <int D, int WarpRows, int Cols>
struct BackwardShape {
    static constexpr int dim = D;
    static constexpr int warps = 4;
    static constexpr int threads = warps * warp_size;
    static constexpr int warp_rows = WarpRows;
    static constexpr int rows = warps * WarpRows;
    static constexpr int cols = Cols;
    static constexpr int stages = 2;

    using Kept = HeadRows<D, rows, threads>;
    using Passing = HeadRows<D, cols, threads>;
    static constexpr int64_t tile_bytes = 2 * Kept::bytes + 2 * stages * Passing::bytes;
};

struct AttentionGradients {
    HeadMatrix q;
    HeadMatrix k;
    HeadMatrix v;
    Matrix<float> lse;
    HeadMatrix dout;
    const float *delta;  // [m, heads]
};

template <class S>
__global__ void __launch_bounds__(S::threads, 1)
    attention_bf16_dq_kernel(AttentionProblem p, AttentionGradients x, HeadMatrix dq) {
    SharedArena arena;
    const typename S::Kept queries(arena), douts(arena);
    const typename S::Passing keys(arena, S::stages), values(arena, S::stages);
    const int kv_head = static_cast<int>(block_id() % p.kv_heads);
    // The last tiles see the most keys: they come first.
    const AttentionTile tile = attention_tile(p, p.first_tile[p.sequences] - 1 - block_id() / p.kv_heads, S::rows);
    const QueryRows rows(p, tile, tile.first, kv_head);
    const Visibility visible(p, tile);
    const int warp_row = warp_id() * S::warp_rows;
    const int first_query = rows.query(warp_row), last_query = rows.query(warp_row + S::warp_rows - 1);
    const int key_end = visible.last(rows.query(S::rows - 1)) + 1;
    int j0 = visible.first(rows.query(0)) / S::cols * S::cols;

    const auto fetch = [&](int first_key, int stage) {
        keys.stage(stage).fetch(x.k, KeyRows(tile, first_key, kv_head));
        values.stage(stage).fetch(x.v, KeyRows(tile, first_key, kv_head));
    };
    queries.fetch(x.q, rows);
    douts.fetch(x.dout, rows);
    fetch(j0, 0);
    commit_copies();
    WarpTile<S::warp_rows, S::dim> sums;
    float lse[sums.my_rows], delta[sums.my_rows];
#pragma unroll
    for (int i = 0; i < sums.my_rows; i++) {
        const int row = warp_row + sums.row_of(i);
        lse[i] = rows.inside(row) ? x.lse.load(rows.token(row), rows.head(row)) * log2_e : 0;
        delta[i] = rows.inside(row) ? x.delta[rows.token(row) * p.heads + rows.head(row)] : 0;
    }
    const float scale = p.scale * log2_e;
    for (int stage = 0; j0 < key_end; j0 += S::cols, stage ^= 1) {
        wait_copies<0>();
        sync_threads();  // the tile is there, and everybody is done with the one before
        if (j0 + S::cols < key_end) fetch(j0 + S::cols, stage ^ 1);
        commit_copies();
        if (!rows.inside(warp_row) || !visible.any(first_query, last_query, j0, j0 + S::cols - 1)) continue;
        WarpTile<S::warp_rows, S::cols> weights, ds;
        weights.template add_products<S::dim>(queries, warp_row, keys.stage(stage));
        weights.for_each([&](float &weight, int i, int) { weight = exp2f(weight * scale - lse[i]); });
        if (!visible.all(first_query, last_query, j0, j0 + S::cols - 1)) {
            int first[weights.my_rows], last[weights.my_rows];
#pragma unroll
            for (int i = 0; i < weights.my_rows; i++) {
                const int query = rows.query(warp_row + weights.row_of(i));
                first[i] = visible.first(query) - j0;
                last[i] = visible.last(query) - j0;
            }
            weights.for_each([&](float &weight, int i, int c) {
                if (weights.column_of(c) < first[i] || weights.column_of(c) > last[i]) weight = 0;
            });
        }
        ds.template add_products<S::dim>(douts, warp_row, values.stage(stage));
        ds.for_each([&](float &d, int i, int c) { d = weights.at(i, c) * (d - delta[i]); });
        sums.add_sums(ds, keys.stage(stage));
    }
    if (rows.inside(warp_row)) sums.store(dq, rows, queries, warp_row, [&](int) { return p.scale; });
}

// lse, in units of log 2, and delta of the rows that pass, and their queries. Thread t fetches those of row t a step
// ahead and keeps them until the step begins.
template <class S>
class PassingStatistics {
public:
    static constexpr int64_t bytes = 3 * SharedArena::bytes_of(S::stages * S::cols * 4);

    __device__ explicit PassingStatistics(SharedArena &arena)
        : lses_(arena.take<float>(S::stages * S::cols)),
          deltas_(arena.take<float>(S::stages * S::cols)),
          queries_(arena.take<int>(S::stages * S::cols)) {}

    __device__ void fetch(const AttentionGradients &x, const QueryRows &rows, int heads) {
        const int row = thread_id();
        if (row >= S::cols) return;
        const bool inside = rows.inside(row);
        lse_ = inside ? x.lse.load(rows.token(row), rows.head(row)) * log2_e : INFINITY;  // a weight of 0
        delta_ = inside ? x.delta[rows.token(row) * heads + rows.head(row)] : 0;
        query_ = rows.query(row);
    }
    __device__ void store(int stage) const {
        if (thread_id() >= S::cols) return;
        lses_.store(stage * S::cols + thread_id(), lse_);
        deltas_.store(stage * S::cols + thread_id(), delta_);
        queries_.store(stage * S::cols + thread_id(), query_);
    }

    __device__ float lse(int stage, int row) const { return lses_.load(stage * S::cols + row); }
    __device__ float delta(int stage, int row) const { return deltas_.load(stage * S::cols + row); }
    __device__ int query(int stage, int row) const { return queries_.load(stage * S::cols + row); }

private:
    Shared<float> lses_, deltas_;
    Shared<int> queries_;
    float lse_ = 0, delta_ = 0;
    int query_ = 0;
};

template <class S>
constexpr int64_t attention_bf16_dkv_bytes() {
    return S::tile_bytes + PassingStatistics<S>::bytes;
}

template <class S>
__global__ void __launch_bounds__(S::threads, 1)
    attention_bf16_dkv_kernel(AttentionProblem p, AttentionGradients x, HeadMatrix dk, HeadMatrix dv) {
    SharedArena arena;
    const typename S::Kept keys(arena), values(arena);
    const typename S::Passing queries(arena, S::stages), douts(arena, S::stages);
    PassingStatistics<S> statistics(arena);
    const int kv_head = static_cast<int>(block_id() % p.kv_heads);
    const AttentionTile tile = attention_tile(p, block_id() / p.kv_heads, S::rows);
    const KeyRows rows(tile, tile.first, kv_head);
    const Visibility visible(p, tile);
    const int warp_row = warp_id() * S::warp_rows;
    const int first_key = tile.first + warp_row, last_key = first_key + S::warp_rows - 1;
    const int query_end = visible.last_query(tile.first + S::rows - 1, tile.queries) + 1;
    int r0 = tile.first * p.group / S::cols * S::cols;

    const auto fetch = [&](int first_row, int stage) {
        const QueryRows passing(p, tile, first_row, kv_head);
        queries.stage(stage).fetch(x.q, passing);
        douts.stage(stage).fetch(x.dout, passing);
        statistics.fetch(x, passing, p.heads);
    };
    keys.fetch(x.k, rows);
    values.fetch(x.v, rows);
    fetch(r0, 0);
    commit_copies();
    WarpTile<S::warp_rows, S::dim> key_sums, value_sums;
    const float scale = p.scale * log2_e;
    for (int stage = 0; r0 < query_end * p.group; r0 += S::cols, stage ^= 1) {
        statistics.store(stage);
        wait_copies<0>();
        sync_threads();  // the tile is there, and everybody is done with the one before
        if (r0 + S::cols < query_end * p.group) fetch(r0 + S::cols, stage ^ 1);
        commit_copies();
        const int first_query = statistics.query(stage, 0), last_query = statistics.query(stage, S::cols - 1);
        if (!rows.inside(warp_row) || !visible.any(first_query, last_query, first_key, last_key)) continue;
        WarpTile<S::warp_rows, S::cols> weights, ds;  // transposed: rows are keys
        weights.template add_products<S::dim>(keys, warp_row, queries.stage(stage));
        float lse[weights.my_columns], delta[weights.my_columns];
#pragma unroll
        for (int c = 0; c < weights.my_columns; c++) {
            lse[c] = statistics.lse(stage, weights.column_of(c));
            delta[c] = statistics.delta(stage, weights.column_of(c));
        }
        weights.for_each([&](float &weight, int, int c) { weight = exp2f(weight * scale - lse[c]); });
        if (!visible.all(first_query, last_query, first_key, last_key)) {
            weights.for_each([&](float &weight, int i, int c) {
                const int query = statistics.query(stage, weights.column_of(c));
                if (!visible.sees(query, first_key + weights.row_of(i))) weight = 0;
            });
        }
        value_sums.add_sums(weights, douts.stage(stage));
        ds.template add_products<S::dim>(values, warp_row, douts.stage(stage));
        ds.for_each([&](float &d, int i, int c) { d = weights.at(i, c) * (d - delta[c]); });
        key_sums.add_sums(ds, queries.stage(stage));
    }
    if (!rows.inside(warp_row)) return;
    key_sums.store(dk, rows, keys, warp_row, [&](int) { return p.scale; });
    value_sums.store(dv, rows, values, warp_row, [&](int) { return 1.0f; });
}

}  // namespace nf4j::cuda
