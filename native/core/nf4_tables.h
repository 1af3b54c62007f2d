// The tables of NF4 and of the 8-bit dynamic quantization, bit for bit those of bitsandbytes.
#pragma once

#include <array>
#include <cstdint>

namespace nf4j {

// The value of each 4-bit code, ascending.
extern const std::array<float, 16> nf4_code;
// nf4_threshold[i] is the midpoint of codes i and i + 1; the code of x is the number of thresholds strictly below x.
extern const std::array<float, 15> nf4_threshold;

// The values of the 8-bit codes, ascending: for double quantization and AdamW's m, and for AdamW's v.
extern const std::array<float, 256> dynamic_map_signed;
extern const std::array<float, 256> dynamic_map_unsigned;

// Blocks of scales that share a scale of their own under double quantization.
constexpr int64_t nested_block_size = 256;

static inline uint8_t nf4_encode(float x) {
    uint8_t code = 0;
    for (float threshold : nf4_threshold) code += x > threshold;
    return code;
}

// The code of the map's entry nearest to x; of two equally near ones the even code.
uint8_t dynamic_encode(const std::array<float, 256> &map, float x);

// One block of n values in 8 bits: value = map[code] * absmax. Values that F32 has no normal numbers for are 0.
void dynamic_quantize(const std::array<float, 256> &map, const float *values, int64_t n, uint8_t *codes, float *absmax);

}  // namespace nf4j
