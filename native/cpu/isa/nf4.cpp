// NF4 weights: quantization, the ways in and out of the cpu backend's layout, and the products.
#include "core/nf4_quantize.h"
#include "cpu/device.h"
#include "cpu/isa/kernels.h"
#include "cpu/isa/nf4_matrix.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

constexpr uint32_t padding_code = 7;  // zero in the NF4 map

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls f(band) for every band of 16 rows, on all threads.
template <class F>
void for_each_band(nf4j_stream *stream, int64_t rows, F f) {
    pool_of(stream).parallel_for(ceil_div(rows, band_rows), [&](int64_t band, int) { f(band); });
}

// The word of a row in tile t of its band: code_of(element) gives the code of each element that exists.
template <class F>
uint32_t row_word(const Nf4Matrix &w, int64_t row, int64_t t, F code_of) {
    uint32_t word = 0x11111111u * padding_code;
    if (row >= w.blob.rows) return word;
    const int64_t columns = min(tile_cols, w.blob.cols - t * tile_cols);
    for (int64_t j = 0; j < columns; j++) {
        const uint32_t code = code_of(row * w.blob.cols + t * tile_cols + j);
        word = (word & ~(15u << 4 * j)) | code << 4 * j;
    }
    return word;
}

template <class T>
float largest_in(const T *data, int64_t n) {
    Vec largest = zero();
    for (int64_t i = 0; i < n; i += lanes)
        largest = max(largest, abs(n - i < lanes ? load(data + i, n - i) : load(data + i)));
    return reduce_max(largest);
}

template <class T>
Nf4Scale scale_of_block(const T *data, const Nf4Blob &blob, int64_t block) {
    const int64_t begin = block * blob.block_size, n = min(blob.block_size, blob.rows * blob.cols - begin);
    return Nf4Scale(largest_in(data + begin, n), n == blob.block_size);
}

template <class T>
void quantize(nf4j_stream *stream, const nf4j_tensor &tensor, const Nf4Matrix &w) {
    const T *data = static_cast<const T *>(tensor.data);
    const Nf4Blob &blob = w.blob;
    std::memcpy(blob.quant_map, nf4_code.data(), sizeof nf4_code);
    // Double quantization needs all scales in F32 at once: they fit where the codes will be.
    float *absmax = blob.absmax32 ? blob.absmax32 : reinterpret_cast<float *>(blob.codes);
    constexpr int64_t blocks_per_task = 256;
    pool_of(stream).parallel_for(ceil_div(blob.blocks, blocks_per_task), [&](int64_t task, int) {
        const int64_t end = min((task + 1) * blocks_per_task, blob.blocks);
        for (int64_t b = task * blocks_per_task; b < end; b++) absmax[b] = scale_of_block(data, blob, b).absmax;
    });
    if (blob.absmax8) quantize_scales(absmax, blob);
    for_each_band(stream, blob.rows, [&](int64_t band) {
        int64_t block = -1;
        Nf4Scale scale(0, true);
        // Row by row, so that a block's scale is found once for each row that it touches.
        for (int64_t r = 0; r < band_rows; r++) {
            for (int64_t t = 0; t < w.tiles; t++) {
                w.tile(band, t)[r] = row_word(w, band * band_rows + r, t, [&](int64_t element) {
                    if (element >> w.block_shift != block) {
                        block = element >> w.block_shift;
                        scale = scale_of_block(data, blob, block);
                    }
                    return scale.encode(to_f32(data[element]));
                });
            }
        }
    });
}

template <class T>
void dequantize(nf4j_stream *stream, const Nf4Matrix &w, int64_t first_row, const nf4j_tensor &out) {
    constexpr int64_t rows_per_task = 16, width_max = 32;
    pool_of(stream).parallel_for(ceil_div(out.rows, rows_per_task), [&](int64_t task, int) {
        const int64_t begin = task * rows_per_task, rows = min(rows_per_task, out.rows - begin);
        for (int64_t column = 0; column < out.cols; column += width_max) {
            const int64_t width = out.cols - column <= 16 ? 16 : width_max;
            alignas(64) float panel[rows_per_task * width_max];
            decode_backward(w, Words::f32, first_row + begin, rows, column, width, panel);
            for (int64_t r = 0; r < rows; r++) {
                T *to = static_cast<T *>(out.data) + (begin + r) * out.ld + column;
                const int64_t existing = min(width, out.cols - column);
                for (int64_t j = 0; j < existing; j += lanes) {
                    store(to + j, load(panel + r * width + j), min(lanes, existing - j));
                }
            }
        }
    });
}

}  // namespace

