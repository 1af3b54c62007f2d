// Products of few rows of BF16 with an NF4 weight on tensor cores: y = x * W^T and dx = dy * W for up to 64 tokens, each
// code read from memory once. Floor: the weight's bytes over the bandwidth of memory.
//
// The weight is the A operand of mma.m16n8k16, straight from its fragment bytes; tokens are the columns of B, eight to
// an mma. A block has 256 outputs, 32 for each of 8 warps, and goes through its share of k by 64. What a step needs is
// 16 tiles of 16x64 weights (nf4_weight.cuh), 8 KB, whichever way round:
//
//              y = x * W^T                          dx = dy * W
//        64 of k                              256 outputs
//       +------+                             +------+------+------+------+
//       |  0   | warp 0                      |  0   |  1   |  2   |  3   |
//       |  1   |                             |  4   |      |      |      |  64 of k
//       |  2   | warp 1                      |  8   |      |      |      |
//       | ...  |       256 outputs           |  12  |      |      |  15  |
//       |  15  |                             +------+------+------+------+
//       +------+                               warps 0, 1 | 2, 3 | 4, 5 | 6, 7, half of each tile's columns
//
// Going down the rows of W, a lane's word is the fragment of 16 outputs and 16 of k. Across, the same word holds them
// transposed, and movmatrix turns its four matrices of 8x8.
//
// Decoding is exact, round(code * scale): a table in shared memory has, for each of the 256 bytes, both codes in F32,
// 16 times, so that each lane of a half-warp reads its own two banks. For a tile of 1024 weights a warp makes 32 passes
// through shared memory for that, 8 for the codes on their way, 2 to 4 for scales and 4 for every eight tokens: 46 at 8
// tokens, 74 at 64. Memory brings an H100's multiprocessor a tile in 41 clocks (132 of them at 1.755 GHz, 3.0 TB/s). So
// in this model, which nobody has measured, shared memory is the limit, at 0.9 of memory's bandwidth for 8 tokens.
//
// k is split where there are few tiles (tiles.h), by the shape of the weight alone, and each split is one chain over
// ascending k: a token's bits depend neither on the other tokens nor on their number, 1 to 64.
//
//     make simt-run OP=nf4_matmul M=8 N=512 K=1024
#pragma once

#include "cuda/bf16_tile.cuh"

namespace nf4j::cuda {

template <class T, bool columns>
class FewRows {
public:
    static constexpr int panel_rows = 8;  // of scales that are in shared memory at once: 8 steps, or 4 with two halves
    static constexpr int64_t shared_bytes =
        SharedArena::bytes_of(256 * 16 * 8) + SharedArena::bytes_of(panel_rows * 256 * 4) +
        SharedArena::bytes_of(T::stages * 16 * nf4_tile_bytes) + SharedArena::bytes_of(T::stages * T::m * 64 * 2);

    __device__ FewRows(const Product &p, SharedArena &arena)
        : p_(p),
          weight_(p.main.right.nf4),
          n0_(block_id() % ceil_div(p.n, T::n) * T::n),
          halves_(weight_.block_shift == 5 ? 2 : 1),
          aligned_(p.main.left.ld % 8 == 0 && reinterpret_cast<uintptr_t>(p.main.left.data) % 16 == 0),
          codes_of_byte_(arena.take<float>(256 * 16 * 2)),
          scales_(arena.take<float>(panel_rows * 256)),
          weights_(arena.take<uint32_t>(T::stages * step_words)),
          tokens_(arena.take<bf16>(T::stages * step_tokens)) {
        // Of the tiles of a step a thread copies 16 bytes of two, numbers w and w + 8.
        const int w = warp_id();
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int64_t row = columns ? w / 4 + 2 * i : n0_ / nf4_tile_rows + w + 8 * i;
            const int64_t col = columns ? n0_ / nf4_tile_cols + w % 4 : 0;
            const int64_t rows = ceil_div(weight_.rows, nf4_tile_rows) - row;
            weight_from_[i] = weight_.tile(row, col) + 16 * lane_id();
            // How many steps have this tile: going down the rows of W all or none.
            weight_steps_[i] = columns ? (col < weight_.tile_cols && rows > 0 ? static_cast<int>(ceil_div(rows, 4)) : 0)
                               : rows > 0 ? static_cast<int>(weight_.tile_cols)
                                          : 0;
        }
        token_from_ =
            static_cast<const bf16 *>(p.main.left.data) + thread_id() / 8 * p.main.left.ld + thread_id() % 8 * 8;
    }

