// Products of few rows of BF16 with an NF4 weight on tensor cores: y = x * W^T and dx = dy * W for up to 64 tokens, each
// code read from memory once; but y of up to 8 is nf4_gemv.cuh's, if that has room for x, and on Hopper more than 32 are
// product_hopper.cuh's. Floor: the weight's bytes over the bandwidth of memory.
//
// The weight is the A operand of mma.m16n8k16, straight from its fragment bytes; tokens are the columns of B, eight to
// an mma. A block has 256 outputs and goes through its share of k in rounds of 128, two steps of 64. A warp has 64 of
// the outputs and one of the two steps: 64x64 weights, which whichever way round are four tiles (nf4_weight.cuh), one
// below the other:
//
//              y = x * W^T                          dx = dy * W
//          step 0   step 1                      256 outputs
//         +-------+-------+                   +------+------+------+------+
//         | warp  | warp  |                   | warp | warp | warp | warp |
//         |  0    |  4    |                   |  0   |  1   |  2   |  3   |  step 0
//         +-------+-------+                   +------+------+------+------+
//         |  1    |  5    |                   |  4   |  5   |  6   |  7   |  step 1
//         +-------+-------+  256 outputs      +------+------+------+------+
//         |  2    |  6    |
//         +-------+-------+
//         |  3    |  7    |
//         +-------+-------+
//
// Nobody else needs a warp's weights, so they come into its registers, a round ahead, and only tokens go through shared
// memory. Going down the rows of W, a lane's word is the fragment of 16 outputs and 16 of k. Across, the same word holds
// them transposed, and movmatrix turns its four matrices of 8x8.
//
// Decoding (nf4_decode.cuh) sets the pace: a byte permutation, a look-up, two multiplications and a rounding for two
// weights. For a tile of 1024 a warp makes 32 passes through shared memory for it, 4 through the cache that shares its ports
// for the codes, and 2 for every eight tokens: 39 at 8 tokens, 56 at 64, their copies included, and 16 more for the scales,
// single bytes of 64 rows. Memory brings an H200's multiprocessor a tile in 32 clocks. Measured there with 14336 x 4096 weights:
// 22.6 us for one token, 34 % of the bandwidth of a copy, which at 1.8 GHz is 53 clocks for each of the 512 tiles of two blocks
// on a multiprocessor, without the 5 us of the smallest product and 3 of the second kernel. At 16, 32 and 64 tokens a
// multiprocessor has room for one block: 8 warps do not hide the latency of look-ups, and a tile takes 78, 98 and 144 clocks.
//
// k is split where there are few tiles (tiles.h), by the shape of the weight alone. In each split a sum is two chains
// over ascending k, of the even and of the odd steps, which are then added: a token's bits depend neither on the other
// tokens nor on how many of them come here.
//
//     make simt-run OP=nf4_matmul M=16 N=512 K=1024
//     make simt-run OP=nf4_matmul_backward M=8 N=512 K=512
#pragma once

#include "cuda/bf16_tile.cuh"
#include "cuda/nf4_decode.cuh"

namespace nf4j::cuda {

template <class T, bool columns>
class FewRows {
public:
    static constexpr int64_t main_bytes =
        DecodeTables::shared_bytes + SharedArena::bytes_of(T::stages * few_rows_depth * T::m * 2);
    static constexpr int sums_pitch = T::n + 4;  // keeps the tokens of a fragment in different banks
    static constexpr int64_t sums_bytes = T::m * sums_pitch * 4;
    static constexpr int64_t shared_bytes = main_bytes > sums_bytes ? main_bytes : sums_bytes;

