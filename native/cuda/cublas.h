// cuBLAS, where the machine has it: for plain products of BF16 matrices that are large enough to be worth it, such as a
// language model's head. Everything else, and everything where there is no cuBLAS, runs on the kernels of product.cu.
#pragma once

#include "core/backend.h"

namespace nf4j::cuda {

struct Product;

// Whether cuBLAS takes products c [m, n] of this size, if they are plain, and whether it takes this one. Small ones run on
// our own kernels, which give a row the same bits whatever the number of rows.
bool cublas_takes_size(const nf4j_stream *stream, int64_t m, int64_t n, int64_t k, int32_t dtype);
bool cublas_takes(const nf4j_stream *stream, const Product &product, int32_t dtype);
int32_t cublas_multiply(nf4j_stream *stream, const char *name, const Product &product);

// Which library was found, or why none was: one line.
const char *cublas_description();

}  // namespace nf4j::cuda
