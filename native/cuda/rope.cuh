// Rotary positions: the table of angles, and the rotation of the halves of each head. Floor: the bytes of x and y over
// the copy bandwidth.
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

struct RopeTable {
    const int32_t *positions;
    const float *inv_freq;
    float scale;
    Matrix<float> table;
    int64_t half;

    __device__ void operator()(int64_t t, int64_t j) const {
        const float angle = static_cast<float>(positions[t]) * inv_freq[j];
        table.store(t, j, scale * cosf(angle));
        table.store(t, half + j, scale * sinf(angle));
    }
};

// Column j of head h is pair h * half + j; one call rotates one pair. y may be x.
template <typename T>
struct Rotation {
    Matrix<T> x;
    Matrix<float> table;
    Matrix<T> y;
    int64_t half;
    float direction;  // -1 rotates back

    __device__ void operator()(int64_t t, int64_t pair) const {
        const int64_t j = pair % half;
        const int64_t first = (pair - j) * 2 + j, second = first + half;
        const float c = table.load(t, j), s = direction * table.load(t, half + j);
        const float x1 = x.load(t, first), x2 = x.load(t, second);
        y.store(t, first, x1 * c - x2 * s);
        y.store(t, second, x2 * c + x1 * s);
    }
};

}  // namespace nf4j::cuda
