// A quantized weight [rows = out, cols = in] on the device: "fragment bytes".
//
// The codes stand in tiles of 16 rows and 64 columns, 512 bytes each, tile after tile along a row of tiles. Lane l = 4
// g + t of a warp owns the 16 bytes from 16 l on, a 32-bit word for each 16 columns c = 0, 16, 32, 48 of the tile:
//
//   byte        0                1                    2                    3
//   row         g                g + 8                g                    g + 8
//   columns     c + 2t, + 1      c + 2t, + 1          c + 2t + 8, + 9      c + 2t + 8, + 9
//
// which are the registers of the A fragment of mma.m16n8k16, in bitsandbytes' own bytes (the even column in the high
// nibble). So a tile is one 16-byte load for a lane, the same bytes serve x * W^T and dy * W, and import only permutes.
// Rows and columns that are not there have code 7. The other sections are those of core/nf4_blob.h.
#pragma once

#include "core/nf4_blob.h"
#include "cuda/global.cuh"

namespace nf4j::cuda {

constexpr int nf4_tile_rows = 16;
constexpr int nf4_tile_cols = 64;
constexpr int nf4_tile_bytes = 512;
constexpr uint32_t nf4_padding = 7;

struct Nf4View {
    uint8_t *codes;
    const float *quant_map;
    const float *absmax32;  // or, with double quantization, the next four
    const uint8_t *absmax8;
    const float *nested_map;
    const float *nested_absmax;
    const float *nested_offset;
    int64_t rows;
    int64_t cols;
    int64_t tile_cols;   // tiles along a row
    int64_t tile_rows;   // and down a column
    int block_shift;     // log2 of the block size
    bool scale_per_row;  // all columns of a tile's row are in one block
    // Whichever there is of absmax32 and nested_absmax, and log2 of the elements that have one in common.
    const float *absmax;
    int absmax_shift;

    __device__ uint8_t *tile(int64_t tile_row, int64_t tile_col) const {
        return codes + (tile_row * tile_cols + tile_col) * nf4_tile_bytes;
    }

    // The scale of element (row, col): product, then sum, each rounded.
    __device__ float scale(int64_t row, int64_t col) const {
        const int64_t block = (row * cols + col) >> block_shift;
        if (absmax32) return absmax32[block];
        return nested_map[absmax8[block]] * nested_absmax[block / nested_block_size] + *nested_offset;
    }

    __device__ uint32_t code(int64_t row, int64_t col) const {
        const auto r = static_cast<int>(row % nf4_tile_rows), c = static_cast<int>(col % nf4_tile_cols);
        const int lane = r % 8 * 4 + c % 8 / 2;
        const int byte = lane * 16 + c / 16 * 4 + c % 16 / 8 * 2 + r / 8;
        const uint32_t pair = tile(row / nf4_tile_rows, col / nf4_tile_cols)[byte];
        return col % 2 == 0 ? pair >> 4 : pair & 15;
    }

    __device__ float at(int64_t row, int64_t col) const { return quant_map[code(row, col)] * scale(row, col); }
};

// Writes the codes code_at(row, col) of the tiles from first_tile_row on. A thread has the 16 bytes of one lane of one
// tile.
template <class CodeAt>
__device__ inline void pack_fragments(const Nf4View &weight, int64_t first_tile_row, const CodeAt &code_at) {
    const int64_t tile = block_id() * (block_threads() / warp_size) + warp_id();
    const int64_t tile_row = first_tile_row + tile / weight.tile_cols, tile_col = tile % weight.tile_cols;
    if (tile_row * nf4_tile_rows >= weight.rows) return;
    const auto code = [&](int64_t row, int64_t col) {
        return row < weight.rows && col < weight.cols ? code_at(row, col) : nf4_padding;
    };
    Vector<uint32_t, 4> words;
#pragma unroll
    for (int word = 0; word < 4; word++) {
        words.v[word] = 0;
#pragma unroll
        for (int byte = 0; byte < 4; byte++) {
            const int64_t row = tile_row * nf4_tile_rows + lane_id() / 4 + byte % 2 * 8;
            const int64_t col = tile_col * nf4_tile_cols + word * 16 + lane_id() % 4 * 2 + byte / 2 * 8;
            words.v[word] |= (code(row, col) << 4 | code(row, col + 1)) << (8 * byte);
        }
    }
    store_global(weight.tile(tile_row, tile_col) + lane_id() * 16, words);
}

inline int64_t nf4_code_bytes(int64_t rows, int64_t cols) {
    return ceil_div(rows, nf4_tile_rows) * ceil_div(cols, nf4_tile_cols) * nf4_tile_bytes;
}

inline Nf4Blob nf4_blob(const nf4j_nf4_weight *weight) { return {*weight, nf4_code_bytes(weight->rows, weight->cols)}; }

inline Nf4View nf4_view(const nf4j_nf4_weight *weight) {
    const Nf4Blob blob = nf4_blob(weight);
    const int block_shift = __builtin_ctzll(static_cast<unsigned long long>(blob.block_size));
    return {blob.codes,
            blob.quant_map,
            blob.absmax32,
            blob.absmax8,
            blob.nested_map,
            blob.nested_absmax,
            blob.nested_offset,
            blob.rows,
            blob.cols,
            ceil_div(blob.cols, nf4_tile_cols),
            ceil_div(blob.rows, nf4_tile_rows),
            block_shift,
            blob.cols % nf4_tile_cols == 0 && blob.block_size >= nf4_tile_cols,
            blob.absmax32 ? blob.absmax32 : blob.nested_absmax,
            blob.absmax32 ? block_shift : block_shift + __builtin_ctzll(nested_block_size)};
}

}  // namespace nf4j::cuda
