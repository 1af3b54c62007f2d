// Elements of an Operand, one by one: what the loads that are no plain copies use.
#pragma once

#include "cuda/product.h"

namespace nf4j::cuda {

// The element at a row and a column of the operand's matrix, before the mask; of one that is dense.
__device__ inline float dense_element(const Operand &x, int64_t row, int64_t col) {
    const int64_t at = row * x.ld + col;
    return x.scale *
           (x.is_bf16 ? widen(static_cast<const bf16 *>(x.data)[at]) : static_cast<const float *>(x.data)[at]);
}

// The same of any.
__device__ inline float unmasked(const Operand &x, int64_t row, int64_t col) {
    return x.is_nf4 ? x.nf4.at(row, col) : dense_element(x, row, col);
}

// Elements (row, col) ... (row, col + 3), those at col_end and behind being 0. col is a multiple of 4, so that they
// share a counter of the dropout.
__device__ inline Vector<float, 4> load_quad(const Operand &x, int64_t row, int64_t col, int64_t col_end) {
    Vector<float, 4> quad;
    if (x.quads && col + 4 <= col_end) {
        const int64_t at = row * x.ld + col;
        if (x.is_bf16) {
            const auto elements = load_global<Vector<bf16, 4>>(static_cast<const bf16 *>(x.data) + at);
#pragma unroll
            for (int e = 0; e < 4; e++) quad.v[e] = x.scale * widen(elements.v[e]);
        } else {
            quad = load_global<Vector<float, 4>>(static_cast<const float *>(x.data) + at);
#pragma unroll
            for (int e = 0; e < 4; e++) quad.v[e] *= x.scale;
        }
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++) quad.v[e] = col + e < col_end ? unmasked(x, row, col + e) : 0;
    }
    if (x.masked) {
        const KeptQuad kept(x.dropout, row, col);
#pragma unroll
        for (int e = 0; e < 4; e++) quad.v[e] = kept[e] ? quad.v[e] : 0;
    }
    return quad;
}

// What dropout multiplies element (i, j) by.
__device__ inline float dropout_factor(const Dropout &dropout, int64_t i, int64_t j) {
    return KeptQuad(dropout, i, j)[j] ? dropout.scale : 0;
}

// The epilogue of all products: what becomes of the sum of element (i, j).
__device__ inline float result(const Output &p, int64_t i, int64_t j, float sum) {
    float result = p.alpha * sum;
    if (p.bias.data) result += p.bias.load(j);
    if (p.beta == 0) return result;
    const int64_t at = i * p.ldc + j;
    return result + p.beta * (p.c_is_bf16 ? widen(static_cast<bf16 *>(p.c)[at]) : static_cast<float *>(p.c)[at]);
}

__device__ inline void store_result(const Output &p, int64_t i, int64_t j, float sum) {
    const int64_t at = i * p.ldc + j;
    if (p.c_is_bf16)
        store_global(static_cast<bf16 *>(p.c) + at, round_bf16(result(p, i, j, sum)));
    else
        store_global(static_cast<float *>(p.c) + at, result(p, i, j, sum));
}

// The same of elements (i, j) ... (i, j + 3), as far as the row has them; at once where p.quads allows it.
__device__ inline void store_results(const Output &p, int64_t i, int64_t j, const Vector<float, 4> &sums) {
    if (!p.quads || j + 4 > p.n) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (j + e < p.n) store_result(p, i, j + e, sums.v[e]);
        }
        return;
    }
    Vector<float, 4> results;
#pragma unroll
    for (int e = 0; e < 4; e++) results.v[e] = result(p, i, j + e, sums.v[e]);
    const int64_t at = i * p.ldc + j;
    if (p.c_is_bf16) {
        const Vector<uint32_t, 2> packed = {
            {pack_bf16(results.v[0], results.v[1]), pack_bf16(results.v[2], results.v[3])}};
        store_global(static_cast<bf16 *>(p.c) + at, packed);
    } else {
        store_global(static_cast<float *>(p.c) + at, results);
    }
}

}  // namespace nf4j::cuda
