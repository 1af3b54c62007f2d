// The entries of a backend table that do no arithmetic: one for all instruction sets.
#pragma once

#include "core/backend.h"
#include "cpu/thread_pool.h"

namespace nf4j::cpu {

// The threads of the stream's device.
ThreadPool &pool_of(const nf4j_stream *stream);

int32_t open(const nf4j_device_options *options, nf4j_device *device);
void close(nf4j_device *device);
int32_t refresh_info(const nf4j_device *device, nf4j_device_info *info);
int32_t probe(char *text, int64_t capacity);
int32_t stream_create(nf4j_stream *stream);
void stream_destroy(nf4j_stream *stream);
int32_t stream_synchronize(nf4j_stream *stream);
int32_t alloc(nf4j_device *device, int64_t bytes, void **data);
int32_t free(nf4j_device *device, void *data);

}  // namespace nf4j::cpu
