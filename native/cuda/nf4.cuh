// Quantization of w [rows, cols] into the layout of nf4_weight.cuh, and bitsandbytes' order of bytes. nf4_dequantize.cuh has
// its reverse.
//
//   absmax            4 ... 32 lanes have a block of 32 ... 4096 elements; blocks run on from row to row
//   mean, nested      with double quantization: one block, then one for each 256 scales
//   encode, import    a warp has a tile of 16x64, a lane the 16 bytes that are its fragments; or, by rows, blocks of 8
//                     columns, which the lanes exchange (nf4_rows.cuh)
//   export            a thread has a byte of bitsandbytes' (elementwise.cuh)
//
// Floor: the bytes of both forms over the bandwidth of memory. Quantization reads w twice, and the mean, whose order is
// torch's, is one block's work: it is done once a model.
//
//     make simt-run OP=nf4_quantize N=40 K=192
#pragma once

#include "core/nf4_tables.h"
#include "cuda/dynamic_map.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/nf4_rows.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

constexpr int nf4_threads = 256;
constexpr float nf4_least_scale = 1e-38f;

// ---- quantize

// absmax [blocks]: the largest magnitude of each block; that of a last, shorter one at least 1e-38. A thread takes 8
// elements of a block, so 4 neighbours have one of 32 elements, and a warp has one of 256 or more.
constexpr int absmax_width = 8;

// log2 of the threads that have a block.
__host__ __device__ inline int absmax_lanes_shift(int block_shift) { return block_shift < 8 ? block_shift - 3 : 5; }

template <typename T>
__global__ void __launch_bounds__(nf4_threads)
    nf4_absmax_kernel(const T *w, int64_t n, bool aligned, int block_shift, float *absmax) {
    const int lanes_shift = absmax_lanes_shift(block_shift), lanes = 1 << lanes_shift, lane = lane_id() & (lanes - 1);
    const int64_t block = (block_id() * nf4_threads + thread_id()) >> lanes_shift;
    const int64_t begin = block << block_shift, size = int64_t{1} << block_shift;
    const int64_t end = begin + size < n ? begin + size : n;
    float largest = 0;
    for (int64_t e = begin + lane * absmax_width; e < end; e += lanes * absmax_width) {
        T values[absmax_width];
        load_columns(values, w, Columns<absmax_width>(e, end, aligned));
#pragma unroll
        for (int i = 0; i < absmax_width; i++) largest = fmaxf(largest, fabsf(widen(values[i])));
    }
#pragma unroll
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
        const float other = shuffle_xor(largest, mask);
        if (mask < lanes) largest = fmaxf(largest, other);
    }
    if (begin >= n || lane > 0) return;
    absmax[block] = end - begin < size ? fmaxf(largest, nf4_least_scale) : largest;
}

constexpr int mean_threads = 1024, mean_warps = mean_threads / warp_size, mean_columns = 32;
static_assert(mean_columns == warp_size, "a lane has a column");
constexpr int64_t mean_shared_bytes = SharedArena::bytes_of(mean_warps * mean_columns * 4);

// The sum of a lane's column over `rows` rows of [rows, 32], in their order; 16 are on their way at a time.
__device__ inline float sum_column(const float *values, int64_t rows) {
    constexpr int ahead = 16;
    const float *own = values + lane_id();
    float sum = 0;
    for (; rows >= ahead; rows -= ahead, own += ahead * mean_columns) {
        float next[ahead];
#pragma unroll
        for (int i = 0; i < ahead; i++) next[i] = own[i * mean_columns];
#pragma unroll
        for (int i = 0; i < ahead; i++) sum += next[i];
    }
    for (; rows > 0; rows--, own += mean_columns) sum += *own;
    return sum;
}

