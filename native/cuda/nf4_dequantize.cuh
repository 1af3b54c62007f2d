// out [rows, cols] = the weight's elements from first_row and first_col on, round(code * scale).
//
// BF16 whose rows begin at multiples of 16 bytes, from a weight whose tiles have a scale for each row: a warp decodes a tile
// of 16x64, by rows (nf4_rows.cuh). Its lanes exchange bytes before they decode them to four times as many. A store of a
// lane is 16 bytes of a row, and one of a quad 64, which are whole sectors. Codes and scales of a tile come while the one
// before is decoded. Anything else: a thread has 16 bytes of a row (elementwise.cuh), and asks for each element's code and
// scale.
//
// Floor: the bytes of both forms over the bandwidth of memory.
//
//     make simt-run OP=nf4_dequantize N=40 K=192
#pragma once

#include "cuda/elementwise.cuh"
#include "cuda/nf4_decode.cuh"
#include "cuda/nf4_rows.cuh"

namespace nf4j::cuda {

constexpr int dequantize_threads = 256, dequantize_warps = dequantize_threads / warp_size;
// Blocks stay, so that their tables of the look-up serve many tiles; a warp should have no fewer than these.
constexpr int dequantize_blocks_per_multiprocessor = 4, dequantize_least_tiles = 2;

static __global__ void __launch_bounds__(dequantize_threads, dequantize_blocks_per_multiprocessor)
    nf4_dequantize_kernel(Nf4View weight, int64_t first_row, int64_t rows, int64_t first_tile_col, int64_t tile_cols,
                          Matrix<bf16> out) {
    SharedArena arena;
    const DecodeTables tables(arena);
    tables.fill(weight, dequantize_threads);
    sync_threads();
    const int64_t first_band = first_row / nf4_tile_rows,
                  bands = ceil_div(first_row + rows, nf4_tile_rows) - first_band;
    const auto tiles = static_cast<uint32_t>(bands * tile_cols), tiles_of_band = static_cast<uint32_t>(tile_cols);
    const auto step = static_cast<uint32_t>(grid_blocks() * dequantize_warps);
    auto tile = static_cast<uint32_t>(block_id() * dequantize_warps + warp_id());

    Vector<uint32_t, 4> codes = {};
    ScalesAhead<1> scales(weight);
    const auto fetch = [&](uint32_t of) {
        if (of >= tiles) return;
        const int64_t band = first_band + of / tiles_of_band;
        const auto col = static_cast<int>(first_tile_col + of % tiles_of_band);
        codes = load_global_once(weight.tile(band, col) + lane_id() * 16);
        scales.fetch(static_cast<int>(band) * nf4_tile_rows + row_of_part(0), col);
    };
    fetch(tile);
    for (; tile < tiles; tile += step) {
        uint32_t bytes[4];
        rows_of_fragments(codes, bytes);
        const float scale[2] = {scales.get(tables, 0), scales.get(tables, 1)};
        fetch(tile + step);
        const int64_t col = int64_t{tile % tiles_of_band} * nf4_tile_cols;
        const int64_t row = (first_band + tile / tiles_of_band) * nf4_tile_rows - first_row;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            Vector<uint32_t, 4> weights;
#pragma unroll
            for (int pair = 0; pair < 4; pair++) weights.v[pair] = tables.weights(bytes[pair], i, scale[i % 2]);
            const int64_t to = row + row_of_part(i);
            if (to >= 0 && to < rows) store_global(out.at(to, col + column_of_part(i)), weights);
        }
    }
}

template <typename T>
struct Nf4Dequantize {
    Nf4View weight;
    int64_t first_row;
    Matrix<T> out;

    static constexpr int width = width_of<T>;
    bool aligned() const { return are_aligned(out); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        float values[width];
#pragma unroll
        for (int e = 0; e < width; e++) values[e] = e < columns.left ? weight.at(first_row + i, columns.first + e) : 0;
        out.store(i, columns, values);
    }
};

}  // namespace nf4j::cuda
