// Quantization of w [rows, cols] into the layout of nf4_weight.cuh, and bitsandbytes' order of bytes. nf4_dequantize.cuh has
// its reverse.
//
//   absmax            a warp has a block of 32 ... 4096 elements; blocks run on from row to row
//   mean, nested      with double quantization: one warp, then a block of threads for each 256 scales
//   encode, import    a warp has a tile of 16x64, a lane the 16 bytes that are its fragments
//   export            a thread has a byte of bitsandbytes' (elementwise.cuh)
//
// Floor: the bytes of both forms over the bandwidth of memory. Quantization reads w twice, and the mean, whose order is
// torch's, is a chain of additions on one warp: it is done once a model.
//
//     make simt-run OP=nf4_quantize N=40 K=192
#pragma once

#include "core/nf4_tables.h"
#include "cuda/dynamic_map.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/nf4_weight.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

constexpr int nf4_threads = 256;
constexpr float nf4_least_scale = 1e-38f;

// ---- quantize

// absmax [blocks]: the largest magnitude of each block; that of a last, shorter one at least 1e-38. A warp has one
// block.
template <typename T>
__global__ void __launch_bounds__(nf4_threads)
    nf4_absmax_kernel(const T *w, int64_t n, int block_shift, float *absmax) {
    const int64_t block = block_id() * (nf4_threads / warp_size) + warp_id();
    const int64_t begin = block << block_shift, size = int64_t{1} << block_shift;
    if (begin >= n) return;
    const int64_t end = begin + size < n ? begin + size : n;
    float largest = 0;
    for (int64_t e = begin + lane_id(); e < end; e += warp_size) largest = fmaxf(largest, fabsf(widen(w[e])));
    largest = reduce_warp(largest, Maximum());
    if (end - begin < size && largest < nf4_least_scale) largest = nf4_least_scale;
    if (lane_id() == 0) absmax[block] = largest;
}

// mean [1] of absmax [n] in the order of torch.mean on one thread, whose last bit the codes depend on: lane c adds up
// column c of [n / 32, 32] in a cascade of four levels (core/nf4_quantize.cpp). One warp.
static __global__ void __launch_bounds__(warp_size) nf4_mean_kernel(const float *absmax, int64_t n, float *mean) {
    constexpr int levels = 4, columns = 32, vector = 8;
    const int64_t vectors = n / vector, rows = vectors / (columns / vector);
    int ceil_log2 = 0;
    while ((int64_t{1} << ceil_log2) < rows) ceil_log2++;
    const int level_bits = ceil_log2 / levels > 4 ? ceil_log2 / levels : 4;
    float partial[levels] = {};
    for (int64_t i = 1; i <= rows; i++) {
        partial[0] += absmax[(i - 1) * columns + lane_id()];
        int64_t mask = (int64_t{1} << level_bits) - 1;
#pragma unroll
        for (int level = 1; level < levels; level++) {
            if ((i & mask) != 0) break;
            partial[level] += partial[level - 1];
            partial[level - 1] = 0;
            mask = mask << level_bits | mask;
        }
    }
    float sum = ((partial[0] + partial[1]) + partial[2]) + partial[3];
    for (int64_t i = rows * columns; i < vectors * vector; i += vector) {
        if (lane_id() < vector) sum += absmax[i + lane_id()];
    }
    float column = sum;
    for (int row = 1; row < columns / vector; row++) column += shuffle(sum, lane_id() % vector + row * vector);
    float total = 0;
    for (int64_t i = vectors * vector; i < n; i++) total += absmax[i];
    for (int c = 0; c < vector; c++) total += shuffle(column, c);
    if (lane_id() == 0) *mean = total / static_cast<float>(n);
}

// absmax [n] in 8 bits, a block for each 256 of them: codes, and the scales' own scale. map [256].
static __global__ void __launch_bounds__(nf4_threads)
    nf4_nested_kernel(const float *absmax, int64_t n, const float *map, const float *offset, uint8_t *codes,
                      float *nested_absmax) {
    SharedArena arena;
    const Shared<float> scratch = arena.take<float>(nf4_threads / warp_size);
    const int64_t b = block_id() * nested_block_size + thread_id();
    const float value = b < n ? absmax[b] - *offset : 0;
    const float largest = reduce_block<nf4_threads>(fabsf(value), scratch, Maximum());
    if (thread_id() == 0) nested_absmax[block_id()] = largest;
    if (b >= n) return;
    if (!(largest > 0)) {
        codes[b] = 0;
        return;
    }
    // bitsandbytes looks codes up in a table of 65,536 entries over [-1, 1], so the value is rounded to that grid
    // first.
    const float x = fminf(fmaxf(value * (1.0f / largest), -1.0f), 1.0f);
    const float grid = floorf((x + 1.0f) * 0.5f * 65535.0f + 0.5f) * 2.0f / 65535.0f - 1.0f;
    codes[b] = nearest_code([&](int i) { return map[i]; }, grid);
}

struct Nf4Thresholds {
    float midpoint[15];
};

// Codes of w [rows, cols], contiguous, under the scales absmax [blocks]. A thread has the 16 bytes of one lane of one
// tile.
template <typename T>
__global__ void __launch_bounds__(nf4_threads)
    nf4_encode_kernel(const T *w, Nf4View weight, const float *absmax, Nf4Thresholds thresholds) {
    const int64_t n = weight.rows * weight.cols, size = int64_t{1} << weight.block_shift;
    pack_fragments(weight, 0, [&](int64_t row, int64_t col) {
        const int64_t e = row * weight.cols + col, block = e >> weight.block_shift;
        const float scale = absmax[block], x = widen(w[e]);
        // A last, shorter block is divided by its scale, whole ones are multiplied by its reciprocal.
        const float y =
            n - (block << weight.block_shift) < size ? x / scale : x * (1.0f / fmaxf(scale, nf4_least_scale));
        uint32_t code = 0;
#pragma unroll
        for (int i = 0; i < 15; i++) code += y > thresholds.midpoint[i];
        return code;
    });
}

// ---- import and export

// Rows from first_row on, a multiple of 16, from flat: bitsandbytes' bytes of these rows.
static __global__ void __launch_bounds__(nf4_threads)
    nf4_import_kernel(Nf4View weight, int64_t first_row, const uint8_t *flat) {
    pack_fragments(weight, first_row / nf4_tile_rows, [&](int64_t row, int64_t col) {
        const int64_t e = (row - first_row) * weight.cols + col;
        return static_cast<uint32_t>(e % 2 == 0 ? flat[e / 2] >> 4 : flat[e / 2] & 15);
    });
}

struct Nf4Export {
    Nf4View weight;
    int64_t first_row;
    int64_t end;  // of the elements
    uint8_t *flat;

    static constexpr int width = 1;
    bool aligned() const { return false; }

    __device__ uint32_t code(int64_t e) const {
        return e < end ? weight.code(e / weight.cols, e % weight.cols) : nf4_padding;
    }
    __device__ void operator()(int64_t, const Columns<width> &columns) const {
        const int64_t byte = columns.first, e = first_row * weight.cols + 2 * byte;
        flat[byte] = static_cast<uint8_t>(code(e) << 4 | code(e + 1));
    }
};

}  // namespace nf4j::cuda
