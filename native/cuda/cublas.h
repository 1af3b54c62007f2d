// cuBLAS, where the machine has it. What it takes, product_cublas.cu decides.
#pragma once

#include "core/backend.h"

namespace nf4j::cuda {

struct Product;

// Whether the stream has one.
bool has_cublas(const nf4j_stream *stream);

// c = alpha * (left * right) + beta * c, of dense BF16 factors; the product's adapter and bias are no business of it.
int32_t cublas_multiply(nf4j_stream *stream, const char *name, const Product &product);

// Which library was found, or why none was: one line.
const char *cublas_description();

}  // namespace nf4j::cuda