int64_t nf4_weight_bytes(int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant) {
    return Nf4Layout(rows, cols, block_size, double_quant != 0, code_bytes(rows, cols)).bytes;
}

int32_t nf4_quantize(nf4j_stream *stream, const nf4j_tensor *w, const nf4j_nf4_weight *weight) {
    const Nf4Matrix matrix(*weight);
    (w->dtype == NF4J_F32    ? quantize<float>
     : w->dtype == NF4J_BF16 ? quantize<bf16>
                             : quantize<f16>)(stream, *w, matrix);
    return NF4J_OK;
}

int32_t nf4_dequantize(nf4j_stream *stream, const nf4j_nf4_weight *weight, int64_t first_row, const nf4j_tensor *out) {
    const Nf4Matrix matrix(*weight);
    const int32_t dtype = out->dtype;
    (dtype == NF4J_F32    ? dequantize<float>
     : dtype == NF4J_BF16 ? dequantize<bf16>
                          : dequantize<f16>)(stream, matrix, first_row, *out);
    return NF4J_OK;
}

int32_t nf4_import(nf4j_stream *stream, const nf4j_nf4_state *state, const nf4j_nf4_weight *weight) {
    const Nf4Matrix matrix(*weight);
    const Nf4Blob &blob = matrix.blob;
    std::memcpy(blob.quant_map, state->quant_map, 16 * sizeof(float));
    if (blob.absmax8) {
        std::memcpy(blob.nested_map, state->nested_map, 256 * sizeof(float));
        std::memcpy(blob.nested_absmax, state->nested_absmax, static_cast<size_t>(blob.nested_blocks) * sizeof(float));
        std::memcpy(blob.absmax8, state->absmax8, static_cast<size_t>(blob.blocks));
        *blob.nested_offset = state->nested_offset;
    } else {
        std::memcpy(blob.absmax32, state->absmax, static_cast<size_t>(blob.blocks) * sizeof(float));
    }
    for_each_band(stream, blob.rows, [&](int64_t band) {
        for (int64_t t = 0; t < matrix.tiles; t++) {
            for (int64_t r = 0; r < band_rows; r++) {
                matrix.tile(band, t)[r] = row_word(matrix, band * band_rows + r, t, [&](int64_t element) {
                    const uint8_t pair = state->codes[element / 2];
                    return static_cast<uint8_t>(element % 2 ? pair & 15 : pair >> 4);
                });
            }
        }
    });
    return NF4J_OK;
}

int32_t nf4_export(nf4j_stream *stream, const nf4j_nf4_weight *weight, nf4j_nf4_state *state) {
    const Nf4Matrix matrix(*weight);
    const Nf4Blob &blob = matrix.blob;
    std::memcpy(state->quant_map, blob.quant_map, 16 * sizeof(float));
    if (blob.absmax8) {
        std::memcpy(state->nested_map, blob.nested_map, 256 * sizeof(float));
        std::memcpy(state->nested_absmax, blob.nested_absmax, static_cast<size_t>(blob.nested_blocks) * sizeof(float));
        std::memcpy(state->absmax8, blob.absmax8, static_cast<size_t>(blob.blocks));
        state->nested_offset = *blob.nested_offset;
    } else {
        std::memcpy(state->absmax, blob.absmax32, static_cast<size_t>(blob.blocks) * sizeof(float));
    }
    // A band begins at a byte: it has an even number of elements.
    for_each_band(stream, blob.rows, [&](int64_t band) {
        const int64_t first = band * band_rows, last = min(first + band_rows, blob.rows);
        for (int64_t row = first; row < last; row++) {
            for (int64_t column = 0; column < blob.cols; column++) {
                const int64_t element = row * blob.cols + column;
                const uint32_t code =
                    matrix.tile(band, column / tile_cols)[row - first] >> 4 * (column % tile_cols) & 15;
                uint8_t &pair = state->codes[element / 2];
                pair = static_cast<uint8_t>(element % 2 ? (pair & 0xf0u) | code : code << 4 | padding_code);
            }
        }
    });
    return NF4J_OK;
}

int32_t nf4_matmul(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_nf4_weight *weight, const nf4j_tensor *bias,
                   const nf4j_tensor *y) {
    Product p = product({rows_of(*x), rows_of(*weight), x->cols, words_for(x->dtype)}, y);
    p.bias = bias;
    multiply(pool_of(stream), p);
    return NF4J_OK;
}

int32_t nf4_matmul_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_nf4_weight *weight,
                            const nf4j_tensor *dx) {
    multiply(pool_of(stream), product({rows_of(*dy), columns_of(*weight), dy->cols, words_for(dy->dtype)}, dx));
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
