// RMSNorm.
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

// Sum of term(j, n) over the columns: four partial vectors, in an order that depends on the length alone.
template <class Term>
float sum_columns(int64_t columns, const Term &term) {
    Vec partial[4] = {zero(), zero(), zero(), zero()};
    int64_t next = 0;
    for_vectors(columns, [&](int64_t j, int64_t n) {
        partial[next & 3] = partial[next & 3] + term(j, n);
        next++;
    });
    return reduce_add((partial[0] + partial[1]) + (partial[2] + partial[3]));
}

}  // namespace

int32_t norm_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *weight, float eps,
                     const nf4j_tensor *rstd, const nf4j_tensor *y) {
    const int64_t columns = x->cols;
    with_type(x->dtype, [&](auto *type) {
        with_type(weight->dtype, [&](auto *weight_type) {
            using T = Pointee<decltype(type)>;
            const auto *w = at<Pointee<decltype(weight_type)>>(weight, 0);
            for_rows(stream, x->rows, columns, [&](int64_t row) {
                const T *in = at<T>(x, row);
                T *out = at<T>(y, row);
                const float squares = sum_columns(columns, [&](int64_t j, int64_t n) {
                    const Vec v = load(in + j, n);
                    return v * v;
                });
                const float r = 1.0f / __builtin_sqrtf(squares / static_cast<float>(columns) + eps);
                at<float>(rstd, 0)[row] = r;
                for_vectors(columns, [&](int64_t j, int64_t n) {
                    store(out + j, load(in + j, n) * broadcast(r) * load(w + j, n), n);
                });
            });
        });
    });
    return NF4J_OK;
}

int32_t norm_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *x, const nf4j_tensor *weight,
                      const nf4j_tensor *rstd, int32_t accumulate_dx, const nf4j_tensor *dweight,
                      const nf4j_tensor *dx) {
    const int64_t columns = x->cols;
    const float *r = at<float>(rstd, 0);
    with_type(x->dtype, [&](auto *type) {
        with_type(weight->dtype, [&](auto *weight_type) {
            using T = Pointee<decltype(type)>;
            const auto *w = at<Pointee<decltype(weight_type)>>(weight, 0);
            // Before dx, which may be dy. Each task owns some columns and takes the rows in order.
            if (dweight) {
                constexpr int64_t task_columns = 8 * lanes;
                pool_of(stream).parallel_for((columns + task_columns - 1) / task_columns, [&](int64_t task, int) {
                    const int64_t begin = task * task_columns;
                    const int64_t count = columns - begin < task_columns ? columns - begin : task_columns;
                    float *sum = at<float>(dweight, 0, begin);
                    for (int64_t row = 0; row < x->rows; row++) {
                        const T *g = at<T>(dy, row, begin), *in = at<T>(x, row, begin);
                        for_vectors(count, [&](int64_t j, int64_t n) {
                            store(sum + j, fma(load(g + j, n), load(in + j, n) * broadcast(r[row]), load(sum + j, n)),
                                  n);
                        });
                    }
                });
            }
            for_rows(stream, x->rows, columns, [&](int64_t row) {
                const T *g = at<T>(dy, row), *in = at<T>(x, row);
                T *out = at<T>(dx, row);
                const Vec scale = broadcast(r[row]);
                const float dot = sum_columns(columns, [&](int64_t j, int64_t n) {
                    return load(g + j, n) * load(w + j, n) * (load(in + j, n) * scale);
                });
                const Vec mean = broadcast(dot / static_cast<float>(columns));
                for_vectors(columns, [&](int64_t j, int64_t n) {
                    Vec value = scale * (load(g + j, n) * load(w + j, n) - load(in + j, n) * scale * mean);
                    if (accumulate_dx) value = value + load(out + j, n);
                    store(out + j, value, n);
                });
            });
        });
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
