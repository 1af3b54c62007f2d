// The backend's table and the one symbol that its library exports.
#include "cuda/cublas.h"
#include "cuda/device.h"
#include "cuda/elementwise.cuh"
#include "cuda/families.h"
#include "cuda/product.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace nf4j {

namespace {

const CoreServices *services;

}  // namespace

// libnf4j keeps the last error.
int32_t fail(int32_t status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return services->fail(status, "%s", text);
}

namespace cuda {

namespace {

// What has one kernel for all shapes.
void explain_one_kernel(int32_t operation, char *text, int64_t capacity) {
    const char *variant = "elementwise", *workspace = "0 bytes",
               *why = "each thread computes a few neighbours of a row, whatever the shape";
    char tiles[64];
    std::snprintf(tiles, sizeof tiles, "no tiles, %d threads to a block", elementwise_threads);
    switch (operation) {
        case NF4J_OP_NF4_QUANTIZE:
            variant = "nf4_encode";
            workspace = "4 bytes for each block with double quantization, else of 0";
            why = "a warp finds the scale of a block, then a warp encodes a tile";
            std::snprintf(tiles, sizeof tiles, "tiles of %dx%d", nf4_tile_rows, nf4_tile_cols);
            break;
        case NF4J_OP_NORM:
            variant = "norm";
            workspace = "4 bytes for each column and chunk of rows, for the gradient of the weight";
            why = "a block of threads adds up a row";
            std::snprintf(tiles, sizeof tiles, "tiles of one row");
            break;
        case NF4J_OP_EMBEDDING:
            variant = "embedding";
            why = "forward copies rows; backward gives each row of the table its tokens in their order";
            std::snprintf(tiles, sizeof tiles, "tiles of one row");
            break;
        case NF4J_OP_OPTIM:
            variant = "multi_tensor";
            workspace = "8 bytes for each chunk of the gradients, for their norm";
            why = "one launch has chunks of many parameters";
            std::snprintf(tiles, sizeof tiles, "tiles of one chunk");
            break;
        default: break;
    }
    std::snprintf(text, static_cast<size_t>(capacity), "%s, %s, workspace of %s: %s", variant, tiles, workspace, why);
}

int32_t explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype, char *text,
                int64_t capacity) {
    // What is unknown of the operands: rows are taken for 16-byte aligned, LoRA's base for NF4 in blocks of 64 or more,
    // other weights for dense.
    const int64_t tokens = std::max<int64_t>(m, 1);
    const auto product = [&](int64_t columns, int64_t depth, Weight weight, bool part_of_rows) {
        const Access access = weight == Weight::nf4 ? Access::rows : Access::copied;
        const ProductShape shape = {tokens, columns, depth, dtype == NF4J_BF16, access, weight, part_of_rows, false};
        explain_product(shape, stream, text, capacity);
    };
    const auto append = [&](const char *format, auto value) {
        const size_t used = std::strlen(text);
        std::snprintf(text + used, static_cast<size_t>(capacity) - used, format, value);
    };
    const char *sums = dtype == NF4J_BF16 ? "; the adapters' partial sums take what is left of the workspace" : "";
    const Weight nf4 = k % nf4_tile_cols == 0 ? Weight::nf4_row_scales : Weight::nf4;
    switch (operation) {
        case NF4J_OP_NF4_MATMUL: product(n, k, nf4, false); break;
        case NF4J_OP_LORA_FORWARD:
            product(n, k, nf4, false);
            append("%s", sums);
            break;
        case NF4J_OP_NF4_MATMUL_BACKWARD: product(k, n, nf4, false); break;
        case NF4J_OP_LORA_BACKWARD:
            product(k, n, nf4, false);
            append("; the workspace also has du, %lld bytes for each rank", static_cast<long long>(tokens * 4));
            append("%s", sums);
            break;
        case NF4J_OP_DENSE_MATMUL:
        case NF4J_OP_LOSS:
            // Another number of rows is another kernel of cuBLAS': it stands before the first comma.
            if (cublas_takes_size(stream, m, n, k, dtype)) {
                std::snprintf(text, static_cast<size_t>(capacity),
                              "cuBLAS for m = %lld, where both factors are BF16 without a bias; else ",
                              static_cast<long long>(m));
                const auto used = static_cast<int64_t>(std::strlen(text));
                text += used;
                capacity -= used;
            }
            product(n, k, Weight::dense, operation == NF4J_OP_LOSS);
            if (operation == NF4J_OP_LOSS) {
                append("; the workspace also has logits, %lld bytes for each token of a chunk",
                       static_cast<long long>(ceil_div(n, 16) * 64));
            }
            break;
        case NF4J_OP_ATTENTION: return explain_attention(m, n, k, dtype, traits_of(stream), text, capacity);
        default: explain_one_kernel(operation, text, capacity);
    }
    return NF4J_OK;
}

Backend make_table() {
    Backend table = {};
    table.id = backend_id;
    table.name = backend_name;
    table.open = open;
    table.close = close;
    table.refresh_info = refresh_info;
    table.probe = probe;
    table.stream_create = stream_create;
    table.stream_destroy = stream_destroy;
    table.stream_synchronize = stream_synchronize;
    table.graph_begin = graph_begin;
    table.graph_end = graph_end;
    table.graph_launch = graph_launch;
    table.graph_destroy = graph_destroy;
    table.alloc = alloc;
    table.free = free;
    table.alloc_paged = alloc_paged;
    table.prefetch = prefetch;
    table.explain = explain;
    table.nf4_weight_bytes = nf4_weight_bytes;
    table.memory_copy = memory_copy;
    table.memory_fill = memory_fill;
    table.memory_cast = memory_cast;
    table.memory_add = memory_add;
    table.nf4_quantize = nf4_quantize;
    table.nf4_dequantize = nf4_dequantize;
    table.nf4_import = nf4_import;
    table.nf4_export = nf4_export;
    table.nf4_matmul = nf4_matmul;
    table.nf4_matmul_backward = nf4_matmul_backward;
    table.dense_matmul = dense_matmul;
    table.lora_project = lora_project;
    table.lora_apply = lora_apply;
    table.lora_backward = lora_backward;
    table.loss_linear_cross_entropy = loss_linear_cross_entropy;
    table.norm_forward = norm_forward;
    table.norm_backward = norm_backward;
    table.rope_table = rope_table;
    table.rope_forward = rope_forward;
    table.rope_backward = rope_backward;
    table.attention_forward = attention_forward;
    table.attention_backward = attention_backward;
    table.mlp_swiglu_forward = mlp_swiglu_forward;
    table.mlp_swiglu_backward = mlp_swiglu_backward;
    table.embedding_forward = embedding_forward;
    table.embedding_backward = embedding_backward;
    table.optim_global_norm = optim_global_norm;
    table.optim_adamw_step = optim_adamw_step;
    table.optim_adamw = optim_adamw;
    return table;
}

}  // namespace

}  // namespace cuda

}  // namespace nf4j

extern "C" __attribute__((visibility("default"))) const nf4j::Backend *nf4j_backend_entry(
    const nf4j::CoreServices *core) {
    if (core->table_size != sizeof(nf4j::Backend)) return nullptr;
    nf4j::services = core;
    static const nf4j::Backend table = nf4j::cuda::make_table();
    return &table;
}
