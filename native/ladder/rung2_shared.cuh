// Rung 2: a block brings 64 x 64 of x and of W into shared memory and uses each element 64 times.
//
//   thread (r, c) of 16 x 16 has the elements (r + 16 i, c + 16 j) of the tile, i and j from 0 to 3
//
// Global memory gives each byte 64 times less often, whole rows at a time. But 16 lanes now read one column of 16 rows that
// lie 128 bytes apart: the same bank, 16 passes for one load. And while a tile comes, everybody waits.
#pragma once

#include "ladder/ladder.cuh"

namespace nf4j::ladder {

constexpr int shared_threads = 256;

__global__ void shared_kernel(const Matrices p) {
    SharedArena arena;
    const Shared<bf16> x = arena.take<bf16>(tile_elements), w = arena.take<bf16>(tile_elements);
    const Corner at = corner(p);
    const int r = thread_id() / 16, c = thread_id() % 16;
    float sums[4][4] = {};
    for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
        for (int e = thread_id(); e < tile_elements; e += shared_threads) {
            x.store(e, load_global<bf16>(p.x + (at.row + e / depth) * p.k + k0 + e % depth));
            w.store(e, load_global<bf16>(p.w + (at.col + e / depth) * p.k + k0 + e % depth));
        }
        sync_threads();
        for (int l = 0; l < depth; l++) {
            float a[4], b[4];
            for (int i = 0; i < 4; i++) a[i] = widen(x.load((r + 16 * i) * depth + l));
            for (int j = 0; j < 4; j++) b[j] = widen(w.load((c + 16 * j) * depth + l));
            for (int i = 0; i < 4; i++) {
                for (int j = 0; j < 4; j++) sums[i][j] = multiply_add(a[i], b[j], sums[i][j]);
            }
        }
        sync_threads();
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            store_global(p.y + (at.row + r + 16 * i) * p.n + at.col + c + 16 * j, round_bf16(sums[i][j]));
    }
}

inline int32_t shared(nf4j_stream *stream, const Matrices &p) {
    return launch(stream, "rung 2, shared memory", blocks(p), shared_threads,
                  2 * SharedArena::bytes_of(tile_elements * 2), shared_kernel, p);
}

}  // namespace nf4j::ladder
