// Elements in memory become the words of a panel.
#pragma once

#include "cpu/isa/gemm.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

template <Words words>
constexpr int64_t elements_per_word = words == Words::bf16_pairs ? 2 : 1;

// `lanes` words of elements that follow one another along k; the first `n` elements exist.
template <class T, Words words>
inline Vec load_words(const T *p, int64_t n) {
    if constexpr (words == Words::bf16_pairs) {
        T padded[2 * lanes] = {};
        if (n < 2 * lanes) {
            std::memcpy(padded, p, static_cast<size_t>(n) * sizeof(T));
            p = padded;
        }
        if constexpr (sizeof(T) == 4) return neighbours(load(p), load(p + lanes));
        Vec pairs;  // BF16 in memory is in pairs already
        std::memcpy(&pairs, p, sizeof pairs);
        return pairs;
    } else {
        const Vec values = n < lanes ? load(p, n) : load(p);
        return words == Words::f32_of_bf16 && sizeof(T) == 4 ? rounded_to_bf16(values) : values;
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
