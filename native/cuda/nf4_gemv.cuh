// y = x * W^T for up to 8 tokens of BF16 and an NF4 weight: each code is read from memory once, and decoded once. Floor:
// the weight's bytes over the bandwidth of memory.
//
// As in nf4_few_rows.cuh, the weight is the A operand of mma.m16n8k16, straight from its fragment bytes, and tokens are
// the columns of B. Here a warp has 16 outputs, one row of tiles (nf4_weight.cuh), and k is cut between warps, so that
// 14336 outputs keep every multiprocessor busy to within a fraction of a band, no sums go through memory, and no second
// kernel adds them:
//
//   a block    17 warps, one block on a multiprocessor, which goes from band to band (persistent)
//   a band     16 outputs. Warps 0-15 are teams of 1, 2, 4, 8 or 16 (tiles.cu), each with a band of its own
//   a step     4 neighbouring tiles for each warp, 16 outputs x 256 of k. Their codes have come into its registers
//              during the step before
//   warp 16    between two bands: adds what a team's warps have for the one behind, in their order, the adapter's product
//              first, while they are at the next one
//
//              team 0                        team 1              teams of 8 warps, 4096 of k: two steps
//        +----+----+-- ..... --+----+   +----+--- ..
//        | w0 | w1 |           | w7 |   | w8 |              k    0 ... 2047
//        +----+----+-- ..... --+----+   +----+--- ..
//        | w0 | w1 |           | w7 |   | w8 |              2048 ... 4095
//        +----+----+-- ..... --+----+   +----+--- ..
//
//   shared memory, in order      tables of decoding          65 KB          nf4_decode.cuh
//                                scales of a step, twice     8 or 16 KB     one or two for each row of a tile
//                                sums of a band, twice       1 KB a token
//                                x, all of it                up to 64 KB    for each 32 of k and token what lanes take at once
//
// Scales come through shared memory, since there is one for every 64 weights of a row: a warp would fetch single bytes
// of 16 rows, and each row is a line of the cache. The block fetches 64 neighbours of a row, decodes them, and
// leaves them where the next step finds the pair of a lane's rows.
//
// What a tile of 1024 weights takes, in clocks of a multiprocessor: the ports of shared memory 32 for looking weights up,
// 4 for the codes, 4 for scales on their way in and out, and 2 for one token, 8 for eight; each scheduler issues 36
// instructions. An H200's memory brings a tile in 32 to 35. Not measured on a device.
//
// A warp's sum is a chain over ascending k, and a team's are added in order: a token's bits depend neither on the other
// tokens nor on their number, 1 to 8.
//
//     make simt-run OP=nf4_matmul M=1 N=512 K=1024
#pragma once

#include "cuda/nf4_decode.cuh"
#include "cuda/operand.cuh"

namespace nf4j::cuda {

// Halves: scales of a tile's row, 2 with blocks of 32.
template <int Halves>
class Gemv {
    static constexpr int warps = GemvTile::threads / warp_size;  // that decode
    static constexpr int batch = gemv_depth / nf4_tile_cols;     // tiles of a warp in a step
    static constexpr int step_columns = warps * batch * Halves;  // of scales, over all teams
    // Of the scales of rows g and g + 8. Other rows' columns are in other banks.
    static constexpr int scales_pitch = 2 * step_columns + 2;
    static constexpr int step_scales = nf4_tile_rows / 2 * scales_pitch;
    static constexpr int own_scales = step_columns * nf4_tile_rows / GemvTile::threads;  // that a thread decodes
    static_assert(step_columns * nf4_tile_rows % GemvTile::threads == 0, "threads decode equally many scales");

public:
    static constexpr int threads = GemvTile::threads + warp_size;

    __host__ __device__ static int64_t shared_bytes(int64_t tokens, int64_t k) {
        return DecodeTables::shared_bytes + SharedArena::bytes_of(2 * step_scales * 4) +
               SharedArena::bytes_of(2 * warps * tokens * nf4_tile_rows * 4) + SharedArena::bytes_of(tokens * k * 2);
    }

    __device__ Gemv(const Product &p, int team_shift, SharedArena &arena)
        : p_(p),
          weight_(p.main.right.nf4),
          m_(static_cast<int>(p.m)),
          tile_rows_(static_cast<int>(weight_.tile_rows)),
          tile_cols_(static_cast<int>(weight_.tile_cols)),
          scale_count_(static_cast<uint32_t>(weight_.rows) * tile_cols_ * Halves),
          team_shift_(team_shift),
          bands_of_round_(static_cast<int>(grid_blocks()) * teams()),
          steps_(static_cast<int>(ceil_div(tile_cols_, batch << team_shift))),
          rounds_(static_cast<int>(ceil_div(tile_rows_, bands_of_round_))),
          tables_(arena),
          scales_(arena.take<float>(2 * step_scales)),
          sums_(arena.take<float>(2 * warps * m_ * nf4_tile_rows)),
          tokens_(arena.take<uint32_t>(m_ * p.main.k / 2)),
          offset_(weight_.absmax8 ? *weight_.nested_offset : 0),
          next_band_(band(0, warp_id() >> team_shift)) {
        codes_from_ = weight_.tile(next_band_, tile_col(0)) + lane_id() * 16;
        // Neighbours have neighbouring columns of scales, and then a team's next row.
#pragma unroll
        for (int i = 0; i < own_scales; i++) {
            const int at = i * GemvTile::threads + thread_id(), columns = (batch * Halves) << team_shift;
            const int team = at / (columns * nf4_tile_rows), row = at / columns % nf4_tile_rows, column = at % columns;
            scale_from_[i] = (band(0, team) * nf4_tile_rows + row) * tile_cols_ * Halves + column;
            scale_to_[i] = scale_at(row % 8, team * columns + column) + row / 8;
        }
    }

