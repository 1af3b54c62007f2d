#include "reference/element.h"
#include "reference/reference.h"

#include <cmath>
#include <cstring>

namespace nf4j::reference {

int32_t memory_copy(nf4j_stream *, const nf4j_tensor *src, const nf4j_tensor *dst) {
    const int64_t size = dtype_size(src->dtype);
    for (int64_t i = 0; i < src->rows && src->cols > 0; i++) {
        std::memcpy(static_cast<char *>(dst->data) + i * dst->ld * size,
                    static_cast<const char *>(src->data) + i * src->ld * size, static_cast<size_t>(src->cols * size));
    }
    return NF4J_OK;
}

int32_t memory_fill(nf4j_stream *, double value, const nf4j_tensor *dst) {
    const bool integer = dst->dtype == NF4J_I32 || dst->dtype == NF4J_I64 || dst->dtype == NF4J_U8;
    const double element = integer ? std::nearbyint(value) : value;
    for (int64_t i = 0; i < dst->rows; i++) {
        for (int64_t j = 0; j < dst->cols; j++) store(dst, i, j, element);
    }
    return NF4J_OK;
}

int32_t memory_cast(nf4j_stream *, const nf4j_tensor *src, const nf4j_tensor *dst) {
    for (int64_t i = 0; i < src->rows; i++) {
        for (int64_t j = 0; j < src->cols; j++) store(dst, i, j, load(src, i, j));
    }
    return NF4J_OK;
}

int32_t memory_add(nf4j_stream *, const nf4j_tensor *a, const nf4j_tensor *b, const nf4j_tensor *y) {
    for (int64_t i = 0; i < y->rows; i++) {
        for (int64_t j = 0; j < y->cols; j++) store(y, i, j, load(a, i, j) + load(b, i, j));
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
