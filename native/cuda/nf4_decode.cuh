// From codes to weights on the way into tensor cores, round(code * scale) with all bits: what the kernels that decode in
// registers share.
#pragma once

#include "cuda/nf4_weight.cuh"

namespace nf4j::cuda {

// What decoding looks up in shared memory: both values of each byte in F32, so that two weights are one look-up, and the
// map of 8-bit scales. A pair of values stands there 16 times: whatever their bytes are, no two lanes of a half-warp meet in
// a bank. Rows are 256 bytes apart, twice what is in them, so that a byte of codes moves into its place in an address by one
// instruction.
class DecodeTables {
    static constexpr int copies = 16;
    static constexpr int row_bytes = 256;

public:
    static constexpr int64_t shared_bytes = SharedArena::bytes_of(256 * row_bytes) + SharedArena::bytes_of(256 * 4);

    __device__ explicit DecodeTables(SharedArena &arena)
        : pairs_(arena.take<float>(256 * row_bytes / 4)),
          nested_map_(arena.take<float>(256)),
          own_(static_cast<uint32_t>(lane_id() % copies * 8)) {}

    // By `threads` threads, before a barrier.
    __device__ void fill(const Nf4View &weight, int threads) const {
        for (int byte = thread_id(); byte < 256; byte += threads) {
            const Vector<float, 2> pair = {{weight.quant_map[byte >> 4], weight.quant_map[byte & 15]}};
#pragma unroll
            for (int copy = 0; copy < copies; copy++)
                pairs_.store(row_bytes / 4 * byte + (copy + lane_id()) % copies * 2, pair);
            nested_map_.store(byte, weight.absmax8 ? weight.nested_map[byte] : 0);
        }
    }

    // The weights of byte i of a word, the even column in the low half.
    __device__ uint32_t weights(uint32_t word, int i, float scale) const {
        const Vector<float, 2> pair = pairs_.template load_at<2>(second_byte(own_, word, i));
        return pack_bf16(pair.v[0] * scale, pair.v[1] * scale);
    }

    __device__ float nested(int code) const { return nested_map_.load(code); }

private:
    Shared<float> pairs_, nested_map_;
    uint32_t own_;
};

// The scales of two rows of a lane, 8 apart, in one column of tiles: asked for a step before they are used, so that
// nobody waits for memory. A tile's row has one, or with blocks of 32 two, as many as Halves allows.
template <int Halves>
class ScalesAhead {
public:
    __device__ explicit ScalesAhead(const Nf4View &weight)
        : weight_(weight), offset_(weight.absmax8 ? *weight.nested_offset : 0) {}

    // Where there are no weights the scales stay what they were.
    __device__ void fetch(int row, int tile_col) {
        const auto rows = static_cast<int>(weight_.rows), tile_cols = static_cast<int>(weight_.tile_cols);
        const int there = tile_col < tile_cols ? rows - row : 0;
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int half = 0; half < Halves; half++) {
                if (8 * i >= there || (half > 0 && weight_.block_shift > 5)) continue;
                const uint32_t block32 = (static_cast<uint32_t>(row + 8 * i) * tile_cols + tile_col) * 2 + half;
                next_[half][i].absmax = weight_.absmax[block32 >> (weight_.absmax_shift - 5)];
                if (weight_.absmax8) next_[half][i].code = weight_.absmax8[block32 >> (weight_.block_shift - 5)];
            }
        }
    }

    // The scale of row i, as Nf4View::scale has it.
    __device__ float get(const DecodeTables &tables, int i, int half = 0) const {
        const Parts &parts = next_[half][i];
        return weight_.absmax8 ? tables.nested(parts.code) * parts.absmax + offset_ : parts.absmax;
    }

private:
    // What there is of a scale while it is on its way.
    struct Parts {
        float absmax = 0;  // or, with double quantization, the absmax of the group
        int code = 0;
    };

    const Nf4View &weight_;
    float offset_;
    Parts next_[Halves][2];
};

}  // namespace nf4j::cuda
