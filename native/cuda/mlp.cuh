// SwiGLU: h = silu(gate) * up, all [m, n]. A thread has the same 16 bytes of each (elementwise.cuh), and reads its inputs
// before it writes, so that it works in place where nf4j.h allows it. Floor: the bytes of gate, up and h (backward: of
// dh, gate, up, dgate and dup) over the bandwidth of memory.
//
//     make simt-run OP=mlp_swiglu_forward M=16 N=1000
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

template <typename T>
struct SwiGluForward {
    Matrix<T> gate;
    Matrix<T> up;
    Matrix<T> h;

    static constexpr int width = width_of<T>;
    bool aligned() const { return are_aligned(gate, up, h); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        float g[width], u[width];
        gate.load(g, i, columns);
        up.load(u, i, columns);
#pragma unroll
        for (int e = 0; e < width; e++) g[e] = g[e] * sigmoid(g[e]) * u[e];
        h.store(i, columns, g);
    }
};

template <typename T>
struct SwiGluBackward {
    Matrix<T> dh;
    Matrix<T> gate;
    Matrix<T> up;
    Matrix<T> dgate;
    Matrix<T> dup;

    static constexpr int width = width_of<T>;
    bool aligned() const { return are_aligned(dh, gate, up, dgate, dup); }

    __device__ void operator()(int64_t i, const Columns<width> &columns) const {
        float d[width], g[width], u[width];
        dh.load(d, i, columns);
        gate.load(g, i, columns);
        up.load(u, i, columns);
#pragma unroll
        for (int e = 0; e < width; e++) {
            const float sig = sigmoid(g[e]);
            u[e] = d[e] * u[e] * sig * (1 + g[e] * (1 - sig));
            g[e] = d[e] * g[e] * sig;
        }
        dgate.store(i, columns, u);
        dup.store(i, columns, g);
    }
};

}  // namespace nf4j::cuda