    __device__ void run() {
        const int64_t split = block_id() / ceil_div(p_.n, T::n), steps = ceil_div(p_.main.k, bf16_depth);
        const auto first = static_cast<int>(steps * split / p_.splits);
        const auto end = static_cast<int>(steps * (split + 1) / p_.splits);
        const auto issue = [&](int step) {
            if (step < end) {
                copy_weights(step);
                copy_tokens(step);
            }
            commit_copies();  // an empty group keeps the count of groups that wait_copies knows
        };
#pragma unroll
        for (int ahead = 0; ahead < T::stages - 1; ahead++) issue(first + ahead);
        fill_table();
        int in_panel = 0;
        for (int step = first; step < end; step++) {
            if (in_panel == 0) {
                sync_threads();  // everybody is past the scales before
                fill_scales(step, end);
            }
            wait_copies<T::stages - 2>();
            sync_threads();  // the step has landed, and everybody is past the step before, whose buffer is free
            issue(step + T::stages - 1);
            add(step, in_panel);
            in_panel = in_panel + halves_ == panel_rows ? 0 : in_panel + halves_;
        }
        store(split);
    }

private:
    static constexpr int step_words = 16 * nf4_tile_bytes / 4;
    static constexpr int step_tokens = T::m * bf16_depth;
    static constexpr int token_tiles = T::m / 8;
    static constexpr int out_tiles = T::warp_n / 16;
    static constexpr int adapter_pitch = T::n + 4;  // keeps the tokens of a fragment in different banks
    static_assert(T::n == 256 && T::threads == 256 && out_tiles == 2, "a step has 16 tiles, two for each warp");
    static_assert(T::m * adapter_pitch * 4 <= shared_bytes, "the adapter's sums take the place of everything else");

    __device__ static int buffer(int step) { return step % T::stages; }

    // ---- into shared memory

    // The two codes of each byte, even column first.
    __device__ void fill_table() const {
        for (int i = thread_id(); i < 256 * 16; i += T::threads) {
            const Vector<float, 2> pair = {{weight_.quant_map[i / 16 >> 4], weight_.quant_map[i / 16 & 15]}};
            codes_of_byte_.store(2 * i, pair);
        }
    }

    // Those of the next steps: a thread has one of the 256 rows that the tiles of a step have, and asks for all at once.
    __device__ void fill_scales(int step, int end) const {
        const int row = thread_id();
        float scales[panel_rows];
#pragma unroll
        for (int i = 0; i < panel_rows; i++) {
            const int64_t k0 = (step + i / halves_) * int64_t{bf16_depth}, half = i % halves_ * 32;
            const int64_t r = columns ? k0 + row % 64 : n0_ + row, c = (columns ? n0_ + row / 64 * 64 : k0) + half;
            scales[i] = step + i / halves_ < end && r < weight_.rows && c < weight_.cols ? weight_.scale(r, c) : 0;
        }
#pragma unroll
        for (int i = 0; i < panel_rows; i++) scales_.store(i * 256 + row, scales[i]);
    }

