// What the host backends share of an nf4j_nf4_weight's data. Sections, each 64-byte aligned:
//
//   quant_map      16 F32
//   nested_map     256 F32           double quantization only, as are the next two
//   nested_offset  1 F32
//   nested_absmax  F32 for each 256 blocks
//   absmax         for each block F32, or U8 with double quantization; bitsandbytes' flat order
//   codes          the backend's own order
#pragma once

#include "core/nf4_tables.h"
#include "nf4j.h"

#include <cstdint>

namespace nf4j {

// Byte offsets of the sections; bytes is the size of all.
struct Nf4Layout {
    int64_t quant_map;
    int64_t nested_map;
    int64_t nested_offset;
    int64_t nested_absmax;
    int64_t absmax;
    int64_t codes;
    int64_t bytes;
    int64_t blocks;
    int64_t nested_blocks;

    [[gnu::always_inline]] Nf4Layout(int64_t rows, int64_t cols, int64_t block_size, bool double_quant,
                                     int64_t code_bytes) {
        blocks = (rows * cols + block_size - 1) / block_size;
        nested_blocks = double_quant ? (blocks + nested_block_size - 1) / nested_block_size : 0;
        bytes = 0;
        quant_map = section(16 * 4);
        nested_map = section(double_quant ? 256 * 4 : 0);
        nested_offset = section(double_quant ? 4 : 0);
        nested_absmax = section(nested_blocks * 4);
        absmax = section(double_quant ? blocks : blocks * 4);
        codes = section(code_bytes);
    }

private:
    [[gnu::always_inline]] int64_t section(int64_t size) {
        const int64_t offset = bytes;
        bytes += (size + 63) / 64 * 64;
        return offset;
    }
};

// Typed pointers into a weight's data; those of absent sections are null.
struct Nf4Blob {
    int64_t rows;
    int64_t cols;
    int64_t block_size;
    int64_t blocks;
    int64_t nested_blocks;
    float *quant_map;
    float *nested_map;
    float *nested_offset;
    float *nested_absmax;
    float *absmax32;
    uint8_t *absmax8;
    uint8_t *codes;

    [[gnu::always_inline]] Nf4Blob(const nf4j_nf4_weight &weight, int64_t code_bytes)
        : rows(weight.rows), cols(weight.cols), block_size(weight.block_size) {
        const bool nested = weight.double_quant != 0;
        const Nf4Layout layout(rows, cols, block_size, nested, code_bytes);
        const auto at = [&](int64_t offset) {
            return reinterpret_cast<float *>(static_cast<char *>(weight.data) + offset);
        };
        blocks = layout.blocks;
        nested_blocks = layout.nested_blocks;
        quant_map = at(layout.quant_map);
        nested_map = nested ? at(layout.nested_map) : nullptr;
        nested_offset = nested ? at(layout.nested_offset) : nullptr;
        nested_absmax = nested ? at(layout.nested_absmax) : nullptr;
        absmax32 = nested ? nullptr : at(layout.absmax);
        absmax8 = nested ? reinterpret_cast<uint8_t *>(at(layout.absmax)) : nullptr;
        codes = reinterpret_cast<uint8_t *>(at(layout.codes));
    }

    // The scale of block b: product, then sum, each rounded to F32, as bitsandbytes reads it.
    [[gnu::always_inline]] float absmax(int64_t b) const {
        if (absmax32) return absmax32[b];
        return nested_map[absmax8[b]] * nested_absmax[b / nested_block_size] + *nested_offset;
    }
};

}  // namespace nf4j
