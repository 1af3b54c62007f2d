// The thin products of LoRA on tensor cores: those of a tall matrix t [tokens, n] in BF16, x or dy, with factors that have
// one column for each rank.
//
//   narrow [tokens, rank] = t * f        f [n, rank]         u = drop(x) * A^T     du = dy * B
//   wide   [n, rank]      = t^T * g      g [tokens, rank]    da^T = drop(x)^T * du     db = dy^T * u
//
// A block has 256 columns of t, 16 ranks of an adapter and a range of tokens, through which it goes by 64. A tile of t is in
// shared memory once for both products: du and db take one pass over dy. f and g are three BF16 numbers for one in F32, so
// that no bit of them is lost. g comes with each tile. f is the same for all of them and stays in registers, where each
// warp has the fragments of 128 columns and eight ranks: in shared memory they would be read again with every tile, three
// times as many bytes as the tile's own. Adapters that share x are one pass, too, each with a mask and an f of its own.
//
// The sums of wide stay in registers to the end of the range; those of narrow leave with each tile, for 128 columns
// each. A second kernel adds either up in ascending order (split.cuh). Narrow's number of sums follows from n alone: a
// token's bits do not depend on the tokens beside it.
//
// Floor: the bytes of t over the bandwidth of memory, which brings an H100's multiprocessor a tile of 32 KB in 2500 clocks
// (132 of them at 1.755 GHz, 3.0 TB/s). Meanwhile both products take 768 mma and 288 ldmatrix: 1152 passes through shared
// memory. More than 16 ranks, and other adapters that share x, are more blocks with the same tile, next to each other in
// the grid, for L2 to have it.
//
//     make simt-run OP=lora_backward M=64 N=256 K=512
//     make simt-run OP=lora_project M=64 N=256 K=512
#pragma once

#include "core/backend.h"
#include "cuda/bf16_tile.cuh"
#include "cuda/split.cuh"

namespace nf4j::cuda {

constexpr int lora_threads = 256;
constexpr int lora_tokens = 64;
constexpr int lora_cols = 256;
constexpr int lora_ranks = 16;
constexpr int lora_parts = 3;
constexpr int lora_narrow_cols = 128;  // of one sum

// What a pass has for one adapter.
struct LoraShare {
    int64_t rank = 0;
    Dropout dropout{0, 0};  // of the tall matrix
    Operand f;              // [rank, n]
    int64_t column = 0;     // of the first of its sums in narrow
    int64_t columns = 0;    // and how many there are: the rank in whole quads
};

// One pass over tokens first ... end - 1. With wide it has one adapter.
struct LoraPass {
    Matrix<const bf16> tall;  // [tokens, n]
    bool aligned;             // 16-byte copies can fetch its rows
    int64_t n;
    int64_t first;
    int64_t end;
    int64_t ranges;  // of the tokens, each for one block
    LoraShare shares[most_projected];
    int64_t rank_blocks;  // of 16 ranks each, of all adapters
    Operand g;            // [rank, tokens]
    // Sums: row c * (end - first) + i has those of the c-th 128 columns for token first + i.
    Matrix<float> narrow;
    // Sums of column j and rank r over range s: wide[s * wide_range + j * wide_col + r * wide_rank].
    float *wide;
    int64_t wide_range;
    int64_t wide_col;
    int64_t wide_rank;
};

// The block-th of a pass's rank_blocks.
struct LoraRanks {
    int adapter = 0;
    int64_t first;

    __device__ LoraRanks(const LoraPass &p, int64_t block) : first(block * lora_ranks) {
        while (first >= p.shares[adapter].rank) {
            first -= ceil_div(p.shares[adapter].rank, lora_ranks) * lora_ranks;
            adapter++;
        }
    }
};

// 16 ranks of some rows of f or g: [part][row][rank]. Every four rows the two chunks of 8 ranks change places, so that the
// eight rows of a matrix that ldmatrix reads are in different banks.
template <int Rows>
class ThinTile {
public:
    static constexpr int elements = lora_parts * Rows * lora_ranks;

    __device__ explicit ThinTile(Shared<bf16> tile) : tile_(tile) {}

