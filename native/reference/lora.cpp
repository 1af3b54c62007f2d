#include "core/philox.h"
#include "reference/reference.h"
#include "reference/weight.h"

#include <cmath>

namespace nf4j::reference {

namespace {

double scale_of(const nf4j_lora *lora) {
    const auto rank = static_cast<double>(lora->b->cols);
    return lora->alpha / (lora->rank_stabilized ? std::sqrt(rank) : rank);
}

}  // namespace

int32_t lora_project(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_lora *const *loras, int64_t count,
                     const nf4j_tensor *const *us) {
    double *row = scratch(stream, x->cols);
    if (!row) return NF4J_OUT_OF_MEMORY;
    for (int64_t k = 0; k < count; k++) {
        const nf4j_tensor *a = loras[k]->a;
        const Dropout dropout(loras[k]->seed, loras[k]->dropout, loras[k]->device_seed);
        for (int64_t t = 0; t < x->rows; t++) {
            for (int64_t i = 0; i < x->cols; i++) row[i] = load(x, t, i) * dropout.factor(t, i);
            for (int64_t r = 0; r < a->rows; r++) {
                double sum = 0;
                for (int64_t i = 0; i < x->cols; i++) sum += row[i] * load(a, r, i);
                store(us[k], t, r, sum);
            }
        }
    }
    return NF4J_OK;
}

int32_t lora_apply(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                   const nf4j_tensor *u, const nf4j_tensor *y) {
    const Weight w(base->dense, base->nf4, x->dtype);
    const double s = scale_of(lora);
    double *row = scratch(stream, w.in);
    if (!row) return NF4J_OUT_OF_MEMORY;
    for (int64_t o = 0; o < w.out; o++) {
        w.row(o, row);
        for (int64_t t = 0; t < x->rows; t++) {
            double sum = load_or_zero(base->bias, o);
            for (int64_t i = 0; i < w.in; i++) sum += load(x, t, i) * row[i];
            for (int64_t r = 0; r < u->cols; r++) sum += s * load(u, t, r) * load(lora->b, o, r);
            store(y, t, o, sum);
        }
    }
    return NF4J_OK;
}

int32_t lora_backward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *dy, const nf4j_tensor *u,
                      const nf4j_linear *base, const nf4j_lora *lora, int32_t accumulate_dx, const nf4j_tensor *da,
                      const nf4j_tensor *db, const nf4j_tensor *dx) {
    const Weight w(base->dense, base->nf4, x->dtype);
    const Dropout dropout(lora->seed, lora->dropout, lora->device_seed);
    const double s = scale_of(lora);
    const int64_t m = x->rows;
    const int64_t rank = lora->a->rows;
    double *du = scratch(stream, m * rank + w.out + m);
    if (!du) return NF4J_OUT_OF_MEMORY;
    double *column = du + m * rank;    // of W
    double *factors = column + w.out;  // of dropout, one column

    for (int64_t t = 0; t < m; t++) {
        for (int64_t r = 0; r < rank; r++) {
            double sum = 0;
            for (int64_t o = 0; o < w.out; o++) sum += load(dy, t, o) * load(lora->b, o, r);
            du[t * rank + r] = s * sum;
        }
    }
    for (int64_t o = 0; o < w.out; o++) {
        for (int64_t r = 0; r < rank; r++) {
            double sum = 0;
            for (int64_t t = 0; t < m; t++) sum += load(dy, t, o) * load(u, t, r);
            store(db, o, r, load(db, o, r) + s * sum);
        }
    }
    for (int64_t i = 0; i < w.in; i++) {
        for (int64_t t = 0; t < m; t++) factors[t] = dropout.factor(t, i);
        for (int64_t r = 0; r < rank; r++) {
            double sum = 0;
            for (int64_t t = 0; t < m; t++) sum += du[t * rank + r] * (load(x, t, i) * factors[t]);
            store(da, r, i, load(da, r, i) + sum);
        }
        if (!dx) continue;
        w.column(i, column);
        for (int64_t t = 0; t < m; t++) {
            double sum = 0;
            for (int64_t r = 0; r < rank; r++) sum += du[t * rank + r] * load(lora->a, r, i);
            sum *= factors[t];
            for (int64_t o = 0; o < w.out; o++) sum += load(dy, t, o) * column[o];
            store(dx, t, i, accumulate_dx ? load(dx, t, i) + sum : sum);
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