    __device__ FewRows(const Product &p, SharedArena &arena)
        : p_(p),
          weight_(p.main.right.nf4),
          tile_(static_cast<int>(block_id()) % tiles_n()),
          split_(static_cast<int>(block_id()) / tiles_n()),
          group_(warp_id() / warps_n),
          tables_(arena),
          tokens_(arena.take<bf16>(T::stages * round_tokens)),
          scales_(weight_) {
        const int outputs = tile_ * warps_n + warp_id() % warps_n;  // which 64
        tile_row_ = (columns ? group_ : outputs) * tiles;
        tile_col_ = columns ? outputs : group_;
        halves_ = weight_.block_shift == 5 ? 2 : 1;

        const int lane_token = (token_tiles > 1 ? lane_id() / 16 * 8 : 0) + lane_id() % 8,
                  lane_k = (token_tiles > 1 ? lane_id() / 8 % 2 : lane_id() / 8) * 8;
        token_at_ = tokens_.address(group_ * step_tokens + swizzled<bf16_depth>(lane_token, lane_k));
        const int token = thread_id() / chunks, chunk = thread_id() % chunks;
        const Operand &left = p.main.left;
        token_from_ = static_cast<const bf16 *>(left.data) + token * left.ld + chunk * 8;
        token_to_ = chunk / 8 * step_tokens + swizzled<bf16_depth>(token, chunk % 8 * 8);
        k_left_ = static_cast<int>(p.main.k) - chunk * 8;
    }

    __device__ void run() {
        const int64_t rounds = ceil_div(p_.main.k, few_rows_depth);
        const auto first = static_cast<int>(rounds * split_ / p_.splits);
        const auto end = static_cast<int>(rounds * (split_ + 1) / p_.splits);
        token_from_ += first * few_rows_depth;
        k_left_ -= first * few_rows_depth;
        (columns ? tile_row_ : tile_col_) += first * (columns ? 2 * tiles : 2);
        codes_from_ = weight_.tile(tile_row_, tile_col_) + lane_id() * 16;
        copy_tokens(0);
        fetch_weights(0);
        tables_.fill(weight_, T::threads);
        // Two rounds at a time: each has its buffers.
        for (int left = end - first; left > 0; left -= 2) {
            multiply<0>(left > 1);
            if (left > 1) multiply<1>(left > 2);
        }
        store();
    }

private:
    static constexpr int warps_n = 4;
    static constexpr int warp_outputs = T::n / warps_n;
    static constexpr int tiles = warp_outputs / nf4_tile_rows;  // of a warp in a step, and fragments of its outputs
    static constexpr int token_tiles = T::m / 8;
    static constexpr int token_loads = ceil_div(token_tiles, 2);
    static constexpr int step_tokens = T::m * bf16_depth;
    static constexpr int round_tokens = 2 * step_tokens;
    static constexpr int chunks = few_rows_depth / 8;  // of 16 bytes that a token has in a round
    static constexpr int tokens_apart = T::threads / chunks;
    static constexpr int token_chunks = ceil_div(T::m, tokens_apart);  // of a thread
    static_assert(warp_outputs == 64 && T::threads == 2 * warps_n * warp_size && T::threads == T::n && T::stages == 2,
                  "two warps have 64x64 weights each in a round, and a thread stores one output");
    static_assert(few_rows_depth == 2 * bf16_depth && tokens_apart % 8 == 0,
                  "all chunks of a thread are swizzled alike");

    using Codes = Vector<uint32_t, 4>;

    // A grid has fewer than 2^31 blocks.
    __device__ int tiles_n() const { return static_cast<int>(ceil_div(p_.n, T::n)); }

    // The next round, whose tokens and weights are in buffer `here`; the other one takes those of the round after it.
    template <int here>
    __device__ void multiply(bool goes_on) {
        wait_copies<0>();
        sync_threads();  // the round has landed, and everybody is past the round before, whose buffer is free
        take_scales();
        if (goes_on) {
            copy_tokens(1 - here);
            fetch_weights(1 - here);
        }
        add(here);
    }

    // ---- on their way, round after round

    // Tokens that are not there, and what lies behind k, become 0.
    __device__ void copy_tokens(int buffer) {
        const int there = k_left_ >= 8 ? 16 : k_left_ > 0 ? 2 * k_left_ : 0;
#pragma unroll
        for (int i = 0; i < token_chunks; i++) {
            const int token = thread_id() / chunks + i * tokens_apart;
            if (token >= T::m) break;
            copy_async_16(tokens_.address(buffer * round_tokens + token_to_ + i * tokens_apart * bf16_depth),
                          token_from_ + i * tokens_apart * p_.main.left.ld, token < static_cast<int>(p_.m) ? there : 0);
        }
        commit_copies();
        token_from_ += few_rows_depth;
        k_left_ -= few_rows_depth;
    }

