// Rotary position embedding: halves of each head are rotated.
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

// sign = 1 rotates by the angle, -1 by its negative.
void rotate(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *table, float sign, const nf4j_tensor *y) {
    const int64_t head_dim = table->cols, half = head_dim / 2;
    with_type(x->dtype, [&](auto *type) {
        using T = Pointee<decltype(type)>;
        for_rows(stream, x->rows, x->cols, [&](int64_t row) {
            const float *cos = at<float>(table, row), *sin = cos + half;
            for (int64_t head = 0; head < x->cols; head += head_dim) {
                const T *in = at<T>(x, row, head);
                T *out = at<T>(y, row, head);
                for_vectors(half, [&](int64_t j, int64_t n) {
                    const Vec a = load(in + j, n), b = load(in + half + j, n);
                    const Vec c = load(cos + j, n), s = load(sin + j, n) * broadcast(sign);
                    store(out + j, a * c - b * s, n);
                    store(out + half + j, b * c + a * s, n);
                });
            }
        });
    });
}

}  // namespace

int32_t rope_table(nf4j_stream *stream, const nf4j_tensor *positions, const nf4j_tensor *inv_freq, float scale,
                   const nf4j_tensor *table) {
    const int64_t half = table->cols / 2;
    const int32_t *position = at<int32_t>(positions, 0);
    const float *frequency = at<float>(inv_freq, 0);
    for_rows(stream, table->rows, table->cols * 16, [&](int64_t row) {
        float *cos = at<float>(table, row), *sin = cos + half;
        for (int64_t j = 0; j < half; j++) {
            const float angle = static_cast<float>(position[row]) * frequency[j];
            cos[j] = scale * __builtin_cosf(angle);
            sin[j] = scale * __builtin_sinf(angle);
        }
    });
    return NF4J_OK;
}

int32_t rope_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *table, const nf4j_tensor *y) {
    rotate(stream, x, table, 1, y);
    return NF4J_OK;
}

int32_t rope_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *table, const nf4j_tensor *dx) {
    rotate(stream, dy, table, -1, dx);
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
