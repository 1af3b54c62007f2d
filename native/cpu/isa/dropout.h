// core/philox.h for many columns at once: the counters of 64 columns go through the rounds side by side.
#pragma once

#include "core/philox.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

// factors[j] = dropout.factor(row, first + j) for j < count; first is a multiple of 4. Writes up to the next multiple
// of 64.
inline void dropout_factors(const Dropout &dropout, int64_t row, int64_t first, int64_t count, float *factors) {
    constexpr int width = 16;
    const uint64_t seed = dropout.key();
    const uint32_t threshold = static_cast<uint32_t>(dropout.threshold);  // p < 1, so it fits
    for (int64_t j = 0; j < count; j += 4 * width, factors += 4 * width) {
        uint32_t c0[width], c1[width], c2[width], c3[width];
        for (int i = 0; i < width; i++) {
            const uint64_t low = static_cast<uint64_t>((first + j) / 4 + i);
            c0[i] = static_cast<uint32_t>(low);
            c1[i] = static_cast<uint32_t>(low >> 32);
            c2[i] = static_cast<uint32_t>(row);
            c3[i] = static_cast<uint32_t>(static_cast<uint64_t>(row) >> 32);
        }
        uint32_t key0 = static_cast<uint32_t>(seed);
        uint32_t key1 = static_cast<uint32_t>(seed >> 32);
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < width; i++) {
                const uint64_t product0 = uint64_t{0xd2511f53u} * c0[i];
                const uint64_t product1 = uint64_t{0xcd9e8d57u} * c2[i];
                c0[i] = static_cast<uint32_t>(product1 >> 32) ^ c1[i] ^ key0;
                c2[i] = static_cast<uint32_t>(product0 >> 32) ^ c3[i] ^ key1;
                c1[i] = static_cast<uint32_t>(product1);
                c3[i] = static_cast<uint32_t>(product0);
            }
            key0 += 0x9e3779b9u;
            key1 += 0xbb67ae85u;
        }
        for (int i = 0; i < width; i++) {
            factors[4 * i] = c0[i] >= threshold ? dropout.scale : 0.0f;
            factors[4 * i + 1] = c1[i] >= threshold ? dropout.scale : 0.0f;
            factors[4 * i + 2] = c2[i] >= threshold ? dropout.scale : 0.0f;
            factors[4 * i + 3] = c3[i] >= threshold ? dropout.scale : 0.0f;
        }
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