    // Where there are no weights the codes stay what they were; what is multiplied by them is 0.
    __device__ void fetch_weights(int buffer) {
        const int64_t row_bytes = weight_.tile_cols * nf4_tile_bytes;
        const uint8_t *from = codes_from_;
        const int there =
            tile_col_ < static_cast<int>(weight_.tile_cols) ? static_cast<int>(weight_.tile_rows) - tile_row_ : 0;
#pragma unroll
        for (int i = 0; i < tiles; i++) {
            if (i < there) codes_[buffer][i] = load_global_once(from);
            from += row_bytes;
        }
        // Lane t of each quad has those of rows g and g + 8 of tile t.
        scales_.fetch((tile_row_ + lane_id() % 4) * nf4_tile_rows + lane_id() / 4, tile_col_);
        (columns ? tile_row_ : tile_col_) += columns ? 2 * tiles : 2;
        codes_from_ += columns ? 2 * tiles * row_bytes : 2 * nf4_tile_bytes;
    }

    __device__ void take_scales() {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            own_scales_[0][i] = scales_.get(tables_, i);
            if (halves_ == 2) own_scales_[1][i] = scales_.get(tables_, i, 1);
        }
    }

    // ---- there

    // sums += the products of this warp's step of a round.
    __device__ void add(int buffer) {
        float scales[tiles][2];
        uint32_t b[token_loads][4];
#pragma unroll
        for (int k16 = 0; k16 < bf16_depth / 16; k16++) {
            if (token_tiles > 1 || k16 % 2 == 0) load_tokens(b, buffer, k16);
#pragma unroll
            for (int i = 0; i < tiles; i++) {
                const int tile = columns ? k16 : i, word = columns ? i : k16;
                if (word == 0 || (word == 2 && halves_ == 2)) exchange_scales(scales[tile], tile, word / 2);
                uint32_t a[4];
                fragment(a, codes_[buffer][tile].v[word], scales[tile]);
#pragma unroll
                for (int j = 0; j < token_tiles; j++) {
                    const int at = (token_tiles > 1 ? j : k16) % 2 * 2;
                    const uint32_t half[2] = {b[j / 2][at], b[j / 2][at + 1]};
                    mma_bf16(sums_[i][j], a, half);
                }
            }
        }
    }

    // Tokens as B fragments, four matrices at a time: 16 of k for 16 tokens, or 32 of k where there are only 8.
    __device__ void load_tokens(uint32_t (&b)[token_loads][4], int buffer, int k16) const {
        const uint32_t at = token_at_.value ^ 32u * k16;  // 16 of k further, as chunks are exchanged
#pragma unroll
        for (int j = 0; j < token_loads; j++)
            load_matrices(b[j], {at + 2u * (buffer * round_tokens + 16 * j * bf16_depth)});
    }

    // The scales of this lane's rows g and g + 8 of a tile.
    __device__ void exchange_scales(float (&scales)[2], int tile, int half) const {
#pragma unroll
        for (int i = 0; i < 2; i++) scales[i] = shuffle(own_scales_[half][i], lane_id() / 4 * 4 + tile);
    }

    // The A fragment: 16 outputs, 16 of k.
    __device__ void fragment(uint32_t (&a)[4], uint32_t word, const float (&scales)[2]) const {
#pragma unroll
        for (int byte = 0; byte < 4; byte++) a[byte] = tables_.weights(word, byte, scales[byte % 2]);
        if (!columns) return;
        // [k, outputs] as it stands in W: the matrices and, of the four, the second and the third change sides.
        const uint32_t right = transpose_matrix(a[1]);
        a[0] = transpose_matrix(a[0]);
        a[1] = transpose_matrix(a[2]);
        a[2] = right;
        a[3] = transpose_matrix(a[3]);
    }

