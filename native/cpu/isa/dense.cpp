#include "cpu/device.h"
#include "cpu/isa/gemm.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

int32_t dense_matmul(nf4j_stream *stream, const nf4j_matmul_options *options, const nf4j_tensor *a,
                     const nf4j_tensor *b, const nf4j_tensor *bias, const nf4j_tensor *c) {
    const Operand left = options->transpose_a ? columns_of(*a) : rows_of(*a);
    const Operand right = options->transpose_b ? rows_of(*b) : columns_of(*b);
    Product p = product({left, right, options->transpose_a ? a->rows : a->cols, words_for(a->dtype)}, c);
    p.alpha = options->alpha;
    p.beta = options->beta;
    p.bias = bias;
    multiply(pool_of(stream), p);
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
