// Rung 3: cp.async brings the tiles two steps ahead, past the registers, 16 bytes at a time, into a layout without bank
// conflicts.
//
// A row of a tile is 128 bytes, all banks once, as 8 chunks of 16. Chunk c of row r stands where chunk c ^ (r % 8) would: so 8 lanes
// that read the same chunk of 8 rows meet all 32 banks (cuda/bf16_tile.cuh, swizzled). Three buffers: one is read, two
// are on their way.
//
//   step:  wait for its copies | barrier | start the copies of step + 2 | multiply
//
// One barrier a step is enough: whoever passed it has finished the step before, whose buffer the new copies take.
#pragma once

#include "ladder/ladder.cuh"

namespace nf4j::ladder {

constexpr int async_threads = 256;
constexpr int stages = 3;

// Starts copies of 64 rows from `row` on and 64 columns from k0 on, into the buffer at `to`.
__device__ inline void copy_tile(const Shared<bf16> &tiles, int to, const bf16 *matrix, int64_t ld, int64_t row,
                                 int64_t k0) {
    for (int i = thread_id(); i < tile_elements / 8; i += block_threads()) {
        const int r = i / (depth / 8), c = i % (depth / 8) * 8;
        copy_async_16(tiles.address(to + swizzled<depth>(r, c)), matrix + (row + r) * ld + k0 + c, 16);
    }
}

__global__ void async_kernel(const Matrices p) {
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
        commit_copies();  // an empty group keeps the count that wait_copies goes by
    };
    const int r = thread_id() / 16, c = thread_id() % 16;
    float sums[4][4] = {};
    for (int step = 0; step < stages - 1; step++) issue(step);
    for (int64_t step = 0; step < steps; step++) {
        wait_copies<stages - 2>();
        sync_threads();
        issue(step + stages - 1);
        const int from = static_cast<int>(step % stages) * tile_elements;
        for (int l = 0; l < depth; l += 8) {
            Vector<bf16, 8> a[4], b[4];
            for (int i = 0; i < 4; i++) a[i] = x.load<8>(from + swizzled<depth>(r + 16 * i, l));
            for (int j = 0; j < 4; j++) b[j] = w.load<8>(from + swizzled<depth>(c + 16 * j, l));
            for (int e = 0; e < 8; e++) {
                for (int i = 0; i < 4; i++) {
                    for (int j = 0; j < 4; j++)
                        sums[i][j] = multiply_add(widen(a[i].v[e]), widen(b[j].v[e]), sums[i][j]);
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            store_global(p.y + (at.row + r + 16 * i) * p.n + at.col + c + 16 * j, round_bf16(sums[i][j]));
    }
}

inline int32_t async(nf4j_stream *stream, const Matrices &p) {
    return launch(stream, "rung 3, asynchronous copies", blocks(p), async_threads,
                  2 * SharedArena::bytes_of(stages * tile_elements * 2), async_kernel, p);
}

}  // namespace nf4j::ladder
