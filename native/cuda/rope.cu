#include "cuda/rope.cuh"

#include "cuda/families.h"

namespace nf4j::cuda {

namespace {

int32_t rotate(nf4j_stream *stream, const char *name, const nf4j_tensor *x, const nf4j_tensor *table, float direction,
               const nf4j_tensor *y) {
    const int64_t half = table->cols / 2, heads = x->cols / table->cols;
    return with_type(x->dtype, [&](auto type) {
        using T = decltype(type);
        return for_each_element(
            stream, name, x->rows * heads, half,
            Rotation<T>{matrix_of<T>(x), matrix_of<float>(table), matrix_of<T>(y), heads, half, direction});
    });
}

}  // namespace

int32_t rope_table(nf4j_stream *stream, const nf4j_tensor *positions, const nf4j_tensor *inv_freq, float scale,
                   const nf4j_tensor *table) {
    const int64_t half = table->cols / 2;
    return for_each_element(
        stream, "rope_table", table->rows, half,
        RopeTable{static_cast<const int32_t *>(positions->data), static_cast<const float *>(inv_freq->data), scale,
                  matrix_of<float>(table), half});
}

int32_t rope_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *table, const nf4j_tensor *y) {
    return rotate(stream, "rope_forward", x, table, 1, y);
}

int32_t rope_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *table, const nf4j_tensor *dx) {
    return rotate(stream, "rope_backward", dy, table, -1, dx);
}

}  // namespace nf4j::cuda
