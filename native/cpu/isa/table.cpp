// The backend's table for one instruction set.
#include "cpu/device.h"
#include "cpu/isa/kernels.h"
#include "cpu/isa/micro_kernel.h"
#include "cpu/isa/nf4_matrix.h"
#include "cpu/isa/simd.h"
#include "cpu/isa/tiles.h"

#include <cstdio>

#define NF4J_TEXT_OF(name) #name
#define NF4J_TEXT(name) NF4J_TEXT_OF(name)

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

int32_t explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t, int32_t dtype, char *text,
                int64_t capacity) {
    const char *variant = "vectors", *why = "memory is the limit, so threads share out pieces of rows";
    char tiles[64] = "no tiles", workspace[112] = "0 bytes";
    const bool in_tiles = has_tiles && dtype == NF4J_BF16;
    const auto product = [&](bool few) {
        few &= !in_tiles;
        variant = few ? "few rows" : "blocked product";
        why = few ? "few tokens, so codes are decoded in registers and used at once"
                  : "panels of the weight are packed or decoded into cache, once for many rows";
        std::snprintf(tiles, sizeof tiles, "tiles of %dx%d in words of %s",
                      few        ? static_cast<int>(m)
                      : in_tiles ? 2 * static_cast<int>(tile_side)
                                 : tile_rows,
                      few ? static_cast<int>(band_rows) : tile_columns, dtype == NF4J_BF16 ? "BF16" : "F32");
    };
    switch (operation) {
        case NF4J_OP_NF4_MATMUL:
        case NF4J_OP_LORA_FORWARD: product(m <= few_rows); break;  // LoRA over NF4
        case NF4J_OP_NF4_MATMUL_BACKWARD:
        case NF4J_OP_DENSE_MATMUL: product(false); break;
        case NF4J_OP_LORA_BACKWARD:
            product(false);
            std::snprintf(workspace, sizeof workspace, "%lld bytes for each rank", static_cast<long long>(m * 4));
            break;
        case NF4J_OP_LOSS:
            product(false);
            std::snprintf(workspace, sizeof workspace, "%lld bytes, in which a token takes more than %lld",
                          static_cast<long long>(stream->workspace_bytes), static_cast<long long>(n * 4));
            break;
        case NF4J_OP_ATTENTION:
            variant = "online softmax";
            why = "scores never stand in memory, and sums are in F32";
            std::snprintf(tiles, sizeof tiles, "tiles of 64 keys by blocks of queries");
            break;
        case NF4J_OP_OPTIM:
            std::snprintf(workspace, sizeof workspace, "8 bytes for each piece of the gradients, for their norm");
            break;
        default: break;
    }
    // Up to the first comma: what a row's bits may depend on.
    std::snprintf(text, static_cast<size_t>(capacity), "cpu %s, %s, %s, %d threads, workspace of %s: %s",
                  NF4J_TEXT(NF4J_ISA_NAME), variant, tiles, pool_of(stream).threads(), workspace, why);
    return NF4J_OK;
}

Backend make_table() {
    Backend b = {};
    b.id = NF4J_BACKEND_CPU;
    b.name = "cpu";
    b.open = open;
    b.close = close;
    b.refresh_info = refresh_info;
    b.probe = probe;
    b.stream_create = stream_create;
    b.stream_destroy = stream_destroy;
    b.stream_synchronize = stream_synchronize;
    b.alloc = alloc;
    b.free = cpu::free;
    b.explain = explain;
    b.nf4_weight_bytes = nf4_weight_bytes;
    b.memory_copy = memory_copy;
    b.memory_fill = memory_fill;
    b.memory_cast = memory_cast;
    b.memory_add = memory_add;
    b.nf4_quantize = nf4_quantize;
    b.nf4_dequantize = nf4_dequantize;
    b.nf4_import = nf4_import;
    b.nf4_export = nf4_export;
    b.nf4_matmul = nf4_matmul;
    b.nf4_matmul_backward = nf4_matmul_backward;
    b.dense_matmul = dense_matmul;
    b.lora_project = lora_project;
    b.lora_apply = lora_apply;
    b.lora_backward = lora_backward;
    b.norm_forward = norm_forward;
    b.norm_backward = norm_backward;
    b.rope_table = rope_table;
    b.rope_forward = rope_forward;
    b.rope_backward = rope_backward;
    b.attention_forward = attention_forward;
    b.attention_backward = attention_backward;
    b.mlp_swiglu_forward = mlp_swiglu_forward;
    b.mlp_swiglu_backward = mlp_swiglu_backward;
    b.embedding_forward = embedding_forward;
    b.embedding_backward = embedding_backward;
    b.loss_linear_cross_entropy = loss_linear_cross_entropy;
    b.optim_global_norm = optim_global_norm;
    b.optim_adamw_step = optim_adamw_step;
    b.optim_adamw = optim_adamw;
    return b;
}

}  // namespace

const Backend *table() {
    static const Backend backend = make_table();
    return &backend;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