    // ---- results

    // Those of both groups meet in shared memory, where a thread then has one output.
    __device__ void store() const {
        SharedArena arena;
        const Shared<float> sums = arena.take<float>(T::m * sums_pitch);
        sync_threads();  // everybody is past the last round, whose memory this takes
        if (group_ == 0) for_each_sum([&](int at, float sum) { sums.store(at, sum); });
        sync_threads();  // the sums of even steps are there
        if (group_ == 1) for_each_sum([&](int at, float sum) { sums.store(at, sums.load(at) + sum); });
        sync_threads();  // and those of odd ones
        const int64_t out = int64_t{tile_} * T::n + thread_id();
        if (out >= p_.n) return;
        if (p_.adapter.k > 0 && split_ == 0) add_adapter(sums, out);
        for (int token = 0; token < p_.m; token++)
            store_result(p_, split_ * p_.m + token, out, sums.load(token * sums_pitch + thread_id()));
    }

    // Calls body(place, sum) for those of this lane: outputs along the rows of a fragment, tokens along its columns.
    template <class Body>
    __device__ void for_each_sum(const Body &body) const {
        const int warp_out = (columns ? tile_col_ * nf4_tile_cols : tile_row_ * nf4_tile_rows) - tile_ * T::n;
#pragma unroll
        for (int i = 0; i < tiles; i++) {
#pragma unroll
            for (int j = 0; j < token_tiles; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int token = 8 * j + lane_id() % 4 * 2 + e % 2;
                    const int out = warp_out + 16 * i + lane_id() / 4 + e / 2 * 8;
                    body(token * sums_pitch + out, sums_[i][j][e]);
                }
            }
        }
    }

    // The adapter's product in F32, 16 ranks at a time, for the output of this thread. The first split has it.
    __device__ void add_adapter(Shared<float> sums, int64_t out) const {
        constexpr int ranks = 16;
        const Operand &left = p_.adapter.left, &right = p_.adapter.right;
        for (int64_t k0 = 0; k0 < p_.adapter.k; k0 += ranks) {
            float b[ranks];
#pragma unroll
            for (int r = 0; r < ranks; r++) {
                const int64_t k = k0 + r;
                b[r] = k >= p_.adapter.k    ? 0
                       : right.k_contiguous ? dense_element(right, out, k)
                                            : dense_element(right, k, out);
            }
#pragma unroll 1
            for (int token = 0; token < p_.m; token++) {
                float sum = 0;
#pragma unroll
                for (int r = 0; r < ranks; r++) {
                    const int64_t k = k0 + r;
                    sum = multiply_add(k < p_.adapter.k ? dense_element(left, token, k) : 0, b[r], sum);
                }
                if (p_.masked_adapter) sum *= dropout_factor(p_.dropout, token, out);
                const int at = token * sums_pitch + thread_id();
                sums.store(at, sums.load(at) + sum);
            }
        }
    }

    const Product &p_;
    const Nf4View &weight_;
    int tile_, split_;  // the block's, of the outputs and of k
    int group_;         // of warps: which step of a round
    DecodeTables tables_;
    Shared<bf16> tokens_;  // [stages][steps][m][64]
    ScalesAhead<2> scales_;

    int tile_row_, tile_col_;  // of the next weights
    int halves_;               // of a tile's row that have a scale of their own
    const uint8_t *codes_from_;
    Codes codes_[T::stages][tiles] = {};
    float own_scales_[2][2] = {};  // [half][row]

    const bf16 *token_from_;
    int token_to_;
    SharedAddress token_at_;  // of this lane's first row of matrices
    int k_left_;

    float sums_[tiles][token_tiles][4] = {};
};

// Two blocks on a multiprocessor, where the sums leave the registers for it.
template <class T, bool columns>
__global__ void __launch_bounds__(T::threads, T::m <= 8 ? 2 : 1) nf4_few_rows_kernel(const Product p) {
    SharedArena arena;
    FewRows<T, columns>(p, arena).run();
}

}  // namespace nf4j::cuda
