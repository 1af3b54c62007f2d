// Rung 4: tensor cores. A warp multiplies 16 x 16 by 16 x 8 in one instruction, whose operands lie scattered over its
// lanes as ldmatrix delivers them.
//
//   4 warps, 2 x 2, each 32 x 32 of the tile: per 16 of k two ldmatrix for x, two for W, eight mma
//
// 32 x 32 sums from 4 loads, where rung 3 had 4 x 4 of a thread from 8: shared memory is out of the way, and 32 lanes do
// 2048 multiplications at once instead of 32. The layouts are in the PTX manual, sections on mma.m16n8k16 and ldmatrix.
#pragma once

#include "ladder/rung3_async.cuh"

namespace nf4j::ladder {

constexpr int tensor_threads = 128;

// One warp's 32 x 32 of the tile.
struct WarpTile {
    float sums[2][4][4] = {};  // fragments of 16 x 8

    __device__ static int row0() { return warp_id() / 2 * 32; }
    __device__ static int col0() { return warp_id() % 2 * 32; }

    // += the product of two tiles in shared memory.
    __device__ void multiply(const Shared<bf16> &x, int x_from, const Shared<bf16> &w, int w_from) {
        const int lane = lane_id();
        for (int k = 0; k < depth; k += 16) {
            uint32_t a[2][4], b[2][4];
            for (int i = 0; i < 2; i++)
                load_matrices(a[i],
                              x.address(x_from + swizzled<depth>(row0() + 16 * i + lane % 16, k + lane / 16 * 8)));
            for (int j = 0; j < 2; j++)
                load_matrices(b[j], w.address(w_from + swizzled<depth>(col0() + 16 * j + lane / 16 * 8 + lane % 8,
                                                                       k + lane / 8 % 2 * 8)));
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 4; j++) {
                    const uint32_t half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    mma_bf16(sums[i][j], a[i], half);
                }
            }
        }
    }

    __device__ void store(const Matrices &p, const Corner &at) const {
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 4; j++) {
                for (int half = 0; half < 2; half++) {
                    const int64_t row = at.row + row0() + 16 * i + half * 8 + lane_id() / 4;
                    const int64_t col = at.col + col0() + 8 * j + lane_id() % 4 * 2;
                    store_global(p.y + row * p.n + col, pack_bf16(sums[i][j][2 * half], sums[i][j][2 * half + 1]));
                }
            }
        }
    }
};

__global__ void tensor_kernel(const Matrices p) {
    SharedArena arena;
    const Shared<bf16> x = arena.take<bf16>(stages * tile_elements), w = arena.take<bf16>(stages * tile_elements);
    const Corner at = corner(p);
    const int64_t steps = p.k / depth;
    const auto issue = [&](int64_t step) {
        if (step < steps) {
            const int to = static_cast<int>(step % stages) * tile_elements;
            copy_tile(x, to, p.x, p.k, at.row, step * depth);
            copy_tile(w, to, p.w, p.k, at.col, step * depth);
        }
        commit_copies();
    };
    WarpTile warp;
    for (int step = 0; step < stages - 1; step++) issue(step);
    for (int64_t step = 0; step < steps; step++) {
        wait_copies<stages - 2>();
        sync_threads();
        issue(step + stages - 1);
        const int from = static_cast<int>(step % stages) * tile_elements;
        warp.multiply(x, from, w, from);
    }
    warp.store(p, at);
}

inline int32_t tensor(nf4j_stream *stream, const Matrices &p) {
    return launch(stream, "rung 4, tensor cores", blocks(p), tensor_threads,
                  2 * SharedArena::bytes_of(stages * tile_elements * 2), tensor_kernel, p);
}

}  // namespace nf4j::ladder
