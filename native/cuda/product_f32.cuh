// The product in F32 on FFMA: a block has 64x64 of c, a thread 4x4; k goes by 16 through two buffers in shared memory.
//
//                                  right [16 k][64 n]
//                                  |   tx = 0 ... 15, four columns each |
//   left [16 k][64 m]              +-------------------------------------+
//   ty = 0 ... 15, four rows each  |   4x4 sums of thread (ty, tx)       |
//
// One step: the tile's quads go from registers to a buffer; barrier; the next tile is loaded into registers; multiply. Two
// 16-byte loads from shared memory serve 16 FFMA. Floor: 2 m n k FLOPs over the rate of FFMA.
//
//     make simt-run OP=dense_matmul M=70 N=100 K=50 DTYPE=f32
#pragma once

#include "cuda/operand.cuh"

namespace nf4j::cuda {

constexpr int f32_threads = F32Tile::threads;
constexpr int f32_tile = F32Tile::m;
constexpr int f32_pitch = f32_tile + 4;  // keeps quads aligned and rows in different banks
constexpr int64_t f32_buffer = f32_depth * f32_pitch;
constexpr int64_t f32_shared_bytes = 2 * SharedArena::bytes_of(2 * f32_buffer * 4);

using F32Quad = Vector<float, 4>;

// This thread's quad of a tile of one factor: along k or along the outer index, as memory has it.
struct F32Place {
    int outer;
    int k;

    __device__ explicit F32Place(bool k_contiguous)
        : outer(k_contiguous ? thread_id() / 4 : thread_id() % 16 * 4),
          k(k_contiguous ? thread_id() % 4 * 4 : thread_id() / 16) {}
};

__device__ inline F32Quad load_tile(const Operand &x, int64_t outer0, int64_t k0, int64_t k_end) {
    const F32Place place(x.k_contiguous);
    const int64_t outer = outer0 + place.outer, k = k0 + place.k;
    const bool inside = outer < x.outer && k < k_end;
    if (!inside) return {};
    // One call: registers are short.
    return load_quad(x, x.k_contiguous ? outer : k, x.k_contiguous ? k : outer, x.k_contiguous ? k_end : x.outer);
}

__device__ inline void store_tile(Shared<float> tile, bool k_contiguous, const F32Quad &quad) {
    const F32Place place(k_contiguous);
    if (!k_contiguous) return tile.store(place.k * f32_pitch + place.outer, quad);
#pragma unroll
    for (int e = 0; e < 4; e++) tile.store((place.k + e) * f32_pitch + place.outer, quad.v[e]);
}

// sums += the segment's part of this block's tile.
__device__ inline void add_segment(const Segment &s, int64_t m0, int64_t n0, Shared<float> left, Shared<float> right,
                                   float (&sums)[4][4]) {
    const int ty = thread_id() / 16 * 4, tx = thread_id() % 16 * 4;
    const int64_t steps = ceil_div(s.k, f32_depth);
    F32Quad a = load_tile(s.left, m0, 0, s.k), b = load_tile(s.right, n0, 0, s.k);
    for (int64_t step = 0; step < steps; step++) {
        const int buffer = static_cast<int>(step % 2 * f32_buffer);
        store_tile(left.as<float>(buffer), s.left.k_contiguous, a);
        store_tile(right.as<float>(buffer), s.right.k_contiguous, b);
        sync_threads();  // the other buffer is free, too: everybody is past the step before
        a = load_tile(s.left, m0, (step + 1) * f32_depth, s.k);
        b = load_tile(s.right, n0, (step + 1) * f32_depth, s.k);
#pragma unroll
        for (int k = 0; k < f32_depth; k++) {
            const F32Quad x = left.load<4>(buffer + k * f32_pitch + ty), y = right.load<4>(buffer + k * f32_pitch + tx);
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] = multiply_add(x.v[i], y.v[j], sums[i][j]);
            }
        }
    }
    sync_threads();  // a next segment begins with buffer 0
}

static __global__ void __launch_bounds__(f32_threads) product_f32_kernel(const Product p) {
    SharedArena arena;
    const Shared<float> left = arena.take<float>(2 * f32_buffer), right = arena.take<float>(2 * f32_buffer);
    const int64_t tiles_m = ceil_div(p.m, f32_tile);
    const int64_t m0 = block_id() % tiles_m * f32_tile, n0 = block_id() / tiles_m * f32_tile;
    const int64_t i0 = m0 + thread_id() / 16 * 4, j0 = n0 + thread_id() % 16 * 4;
    float sums[4][4] = {};
    if (p.adapter.k > 0) {
        add_segment(p.adapter, m0, n0, left, right, sums);
        if (p.masked_adapter) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const KeptQuad kept(p.dropout, i0 + i, j0);
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] *= kept[j] ? p.dropout.scale : 0;
            }
        }
    }
    add_segment(p.main, m0, n0, left, right, sums);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i0 + i < p.m && j0 < p.n) store_results(p, i0 + i, j0, {{sums[i][0], sums[i][1], sums[i][2], sums[i][3]}});
    }
}

}  // namespace nf4j::cuda
