// The backend's table, and what it does without arithmetic.
#include "core/host.h"
#include "reference/reference.h"

#include <cstdio>

namespace nf4j {

namespace reference {

namespace {

int32_t open(const nf4j_device_options *, nf4j_device *device) {
    device->info.threads = 1;
    device->info.isa = NF4J_ISA_GENERIC;
    device->info.host_accessible = 1;
    std::snprintf(device->info.name, sizeof device->info.name, "reference: scalar, sums in double");
    return NF4J_OK;
}

void close(nf4j_device *) {}

int32_t refresh_info(const nf4j_device *, nf4j_device_info *info) {
    host_memory(&info->total_memory, &info->free_memory);
    return NF4J_OK;
}

int32_t probe(char *text, int64_t capacity) {
    std::snprintf(text, static_cast<size_t>(capacity), "reference: available");
    return NF4J_OK;
}

int32_t stream_create(nf4j_stream *) { return NF4J_OK; }

void stream_destroy(nf4j_stream *) {}

int32_t stream_synchronize(nf4j_stream *) { return NF4J_OK; }

int32_t alloc(nf4j_device *, int64_t bytes, void **data) { return host_alloc(bytes, data); }

int32_t free(nf4j_device *, void *data) {
    host_free(data);
    return NF4J_OK;
}

int32_t explain(nf4j_stream *, int32_t, int64_t, int64_t, int64_t, int32_t, char *text, int64_t capacity) {
    std::snprintf(
        text, static_cast<size_t>(capacity),
        "reference, scalar loops, no tiles, workspace of 0 bytes: it is the specification, so sums are in double");
    return NF4J_OK;
}

Backend make_table() {
    Backend table = {};
    table.id = NF4J_BACKEND_REFERENCE;
    table.name = "reference";
    table.open = open;
    table.close = close;
    table.refresh_info = refresh_info;
    table.probe = probe;
    table.stream_create = stream_create;
    table.stream_destroy = stream_destroy;
    table.stream_synchronize = stream_synchronize;
    table.alloc = alloc;
    table.free = free;
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
    table.loss_linear_cross_entropy = loss_linear_cross_entropy;
    table.optim_global_norm = optim_global_norm;
    table.optim_adamw_step = optim_adamw_step;
    table.optim_adamw = optim_adamw;
    return table;
}

}  // namespace

}  // namespace reference

const Backend *reference_backend() {
    static const Backend table = reference::make_table();
    return &table;
}

}  // namespace nf4j
