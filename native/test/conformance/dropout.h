// The mask of dropout as nf4j.h has it, written without the library's own Philox.
#pragma once

#include "number.h"

#include <array>

namespace conformance {

// Philox4x32-10 (Salmon et al., SC 2011): ten rounds of two multiplications, keys raised by the golden ratio and
// sqrt(3) - 1.
inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++, key0 += 0x9e3779b9, key1 += 0xbb67ae85) {
        const uint64_t a = uint64_t{counter[0]} * 0xd2511f53, b = uint64_t{counter[2]} * 0xcd9e8d57;
        const auto high = [](uint64_t product) { return static_cast<uint32_t>(product >> 32); };
        const auto low = [](uint64_t product) { return static_cast<uint32_t>(product); };
        counter = {high(b) ^ counter[1] ^ key0, low(b), high(a) ^ counter[3] ^ key1, low(a)};
    }
    return counter;
}

// What dropout p with this seed multiplies element (t, i) by.
inline Real dropout_factor(float p, uint64_t seed, int64_t t, int64_t i) {
    if (p == 0) return 1;
    const auto words = philox({static_cast<uint32_t>(i / 4), 0, static_cast<uint32_t>(t), 0},
                              static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    const bool keep = words[static_cast<size_t>(i % 4)] >= static_cast<double>(p) * 0x1p32;
    return keep ? Real(1) / (Real(1) - Real(p)) : Real(0);
}

}  // namespace conformance
