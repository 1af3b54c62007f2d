// What nf4j_explain says of a call: which kernel it takes, and the time that the device cannot beat.
#pragma once

#include "cuda/device.h"

#include <cstddef>

namespace nf4j::cuda {

// A text that grows, and is cut where its capacity ends.
class Text {
public:
    Text(char *text, int64_t capacity) : text_(text), left_(static_cast<size_t>(capacity)) {}

    void add(const char *format, ...) __attribute__((format(printf, 2, 3)));
    // ", at least T us on DEVICE: what limits it", if the device's rates are known. bf16: on tensor cores.
    void add_floor(const Traits &device, double bytes, double operations, bool bf16);

private:
    char *text_;
    size_t left_;
};

// explain.cu
int32_t explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype, char *text,
                int64_t capacity);

// attention.cu: of one causal sequence of m tokens.
int32_t explain_attention(int64_t m, int64_t heads, int64_t head_dim, int32_t dtype, const Traits &device, Text &text);

}  // namespace nf4j::cuda
