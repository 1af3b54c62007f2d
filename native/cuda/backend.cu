// The backend's table and the one symbol that its library exports.
#include "cuda/device.h"
#include "cuda/explain.h"
#include "cuda/families.h"

#include <cstdarg>
#include <cstdio>

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
