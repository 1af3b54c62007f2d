// Products with one weight: dense, and NF4.
#include "cuda/families.h"
#include "cuda/product.h"

namespace nf4j::cuda {

int32_t dense_matmul(nf4j_stream *stream, const nf4j_matmul_options *options, const nf4j_tensor *a,
                     const nf4j_tensor *b, const nf4j_tensor *bias, const nf4j_tensor *c) {
    const Operand left = options->transpose_a ? columns_of(a) : rows_of(a);
    const Operand right = options->transpose_b ? rows_of(b) : columns_of(b);
    Product p = product(left, right, options->transpose_a ? a->rows : a->cols, c);
    p.alpha = options->alpha;
    p.beta = options->beta;
    p.bias = vector_of(bias);
    return multiply(stream, "dense_matmul", p, a->dtype);
}

int32_t nf4_matmul(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_nf4_weight *weight, const nf4j_tensor *bias,
                   const nf4j_tensor *y) {
    Product p = product(rows_of(x), rows_of(weight), x->cols, y);
    p.bias = vector_of(bias);
    return multiply(stream, "nf4_matmul", p, x->dtype);
}

int32_t nf4_matmul_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_nf4_weight *weight,
                            const nf4j_tensor *dx) {
    return multiply(stream, "nf4_matmul_backward", product(rows_of(dy), columns_of(weight), dy->cols, dx), dy->dtype);
}

}  // namespace nf4j::cuda