    // Rows row0 ... + Rows - 1; those from `end` on are 0. Quads run along the rows of memory; where these are ranks,
    // neighbouring lanes have neighbouring ranks.
    __device__ void fill(const Operand &factor, int64_t rank0, int64_t row0, int64_t end) const {
        for (int i = thread_id(); i < Rows * lora_ranks / 4; i += lora_threads) {
            const int rank = factor.k_contiguous ? i % lora_ranks : i % (lora_ranks / 4) * 4;
            const int row = factor.k_contiguous ? i / lora_ranks * 4 : i / (lora_ranks / 4);
            Vector<float, 4> quad = {};
            if (row0 + row < end && rank0 + rank < factor.outer) {
                quad = factor.k_contiguous ? load_quad(factor, rank0 + rank, row0 + row, end)
                                           : load_quad(factor, row0 + row, rank0 + rank, factor.outer);
            }
#pragma unroll
            for (int part = 0; part < lora_parts; part++) {
                Vector<bf16, 4> parts;
#pragma unroll
                for (int e = 0; e < 4; e++) parts.v[e] = bf16_part(quad.v[e], part);
                if (factor.k_contiguous) {
#pragma unroll
                    for (int e = 0; e < 4; e++) tile_.store(place(part, row + e, rank), parts.v[e]);
                } else {
                    tile_.store(place(part, row, rank), parts);
                }
            }
        }
    }

    // The B fragments of rows row ... + 15: ranks 0 to 7, then 8 to 15.
    __device__ void fragments(uint32_t (&b)[4], int part, int row) const {
        load_matrices_transposed(b, tile_.address(place(part, row + lane_id() % 16, lane_id() / 16 * 8)));
    }

private:
    __device__ static int place(int part, int row, int rank) {
        return (part * Rows + row) * lora_ranks + ((rank / 8 ^ row / 4 % 2) * 8) + rank % 8;
    }

    Shared<bf16> tile_;
};

// d[j] += the 16x16 elements of a times 16 rows of a thin factor, j-th eight ranks.
__device__ inline void add_thin(float (&d)[2][4], const uint32_t (&a)[4], const uint32_t (&b)[lora_parts][4]) {
#pragma unroll
    for (int part = 0; part < lora_parts; part++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const uint32_t half[2] = {b[part][2 * j], b[part][2 * j + 1]};
            mma_bf16(d[j], a, half);
        }
    }
}

template <bool has_narrow, bool has_wide>
class LoraBlock {
public:
    static constexpr int tile_elements = lora_tokens * lora_cols;
    static constexpr int64_t shared_bytes = SharedArena::bytes_of(2 * tile_elements * 2) +
                                            SharedArena::bytes_of(has_wide ? ThinTile<lora_tokens>::elements * 2 : 0);

    __device__ LoraBlock(const LoraPass &p, const LoraRanks &ranks, SharedArena &arena)
        : p_(p),
          share_(p.shares[has_wide ? 0 : ranks.adapter]),
          rank0_(ranks.first),
          range_(block_id() / p.rank_blocks % p.ranges),
          col0_(block_id() / p.rank_blocks / p.ranges * lora_cols),
          tiles_(arena.take<bf16>(2 * tile_elements)),
          g_(arena.take<bf16>(has_wide ? ThinTile<lora_tokens>::elements : 0)) {}

    __device__ void run() {
        const int64_t tiles = ceil_div(p_.end - p_.first, lora_tokens);
        const int64_t first = tiles * range_ / p_.ranges, end = tiles * (range_ + 1) / p_.ranges;
        fetch(first);
        commit_copies();
        NarrowFactor f;
        if constexpr (has_narrow) load_narrow(f, ThinTile<lora_cols>(tiles_.template as<bf16>(buffer(first + 1))));
        float sums[wide_rows][2][4] = {};
        for (int64_t tile = first; tile < end; tile++) {
            sync_threads();  // everybody is past the tile before, whose buffer is free, and past its g
            if (tile + 1 < end) fetch(tile + 1);
            commit_copies();  // an empty group keeps the count of groups that wait_copies knows
            if constexpr (has_wide) g_.fill(p_.g, rank0_, token_of(tile), p_.end);
            wait_copies<1>();
            if (share_.dropout.threshold > 0) mask(tile);
            sync_threads();  // the tile is there, and g
            if constexpr (has_narrow) multiply_narrow(tile, f);
            if constexpr (has_wide) add_wide(tile, sums);
        }
        if constexpr (has_wide) store_wide(sums);
    }

private:
    static constexpr int warps = lora_threads / warp_size;
    static constexpr int wide_cols = lora_cols / warps, wide_rows = wide_cols / 16;  // of a warp
    static_assert(lora_cols == 8 * warp_size && lora_cols == 2 * lora_narrow_cols && lora_tokens == 64 && warps == 8);