// mean [1] of absmax [n] in the order of torch.mean on one thread, whose last bit the codes depend on: column c of
// [n / 32, 32] is added up in a cascade of four levels (core/nf4_quantize.cpp), where `step` sums of a level are one term
// of the next. So step * step rows are a sum that depends on no others, and a warp's. One block.
static __global__ void __launch_bounds__(mean_threads) nf4_mean_kernel(const float *absmax, int64_t n, float *mean) {
    SharedArena arena;
    const Shared<float> terms = arena.take<float>(mean_warps * mean_columns);
    constexpr int levels = 4, vector = 8;
    const int64_t vectors = n / vector, rows = vectors / (mean_columns / vector);
    int ceil_log2 = 0;
    while ((int64_t{1} << ceil_log2) < rows) ceil_log2++;
    const int level_bits = ceil_log2 / levels > 4 ? ceil_log2 / levels : 4;
    const int64_t step = int64_t{1} << level_bits, whole = rows >> (2 * level_bits);
    const auto row_at = [&](int64_t i) { return absmax + i * mean_columns; };

    float partial[levels] = {};
    for (int64_t round = 0; round < whole; round += mean_warps) {
        const int64_t own = round + warp_id();
        if (own < whole) {
            float term = 0;
            for (int64_t i = 0; i < step; i++) term += sum_column(row_at((own * step + i) * step), step);
            terms.store(thread_id(), term);
        }
        sync_threads();
        for (int w = 0; w < mean_warps && round + w < whole; w++) {
            partial[2] += terms.load(w * mean_columns + lane_id());
            if ((round + w + 1) % step != 0) continue;
            partial[3] += partial[2];
            partial[2] = 0;
        }
        sync_threads();
    }
    if (warp_id() > 0) return;
    int64_t done = whole * step * step;
    for (; rows - done >= step; done += step) partial[1] += sum_column(row_at(done), step);
    partial[0] = sum_column(row_at(done), rows - done);

    float sum = ((partial[0] + partial[1]) + partial[2]) + partial[3];
    for (int64_t i = rows * mean_columns; i < vectors * vector; i += vector) {
        if (lane_id() < vector) sum += absmax[i + lane_id()];
    }
    float column = sum;
    for (int row = 1; row < mean_columns / vector; row++) column += shuffle(sum, lane_id() % vector + row * vector);
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

    __device__ uint32_t code(float y) const {
        uint32_t code = 0;
#pragma unroll
        for (int i = 0; i < 15; i++) code += y > midpoint[i];
        return code;
    }
};

// A block's scale as what elements are divided by: a last, shorter block is divided, whole ones are multiplied by the
// reciprocal.
class Divisor {
public:
    __device__ Divisor(const float *absmax, int64_t block, int block_shift, int64_t n)
        : scale_(absmax[block]),
          reciprocal_(1.0f / fmaxf(scale_, nf4_least_scale)),
          divides_(n - (block << block_shift) < int64_t{1} << block_shift) {}

    __device__ float divide(float x) const { return divides_ ? x / scale_ : x * reciprocal_; }

private:
    float scale_, reciprocal_;
    bool divides_;
};

// Codes of w [rows, cols], contiguous, under the scales absmax [blocks]. A thread has the 16 bytes of one lane of one
// tile.
template <typename T>
__global__ void __launch_bounds__(nf4_threads)
    nf4_encode_kernel(Matrix<T> w, Nf4View weight, const float *absmax, Nf4Thresholds thresholds) {
    pack_fragments(weight, 0, [&](int64_t row, int64_t col) {
        const int64_t e = row * weight.cols + col;
        const Divisor scale(absmax, e >> weight.block_shift, weight.block_shift, weight.rows * weight.cols);
        return thresholds.code(scale.divide(widen(w.data[e])));
    });
}

// The same of whole tiles that have a scale for each row, where rows of w begin at multiples of 16 bytes: a lane encodes 8
// neighbours at a time.
template <typename T>
__global__ void __launch_bounds__(nf4_threads)
    nf4_encode_rows_kernel(Matrix<T> w, Nf4View weight, const float *absmax, Nf4Thresholds thresholds) {
    const int64_t tile = block_id() * (nf4_threads / warp_size) + warp_id();
    const int64_t tile_row = tile / weight.tile_cols, tile_col = tile % weight.tile_cols;
    if (tile_row >= weight.tile_rows) return;
    uint32_t rows[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t row = tile_row * nf4_tile_rows + row_of_part(i);
        const int64_t col = tile_col * nf4_tile_cols + column_of_part(i);
        float values[8] = {};  // of rows that are not there: 0, whose code is that of the padding
        if (row < weight.rows) w.load(values, row, Columns<8>(col, weight.cols, true));
        const int64_t block = row < weight.rows ? (row * weight.cols + col) >> weight.block_shift : 0;
        const Divisor scale(absmax, block, weight.block_shift, weight.rows * weight.cols);
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            const uint32_t even = thresholds.code(scale.divide(values[2 * pair])),
                           odd = thresholds.code(scale.divide(values[2 * pair + 1]));
            rows[pair] |= (even << 4 | odd) << (8 * i);
        }
    }
    store_global(weight.tile(tile_row, tile_col) + lane_id() * 16, fragments_of_rows(rows));
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
