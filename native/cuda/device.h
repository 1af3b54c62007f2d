// The host's side of a device: device.cu for a GPU, simt/device.cpp for simt.
#pragma once

#include "core/backend.h"
#include "cuda/tiles.h"

namespace nf4j::cuda {

extern const int32_t backend_id;
extern const char *const backend_name;

int32_t open(const nf4j_device_options *options, nf4j_device *device);
void close(nf4j_device *device);
int32_t refresh_info(const nf4j_device *device, nf4j_device_info *info);
int32_t probe(char *text, int64_t capacity);
int32_t stream_create(nf4j_stream *stream);
void stream_destroy(nf4j_stream *stream);
int32_t stream_synchronize(nf4j_stream *stream);
int32_t graph_begin(nf4j_stream *stream);
int32_t graph_end(nf4j_stream *stream, void **graph);
int32_t graph_launch(nf4j_stream *stream, void *graph);
void graph_destroy(void *graph);
int32_t alloc(nf4j_device *device, int64_t bytes, void **data);
int32_t free(nf4j_device *device, void *data);
int32_t alloc_paged(nf4j_device *device, int64_t bytes, void **data);
int32_t prefetch(nf4j_stream *stream, const void *data, int64_t bytes);

// Queues a copy of `rows` pieces of `width` bytes between device memory and device or host memory.
int32_t copy(nf4j_stream *stream, void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t width,
             int64_t rows);

// Whether this is memory of the stream's own device: not of the host, of another device, or paged.
bool is_device_memory(const nf4j_stream *stream, const void *data);

// Constants in device memory (core/nf4_tables.h).
struct Tables {
    float nf4_code[16];
    float signed_map[256];
    float unsigned_map[256];
};
const Tables *tables_of(const nf4j_stream *stream);

// What the choice of kernels depends on.
const Traits &traits_of(const nf4j_stream *stream);

// `bytes` of the stream's workspace, or null with the last error set.
void *workspace(const nf4j_stream *stream, const char *operation, int64_t bytes);

}  // namespace nf4j::cuda
