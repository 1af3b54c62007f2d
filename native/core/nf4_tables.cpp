#include "core/nf4_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nf4j {

// Quantiles of a normal distribution, normalised to [-1, 1]. They are written out because the published formula does
// not reproduce their last bits.
constexpr std::array<float, 16> code = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

constexpr std::array<float, 15> midpoints() {
    std::array<float, 15> result{};
    for (int i = 0; i < 15; i++) result[i] = (code[i] + code[i + 1]) / 2;
    return result;
}

// Element i of `count` evenly spaced values from 0.1 to 1, as torch.linspace rounds them: from the nearer end, with a
// fused multiply-add (the product of two floats is exact in double).
constexpr float spaced(int i, int count) {
    const double step = (1.0f - 0.1f) / static_cast<float>(count - 1);
    return static_cast<float>(i < count / 2 ? 0.1f + step * i : 1.0f - step * (count - 1 - i));
}

// Dettmers et al., "8-bit optimizers via block-wise quantization" (2021): seven decades, each with twice the values of
// the one below, which are the means of neighbours on an even grid; and 0 and 1. Ascending.
constexpr std::array<float, 256> dynamic_map(bool with_sign) {
    constexpr float decades[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
    std::array<float, 256> map{};
    int zero = with_sign ? 127 : 0;
    int n = zero + 1;
    for (int decade = 0; decade < 7; decade++) {
        const int values = 1 << (with_sign ? decade : decade + 1);
        for (int i = 0; i < values; i++) {
            const float value = decades[decade] * ((spaced(i, values + 1) + spaced(i + 1, values + 1)) / 2);
            if (with_sign) map[2 * zero - n] = -value;
            map[n++] = value;
        }
    }
    map[n] = 1.0f;
    return map;
}

constexpr std::array<float, 256> signed_map = dynamic_map(true);
constexpr std::array<float, 256> unsigned_map = dynamic_map(false);

const std::array<float, 16> nf4_code = code;
const std::array<float, 15> nf4_threshold = midpoints();
const std::array<float, 256> dynamic_map_signed = signed_map;
const std::array<float, 256> dynamic_map_unsigned = unsigned_map;

uint8_t dynamic_encode(const std::array<float, 256> &map, float x) {
    const auto above = std::lower_bound(map.begin(), map.end(), x);
    if (above == map.begin()) return 0;
    if (above == map.end()) return 255;
    const auto high = static_cast<uint8_t>(above - map.begin());
    const auto low = static_cast<uint8_t>(high - 1);
    const float to_low = x - map[low];
    const float to_high = map[high] - x;
    if (to_low == to_high) return high % 2 == 0 ? high : low;
    return to_low < to_high ? low : high;
}

void dynamic_quantize(const std::array<float, 256> &map, const float *values, int64_t n, uint8_t *codes,
                      float *absmax) {
    float largest = 0;
    for (int64_t i = 0; i < n; i++) largest = std::max(largest, std::fabs(values[i]));
    const bool zero = largest < std::numeric_limits<float>::min();
    const float reciprocal = zero ? 0 : 1 / largest;
    *absmax = zero ? 0 : largest;
    for (int64_t i = 0; i < n; i++) codes[i] = dynamic_encode(map, values[i] * reciprocal);
}

}  // namespace nf4j
