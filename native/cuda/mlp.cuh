// SwiGLU. In place where nf4j.h allows it: an element's inputs are read before its outputs are written. Floor: bytes
// over the copy bandwidth.
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

template <typename T>
struct SwiGluForward {
    Matrix<T> gate;
    Matrix<T> up;
    Matrix<T> h;

    __device__ void operator()(int64_t i, int64_t j) const {
        const float g = gate.load(i, j);
        h.store(i, j, g * sigmoid(g) * up.load(i, j));
    }
};

template <typename T>
struct SwiGluBackward {
    Matrix<T> dh;
    Matrix<T> gate;
    Matrix<T> up;
    Matrix<T> dgate;
    Matrix<T> dup;

    __device__ void operator()(int64_t i, int64_t j) const {
        const float d = dh.load(i, j), g = gate.load(i, j), u = up.load(i, j), sig = sigmoid(g);
        dgate.store(i, j, d * u * sig * (1 + g * (1 - sig)));
        dup.store(i, j, d * g * sig);
    }
};

}  // namespace nf4j::cuda
