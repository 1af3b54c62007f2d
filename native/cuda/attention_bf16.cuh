// Causal softmax attention on tensor cores (Dao, "FlashAttention-2", 2023): BF16 in and out, F32 sums.
//
// One row of a tile is one query of one head. The `group` heads that share keys and values share a block: row r of a
// sequence is query r / group, head r % group of the group, so a token that is decoded costs one pass over its keys, and
// a block reads them once for all heads.
//
//                       keys, `cols` at a time ->              shared memory, two stages (D = 128, rows = 128)
//                 | K0 | K1 | K2 | ...                         Q [rows, D]     32 KB, out at the end
//   warp 0: rows  | S = Q K^T, softmax, O += P V               K [2, cols, D]  16 KB
//   warp 1: rows  |                                            V [2, cols, D]  16 KB
//   ...           |        tiles without a key that the warp sees are skipped
//
//   step:  the tile landed | copy the next one into the other stage | S = Q K^T | softmax | O += P V
//
// P is rounded to BF16 for its product with V, as in FlashAttention-2: out is rounded to the same type, with an error
// of the same size, and keeping more bits by a second product would cost half of the time again. The sum of the weights,
// and so lse, takes them unrounded.
//
// A row's bits depend on no other row: tiles of keys begin at multiples of `cols` within the sequence, a tile that a row
// does not see multiplies its sums by 1 and adds 0, and every sum goes through ascending keys.
//
// Floor: 4 head_dim FLOPs for each query, head and key seen, over the rate of tensor cores; or Q, K, V and out once,
// over the bandwidth, which is the more with few queries. A fragment of K or V that ldmatrix brings feeds the products
// of all 32 rows of a warp: with 16 of them shared memory would be the limit.
//
//     make simt-run OP=attention_forward M=96 N=2 K=64
#pragma once

#include "cuda/attention_fragments.cuh"

namespace nf4j::cuda {

// D: the head dimension, rounded up. WarpRows: rows of a warp.
template <int D, int WarpRows>
struct ForwardShape {
    static constexpr int dim = D;
    static constexpr int warps = 4;
    static constexpr int threads = warps * warp_size;
    static constexpr int warp_rows = WarpRows;
    static constexpr int rows = warps * WarpRows;
    static constexpr int cols = D <= 64 ? 64 : 32;  // as many as registers hold scores of, beside the sums
    static constexpr int stages = 2;

    using Queries = HeadRows<D, rows, threads>;
    using Keys = HeadRows<D, cols, threads>;
    static constexpr int64_t shared_bytes = Queries::bytes + 2 * stages * Keys::bytes;
};

constexpr float log2_e = 1.44269504f;
constexpr float log_2 = 0.693147181f;

// Softmax over rows of scores that come tile by tile, in units of log 2.
template <int WarpRows>
class OnlineSoftmax {
public:
    static constexpr int my_rows = WarpRows / 8;

    __device__ OnlineSoftmax() {
#pragma unroll
        for (int i = 0; i < my_rows; i++) {
            largest_[i] = -INFINITY;
            total_[i] = 0;
        }
    }

    // Turns scores into weights, and scales `sums` down to the largest score so far.
    template <int Cols, int D>
    __device__ void add(WarpTile<WarpRows, Cols> &scores, WarpTile<WarpRows, D> &sums) {
        float top[my_rows], base[my_rows], correction[my_rows];
#pragma unroll
        for (int i = 0; i < my_rows; i++) top[i] = largest_[i];
        scores.for_each([&](float score, int i, int) { top[i] = fmaxf(top[i], score); });
#pragma unroll
        for (int i = 0; i < my_rows; i++) {
            top[i] = reduce_quad(top[i], Maximum());
            base[i] = top[i] == -INFINITY ? 0 : top[i];  // a row that has seen no key yet
            correction[i] = exp2f(largest_[i] - base[i]);
            largest_[i] = top[i];
            total_[i] *= correction[i];
        }
        scores.for_each([&](float &score, int i, int) {
            score = exp2f(score - base[i]);
            total_[i] += score;
        });
        bool larger = false;
#pragma unroll
        for (int i = 0; i < my_rows; i++) larger = larger || correction[i] != 1;
        if (ballot(larger)) sums.for_each([&](float &sum, int i, int) { sum *= correction[i]; });
    }

    // Of row number i: the sum of its weights, and its log-sum-exp given that.
    __device__ float total(int i) const { return reduce_quad(total_[i], Plus()); }
    __device__ float lse(int i, float total) const { return (largest_[i] + log2f(total)) * log_2; }

private:
    // Over the four lanes of a row.
    template <class Operation>
    __device__ static float reduce_quad(float value, Operation operation) {
        value = operation(value, shuffle_xor(value, 1));
        return operation(value, shuffle_xor(value, 2));
    }

    float largest_[my_rows];
    float total_[my_rows];  // of this lane's columns
};

template <class S>
__global__ void __launch_bounds__(S::threads, 1)
    attention_bf16_forward_kernel(AttentionProblem p, HeadMatrix q, HeadMatrix k, HeadMatrix v, Matrix<float> lse,
                                  HeadMatrix out) {
    SharedArena arena;
    const typename S::Queries queries(arena);
    const typename S::Keys keys(arena, S::stages), values(arena, S::stages);
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
        keys.stage(stage).fetch(k, KeyRows(tile, first_key, kv_head));
        values.stage(stage).fetch(v, KeyRows(tile, first_key, kv_head));
    };
    queries.fetch(q, rows);
    fetch(j0, 0);
    commit_copies();
    const float scale = p.scale * log2_e;
    OnlineSoftmax<S::warp_rows> softmax;
    WarpTile<S::warp_rows, S::dim> sums;
    for (int stage = 0; j0 < key_end; j0 += S::cols, stage ^= 1) {
        wait_copies<0>();
        sync_threads();  // the tile is there, and everybody is done with the one before
        if (j0 + S::cols < key_end) fetch(j0 + S::cols, stage ^ 1);
        commit_copies();
        if (!rows.inside(warp_row) || !visible.any(first_query, last_query, j0, j0 + S::cols - 1)) continue;
        WarpTile<S::warp_rows, S::cols> scores;
        scores.template add_products<S::dim>(queries, warp_row, keys.stage(stage));
        scores.for_each([&](float &score, int, int) { score *= scale; });
        if (!visible.all(first_query, last_query, j0, j0 + S::cols - 1)) {
            int first[scores.my_rows], last[scores.my_rows];
#pragma unroll
            for (int i = 0; i < scores.my_rows; i++) {
                const int query = rows.query(warp_row + scores.row_of(i));
                first[i] = visible.first(query) - j0;
                last[i] = visible.last(query) - j0;
            }
            scores.for_each([&](float &score, int i, int c) {
                if (scores.column_of(c) < first[i] || scores.column_of(c) > last[i]) score = -INFINITY;
            });
        }
        softmax.add(scores, sums);
        sums.add_sums(scores, values.stage(stage));
    }
    if (!rows.inside(warp_row)) return;
    float total[sums.my_rows];
#pragma unroll
    for (int i = 0; i < sums.my_rows; i++) {
        total[i] = softmax.total(i);
        const int row = warp_row + sums.row_of(i);
        if (lane_id() % 4 == 0 && rows.inside(row))
            lse.store(rows.token(row), rows.head(row), softmax.lse(i, total[i]));
    }
    sums.store(out, rows, queries, warp_row, [&](int i) { return 1 / total[i]; });
}

}  // namespace nf4j::cuda
