// Copy, fill, cast and add.
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

template <class Body>
void with_float_type(int32_t dtype, const Body &body) {
    if (dtype == NF4J_F16) {
        body(static_cast<f16 *>(nullptr));
    } else {
        with_type(dtype, body);
    }
}

template <typename T>
void fill(nf4j_stream *stream, T value, const nf4j_tensor *dst) {
    for_pieces(stream, dst->rows, dst->cols, [&](int64_t row, int64_t column, int64_t count) {
        T *p = at<T>(dst, row, column);
        for (int64_t j = 0; j < count; j++) p[j] = value;
    });
}

int64_t size_of(int32_t dtype) { return (dtype & 0xff) / 8; }

}  // namespace

int32_t memory_copy(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst) {
    const int64_t size = size_of(src->dtype);
    for_pieces(stream, src->rows, src->cols, [&](int64_t row, int64_t column, int64_t count) {
        std::memcpy(static_cast<char *>(dst->data) + (row * dst->ld + column) * size,
                    static_cast<const char *>(src->data) + (row * src->ld + column) * size,
                    static_cast<size_t>(count * size));
    });
    return NF4J_OK;
}

int32_t memory_fill(nf4j_stream *stream, double value, const nf4j_tensor *dst) {
    const double integer = __builtin_nearbyint(value);
    switch (dst->dtype) {
        case NF4J_F32: fill(stream, static_cast<float>(value), dst); break;
        case NF4J_BF16: fill(stream, to_bf16(sticky(value)), dst); break;
        case NF4J_F16: fill(stream, to_f16(sticky(value)), dst); break;
        case NF4J_I32: fill(stream, static_cast<int32_t>(integer), dst); break;
        case NF4J_I64: fill(stream, static_cast<int64_t>(integer), dst); break;
        default: fill(stream, static_cast<uint8_t>(integer), dst); break;
    }
    return NF4J_OK;
}

int32_t memory_cast(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst) {
    with_float_type(src->dtype, [&](auto *from) {
        with_float_type(dst->dtype, [&](auto *to) {
            for_pieces(stream, src->rows, src->cols, [&](int64_t row, int64_t column, int64_t count) {
                const auto *x = at<Pointee<decltype(from)>>(src, row, column);
                auto *y = at<Pointee<decltype(to)>>(dst, row, column);
                for_vectors(count, [&](int64_t j, int64_t n) { store(y + j, load(x + j, n), n); });
            });
        });
    });
    return NF4J_OK;
}

int32_t memory_add(nf4j_stream *stream, const nf4j_tensor *a, const nf4j_tensor *b, const nf4j_tensor *y) {
    with_type(y->dtype, [&](auto *type) {
        using T = Pointee<decltype(type)>;
        for_pieces(stream, y->rows, y->cols, [&](int64_t row, int64_t column, int64_t count) {
            const T *p = at<T>(a, row, column), *q = at<T>(b, row, column);
            T *r = at<T>(y, row, column);
            for_vectors(count, [&](int64_t j, int64_t n) { store(r + j, load(p + j, n) + load(q + j, n), n); });
        });
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
