#include "core/nf4_quantize.h"
#include "reference/reference.h"
#include "reference/weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace nf4j::reference {

namespace {

// The elements of one block of a contiguous matrix, numbered through the flattened matrix.
struct Block {
    int64_t begin;
    int64_t end;
    Nf4Scale scale;
};

Block block_of(const nf4j_tensor *w, int64_t block_size, int64_t b) {
    const int64_t begin = b * block_size;
    const int64_t end = std::min(begin + block_size, w->rows * w->cols);
    float largest = 0;
    for (int64_t e = begin; e < end; e++) largest = std::max(largest, std::fabs(static_cast<float>(load(w, 0, e))));
    return {begin, end, Nf4Scale(largest, end - begin == block_size)};
}

}  // namespace

int64_t nf4_weight_bytes(int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant) {
    return Nf4Layout(rows, cols, block_size, double_quant != 0, code_bytes(rows, cols)).bytes;
}

int32_t nf4_quantize(nf4j_stream *, const nf4j_tensor *w, const nf4j_nf4_weight *weight) {
    const Nf4Blob blob = blob_of(*weight);
    std::memcpy(blob.quant_map, nf4_code.data(), sizeof nf4_code);

    // With double quantization the section of the codes, which is always large enough, holds the scales for a moment.
    float *absmax = blob.absmax32 ? blob.absmax32 : reinterpret_cast<float *>(blob.codes);
    for (int64_t b = 0; b < blob.blocks; b++) absmax[b] = block_of(w, blob.block_size, b).scale.absmax;
    if (!blob.absmax32) quantize_scales(absmax, blob);

    // An odd last byte is padded with the code of 0.
    std::memset(blob.codes, nf4_encode(0), static_cast<size_t>(code_bytes(w->rows, w->cols)));
    for (int64_t b = 0; b < blob.blocks; b++) {
        const Block block = block_of(w, blob.block_size, b);
        for (int64_t e = block.begin; e < block.end; e++) {
            const uint8_t code = block.scale.encode(static_cast<float>(load(w, 0, e)));
            uint8_t &pair = blob.codes[e / 2];
            pair = static_cast<uint8_t>(e % 2 == 0 ? code << 4 | (pair & 15) : (pair & 0xf0) | code);
        }
    }
    return NF4J_OK;
}

int32_t nf4_dequantize(nf4j_stream *, const nf4j_nf4_weight *weight, int64_t first_row, const nf4j_tensor *out) {
    const Nf4Blob blob = blob_of(*weight);
    for (int64_t i = 0; i < out->rows; i++) {
        for (int64_t j = 0; j < out->cols; j++) {
            store(out, i, j, dequantized(blob, (first_row + i) * blob.cols + j));
        }
    }
    return NF4J_OK;
}

int32_t nf4_import(nf4j_stream *, const nf4j_nf4_state *state, const nf4j_nf4_weight *weight) {
    const Nf4Blob blob = blob_of(*weight);
    std::copy_n(state->codes, code_bytes(blob.rows, blob.cols), blob.codes);
    std::copy_n(state->quant_map, 16, blob.quant_map);
    if (weight->double_quant) {
        std::copy_n(state->absmax8, blob.blocks, blob.absmax8);
        std::copy_n(state->nested_absmax, blob.nested_blocks, blob.nested_absmax);
        std::copy_n(state->nested_map, 256, blob.nested_map);
        *blob.nested_offset = state->nested_offset;
    } else {
        std::copy_n(state->absmax, blob.blocks, blob.absmax32);
    }
    return NF4J_OK;
}

int32_t nf4_export(nf4j_stream *, const nf4j_nf4_weight *weight, nf4j_nf4_state *state) {
    const Nf4Blob blob = blob_of(*weight);
    std::copy_n(blob.codes, code_bytes(blob.rows, blob.cols), state->codes);
    std::copy_n(blob.quant_map, 16, state->quant_map);
    if (weight->double_quant) {
        std::copy_n(blob.absmax8, blob.blocks, state->absmax8);
        std::copy_n(blob.nested_absmax, blob.nested_blocks, state->nested_absmax);
        std::copy_n(blob.nested_map, 256, state->nested_map);
        state->nested_offset = *blob.nested_offset;
    } else {
        std::copy_n(blob.absmax32, blob.blocks, state->absmax);
    }
    return NF4J_OK;
}

int32_t nf4_matmul(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_nf4_weight *weight, const nf4j_tensor *bias,
                   const nf4j_tensor *y) {
    const Weight w(nullptr, weight, x->dtype);
    double *row = scratch(stream, w.in);
    if (!row) return NF4J_OUT_OF_MEMORY;
    for (int64_t o = 0; o < w.out; o++) {
        w.row(o, row);
        for (int64_t t = 0; t < x->rows; t++) {
            double sum = load_or_zero(bias, o);
            for (int64_t i = 0; i < w.in; i++) sum += load(x, t, i) * row[i];
            store(y, t, o, sum);
        }
    }
    return NF4J_OK;
}

int32_t nf4_matmul_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_nf4_weight *weight,
                            const nf4j_tensor *dx) {
    const Weight w(nullptr, weight, dy->dtype);
    double *column = scratch(stream, w.out);
    if (!column) return NF4J_OUT_OF_MEMORY;
    for (int64_t i = 0; i < w.in; i++) {
        w.column(i, column);
        for (int64_t t = 0; t < dy->rows; t++) {
            double sum = 0;
            for (int64_t o = 0; o < w.out; o++) sum += load(dy, t, o) * column[o];
            store(dx, t, i, sum);
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
