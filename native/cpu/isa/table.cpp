// The backend's table for one instruction set.
#include "cpu/device.h"
#include "cpu/isa/kernels.h"
#include "cpu/isa/micro_kernel.h"
#include "cpu/isa/simd.h"

#include <cstdio>

#define NF4J_TEXT_OF(name) #name
#define NF4J_TEXT(name) NF4J_TEXT_OF(name)

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

int32_t explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype, char *text,
                int64_t capacity) {
    const char *isa = NF4J_TEXT(NF4J_ISA_NAME);
    const int threads = pool_of(stream).threads();
    const size_t size = static_cast<size_t>(capacity);
    switch (operation) {
        case NF4J_OP_NF4_MATMUL:
        case NF4J_OP_NF4_MATMUL_BACKWARD:
        case NF4J_OP_LORA_FORWARD:
        case NF4J_OP_LORA_BACKWARD:
        case NF4J_OP_DENSE_MATMUL:
        case NF4J_OP_LOSS:
            std::snprintf(
                text, size,
                "cpu %s: blocked product, tile %d x %d, words of %s, panels of the weight decoded into cache once for all rows, "
                "%d threads over tiles of %lld x %lld, sum over %lld in order",
                isa, tile_rows, tile_columns, dtype == NF4J_BF16 ? "BF16" : "F32", threads, static_cast<long long>(m),
                static_cast<long long>(n), static_cast<long long>(k));
            break;
        case NF4J_OP_ATTENTION:
            std::snprintf(
                text, size,
                "cpu %s: online softmax over blocks of 64 keys, arithmetic in F32, %d threads over blocks of queries",
                isa, threads);
            break;
        default:
            std::snprintf(text, size, "cpu %s: vectors of %d F32 lanes, %d threads over rows", isa,
                          static_cast<int>(lanes), threads);
    }
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
    b.lora_forward = lora_forward;
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
