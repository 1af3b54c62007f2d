#include "core/nf4_quantize.h"

#include <cmath>
#include <cstring>

namespace nf4j {

namespace {

// 8 lanes, as torch's AVX2 sum has on every x86 machine, times 4 independent rows.
constexpr int64_t lanes = 8;
constexpr int64_t rows = 4;
constexpr int64_t columns = lanes * rows;

// Sums of each of the 32 columns of values [count, 32] in torch's cascade: every `step` rows a partial sum moves up a
// level.
void cascade_columns(const float *values, int64_t count, float *sums) {
    constexpr int levels = 4;
    int ceil_log2 = 0;
    while ((int64_t{1} << ceil_log2) < count) ceil_log2++;
    const int level_bits = std::max(4, ceil_log2 / levels);
    const int64_t step = int64_t{1} << level_bits;
    float partial[levels][columns] = {};
    for (int64_t i = 1; i <= count; i++, values += columns) {
        for (int64_t c = 0; c < columns; c++) partial[0][c] += values[c];
        int64_t steps = i;
        for (int level = 1; level < levels && steps % step == 0; level++, steps /= step) {
            for (int64_t c = 0; c < columns; c++) {
                partial[level][c] += partial[level - 1][c];
                partial[level - 1][c] = 0;
            }
        }
    }
    for (int64_t c = 0; c < columns; c++) {
        sums[c] = ((partial[0][c] + partial[1][c]) + partial[2][c]) + partial[3][c];
    }
}

// torch.mean of a vector on one thread. The offset of double quantization depends on this order of summation in its
// last bit.
float torch_mean(const float *values, int64_t n) {
    const int64_t vectors = n / lanes;
    const int64_t grouped = vectors / rows * columns;
    float sums[columns];
    cascade_columns(values, grouped / columns, sums);
    for (int64_t i = grouped; i < vectors * lanes; i++) sums[i % lanes] += values[i];
    float sum = 0;
    for (int64_t i = vectors * lanes; i < n; i++) sum += values[i];
    for (int64_t lane = 0; lane < lanes; lane++) {
        float column = sums[lane];
        for (int64_t row = 1; row < rows; row++) column += sums[row * lanes + lane];
        sum += column;
    }
    return sum / static_cast<float>(n);
}

// bitsandbytes looks codes up in a table of 65,536 entries over [-1, 1], so x is rounded to that grid first.
uint8_t encode_signed(float x) {
    const float index = std::floor((x + 1.0f) * 0.5f * 65535.0f + 0.5f);
    const float grid = index * 2.0f / 65535.0f - 1.0f;
    return dynamic_encode(dynamic_map_signed, grid);
}

}  // namespace

void quantize_scales(const float *absmax, const Nf4Blob &blob) {
    const float offset = torch_mean(absmax, blob.blocks);
    *blob.nested_offset = offset;
    std::memcpy(blob.nested_map, dynamic_map_signed.data(), sizeof dynamic_map_signed);
    for (int64_t nested = 0; nested < blob.nested_blocks; nested++) {
        const int64_t begin = nested * nested_block_size;
        const int64_t end = std::min(begin + nested_block_size, blob.blocks);
        float largest = 0;
        for (int64_t b = begin; b < end; b++) largest = std::max(largest, std::fabs(absmax[b] - offset));
        blob.nested_absmax[nested] = largest;
        const float reciprocal = 1.0f / largest;
        for (int64_t b = begin; b < end; b++) {
            const float x = std::clamp((absmax[b] - offset) * reciprocal, -1.0f, 1.0f);
            blob.absmax8[b] = largest > 0 ? encode_signed(x) : 0;
        }
    }
}

}  // namespace nf4j
