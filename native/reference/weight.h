// A frozen weight matrix [out, in], dense or NF4, whose elements are rounded to the activations' type.
#pragma once

#include "core/nf4_blob.h"
#include "reference/element.h"

#include <cstdint>

namespace nf4j::reference {

// Codes are kept in bitsandbytes' order: element 2i in the high nibble of byte i.
inline int64_t code_bytes(int64_t rows, int64_t cols) { return (rows * cols + 1) / 2; }

inline Nf4Blob blob_of(const nf4j_nf4_weight &weight) { return {weight, code_bytes(weight.rows, weight.cols)}; }

// Element e of the flattened matrix.
inline float dequantized(const Nf4Blob &blob, int64_t e) {
    const uint8_t pair = blob.codes[e / 2];
    return blob.quant_map[e % 2 == 0 ? pair >> 4 : pair & 15] * blob.absmax(e / blob.block_size);
}

class Weight {
public:
    Weight(const nf4j_tensor *dense, const nf4j_nf4_weight *nf4, int32_t dtype)
        : out(dense ? dense->rows : nf4->rows),
          in(dense ? dense->cols : nf4->cols),
          dense_(dense),
          nf4_(nf4),
          dtype_(dtype) {}

    void row(int64_t o, double *values) const {
        for (int64_t i = 0; i < in; i++) values[i] = at(o, i);
    }

    void column(int64_t i, double *values) const {
        for (int64_t o = 0; o < out; o++) values[o] = at(o, i);
    }

    const int64_t out;
    const int64_t in;

private:
    double at(int64_t o, int64_t i) const {
        const float value = dense_ ? static_cast<float>(load(dense_, o, i)) : dequantized(blob_of(*nf4_), o * in + i);
        return rounded(value, dtype_);
    }

    const nf4j_tensor *dense_;
    const nf4j_nf4_weight *nf4_;
    int32_t dtype_;
};

}  // namespace nf4j::reference