    __device__ void run() {
        if (decodes()) {
            fetch_scales();
#pragma unroll
            for (int i = 0; i < batch; i++) fetch_codes(i);
            advance();
        }
        tables_.fill(weight_, threads);
        copy_tokens();
        sync_threads();  // the tables are there, which scales are decoded with
        if (decodes()) put_scales(0);
        sync_threads();  // scales of the first step, and tokens
        int buffer = 0;
        for (int round = 0; round < rounds_; round++) {
            for (int step = 0; step < steps_; step++) {
                if (decodes()) {
                    fetch_scales();
                    multiply(buffer, tile_col(step));
                    if (step + 1 == steps_) put_sums(round % 2);
                    put_scales(1 - buffer);
                    advance();
                }
                sync_threads();  // scales of the next step, and behind the last step, the sums
                buffer = 1 - buffer;
            }
            if (!decodes()) finish(round);
        }
    }

private:
    using Codes = Vector<uint32_t, 4>;

    __device__ bool decodes() const { return warp_id() < warps; }
    __device__ int teams() const { return warps >> team_shift_; }
    // The row of tiles that a team has in a round.
    __device__ int band(int round, int team) const {
        return round * bands_of_round_ + static_cast<int>(block_id()) * teams() + team;
    }
    // This warp's first column of tiles in a step.
    __device__ int tile_col(int step) const {
        return ((step << team_shift_) + (warp_id() & ((1 << team_shift_) - 1))) * batch;
    }

    // ---- on their way: codes and scales of the next step

    // Of tile i, whose codes there were are decoded.
    __device__ void fetch_codes(int i) {
        if (next_band_ < tile_rows_ && tile_col(next_step_) + i < tile_cols_)
            codes_[i] = load_global_once(codes_from_ + i * nf4_tile_bytes);
    }

    // Behind a row's end they are the next row's, behind the last one they stay what they were: nobody wants what is
    // multiplied by them.
    __device__ void fetch_scales() {
        constexpr int column_shift = Halves == 2 ? 5 : 6;  // log2 of the weights of a row that have one in common
#pragma unroll
        for (int i = 0; i < own_scales; i++) {
            const uint32_t at = scale_from_[i];
            if (at >= scale_count_) continue;
            absmax_[i] = weight_.absmax[at >> (weight_.absmax_shift - column_shift)];
            if (weight_.absmax8) absmax8_[i] = weight_.absmax8[at >> (weight_.block_shift - column_shift)];
        }
    }

    // From the next step to the one behind it, in the same band or at the beginning of the next round's.
    __device__ void advance() {
        const bool same = next_step_ + 1 < steps_;
        const int step_tiles = batch << team_shift_;
        const int64_t tiles = same ? step_tiles : int64_t{bands_of_round_} * tile_cols_ - next_step_ * step_tiles;
        const int rows = same ? 0 : bands_of_round_ * nf4_tile_rows;
        codes_from_ += tiles * nf4_tile_bytes;
#pragma unroll
        for (int i = 0; i < own_scales; i++)
            scale_from_[i] += (rows * tile_cols_ + (same ? step_tiles : -next_step_ * step_tiles)) * Halves;
        next_band_ += same ? 0 : bands_of_round_;
        next_step_ = same ? next_step_ + 1 : 0;
    }

    __device__ void put_scales(int buffer) const {
#pragma unroll
        for (int i = 0; i < own_scales; i++) {
            const float scale = weight_.absmax8 ? tables_.nested(absmax8_[i]) * absmax_[i] + offset_ : absmax_[i];
            scales_.store(buffer * step_scales + scale_to_[i], scale);
        }
    }
    // Of rows `row` and `row` + 8.
    __device__ static int scale_at(int row, int column) { return row * scales_pitch + 2 * column; }

    // ---- x

