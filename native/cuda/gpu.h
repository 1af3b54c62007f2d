// What device.cu and cublas.cu keep for a device and a stream of a GPU.
#pragma once

#include "cuda/device.h"
#include "cuda/kernel_set.h"

#include <cuda_runtime.h>

namespace nf4j::cuda {

struct Gpu {
    int ordinal;
    Tables *tables;
    Traits traits;
    int most_shared_bytes;  // of a block
};

struct GpuStream {
    cudaStream_t stream = nullptr;
    void *cublas = nullptr;            // its handle, null where there is none
    void *cublas_workspace = nullptr;  // not the stream's workspace, which an operation may be using
    KernelSet allowed_most{};  // kernels that may take most_shared_bytes: in the stream's context, as kernels are
};

// Gives a new stream its cuBLAS, if there is one: making a handle allocates, which no operation may.
int32_t cublas_open(nf4j_stream *stream);
void cublas_close(GpuStream *stream);

}  // namespace nf4j::cuda