    __device__ void copy_weights(int step) const {
        const int64_t offset = step * (columns ? 4 * weight_.tile_cols * nf4_tile_bytes : nf4_tile_bytes);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const bool inside = step < weight_steps_[i];
            copy_async_16_once(weights_.address(buffer(step) * step_words + 4 * (thread_id() + i * T::threads)),
                               inside ? weight_from_[i] + offset : weight_.codes, inside ? 16 : 0);
        }
    }

    // Tokens that are not there, and what lies behind k, become 0.
    __device__ void copy_tokens(int step) const {
        const int64_t k = step * int64_t{bf16_depth}, left = p_.main.k - k - thread_id() % 8 * 8;
        const int there = left >= 8 ? 8 : left > 0 ? static_cast<int>(left) : 0;
#pragma unroll
        for (int i = 0; i < ceil_div(T::m * 8, T::threads); i++) {
            const int token = thread_id() / 8 + i * (T::threads / 8);
            if (token >= T::m) break;
            const int count = token < p_.m ? there : 0;
            const auto *data = static_cast<const bf16 *>(p_.main.left.data);
            const bf16 *from = count > 0 ? token_from_ + i * (T::threads / 8) * p_.main.left.ld + k : data;
            const int to = buffer(step) * step_tokens + swizzled<bf16_depth>(token, thread_id() % 8 * 8);
            if (aligned_) {
                copy_async_16(tokens_.address(to), from, 2 * count);
            } else {
                Vector<bf16, 8> chunk;
#pragma unroll
                for (int e = 0; e < 8; e++) chunk.v[e] = e < count ? load_global<bf16>(from + e) : bf16{0};
                tokens_.store(to, chunk);
            }
        }
    }

    // ---- out of it

    // sums += the products of one step.
    __device__ void add(int step, int in_panel) {
        Codes codes[out_tiles];
        float scales[out_tiles][2];
#pragma unroll
        for (int k32 = 0; k32 < 2; k32++) {
            uint32_t b[token_tiles][4];
#pragma unroll
            for (int j = 0; j < token_tiles; j++) {
                const int at = swizzled<bf16_depth>(8 * j + lane_id() % 8, 32 * k32 + lane_id() / 8 * 8);
                load_matrices(b[j], tokens_.address(buffer(step) * step_tokens + at));
            }
#pragma unroll
            for (int k16 = 2 * k32; k16 < 2 * k32 + 2; k16++) {
#pragma unroll
                for (int i = 0; i < out_tiles; i++) {
                    const int own = columns ? 0 : i;
                    load_codes(codes[own], step, i, k16);
                    load_scales(scales[own], in_panel, i, k16);
                    uint32_t a[4];
                    fragment(a, codes[own], scales[own], i, k16);
#pragma unroll
                    for (int j = 0; j < token_tiles; j++) {
                        const uint32_t half[2] = {b[j][k16 % 2 * 2], b[j][k16 % 2 * 2 + 1]};
                        mma_bf16(sums_[i][j], a, half);
                    }
                }
            }
        }
    }

    using Codes = Vector<uint32_t, 4>;

    // This lane's bytes of the tile that has outputs 16 i ... of this warp and 16 k16 ... of the step. Down the rows of
    // W a tile serves all four k16, across both i.
    __device__ void load_codes(Codes &codes, int step, int i, int k16) const {
        if (columns ? i > 0 : k16 > 0) return;
        const int tile = columns ? 4 * k16 + warp_id() / 2 : 2 * warp_id() + i;
        codes = weights_.template load<4>(buffer(step) * step_words + tile * (nf4_tile_bytes / 4) + 4 * lane_id());
    }

    // The scales of its rows g and g + 8.
    __device__ void load_scales(float (&scales)[2], int in_panel, int i, int k16) const {
        if (columns ? i > 0 : k16 > 0 && !(k16 == 2 && halves_ == 2)) return;
        const int row = columns ? warp_id() / 2 * 64 + 16 * k16 : 32 * warp_id() + 16 * i;
        const int half = columns ? warp_id() % 2 : k16 / 2;
        const int at = (in_panel + (halves_ == 2 ? half : 0)) * 256 + row + lane_id() / 4;
        scales[0] = scales_.load(at);
        scales[1] = scales_.load(at + 8);
    }

    // The A fragment: 16 outputs, 16 of k.
    __device__ void fragment(uint32_t (&a)[4], const Codes &codes, const float (&scales)[2], int i, int k16) const {
        const uint32_t word = !columns ? codes.v[k16] : warp_id() % 2 == 0 ? codes.v[i] : codes.v[2 + i];
#pragma unroll
        for (int byte = 0; byte < 4; byte++) {
            const auto at = static_cast<int>(word >> (8 * byte) & 255) * 16 + lane_id() % 16;
            const Vector<float, 2> code = codes_of_byte_.template load<2>(2 * at);
            a[byte] = pack_bf16(code.v[0] * scales[byte % 2], code.v[1] * scales[byte % 2]);
        }
        if (!columns) return;
        // [k, outputs] as it stands in W: the matrices and, of the four, the second and the third change sides.
        const uint32_t right = transpose_matrix(a[1]);
        a[0] = transpose_matrix(a[0]);
        a[1] = transpose_matrix(a[2]);
        a[2] = right;
        a[3] = transpose_matrix(a[3]);
    }

    // Sums of outputs along the rows of a fragment and tokens along its columns. An adapter's share goes to the first
    // split.
    __device__ void store(int64_t split) const {
        const bool adapted = p_.adapter.k > 0 && split == 0;
        SharedArena arena;
        const Shared<float> adapter = arena.take<float>(T::m * adapter_pitch);
        if (adapted) {
            sync_threads();  // everybody is past the last step, whose memory this takes
            add_adapter(adapter);
            sync_threads();
        }
#pragma unroll
        for (int i = 0; i < out_tiles; i++) {
#pragma unroll
            for (int j = 0; j < token_tiles; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int token = 8 * j + lane_id() % 4 * 2 + e % 2;
                    const int out = 32 * warp_id() + 16 * i + lane_id() / 4 + e / 2 * 8;
                    if (token >= p_.m || n0_ + out >= p_.n) continue;
                    const float sum = sums_[i][j][e] + (adapted ? adapter.load(token * adapter_pitch + out) : 0);
                    store_result(p_, split * p_.m + token, n0_ + out, sum);
                }
            }
        }
    }

    // The adapter's product in F32, 16 ranks at a time: a thread has one output.
    __device__ void add_adapter(Shared<float> sums) const {
        constexpr int ranks = 16;
        const Operand &left = p_.adapter.left, &right = p_.adapter.right;
        const int64_t out = n0_ + thread_id();
        if (out >= p_.n) return;
        for (int64_t k0 = 0; k0 < p_.adapter.k; k0 += ranks) {
            float b[ranks];
#pragma unroll
            for (int r = 0; r < ranks; r++) {
                const int64_t k = k0 + r;
                b[r] = k >= p_.adapter.k ? 0 : right.k_contiguous ? unmasked(right, out, k) : unmasked(right, k, out);
            }
            const bool last = k0 + ranks >= p_.adapter.k;
            for (int token = 0; token < p_.m; token++) {
                const int at = token * adapter_pitch + thread_id();
                float sum = k0 > 0 ? sums.load(at) : 0;
#pragma unroll
                for (int r = 0; r < ranks; r++) {
                    const int64_t k = k0 + r;
                    sum = multiply_add(k < p_.adapter.k ? unmasked(left, token, k) : 0, b[r], sum);
                }
                if (last && p_.masked_adapter) sum *= dropout_factor(p_.dropout, token, out);
                sums.store(at, sum);
            }
        }
    }

    const Product &p_;
    const Nf4View &weight_;
    int64_t n0_;    // the block's first output
    int halves_;    // of a tile's row that have a scale of their own
    bool aligned_;  // 16-byte copies can fetch the tokens
    Shared<float> codes_of_byte_;
    Shared<float> scales_;  // [panel_rows: steps, halves_][256]
    Shared<uint32_t> weights_;
    Shared<bf16> tokens_;
    const uint8_t *weight_from_[2];
    int weight_steps_[2];
    const bf16 *token_from_;
    float sums_[out_tiles][token_tiles][4] = {};
};

// Two blocks on a multiprocessor, but where the sums of 64 tokens take too many registers.
template <class T, bool columns>
__global__ void __launch_bounds__(T::threads, T::m <= 32 ? 2 : 1) nf4_few_rows_kernel(const Product p) {
    SharedArena arena;
    FewRows<T, columns>(p, arena).run();
}

}  // namespace nf4j::cuda