    __device__ int64_t token_of(int64_t tile) const { return p_.first + tile * lora_tokens; }
    __device__ static int buffer(int64_t tile) { return static_cast<int>(tile % 2) * tile_elements; }

    // A warp copies every eighth row, a lane of it always the same eight columns. Here and below `col` counts from col0.
    __device__ static int my_col() { return lane_id() * 8; }
    __device__ static int my_row(int i) { return warp_id() + i * warps; }

    __device__ void fetch(int64_t tile) const {
        const Columns<8> columns(col0_ + my_col(), p_.n, p_.aligned);
        if (!p_.aligned) return load_elements(tile, columns);
        const int bytes = columns.left >= 8 ? 16 : columns.left > 0 ? static_cast<int>(columns.left) * 2 : 0;
#pragma unroll
        for (int i = 0; i < lora_tokens / warps; i++) {
            const int64_t token = token_of(tile) + my_row(i);
            copy_async_16(tiles_.address(place(tile, i)), p_.tall.at(token, columns.first), token < p_.end ? bytes : 0);
        }
    }
    __device__ void load_elements(int64_t tile, const Columns<8> &columns) const {
#pragma unroll 1  // its registers are those that the products keep
        for (int i = 0; i < lora_tokens / warps; i++) {
            const int64_t token = token_of(tile) + my_row(i);
            bf16 values[8] = {};
            if (token < p_.end) load_columns(values, p_.tall.at(token, 0), columns);
            Vector<bf16, 8> chunk;
#pragma unroll
            for (int e = 0; e < 8; e++) chunk.v[e] = values[e];
            tiles_.store(place(tile, i), chunk);
        }
    }
    // Rows that are a multiple of 8 apart have their chunks in the same order.
    __device__ static int place(int64_t tile, int i) {
        return buffer(tile) + swizzled<lora_cols>(my_row(0), my_col()) + i * warps * lora_cols;
    }

    // `row` rows, a multiple of 8, and 16 * x16 columns behind the chunk at `lane`. Where x16 stays below 4 a chunk
    // changes places within its line of 64 columns: one exclusive or, as a row begins at a multiple of 512 bytes.
    __device__ static SharedAddress behind(SharedAddress lane, int row, int x16) {
        return {(lane.value ^ static_cast<uint32_t>(x16 % 4 * 32)) +
                static_cast<uint32_t>((row * lora_cols + x16 / 4 * 64) * 2)};
    }

    // What this thread has copied becomes 0 where dropout drops it.
    __device__ void mask(int64_t tile) const {
        for (int i = 0; i < lora_tokens / warps; i++) {
            Vector<bf16, 8> chunk = tiles_.template load<8>(place(tile, i));
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const KeptQuad kept(share_.dropout, token_of(tile) + my_row(i), col0_ + my_col() + 4 * half);
#pragma unroll
                for (int e = 0; e < 4; e++) chunk.v[4 * half + e] = kept[e] ? chunk.v[4 * half + e] : bf16{0};
            }
            tiles_.store(place(tile, i), chunk);
        }
    }

    // Narrow's work of a warp: 32 of the tokens, half of the columns, half of the ranks. Its part of f is the same for all
    // tiles: [step of 16 columns][part] B fragments.
    using NarrowFactor = uint32_t[lora_narrow_cols / 16][lora_parts][2];
    __device__ static int narrow_token() { return warp_id() % 2 * 32; }
    __device__ static int narrow_rank() { return warp_id() / 2 % 2 * 8; }
    __device__ static int narrow_col() { return warp_id() / 4 * lora_narrow_cols; }

    // By way of `tile`, which is free until the next tile of the tall matrix is fetched.
    __device__ void load_narrow(NarrowFactor &f, const ThinTile<lora_cols> &tile) const {
        tile.fill(share_.f, rank0_, col0_, p_.n);
        sync_threads();
#pragma unroll
        for (int k16 = 0; k16 < lora_narrow_cols / 16; k16++) {
#pragma unroll
            for (int part = 0; part < lora_parts; part++) {
                uint32_t b[4];
                tile.fragments(b, part, narrow_col() + 16 * k16);
#pragma unroll
                for (int r = 0; r < 2; r++) f[k16][part][r] = narrow_rank() == 0 ? b[r] : b[2 + r];
            }
        }
    }

    __device__ void multiply_narrow(int64_t tile, const NarrowFactor &f) const {
        const int64_t rank = rank0_ + narrow_rank() + lane_id() % 4 * 2;
        if (col0_ + narrow_col() >= p_.n) return;
        const SharedAddress lane = tiles_.address(
            buffer(tile) + swizzled<lora_cols>(narrow_token() + lane_id() % 16, narrow_col() + lane_id() / 16 * 8));
        float sums[2][4] = {};
#pragma unroll
        for (int k16 = 0; k16 < lora_narrow_cols / 16; k16++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                uint32_t a[4];
                load_matrices(a, behind(lane, 16 * i, k16));
#pragma unroll
                for (int part = 0; part < lora_parts; part++) mma_bf16(sums[i], a, f[k16][part]);
            }
        }
        const int64_t first_row = (col0_ + narrow_col()) / lora_narrow_cols * (p_.end - p_.first);
