#include "cuda/memory.cuh"

#include "cuda/device.h"
#include "cuda/families.h"

#include <cmath>

namespace nf4j::cuda {

namespace {

// F32, F16 or BF16.
template <class Body>
int32_t with_float_type(int32_t dtype, const Body &body) {
    return dtype == NF4J_F16 ? body(f16{}) : with_type(dtype, body);
}

// The float on whose way to a narrower type nothing is rounded twice: inexact values get an odd last bit (rounding to
// odd).
float sticky(double value) {
    const auto nearest = static_cast<float>(value);
    if (static_cast<double>(nearest) == value || std::isnan(nearest)) return nearest;
    const bool away = (static_cast<double>(nearest) > value) == (value > 0);
    return float_of((bits_of(nearest) - (away ? 1 : 0)) | 1);
}

template <typename T>
int32_t fill(nf4j_stream *stream, T value, const nf4j_tensor *dst) {
    return for_each_element(stream, "memory_fill", dst->rows, dst->cols, Fill<T>{matrix_of<T>(dst), value});
}

// Of fewer bytes the runtime's copy costs as little, and needs no questions about them.
constexpr int64_t least_bytes_for_kernel = 64 << 10;

// Whether a copy is one stretch of the device's own memory. The runtime copies that, too, but with two thirds of the
// bandwidth: 1 GiB in a graph, on an H200.
bool is_for_kernel(const nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst, int64_t bytes) {
    const auto at_multiple_of_16 = [](const nf4j_tensor *x) { return reinterpret_cast<uintptr_t>(x->data) % 16 == 0; };
    return bytes >= least_bytes_for_kernel && (src->rows == 1 || (src->ld == src->cols && dst->ld == dst->cols)) &&
           at_multiple_of_16(src) && at_multiple_of_16(dst) && is_device_memory(stream, src->data) &&
           is_device_memory(stream, dst->data);
}

}  // namespace

int32_t memory_copy(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst) {
    const int64_t size = dtype_size(src->dtype), bytes = src->rows * src->cols * size;
    if (is_for_kernel(stream, src, dst, bytes)) {
        return launch(stream, "memory_copy", ceil_div(bytes, copy_block_bytes), copy_threads, 0, copy_kernel,
                      static_cast<const uint8_t *>(src->data), static_cast<uint8_t *>(dst->data), bytes);
    }
    return copy(stream, dst->data, dst->ld * size, src->data, src->ld * size, src->cols * size, src->rows);
}

int32_t memory_fill(nf4j_stream *stream, double value, const nf4j_tensor *dst) {
    switch (dst->dtype) {
        case NF4J_F32: return fill(stream, static_cast<float>(value), dst);
        case NF4J_BF16: return fill(stream, to_bf16(sticky(value)), dst);
        case NF4J_F16: return fill(stream, to_f16(sticky(value)), dst);
        case NF4J_I32: return fill(stream, static_cast<int32_t>(std::nearbyint(value)), dst);
        case NF4J_I64: return fill(stream, static_cast<int64_t>(std::nearbyint(value)), dst);
        default: return fill(stream, static_cast<uint8_t>(std::nearbyint(value)), dst);
    }
}

int32_t memory_cast(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst) {
    return with_float_type(src->dtype, [&](auto from) {
        return with_float_type(dst->dtype, [&](auto to) {
            using From = decltype(from);
            using To = decltype(to);
            return for_each_element(stream, "memory_cast", dst->rows, dst->cols,
                                    Cast<From, To>{matrix_of<From>(src), matrix_of<To>(dst)});
        });
    });
}

int32_t memory_add(nf4j_stream *stream, const nf4j_tensor *a, const nf4j_tensor *b, const nf4j_tensor *y) {
    return with_type(y->dtype, [&](auto type) {
        using T = decltype(type);
        return for_each_element(stream, "memory_add", y->rows, y->cols,
                                Add<T>{matrix_of<T>(a), matrix_of<T>(b), matrix_of<T>(y)});
    });
}

}  // namespace nf4j::cuda
