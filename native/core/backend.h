// What a backend is to the rest of the library: a table of functions behind nf4j.h.
//
// core/ checks every argument of a public function once and then calls the table of the stream's backend, so a
// backend never sees a null pointer, a wrong shape, an unknown enum or an overflowing size, nor, where device memory is
// ordinary memory, an id, a label or an offset out of range. It returns by itself where there is nothing to do because
// there are no tokens (m = 0). Operations have the signatures of nf4j.h.
#pragma once

#include "nf4j.h"

#include <atomic>
#include <cstdint>

namespace nf4j {

struct Backend;

// Sets the calling thread's last error (printf format) and returns `status`.
int32_t fail(int32_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace nf4j

struct nf4j_device {
    const nf4j::Backend *backend;
    nf4j_device_info info;
    void *impl;                 // the backend's own state
    std::atomic<int> streams;   // open streams
    std::atomic<int> captures;  // streams that are being captured
    // A call has said so. Whatever comes later is refused, but for freeing and closing.
    mutable std::atomic<bool> lost;
};

struct nf4j_stream {
    nf4j_device *device;
    char *workspace;  // 64-byte aligned device memory, core/'s from before stream_create until after stream_destroy
    int64_t workspace_bytes;
    void *native_stream;
    std::atomic<int> graphs;  // captured on it, and not destroyed
    bool capturing;
    int32_t capture_status;  // of the first call that failed since graph_begin
    void *impl;              // the backend's own state
};

namespace nf4j {

// How many adapters a backend's lora_project has to take: their list travels in the arguments of a launch.
inline constexpr int64_t most_projected = 4;

struct Backend {
    int32_t id;  // nf4j_backend
    const char *name;

    // Fills what device->info says of threads, isa, host_accessible and name, and device->impl; returns a status.
    int32_t (*open)(const nf4j_device_options *options, nf4j_device *device);
    void (*close)(nf4j_device *device);
    // Fills total_memory and free_memory.
    int32_t (*refresh_info)(const nf4j_device *device, nf4j_device_info *info);
    // One line for each variant: what it is and why it can or cannot be opened.
    int32_t (*probe)(char *text, int64_t capacity);
    int32_t (*stream_create)(nf4j_stream *stream);
    void (*stream_destroy)(nf4j_stream *stream);
    int32_t (*stream_synchronize)(nf4j_stream *stream);
    // Null where calls are over when they return. *graph is the backend's own; graph_end ends the capture in any case.
    int32_t (*graph_begin)(nf4j_stream *stream);
    int32_t (*graph_end)(nf4j_stream *stream, void **graph);
    int32_t (*graph_launch)(nf4j_stream *stream, void *graph);
    void (*graph_destroy)(void *graph);
    int32_t (*alloc)(nf4j_device *device, int64_t bytes, void **data);
    int32_t (*free)(nf4j_device *device, void *data);
    // Null where memory has no pages to move: alloc serves then.
    int32_t (*alloc_paged)(nf4j_device *device, int64_t bytes, void **data);
    int32_t (*prefetch)(nf4j_stream *stream, const void *data, int64_t bytes);
    int32_t (*explain)(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype,
                       char *text, int64_t capacity);
    int64_t (*nf4_weight_bytes)(int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant);

    decltype(&nf4j_memory_copy) memory_copy;
    decltype(&nf4j_memory_fill) memory_fill;
    decltype(&nf4j_memory_cast) memory_cast;
    decltype(&nf4j_memory_add) memory_add;
    decltype(&nf4j_nf4_quantize) nf4_quantize;
    decltype(&nf4j_nf4_dequantize) nf4_dequantize;
    decltype(&nf4j_nf4_import) nf4_import;
    decltype(&nf4j_nf4_export) nf4_export;
    decltype(&nf4j_nf4_matmul) nf4_matmul;
    decltype(&nf4j_nf4_matmul_backward) nf4_matmul_backward;
    decltype(&nf4j_dense_matmul) dense_matmul;
    decltype(&nf4j_lora_project) lora_project;  // of at most most_projected adapters
    decltype(&nf4j_lora_apply) lora_apply;
    decltype(&nf4j_lora_backward) lora_backward;
    decltype(&nf4j_norm_forward) norm_forward;
    decltype(&nf4j_norm_backward) norm_backward;
    decltype(&nf4j_rope_table) rope_table;
    decltype(&nf4j_rope_forward) rope_forward;
    decltype(&nf4j_rope_backward) rope_backward;
    decltype(&nf4j_attention_forward) attention_forward;
    decltype(&nf4j_attention_backward) attention_backward;
    decltype(&nf4j_mlp_swiglu_forward) mlp_swiglu_forward;
    decltype(&nf4j_mlp_swiglu_backward) mlp_swiglu_backward;
    decltype(&nf4j_embedding_forward) embedding_forward;
    decltype(&nf4j_embedding_backward) embedding_backward;
    decltype(&nf4j_loss_linear_cross_entropy) loss_linear_cross_entropy;
    decltype(&nf4j_optim_global_norm) optim_global_norm;
    decltype(&nf4j_optim_adamw_step) optim_adamw_step;
    decltype(&nf4j_optim_adamw) optim_adamw;
};

// What a backend that is a library of its own gets from libnf4j.
struct CoreServices {
    int64_t table_size;  // sizeof(Backend): the library returns null when it was built with another
    decltype(&nf4j::fail) fail;
};

// The one symbol that such a library exports, as "nf4j_backend_entry".
using BackendEntry = const Backend *(*)(const CoreServices *services);

// The backends of libnf4j itself.
const Backend *reference_backend();
// The cpu backend's table for one instruction set (nf4j_isa; AUTO is the best one), or null where this build or machine
// lacks it.
const Backend *cpu_backend(int32_t isa);

}  // namespace nf4j
