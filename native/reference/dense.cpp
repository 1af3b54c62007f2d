#include "reference/element.h"
#include "reference/reference.h"

namespace nf4j::reference {

int32_t dense_matmul(nf4j_stream *, const nf4j_matmul_options *options, const nf4j_tensor *a, const nf4j_tensor *b,
                     const nf4j_tensor *bias, const nf4j_tensor *c) {
    const bool transpose_a = options->transpose_a;
    const bool transpose_b = options->transpose_b;
    const int64_t k = transpose_a ? a->rows : a->cols;
    for (int64_t i = 0; i < c->rows; i++) {
        for (int64_t j = 0; j < c->cols; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) {
                const double b_lj = transpose_b ? load(b, j, l) : load(b, l, j);
                sum += (transpose_a ? load(a, l, i) : load(a, i, l)) * rounded(static_cast<float>(b_lj), a->dtype);
            }
            double result = options->alpha * sum + load_or_zero(bias, j);
            if (options->beta != 0) result += options->beta * load(c, i, j);
            store(c, i, j, result);
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
