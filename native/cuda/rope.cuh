// Rotary positions: the table of angles [m, head_dim], and the rotation of x [m, heads * head_dim] by it.
//
//   a head of a token    | x1: head_dim / 2 columns | x2: as many |      y1 = x1 cos - x2 sin
//   the token's table    | cos                      | sin         |      y2 = x2 cos + x1 sin
//
// A thread has 16 bytes of x1 and those of x2 that they are paired with; heads of one token read the same row of the table,
// from L1 or L2 after the first. Floor: the bytes of x and y over the bandwidth of memory; of the table, sine and cosine.
//
//     make simt-run OP=rope_forward M=16 N=256 K=64
#pragma once

#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

struct RopeTable {
    const int32_t *positions;
    const float *inv_freq;
    float scale;
    Matrix<float> table;
    int64_t half;

    static constexpr int width = 1;
    bool aligned() const { return false; }

    __device__ void operator()(int64_t t, const Columns<width> &columns) const {
        const int64_t j = columns.first;
        const float angle = static_cast<float>(positions[t]) * inv_freq[j];
        table.store(t, j, scale * cosf(angle));
        table.store(t, half + j, scale * sinf(angle));
    }
};

// Row i has one head of one token, its columns are the pairs that it has. y may be x.
template <typename T>
struct Rotation {
    Matrix<T> x;
    Matrix<float> table;
    Matrix<T> y;
    int64_t heads;
    int64_t half;
    float direction;  // -1 rotates back

    static constexpr int width = width_of<T>;
    bool aligned() const { return half % width == 0 && are_aligned(x, table, y); }

    __device__ void operator()(int64_t i, const Columns<width> &pairs) const {
        const int64_t t = i / heads;
        const Columns<width> first = pairs.behind((i - t * heads) * 2 * half), second = first.behind(half);
        float c[width], s[width], x1[width], x2[width];
        table.load(c, t, pairs);
        table.load(s, t, pairs.behind(half));
        x.load(x1, t, first);
        x.load(x2, t, second);
#pragma unroll
        for (int e = 0; e < width; e++) {
            const float sine = direction * s[e], turned = x1[e] * c[e] - x2[e] * sine;
            x2[e] = x2[e] * c[e] + x1[e] * sine;
            x1[e] = turned;
        }
        y.store(t, first, x1);
        y.store(t, second, x2);
    }
};

}  // namespace nf4j::cuda
