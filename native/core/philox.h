// The dropout mask of LoRA: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), so
// that forward, backward and recomputation draw the same mask from (seed, row, column) alone, on any backend and in any
// order.
#pragma once

#include <array>
#include <cstdint>

namespace nf4j {

// The four words of counter (low, high), each a 64-bit half of the 128-bit counter, under key = seed.
static inline std::array<uint32_t, 4> philox4x32_10(uint64_t seed, uint64_t low, uint64_t high) {
    uint32_t key0 = static_cast<uint32_t>(seed);
    uint32_t key1 = static_cast<uint32_t>(seed >> 32);
    std::array<uint32_t, 4> c = {static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32),
                                 static_cast<uint32_t>(high), static_cast<uint32_t>(high >> 32)};
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = uint64_t{0xd2511f53u} * c[0];
        const uint64_t product1 = uint64_t{0xcd9e8d57u} * c[2];
        c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(product1),
             static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(product0)};
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    return c;
}

// The rule of nf4j_lora: element (i, j) takes word j % 4 of counter (j / 4, i) and is kept when the word >= p * 2^32.
struct Dropout {
    uint64_t seed;
    const uint64_t *device_seed;  // where the seed stands instead, or null
    uint64_t threshold;           // ceil(p * 2^32)
    float scale;                  // 1 / (1 - p), what kept elements are multiplied by

    [[gnu::always_inline]] Dropout(uint64_t seed_, float p, const uint64_t *device_seed_ = nullptr)
        : seed(seed_),
          device_seed(device_seed_),
          threshold(static_cast<uint64_t>(static_cast<double>(p) * 0x1p32)),
          scale(1.0f / (1.0f - p)) {
        if (static_cast<double>(threshold) < static_cast<double>(p) * 0x1p32) threshold++;
    }

    [[gnu::always_inline]] bool active() const { return threshold > 0; }
    // Where device memory is ordinary memory.
    [[gnu::always_inline]] uint64_t key() const { return device_seed ? *device_seed : seed; }
    [[gnu::always_inline]] bool keep(uint32_t word) const { return word >= threshold; }

    // scale for a kept element, 0 for a dropped one.
    [[gnu::always_inline]] float factor(int64_t i, int64_t j) const {
        if (!active()) return 1.0f;
        const auto words = philox4x32_10(key(), static_cast<uint64_t>(j) / 4, static_cast<uint64_t>(i));
        return keep(words[static_cast<uint64_t>(j) % 4]) ? scale : 0.0f;
    }
};

}  // namespace nf4j
