// AdamW and the global norm for many parameters in one launch. A block has one chunk of one parameter; the list of
// parameters travels in the kernel's arguments, so nothing is copied and the launch can be captured:
//
//   parameter      | 0: 5000 elements       | 1: 100 | 2: 3000        |
//   first block    | 0                      | 3      | 4              |      a block finds its parameter by bisection
//   blocks         | 2048 | 2048 | 904      | 100    | 2048 | 952     |
//
// States of 8 bits have a scale for each 256 elements, one of each thread: a block of threads finds the largest, then every
// thread its code. Floor: the bytes of gradients, parameters and states (28 for an element, 16 with states of 8 bits) over the
// bandwidth of memory.
//
//     make simt-run OP=optim_adamw M=3 N=5000 DTYPE=f32
#pragma once

#include "cuda/dynamic_map.cuh"
#include "cuda/global.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

constexpr int optim_threads = 256;
constexpr int64_t optim_chunk = 2048;       // elements to a block
constexpr int64_t optim_state_block = 256;  // elements that share a scale of 8-bit state
constexpr int optim_batch = 512;            // parameters to a launch, whose arguments have room for 32,764 bytes

// A parameter, and the number of its first block in the grid.
struct OptimEntry {
    nf4j_adamw_parameter parameter;
    int64_t first_block;
};

struct OptimBatch {
    OptimEntry entries[optim_batch];
    int count;
};

// A block's elements.
struct OptimChunk {
    int index;  // of the entry
    int64_t begin;
    int64_t end;
};

__device__ inline OptimChunk chunk_of(const OptimBatch &batch, int64_t block) {
    int low = 0, high = batch.count - 1;  // the last entry that does not begin behind the block
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (batch.entries[middle].first_block <= block) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    const int64_t begin = (block - batch.entries[low].first_block) * optim_chunk;
    const int64_t n = batch.entries[low].parameter.n;
    return {low, begin, begin + optim_chunk < n ? begin + optim_chunk : n};
}

// squares [blocks]: the sum of each chunk.
static __global__ void __launch_bounds__(optim_threads) squares_kernel(const OptimBatch batch, double *squares) {
    SharedArena arena;
    const Shared<double> scratch = arena.take<double>(optim_threads / warp_size);
    const OptimChunk chunk = chunk_of(batch, block_id());
    const float *grad = batch.entries[chunk.index].parameter.grad;
    double sum = 0;
    for (int64_t i = chunk.begin + thread_id(); i < chunk.end; i += optim_threads) {
        const double g = grad[i];
        sum += g * g;
    }
    sum = reduce_block<optim_threads>(sum, scratch, Plus());
    if (thread_id() == 0) squares[block_id()] = sum;
}

// norm [2] from the squares [count] of all chunks; one block.
static __global__ void __launch_bounds__(optim_threads)
    norm_kernel(const double *squares, int64_t count, float max_norm, float *norm) {
    SharedArena arena;
    const Shared<double> scratch = arena.take<double>(optim_threads / warp_size);
    double sum = 0;
    for (int64_t i = thread_id(); i < count; i += optim_threads) sum += squares[i];
    sum = reduce_block<optim_threads>(sum, scratch, Plus());
    if (thread_id() != 0) return;
    const double length = sqrt(sum);
    const double factor = max_norm > 0 ? static_cast<double>(max_norm) / (length + 1e-6) : 1.0;
    norm[0] = static_cast<float>(length);
    norm[1] = static_cast<float>(factor < 1.0 ? factor : 1.0);
}

// The scalars of a step, computed in double and rounded once.
struct AdamwStep {
    float beta1;
    float beta2;
    float rest1;  // 1 - beta1
    float rest2;
    float eps;
    const float *grad_scale;
    const nf4j_adamw_step *device_step;  // where the rest stands, or null
    float decay = 0;
    float rate = 0;
    float correction = 0;

    __host__ __device__ void take(const nf4j_adamw_step &factors) {
        decay = static_cast<float>(factors.decay);
        rate = static_cast<float>(factors.rate);
        correction = static_cast<float>(factors.correction);
    }
};

static __global__ void adamw_step_kernel(nf4j_adamw_step factors, nf4j_adamw_step *step) {
    if (thread_id() == 0) *step = factors;
}

__device__ inline void update(const AdamwStep &step, float gradient, float *param, float *m, float *v) {
    *m = step.beta1 * *m + step.rest1 * gradient;
    *v = step.beta2 * *v + step.rest2 * gradient * gradient;
    *param = *param * step.decay - step.rate * (*m / (sqrtf(*v) / step.correction + step.eps));
}

// One block of 8-bit state [256]: thread i has element i. value becomes a code, its scale is the largest magnitude.
__device__ inline uint8_t dynamic_quantize(Shared<float> map, Shared<float> scratch, float value, float *absmax) {
    constexpr float least_normal = 1.17549435e-38f;
    const float largest = reduce_block<optim_threads>(fabsf(value), scratch, Maximum());
    const bool zero = largest < least_normal;
    if (thread_id() == 0) *absmax = zero ? 0 : largest;
    return nearest_code([&](int i) { return map.load(i); }, zero ? 0 : value * (1 / largest));
}

struct DynamicMaps {
    const float *with_sign;
    const float *without_sign;
};

static __global__ void __launch_bounds__(optim_threads)
    adamw_kernel(const OptimBatch batch, AdamwStep step, DynamicMaps maps) {
    SharedArena arena;
    const Shared<float> m_map = arena.take<float>(256), v_map = arena.take<float>(256);
    const Shared<float> scratch = arena.take<float>(optim_threads / warp_size);
    const OptimChunk chunk = chunk_of(batch, block_id());
    const nf4j_adamw_parameter &p = batch.entries[chunk.index].parameter;
    if (step.device_step) step.take(*step.device_step);
    const float grad_scale = step.grad_scale ? *step.grad_scale : 1.0f;
    if (!p.absmax) {
        auto *m = static_cast<float *>(p.m), *v = static_cast<float *>(p.v);
        for (int64_t i = chunk.begin + thread_id(); i < chunk.end; i += optim_threads) {
            update(step, p.grad[i] * grad_scale, p.param + i, m + i, v + i);
        }
        return;
    }
    m_map.store(thread_id(), maps.with_sign[thread_id()]);
    v_map.store(thread_id(), maps.without_sign[thread_id()]);
    sync_threads();
    auto *m_codes = static_cast<uint8_t *>(p.m), *v_codes = static_cast<uint8_t *>(p.v);
    for (int64_t begin = chunk.begin; begin < chunk.end; begin += optim_state_block) {
        const int64_t i = begin + thread_id();
        float *m_absmax = p.absmax + begin / optim_state_block;
        float *v_absmax = m_absmax + ceil_div(p.n, optim_state_block);
        float m = 0, v = 0;
        if (i < chunk.end) {
            m = m_map.load(m_codes[i]) * *m_absmax;
            v = v_map.load(v_codes[i]) * *v_absmax;
            update(step, p.grad[i] * grad_scale, p.param + i, &m, &v);
        }
        const uint8_t m_code = dynamic_quantize(m_map, scratch, m, m_absmax);
        const uint8_t v_code = dynamic_quantize(v_map, scratch, v, v_absmax);
        if (i < chunk.end) {
            m_codes[i] = m_code;
            v_codes[i] = v_code;
        }
    }
}

}  // namespace nf4j::cuda
