// Rung 5: the weights stay 4 bits in memory and on their way; each warp decodes its 16 rows of a step between the copy and
// the multiplication.
//
// Lane l of a warp owns 16 bytes of a tile of 16 x 64 weights (cuda/nf4_weight.cuh has the picture): one copy for a lane and a
// step. It looks both halves of each byte up in a table of 16 values, which stands in shared memory once for each lane,
// so that no two lanes meet in a bank; multiplies by the scale of the row's block of 64; rounds to BF16, as "dequantize, then
// multiply" would; and stores into the layout that ldmatrix reads. W costs a quarter of the bytes, and no pass of its own.
#pragma once

#include "ladder/rung4_tensor.cuh"

namespace nf4j::ladder {

__global__ void nf4_kernel(const Matrices p) {
    constexpr int code_words = tile_elements / 8;
    SharedArena arena;
    const Shared<bf16> x = arena.take<bf16>(stages * tile_elements);
    const Shared<bf16> w =
        arena.take<bf16>(2 * tile_elements);  // decoded: the step's, and the one before, still being read
    const Shared<uint32_t> codes = arena.take<uint32_t>(stages * code_words);
    const Shared<float> table = arena.take<float>(16 * warp_size);
    const Corner at = corner(p);
    const int64_t steps = p.k / depth, tile_row = at.col / nf4_tile_rows + warp_id();
    const auto issue = [&](int64_t step) {
        if (step < steps) {
            const int stage = static_cast<int>(step % stages);
            copy_tile(x, stage * tile_elements, p.x, p.k, at.row, step * depth);
            copy_async_16(codes.address(stage * code_words + thread_id() * 4),
                          p.nf4.tile(tile_row, step) + lane_id() * 16, 16);
        }
        commit_copies();
    };
    const auto decode = [&](int64_t step) {
        const int to = static_cast<int>(step % 2) * tile_elements;
        const Vector<uint32_t, 4> words = codes.load<4>(static_cast<int>(step % stages) * code_words + thread_id() * 4);
        for (int half = 0; half < 2; half++) {
            const int row = lane_id() / 4 + 8 * half;
            const float scale = p.nf4.scale(tile_row * nf4_tile_rows + row, step * depth);
            for (int piece = 0; piece < 8; piece++) {
                const uint32_t pair = words.v[piece / 2] >> (16 * (piece % 2) + 8 * half);
                const float even = table.load(static_cast<int>(pair >> 4 & 15) * warp_size + lane_id());
                const float odd = table.load(static_cast<int>(pair & 15) * warp_size + lane_id());
                w.as<uint32_t>(to + swizzled<depth>(warp_id() * nf4_tile_rows + row, piece * 8 + lane_id() % 4 * 2))
                    .store(0, pack_bf16(even * scale, odd * scale));
            }
        }
    };
    WarpTile warp;
    for (int i = thread_id(); i < 16 * warp_size; i += tensor_threads) table.store(i, p.nf4.quant_map[i / warp_size]);
    for (int step = 0; step < stages - 1; step++) issue(step);
    sync_threads();  // the table
    for (int64_t step = 0; step < steps; step++) {
        wait_copies<stages - 2>();
        decode(step);  // a warp decodes what its own lanes copied
        sync_threads();
        issue(step + stages - 1);
        warp.multiply(x, static_cast<int>(step % stages) * tile_elements, w,
                      static_cast<int>(step % 2) * tile_elements);
    }
    warp.store(p, at);
}

inline int32_t nf4(nf4j_stream *stream, const Matrices &p) {
    const int64_t bytes = SharedArena::bytes_of(stages * tile_elements * 2) +
                          SharedArena::bytes_of(2 * tile_elements * 2) +
                          SharedArena::bytes_of(stages * tile_elements / 2) + SharedArena::bytes_of(16 * warp_size * 4);
    return launch(stream, "rung 5, 4-bit weights", blocks(p), tensor_threads, bytes, nf4_kernel, p);
}

}  // namespace nf4j::ladder
