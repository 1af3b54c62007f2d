// What the rungs share: the product y [m, n] = x [m, k] * W [n, k]^T in BF16, for multiples of 64, so that a rung shows one
// idea and no edges. docs/kernels.md climbs them; `make ladder` runs them. The kernels of the library are in native/cuda.
#pragma once

#include "cuda/bf16_tile.cuh"
#include "cuda/launch.h"

namespace nf4j::ladder {

using namespace cuda;

struct Matrices {
    const bf16 *x;
    const bf16 *w;  // the same weights as nf4, for the rungs that read BF16
    Nf4View nf4;
    bf16 *y;
    int64_t m;
    int64_t n;
    int64_t k;
};

constexpr int tile = 64;   // a block computes 64 x 64 of y ...
constexpr int depth = 64;  // ... by steps of 64 along k, from the second rung on

// The first row and column of this block's tile of y.
struct Corner {
    int64_t row;
    int64_t col;
};

__device__ inline Corner corner(const Matrices &p) {
    const int64_t tiles_n = p.n / tile;
    return {block_id() / tiles_n * tile, block_id() % tiles_n * tile};
}

inline int64_t blocks(const Matrices &p) { return p.m / tile * (p.n / tile); }

constexpr int tile_elements = tile * depth;

}  // namespace nf4j::ladder
