// The only header that knows which compiler reads a kernel: nvcc for a GPU, or the host's for simt, where
// the threads of a block are fibers (simt/engine.h). Everything below it is written once.
#pragma once

#include "core/dtype.h"

#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

namespace nf4j::cuda {

// Where a kernel does something: known to simt, which reports it, and empty on a device.
struct Place {
    __device__ static constexpr Place here() { return {}; }
};

__device__ inline int thread_id() { return static_cast<int>(threadIdx.x); }

__device__ inline int64_t block_id() { return blockIdx.x; }

__device__ inline int64_t grid_blocks() { return gridDim.x; }

__device__ inline int block_threads() { return static_cast<int>(blockDim.x); }

}  // namespace nf4j::cuda

#else

#include "simt/capture.h"
#include "simt/engine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

namespace nf4j::cuda {

using simt::Place;

inline int thread_id() { return simt::Engine::instance().thread().index; }

inline int64_t block_id() { return simt::Engine::instance().block(); }

inline int64_t grid_blocks() { return simt::Engine::instance().grid().blocks; }

inline int block_threads() { return simt::Engine::instance().grid().threads; }

}  // namespace nf4j::cuda

#endif

namespace nf4j::cuda {

constexpr int warp_size = 32;

__device__ inline int lane_id() { return thread_id() % warp_size; }

__device__ inline int warp_id() { return thread_id() / warp_size; }

__host__ __device__ constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// N consecutive elements that are moved in one instruction; their address must be a multiple of their size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
    T v[N];
};

}  // namespace nf4j::cuda