#pragma unroll
        for (int half = 0; half < 4; half++) {
            const int64_t token = tile * lora_tokens + narrow_token() + lane_id() / 4 + 8 * half;
            const Vector<float, 2> pair = {{sums[half / 2][half % 2 * 2], sums[half / 2][half % 2 * 2 + 1]}};
            if (p_.first + token < p_.end && rank < share_.columns)
                store_global(p_.narrow.at(first_row + token, share_.column + rank), pair);
        }
    }

    // Of 32 columns and all tokens. The tile is read across: as the transposed matrix.
    __device__ void add_wide(int64_t tile, float (&sums)[wide_rows][2][4]) const {
        const int row = lane_id() / 16 * 8 + lane_id() % 8, col = warp_id() * wide_cols + lane_id() / 8 % 2 * 8;
        const SharedAddress lane = tiles_.address(buffer(tile) + swizzled<lora_cols>(row, col));
#pragma unroll
        for (int token = 0; token < lora_tokens; token += 16) {
            uint32_t b[lora_parts][4];
#pragma unroll
            for (int part = 0; part < lora_parts; part++) g_.fragments(b[part], part, token);
#pragma unroll
            for (int i = 0; i < wide_rows; i++) {
                uint32_t a[4];
                load_matrices_transposed(a, behind(lane, token, i));
                add_thin(sums[i], a, b);
            }
        }
    }

    __device__ void store_wide(const float (&sums)[wide_rows][2][4]) const {
#pragma unroll
        for (int i = 0; i < wide_rows; i++) {
#pragma unroll
            for (int j = 0; j < 2; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int64_t col = col0_ + warp_id() * wide_cols + 16 * i + lane_id() / 4 + e / 2 * 8;
                    const int64_t rank = rank0_ + 8 * j + lane_id() % 4 * 2 + e % 2;
                    if (col >= p_.n || rank >= share_.rank) continue;
                    store_global(p_.wide + range_ * p_.wide_range + col * p_.wide_col + rank * p_.wide_rank,
                                 sums[i][j][e]);
                }
            }
        }
    }

    const LoraPass &p_;
    const LoraShare &share_;
    int64_t rank0_;
    int64_t range_;
    int64_t col0_;
    Shared<bf16> tiles_;
    ThinTile<lora_tokens> g_;
};

template <bool has_narrow, bool has_wide>
__global__ void __launch_bounds__(lora_threads, 2) lora_kernel(const LoraPass p) {
    SharedArena arena;
    LoraBlock<has_narrow, has_wide>(p, LoraRanks(p, block_id() % p.rank_blocks), arena).run();
}

// The second stage of narrow: each adapter's sums go to its own result. partial has the columns of all of them.
struct AddNarrow {
    Matrix<float> partial;
    int64_t splits;
    int64_t tokens;
    int count;
    int64_t column[most_projected];  // LoraShare's
    Output outputs[most_projected];

    static constexpr int width = width_of<float>;
    bool aligned() const { return are_aligned(partial); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        int adapter = count - 1;
        while (columns.first < column[adapter]) adapter--;
        const Vector<float, width> sums = add_splits(partial, splits, tokens, i, columns);
        store_results(outputs[adapter], i, columns.first - column[adapter], sums);
    }
};

}  // namespace nf4j::cuda
