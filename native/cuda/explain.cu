#include "cuda/explain.h"

#include "cuda/devices.h"
#include "cuda/elementwise.cuh"
#include "cuda/product_cublas.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace nf4j::cuda {

void Text::add(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const auto written = static_cast<size_t>(std::vsnprintf(text_, left_, format, arguments));
    va_end(arguments);
    const size_t used = std::min(written, left_ - 1);
    text_ += used;
    left_ -= used;
}

void Text::add_floor(const Traits &device, double bytes, double operations, bool bf16) {
    const KnownDevice *known = find_known_device(device.name);
    if (!known) return;
    const double memory = bytes / known->bandwidth, arithmetic = operations / (bf16 ? known->bf16 : known->f32);
    add(", at least %.3g us on %s: %s", std::max(memory, arithmetic) * 1e6, known->traits.name,
        memory > arithmetic ? "memory" : "arithmetic");
}

namespace {

constexpr double nf4_bytes = 4.5 / 8;  // of a weight: its code, and a scale in F32 for each 64

double product_of(int64_t a, int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

// Bytes that must move once: both factors and the result.
double bytes_of(const ProductShape &s) {
    const double element = s.bf16 ? 2 : 4;
    return product_of(s.n, s.k) * (s.weight == Weight::dense ? element : nf4_bytes) +
           (product_of(s.m, s.k) + product_of(s.m, s.n)) * element;
}

void explain_product(const ProductShape &s, const nf4j_stream *stream, Text &text) {
    const Traits &device = traits_of(stream);
    const Choice choice = choose(s, device, stream->workspace_bytes);
    const Variant &v = *choice.variant;
    // Up to the first comma: what a row's bits may depend on.
    text.add("%s", v.name);
    if (choice.splits > 1) text.add(" with k in %lld parts", static_cast<long long>(choice.splits));
    text.add(", tiles of %dx%dx%d, %d stages, %lld blocks, workspace of %lld bytes: %s", v.tile_m, v.tile_n, v.depth,
             v.stages, static_cast<long long>(choice.blocks), static_cast<long long>(choice.workspace_bytes), v.why);
    const double bytes = bytes_of(s), operations = 2 * product_of(s.m, s.n) * static_cast<double>(s.k);
    text.add("; it moves %.3g MB and takes %.3g GFLOP", bytes / 1e6, operations / 1e9);
    text.add_floor(device, bytes, operations, s.bf16);
}

// What has one kernel for all shapes, and is limited by memory.
void explain_streamed(int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype, const Traits &device,
                      Text &text) {
    const double size = dtype == NF4J_BF16 ? 2 : 4, elements = product_of(m, n);
    const double weights = product_of(n, k) * (size + nf4_bytes);  // in both forms
    const auto elementwise = [&](const char *what) {
        text.add(
            "elementwise, no tiles, %d threads to a block, workspace of 0 bytes: each thread computes a few "
            "neighbours of a row, whatever the shape; %s",
            elementwise_threads, what);
    };
    double bytes = 2 * elements * size;
    switch (operation) {
        case NF4J_OP_NF4_QUANTIZE:
            text.add(
                "nf4_encode, tiles of %dx%d, workspace of 4 bytes for each block with double quantization, else of "
                "0 bytes: a warp finds the scale of a block, then a warp encodes a tile; it",
                nf4_tile_rows, nf4_tile_cols);
            bytes = weights;
            break;
        case NF4J_OP_NF4_DEQUANTIZE:
            if (dtype == NF4J_BF16 && k % nf4_tile_cols == 0) {
                text.add(
                    "nf4_dequantize, tiles of %dx%d, workspace of 0 bytes: a warp decodes a tile in registers, where "
                    "blocks are of 64 or more; it",
                    nf4_tile_rows, nf4_tile_cols);
            } else {
                elementwise("it");
            }
            bytes = weights;
            break;
        case NF4J_OP_NORM:
            text.add(
                "norm, tiles of one row, workspace of 4 bytes for each column and chunk of rows, for the gradient of "
                "the weight: a block of threads adds up a row; forward it");
            break;
        case NF4J_OP_MLP:
            elementwise("forward it");
            bytes = 3 * elements * size;
            break;
        case NF4J_OP_EMBEDDING:
            text.add(
                "embedding, tiles of one row, workspace of 0 bytes: forward copies rows; backward gives each row of "
                "the table its tokens in their order; forward it");
            break;
        case NF4J_OP_OPTIM:
            text.add(
                "multi_tensor, tiles of one chunk, workspace of 8 bytes for each chunk of the gradients, for their "
                "norm: one launch has chunks of many parameters; AdamW with states of 32 bits");
            bytes = 28 * elements;  // the gradient is read; parameter, m and v are read and written
            break;
        case NF4J_OP_ROPE: elementwise("forward it"); break;
        default: elementwise("a copy"); break;
    }
    text.add(" moves %.3g MB", bytes / 1e6);
    text.add_floor(device, bytes, 0, false);
}

}  // namespace

int32_t explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype, char *buffer,
                int64_t capacity) {
    Text text(buffer, capacity);
    // What is unknown of the operands: rows are taken for 16-byte aligned, LoRA's base for NF4 in blocks of 64 or more,
    // other weights for dense.
    const int64_t tokens = std::max<int64_t>(m, 1);
    const auto product = [&](int64_t columns, int64_t depth, Weight weight, bool across, bool part_of_rows) {
        const Access access = weight == Weight::nf4 ? Access::rows : Access::copied;
        explain_product({tokens, columns, depth, dtype == NF4J_BF16, access, weight, across, part_of_rows, false, 0},
                        stream, text);
    };
    const char *sums = dtype == NF4J_BF16 ? "; the adapters' partial sums take what is left of the workspace" : "";
    const Weight nf4 = k % nf4_tile_cols == 0 ? Weight::nf4_row_scales : Weight::nf4;
    // Another number of rows is another kernel of cuBLAS': it stands before the first comma.
    const auto product_with_panels = [&](int64_t columns, int64_t depth, bool backward) {
        const int64_t panel = nf4 == Weight::nf4_row_scales
                                  ? cublas_panel_columns(stream, tokens, columns, depth, dtype, backward, 0)
                                  : 0;
        if (panel > 0) {
            text.add(
                "cuBLAS for m = %lld on weights dequantized for %lld columns of c at once, where rows are aligned%s; else ",
                static_cast<long long>(m), static_cast<long long>(panel), backward ? "" : " and there is no bias");
        }
        product(columns, depth, nf4, !backward, false);
    };
    switch (operation) {
        case NF4J_OP_NF4_MATMUL: product_with_panels(n, k, false); break;
        case NF4J_OP_LORA_FORWARD:
            product(n, k, nf4, true, false);
            text.add("%s", sums);
            break;
        case NF4J_OP_NF4_MATMUL_BACKWARD: product_with_panels(k, n, true); break;
        case NF4J_OP_LORA_BACKWARD:
            product_with_panels(k, n, true);
            text.add("; the workspace also has du, %lld bytes for each rank%s", static_cast<long long>(tokens * 4),
                     sums);
            break;
        case NF4J_OP_DENSE_MATMUL:
        case NF4J_OP_LOSS:
            if (cublas_takes_size(stream, m, n, k, dtype)) {
                text.add("cuBLAS for m = %lld, where both factors are BF16; else ", static_cast<long long>(m));
            }
            product(n, k, Weight::dense, true, operation == NF4J_OP_LOSS);
            if (operation == NF4J_OP_LOSS) {
                text.add("; the workspace also has logits, %lld bytes for each token of a chunk",
                         static_cast<long long>(ceil_div(n, 16) * 64));
            }
            break;
        case NF4J_OP_ATTENTION: return explain_attention(m, n, k, dtype, traits_of(stream), text);
        default: explain_streamed(operation, m, n, k, dtype, traits_of(stream), text);
    }
    return NF4J_OK;
}

}  // namespace nf4j::cuda
