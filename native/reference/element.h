// Elements of tensors as doubles, and scratch memory.
#pragma once

#include "core/backend.h"
#include "core/dtype.h"

#include <cstdint>

namespace nf4j::reference {

inline double load(const nf4j_tensor *x, int64_t i, int64_t j) {
    const int64_t at = i * x->ld + j;
    switch (x->dtype) {
        case NF4J_F32: return static_cast<const float *>(x->data)[at];
        case NF4J_BF16: return to_f32(static_cast<const bf16 *>(x->data)[at]);
        case NF4J_F16: return to_f32(static_cast<const f16 *>(x->data)[at]);
        case NF4J_I32: return static_cast<const int32_t *>(x->data)[at];
        case NF4J_I64: return static_cast<double>(static_cast<const int64_t *>(x->data)[at]);
        default: return static_cast<const uint8_t *>(x->data)[at];
    }
}

inline void store(const nf4j_tensor *x, int64_t i, int64_t j, double value) {
    const int64_t at = i * x->ld + j;
    switch (x->dtype) {
        case NF4J_F32: static_cast<float *>(x->data)[at] = static_cast<float>(value); break;
        case NF4J_BF16: static_cast<bf16 *>(x->data)[at] = to_bf16(sticky(value)); break;
        case NF4J_F16: static_cast<f16 *>(x->data)[at] = to_f16(sticky(value)); break;
        case NF4J_I32: static_cast<int32_t *>(x->data)[at] = static_cast<int32_t>(value); break;
        case NF4J_I64: static_cast<int64_t *>(x->data)[at] = static_cast<int64_t>(value); break;
        default: static_cast<uint8_t *>(x->data)[at] = static_cast<uint8_t>(value); break;
    }
}

// F32 rounded to the type, as a weight is before a product with activations of it.
inline double rounded(float value, int32_t dtype) { return dtype == NF4J_BF16 ? to_f32(to_bf16(value)) : value; }

// An element of an optional vector; 0 without one.
inline double load_or_zero(const nf4j_tensor *vector, int64_t j) { return vector ? load(vector, 0, j) : 0; }

// The workspace as doubles; null, with the last error set, when it is smaller than `count` of them.
inline double *scratch(const nf4j_stream *stream, int64_t count) {
    const int64_t capacity = stream->workspace_bytes / static_cast<int64_t>(sizeof(double));
    if (count <= capacity) return reinterpret_cast<double *>(stream->workspace);
    fail(NF4J_OUT_OF_MEMORY, "the stream's workspace of %lld bytes is too small, this call needs %lld",
         static_cast<long long>(stream->workspace_bytes), static_cast<long long>(count * 8));
    return nullptr;
}

}  // namespace nf4j::reference
