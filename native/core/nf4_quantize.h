// The arithmetic of quantization that backends share, bit for bit that of bitsandbytes 0.50 on the CPU.
#pragma once

#include "core/nf4_blob.h"
#include "core/nf4_tables.h"

#include <algorithm>
#include <cstdint>

namespace nf4j {

// The scale of one block, from the largest magnitude in it. Whole blocks are multiplied by its reciprocal; a last block
// that is shorter is divided by it, and keeps a scale of at least 1e-38.
class Nf4Scale {
public:
    [[gnu::always_inline]] Nf4Scale(float largest, bool whole)
        : absmax(whole             ? largest
                 : largest < least ? least
                                   : largest),
          whole_(whole),
          reciprocal_(1.0f / (largest < least ? least : largest)) {}

    [[gnu::always_inline]] uint8_t encode(float x) const { return nf4_encode(whole_ ? x * reciprocal_ : x / absmax); }

    float absmax;  // what is stored

private:
    static constexpr float least = 1e-38f;
    bool whole_;
    float reciprocal_;
};

// Double quantization: fills absmax8 and the nested sections of the blob from the scales of its blocks.
void quantize_scales(const float *absmax, const Nf4Blob &blob);

}  // namespace nf4j