    // A lane of mma wants, of 32 of k, the elements 2t, 2t + 1 of each eight: so these stand side by side.
    __device__ void copy_tokens() const {
        const int per_token = tile_cols_ * 8;  // eights
        for (int i = thread_id(); i < m_ * per_token; i += threads) {
            const int token = i / per_token, eight = i % per_token;
            const auto *row = static_cast<const bf16 *>(p_.main.left.data) + token * p_.main.left.ld;
            const auto pairs = load_global<Vector<uint32_t, 4>>(row + eight * 8);
#pragma unroll
            for (int t = 0; t < 4; t++) tokens_.store(token_at(eight / 4, token, t) + eight % 4, pairs.v[t]);
        }
    }
    // What lane t takes of 32 of k. Threads that store the same t are 32 of k apart, and so in other banks, but for two.
    __device__ int token_at(int at, int token, int t) const { return ((at * m_ + token) * 4 + (t ^ at % 4)) * 4; }

    // B fragments of a tile, two to each vector. A token that is not there is 0.
    __device__ void load_tokens(Vector<uint32_t, 4> (&b)[2], int tile_col) const {
        const int token = lane_id() / 4;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            b[half] = {};
            if (token < m_) b[half] = tokens_.template load<4>(token_at(2 * tile_col + half, token, lane_id() % 4));
        }
    }

    // ---- there

    // sum_ += the products of this warp's tiles of a step, from column `col` on; the next step's take their places.
    __device__ void multiply(int buffer, int col) {
        const int column = warp_id() * batch * Halves;
#pragma unroll
        for (int i = 0; i < batch; i++) {
            if (col + i < tile_cols_) add(codes_[i], col + i, buffer * step_scales, column + i * Halves);
            fetch_codes(i);
        }
    }

    __device__ void add(const Codes &codes, int tile_col, int scales_from, int column) {
        Vector<uint32_t, 4> b[2];
        load_tokens(b, tile_col);
        Vector<float, 2> scales;
#pragma unroll
        for (int word = 0; word < 4; word++) {
            constexpr int words = 4 / Halves;  // with scales in common
            if (word % words == 0)
                scales = scales_.template load<2>(scales_from + scale_at(lane_id() / 4, column + word / words));
            uint32_t a[4];
#pragma unroll
            for (int byte = 0; byte < 4; byte++) a[byte] = tables_.weights(codes.v[word], byte, scales.v[byte % 2]);
            const uint32_t of_word[2] = {b[word / 2].v[word % 2 * 2], b[word / 2].v[word % 2 * 2 + 1]};
            mma_bf16(sum_, a, of_word);
        }
    }

    // ---- results

    __device__ void put_sums(int buffer) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int token = lane_id() % 4 * 2 + e % 2, out = lane_id() / 4 + e / 2 * 8;
            if (token < m_) sums_.store(sum_at(buffer, warp_id(), token) + out, sum_[e]);
            sum_[e] = 0;
        }
    }
    __device__ int sum_at(int buffer, int warp, int token) const {
        return ((buffer * warps + warp) * m_ + token) * nf4_tile_rows;
    }

    // Of the bands of a round, by the last warp.
    __device__ void finish(int round) const {
        for (int i = lane_id(); i < teams() * m_ * nf4_tile_rows; i += warp_size) {
            const int of_band = i % nf4_tile_rows, token = i / nf4_tile_rows % m_, team = i / (nf4_tile_rows * m_);
            const int64_t out = int64_t{band(round, team)} * nf4_tile_rows + of_band;
            if (out >= p_.n) continue;
            float sum = adapter_sum(token, out);
            for (int warp = team << team_shift_; warp < (team + 1) << team_shift_; warp++)
                sum += sums_.load(sum_at(round % 2, warp, token) + of_band);
            store_result(p_, token, out, sum);
        }
    }

    __device__ float adapter_sum(int64_t token, int64_t out) const {
        float sum = 0;
#pragma unroll 8
        for (int64_t k = 0; k < p_.adapter.k; k++)
            sum = multiply_add(dense_element(p_.adapter.left, token, k), dense_element(p_.adapter.right, out, k), sum);
        return sum;
    }

    const Product &p_;
    const Nf4View &weight_;
    int m_, tile_rows_, tile_cols_;
    uint32_t scale_count_;
    int team_shift_;  // log2 of the warps of a team
    int bands_of_round_, steps_, rounds_;
    DecodeTables tables_;
    Shared<float> scales_;     // [2][8][columns][2], of rows g and g + 8
    Shared<float> sums_;       // [2][warps][tokens][16]
    Shared<uint32_t> tokens_;  // [32 of k][tokens][4][4]
    float offset_;

    // Of the next step.
    int next_band_, next_step_ = 0;
    const uint8_t *codes_from_;
    uint32_t scale_from_[own_scales];
    int scale_to_[own_scales];
    Codes codes_[batch] = {};
    float absmax_[own_scales] = {};  // as ScalesAhead has them
    int absmax8_[own_scales] = {};

    float sum_[4] = {};
};

template <int Halves>
__global__ void __launch_bounds__(Gemv<Halves>::threads, 1) nf4_gemv_kernel(const Product p, int team_shift) {
    SharedArena arena;
    Gemv<Halves>(p, team_shift, arena).run();
}

}  // namespace nf4j::cuda
