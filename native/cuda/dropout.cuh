// The dropout mask of nf4j_lora on the device: the words of core/philox.h.
#pragma once

#include "core/philox.h"
#include "cuda/global.cuh"

namespace nf4j::cuda {

// The four words of counter (low, high) under key = seed.
__device__ inline Vector<uint32_t, 4> philox(uint64_t seed, uint64_t low, uint64_t high) {
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    Vector<uint32_t, 4> c = {{static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32), static_cast<uint32_t>(high),
                              static_cast<uint32_t>(high >> 32)}};
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint32_t high0 = multiply_high(0xd2511f53u, c.v[0]), high1 = multiply_high(0xcd9e8d57u, c.v[2]);
        c = {{high1 ^ c.v[1] ^ key0, 0xcd9e8d57u * c.v[2], high0 ^ c.v[3] ^ key1, 0xd2511f53u * c.v[0]}};
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    return c;
}

// Which of the elements (i, j) ... (i, j | 3) are kept: four neighbours share a counter.
class KeptQuad {
public:
    __device__ KeptQuad(const Dropout &dropout, int64_t i, int64_t j)
        : words_(philox(dropout.device_seed ? *dropout.device_seed : dropout.seed, static_cast<uint64_t>(j) / 4,
                        static_cast<uint64_t>(i))),
          threshold_(dropout.threshold) {}

    __device__ bool operator[](int64_t j) const {
        const auto at = static_cast<int>(j % 4);
        const uint32_t word = at == 0 ? words_.v[0] : at == 1 ? words_.v[1] : at == 2 ? words_.v[2] : words_.v[3];
        return word >= threshold_;
    }

private:
    Vector<uint32_t, 4> words_;
    uint64_t threshold_;
};

}  // namespace nf4j::cuda
