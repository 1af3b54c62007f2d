#include "reference/element.h"
#include "reference/reference.h"

#include <cmath>

namespace nf4j::reference {

int32_t norm_forward(nf4j_stream *, const nf4j_tensor *x, const nf4j_tensor *weight, float eps, const nf4j_tensor *rstd,
                     const nf4j_tensor *y) {
    const int64_t n = x->cols;
    for (int64_t t = 0; t < x->rows; t++) {
        double squares = 0;
        for (int64_t j = 0; j < n; j++) squares += load(x, t, j) * load(x, t, j);
        const double r = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
        store(rstd, 0, t, r);
        for (int64_t j = 0; j < n; j++) store(y, t, j, load(x, t, j) * r * load(weight, 0, j));
    }
    return NF4J_OK;
}

int32_t norm_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *x, const nf4j_tensor *weight,
                      const nf4j_tensor *rstd, int32_t accumulate_dx, const nf4j_tensor *dweight,
                      const nf4j_tensor *dx) {
    const int64_t n = x->cols;
    double *sums = scratch(stream, n);
    if (!sums) return NF4J_OUT_OF_MEMORY;
    for (int64_t j = 0; j < n; j++) sums[j] = 0;
    for (int64_t t = 0; t < x->rows; t++) {
        const double r = load(rstd, 0, t);
        double mean = 0;  // of g * xh
        for (int64_t j = 0; j < n; j++) {
            const double xh = load(x, t, j) * r;
            mean += load(dy, t, j) * load(weight, 0, j) * xh;
            sums[j] += load(dy, t, j) * xh;
        }
        mean /= static_cast<double>(n);
        for (int64_t j = 0; j < n; j++) {
            const double g = load(dy, t, j) * load(weight, 0, j);
            const double gradient = r * (g - load(x, t, j) * r * mean);
            store(dx, t, j, accumulate_dx ? load(dx, t, j) + gradient : gradient);
        }
    }
    if (dweight) {
        for (int64_t j = 0; j < n; j++) store(dweight, 0, j, load(dweight, 0, j) + sums[j]);
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
